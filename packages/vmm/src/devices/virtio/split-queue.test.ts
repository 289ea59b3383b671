// Split queues, from virtio 1.2 section 2.7, driven through an entropy device of known bytes.

import { beforeEach, expect, test } from 'vitest';
import { FlatMemory } from '../../bus/flat-memory.ts';
import { SplitQueue } from './split-queue.ts';
import { type DriverQueue, TestDriver } from './test-driver.ts';
import { virtioRng } from './virtio-rng.ts';

const VERSION_1 = 1n << 32n;
const EVENT_IDX = 1n << 29n;
const INDIRECT = 1n << 28n;

let driver: TestDriver;
let queue: DriverQueue;

function start(features = 0n): void {
  let next = 0;
  const entropy = {
    fill: (bytes: Uint8Array): void => {
      for (const index of bytes.keys()) bytes[index] = ++next;
    },
  };
  driver = new TestDriver((memory) => virtioRng(memory, entropy));
  driver.start(VERSION_1 | features);
  queue = driver.queues[0];
}

beforeEach(() => start());

/** Expects the device to have given up, with a reason that matches. */
function expectFault(reason: RegExp): void {
  driver.kick(0);
  expect(driver.status & 0x40).toBe(0x40);
  expect(driver.isr() & 2).toBe(2);
  expect(driver.device.front.fault).toMatch(reason);
  expect(queue.collect()).toEqual([]);
}

test('a chain of buffers is filled in order and given back with its length (2.7.4, 2.7.8)', () => {
  const rooms = [driver.room(3), driver.room(0), driver.room(5)];
  const head = queue.add([], rooms);
  driver.kick(0);
  expect(queue.collect()).toEqual([{ id: head, length: 8 }]);
  expect(rooms.flatMap((room) => driver.bytes(room))).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(driver.isr()).toBe(1);
});

test('indices run free and rings wrap (2.7.6, 2.7.8)', () => {
  const room = driver.room(1);
  for (let i = 0; i < 70000; i++) {
    const head = queue.add([], [room]);
    driver.kick(0);
    const done = queue.collect();
    if (done.length !== 1 || done[0].id !== head) expect(done).toEqual([{ id: head, length: 1 }]);
  }
  expect(driver.memory.view.getUint16(queue.used + 2, true)).toBe(70000 % 65536);
});

test('a driver that wants no interrupts gets none (2.7.7)', () => {
  driver.memory.view.setUint16(queue.available, 1, true);
  queue.add([], [driver.room(1)]);
  driver.kick(0);
  expect(queue.collect().length).toBe(1);
  expect(driver.isr()).toBe(0);
});

test('with event indices the interrupt comes at the one asked for (2.7.7.2)', () => {
  start(EVENT_IDX);
  const usedEvent = queue.available + 4 + 2 * queue.size;
  const availEvent = queue.used + 4 + 8 * queue.size;
  driver.memory.view.setUint16(usedEvent, 2, true);
  const interrupts: number[] = [];
  for (let i = 0; i < 4; i++) {
    queue.add([], [driver.room(1)]);
    driver.kick(0);
    interrupts.push(driver.isr());
    // The device asks for the next notification (2.7.10).
    expect(driver.memory.view.getUint16(availEvent, true)).toBe(i + 1);
  }
  expect(interrupts).toEqual([0, 0, 1, 0]);
});

test('an indirect table is a chain of its own (2.7.5.3)', () => {
  start(INDIRECT);
  const rooms = [driver.room(2), driver.room(4)];
  const table = driver.allocate(3 * 16);
  queue.put(0, { ...rooms[0], flags: 3, next: 2 }, table);
  queue.put(2, { ...rooms[1], flags: 2 }, table);
  queue.put(5, { gpa: table, length: 48, flags: 4 });
  queue.offer(5);
  driver.kick(0);
  expect(queue.collect()).toEqual([{ id: 5, length: 6 }]);
  expect(driver.bytes(rooms[1])).toEqual([3, 4, 5, 6]);
});

test('memory that the device wrote is reported, for code that lies there', () => {
  const room = driver.room(16);
  driver.memory.changes.length = 0;
  queue.add([], [room]);
  driver.kick(0);
  expect(driver.memory.changes).toEqual([
    { gpa: room.gpa, length: 16 },
    { gpa: queue.used + 4, length: 8 },
    { gpa: queue.used + 2, length: 2 },
  ]);
});

