// The machine's wiring, looked at through its ports as a guest would: vmd(8)'s device order, PCI
// ids and interrupt lines, and a PC/AT's ports.
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { FlatMemory } from '../bus/flat-memory.ts';
import type { PortSize } from '../bus/port-bus.ts';
import type { BlockBackend } from '../devices/block-backend.ts';
import { ScsiCdrom } from '../devices/scsi-cdrom.ts';
import type {
  VirtioBackend,
  VirtioDevice,
  VirtioEvents,
} from '../devices/virtio/virtio-backend.ts';
import { virtioBlk } from '../devices/virtio/virtio-blk.ts';
import { VirtioNetBackend, virtioNet } from '../devices/virtio/virtio-net.ts';
import { virtioScsi } from '../devices/virtio/virtio-scsi.ts';
import type { BootDevice } from './firmware-files.ts';
import { Pc } from './pc.ts';

const MB = 1 << 20;
const MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 1, 2]);

const image: BlockBackend = {
  sectors: 8,
  readOnly: false,
  read: () => Promise.resolve(),
  write: () => Promise.resolve(),
  flush: () => Promise.resolve(),
  discard: () => Promise.resolve(),
};

interface Build {
  readonly exitPort?: (value: number) => void;
  readonly memoryBytes?: number;
  readonly disks?: readonly VirtioDevice[];
  readonly cdrom?: (memory: FlatMemory) => VirtioDevice;
  readonly firmware?: { readonly bootDevice: BootDevice };
}

function build(options: Build = {}) {
  const memory = new FlatMemory(MB, { shared: true });
  const clock = new VirtualClock();
  const { memoryBytes = 64 * MB, exitPort } = options;
  let resets = 0;
  const events: string[] = [];
  const pc = new Pc({
    memory,
    memoryBytes,
    clock,
    entropy: { fill: () => {} },
    console: { transmit: () => {} },
    nics: [virtioNet('vio0', MAC, new VirtioNetBackend(memory))],
    disks: options.disks ?? ['sd0', 'sd1'].map((name) => virtioBlk(name, memory, image, name)),
    cdrom: options.cdrom?.(memory),
    firmware: options.firmware,
    onReset: () => {
      resets++;
    },
    onPowerOff: () => void events.push('power off'),
    onShutdownHeard: () => void events.push('heard'),
    ...(exitPort ? { onExitPort: exitPort } : {}),
  });
  const config = (device: number, register: number, size: PortSize = 4): number => {
    pc.ports.write(0xcf8, 4, (0x8000_0000 | (device << 11) | (register & 0xfc)) >>> 0);
    return pc.ports.read(0xcfc + (register & 3), size);
  };
  const cmos = (index: number): number => {
    pc.ports.write(0x70, 1, index);
    return pc.ports.read(0x71, 1);
  };
  return { pc, clock, config, cmos, events, resets: () => resets };
}

test('PCI has the host bridge, entropy, network, disks, and vmmci, in this order', () => {
  const { config } = build();
  const ids = [0, 1, 2, 3, 4, 5].map((device) => config(device, 0).toString(16).padStart(8, '0'));
  expect(ids).toEqual(['06660b5d', '10051af4', '10001af4', '10011af4', '10011af4', '07770b5d']);
  expect(config(6, 0)).toBe(0xffffffff);
});

test('a CD-ROM drive is behind the disks, and with firmware the host bridge is one of QEMU', () => {
  const cdrom = (memory: FlatMemory): VirtioDevice =>
    virtioScsi('vioscsi0', memory, new ScsiCdrom(image));
  const { pc, config } = build({ cdrom, firmware: { bootDevice: 'cdrom' } });
  expect(config(5, 0)).toBe(0x10041af4);
  expect(config(0, 0x2c)).toBe(0x11001af4);
  expect(build({ cdrom }).config(0, 0x2c)).toBe(0x00000b5d);
  // fw_cfg's directory: the first file of all is the boot order, in which the drive is.
  pc.ports.write(0x510, 2, 0x20);
  const bytes = Array.from({ length: 25 }, () => pc.ports.read(0x511, 1));
  expect(String.fromCharCode(...bytes)).toBe('/pci@i0cf8/*@5/*@0/*@0,0\n');
});

