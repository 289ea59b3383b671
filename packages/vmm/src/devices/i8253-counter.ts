// One counter of an Intel 8254. Follows the 8254 data sheet (231164-005), "Mode definitions" and
// "Programming the 8254". Nothing ticks here: the count and OUT are functions of the time since the
// counting element was loaded. A count loads at the first clock after it is written, so that OUT in
// mode 0 rises N + 1 clocks after the write, as the data sheet's timing diagrams have it.

import { flag, list, type SavedValue, savedFields, u8, u53, whole } from '../base/saved-state.ts';

const STATUS_OUT = 0x80;
const STATUS_NULL_COUNT = 0x40;

/** The RW field of a control word: which bytes of the count are written and read. */
const RW = { LATCH: 0, LSB: 1, MSB: 2, BOTH: 3 } as const;

const MODE = {
  INTERRUPT_ON_TERMINAL_COUNT: 0,
  ONE_SHOT: 1,
  RATE_GENERATOR: 2,
  SQUARE_WAVE: 3,
  SOFTWARE_STROBE: 4,
  HARDWARE_STROBE: 5,
} as const;

/** What a suspension keeps of {@link Counter}; times are ticks of PIT_HZ. */
const COUNTER_STATE = savedFields({
  mode: whole(0, 5),
  rw: whole(1, 3),
  bcd: flag,
  gate: flag,
  count: whole(1, 0x10000),
  start: u53,
  heldAt: u53,
  next: u53,
  nextAt: u53,
  lowByte: u53,
  readHigh: flag,
  latch: list(u8, 0, 2),
  latchedStatus: u53,
});

/** A tick that never comes, and "none" for what has no value; a whole number, unlike Infinity. */
export const NEVER: number = Number.MAX_SAFE_INTEGER;

/** One of the three counters. Times are whole ticks of the input clock, counted from power-on. */
export class Counter {
  private mode = 0;
  private rw: number = RW.BOTH;
  private bcd = false;
  private gate: boolean;
  private readonly gateAtReset: boolean;
  /** The count being counted down, 1..65536. */
  private count = 0x10000;
  /** When `count` was in the counting element; NEVER while nothing is being counted. */
  private start = NEVER;
  /** In modes 0 and 4, where counting stopped because the gate went low. */
  private heldAt = NEVER;
  /** A count written while another is being counted, or waiting for a trigger. */
  private next = NEVER;
  /** When `next` takes over; NEVER when it waits for the gate. */
  private nextAt = NEVER;
  /** The first of two bytes of a count being written. */
  private lowByte = NEVER;
  /** True when the second of two bytes is read next. */
  private readHigh = false;
  /** Latched bytes of the count still to be read. */
  private latch: number[] = [];
  private latchedStatus = NEVER;

  constructor(gate: boolean) {
    this.gate = this.gateAtReset = gate;
  }

  /** Not programmed: nothing is counted, OUT is low. */
  reset(): void {
    this.gate = this.gateAtReset;
    this.control(RW.BOTH << 4, 0);
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return COUNTER_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    COUNTER_STATE.load(this, saved, where);
  }

  /** A control word for this counter. */
  control(value: number, now: number): void {
    const rw = (value >> 4) & 3;
    if (rw === RW.LATCH) {
      this.latchCount(now);
      return;
    }
    this.rw = rw;
    const mode = (value >> 1) & 7;
    // Modes 6 and 7 are 2 and 3: bit 2 is a don't-care there.
    this.mode = mode > 5 ? mode - 4 : mode;
    this.bcd = (value & 1) !== 0;
    this.start = this.heldAt = this.next = this.nextAt = this.lowByte = NEVER;
    this.readHigh = false;
    this.latch = [];
    this.latchedStatus = NEVER;
  }

  /** A byte of a count. */
  write(value: number, now: number): void {
    if (this.rw === RW.BOTH && this.lowByte === NEVER) {
      this.lowByte = value;
      // In mode 0 the first byte stops the counting and lowers OUT (data sheet, mode 0).
      if (this.mode === MODE.INTERRUPT_ON_TERMINAL_COUNT) this.start = NEVER;
      return;
    }
    let written = value;
    if (this.rw === RW.MSB) written = value << 8;
    else if (this.rw === RW.BOTH) written = this.lowByte | (value << 8);
    this.lowByte = NEVER;
    this.loadCount(this.decode(written), now);
  }

