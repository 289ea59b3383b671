// Where a guest spends its instructions, by samples: a slice is as many instructions as any other,
// and ends wherever the guest is then, in a loop mostly at the loop's head.

/** Addresses kept; when there are more, those that were met once go. */
const ADDRESSES_MAX = 8192;

/** An address at which slices ended. */
export interface HotSpot {
  /** RIP, canonical, as hexadecimal digits with 0x. */
  readonly address: string;
  readonly slices: number;
  /** Those of them that compiled code executed for the most part. */
  readonly compiled: number;
}

interface Count {
  slices: number;
  compiled: number;
}

/** Counts where slices end. */
export class HotSpots {
  private readonly counts = new Map<number, Count>();
  /** Slices noted. */
  slices = 0;

  /** A slice has ended at an address, given as two 32-bit halves. */
  note(low: number, high: number, isCompiled: boolean): void {
    this.slices++;
    // Exact for canonical addresses, as the high half counts as signed.
    const address = (high | 0) * 2 ** 32 + (low >>> 0);
    let count = this.counts.get(address);
    if (!count) {
      if (this.counts.size >= ADDRESSES_MAX) this.forgetRare();
      count = { slices: 0, compiled: 0 };
      this.counts.set(address, count);
    }
    count.slices++;
    if (isCompiled) count.compiled++;
  }

  private forgetRare(): void {
    let limit = 1;
    while (this.counts.size >= ADDRESSES_MAX) {
      for (const [address, { slices }] of this.counts) {
        if (slices <= limit) this.counts.delete(address);
      }
      limit *= 2;
    }
  }

  /** The addresses with the most slices, at most `count` of them. */
  hottest(count: number): HotSpot[] {
    const sorted = [...this.counts].sort(([, a], [, b]) => b.slices - a.slices);
    return sorted.slice(0, count).map(([address, { slices, compiled }]) => {
      const digits = BigInt.asUintN(64, BigInt(address)).toString(16);
      return { address: `0x${digits}`, slices, compiled };
    });
  }
}
