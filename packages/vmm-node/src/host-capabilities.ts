// The host's clock and randomness, as machines get them.

import { randomFillSync } from 'node:crypto';
import type { Clock, Entropy } from 'vmm';

/** While a clock catches up, its time passes so many times as fast as real time. */
export const CATCH_UP_RATE = 10;
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
  /** Real time until which the clock catches up, on performance.now()'s scale. */
  private readonly catchUpEndMs: number;

  constructor(startNs = 0, behindMs = 0) {
    const nowMs = performance.now();
    const dueMs = behindMs > 0 && behindMs <= CATCH_UP_MS_MAX ? behindMs : 0;
    // Behind by d, at a rate of r: even after d / (r - 1) of real time.
    this.catchUpEndMs = nowMs + dueMs / (CATCH_UP_RATE - 1);
    this.originMs = nowMs - startNs / 1e6 - dueMs;
  }

  now(): number {
    const nowMs = performance.now();
    const left = this.catchUpEndMs - nowMs;
    const behindMs = left > 0 ? left * (CATCH_UP_RATE - 1) : 0;
    return (nowMs - this.originMs - behindMs) * 1e6;
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
