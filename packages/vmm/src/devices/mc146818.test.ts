// From the MC146818 data sheet (ADI-1026R1); the CMOS layout from the IBM PC/AT Technical Reference
// and, for memory above 16 MiB, what SeaBIOS reads. Driven through ports 0x70 and 0x71.

import { beforeEach, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { PortBus } from '../bus/port-bus.ts';
import { TimerQueue } from '../bus/timers.ts';
import { Mc146818 } from './mc146818.ts';

/** Thursday. */
const START = Date.UTC(2024, 1, 29, 23, 59, 58);

let clock: VirtualClock;
let timers: TimerQueue;
let bus: PortBus;
let rtc: Mc146818;
let irq: boolean;
let interrupts: number;

function read(index: number): number {
  bus.write(0x70, 1, index);
  return bus.read(0x71, 1);
}
function write(index: number, value: number): void {
  bus.write(0x70, 1, index);
  bus.write(0x71, 1, value);
}
const time = (): number[] => [4, 2, 0].map(read);
const date = (): number[] => [0x32, 9, 8, 7, 6].map(read);

function pass(ms: number): void {
  const end = clock.now() + ms * 1e6;
  while (timers.next() <= end) {
    clock.advance(Math.max(0, timers.next() - clock.now()));
    timers.run(clock.now());
  }
  clock.advance(end - clock.now());
}

beforeEach(() => {
  clock = new VirtualClock(START);
  timers = new TimerQueue();
  bus = new PortBus();
  irq = false;
  interrupts = 0;
  const line = {
    set: (level: boolean): void => {
      if (level && !irq) interrupts++;
      irq = level;
    },
  };
  rtc = new Mc146818(clock, timers, line);
  bus.claim({ base: 0x70, size: 2, owner: rtc });
});

test('time and calendar are the wall clock in UTC, in BCD (Time, calendar and alarm)', () => {
  expect(read(0x0b)).toBe(0x02);
  expect(time()).toEqual([0x23, 0x59, 0x58]);
  expect(date()).toEqual([0x20, 0x24, 0x02, 0x29, 0x05]);
  pass(2000);
  expect(time()).toEqual([0, 0, 0]);
  expect(date()).toEqual([0x20, 0x24, 0x03, 0x01, 0x06]);
});

test('DM makes the registers binary, and 24/12 the hours of twelve (register B)', () => {
  write(0x0b, 0x06);
  expect(time()).toEqual([23, 59, 58]);
  write(0x0b, 0x04);
  expect(time()).toEqual([0x80 | 11, 59, 58]);
  write(0x0b, 0x00);
  expect(time()).toEqual([0x91, 0x59, 0x58]);
  pass(2000);
  expect(read(4)).toBe(0x12);
});

test('SET stops the time for being set; clearing it goes on from there (register B)', () => {
  write(0x0b, 0x82);
  pass(5000);
  expect(time()).toEqual([0x23, 0x59, 0x58]);
  for (const [index, value] of [0x30, 0x25, 0x11, 0x31, 0x12, 0x98, 0x19].entries()) {
    write([0, 2, 4, 7, 8, 9, 0x32][index], value);
  }
  write(0x0b, 0x02);
  expect(time()).toEqual([0x11, 0x25, 0x30]);
  expect(date()).toEqual([0x19, 0x98, 0x12, 0x31, 0x05]);
  pass(999);
  expect(read(0)).toBe(0x30);
  pass(1);
  expect(read(0)).toBe(0x31);
});

test('the divider’s reset stops the time and starts it half a second early (register A)', () => {
  write(0x0b, 0x82);
  write(0x0a, 0x76);
  write(0, 0x10);
  write(0x0b, 0x02);
  pass(3000);
  expect(read(0)).toBe(0x10);
  write(0x0a, 0x26);
  pass(499);
  expect(read(0)).toBe(0x10);
  pass(1);
  expect(read(0)).toBe(0x11);
});

test('UIP is set for 2228 us before each update, not with SET (figure 13)', () => {
  pass(990);
  expect(read(0x0a)).toBe(0x26);
  pass(8);
  expect(read(0x0a)).toBe(0xa6);
  write(0x0b, 0x82);
  expect(read(0x0a)).toBe(0x26);
  write(0x0b, 0x02);
  pass(999);
  expect(read(0x0a)).toBe(0xa6);
  pass(1);
  expect(read(0x0a)).toBe(0x26);
});

test('the periodic interrupt has the rates of table 5, exactly in the long run', () => {
  for (const [rate, hz] of [
    [6, 1024],
    [3, 8192],
    [15, 2],
    [1, 256],
    [2, 128],
  ] as const) {
    write(0x0a, 0x20 | rate);
    write(0x0b, 0x42);
    read(0x0c);
    interrupts = 0;
    const end = clock.now() + 2e9;
    while (timers.next() < end) {
      clock.advance(timers.next() - clock.now());
      timers.run(clock.now());
      expect(read(0x0c) & 0xc0).toBe(0xc0);
    }
    clock.advance(end - clock.now());
    expect(Math.abs(interrupts - 2 * hz)).toBeLessThanOrEqual(1);
    write(0x0b, 0x02);
  }
});

test('register C is cleared by reading, which lowers IRQ; pending ones do not repeat', () => {
  write(0x0b, 0x42);
  read(0x0c);
  pass(100);
  expect(interrupts).toBe(1);
  expect(irq).toBe(true);
  expect(read(0x0c) & 0xc0).toBe(0xc0);
  expect(irq).toBe(false);
});

test('flags are set without their enables (register C)', () => {
  read(0x0c);
  pass(1500);
  expect(read(0x0c)).toBe(0x50);
  expect(read(0x0c)).toBe(0);
  expect(interrupts).toBe(0);
});

test('the update-ended interrupt comes once a second (register B, UIE)', () => {
  read(0x0c);
  write(0x0b, 0x12);
  for (let second = 1; second <= 3; second++) {
    pass(1000.1);
    expect(interrupts).toBe(second);
    expect(read(0x0c) & 0x90).toBe(0x90);
  }
});

test('SET clears UIE (register B)', () => {
  write(0x0b, 0x92);
  expect(read(0x0b)).toBe(0x82);
});

test('the alarm matches bytes, with 0xC0-0xFF for anything (Alarm)', () => {
  write(1, 0x05);
  write(3, 0xff);
  write(5, 0xc0);
  read(0x0c);
  write(0x0b, 0x22);
  pass(6900);
  expect(interrupts).toBe(0);
  pass(101);
  expect(interrupts).toBe(1);
  expect(read(0x0c) & 0xa0).toBe(0xa0);
  pass(59000);
  expect(interrupts).toBe(1);
  pass(1001);
  expect(interrupts).toBe(2);
});

test('register D says that time and RAM are valid, and is read-only', () => {
  write(0x0d, 0);
  expect(read(0x0d)).toBe(0x80);
});

test('setMemory() tells the sizes where firmware and kernels look', () => {
  const GiB = 2 ** 30;
  rtc.setMemory({ base: 640 * 1024, extended: 3 * GiB - 2 ** 20, above4GiB: 5 * GiB });
  const word = (index: number): number => read(index) | (read(index + 1) << 8);
  expect(word(0x15)).toBe(640);
  expect(word(0x17)).toBe(0xffff);
  expect(word(0x30)).toBe(0xffff);
  expect(word(0x34) * 65536).toBe(3 * GiB - 16 * 2 ** 20);
  expect((word(0x5b) | (read(0x5d) << 16)) * 65536).toBe(5 * GiB);
  rtc.setMemory({ base: 636 * 1024, extended: 7 * 2 ** 20, above4GiB: 0 });
  expect([word(0x15), word(0x17), word(0x34)]).toEqual([636, 7 * 1024, 0]);
  let sum = 0;
  for (let index = 0x10; index < 0x2e; index++) sum += read(index);
  expect((read(0x2e) << 8) | read(0x2f)).toBe(sum);
});

test('the CMOS keeps what is written, over a reset; the index carries the NMI mask', () => {
  write(0x8f, 0x0a);
  expect(rtc.nmiMasked).toBe(true);
  write(0x0b, 0x72);
  rtc.reset();
  expect(rtc.nmiMasked).toBe(false);
  expect(read(0x0f)).toBe(0x0a);
  expect(read(0x0b)).toBe(0x02);
});

test('load() keeps what the guest set the clock ahead', () => {
  write(9, 0x30);
  const state = structuredClone(rtc.save());
  const later = new VirtualClock(START + 3600_000);
  const restored = new Mc146818(later, new TimerQueue(), { set: () => {} });
  restored.load(state, 'mc146818');
  const other = new PortBus();
  other.claim({ base: 0x70, size: 2, owner: restored });
  const readOther = (index: number): number => {
    other.write(0x70, 1, index);
    return other.read(0x71, 1);
  };
  // 2030 has no 29 February: the clock stands at 1 March, and an hour later at the 2nd.
  expect([9, 8, 7, 4].map(readOther)).toEqual([0x30, 0x03, 0x02, 0x00]);
});
