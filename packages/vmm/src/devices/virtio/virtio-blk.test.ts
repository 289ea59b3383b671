// From virtio 1.2, section 5.2; the configuration's layout from <linux/virtio_blk.h>.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BlockBackend } from '../block-backend.ts';
import { type Descriptor, savedPosition, TestDriver } from './test-driver.ts';
import { virtioBlk } from './virtio-blk.ts';

const VERSION_1 = 1n << 32n;
const SECTORS = 64;

/** A disk in memory that finishes its work when told, in the order told. */
class Disk implements BlockBackend {
  sectors = SECTORS;
  readOnly = false;
  readonly data = new Uint8Array(SECTORS * 512).map((_, index) => (index >> 9) + 1);
  readonly log: string[] = [];
  /** When set, operations wait here to be let go. */
  waiting: (() => void)[] | undefined;
  failing = false;

  private async done(what: string): Promise<void> {
    this.log.push(what);
    if (this.waiting !== undefined) await new Promise<void>((go) => this.waiting!.push(go));
    if (this.failing) throw new Error('the disk is on fire');
  }
  async read(offset: number, into: Uint8Array[]): Promise<void> {
    await this.done(`read ${offset}`);
    let at = offset;
    for (const part of into) {
      part.set(this.data.subarray(at, at + part.length));
      at += part.length;
    }
  }
  async write(offset: number, from: Uint8Array[]): Promise<void> {
    await this.done(`write ${offset}`);
    let at = offset;
    for (const part of from) {
      this.data.set(part, at);
      at += part.length;
    }
  }
  flush(): Promise<void> {
    return this.done('flush');
  }
  discard(offset: number, length: number): Promise<void> {
    return this.done(`discard ${offset}+${length}`);
  }
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

class Setup {
  readonly disk = new Disk();
  readonly driver: TestDriver;

  constructor(prepare: (disk: Disk) => void = () => {}, start = true) {
    prepare(this.disk);
    this.driver = new TestDriver((memory) => virtioBlk('vioblk0', memory, this.disk, 'serial-0'));
    if (start) this.driver.start(VERSION_1 | (this.driver.offered() & 0xffffffn));
  }

  header(type: number, sector = 0): Descriptor {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, type, true);
    view.setUint32(8, sector % 2 ** 32, true);
    view.setUint32(12, Math.floor(sector / 2 ** 32), true);
    return this.driver.buffer(bytes);
  }

  /** Makes a request and returns its status and used length when it is done. */
  async request(
    type: number,
    sector: number,
    from: Descriptor[],
    into: Descriptor[],
  ): Promise<[number, number]> {
    const status = this.driver.room(1);
    this.driver.queues[0].add([this.header(type, sector), ...from], [...into, status]);
    this.driver.kick(0);
    await settle();
    const [done] = this.driver.queues[0].collect();
    return [this.driver.bytes(status)[0], done.length];
  }

  range(sector: number, count: number, flags = 0): Descriptor {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, sector, true);
    view.setUint32(8, count, true);
    view.setUint32(12, flags, true);
    return this.driver.buffer(bytes);
  }
}

test('the device has vmd’s ids, and offers what it does (5.2.1, 5.2.3)', () => {
  const { driver } = new Setup();
  expect(driver.config(0, 4)).toBe(0x10011af4);
  expect(driver.config(0x2c, 4)).toBe(0x00020b5d);
  expect(driver.config(0x0a, 2)).toBe(0x0100);
  const bits = [2, 6, 9, 13, 14].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
  expect(driver.offered() & 0xffffffn).toBe(bits);
  const readOnly = new Setup((disk) => void (disk.readOnly = true));
  const bitsReadOnly = [2, 5, 6, 9].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
  expect(readOnly.driver.offered() & 0xffffffn).toBe(bitsReadOnly);
});

