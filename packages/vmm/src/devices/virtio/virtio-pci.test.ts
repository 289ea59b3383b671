// The transport, from virtio 1.2: sections 2.1, 2.2, 3.1 and 4.1 as noted; offsets and constants
// from the Linux kernel's own headers, through the C compiler.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DriverQueue, savedPosition, TestDriver } from './test-driver.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';
import type { VirtioInterface } from './virtio-front.ts';

const VERSION_1 = 1n << 32n;

/** A backend that notes what it is told, and answers when told to. */
class Probe implements VirtioBackend {
  readonly log: string[] = [];
  events!: VirtioEvents;
  queues: readonly QueueConfig[] = [];
  features = 0n;
  busy = false;

  connect(events: VirtioEvents): void {
    this.events = events;
  }
  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.log.push('activate');
    this.queues = queues;
    this.features = features;
  }
  hold(): void {}
  kick(queue: number): void {
    this.log.push(`kick ${queue}`);
  }
  reset(): void {
    this.log.push('reset');
    if (!this.busy) this.events.quiesced();
  }
  positions(): number[] {
    return [7, 8];
  }
}

function setUp(kind?: VirtioInterface): { driver: TestDriver; probe: Probe } {
  const probe = new Probe();
  const device: VirtioDevice = {
    name: 'probe',
    id: 4,
    classCode: 0x088000,
    features: 1n << 3n,
    queueSizes: [64, 8],
    config: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]),
    backend: probe,
  };
  return { driver: new TestDriver(() => device, kind), probe };
}

test('ids and revisions are those of transitional and modern devices (4.1.2)', () => {
  const ids = (kind?: VirtioInterface): number[] => {
    const { driver } = setUp(kind);
    return [driver.config(0, 4), driver.config(8, 4), driver.config(0x2c, 4)];
  };
  expect(ids()).toEqual([0x10051af4, 0x08800000, 0x00040b5d]);
  expect(ids('legacy')).toEqual([0x10051af4, 0x08800000, 0x00040b5d]);
  expect(ids('modern')).toEqual([0x10441af4, 0x08800001, 0x00040b5d]);
});

test('the structures are where the capabilities say, none in a legacy device (4.1.4)', () => {
  const { at } = setUp().driver;
  expect(at).toEqual({ common: 0x1100, notify: 0x1200, isr: 0x1300, device: 0x1400 });
  expect(setUp('legacy').driver.config(0x34, 1)).toBe(0);
  expect(setUp('legacy').driver.config(0x06, 2) & 0x10).toBe(0);
});

test('features come in words and are checked at FEATURES_OK (2.2, 3.1.1)', () => {
  const { driver, probe } = setUp();
  expect(driver.offered()).toBe(VERSION_1 | (7n << 27n) | 8n);
  expect(driver.negotiate(8n)).toBe(false);
  expect(driver.negotiate(VERSION_1 | 4n)).toBe(false);
  expect(driver.negotiate(VERSION_1 | 8n)).toBe(true);
  driver.ports.write(driver.at.common + 8, 4, 0);
  driver.ports.write(driver.at.common + 12, 4, 0);
  expect(driver.ports.read(driver.at.common + 12, 4)).toBe(8);
  driver.status = 15;
  expect(probe.features).toBe(VERSION_1 | 8n);
  expect(setUp('modern').driver.offered()).toBe(VERSION_1 | (3n << 28n) | 8n);
  driver.ports.write(driver.at.common, 4, 2);
  expect(driver.ports.read(driver.at.common + 4, 4)).toBe(0);
});

test('queues are sized, placed and enabled, then the backend is told at DRIVER_OK (3.1.1)', () => {
  const { driver, probe } = setUp();
  const { common } = driver.at;
  expect(driver.negotiate(VERSION_1)).toBe(true);
  driver.kick(0);
  driver.ports.write(common + 0x16, 2, 2);
  expect(driver.ports.read(common + 0x18, 2)).toBe(0);
  driver.ports.write(common + 0x16, 2, 0);
  for (const bad of [0, 3, 128]) driver.ports.write(common + 0x18, 2, bad);
  expect(driver.ports.read(common + 0x18, 2)).toBe(64);
  const queue = driver.setUpQueue(0, 16);
  driver.ports.write(common + 0x20, 4, 0);
  expect(probe.log).toEqual(['reset']);
  driver.status = 15;
  driver.kick(0);
  driver.kick(1);
  expect(probe.log).toEqual(['reset', 'activate', 'kick 0']);
  const { descriptors, available, used } = queue;
  const config = { index: 0, size: 16, descriptors, available, used, nextAvailable: 0 };
  expect(probe.queues).toEqual([config]);
});

