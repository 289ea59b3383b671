// The runner's two files: vectors in, results out. The layouts are those of the structs in runner.c,
// little endian, every record on a multiple of 8; the offsets below are theirs.

import {
  CODE_REGION,
  CODE16_LIMIT,
  DATA_REGIONS,
  DOWN_LIMIT,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
} from './layout.ts';

/** Code size of a vector: 64-bit mode, or 32- and 16-bit compatibility mode. */
export type VectorMode = 16 | 32 | 64;

/** Segment selectors of the data segments. */
export interface Selectors {
  ds: number;
  es: number;
  fs: number;
  gs: number;
  ss: number;
}

/** Bytes at an offset of the arena: set before the instruction (a patch) or by it (a change). */
export interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Everything that one instruction can see. */
export interface SiliconVector {
  readonly mode: VectorMode;
  /** The instruction, at most 24 bytes. */
  readonly code: Uint8Array;
  /** Single-step traps to take while RIP stays at the instruction (REP); at least 1. */
  readonly steps: number;
  /** Seed of memory's contents, 32 bits. */
  readonly seed: number;
  /** Address of the instruction; in 16-bit mode its offset from the code region's start. */
  readonly rip: bigint;
  /** RFLAGS without TF, which is always set. */
  readonly rflags: number;
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8-R15. */
  readonly gpr: BigUint64Array;
  /** In 64-bit mode the bases; in the others they come from the selectors. */
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  readonly selectors: Selectors;
  /** FXSAVE64 image, 512 bytes, of which x87, MXCSR and XMM0-15 count. */
  readonly fx: Uint8Array;
  /** The upper halves of YMM0-15, 256 bytes. */
  readonly ymm: Uint8Array;
  readonly patches: readonly Piece[];
}

/** How an instruction ended. */
export interface SiliconResult {
  /** The exception's vector number: 1, the single-step trap, when the instruction completed. */
  readonly trap: number;
  /** The signal by which the runner heard of it. */
  readonly signal?: number;
  readonly errorCode: number;
  /** Single-step traps taken, the last exception included. */
  readonly steps: number;
  readonly rip: bigint;
  readonly rflags: number;
  readonly gpr: BigUint64Array;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  readonly selectors: Selectors;
  readonly cs: number;
  /** The faulting address; meaningful for a page fault only. */
  readonly cr2: bigint;
  readonly fx: Uint8Array;
  readonly ymm: Uint8Array;
  /** Runs of bytes of the arena that the instruction changed, in ascending order. */
  readonly changes: readonly Piece[];
}

/** What the host that ran the vectors is capable of. */
export interface Capabilities {
  /** 32- and 16-bit code, and an LDT with their segments. */
  readonly compatibility: boolean;
  /** RDFSBASE and its kin in user mode. */
  readonly fsgsbase: boolean;
}

const VECTOR_MAGIC = 0x564c4953;
const RESULT_MAGIC = 0x524c4953;
const FORMAT_VERSION = 2;
const FILE_HEADER_BYTES = 64;
const REGION_BYTES = 16;
const RESULT_HEADER_BYTES = 16;
const VECTOR_BYTES = 984;
const RESULT_BYTES = 968;
const CODE_BYTES_MAX = 24;
const FX_BYTES = 512;
const YMM_BYTES = 256;

const VECTOR_GPR = 32;
const VECTOR_BASES = 160;
const VECTOR_SELECTORS = 176;
const VECTOR_PATCH_COUNT = 188;
const VECTOR_CODE = 192;
const VECTOR_FX = 216;
const VECTOR_YMM = 728;

const RESULT_GPR = 32;
const RESULT_BASES = 160;
const RESULT_SELECTORS = 176;
const RESULT_CHANGE_COUNT = 188;
const RESULT_CR2 = 192;
const RESULT_FX = 200;
const RESULT_YMM = 712;

const SELECTOR_ORDER = ['ds', 'es', 'fs', 'gs', 'ss'] as const;

const pieceBytes = (length: number): number => 8 + ((length + 7) & ~7);

function vectorBytes(vector: SiliconVector): number {
  let size = VECTOR_BYTES;
  for (const patch of vector.patches) size += pieceBytes(patch.bytes.length);
  return size;
}

