// What a single-instruction vector sees of memory and segments: the one description of it, read by
// the generator, by the runner on the host processor (through the vector file's header), and by
// whoever sets up a processor of ours to run the same vectors. Everything else is not present: the
// page before and after each run of regions is a guard page.

/** A run of pages at a fixed address. */
export interface Region {
  readonly address: bigint;
  readonly length: number;
  readonly writable: boolean;
}

/** The code region: readable and executable, not writable; the bytes around the code are NOPs. */
export const CODE_REGION: Region = { address: 0x1000_0000n, length: 0x2000, writable: false };

/**
 * The data regions, in arena order. The read-only page follows the writable pair, so that an operand
 * can begin in one and end in the other; the last lies above 4 GiB, out of reach of 32-bit addresses.
 */
export const DATA_REGIONS: readonly Region[] = [
  { address: 0x1001_0000n, length: 0x2000, writable: true },
  { address: 0x1001_2000n, length: 0x1000, writable: false },
  { address: 0x2345_6789_0000n, length: 0x1000, writable: true },
];

/** Bytes in all data regions together. */
export const ARENA_LENGTH: number = DATA_REGIONS.reduce((sum, region) => sum + region.length, 0);

/** Base of the segments other than the flat ones, in 16- and 32-bit mode. */
export const SEGMENT_BASE = 0x1001_0000;
/** Limit of {@link Selector.limited}, the offset of its last byte. */
export const SEGMENT_LIMIT = 0x0fff;

/** Limit of {@link Selector.down} and {@link Selector.down16}: they begin behind it. */
export const DOWN_LIMIT = 0x07ff;
/** Limit of 16-bit code, short of the region's end, where code then is #GP and not #PF. */
export const CODE16_LIMIT: number = CODE_REGION.length - 14;

/** The selectors of the vectors: Linux's own, and seven of the runner's LDT. */
export const Selector = {
  /** A null selector: any use of it in 16- or 32-bit mode is #GP. */
  null: 0,
  /** 32-bit code, flat. */
  code32: 0x23,
  /** 32-bit data, flat. */
  flat: 0x2b,
  /** 64-bit code. */
  code64: 0x33,
  /** LDT 0: 16-bit code, based at the code region, limit {@link CODE16_LIMIT}. */
  code16: 0x07,
  /** LDT 1: 16-bit data (a 16-bit stack), based at {@link SEGMENT_BASE}, 64 KiB. */
  stack16: 0x0f,
  /** LDT 2: 32-bit data, based at {@link SEGMENT_BASE}, 4 GiB. */
  based: 0x17,
  /** LDT 3: 32-bit data, based at {@link SEGMENT_BASE}, limit {@link SEGMENT_LIMIT}. */
  limited: 0x1f,
  /** LDT 4: 32-bit data, based at {@link SEGMENT_BASE}, expanding down to {@link DOWN_LIMIT}. */
  down: 0x27,
  /** LDT 5: the same with 16 bits, as data and as a stack. */
  down16: 0x2f,
  /** LDT 6: 32-bit data that cannot be written, based at {@link SEGMENT_BASE}, 64 KiB. */
  fixed: 0x37,
} as const;

/**
 * The arena's 32-bit word `index` under `seed`, before any patch: memory's contents in a vector.
 * The runner has the same function in C.
 */
export function noise(seed: number, index: number): number {
  let x = (seed + Math.imul(index, 0x9e3779b1)) | 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x85ebca77);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae3d);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Fills the whole arena with the contents that `seed` stands for. */
export function fillArena(arena: DataView, seed: number): void {
  for (let index = 0; index < ARENA_LENGTH / 4; index++) {
    arena.setUint32(index * 4, noise(seed, index), true);
  }
}

/** The arena offset of a data address, or -1 when it lies in no data region. */
export function arenaOffset(address: bigint): number {
  let start = 0;
  for (const region of DATA_REGIONS) {
    const offset = address - region.address;
    if (offset >= 0n && offset < BigInt(region.length)) return start + Number(offset);
    start += region.length;
  }
  return -1;
}
