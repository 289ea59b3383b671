// The host's clock and randomness, as machines get them.

import { randomFillSync } from 'node:crypto';
import type { Clock, Entropy } from 'vmm';

/** While a clock catches up, its time passes so many times as fast as real time. */
export const CATCH_UP_RATE = 10;
/**
 * So much of the real time between two looks at the clock counts for it. More passes when the host
 * has no time for the guest, which must not seem to it ten times as long.
 */
export const CATCH_UP_STEP_MS = 5;
/** What is caught up with at most. */
const CATCH_UP_MS_MAX = 3600e3;

/**
 * Real time since the clock's making, but for what is left out, and the host's wall clock. The
 * clock of a machine that was suspended begins at its time then, `startNs`, and catches up with the
 * `behindMs` that have passed since, if that is an hour at most: time never jumps for the guest,
 * whose timers and watchdogs would take a jump for a processor that has stood still.
 */
export class HostClock implements Clock {
  private originMs: number;
  private behindMs: number;
  private seenMs: number;

  constructor(startNs = 0, behindMs = 0) {
    this.seenMs = performance.now();
    this.originMs = this.seenMs - startNs / 1e6;
    this.behindMs = behindMs > 0 && behindMs <= CATCH_UP_MS_MAX ? behindMs : 0;
  }

  /** It has not caught up yet. */
  get isBehind(): boolean {
    return this.behindMs > 0;
  }

  now(): number {
    const nowMs = performance.now();
    if (this.behindMs > 0) this.catchUp(nowMs);
    return (nowMs - this.originMs) * 1e6;
  }

  private catchUp(nowMs: number): void {
    const passedMs = Math.min(nowMs - this.seenMs, CATCH_UP_STEP_MS);
    const gainedMs = Math.min(this.behindMs, passedMs * (CATCH_UP_RATE - 1));
    this.seenMs = nowMs;
    this.behindMs -= gainedMs;
    this.originMs -= gainedMs;
  }

  /** Takes `ns` nanoseconds, which have passed, out of the time: the machine was paused. */
  leaveOut(ns: number): void {
    this.originMs += ns / 1e6;
  }

  wallMs(): number {
    return Date.now();
  }
}

/** A call of the system's generator costs a microsecond; RDRAND asks for 4 bytes at a time. */
const POOL_BYTES = 4096;

/** The operating system's random generator. */
export class HostEntropy implements Entropy {
  private readonly pool = new Uint8Array(POOL_BYTES);
  private used = POOL_BYTES;

  fill(bytes: Uint8Array): void {
    if (bytes.length > POOL_BYTES) {
      randomFillSync(bytes);
      return;
    }
    if (this.used + bytes.length > POOL_BYTES) {
      randomFillSync(this.pool);
      this.used = 0;
    }
    bytes.set(this.pool.subarray(this.used, this.used + bytes.length));
    // Nobody who reads this process's memory later learns what the guest got.
    this.pool.fill(0, this.used, this.used + bytes.length);
    this.used += bytes.length;
  }
}
