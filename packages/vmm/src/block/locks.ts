// Two locks between asynchronous operations of one thread. Both are fair: who asks first is first,
// so that nobody waits for ever and two operations cannot wait for each other.

/** Lets one task run at a time. */
export class Mutex {
  private tail: Promise<unknown> = Promise.resolve();

  /** Runs `task` when those before it have ended; its result. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.tail.then(task);
    this.tail = result.catch(() => {});
    return result;
  }
}

/** A range that an operation has, or waits for. */
export interface Hold {
  readonly first: number;
  readonly last: number;
  readonly exclusive: boolean;
  /** Called when the range is given up. */
  readonly waiters: (() => void)[];
}

/** Ranges of numbers, each of which many may share or one may have alone. */
export class RangeLocks {
  private readonly holds = new Set<Hold>();

  /** Asks for the numbers from `first` to `last`; to be given back with {@link release}. */
  acquire(first: number, last: number, exclusive: boolean): Hold | Promise<Hold> {
    const hold: Hold = { first, last, exclusive, waiters: [] };
    const before: Hold[] = [];
    for (const other of this.holds) {
      if (other.first > last || other.last < first) continue;
      if (exclusive || other.exclusive) before.push(other);
    }
    this.holds.add(hold);
    if (before.length === 0) return hold;
    return new Promise((resolve) => {
      let left = before.length;
      const onRelease = (): void => {
        if (--left === 0) resolve(hold);
      };
      for (const other of before) other.waiters.push(onRelease);
    });
  }

  /** True when somebody has, or waits to have, one of these numbers alone. */
  isTaken(first: number, last: number): boolean {
    for (const hold of this.holds) {
      if (hold.exclusive && hold.first <= last && hold.last >= first) return true;
    }
    return false;
  }

  /** Gives up what {@link acquire} gave. */
  release(hold: Hold): void {
    this.holds.delete(hold);
    for (const waiter of hold.waiters) waiter();
  }
}
