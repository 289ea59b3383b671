// The header of a qcow2 image and its extensions, versions 2 and 3, after "QCOW2 image format"
// (docs/interop/qcow2 of QEMU), sections "Header" to "Bitmaps extension". Whatever an image needs
// that is not here is refused by name: encryption, external data files, extended L2 entries, and
// features that the document does not know.

import { type Errno, VmmError } from '../base/errors.ts';

/** "QFI\xfb", the first four bytes. */
export const QCOW2_MAGIC = 0x5146_49fb;
export const CLUSTER_BITS_MIN = 9;
/** QEMU's limit: 2 MiB. */
export const CLUSTER_BITS_MAX = 21;
/** QEMU's limit of the active L1 table, 32 MiB, so that no header makes us allocate more. */
const L1_BYTES_MAX = 32 << 20;
/** QEMU's limit of the refcount table, 8 MiB. */
const REFCOUNT_TABLE_BYTES_MAX = 8 << 20;
/** QEMU's limit. */
const SNAPSHOTS_MAX = 65536;
const BACKING_NAME_BYTES_MAX = 1023;
/** The part of the header that is written in place: less than any sector. */
export const HEADER_BYTES_MAX = 512;

const V2_BYTES = 72;
const V3_BYTES = 104;
const REFCOUNT_ORDER_V2 = 4;

// Where the fields that change are.
export const AT_REFCOUNT_TABLE = 48;
export const AT_INCOMPATIBLE = 72;
export const AT_AUTOCLEAR = 88;

// Incompatible features.
export const INCOMPAT_DIRTY: bigint = 1n << 0n;
export const INCOMPAT_CORRUPT: bigint = 1n << 1n;
const INCOMPAT_DATA_FILE = 1n << 2n;
const INCOMPAT_COMPRESSION = 1n << 3n;
const INCOMPAT_EXTENDED_L2 = 1n << 4n;
const INCOMPAT_KNOWN = 0x1fn;

/** Autoclear feature: the bitmaps of the extension are up to date. */
export const AUTOCLEAR_BITMAPS: bigint = 1n << 0n;

const EXTENSION_END = 0;
export const EXTENSION_BACKING_FORMAT = 0xe279_2aca;
const EXTENSION_FEATURE_NAMES = 0x6803_f857;
const EXTENSION_BITMAPS = 0x2385_2875;

const FEATURE_NAME_BYTES = 48;
const BITMAPS_BYTES = 24;

/** How the compressed clusters of an image are compressed. */
export type Compression = 'deflate' | 'zstd';

/** An image that the data of a newer one is laid over. */
export interface BackingReference {
  /** As the header has it: a path relative to the image's folder, as a rule. */
  readonly name: string;
  /** The format, if the header says. */
  readonly format?: string;
}

/** Where the directory of persistent bitmaps lies. */
export interface BitmapsReference {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
}

/** What a header says. Sizes and offsets are in bytes. */
export interface Qcow2Header {
  readonly version: number;
  readonly clusterBits: number;
  readonly sizeBytes: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  /** log2 of the bits of a refcount. */
  readonly refcountOrder: number;
  readonly snapshots: number;
  readonly snapshotsOffset: number;
  readonly incompatible: bigint;
  readonly autoclear: bigint;
  readonly compression: Compression;
  readonly backing?: BackingReference;
  readonly bitmaps?: BitmapsReference;
}

/** True when `bytes`, the beginning of a file, are those of a qcow2 image. */
export function isQcow2(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && viewOf(bytes).getUint32(0) === QCOW2_MAGIC;
}

/** The size of a cluster in bytes, of an image that starts with `bytes`, at least 24 of them. */
export function clusterBytesOf(bytes: Uint8Array, name: string): number {
  const view = viewOf(bytes);
  if (view.getUint32(0) !== QCOW2_MAGIC) throw refusal(name, 'is no qcow2 image');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) {
    throw refusal(name, `has version ${version} of the qcow2 format: only 2 and 3 are known`);
  }
  const bits = view.getUint32(20);
  if (bits >= CLUSTER_BITS_MIN && bits <= CLUSTER_BITS_MAX) return 2 ** bits;
  throw refusal(name, `has clusters of 2^${bits} bytes: 2^9 to 2^21 are possible`);
}

