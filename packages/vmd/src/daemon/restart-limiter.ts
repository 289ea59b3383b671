// A guest that reboots as soon as it has booted would do so for ever. vmd(8) lets it three times
// (VM_START_RATE_LIMIT) within six seconds of the time before (VM_START_RATE_SEC), and no more.

const QUICK_MS = 6000;
const QUICK_MAX = 3;

/** Counts the starts of one machine. */
export class RestartLimiter {
  private startedMs: number;
  private quickCount = 0;

  /** The machine starts at `nowMs`, of any clock that does not go back. */
  constructor(nowMs: number) {
    this.startedMs = nowMs;
  }

  /** The machine starts again; false when that was too quick too often. */
  allows(nowMs: number): boolean {
    this.quickCount = nowMs - this.startedMs < QUICK_MS ? this.quickCount + 1 : 0;
    this.startedMs = nowMs;
    return this.quickCount <= QUICK_MAX;
  }
}
