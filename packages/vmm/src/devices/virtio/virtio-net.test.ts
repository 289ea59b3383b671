// From virtio 1.2, section 5.1.

import { expect, test } from 'vitest';
import type { NetBackend } from '../net-backend.ts';
import { TestDriver } from './test-driver.ts';
import { VirtioNetBackend, virtioNet } from './virtio-net.ts';

const VERSION_1 = 1n << 32n;
const MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);
const FEATURES = VERSION_1 | (1n << 5n) | (1n << 16n);

/** A network that keeps what it is sent. */
class Wire implements NetBackend {
  readonly sent: number[][] = [];
  deliver: ((frame: Uint8Array) => void) | undefined;

  send(frame: Uint8Array): void {
    this.sent.push([...frame]);
  }
  onReceive(deliver: ((frame: Uint8Array) => void) | undefined): void {
    this.deliver = deliver;
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
  expect(wire.deliver).toBeUndefined();
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
  wire.deliver!(frame(64, 9));
  expect(driver.queues[0].collect()).toEqual([{ id: 0, length: 76 }]);
  const header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
  expect(driver.bytes(room).slice(0, 77)).toEqual([...header, ...frame(64, 9), 0xee]);
  expect(driver.isr()).toBe(1);
});

test('frames wait for buffers up to a limit, then are dropped', () => {
  const { driver, backend, wire } = setUp();
  backend.attach(wire);
  wire.deliver!(frame(60, 0));
  expect(backend.droppedFrames).toBe(1);
  driver.start(FEATURES);
  for (let i = 1; i <= 70; i++) wire.deliver!(frame(60, i));
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
  wire.deliver!(frame(20, 4));
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
    wire.deliver!(frame(60, 1));
    expect(driver.status & 0x40).toBe(0x40);
  }
});
