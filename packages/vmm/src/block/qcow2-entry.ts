// Entries of L2 tables (qcow2, "Cluster mapping"): what a cluster of the disk is, in 64 bits.

/** Set in an entry of an L1 or L2 table whose cluster has the refcount 1; in the upper word. */
export const COPIED = 0x8000_0000;
const COMPRESSED = 0x4000_0000;
/** In the lower word. */
const ZERO = 1;
export const ENTRY_BYTES = 8;

/**
 * What a cluster of the disk is: `none` shows the backing file, or zeroes; `zero` reads as zeroes;
 * `data` lies in a cluster of the file; `compressed` is that; `invalid` is an entry that cannot be.
 */
export type MappingKind = 'none' | 'zero' | 'data' | 'compressed' | 'invalid';

/** A cluster of the disk. */
export interface Mapping {
  readonly kind: MappingKind;
  /** Where it lies in the file, in bytes; 0 if it does not. A `zero` cluster may have a place. */
  readonly host: number;
  /** True when nothing else refers to that place. */
  readonly copied: boolean;
  /** For compressed clusters: the bytes that may be needed, up to the end of the last sector. */
  readonly length: number;
}

const NONE: Mapping = { kind: 'none', host: 0, copied: false, length: 0 };
const PLAIN_ZERO: Mapping = { kind: 'zero', host: 0, copied: false, length: 0 };
const INVALID: Mapping = { kind: 'invalid', host: 0, copied: false, length: 0 };

/** The offset in an entry of an L1 table, or undefined if it is none: unaligned, or too large. */
export function l1Offset(table: DataView, index: number, clusterBytes: number): number | undefined {
  return offsetIn(table.getUint32(index * 8), table.getUint32(index * 8 + 4), clusterBytes);
}

function offsetIn(high: number, low: number, clusterBytes: number): number | undefined {
  const offset = (high & 0x00ff_ffff) * 2 ** 32 + (low & 0xffff_fe00 ? (low & ~0x1ff) >>> 0 : 0);
  return offset <= Number.MAX_SAFE_INTEGER && offset % clusterBytes === 0 ? offset : undefined;
}

/** Reads entry `index` of an L2 table; zero clusters exist in `version` 3. */
export function readMapping(
  table: DataView,
  index: number,
  clusterBits: number,
  version: number,
): Mapping {
  const high = table.getUint32(index * ENTRY_BYTES);
  const low = table.getUint32(index * ENTRY_BYTES + 4);
  if (high === 0) {
    if (low === 0) return NONE;
    if (low === ZERO && version >= 3) return PLAIN_ZERO;
  }
  if ((high & COMPRESSED) !== 0) return readCompressed(high, low, clusterBits);
  const host = offsetIn(high, low, 2 ** clusterBits);
  const zero = (low & ZERO) !== 0;
  if (host === undefined || (zero && version < 3) || (host === 0 && !zero)) return INVALID;
  return { kind: zero ? 'zero' : 'data', host, copied: (high & COPIED) !== 0, length: 0 };
}

/** The offset has the lower bits, the count of sectors after the first the upper ones. */
function readCompressed(high: number, low: number, clusterBits: number): Mapping {
  const offsetBits = 62 - (clusterBits - 8);
  const entry = (BigInt(high & 0x3fff_ffff) << 32n) | BigInt(low);
  const offset = entry & ((1n << BigInt(offsetBits)) - 1n);
  const sectors = Number(entry >> BigInt(offsetBits)) + 1;
  if (offset > BigInt(Number.MAX_SAFE_INTEGER - 2 ** 23) || offset === 0n) return INVALID;
  const host = Number(offset);
  return { kind: 'compressed', host, copied: false, length: sectors * 512 - (host % 512) };
}

/** Writes entry `index` of an L1 or L2 table: `host` is the only reference to a cluster, or 0. */
export function writeEntry(table: DataView, index: number, host: number, zero = false): void {
  const high = host === 0 ? 0 : (Math.floor(host / 2 ** 32) | COPIED) >>> 0;
  table.setUint32(index * ENTRY_BYTES, high);
  table.setUint32(index * ENTRY_BYTES + 4, (host % 2 ** 32) + (zero ? ZERO : 0));
}