test('a chain that loops is refused (2.7.5.2)', () => {
  queue.put(0, { ...driver.room(1), flags: 3, next: 1 });
  queue.put(1, { ...driver.room(1), flags: 3, next: 0 });
  queue.offer(0);
  expectFault(/loops/);
});

test('a descriptor index beyond the table is refused', () => {
  queue.offer(64);
  expectFault(/descriptor 64 of 64/);
  start();
  queue.put(0, { ...driver.room(1), flags: 3, next: 900 });
  queue.offer(0);
  expectFault(/descriptor 900 of 64/);
});

test('a buffer outside memory is refused', () => {
  for (const gpa of [0xfffff, 0x100000, 2 ** 40, 2 ** 63]) {
    start();
    queue.add([], [{ gpa, length: 2 }]);
    expectFault(/is not in memory/);
  }
});

test('a readable descriptor after a writable one is refused (2.7.4.2)', () => {
  queue.put(0, { ...driver.room(1), flags: 3, next: 1 });
  queue.put(1, driver.room(1));
  queue.offer(0);
  expectFault(/readable descriptor follows/);
});

test('an available index too far ahead is refused', () => {
  driver.memory.view.setUint16(queue.available + 2, 65, true);
  expectFault(/65 entries ahead/);
});

test('bad indirect tables are refused (2.7.5.3.1)', () => {
  const table = 0x50000;
  const cases: [bigint, number, number, number, RegExp][] = [
    [0n, table, 16, 4, /not agreed/],
    [INDIRECT, table, 16, 5, /has a next one/],
    [INDIRECT, table, 0, 4, /has 0 bytes/],
    [INDIRECT, table, 24, 4, /has 24 bytes/],
    [INDIRECT, 0xffff0, 32, 4, /table is not in memory/],
  ];
  for (const [features, gpa, length, flags, reason] of cases) {
    start(features);
    queue.put(0, { gpa, length, flags });
    queue.offer(0);
    expectFault(reason);
  }
  start(INDIRECT);
  queue.put(0, { gpa: table, length: 16, flags: 4 }, table);
  queue.put(0, { gpa: table, length: 16, flags: 4 });
  queue.offer(0);
  expectFault(/inside an indirect table/);
});

test('what the device cannot use is refused: an entropy request to read (5.4.6.1)', () => {
  queue.add([driver.room(4)], []);
  expectFault(/not a buffer to write/);
});

test('after a fault and a reset the device works again (2.1.2)', () => {
  queue.offer(64);
  expectFault(/64/);
  driver.start(VERSION_1);
  driver.queues[0].add([], [driver.room(4)]);
  driver.kick(0);
  expect(driver.queues[0].collect()).toEqual([{ id: 0, length: 4 }]);
});

test('open() refuses queues that are not in memory or misaligned (2.7)', () => {
  const memory = new FlatMemory(0x10000);
  const good = { index: 0, size: 8, nextAvailable: 0 };
  const open = (descriptors: number, available: number, used: number, size = 8): unknown =>
    SplitQueue.open(memory, { ...good, size, descriptors, available, used }, 0n);
  expect(open(0x1000, 0x2000, 0x3000)).toBeInstanceOf(SplitQueue);
  expect(open(0x1008, 0x2000, 0x3000)).toMatch(/descriptor table is not aligned to 16/);
  expect(open(0x1000, 0x2001, 0x3000)).toMatch(/available ring is not aligned to 2/);
  expect(open(0x1000, 0x2000, 0x3002)).toMatch(/used ring is not aligned to 4/);
  expect(open(0xffff0, 0x2000, 0x3000)).toMatch(/descriptor table is not in memory/);
  expect(open(0x1000, 0x2000, 0xffc0)).toMatch(/used ring is not in memory/);
  expect(open(0x1000, 0x2000, 0x3000, 12)).toMatch(/12 is no power of two/);
});

test('a queue that cannot be opened leaves the device needing a reset', () => {
  driver.negotiate(VERSION_1);
  driver.setUpQueue(0);
  driver.ports.write(driver.at.common + 0x1c, 2, 0);
  driver.negotiate(VERSION_1);
  driver.ports.write(driver.at.common + 0x16, 2, 0);
  driver.ports.write(driver.at.common + 0x24, 4, 1);
  driver.ports.write(driver.at.common + 0x1c, 2, 1);
  driver.status = 15;
  expect(driver.status).toBe(0x4f);
  expect(driver.device.front.fault).toMatch(/queue 0: the descriptor table/);
});
