// The entries of a refcount block, 1 to 64 bits wide (qcow2, "Host cluster management"): big-endian
// from a byte on, and below that with the first entry in the least significant bits.

/** How the refcounts of an image are stored. */
export interface RefcountWidth {
  readonly bits: number;
  /** The largest refcount, at most 2^53 - 1. */
  readonly max: number;
  get(block: DataView, index: number): number;
  set(block: DataView, index: number, count: number): void;
}

function subByte(bits: number): RefcountWidth {
  const max = 2 ** bits - 1;
  return {
    bits,
    max,
    get: (block, index) => (block.getUint8((index * bits) >>> 3) >>> ((index * bits) & 7)) & max,
    set(block, index, count) {
      const at = (index * bits) >>> 3;
      const shift = (index * bits) & 7;
      block.setUint8(at, (block.getUint8(at) & ~(max << shift)) | (count << shift));
    },
  };
}

const WIDTHS: readonly RefcountWidth[] = [
  subByte(1),
  subByte(2),
  subByte(4),
  {
    bits: 8,
    max: 0xff,
    get: (block, index) => block.getUint8(index),
    set: (block, index, count) => block.setUint8(index, count),
  },
  {
    bits: 16,
    max: 0xffff,
    get: (block, index) => block.getUint16(index * 2),
    set: (block, index, count) => block.setUint16(index * 2, count),
  },
  {
    bits: 32,
    max: 0xffff_ffff,
    get: (block, index) => block.getUint32(index * 4),
    set: (block, index, count) => block.setUint32(index * 4, count),
  },
  {
    bits: 64,
    max: Number.MAX_SAFE_INTEGER,
    get: (block, index) => block.getUint32(index * 8) * 2 ** 32 + block.getUint32(index * 8 + 4),
    set(block, index, count) {
      block.setUint32(index * 8, Math.floor(count / 2 ** 32));
      block.setUint32(index * 8 + 4, count % 2 ** 32);
    },
  },
];

/** The width of refcounts of 2^`order` bits; `order` from 0 to 6. */
export function refcountWidth(order: number): RefcountWidth {
  return WIDTHS[order]!;
}
