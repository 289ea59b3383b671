// The host's clock and randomness, as machines get them.

import { randomFillSync } from 'node:crypto';
import type { Clock, Entropy } from 'vmm';

/** Real time since the clock's making, but for what is left out, and the host's wall clock. */
export class HostClock implements Clock {
  private originMs = performance.now();

  now(): number {
    return (performance.now() - this.originMs) * 1e6;
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
