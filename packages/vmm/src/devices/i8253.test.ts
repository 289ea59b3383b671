// From the 8254 data sheet (231164-005): "Mode definitions" with its timing diagrams, "Programming
// the 8254", and for port 0x61 the 82371AB (PIIX4) data sheet, section 4.2.1.

import { beforeEach, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { PortBus } from '../bus/port-bus.ts';
import { TimerQueue } from '../bus/timers.ts';
import { I8253, PIT_HZ } from './i8253.ts';

let clock: VirtualClock;
let timers: TimerQueue;
let bus: PortBus;
let pit: I8253;
/** The ticks at which IRQ 0 rose. */
let edges: number[];
let level: boolean;
let tick: number;

const out = (port: number, value: number): void => bus.write(port, 1, value);
const inb = (port: number): number => bus.read(port, 1);

/** Goes to an absolute tick of the input clock, firing timers on the way as they fall due. */
function goTo(target: number): void {
  const end = ((target + 0.5) * 1e9) / PIT_HZ;
  while (timers.next() <= end) {
    clock.advance(timers.next() - clock.now());
    timers.run(clock.now());
  }
  clock.advance(end - clock.now());
  tick = target;
}
const go = (ticks: number): void => goTo(tick + ticks);

function program(counter: number, rw: number, mode: number, count: number, bcd = 0): void {
  out(0x43, (counter << 6) | (rw << 4) | (mode << 1) | bcd);
  write(counter, rw, count);
}
function write(counter: number, rw: number, count: number): void {
  if (rw !== 2) out(0x40 + counter, count & 0xff);
  if (rw !== 1) out(0x40 + counter, count >> 8);
}
function count(counter: number): number {
  out(0x43, counter << 6);
  const low = inb(0x40 + counter);
  return low | (inb(0x40 + counter) << 8);
}
function status(counter: number): number {
  out(0x43, 0xe0 | (2 << counter));
  return inb(0x40 + counter);
}
/** OUT of a counter over so many ticks, as a string of 0 and 1. */
function wave(counter: number, ticks: number): string {
  let levels = '';
  for (let i = 0; i < ticks; i++) {
    levels += (status(counter) & 0x80) === 0 ? '0' : '1';
    go(1);
  }
  return levels;
}

beforeEach(() => {
  clock = new VirtualClock();
  timers = new TimerQueue();
  bus = new PortBus();
  edges = [];
  level = false;
  const irq0 = {
    set: (next: boolean): void => {
      if (next && !level) edges.push(Math.round((clock.now() * PIT_HZ) / 1e9 - 0.25));
      level = next;
    },
  };
  pit = new I8253(clock, timers, irq0);
  bus.claim({ base: 0x40, size: 4, owner: pit });
  bus.claim({ base: 0x61, size: 1, owner: pit.portB });
  pit.reset();
  tick = 0;
  goTo(100);
});

test('mode 0 raises OUT N + 1 clocks after the count is written, and keeps it (mode 0)', () => {
  program(0, 1, 0, 4);
  expect(wave(0, 8)).toBe('00000111');
  expect(edges).toEqual([105]);
  go(70000);
  expect(edges).toEqual([105]);
});

test('mode 0 starts over with a new count, at its last byte (mode 0)', () => {
  program(0, 3, 0, 1000);
  go(500);
  out(0x40, 10);
  go(2000);
  expect(status(0) & 0x80).toBe(0);
  out(0x40, 0);
  go(12);
  expect(edges).toEqual([2611]);
});

test('mode 0 with count 0 is 65536, and counting goes on below zero (mode 0)', () => {
  program(0, 3, 0, 0);
  go(1);
  expect(count(0)).toBe(0);
  go(1);
  expect(count(0)).toBe(0xffff);
  go(65535);
  expect(edges).toEqual([100 + 65537]);
  go(3);
  expect(count(0)).toBe(0xfffd);
});

test('the gate of counter 2 holds mode 0, and port 0x61 shows its output (mode 0; PIIX4)', () => {
  out(0x61, 0);
  program(2, 3, 0, 100);
  go(50);
  expect(count(2)).toBe(100);
  out(0x61, 1);
  go(40);
  expect(count(2)).toBe(60);
  out(0x61, 0);
  go(1000);
  expect(count(2)).toBe(60);
  out(0x61, 1);
  go(59);
  expect(inb(0x61) & 0x20).toBe(0);
  go(1);
  expect(inb(0x61) & 0x20).toBe(0x20);
});

test('mode 1 gives a pulse of N clocks at each rise of the gate, retriggerable (mode 1)', () => {
  out(0x61, 0);
  program(2, 1, 1, 3);
  expect(wave(2, 3)).toBe('111');
  out(0x61, 1);
  expect(wave(2, 6)).toBe('100011');
  out(0x61, 0);
  out(0x61, 1);
  go(2);
  out(0x61, 0);
  out(0x61, 1);
  expect(wave(2, 5)).toBe('00001');
});

test('mode 2 lowers OUT for the last clock of each period (mode 2)', () => {
  program(0, 1, 2, 3);
  go(1);
  expect(wave(0, 9)).toBe('110110110');
  expect(edges.slice(-3)).toEqual([104, 107, 110]);
  expect(status(0) & 0x80).toBe(0x80);
  expect(inb(0x40)).toBe(3);
});

test('mode 2 takes a new count at the end of the period (mode 2)', () => {
  program(0, 1, 2, 5);
  go(3);
  write(0, 1, 3);
  go(12);
  // Programming raised OUT once; then periods of 5, 3, 3, 3.
  expect(edges).toEqual([100, 106, 109, 112, 115]);
});

test('mode 2 keeps 100 Hz exact over the long run', () => {
  program(0, 3, 2, 11932);
  edges.length = 0;
  goTo(100 + 1 + 11932 * 2000);
  expect(edges.length).toBe(2000);
  expect(edges.at(-1)).toBe(101 + 11932 * 2000);
});

test('mode 2 merges the edges of a time when the machine stood still', () => {
  program(0, 3, 2, 1000);
  edges.length = 0;
  clock.advance((3500 * 1e9) / PIT_HZ);
  timers.run(clock.now());
  expect(edges.length).toBe(1);
  expect(pit.mergedEdges).toBe(2);
  tick = 3600;
  goTo(4101);
  expect(edges.slice(1)).toEqual([4101]);
});

test('mode 2 stops with the gate, and starts a period when it rises (mode 2)', () => {
  out(0x61, 1);
  program(2, 3, 2, 100);
  go(31);
  expect(count(2)).toBe(70);
  out(0x61, 0);
  go(500);
  expect(count(2)).toBe(70);
  expect(inb(0x61) & 0x20).toBe(0x20);
  out(0x61, 1);
  go(11);
  expect(count(2)).toBe(90);
});

test('mode 3 is high for half of an even count, one clock more of an odd one (mode 3)', () => {
  out(0x61, 1);
  program(2, 1, 3, 4);
  go(1);
  expect(wave(2, 8)).toBe('11001100');
  program(2, 1, 3, 5);
  go(1);
  expect(wave(2, 10)).toBe('1110011100');
});

test('mode 3 counts by two (mode 3, figure 18)', () => {
  program(0, 3, 3, 5);
  go(1);
  const counts: number[] = [];
  for (let i = 0; i < 6; i++) {
    counts.push(count(0));
    go(1);
  }
  expect(counts).toEqual([4, 2, 0, 4, 2, 4]);
});

test('mode 3 takes a new count at the end of the half cycle (mode 3)', () => {
  program(0, 1, 3, 8);
  go(2);
  write(0, 1, 4);
  go(14);
  // High 101-105, then low and high halves of two: rises at 107, 111, 115.
  expect(edges).toEqual([100, 107, 111, 115]);
});

test('mode 4 strobes once, N + 1 clocks after each count: a one-shot timer (mode 4)', () => {
  program(0, 3, 4, 10);
  expect(edges).toEqual([100]);
  go(9);
  expect(wave(0, 4)).toBe('1101');
  expect(edges).toEqual([100, 112]);
  write(0, 3, 20);
  go(10);
  write(0, 3, 50);
  go(51);
  expect(edges).toEqual([100, 112]);
  go(70000);
  expect(edges).toEqual([100, 112, 113 + 10 + 52]);
});

test('mode 5 strobes after a rise of the gate (mode 5)', () => {
  out(0x61, 0);
  program(2, 1, 5, 3);
  expect(wave(2, 3)).toBe('111');
  out(0x61, 1);
  expect(wave(2, 7)).toBe('1111011');
});

test('BCD counts in decimal (Control word, BCD)', () => {
  program(0, 3, 0, 0x1000, 1);
  go(2);
  expect(count(0)).toBe(0x0999);
  program(0, 3, 0, 0, 1);
  go(2);
  expect(count(0)).toBe(0x9999);
});

test('modes 6 and 7 are 2 and 3 (Control word, M2-M0)', () => {
  program(0, 1, 7, 100);
  expect(status(0) & 0x0e).toBe(0x06);
});

test('a latched count holds until it is read (Counter latch command)', () => {
  program(0, 3, 2, 0x5678);
  go(1);
  out(0x43, 0x00);
  go(0x300);
  out(0x43, 0x00);
  expect([inb(0x40), inb(0x40)]).toEqual([0x78, 0x56]);
  expect([inb(0x40), inb(0x40)]).toEqual([0x78, 0x53]);
});

test('LSB and MSB access reads that byte alone (Control word, RW)', () => {
  program(0, 2, 2, 0x1200);
  go(1);
  expect([inb(0x40), inb(0x40)]).toEqual([0x12, 0x12]);
  program(0, 1, 2, 0x34);
  go(1);
  expect([inb(0x40), inb(0x40)]).toEqual([0x34, 0x34]);
});

test('read-back latches status and count of several counters (Read-back command)', () => {
  out(0x61, 1);
  program(0, 3, 2, 0x1000);
  program(2, 3, 0, 0x2000);
  expect(status(0) & 0x7f).toBe(0x74);
  go(1);
  out(0x43, 0xca);
  go(100);
  expect([inb(0x40), inb(0x40), inb(0x40)]).toEqual([0xb4, 0x00, 0x10]);
  expect([inb(0x42), inb(0x42), inb(0x42)]).toEqual([0x30, 0x00, 0x20]);
});

test('port 0x61 keeps its low bits and toggles refresh about every 15 us (PIIX4)', () => {
  out(0x61, 0xff);
  expect(inb(0x61) & 0xcf).toBe(0x0f);
  let toggles = 0;
  let last = inb(0x61) & 0x10;
  for (let i = 0; i < 1000; i++) {
    clock.advance(1000);
    const now = inb(0x61) & 0x10;
    if (now !== last) toggles++;
    last = now;
  }
  expect(toggles).toBeGreaterThan(64);
  expect(toggles).toBeLessThan(68);
});

test('load() goes on where save() was', () => {
  program(0, 3, 2, 1000);
  go(300);
  out(0x43, 0);
  const state = structuredClone(pit.save());
  pit.reset();
  go(100);
  edges.length = 0;
  pit.load(state, 'i8253');
  expect(inb(0x40) | (inb(0x40) << 8)).toBe(701);
  expect(count(0)).toBe(601);
  goTo(2200);
  expect(edges).toEqual([1101, 2101]);
});