test('ISR shows the cause, is cleared by reading, and lowers INTA (4.1.4.5)', () => {
  const { driver, probe } = setUp();
  driver.start(VERSION_1);
  probe.events.queueInterrupt();
  expect(driver.irq).toBe(true);
  expect(driver.isr()).toBe(1);
  expect(driver.irq).toBe(false);
  expect(driver.isr()).toBe(0);
});

test('a change of configuration shows in the generation and interrupts (2.5, 4.1.4.3)', () => {
  const { driver, probe } = setUp();
  driver.start(VERSION_1);
  const before = driver.ports.read(driver.at.common + 0x15, 1);
  probe.events.configChanged(2, new Uint8Array([0xaa, 0xbb]));
  expect(driver.isr()).toBe(2);
  expect(driver.ports.read(driver.at.common + 0x15, 1)).toBe(before + 1);
  expect(driver.ports.read(driver.at.device, 4)).toBe(0xbbaa0201);
  driver.ports.write(driver.at.device, 4, 0);
  expect(driver.ports.read(driver.at.device + 6, 2)).toBe(0x0807);
  expect(driver.ports.read(driver.at.device + 8, 4)).toBe(0);
});

test('a fault sets DEVICE_NEEDS_RESET, interrupts, and stops notifications (2.1.2)', () => {
  const { driver, probe } = setUp();
  driver.start(VERSION_1);
  probe.events.needsReset('queue 0: nonsense');
  expect(driver.status).toBe(0x4f);
  expect(driver.isr()).toBe(2);
  expect(driver.device.front.fault).toBe('queue 0: nonsense');
  const told = probe.log.length;
  driver.kick(0);
  driver.status = 15;
  expect(driver.status).toBe(0x4f);
  expect(probe.log.length).toBe(told);
  driver.start(VERSION_1);
  expect(driver.status).toBe(15);
});

test('a reset reads as zero when the backend is quiet, not before (4.1.4.3.1)', () => {
  const { driver, probe } = setUp();
  driver.start(VERSION_1);
  probe.events.queueInterrupt();
  probe.busy = true;
  driver.status = 0;
  expect(driver.irq).toBe(false);
  expect(driver.status).toBe(15);
  probe.events.queueInterrupt();
  expect(driver.irq).toBe(false);
  probe.events.quiesced();
  expect(driver.status).toBe(0);
  driver.ports.write(driver.at.common + 0x16, 2, 0);
  expect(driver.ports.read(driver.at.common + 0x1c, 2)).toBe(0);
});

test('MSI-X vectors read as none (4.1.4.3)', () => {
  const { driver } = setUp();
  driver.ports.write(driver.at.common + 0x10, 2, 0);
  expect(driver.ports.read(driver.at.common + 0x10, 2)).toBe(0xffff);
  expect(driver.ports.read(driver.at.common + 0x1a, 2)).toBe(0xffff);
});

test('the structures can be reached through configuration space (4.1.4.9)', () => {
  const { driver } = setUp();
  let window = 0;
  for (let cap = driver.config(0x34, 1); cap !== 0; cap = driver.config(cap + 1, 1)) {
    if (driver.config(cap + 3, 1) === 5) window = cap;
  }
  const access = (offset: number, size: 1 | 2 | 4, value?: number): number => {
    driver.setConfig(window + 8, 4, offset);
    driver.setConfig(window + 12, 4, size);
    if (value !== undefined) driver.setConfig(window + 16, size, value);
    return driver.config(window + 16, size);
  };
  expect(access(0x112, 2)).toBe(2);
  expect(access(0x114, 1, 3)).toBe(3);
  expect(driver.status).toBe(3);
  expect(access(0x404, 4)).toBe(0x08070605);
  expect(access(0x1000, 4)).toBe(0);
});

test('a legacy driver finds its registers at the start of BAR 0 (4.1.4.10, 2.7.2)', () => {
  for (const kind of ['legacy', 'transitional'] as const) {
    const { driver, probe } = setUp(kind);
    const { ports } = driver;
    const base = 0x1000;
    expect(ports.read(base, 4)).toBe(0x38000008);
    ports.write(base + 18, 1, 0);
    ports.write(base + 18, 1, 3);
    ports.write(base + 4, 4, 8);
    ports.write(base + 14, 2, 0);
    expect(ports.read(base + 12, 2)).toBe(64);
    expect(ports.read(base + 8, 4)).toBe(0);
    const queue = new DriverQueue(driver.memory, 0, 64, 0x20000);
    ports.write(base + 8, 4, 0x20);
    expect(ports.read(base + 8, 4)).toBe(0x20);
    ports.write(base + 18, 1, 7);
    ports.write(base + 16, 2, 0);
    expect(probe.log).toEqual(['reset', 'activate', 'kick 0']);
    const { descriptors, available, used } = queue;
    const config = { index: 0, size: 64, descriptors, available, used, nextAvailable: 0 };
    expect(probe.queues).toEqual([config]);
    expect(probe.features).toBe(8n);
    expect(ports.read(base + 20, 4)).toBe(0x04030201);
    probe.events.queueInterrupt();
    expect(driver.irq).toBe(true);
    expect(ports.read(base + 19, 1)).toBe(1);
    expect(driver.irq).toBe(false);
  }
});