test('what a guest writes to the interrupt line register does not stay', () => {
  const { pc, config } = build();
  expect(config(2, 0x3c, 1)).toBe(5);
  pc.ports.write(0xcfc, 1, 0);
  expect(config(2, 0x3c, 1)).toBe(5);
});

test('PCI devices have the lines 3, 5, 6, 7, 9, all level triggered, as ACPI has line 9', () => {
  const { pc, config } = build();
  expect([1, 2, 3, 4, 5].map((device) => config(device, 0x3c, 1))).toEqual([3, 5, 6, 7, 9]);
  expect([pc.ports.read(0x4d0, 1), pc.ports.read(0x4d1, 1)]).toEqual([0xe8, 0x02]);
  pc.reset();
  expect([pc.ports.read(0x4d0, 1), pc.ports.read(0x4d1, 1)]).toEqual([0xe8, 0x02]);
});

test('fw_cfg has the ACPI tables for firmware', () => {
  const { pc } = build();
  pc.ports.write(0x510, 2, 0x19);
  const directory = Array.from({ length: 4 + 3 * 64 }, () => pc.ports.read(0x511, 1));
  const text = String.fromCharCode(...directory);
  expect(directory.slice(0, 4)).toEqual([0, 0, 0, 3]);
  for (const name of ['etc/acpi/rsdp', 'etc/acpi/tables', 'etc/table-loader']) {
    expect(text).toContain(`${name}\0`);
  }
});

test('the CMOS tells the memory below and above 4 GiB', () => {
  const small = build();
  const word = (cmos: (index: number) => number, at: number): number => {
    return cmos(at) | (cmos(at + 1) << 8);
  };
  expect(word(small.cmos, 0x15)).toBe(636);
  expect(word(small.cmos, 0x17)).toBe(63 * 1024);
  expect(word(small.cmos, 0x34)).toBe(48 * 16);
  expect(word(small.cmos, 0x5b)).toBe(0);
  const large = build({ memoryBytes: 3900 * MB });
  expect(word(large.cmos, 0x34)).toBe((0xf000_0000 - 16 * MB) / 65536);
  expect(word(large.cmos, 0x5b)).toBe(60 * 16);
});

test('the lines of timer, clock and serial port end at inputs 0, 8 and 4', () => {
  const { pc, clock } = build();
  for (const port of [0x20, 0xa0]) {
    for (const [offset, value] of [
      [0, 0x11],
      [1, port === 0x20 ? 0x20 : 0x28],
      [1, 4],
      [1, 1],
    ]) {
      pc.ports.write(port + offset, 1, value);
    }
  }
  const taken = (): number[] => {
    const vectors: number[] = [];
    while (pc.interrupts.pending()) {
      const vector = pc.interrupts.acknowledge();
      vectors.push(vector);
      if (vector >= 0x28) pc.ports.write(0xa0, 1, 0x20);
      pc.ports.write(0x20, 1, 0x20);
    }
    return vectors;
  };
  pc.ports.write(0x43, 1, 0x34);
  expect(taken()).toEqual([0x20]);
  pc.ports.write(0x70, 1, 0x0b);
  pc.ports.write(0x71, 1, 0x12); // update interrupt, 24 hours
  clock.advance(1.1e9);
  pc.timers.run(clock.now());
  expect(taken()).toEqual([0x28]);
  pc.ports.write(0x3fc, 1, 8);
  pc.ports.write(0x3f9, 1, 1);
  expect(pc.com1.receive(new Uint8Array([65]))).toBe(1);
  expect(taken()).toEqual([0x24]);
});

