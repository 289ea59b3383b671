// Deadlines of the devices of one machine, on the machine's clock.

/** A deadline that a device owns: set it, move it, cancel it. */
export interface Timer {
  /** Calls back once when the clock reaches `atNs`; replaces an earlier deadline. */
  arm(atNs: number): void;
  /** Forgets the deadline. */
  cancel(): void;
}

class Entry implements Timer {
  /** Transient: whose timer it is arms it anew. */
  atNs = Infinity;
  private readonly queue: TimerQueue;
  readonly callback: (nowNs: number) => void;

  constructor(queue: TimerQueue, callback: (nowNs: number) => void) {
    this.queue = queue;
    this.callback = callback;
  }

  arm(atNs: number): void {
    this.atNs = atNs;
    this.queue.changed();
  }

  cancel(): void {
    this.atNs = Infinity;
    this.queue.changed();
  }
}

/** The timers of a machine. A machine has about five, so the queue is a plain list. */
export class TimerQueue {
  /** Transient: wiring. */
  private readonly entries: Entry[] = [];
  /** Transient: follows from the entries. */
  private nextNs = Infinity;

  /** A timer that calls `callback` with the current time when its deadline passes. */
  create(callback: (nowNs: number) => void): Timer {
    const entry = new Entry(this, callback);
    this.entries.push(entry);
    return entry;
  }

  /** The earliest deadline in nanoseconds of machine time; Infinity when there is none. */
  next(): number {
    return this.nextNs;
  }

  /** Fires every timer whose deadline is at or before `nowNs`, each at most once. */
  run(nowNs: number): void {
    if (nowNs < this.nextNs) return;
    for (const entry of this.entries) {
      if (entry.atNs > nowNs) continue;
      entry.atNs = Infinity;
      entry.callback(nowNs);
    }
    this.changed();
  }

  /** Recomputes the earliest deadline. */
  changed(): void {
    let nextNs = Infinity;
    for (const entry of this.entries) if (entry.atNs < nextNs) nextNs = entry.atNs;
    this.nextNs = nextNs;
  }
}