test('the configuration is laid out as in the Linux header (5.2.4)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-blk-'));
  const fields = [
    'capacity',
    'seg_max',
    'blk_size',
    'num_queues',
    'max_discard_sectors',
    'max_discard_seg',
    'discard_sector_alignment',
    'max_write_zeroes_sectors',
    'max_write_zeroes_seg',
    'write_zeroes_may_unmap',
  ];
  const source = `#include <stdio.h>\n#include <stddef.h>\n#include <linux/virtio_blk.h>
    #define F(f) printf("%zu %zu\\n", offsetof(struct virtio_blk_config, f), \\
                        sizeof(((struct virtio_blk_config *)0)->f));
    int main(void) { ${fields.map((it) => `F(${it})`).join(' ')} return 0; }`;
  writeFileSync(join(folder, 'probe.c'), source);
  execFileSync('gcc', ['-o', join(folder, 'probe'), join(folder, 'probe.c')]);
  const lines = execFileSync(join(folder, 'probe')).toString().trim().split('\n');
  rmSync(folder, { recursive: true });
  const { driver } = new Setup((disk) => void (disk.sectors = 2 ** 33 + 5), false);
  const values = lines.map((line) => {
    const [offset, size] = line.split(' ').map(Number);
    if (size < 8) return driver.ports.read(driver.at.device + offset, size as 1 | 2 | 4);
    const low = driver.ports.read(driver.at.device + offset, 4);
    return low + driver.ports.read(driver.at.device + offset + 4, 4) * 2 ** 32;
  });
  const range = [1 << 22, 32, 1];
  expect(values).toEqual([2 ** 33 + 5, 126, 512, 1, ...range, ...range]);
});

test('IN reads sectors into buffers cut anywhere (5.2.6)', async () => {
  const setup = new Setup();
  const { driver } = setup;
  const into = [driver.room(100), driver.room(924), driver.room(512)];
  expect(await setup.request(0, 5, [], into)).toEqual([0, 1537]);
  const bytes = into.flatMap((room) => driver.bytes(room));
  expect(bytes).toEqual([...setup.disk.data.slice(5 * 512, 8 * 512)]);
  expect(driver.isr()).toBe(1);
});

test('a status in the last byte of a data buffer works: any layout (2.7.4)', async () => {
  const setup = new Setup();
  const room = setup.driver.room(513);
  setup.driver.queues[0].add([setup.header(0, 1)], [room]);
  setup.driver.kick(0);
  await settle();
  expect(setup.driver.bytes(room)).toEqual([...new Array(512).fill(2), 0]);
});

test('OUT writes sectors, from buffers cut anywhere (5.2.6)', async () => {
  const setup = new Setup();
  const { driver, disk } = setup;
  const from = [driver.buffer(new Array(700).fill(0xaa)), driver.buffer(new Array(324).fill(0xbb))];
  expect(await setup.request(1, 62, from, [])).toEqual([0, 1]);
  expect(disk.data[62 * 512]).toBe(0xaa);
  expect(disk.data[62 * 512 + 700]).toBe(0xbb);
  expect(disk.data[64 * 512 - 1]).toBe(0xbb);
});

test('FLUSH reaches the image, GET_ID gives the serial, others are unsupported', async () => {
  const setup = new Setup();
  expect(await setup.request(4, 0, [], [])).toEqual([0, 1]);
  expect(setup.disk.log).toEqual(['flush']);
  const room = setup.driver.room(20);
  expect(await setup.request(8, 0, [], [room])).toEqual([0, 21]);
  expect(String.fromCharCode(...setup.driver.bytes(room))).toBe('serial-0'.padEnd(20, '\0'));
  expect(await setup.request(99, 0, [], [])).toEqual([2, 1]);
});

test('what lies beyond the disk, or is no whole sector, is an I/O error (5.2.6.1)', async () => {
  const setup = new Setup();
  const room = (length: number): Descriptor[] => [setup.driver.room(length)];
  expect((await setup.request(0, 63, [], room(1024)))[0]).toBe(1);
  expect((await setup.request(0, 2 ** 40, [], room(512)))[0]).toBe(1);
  expect((await setup.request(0, 0, [], room(511)))[0]).toBe(1);
  expect((await setup.request(1, 64, room(512), []))[0]).toBe(1);
  expect(setup.disk.log).toEqual([]);
});