/**
 * Reads the header in `bytes`, the first cluster of the image `name`. VmmError says what cannot be:
 * a header that contradicts itself, or a feature that is not supported.
 */
export function parseHeader(bytes: Uint8Array, name: string): Qcow2Header {
  const view = viewOf(bytes);
  const clusterBytes = clusterBytesOf(bytes, name);
  const version = view.getUint32(4);
  const offset = (at: number, what: string): number => offsetAt(view, at, what, name);
  const headerBytes = version === 2 ? V2_BYTES : view.getUint32(100);
  if (headerBytes < (version === 2 ? V2_BYTES : V3_BYTES) || headerBytes > clusterBytes) {
    throw refusal(name, `has a header of ${headerBytes} bytes, which cannot be`);
  }
  const order = version === 2 ? REFCOUNT_ORDER_V2 : view.getUint32(96);
  if (order > 6) throw refusal(name, `has refcounts of 2^${order} bits: at most 64 are possible`);
  const backingOffset = offset(8, 'name of the backing file');
  const extensions = parseExtensions(bytes, headerBytes, backingOffset, name);
  const incompatible = version === 2 ? 0n : view.getBigUint64(AT_INCOMPATIBLE);
  refuseFeatures(incompatible, extensions.get(EXTENSION_FEATURE_NAMES), name);
  if (view.getUint32(32) !== 0) throw refusal(name, 'is encrypted, which is not supported');
  const bitmaps = parseBitmaps(extensions.get(EXTENSION_BITMAPS), name);
  const backing = parseBacking(bytes, backingOffset, extensions, name);
  const header: Qcow2Header = {
    version,
    clusterBits: Math.log2(clusterBytes),
    sizeBytes: offset(24, 'size'),
    l1Entries: view.getUint32(36),
    l1Offset: offset(40, 'L1 table'),
    refcountTableOffset: offset(AT_REFCOUNT_TABLE, 'refcount table'),
    refcountTableClusters: view.getUint32(56),
    refcountOrder: order,
    snapshots: view.getUint32(60),
    snapshotsOffset: offset(64, 'snapshot table'),
    incompatible,
    autoclear: version === 2 ? 0n : view.getBigUint64(AT_AUTOCLEAR),
    compression: parseCompression(bytes, incompatible, headerBytes, name),
    ...(backing === undefined ? {} : { backing }),
    ...(bitmaps === undefined ? {} : { bitmaps }),
  };
  checkTables(header, clusterBytes, name);
  return header;
}

