// Motorola MC146818 real-time clock with the 128 bytes of CMOS RAM that a PC/AT has behind ports
// 0x70 and 0x71. Follows the MC146818 data sheet (ADI-1026R1): time, calendar and alarm in BCD and
// binary, 12 and 24 hours, update cycle, periodic, alarm and update interrupts, the divider's
// reset. The clock is the host's wall clock, in UTC, plus what the guest has set it ahead. CMOS
// contents follow the PC/AT's layout: memory sizes, century, checksum. Not modelled: daylight
// saving, the square wave output, time bases other than 32768 Hz, loss of power (VRT is always
// set).

import type { Clock } from '../base/clock.ts';
import { bytes, real, type SavedValue, savedFields, u8, u53 } from '../base/saved-state.ts';
import type { IrqLine } from '../bus/irq.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';
import type { Timer, TimerQueue } from '../bus/timers.ts';
import { type CalendarTime, calendarFrom, daysFrom } from './calendar.ts';

const SECONDS = 0;
const SECONDS_ALARM = 1;
const MINUTES = 2;
const MINUTES_ALARM = 3;
const HOURS = 4;
const HOURS_ALARM = 5;
const DAY_OF_WEEK = 6;
const DAY = 7;
const MONTH = 8;
const YEAR = 9;
const REG_A = 0x0a;
const REG_B = 0x0b;
const REG_C = 0x0c;
const REG_D = 0x0d;
const CENTURY = 0x32;

const A_UIP = 0x80;
const A_DIVIDER = 0x70;
const A_DIVIDER_RESET = 0x60;
const A_RATE = 0x0f;
const B_SET = 0x80;
const B_PIE = 0x40;
const B_AIE = 0x20;
const B_UIE = 0x10;
const B_DM = 0x04;
const B_24H = 0x02;
const C_IRQF = 0x80;
const C_PF = 0x40;
const C_AF = 0x20;
const C_UF = 0x10;
const D_VRT = 0x80;

const HOURS_PM = 0x80;
/** An alarm byte from 0xC0 on matches everything. */
const DONT_CARE = 0xc0;
/** UIP rises 244 us before the update, which takes 1984 us at 32768 Hz (figure 13, table 6). */
const UPDATE_MS = 0.244 + 1.984;
/** Alarms missed for longer than a day are found within the day. */
const DAY_SECONDS = 86400;

const CMOS_SIZE = 128;
const NMI_MASK = 0x80;

/** How much memory the CMOS tells of, in bytes. */
export interface CmosMemory {
  /** RAM from address 0 (640 KiB at most, as the BIOS data area says it). */
  readonly base: number;
  /** RAM from 1 MiB to its end below 4 GiB. */
  readonly extended: number;
  /** RAM from 4 GiB on. */
  readonly above4GiB: number;
}

/** What a suspension keeps of {@link Mc146818}. */
const MC146818_STATE = savedFields({
  cmos: bytes(CMOS_SIZE),
  index: u8,
  aheadMs: real,
  flags: u8,
  seenSecond: u53,
});

/** The clock: two ports and IRQ 8. */
export class Mc146818 implements PortDevice {
  readonly name = 'mc146818';
  private readonly clock: Clock;
  private readonly timer: Timer;
  private readonly irq: IrqLine;
  private readonly cmos = new Uint8Array(CMOS_SIZE);
  private index = 0;
  /** What the guest has set the clock ahead of the host's, in milliseconds. */
  private aheadMs = 0;
  /** PF, AF and UF as register C will show them. */
  private flags = 0;
  /** The last second that the flags account for. */
  private seenSecond = 0;
  /** The last period, likewise. Transient: periodic interrupts begin anew. */
  private seenPeriod = 0;

  constructor(clock: Clock, timers: TimerQueue, irq: IrqLine) {
    this.clock = clock;
    this.irq = irq;
    this.timer = timers.create(() => this.tick());
    this.cmos[REG_A] = 0x26;
    this.cmos[REG_B] = B_24H;
    this.cmos[REG_D] = D_VRT;
    this.restart();
  }

  /** True while the guest masks the non-maskable interrupt with bit 7 of the index port. */
  get nmiMasked(): boolean {
    return (this.index & NMI_MASK) !== 0;
  }

  /** Sets a byte of the CMOS RAM, as firmware or the factory would. */
  setCmos(index: number, value: number): void {
    this.cmos[index] = value;
  }