test('a failing image is an I/O error', async () => {
  const setup = new Setup((disk) => void (disk.failing = true));
  for (const type of [0, 1, 4]) {
    const room = setup.driver.room(512);
    const [from, into] = type === 0 ? [[], [room]] : [type === 1 ? [room] : [], []];
    expect((await setup.request(type, 0, from, into))[0]).toBe(1);
  }
});

test('a read-only disk refuses writes, discards and zeroing', async () => {
  const setup = new Setup((disk) => void (disk.readOnly = true));
  expect((await setup.request(1, 0, [setup.driver.room(512)], []))[0]).toBe(1);
  expect((await setup.request(11, 0, [setup.range(0, 8)], []))[0]).toBe(1);
  expect((await setup.request(13, 0, [setup.range(0, 8)], []))[0]).toBe(1);
  expect(setup.disk.log).toEqual([]);
});

test('DISCARD and WRITE_ZEROES take ranges (5.2.6)', async () => {
  const setup = new Setup();
  const { disk } = setup;
  const ranges = [setup.range(2, 4), setup.range(10, 1)];
  expect(await setup.request(11, 0, ranges, [])).toEqual([0, 1]);
  expect(disk.log).toEqual(['discard 1024+2048', 'discard 5120+512']);
  expect((await setup.request(11, 0, [setup.range(60, 5)], []))[0]).toBe(1);
  expect((await setup.request(11, 0, [setup.range(0, 5, 1)], []))[0]).toBe(2);
  expect(await setup.request(13, 0, [setup.range(3, 2, 1)], [])).toEqual([0, 1]);
  expect([2, 3, 4, 5].map((sector) => disk.data[sector * 512])).toEqual([3, 0, 0, 6]);
  expect((await setup.request(13, 0, [setup.range(3, 2, 2)], []))[0]).toBe(2);
});

test('requests run side by side and finish in any order', async () => {
  const setup = new Setup((disk) => void (disk.waiting = []));
  const { driver, disk } = setup;
  const heads = [0, 1, 2].map((sector) => {
    const parts = [driver.room(512), driver.room(1)];
    return driver.queues[0].add([setup.header(0, sector)], parts);
  });
  driver.kick(0);
  await settle();
  expect(disk.log).toEqual(['read 0', 'read 512', 'read 1024']);
  expect(() => driver.device.save()).toThrow(/vioblk0 has requests in flight/);
  for (const index of [2, 0, 1]) {
    disk.waiting![index]();
    await settle();
  }
  expect(driver.queues[0].collect().map((it) => it.id)).toEqual([heads[2], heads[0], heads[1]]);
  expect(savedPosition(driver.device.save(), 0)).toBe(3n);
});

test('a reset waits for what is in flight, which answers nobody (4.1.4.3.1)', async () => {
  const setup = new Setup((disk) => void (disk.waiting = []));
  const { driver, disk } = setup;
  driver.queues[0].add([setup.header(0)], [driver.room(512), driver.room(1)]);
  driver.kick(0);
  driver.status = 0;
  expect(driver.status).not.toBe(0);
  disk.waiting![0]();
  await settle();
  expect(driver.status).toBe(0);
  expect(driver.queues[0].collect()).toEqual([]);
  expect(driver.irq).toBe(false);
});

test('a request without header or status needs a reset', () => {
  for (const [readable, writable] of [
    [15, 1],
    [16, 0],
  ]) {
    const { driver } = new Setup();
    const rooms = writable === 0 ? [] : [driver.room(writable)];
    driver.queues[0].add([driver.room(readable)], rooms);
    driver.kick(0);
    expect(driver.status & 0x40).toBe(0x40);
    expect(driver.isr() & 2).toBe(2);
  }
});