/** A refusal of the image `name`, with what is the matter as "is ..." or "has ...". */
export function refusal(name: string, what: string, code: Errno = 'EINVAL'): VmmError {
  return new VmmError(code, `Disk ${name} ${what}.`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function offsetAt(view: DataView, at: number, what: string, name: string): number {
  const value = view.getBigUint64(at);
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw refusal(name, `is corrupt: its header has 0x${value.toString(16)} for the ${what}`);
}

function checkTables(header: Qcow2Header, clusterBytes: number, name: string): void {
  const { l1Entries, l1Offset, refcountTableOffset, refcountTableClusters } = header;
  const aligned = (offset: number): boolean => offset % clusterBytes === 0 && offset !== 0;
  if (header.sizeBytes === 0) throw refusal(name, 'is empty');
  if (l1Entries * 8 > L1_BYTES_MAX) {
    throw refusal(name, `has an L1 table of ${l1Entries} entries, more than 32 MB`);
  }
  if (l1Entries < l1EntriesFor(header.sizeBytes, header.clusterBits)) {
    throw refusal(name, `is corrupt: its L1 table of ${l1Entries} entries is too small`);
  }
  if (!aligned(l1Offset)) throw refusal(name, 'is corrupt: its L1 table is not aligned');
  if (refcountTableClusters * clusterBytes > REFCOUNT_TABLE_BYTES_MAX) {
    throw refusal(name, `has a refcount table of ${refcountTableClusters} clusters, over 8 MB`);
  }
  if (!aligned(refcountTableOffset)) {
    throw refusal(name, 'is corrupt: its refcount table is not aligned');
  }
  if (header.snapshots > SNAPSHOTS_MAX) {
    throw refusal(name, `has ${header.snapshots} snapshots, more than ${SNAPSHOTS_MAX}`);
  }
  if (header.snapshots > 0 && !aligned(header.snapshotsOffset)) {
    throw refusal(name, 'is corrupt: its snapshot table is not aligned');
  }
}

/** How many entries the L1 table of a disk of `sizeBytes` needs. */
export function l1EntriesFor(sizeBytes: number, clusterBits: number): number {
  return Math.ceil(sizeBytes / 2 ** (2 * clusterBits - 3));
}

/**
 * The header extensions by type. They end with the cluster, or where the name of the backing file
 * begins: OpenBSD's images have that right behind the header, without an end mark before it.
 */
function parseExtensions(
  bytes: Uint8Array,
  headerBytes: number,
  backingOffset: number,
  name: string,
): Map<number, Uint8Array> {
  const view = viewOf(bytes);
  const extensions = new Map<number, Uint8Array>();
  const end = backingOffset === 0 ? bytes.length : Math.min(bytes.length, backingOffset);
  let at = headerBytes;
  while (at + 8 <= end) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION_END) break;
    if (at + 8 + length > end) throw refusal(name, 'is corrupt: a header extension has no end');
    extensions.set(type, bytes.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return extensions;
}

function parseBacking(
  bytes: Uint8Array,
  offset: number,
  extensions: ReadonlyMap<number, Uint8Array>,
  name: string,
): BackingReference | undefined {
  if (offset === 0) return undefined;
  const length = viewOf(bytes).getUint32(16);
  if (length > BACKING_NAME_BYTES_MAX || offset + length > bytes.length) {
    throw refusal(name, 'is corrupt: the name of its backing file is not in its first cluster');
  }
  if (length === 0) return undefined;
  const backing = textOf(bytes.subarray(offset, offset + length));
  const format = extensions.get(EXTENSION_BACKING_FORMAT);
  return format === undefined ? { name: backing } : { name: backing, format: textOf(format) };
}

function parseBitmaps(data: Uint8Array | undefined, name: string): BitmapsReference | undefined {
  if (data === undefined) return undefined;
  if (data.length < BITMAPS_BYTES) throw refusal(name, 'is corrupt: its bitmaps have no directory');
  const view = viewOf(data);
  return {
    count: view.getUint32(0),
    bytes: offsetAt(view, 8, 'bitmap directory', name),
    offset: offsetAt(view, 16, 'bitmap directory', name),
  };
}

function parseCompression(
  bytes: Uint8Array,
  incompatible: bigint,
  headerBytes: number,
  name: string,
): Compression {
  if ((incompatible & INCOMPAT_COMPRESSION) === 0n) return 'deflate';
  const type = headerBytes > V3_BYTES ? bytes[V3_BYTES] : 0;
  if (type === 1) return 'zstd';
  throw refusal(name, `has clusters compressed by method ${type}, which is not known`);
}

function refuseFeatures(incompatible: bigint, names: Uint8Array | undefined, name: string): void {
  if ((incompatible & INCOMPAT_DATA_FILE) !== 0n) {
    throw refusal(name, 'has its data in an external file, which is not supported');
  }
  if ((incompatible & INCOMPAT_EXTENDED_L2) !== 0n) {
    throw refusal(name, 'has extended L2 entries (subclusters), which are not supported');
  }
  let unknown = incompatible & ~INCOMPAT_KNOWN;
  for (let bit = 0; unknown !== 0n; bit++, unknown >>= 1n) {
    if ((unknown & 1n) === 0n) continue;
    const text = featureName(names, bit) ?? 'without a name';
    throw refusal(name, `needs the feature ${text} (bit ${bit}), which is not supported`);
  }
}

/** The name of an incompatible feature in the feature name table. */
function featureName(table: Uint8Array | undefined, bit: number): string | undefined {
  if (table === undefined) return undefined;
  for (let at = 0; at + FEATURE_NAME_BYTES <= table.length; at += FEATURE_NAME_BYTES) {
    if (table[at] !== 0 || table[at + 1] !== bit) continue;
    const text = textOf(table.subarray(at + 2, at + FEATURE_NAME_BYTES)).replace(/\0.*/s, '');
    return `"${printable(text)}"`;
  }
  return undefined;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** `text` of an image, which may be hostile, without what a terminal would act on. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}
