// Pages of guest memory that one thread has written and another has not yet been told of. A bit for
// each page, and a bit for each word of those, so that the reader finds few pages among many. Both
// threads only ever set or take whole bits atomically: nothing is lost, and nothing overflows.

const PAGE_SHIFT = 12;

const bitsIn = (bits: number): number => Math.ceil(bits / 32);

/** The bytes of shared memory that a set for `addressBytes` of guest-physical addresses takes. */
export function pageSetBytes(addressBytes: number): number {
  const words = bitsIn(addressBytes / 2 ** PAGE_SHIFT);
  return 4 * (words + bitsIn(words));
}

/** One thread's view of the set. */
export class PageSet {
  private readonly words: Int32Array;
  private readonly summary: Int32Array;

  /** `addressBytes` as {@link pageSetBytes} was given. */
  constructor(buffer: SharedArrayBuffer, offset: number, addressBytes: number) {
    const words = bitsIn(addressBytes / 2 ** PAGE_SHIFT);
    this.words = new Int32Array(buffer, offset, words);
    this.summary = new Int32Array(buffer, offset + 4 * words, bitsIn(words));
  }

  /** Adds the pages of the `length` bytes at `address`, which are in the set's range. */
  add(address: number, length: number): void {
    const last = Math.floor((address + length - 1) / 2 ** PAGE_SHIFT);
    for (let page = Math.floor(address / 2 ** PAGE_SHIFT); page <= last; page++) {
      const word = page >>> 5;
      const bit = 1 << (page & 31);
      if ((Atomics.or(this.words, word, bit) & bit) !== 0) continue;
      Atomics.or(this.summary, word >>> 5, 1 << (word & 31));
    }
  }

  /** Empties the set; `each` gets every page of it, as its address. */
  take(each: (address: number) => void): void {
    for (let group = 0; group < this.summary.length; group++) {
      if (Atomics.load(this.summary, group) === 0) continue;
      // The summary first: a page added from now on sets its summary bit again.
      forEachBit(Atomics.exchange(this.summary, group, 0), (index) => {
        const word = group * 32 + index;
        forEachBit(Atomics.exchange(this.words, word, 0), (bit) => {
          each((word * 32 + bit) * 2 ** PAGE_SHIFT);
        });
      });
    }
  }
}

function forEachBit(bits: number, use: (index: number) => void): void {
  for (let left = bits; left !== 0; left &= left - 1) use(31 - Math.clz32(left & -left));
}
