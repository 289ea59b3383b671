// From virtio 1.2, section 5.4.

import { expect, test } from 'vitest';
import { TestDriver } from './test-driver.ts';
import { virtioRng } from './virtio-rng.ts';

const VERSION_1 = 1n << 32n;

function makeDriver(kind?: 'modern' | 'legacy'): TestDriver {
  const entropy = { fill: (bytes: Uint8Array) => void bytes.fill(0x5a) };
  return new TestDriver((memory) => virtioRng(memory, entropy), kind);
}

test('virtioRng() has the ids of vmd’s viornd and one queue of 64', () => {
  const driver = makeDriver('modern');
  expect(driver.config(0, 4)).toBe(0x10441af4);
  expect(driver.config(0x2c, 4)).toBe(0x00040b5d);
  expect(driver.at.device).toBe(0);
  driver.start(VERSION_1);
  expect(driver.ports.read(driver.at.common + 0x12, 2)).toBe(1);
  expect(driver.ports.read(driver.at.common + 0x18, 2)).toBe(64);
});

test('requests that wait are all filled at one notification', () => {
  const driver = makeDriver();
  driver.start(VERSION_1);
  const rooms = [driver.room(8), driver.room(100)];
  for (const room of rooms) driver.queues[0].add([], [room]);
  driver.kick(0);
  expect(driver.queues[0].collect().map((it) => it.length)).toEqual([8, 100]);
  for (const room of rooms) expect(driver.bytes(room).every((it) => it === 0x5a)).toBe(true);
});

test('a request gets 64 KiB at most', () => {
  const driver = makeDriver();
  driver.start(VERSION_1);
  const room = driver.room(70000);
  driver.queues[0].add([], [room]);
  driver.kick(0);
  expect(driver.queues[0].collect()).toEqual([{ id: 0, length: 65536 }]);
  expect(driver.bytes(room).slice(65536)).toEqual(new Array(70000 - 65536).fill(0xee));
});
