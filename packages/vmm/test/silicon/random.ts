// The generator's source of chance: seeded, so that a vector is known by its form and its number.

/** A small generator of 32-bit numbers (a Weyl sequence through a mixing function). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** 32 random bits, unsigned. */
  next(): number {
    this.state = (this.state + 0x9e3779b9) | 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  }

  /** 0 to `count` - 1. */
  below(count: number): number {
    return this.next() % count;
  }

  /** `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this many chances in a hundred. */
  percent(chances: number): boolean {
    return this.below(100) < chances;
  }

  /** `bits` (up to 64) random bits. */
  bits(bits: number): bigint {
    return BigInt.asUintN(bits, (BigInt(this.next()) << 32n) | BigInt(this.next()));
  }

  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }
}