  /** Writes the memory sizes where a PC/AT's firmware and QEMU's successors of it put them. */
  setMemory(memory: CmosMemory): void {
    const kib = (bytes: number): number => Math.floor(bytes / 1024);
    const extended = Math.min(0xffff, kib(memory.extended));
    const above16MiB = Math.max(0, memory.extended - 15 * 1024 * 1024);
    this.setWord(0x15, Math.min(640, kib(memory.base)));
    this.setWord(0x17, extended);
    this.setWord(0x30, extended);
    this.setWord(0x34, Math.min(0xffff, Math.floor(above16MiB / 65536)));
    const high = Math.min(0xffffff, Math.floor(memory.above4GiB / 65536));
    this.setWord(0x5b, high & 0xffff);
    this.cmos[0x5d] = high >> 16;
    let sum = 0;
    for (let index = 0x10; index < 0x2e; index++) sum += this.cmos[index];
    this.cmos[0x2e] = sum >> 8;
    this.cmos[0x2f] = sum & 0xff;
  }

  /** The RESET pin: interrupts off, flags cleared; time and RAM have their battery. */
  reset(): void {
    this.index = 0;
    this.cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE);
    this.flags = 0;
    this.update();
  }

  readPort(offset: number, _size: PortSize): number {
    if (offset === 0) return this.index;
    const index = this.index & 0x7f;
    switch (index) {
      case REG_A:
        return (this.cmos[REG_A] & ~A_UIP) | (this.updating() ? A_UIP : 0);
      case REG_C:
        return this.readFlags();
      case REG_D:
        return D_VRT;
      default:
        if (isTime(index) && this.running) this.showTime();
        return this.cmos[index];
    }
  }

  writePort(offset: number, _size: PortSize, value: number): void {
    if (offset === 0) {
      this.index = value;
      return;
    }
    const index = this.index & 0x7f;
    if (index === REG_C || index === REG_D) return;
    this.catchUp();
    const wasRunning = this.running;
    if (wasRunning) this.showTime();
    const stoppedByDivider = this.dividerReset;
    this.cmos[index] = index === REG_A ? value & ~A_UIP : value;
    // SET aborts the update cycle and clears UIE (register B, bit 7).
    if (index === REG_B && (value & B_SET) !== 0) this.cmos[REG_B] &= ~B_UIE;
    if (this.running && (isTime(index) || !wasRunning)) {
      // Out of the divider's reset the first update comes half a second later.
      this.setTime(stoppedByDivider ? 500 : wasRunning ? this.millisecond() : 0);
    }
    this.update();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    this.catchUp();
    return MC146818_STATE.save(this);
  }

  /**
   * Takes back what {@link save} gave. The time is the host's, so that seconds have passed, in
   * which an alarm may have been due.
   */
  load(saved: SavedValue, where: string): void {
    MC146818_STATE.load(this, saved, where);
    this.seenPeriod = this.period();
    this.arm();
  }

  private get dividerReset(): boolean {
    return (this.cmos[REG_A] & A_DIVIDER_RESET) === A_DIVIDER_RESET;
  }

  /** False while SET or the divider's reset stops the time. */
  private get running(): boolean {
    return (this.cmos[REG_B] & B_SET) === 0 && !this.dividerReset;
  }

  private timeMs(): number {
    return this.clock.wallMs() + this.aheadMs;
  }

  private millisecond(): number {
    const ms = this.timeMs();
    return ms - Math.floor(ms / 1000) * 1000;
  }

  private updating(): boolean {
    return this.running && this.millisecond() >= 1000 - UPDATE_MS;
  }

  private encode(value: number): number {
    if ((this.cmos[REG_B] & B_DM) !== 0) return value;
    return (Math.floor(value / 10) << 4) | (value % 10);
  }

  private decode(value: number): number {
    return (this.cmos[REG_B] & B_DM) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  }

  private encodeHours(hours: number): number {
    if ((this.cmos[REG_B] & B_24H) !== 0) return this.encode(hours);
    return this.encode(hours % 12 === 0 ? 12 : hours % 12) | (hours >= 12 ? HOURS_PM : 0);
  }

  private decodeHours(value: number): number {
    if ((this.cmos[REG_B] & B_24H) !== 0) return this.decode(value);
    return (this.decode(value & ~HOURS_PM) % 12) + ((value & HOURS_PM) !== 0 ? 12 : 0);
  }

  /** Puts the current time into the registers. */
  private showTime(): void {
    const time = calendarFrom(Math.floor(this.timeMs() / 1000));
    this.cmos[SECONDS] = this.encode(time.second);
    this.cmos[MINUTES] = this.encode(time.minute);
    this.cmos[HOURS] = this.encodeHours(time.hour);
    this.cmos[DAY_OF_WEEK] = this.encode(time.weekday + 1);
    this.cmos[DAY] = this.encode(time.day);
    this.cmos[MONTH] = this.encode(time.month);
    this.cmos[YEAR] = this.encode(time.year % 100);
    this.cmos[CENTURY] = this.encode(Math.floor(time.year / 100) % 100);
  }

  /** Makes the registers the time, `ms` milliseconds into their second. */
  private setTime(ms: number): void {
    const read = (index: number): number => this.decode(this.cmos[index]);
    const days = daysFrom(read(CENTURY) * 100 + read(YEAR), read(MONTH), read(DAY));
    const hour = this.decodeHours(this.cmos[HOURS]);
    const seconds = ((days * 24 + hour) * 60 + read(MINUTES)) * 60 + read(SECONDS);
    this.aheadMs = seconds * 1000 + ms - this.clock.wallMs();
    this.restart();
  }

  /** The periodic rate in nanoseconds, 0 for none (table 5, 32768 Hz). */
  private periodNs(): number {
    const rate = this.cmos[REG_A] & A_RATE;
    if (rate === 0 || (this.cmos[REG_A] & A_DIVIDER) !== 0x20) return 0;
    return 1e9 / (rate < 3 ? 512 >> rate : 65536 >> rate);
  }

  private period(): number {
    const periodNs = this.periodNs();
    return periodNs === 0 ? 0 : Math.floor(this.clock.now() / periodNs);
  }

  private restart(): void {
    this.seenSecond = Math.floor(this.timeMs() / 1000);
    this.seenPeriod = this.period();
  }

  /** Sets the flags of all that happened since the last time, whether it interrupts or not. */
  private catchUp(): void {
    const period = this.period();
    if (period > this.seenPeriod) this.flags |= C_PF;
    this.seenPeriod = period;
    const second = Math.floor(this.timeMs() / 1000);
    if (this.running && second > this.seenSecond) {
      this.flags |= C_UF;
      const first = Math.max(this.seenSecond + 1, second - DAY_SECONDS + 1);
      for (let at = first; at <= second; at++) {
        if (this.alarmAt(at)) {
          this.flags |= C_AF;
          break;
        }
      }
    }
    this.seenSecond = second;
  }

  private alarmAt(second: number): boolean {
    const time: CalendarTime = calendarFrom(second);
    const matches = (index: number, value: number): boolean =>
      this.cmos[index] >= DONT_CARE || this.cmos[index] === value;
    return (
      matches(SECONDS_ALARM, this.encode(time.second)) &&
      matches(MINUTES_ALARM, this.encode(time.minute)) &&
      matches(HOURS_ALARM, this.encodeHours(time.hour))
    );
  }

  /** PF, AF and UF have the places of their enables in register B. */
  private get interrupting(): boolean {
    return (this.flags & this.cmos[REG_B] & (C_PF | C_AF | C_UF)) !== 0;
  }

  private readFlags(): number {
    this.catchUp();
    const value = this.flags | (this.interrupting ? C_IRQF : 0);
    this.flags = 0;
    this.update();
    return value;
  }

  private tick(): void {
    this.catchUp();
    this.update();
  }

  private update(): void {
    this.irq.set(this.interrupting);
    this.arm();
  }

  /** Waits for the next enabled event; while one is pending its successors are lost anyway. */
  private arm(): void {
    const enabled = this.cmos[REG_B];
    let next = Infinity;
    const periodNs = this.periodNs();
    if ((enabled & B_PIE) !== 0 && (this.flags & C_PF) === 0 && periodNs > 0) {
      next = (this.seenPeriod + 1) * periodNs;
    }
    const perSecond =
      ((enabled & B_UIE) !== 0 && (this.flags & C_UF) === 0) ||
      ((enabled & B_AIE) !== 0 && (this.flags & C_AF) === 0);
    if (perSecond && this.running) {
      const ms = 1000 - this.millisecond();
      // A microsecond late rather than early: the wall clock's second must have begun.
      next = Math.min(next, this.clock.now() + ms * 1e6 + 1000);
    }
    if (next === Infinity) this.timer.cancel();
    else this.timer.arm(next);
  }

  private setWord(index: number, value: number): void {
    this.cmos[index] = value & 0xff;
    this.cmos[index + 1] = value >> 8;
  }
}

function isTime(index: number): boolean {
  const alarm = index === SECONDS_ALARM || index === MINUTES_ALARM || index === HOURS_ALARM;
  return (index <= YEAR && !alarm) || index === CENTURY;
}