  /** Reads the next byte: latched status, latched count, or the count as it stands. */
  read(now: number): number {
    if (this.latchedStatus !== NEVER) {
      const status = this.latchedStatus;
      this.latchedStatus = NEVER;
      return status;
    }
    const latched = this.latch.shift();
    if (latched !== undefined) return latched;
    const value = this.value(now);
    if (this.rw === RW.LSB) return value & 0xff;
    if (this.rw === RW.MSB) return value >> 8;
    this.readHigh = !this.readHigh;
    return this.readHigh ? value & 0xff : value >> 8;
  }

  /** Holds the count until it is read; a second latch before that changes nothing. */
  latchCount(now: number): void {
    if (this.latch.length > 0) return;
    const value = this.value(now);
    if (this.rw !== RW.MSB) this.latch.push(value & 0xff);
    if (this.rw !== RW.LSB) this.latch.push(value >> 8);
  }

  /** Holds the status byte (read-back command) until it is read. */
  latchStatus(now: number): void {
    if (this.latchedStatus !== NEVER) return;
    const out = this.output(now) ? STATUS_OUT : 0;
    const loaded = this.next === NEVER && this.start !== NEVER && this.start <= now;
    const nullCount = loaded ? 0 : STATUS_NULL_COUNT;
    const programmed = (this.rw << 4) | (this.mode << 1) | (this.bcd ? 1 : 0);
    this.latchedStatus = out | nullCount | programmed;
  }

  /** Drives the GATE input. */
  setGate(level: boolean, now: number): void {
    if (level === this.gate) return;
    this.sync(now);
    this.gate = level;
    switch (this.mode) {
      case MODE.INTERRUPT_ON_TERMINAL_COUNT:
      case MODE.SOFTWARE_STROBE:
        if (!level) this.heldAt = this.start === NEVER ? now : Math.max(now, this.start);
        else {
          if (this.start !== NEVER) this.start += Math.max(0, now - this.heldAt);
          this.heldAt = NEVER;
        }
        return;
      case MODE.ONE_SHOT:
      case MODE.HARDWARE_STROBE:
        if (level) this.trigger(now);
        return;
      default:
        // Modes 2 and 3: low stops the counter where it is, rising starts a new period.
        if (!level) {
          this.heldAt = now;
          this.nextAt = NEVER;
        } else {
          this.heldAt = NEVER;
          this.trigger(now);
        }
    }
  }

  /** The ticks between two rising edges of OUT; Infinity when there is at most one. */
  get period(): number {
    const { mode } = this;
    return mode === MODE.RATE_GENERATOR || mode === MODE.SQUARE_WAVE ? this.count : Infinity;
  }

  /** The level of OUT. */
  output(now: number): boolean {
    this.sync(now);
    const { count, mode } = this;
    if (mode === MODE.INTERRUPT_ON_TERMINAL_COUNT) {
      return this.start !== NEVER && this.elapsed(now) >= count;
    }
    if (this.start === NEVER || now < this.start) return true;
    const elapsed = this.elapsed(now);
    switch (mode) {
      case MODE.ONE_SHOT:
        return elapsed >= count;
      case MODE.RATE_GENERATOR:
        return !this.gate || elapsed % count !== count - 1;
      case MODE.SQUARE_WAVE:
        return !this.gate || elapsed % count < Math.ceil(count / 2);
      default:
        return elapsed !== count;
    }
  }

  /** The next tick after `now` at which OUT rises, or at which that must be asked again. */
  nextRise(now: number): number {
    this.sync(now);
    if (this.start === NEVER || this.heldAt !== NEVER) return NEVER;
    const { count, start } = this;
    switch (this.mode) {
      case MODE.INTERRUPT_ON_TERMINAL_COUNT:
      case MODE.ONE_SHOT:
        return now < start + count ? start + count : NEVER;
      case MODE.SOFTWARE_STROBE:
      case MODE.HARDWARE_STROBE:
        return now < start + count + 1 ? start + count + 1 : NEVER;
      default: {
        const periods = Math.max(0, Math.floor((now - start) / count)) + 1;
        return Math.min(start + periods * count, this.nextAt);
      }
    }
  }

