// How long the machine was away between two looks at its timers: the time that the processor ran,
// and whatever kept it from running. A guest sees a long gap as a stall.

/** Upper ends of the classes that gaps are counted in, in milliseconds; the last has none. */
export const GAP_CLASSES_MS = [1, 2, 5, 10, 20, 50] as const;

/** Gaps, counted. */
export interface GapStatistics {
  /** One more than there are {@link GAP_CLASSES_MS}. */
  readonly counts: readonly number[];
  readonly longestNs: number;
}

/** Counts gaps between turns. */
export class RunGaps {
  private readonly counts = new Int32Array(GAP_CLASSES_MS.length + 1);
  private longestNs = 0;

  /** Counts a gap of `ns` nanoseconds. */
  count(ns: number): void {
    let index = 0;
    while (index < GAP_CLASSES_MS.length && ns >= GAP_CLASSES_MS[index] * 1e6) index++;
    this.counts[index]++;
    if (ns > this.longestNs) this.longestNs = ns;
  }

  get statistics(): GapStatistics {
    return { counts: [...this.counts], longestNs: this.longestNs };
  }
}
