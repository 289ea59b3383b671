// Timers of many flows on one alarm. Deadlines of TCP move later with almost each segment, so that
// a flow only says when its deadline comes earlier than the alarm; when the alarm goes off, all
// flows are asked. That is cheap, as there are at most some thousands of them.

import type { Clock } from '../base/clock.ts';

/** Wakes the caller once, as the host's timers do. */
export interface Alarm {
  /** Calls back at `deadlineNs` of the clock or soon after, and forgets what was set before. */
  set(deadlineNs: number, callback: () => void): void;
  /** Forgets what was set. */
  clear(): void;
}

/** Something with a deadline. */
export interface Timed {
  /** When `expire` is to be called; Infinity for never. */
  readonly deadlineNs: number;
  /** The deadline is past. Moves it, or makes this end. */
  expire(nowNs: number): void;
}

/** Deadlines closer together than this are served together. */
const GRAIN_NS = 2e6;

/** The deadlines of a changing set of flows. */
export class Timers {
  readonly clock: Clock;
  private readonly alarm: Alarm;
  private readonly members = new Set<Timed>();
  private dueNs = Infinity;
  private readonly onAlarm = (): void => this.serve();

  constructor(clock: Clock, alarm: Alarm) {
    this.clock = clock;
    this.alarm = alarm;
  }

  /** Watches the deadline of `timed` from now on. */
  add(timed: Timed): void {
    this.members.add(timed);
    this.moved(timed);
  }

  /** Does not watch it any more. */
  delete(timed: Timed): void {
    this.members.delete(timed);
    if (this.members.size > 0) return;
    this.dueNs = Infinity;
    this.alarm.clear();
  }

  /** The deadline of `timed` may have come closer. */
  moved(timed: Timed): void {
    const { deadlineNs } = timed;
    if (deadlineNs < this.dueNs) this.arm(deadlineNs);
  }

  private arm(deadlineNs: number): void {
    this.dueNs = deadlineNs;
    this.alarm.set(deadlineNs, this.onAlarm);
  }

  private serve(): void {
    const nowNs = this.clock.now();
    this.dueNs = Infinity;
    let next = Infinity;
    for (const timed of this.members) {
      if (timed.deadlineNs <= nowNs) timed.expire(nowNs);
      if (this.members.has(timed)) next = Math.min(next, timed.deadlineNs);
    }
    // Somebody may have set an earlier alarm meanwhile; it is among those asked.
    if (next < Infinity) this.arm(Math.max(next, nowNs + GRAIN_NS));
  }
}
