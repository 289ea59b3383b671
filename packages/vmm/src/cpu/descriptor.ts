// Segment descriptors (SDM vol. 3A, 3.4.5) and what the processor keeps of them: selector, base,
// limit in bytes, and access rights in the VMX format (vol. 3C, 25.4.1). All functions here only
// build expressions; `descriptor` is the 8 bytes of the table entry.

import { c32, c64, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import { hasBits } from './control-bits.ts';
import { AR_DB, AR_DPL_SHIFT, AR_L, AR_P, AR_S, AR_UNUSABLE } from './state.ts';

/** Bits of the type field of code and data descriptors (3.4.5.1). */
const TYPE_WRITABLE = 2;
const TYPE_READABLE = 2;
export const TYPE_EXPAND_DOWN = 4;
const TYPE_CONFORMING = 4;
export const TYPE_CODE = 8;

/**
 * Types of system descriptors (3.5, tables 3-2); the 32-bit ones are the 64-bit ones in IA-32e
 * mode.
 */
export const SYSTEM_TYPE = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss: 9,
  tssBusy: 11,
  callGate: 12,
  interruptGate: 14,
  trapGate: 15,
} as const;

/** Access rights of flat segments, as SYSCALL, SYSENTER and their returns set them (DPL 0). */
export const AR_FLAT_CODE64 = 0xa09b;
export const AR_FLAT_CODE32 = 0xc09b;
export const AR_FLAT_DATA = 0xc093;
/** Access rights that a segment register gets by being loaded in real-address mode. */
export const AR_REAL = 0x93;

/** Access rights of every segment in virtual-8086 mode (vol. 3C, 26.3.1.2). */
export const AR_VIRTUAL = 0xf3;

/** The type field in the second half of a 16-byte descriptor, which must be zero (7.2.3). */
export const HIGH_TYPE = 0x1f0000000000n;

/** The base address, 32 bits. */
export const descriptorBase = (descriptor: I64): I64 =>
  i64.or(
    i64.and(i64.shr_u(descriptor, c64(16)), c64(0xffffff)),
    i64.and(i64.shr_u(descriptor, c64(32)), c64(0xff000000)),
  );

/** The access rights, VMX format. */
export const descriptorAr = (descriptor: I64): I32 =>
  i32.and(i32.wrap(i64.shr_u(descriptor, c64(40))), c32(0xf0ff));

/** The limit in bytes, granularity applied. */
export function descriptorLimit(descriptor: I64): I32 {
  const raw = i32.or(
    i32.and(i32.wrap(descriptor), c32(0xffff)),
    i32.and(i32.wrap(i64.shr_u(descriptor, c64(32))), c32(0xf0000)),
  );
  const granular = i32.and(i32.wrap(i64.shr_u(descriptor, c64(55))), c32(1));
  return select(granular, i32.or(i32.shl(raw, c32(12)), c32(0xfff)), raw);
}

/** The offset in a gate: 32 bits. */
export const gateOffset = (gate: I64): I64 =>
  i64.or(i64.and(gate, c64(0xffff)), i64.and(i64.shr_u(gate, c64(32)), c64(0xffff0000)));

/** The selector in a gate. */
export const gateSelector = (gate: I64): I32 =>
  i32.and(i32.wrap(i64.shr_u(gate, c64(16))), c32(0xffff));

/** DPL, 0..3, of access rights. */
export const dplOf = (ar: I32): I32 => i32.and(i32.shr_u(ar, c32(AR_DPL_SHIFT)), c32(3));

export const isPresent = (ar: I32): I32 => hasBits(ar, AR_P);
export const isUsable = (ar: I32): I32 => i32.eqz(i32.and(ar, c32(AR_UNUSABLE)));

/** 1 for a code segment. */
export const isCode = (ar: I32): I32 =>
  i32.eq(i32.and(ar, c32(AR_S | TYPE_CODE)), c32(AR_S | TYPE_CODE));

/** 1 for a conforming code segment, given that it is a code segment. */
export const isConforming = (ar: I32): I32 => hasBits(ar, TYPE_CONFORMING);

/** 1 for a data segment that can be written. */
export const isWritableData = (ar: I32): I32 =>
  i32.eq(i32.and(ar, c32(AR_S | TYPE_CODE | TYPE_WRITABLE)), c32(AR_S | TYPE_WRITABLE));

/** 1 for data and for readable code segments. */
export const isReadable = (ar: I32): I32 =>
  i32.and(hasBits(ar, AR_S), i32.ne(i32.and(ar, c32(TYPE_CODE | TYPE_READABLE)), c32(TYPE_CODE)));

/** 1 for 64-bit code: L set and D clear. */
export const is64BitCode = (ar: I32): I32 => i32.eq(i32.and(ar, c32(AR_L | AR_DB)), c32(AR_L));

/** 1 for the null selectors 0 to 3. */
export const isNull = (selector: I32): I32 => i32.eqz(i32.and(selector, c32(0xfffc)));

/** RPL, 0..3, of a selector. */
export const rplOf = (selector: I32): I32 => i32.and(selector, c32(3));

/** The error code that names `selector` (6.13); `ext` is 0 or 1. */
export const selectorCode = (selector: I32, ext: I32 | number = 0): I32 =>
  i32.or(i32.and(selector, c32(0xfffc)), typeof ext === 'number' ? c32(ext) : ext);