function writeHeader(view: DataView, count: number): void {
  view.setUint32(0, VECTOR_MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  view.setUint32(8, count, true);
  view.setUint32(12, DATA_REGIONS.length, true);
  view.setBigUint64(16, CODE_REGION.address, true);
  view.setUint32(24, CODE_REGION.length, true);
  view.setUint32(28, SEGMENT_BASE, true);
  view.setUint32(32, SEGMENT_LIMIT, true);
  view.setUint32(36, CODE16_LIMIT, true);
  view.setUint32(40, DOWN_LIMIT, true);
  DATA_REGIONS.forEach((region, index) => {
    const at = FILE_HEADER_BYTES + index * REGION_BYTES;
    view.setBigUint64(at, region.address, true);
    view.setUint32(at + 8, region.length, true);
    view.setUint32(at + 12, region.writable ? 1 : 0, true);
  });
}

function writeVector(view: DataView, bytes: Uint8Array, at: number, vector: SiliconVector): number {
  if (vector.code.length > CODE_BYTES_MAX) throw new RangeError('a vector has too much code');
  const size = vectorBytes(vector);
  view.setUint32(at, size, true);
  view.setUint16(at + 4, vector.mode, true);
  view.setUint16(at + 6, vector.code.length, true);
  view.setUint32(at + 8, vector.steps, true);
  view.setUint32(at + 12, vector.seed, true);
  view.setBigUint64(at + 16, vector.rip, true);
  view.setUint32(at + 24, vector.rflags, true);
  vector.gpr.forEach((value, index) => {
    view.setBigUint64(at + VECTOR_GPR + index * 8, value, true);
  });
  view.setBigUint64(at + VECTOR_BASES, vector.fsBase, true);
  view.setBigUint64(at + VECTOR_BASES + 8, vector.gsBase, true);
  SELECTOR_ORDER.forEach((name, index) => {
    view.setUint16(at + VECTOR_SELECTORS + index * 2, vector.selectors[name], true);
  });
  view.setUint32(at + VECTOR_PATCH_COUNT, vector.patches.length, true);
  bytes.set(vector.code, at + VECTOR_CODE);
  bytes.set(vector.fx, at + VECTOR_FX);
  bytes.set(vector.ymm, at + VECTOR_YMM);
  let piece = at + VECTOR_BYTES;
  for (const patch of vector.patches) {
    view.setUint32(piece, patch.offset, true);
    view.setUint32(piece + 4, patch.bytes.length, true);
    bytes.set(patch.bytes, piece + 8);
    piece += pieceBytes(patch.bytes.length);
  }
  return at + size;
}

/** The vector file for `vectors`. */
export function encodeVectors(vectors: readonly SiliconVector[]): Uint8Array {
  let size = FILE_HEADER_BYTES + DATA_REGIONS.length * REGION_BYTES;
  let at = size;
  for (const vector of vectors) size += vectorBytes(vector);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  writeHeader(view, vectors.length);
  for (const vector of vectors) at = writeVector(view, bytes, at, vector);
  return bytes;
}

function readChanges(view: DataView, bytes: Uint8Array, at: number): Piece[] {
  const changes: Piece[] = [];
  const count = view.getUint32(at + RESULT_CHANGE_COUNT, true);
  let piece = at + RESULT_BYTES;
  for (let index = 0; index < count; index++) {
    const length = view.getUint32(piece + 4, true);
    const offset = view.getUint32(piece, true);
    changes.push({ offset, bytes: bytes.slice(piece + 8, piece + 8 + length) });
    piece += pieceBytes(length);
  }
  return changes;
}

function readResult(view: DataView, bytes: Uint8Array, at: number): SiliconResult {
  const gpr = new BigUint64Array(16);
  for (let index = 0; index < 16; index++) {
    gpr[index] = view.getBigUint64(at + RESULT_GPR + index * 8, true);
  }
  const selectors = { ds: 0, es: 0, fs: 0, gs: 0, ss: 0 };
  SELECTOR_ORDER.forEach((name, index) => {
    selectors[name] = view.getUint16(at + RESULT_SELECTORS + index * 2, true);
  });
  return {
    trap: view.getUint16(at + 4, true),
    signal: view.getUint16(at + 6, true),
    errorCode: view.getUint32(at + 8, true),
    steps: view.getUint32(at + 12, true),
    rip: view.getBigUint64(at + 16, true),
    rflags: view.getUint32(at + 24, true),
    gpr,
    fsBase: view.getBigUint64(at + RESULT_BASES, true),
    gsBase: view.getBigUint64(at + RESULT_BASES + 8, true),
    selectors,
    cs: view.getUint16(at + RESULT_SELECTORS + 10, true),
    cr2: view.getBigUint64(at + RESULT_CR2, true),
    fx: bytes.slice(at + RESULT_FX, at + RESULT_FX + FX_BYTES),
    ymm: bytes.slice(at + RESULT_YMM, at + RESULT_YMM + YMM_BYTES),
    changes: readChanges(view, bytes, at),
  };
}

/** Reads a result file. Throws when it is not one, or not of `count` results. */
export function decodeResults(
  bytes: Uint8Array,
  count: number,
): { results: SiliconResult[]; capabilities: Capabilities } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < RESULT_HEADER_BYTES || view.getUint32(0, true) !== RESULT_MAGIC) {
    throw new Error('The runner wrote no result file.');
  }
  const found = view.getUint32(8, true);
  if (found !== count) throw new Error(`The runner wrote ${found} results for ${count} vectors.`);
  const bits = view.getUint32(12, true);
  const results: SiliconResult[] = [];
  let at = RESULT_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    results.push(readResult(view, bytes, at));
    at += view.getUint32(at, true);
  }
  return {
    results,
    capabilities: {
      compatibility: (bits & 1) !== 0,
      fsgsbase: (bits & 2) !== 0,
    },
  };
}