  /** True when OUT rises at the tick `now` exactly, given that `now` came from {@link nextRise}. */
  risesAt(now: number): boolean {
    if (this.period === Infinity) return true;
    return (now - this.start) % this.count === 0;
  }

  private decode(written: number): number {
    let count = written;
    if (this.bcd) {
      const digit = (shift: number): number => (written >> shift) & 15;
      count = digit(0) + 10 * digit(4) + 100 * digit(8) + 1000 * digit(12);
    }
    const modulus = this.bcd ? 10000 : 0x10000;
    // A count of 1 is illegal in modes 2 and 3; taking it as 2 keeps a level between the edges.
    if (count === 1 && this.period !== Infinity) return 2;
    return count === 0 ? modulus : count;
  }

  /** A complete count has been written. It reaches the counting element at the next clock. */
  private loadCount(count: number, now: number): void {
    this.sync(now);
    switch (this.mode) {
      case MODE.INTERRUPT_ON_TERMINAL_COUNT:
      case MODE.SOFTWARE_STROBE:
        this.count = count;
        this.start = now + 1;
        this.heldAt = this.gate ? NEVER : this.start;
        return;
      case MODE.ONE_SHOT:
      case MODE.HARDWARE_STROBE:
        this.next = count;
        this.nextAt = NEVER;
        return;
      default:
        this.next = count;
        if (this.start !== NEVER) this.nextAt = this.heldAt === NEVER ? this.boundary(now) : NEVER;
        else if (this.gate) this.trigger(now);
    }
  }

  /** The end of the current period in mode 2, of the current half in mode 3. */
  private boundary(now: number): number {
    const { count, start } = this;
    const elapsed = Math.max(0, now - start);
    const begun = start + Math.floor(elapsed / count) * count;
    const half = begun + Math.ceil(count / 2);
    return this.mode === MODE.SQUARE_WAVE && now < half ? half : begun + count;
  }

  /** Loads the written count, or the last one again, at the next clock. */
  private trigger(now: number): void {
    if (this.start === NEVER && this.next === NEVER) return;
    if (this.next === NEVER) this.next = this.count;
    if (this.start !== NEVER && this.period === Infinity) {
      // Until that clock OUT is what it was: a one-shot that is triggered again stays low.
      this.nextAt = now + 1;
      return;
    }
    this.count = this.next;
    this.next = this.nextAt = NEVER;
    this.start = now + 1;
  }

  /** Lets a count written earlier take over when its time has come. */
  private sync(now: number): void {
    if (now < this.nextAt) return;
    const atHalf = this.mode === MODE.SQUARE_WAVE && (this.nextAt - this.start) % this.count !== 0;
    this.count = this.next;
    // The new count enters at the half it was loaded for: its second one if OUT was high until now.
    this.start = this.nextAt - (atHalf ? Math.ceil(this.count / 2) : 0);
    this.next = this.nextAt = NEVER;
  }

  private elapsed(now: number): number {
    return Math.max(0, Math.min(now, this.heldAt) - this.start);
  }

  /** The counting element as it reads. */
  private value(now: number): number {
    this.sync(now);
    const modulus = this.bcd ? 10000 : 0x10000;
    let value = this.count;
    if (this.start !== NEVER) value = this.countDown(this.elapsed(now));
    value = ((value % modulus) + modulus) % modulus;
    if (!this.bcd) return value;
    const digit = (weight: number): number => Math.floor(value / weight) % 10;
    return digit(1) | (digit(10) << 4) | (digit(100) << 8) | (digit(1000) << 12);
  }

  private countDown(elapsed: number): number {
    const { count } = this;
    if (this.mode === MODE.RATE_GENERATOR) return count - (elapsed % count);
    if (this.mode !== MODE.SQUARE_WAVE) return count - elapsed;
    // Mode 3 counts by two from the even count below, once for each half.
    const high = Math.ceil(count / 2);
    const within = elapsed % count;
    return count - (count % 2) - 2 * (within < high ? within : within - high);
  }
}
