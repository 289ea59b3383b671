// Time and entropy as capabilities: processor, monitor and devices get them through constructors.

/** The machine's clock. */
export interface Clock {
  /** Nanoseconds since the machine's power-on, never going back. A double, exact for 104 days. */
  now(): number;
  /** Wall-clock time in milliseconds since 1970-01-01 UTC. */
  wallMs(): number;
}

/** A source of random bytes. */
export interface Entropy {
  /** Fills `bytes` with random data. */
  fill(bytes: Uint8Array): void;
}

/** A clock that moves only when told: for tests and for runs that must repeat exactly. */
export class VirtualClock implements Clock {
  private nowNs = 0;
  private readonly epochMs: number;

  /** `epochMs`: the wall-clock time at power-on, milliseconds since 1970 UTC. */
  constructor(epochMs = 0) {
    this.epochMs = epochMs;
  }

  now(): number {
    return this.nowNs;
  }

  wallMs(): number {
    return this.epochMs + this.nowNs / 1e6;
  }

  /** Moves time forward by `ns` nanoseconds (>= 0). */
  advance(ns: number): void {
    this.nowNs += ns;
  }
}
