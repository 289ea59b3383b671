// Intel 8253/8254 programmable interval timer. Follows the 8254 data sheet (231164-005): all six
// modes, binary and BCD, counter latch, read-back, gates. Nothing ticks: counts and outputs are
// computed from the time since a counter was loaded, and only the rising edges of OUT 0, the
// machine's IRQ 0, arm a timer. Edges fall on exact multiples of the period, so that the long-run
// rate is exact; edges that pass while the machine does not run are merged into one. Not modelled:
// the falling edge of OUT 0 in modes 2 and 3, which nobody listens to: the line stays high.
// Port 0x61, which holds the gate of counter 2 and shows its output, is the device beside it.

import type { Clock } from '../base/clock.ts';
import { parts, type SavedValue, savedFields, u53, whole } from '../base/saved-state.ts';
import type { IrqLine } from '../bus/irq.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';
import type { Timer, TimerQueue } from '../bus/timers.ts';
import { Counter, NEVER } from './i8253-counter.ts';

/** The input clock of all three counters: a twelfth of 14.31818 MHz. */
export const PIT_HZ = 1193182;

const CONTROL = 3;
const READ_BACK = 3;
const READ_BACK_NO_COUNT = 0x20;
const READ_BACK_NO_STATUS = 0x10;
const CONTROL_RW = 0x30;

/** What a suspension keeps of {@link I8253}. */
const I8253_STATE = savedFields({
  counters: parts,
  dueTick: u53,
  speaker: whole(0, 0x0f),
});

/** The timer: four ports, IRQ 0, and the counter-2 pins that port 0x61 reaches. */
export class I8253 implements PortDevice {
  readonly name = 'i8253';
  /** The system control port B, for 0x61. */
  readonly portB: PortDevice;
  private readonly clock: Clock;
  private readonly irq0: IrqLine;
  private readonly timer: Timer;
  private readonly counters = [new Counter(true), new Counter(true), new Counter(false)] as const;
  /** The tick of the edge that the timer waits for. */
  private dueTick = NEVER;
  /** Port B's writable bits: gate, speaker and the two parity-check disables. */
  private speaker = 0;
  /** Transient: a statistic. */
  private merged = 0;

  constructor(clock: Clock, timers: TimerQueue, irq0: IrqLine) {
    this.clock = clock;
    this.irq0 = irq0;
    this.timer = timers.create((nowNs) => this.expire(nowNs));
    this.portB = {
      name: 'port 61',
      readPort: () => this.readPortB(),
      writePort: (_offset, _size, value) => this.writePortB(value),
    };
  }

  /** How many edges of IRQ 0 were merged into later ones because the machine did not run. */
  get mergedEdges(): number {
    return this.merged;
  }

  /** Power-on: no counter counts, OUT 0 is low. */
  reset(): void {
    for (const counter of this.counters) counter.reset();
    this.speaker = 0;
    this.irq0.set(false);
    this.schedule(this.now());
  }

  readPort(offset: number, _size: PortSize): number {
    if (offset === CONTROL) return 0xff;
    return this.counters[offset as 0 | 1 | 2].read(this.now());
  }

  writePort(offset: number, _size: PortSize, value: number): void {
    const now = this.now();
    const index = offset === CONTROL ? value >> 6 : offset;
    if (offset !== CONTROL) this.counters[index as 0 | 1 | 2].write(value, now);
    else if (index === READ_BACK) this.readBack(value, now);
    else this.counters[index as 0 | 1 | 2].control(value, now);
    const latched = offset === CONTROL && (value & CONTROL_RW) === 0;
    if (index === 0 && !latched) this.schedule(now);
  }

  /** What a suspension keeps. Times are the machine's: the clock must go on from where it was. */
  save(): SavedValue {
    return I8253_STATE.save(this);
  }

  /** Takes back what {@link save} gave. The level of IRQ 0 is the controller's to restore. */
  load(saved: SavedValue, where: string): void {
    I8253_STATE.load(this, saved, where);
    // An edge that has become due since comes late, and is not lost.
    this.arm(this.dueTick);
  }

  private now(): number {
    return this.ticks(this.clock.now());
  }

  private ticks(ns: number): number {
    return Math.floor((ns * PIT_HZ) / 1e9);
  }

  private readBack(value: number, now: number): void {
    for (const [index, counter] of this.counters.entries()) {
      if ((value & (2 << index)) === 0) continue;
      if ((value & READ_BACK_NO_COUNT) === 0) counter.latchCount(now);
      if ((value & READ_BACK_NO_STATUS) === 0) counter.latchStatus(now);
    }
  }

  /** Brings IRQ 0 to the level of OUT 0, and waits for the next rising edge. */
  private schedule(now: number): void {
    const counter = this.counters[0];
    const due = counter.nextRise(now);
    // A periodic counter's OUT falls just before it rises; the line keeps high until then.
    if (due === NEVER || !counter.output(now)) this.irq0.set(counter.output(now));
    this.arm(due);
  }

  private arm(dueTick: number): void {
    this.dueTick = dueTick;
    if (dueTick === NEVER) this.timer.cancel();
    else this.timer.arm(Math.ceil((dueTick * 1e9) / PIT_HZ));
  }

  private expire(nowNs: number): void {
    const counter = this.counters[0];
    const now = Math.max(this.ticks(nowNs), this.dueTick);
    if (counter.risesAt(this.dueTick)) {
      this.irq0.set(false);
      this.irq0.set(true);
    }
    this.merged += Math.floor((now - this.dueTick) / counter.period);
    this.arm(counter.nextRise(now));
  }

  /** Bit 5 is OUT 2, bit 4 the refresh request that toggles every 15 us, bits 3..0 as written. */
  private readPortB(): number {
    const out = this.counters[2].output(this.now()) ? 0x20 : 0;
    const refresh = Math.floor(this.clock.now() / 15085) % 2 === 0 ? 0 : 0x10;
    return out | refresh | this.speaker;
  }

  private writePortB(value: number): void {
    this.speaker = value & 0x0f;
    this.counters[2].setGate((value & 1) !== 0, this.now());
  }
}
