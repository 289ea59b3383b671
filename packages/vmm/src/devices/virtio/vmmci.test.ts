// vmmci as its driver sees it: the ids, features and registers of vmd(8), by the legacy interface
// of virtio 0.9.5, section 2.2.2, at whose end the configuration is.
import { beforeEach, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { TimerQueue } from '../../bus/timers.ts';
import { TestDriver } from './test-driver.ts';
import { Vmmci } from './vmmci.ts';

const DRIVER_OK = 7;
const ISR_CONFIG = 2;
const CONFIG = 20;
const ACK = 2;
const SYNCRTC = 4;
const ALL = 7;
/** In the middle of a second, beyond what 32 bits of seconds hold. */
const EPOCH_MS = 2 ** 32 * 1000 + 7_250;

let clock: VirtualClock & { jumpMs: number };
let timers: TimerQueue;
let events: string[];
let vmmci: Vmmci;
let driver: TestDriver;
let bar: number;

class JumpingClock extends VirtualClock {
  jumpMs = 0;
  override wallMs(): number {
    return super.wallMs() + this.jumpMs;
  }
}

beforeEach(() => {
  clock = new JumpingClock(EPOCH_MS);
  timers = new TimerQueue();
  events = [];
  vmmci = new Vmmci(clock, timers, {
    acknowledged: () => void events.push('acknowledged'),
    powerOff: () => void events.push('off'),
  });
  driver = new TestDriver(() => vmmci.device, 'legacy');
  bar = driver.config(0x10, 4) & ~3;
});

const read = (register: number): number => driver.ports.read(bar + CONFIG + register, 4);
const write = (register: number, value: number): void =>
  driver.ports.write(bar + CONFIG + register, 4, value);
const isr = (): number => driver.ports.read(bar + 19, 1);

function attach(features: number): void {
  driver.ports.write(bar + 18, 1, 0);
  driver.ports.write(bar + 18, 1, 3);
  driver.ports.write(bar + 4, 4, features);
  driver.ports.write(bar + 18, 1, DRIVER_OK);
}

function pass(seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    clock.advance(1e9);
    timers.run(clock.now());
  }
}

test('the ids, class and features are vmd’s, and there are no queues', () => {
  expect(driver.config(0x00, 4)).toBe(0x07770b5d);
  expect(driver.config(0x2c, 4)).toBe(0xffff0b5d);
  expect(driver.config(0x08, 4)).toBe(0x07800000);
  expect(driver.ports.read(bar, 4)).toBe(ALL);
  expect(driver.config(0x34, 1)).toBe(0);
  driver.ports.write(bar + 14, 2, 0);
  expect(driver.ports.read(bar + 12, 2)).toBe(0);
});

test('a guest without a driver is not asked', () => {
  expect(vmmci.requestReboot()).toBe(false);
  driver.ports.write(bar + 18, 1, 3);
  expect(vmmci.requestReboot()).toBe(false);
  expect([driver.irq, read(0)]).toEqual([false, 0]);
});

test('a request is a change of the configuration, and is acknowledged by its command', () => {
  attach(ACK);
  expect(vmmci.requestReboot()).toBe(true);
  expect([driver.irq, isr(), driver.irq]).toEqual([true, ISR_CONFIG, false]);
  expect(read(0)).toBe(2);
  write(0, 1);
  expect(events).toEqual([]);
  write(0, 2);
  expect(events).toEqual(['acknowledged']);
  pass(10);
  expect(events).toEqual(['acknowledged']);
});

test('a driver that does not acknowledge is taken to have heard', () => {
  attach(0);
  expect(vmmci.requestReboot()).toBe(true);
  expect(events).toEqual(['acknowledged']);
});

test('a guest that shuts down by itself is off three seconds later, unless it is reset', () => {
  attach(ACK);
  write(0, 1);
  pass(2);
  expect(events).toEqual([]);
  pass(1);
  expect(events).toEqual(['off']);
  write(0, 1);
  driver.device.reset();
  pass(5);
  expect(events).toEqual(['off']);
});

test('the time is the wall clock’s when the low word of the seconds is read', () => {
  attach(ALL);
  expect([read(4), read(8), read(12), read(16)]).toEqual([7, 1, 250_000, 0]);
  clock.advance(1.5e9);
  expect([read(8), read(12)]).toEqual([1, 250_000]);
  expect([read(4), read(12)]).toEqual([8, 750_000]);
});

test('a jump of the host’s clock of more than five seconds has the guest read its clock', () => {
  attach(SYNCRTC | ACK);
  pass(3);
  clock.jumpMs = -4_000;
  pass(2);
  expect([driver.irq, read(0)]).toEqual([false, 0]);
  clock.jumpMs = 60_000;
  pass(1);
  expect([driver.irq, isr(), read(0)]).toEqual([true, ISR_CONFIG, 3]);
  write(0, 3);
  expect(read(0)).toBe(0);
  pass(10);
  expect(driver.irq).toBe(false);
});

test('a driver that does not know of jumps costs no timer', () => {
  attach(ACK);
  expect(timers.next()).toBe(Infinity);
  attach(SYNCRTC);
  expect(timers.next()).toBeLessThan(Infinity);
  driver.ports.write(bar + 18, 1, 0);
  expect(timers.next()).toBe(Infinity);
});

test('save() and load() carry a request, and the jump that lies between them is found', () => {
  attach(ALL);
  const idle = { card: driver.device.save(), own: vmmci.save() };
  vmmci.requestReboot();
  const asked = { card: driver.device.save(), own: vmmci.save() };
  driver.device.reset();
  expect(read(0)).toBe(0);
  driver.device.load(asked.card, 'the file');
  vmmci.load(asked.own, 'the file');
  expect([read(0), driver.irq]).toEqual([2, true]);
  write(0, 2);
  expect(events).toEqual(['acknowledged']);

  driver.device.reset();
  clock.jumpMs = 3_600_000;
  driver.device.load(idle.card, 'the file');
  vmmci.load(idle.own, 'the file');
  pass(1);
  expect(read(0)).toBe(3);
});