test('load() brings the queues up again where they were', () => {
  const { driver, probe } = setUp();
  driver.start(VERSION_1 | 8n);
  const state = structuredClone(driver.device.save());
  expect(savedPosition(state, 1)).toBe(8n);
  const other = setUp();
  other.driver.device.load(state, 'device');
  expect(other.probe.queues).toEqual(
    probe.queues.map((queue, index) => ({ ...queue, nextAvailable: 7 + index })),
  );
  expect(other.probe.features).toBe(VERSION_1 | 8n);
  expect(other.driver.status).toBe(15);
  expect(other.probe.log).toEqual(['activate', 'kick 0', 'kick 1']);
});

/** Compiles expressions against <linux/virtio_*.h> and returns their values. */
function fromHeaders(expressions: readonly string[]): number[] {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-'));
  try {
    const headers = ['config', 'pci', 'ring', 'blk', 'net', 'ids'];
    const source = [
      '#include <stdio.h>\n#include <stddef.h>',
      ...headers.map((name) => `#include <linux/virtio_${name}.h>`),
      'int main(void) {',
      ...expressions.map((it) => `printf("%lu\\n", (unsigned long)(${it}));`),
      'return 0; }',
    ].join('\n');
    writeFileSync(join(folder, 'probe.c'), source);
    execFileSync('gcc', ['-o', join(folder, 'probe'), join(folder, 'probe.c')]);
    return execFileSync(join(folder, 'probe')).toString().trim().split('\n').map(Number);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('registers are where the Linux headers have them', () => {
  const common = (field: string): string => `offsetof(struct virtio_pci_common_cfg, ${field})`;
  const fields = [
    'device_feature_select',
    'device_feature',
    'guest_feature_select',
    'guest_feature',
    'msix_config',
    'num_queues',
    'device_status',
    'config_generation',
    'queue_select',
    'queue_size',
    'queue_msix_vector',
    'queue_enable',
    'queue_notify_off',
    'queue_desc_lo',
    'queue_desc_hi',
    'queue_avail_lo',
    'queue_avail_hi',
    'queue_used_lo',
    'queue_used_hi',
  ];
  const offsets = fromHeaders([
    ...fields.map(common),
    'sizeof(struct virtio_pci_common_cfg)',
    'vring_size(64, 4096)',
    'VIRTIO_F_VERSION_1',
    'VIRTIO_RING_F_EVENT_IDX',
    'VIRTIO_RING_F_INDIRECT_DESC',
    'VIRTIO_F_ANY_LAYOUT',
  ]);
  const { driver } = setUp();
  const { common: base } = driver.at;
  // What each register answers before the driver does anything, or after it wrote a value.
  const written = new Map([
    ['device_feature_select', 1],
    ['guest_feature_select', 1],
    ['guest_feature', 1],
    ['queue_select', 1],
    ['device_status', 3],
    ['queue_size', 4],
    ['queue_desc_lo', 0x1000],
    ['queue_desc_hi', 1],
    ['queue_avail_lo', 0x2000],
    ['queue_avail_hi', 2],
    ['queue_used_lo', 0x3000],
    ['queue_used_hi', 3],
    ['queue_enable', 1],
  ]);
  const answers = new Map([
    ['device_feature', 1],
    ['msix_config', 0xffff],
    ['num_queues', 2],
    ['config_generation', 0],
    ['queue_msix_vector', 0xffff],
    ['queue_notify_off', 0],
  ]);
  const sizeOf = (field: string): 1 | 2 | 4 => {
    if (/feature|_lo$|_hi$/.test(field)) return 4;
    return /status|generation/.test(field) ? 1 : 2;
  };
  const order = ['queue_select', ...fields.filter((it) => it !== 'queue_enable'), 'queue_enable'];
  for (const field of order) {
    const value = written.get(field);
    const port = base + offsets[fields.indexOf(field)];
    if (value !== undefined) driver.ports.write(port, sizeOf(field), value);
  }
  for (const [index, field] of fields.entries()) {
    const read = driver.ports.read(base + offsets[index], sizeOf(field));
    expect([field, read]).toEqual([field, written.get(field) ?? answers.get(field)]);
  }
  const queue = new DriverQueue(driver.memory, 0, 64, 0);
  const rest = offsets.slice(fields.length);
  expect(rest).toEqual([56, queue.used + 6 + 8 * 64, 32, 29, 28, 27]);
});
