// From virtio 1.2, section 5.1.

import { expect, test } from 'vitest';
import type { NetBackend, NetReceiver, Unfinished } from '../net-backend.ts';
import { TestDriver } from './test-driver.ts';
import { VirtioNetBackend, virtioNet } from './virtio-net.ts';

const VERSION_1 = 1n << 32n;
const MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);
const FEATURES = VERSION_1 | (1n << 5n) | (1n << 16n);

/** A network that keeps what it is sent. */
class Wire implements NetBackend {
  readonly sent: number[][] = [];
  readonly unfinished: (Unfinished | undefined)[] = [];
  readonly offloads: boolean;
  readonly checksumsHold: boolean;
  card: NetReceiver | undefined;
  flushes = 0;
  resumes = 0;

  constructor(offloads = false) {
    this.offloads = offloads;
    this.checksumsHold = offloads;
  }

  send(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    this.sent.push([...frame]);
    this.unfinished.push(unfinished && { ...unfinished });
  }
  flush(): void {
    this.flushes++;
  }
  resume(): void {
    this.resumes++;
  }
  attach(card: NetReceiver | undefined): void {
    this.card = card;
  }
  deliver(frame: Uint8Array, segmentBytes = 0): void {
    const unfinished = { checksumStart: 34, checksumOffset: 16, segmentBytes };
    this.card!.receive(frame, segmentBytes === 0 ? undefined : unfinished);
  }
}

function setUp(): { driver: TestDriver; backend: VirtioNetBackend; wire: Wire } {
  let backend!: VirtioNetBackend;
  const driver = new TestDriver((memory) => {
    backend = new VirtioNetBackend(memory);
    return virtioNet('vio0', MAC, backend);
  });
  return { driver, backend, wire: new Wire() };
}

const frame = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

test('the device has vmd’s ids, two queues, and shows its MAC (5.1.2, 5.1.4)', () => {
  const { driver } = setUp();
  expect(driver.config(0, 4)).toBe(0x10001af4);
  expect(driver.config(0x2c, 4)).toBe(0x00010b5d);
  expect(driver.offered() & 0xffffffn).toBe((1n << 5n) | (1n << 16n));
  const mac = [0, 1, 2, 3, 4, 5].map((index) => driver.ports.read(driver.at.device + index, 1));
  expect(mac).toEqual([...MAC]);
  driver.start(FEATURES);
  expect(driver.queues.map((queue) => queue.size)).toEqual([256, 256]);
});

test('the link is down until a network is attached, and says so (5.1.4.2)', () => {
  const { driver, backend, wire } = setUp();
  const status = (): number => driver.ports.read(driver.at.device + 6, 2);
  driver.start(FEATURES);
  expect(status()).toBe(0);
  backend.attach(wire);
  expect(driver.isr()).toBe(2);
  expect(status()).toBe(1);
  driver.status = 0;
  driver.device.reset();
  expect(status()).toBe(1);
  driver.start(FEATURES);
  backend.attach(undefined);
  expect(driver.isr()).toBe(2);
  expect(status()).toBe(0);
  expect(wire.card).toBeUndefined();
});

test('a network attached before the machine runs is up at once', () => {
  const backend = { current: undefined as VirtioNetBackend | undefined };
  const driver = new TestDriver((memory) => {
    backend.current = new VirtioNetBackend(memory);
    backend.current.attach(new Wire());
    return virtioNet('vio0', MAC, backend.current);
  });
  expect(driver.ports.read(driver.at.device + 6, 2)).toBe(1);
});

test('frames are sent without their header, from buffers cut anywhere (5.1.6.2)', () => {
  const { driver, backend, wire } = setUp();
  backend.attach(wire);
  driver.start(FEATURES);
  const whole = [...new Uint8Array(12), ...frame(60, 7)];
  driver.queues[1].add([driver.buffer(whole.slice(0, 20)), driver.buffer(whole.slice(20))], []);
  driver.queues[1].add([driver.buffer(new Uint8Array(12)), driver.buffer(frame(14, 8))], []);
  driver.kick(1);
  expect(wire.sent).toEqual([[...frame(60, 7)], [...frame(14, 8)]]);
  expect(driver.queues[1].collect().map((it) => it.length)).toEqual([0, 0]);
});

test('without a network frames go nowhere, and the buffers come back', () => {
  const { driver } = setUp();
  driver.start(FEATURES);
  driver.queues[1].add([driver.buffer(new Uint8Array(72))], []);
  driver.kick(1);
  expect(driver.queues[1].collect().length).toBe(1);
});

test('frames received have a header that says one buffer (5.1.6.4)', () => {
  const { driver, backend, wire } = setUp();
  backend.attach(wire);
  driver.start(FEATURES);
  const room = driver.room(1526);
  driver.queues[0].add([], [room]);
  wire.deliver(frame(64, 9));
  expect(driver.queues[0].collect()).toEqual([{ id: 0, length: 76 }]);
  const header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
  expect(driver.bytes(room).slice(0, 77)).toEqual([...header, ...frame(64, 9), 0xee]);
  expect(driver.isr()).toBe(1);
});

test('frames wait for buffers up to a limit, then are dropped', () => {
  const { driver, backend, wire } = setUp();
  backend.attach(wire);
  wire.deliver(frame(60, 0));
  expect(backend.droppedFrames).toBe(1);
  driver.start(FEATURES);
  for (let i = 1; i <= 70; i++) wire.deliver(frame(60, i));
  expect(backend.droppedFrames).toBe(7);
  const rooms = Array.from({ length: 100 }, () => driver.room(80));
  for (const room of rooms) driver.queues[0].add([], [room]);
  driver.kick(0);
  expect(driver.queues[0].collect().length).toBe(64);
  expect([0, 63].map((index) => driver.bytes(rooms[index])[12])).toEqual([1, 64]);
});