test('every way to ask for a reset asks the machine', () => {
  const { pc, resets } = build();
  for (const [port, value] of [
    [0x92, 1],
    [0x64, 0xfe],
    [0xcf9, 6],
  ]) {
    pc.ports.write(port, 1, value);
  }
  expect(resets()).toBe(3);
});

test('the debug exit port is there only when somebody listens', () => {
  const values: number[] = [];
  build({ exitPort: (value) => values.push(value) }).pc.ports.write(0xf4, 1, 0x21);
  expect(values).toEqual([0x21]);
  const { pc } = build();
  expect(pc.ports.ownerIn(0xf4, 4)).toBeUndefined();
});

test('ports that nobody has read all ones', () => {
  const { pc } = build();
  expect(pc.ports.read(0x2f8, 1)).toBe(0xff);
  expect(pc.ports.read(0x3b0, 4)).toBe(0xffff_ffff);
});

test('quiet is false from a reset until every backend has left the guest memory', () => {
  let events: VirtioEvents | undefined;
  const backend: VirtioBackend = {
    connect: (it) => {
      events = it;
    },
    activate: () => {},
    kick: () => {},
    reset: () => {},
    busy: true,
    hold: () => {},
    positions: () => [],
  };
  const config = new Uint8Array(0);
  const slow = {
    name: 'slow',
    id: 2,
    classCode: 0,
    features: 0n,
    queueSizes: [8],
    config,
    backend,
  };
  const { pc } = build({ disks: [slow] });
  const card = 0x3000; // after the ranges of entropy and network
  pc.ports.write(card + 18, 1, 3); // ACKNOWLEDGE, DRIVER
  expect(pc.ports.read(card + 18, 1)).toBe(3);
  pc.reset();
  expect(pc.quiet).toBe(false);
  events?.quiesced();
  expect(pc.quiet).toBe(true);
});

test('a guest is asked to shut down by the button, or by vmmci where it has a driver', () => {
  const { pc, config, events } = build();
  expect(pc.requestShutdown()).toBe(false);
  pc.ports.write(0x602, 2, 0x100);
  expect(pc.requestShutdown()).toBe(true);
  expect(pc.ports.read(0x600, 2)).toBe(0x100);
  pc.ports.write(0x600, 2, 0x100);
  expect(events).toEqual(['heard']);
  const vmmci = config(5, 0x10) & ~3;
  pc.ports.write(vmmci + 18, 1, 7);
  expect(pc.requestShutdown()).toBe(true);
  expect([pc.ports.read(0x600, 2), pc.ports.read(vmmci + 20, 4)]).toEqual([0, 2]);
  pc.reset();
  expect(pc.requestShutdown()).toBe(false);
  pc.ports.write(0x604, 2, 0x3401);
  expect(events.at(-1)).toBe('power off');
});

test('the button and the PCI device on its line do not end each other’s interrupts', () => {
  const { pc, config } = build();
  const vmmci = config(5, 0x10) & ~3;
  // Both chips at vector 0x20 and 0x28, every line open.
  for (const [base, vector] of [
    [0x20, 0x20],
    [0xa0, 0x28],
  ] as const) {
    pc.ports.write(base, 1, 0x11);
    pc.ports.write(base + 1, 1, vector);
    pc.ports.write(base + 1, 1, base === 0x20 ? 4 : 2);
    pc.ports.write(base + 1, 1, 1);
    pc.ports.write(base + 1, 1, 0);
  }
  pc.ports.write(0x602, 2, 0x100);
  pc.requestShutdown();
  pc.ports.write(vmmci + 18, 1, 7);
  pc.requestShutdown();
  const served = (): boolean => {
    const pending = pc.interrupts.pending();
    if (pending) expect(pc.interrupts.acknowledge()).toBe(0x29);
    pc.ports.write(0xa0, 1, 0x20);
    pc.ports.write(0x20, 1, 0x20);
    return pending;
  };
  expect(served()).toBe(true);
  pc.ports.write(0x600, 2, 0x100);
  expect(served()).toBe(true);
  pc.ports.read(vmmci + 19, 1);
  expect(served()).toBe(false);
});
