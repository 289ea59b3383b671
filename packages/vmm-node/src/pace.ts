// Whether to do an operation on a file at once, or in a thread of Node's pool. What the host's
// kernel has in memory is there within a microsecond or two, while the way to another thread and
// back takes ten, or a hundred where processors are scarce. What the kernel must wait for should
// not keep the event loop waiting too. There is no call that asks first (preadv2(2) has RWF_NOWAIT,
// Node has no preadv2), so that time tells: after an operation that was slow, some go to the pool,
// the more the more often that happens in a row.

/** Operations of more bytes take long enough for the way to another thread not to count. */
const BYTES_MAX = 256 << 10;
/** Slower than the kernel's memory ever is, faster than any disk: a base, and for each KiB. */
const SLOW_MS = 0.04;
const SLOW_MS_PER_KIB = 0.001;
const SKIPPED_MIN = 8;
const SKIPPED_MAX = 1024;

/** Decides for operations of one kind on one file. */
export class Pace {
  private readonly nowMs: () => number;
  private skip = 0;
  private skipNext = SKIPPED_MIN;

  /** `nowMs` is a clock of milliseconds with a fraction. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Runs `operation`, which moves `bytes`, unless that could take long; true when it ran. */
  run(bytes: number, operation: () => void): boolean {
    if (bytes > BYTES_MAX) return false;
    if (this.skip > 0) {
      this.skip--;
      return false;
    }
    const begin = this.nowMs();
    operation();
    const limit = SLOW_MS + (bytes / 1024) * SLOW_MS_PER_KIB;
    if (this.nowMs() - begin <= limit) {
      this.skipNext = SKIPPED_MIN;
    } else {
      this.skip = this.skipNext;
      this.skipNext = Math.min(this.skipNext * 2, SKIPPED_MAX);
    }
    return true;
  }
}