test('a legacy driver has headers of ten bytes (5.1.6.1)', () => {
  const { driver, backend, wire } = setUp();
  backend.attach(wire);
  const { common } = driver.at;
  driver.status = 3;
  driver.setUpQueue(0);
  driver.setUpQueue(1);
  driver.ports.write(common + 12, 4, 1 << 5);
  driver.status = 7;
  driver.queues[1].add([driver.buffer([...new Uint8Array(10), ...frame(20, 3)])], []);
  driver.kick(1);
  expect(wire.sent).toEqual([[...frame(20, 3)]]);
  const room = driver.room(30);
  driver.queues[0].add([], [room]);
  wire.deliver(frame(20, 4));
  expect(driver.bytes(room)).toEqual([...new Uint8Array(10), ...frame(20, 4)]);
});

test('a frame without header, or a buffer too small, needs a reset', () => {
  for (const queue of [0, 1]) {
    const { driver, backend, wire } = setUp();
    backend.attach(wire);
    driver.start(FEATURES);
    if (queue === 1) driver.queues[1].add([driver.room(11)], []);
    else driver.queues[0].add([], [driver.room(71)]);
    driver.kick(queue);
    wire.deliver(frame(60, 1));
    expect(driver.status & 0x40).toBe(0x40);
  }
});

// Features by their numbers in section 5.1.3.
const OFFLOADS = [0n, 1n, 7n, 8n, 11n, 12n, 15n].reduce((all, bit) => all | (1n << bit), 0n);

/** A device whose network takes unfinished frames, with these features agreed. */
function setUpOffloads(features: bigint): { driver: TestDriver; wire: Wire } {
  const wire = new Wire(true);
  const driver = new TestDriver((memory) => {
    const backend = new VirtioNetBackend(memory);
    backend.attach(wire);
    return virtioNet('vio0', MAC, backend);
  });
  driver.start(features);
  return { driver, wire };
}

test('offloads are offered when the network can do with unfinished frames, and only then', () => {
  expect(setUpOffloads(FEATURES).driver.offered() & OFFLOADS).toBe(OFFLOADS);
  expect(setUp().driver.offered() & OFFLOADS).toBe(0n);
});

test('the network is told which frames lack a checksum (5.1.6.2), and when a batch ends', () => {
  const { driver, wire } = setUpOffloads(FEATURES | OFFLOADS);
  for (const flags of [1, 0]) {
    const header = [flags, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0];
    driver.queues[1].add([driver.buffer([...header, ...frame(60, 7)])], []);
  }
  driver.kick(1);
  const lacks = { checksumStart: 34, checksumOffset: 16, segmentBytes: 0 };
  expect(wire.unfinished).toEqual([lacks, undefined]);
  expect(wire.flushes).toBe(1);
});

/** A TCP segment with `payload` bytes over IPv4 without options: a header of 54 bytes. */
function segment(payload: number): Uint8Array {
  const bytes = frame(54 + payload, 1);
  bytes[14] = 0x45;
  bytes[14 + 20 + 12] = 0x50;
  return bytes;
}

test('a large segment is described, and spread over buffers that the driver sees at once', () => {
  const { driver, wire } = setUpOffloads(FEATURES | OFFLOADS);
  const rooms = Array.from({ length: 3 }, () => driver.room(1500));
  for (const room of rooms.slice(0, 2)) driver.queues[0].add([], [room]);
  const large = segment(3500);
  wire.deliver(large, 1460);
  // Two buffers are not enough for 12 + 54 + 3500 bytes.
  expect(driver.queues[0].collect()).toEqual([]);
  driver.queues[0].add([], [rooms[2]]);
  driver.kick(0);
  expect(driver.queues[0].collect().map((it) => it.length)).toEqual([1500, 1500, 566]);
  // NEEDS_CSUM, TCPV4, 54 bytes of headers, segments of 1460, checksum at 34 + 16, 3 buffers.
  const header = [1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0, 3, 0];
  const all = rooms.flatMap((room) => driver.bytes(room)).slice(0, 12 + large.length);
  expect(all).toEqual([...header, ...large]);
});

test('a small segment needs its checksum only, and a finished frame nothing', () => {
  const { driver, wire } = setUpOffloads(FEATURES | OFFLOADS);
  const rooms = [driver.room(200), driver.room(200)];
  for (const room of rooms) driver.queues[0].add([], [room]);
  wire.deliver(segment(100), 1460);
  wire.deliver(segment(100), 0);
  expect(driver.bytes(rooms[0]).slice(0, 12)).toEqual([1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0]);
  expect(driver.bytes(rooms[1]).slice(0, 12)).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
});

test('a card takes large frames only as agreed, and is full while many frames wait', () => {
  const { driver, wire } = setUpOffloads(FEATURES | 2n | (1n << 7n));
  expect([4, 6].map((version) => wire.card!.takesLargeFrames(version))).toEqual([true, false]);
  for (let i = 0; i < 16; i++) {
    expect(wire.card!.full).toBe(false);
    wire.deliver(frame(60, i));
  }
  expect(wire.card!.full).toBe(true);
  for (const resumes of [0, 1]) {
    for (let i = 0; i < 8; i++) driver.queues[0].add([], [driver.room(80)]);
    driver.kick(0);
    expect(wire.card!.full).toBe(false);
    expect(wire.resumes).toBe(resumes);
  }
});
