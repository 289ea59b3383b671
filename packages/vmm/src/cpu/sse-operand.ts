// Operands of the vector instructions: XMM and MMX registers, and memory of their sizes. SDM vol.
// 2A, 3.1.1.3 (operand notation); vol. 1, 9.5 and 9.6 (MMX and the x87 state); vol. 3A, 2.3 and
// 6.15.
//
// The semantics of MMX and SSE share their operations: an MMX operand is handled as a vector whose
// upper half does not count. Rules that hold for all of them are kept here:
//  - A 128-bit memory operand must be aligned to 16 bytes, or #GP(0), if the row says so.
//  - An MMX instruction takes a pending x87 exception first (#MF), and leaves the x87 stack with
//    TOP = 0 and every register in use; the exponent word of a register that it writes is all ones.

import { c32, c64, type I32, type I64, i32, i64, type V128 } from '../wasm/expr.ts';
import { i32x4, i64x2, v128 } from '../wasm/simd.ts';
import type { Context } from './context.ts';
import { S, VECTOR } from './state.ts';

/** ES, the exception summary of the x87 status word: an unmasked exception is pending. */
const FSW_ES = 1 << 7;
/** TOP, three bits of the x87 status word. */
const FSW_TOP = 7 << 11;
/** CF in the word of carries: set, with OF clear (lazy-flags.ts). */
const CARRY = c64(0xc000_0000_0000_0000n);
/** Offset of sign and exponent from an x87 register's significand. */
const EXPONENT = 8;

/** True when operand `i` is of an MMX type (in register or memory). */
export const isMmx = (x: Context, i: number): boolean => x.row.operands[i].type.startsWith('mm');

/** True when operand `i` is of an XMM type (in register or memory). */
export const isXmm = (x: Context, i: number): boolean => x.row.operands[i].type.startsWith('xmm');

/** The 8-bit immediate, operand `i`. */
export const immediate8 = (x: Context, i: number): I32 => i32.wrap(x.read(i));

/** Takes a pending x87 exception: what every MMX instruction begins with. */
export function pendingX87(x: Context): void {
  const pending = i32.and(i32.load16_u(x.cpu, S.fsw), c32(FSW_ES));
  x.raise(VECTOR.MF, { when: pending });
}

/** The transition from x87 to MMX: TOP = 0, all registers in use. After the last possible fault. */
export function enterMmx(x: Context): void {
  const status = i32.and(i32.load16_u(x.cpu, S.fsw), c32(~FSW_TOP));
  x.f.store16(x.cpu, status, S.fsw);
  x.f.store8(x.cpu, c32(0xff), S.ftw);
}

/** What begins a vector instruction: the check of x87 if any operand is an MMX register. */
export function begin(x: Context): void {
  if (x.row.operands.some((_, i) => isMmx(x, i))) pendingX87(x);
}

/** Linear address of the 16-byte memory operand; alignment checked if the row wants it. */
function linear128(x: Context, write: boolean): I64 {
  const linear = x.f.let(x.linearAddress(16, write));
  if (x.row.aligned) {
    const low = i32.and(i32.wrap(linear), c32(15));
    x.raise(VECTOR.GP, { code: c32(0), when: low });
  }
  return linear;
}

/** All 16 bytes of operand `i`, an XMM register or 16 bytes of memory. */
export function source128(x: Context, i: number): V128 {
  if (x.inMemory(i)) return x.f.let(x.load128(linear128(x, false)));
  return x.f.let(v128.load(x.xmmAddress(i)));
}

/**

 * The low `bytes` bytes of operand `i`, an XMM register or so many bytes of memory,

 * zero-extended.

 */
export function sourceScalar(x: Context, i: number, bytes: 2 | 4 | 8): I64 {
  if (x.inMemory(i)) return x.f.let(x.load(bytes, x.linearAddress(bytes, false)));
  const address = isMmx(x, i) ? x.mmAddress(i) : x.xmmAddress(i);
  if (bytes === 2) return x.f.let(i64.load16_u(address));
  return x.f.let(bytes === 4 ? i64.load32_u(address) : i64.load(address));
}

/** Bytes of operand `i` in memory, by its type. */
function memoryBytes(x: Context, i: number): 2 | 4 | 8 | 16 {
  const { type } = x.row.operands[i];
  if (type.endsWith('m128')) return 16;
  if (type.endsWith('m64')) return 8;
  return type.endsWith('m32') ? 4 : 2;
}

/**
 * Operand `i` as a vector. A register counts whole; what memory of fewer than 16 bytes leaves, and
 * the upper half of an MMX register, is zero.
 */
export function sourceVector(x: Context, i: number): V128 {
  if (x.row.operands[i].type === 'xmm0') return x.f.let(v128.load(x.xmmAddress(i)));
  if (x.inMemory(i)) {
    const bytes = memoryBytes(x, i);
    if (bytes === 16) return source128(x, i);
    const value = x.load(bytes, x.linearAddress(bytes, false));
    return x.f.let(i64x2.replace_lane(ZERO, 0, value));
  }
  if (isMmx(x, i)) return x.f.let(v128.load64_zero(x.mmAddress(i)));
  return x.f.let(v128.load(x.xmmAddress(i)));
}

/** State address of register operand `i`, XMM or MMX. To be kept: it takes a load. */
export const registerAddress = (x: Context, i: number): I32 =>
  isMmx(x, i) ? x.mmAddress(i) : x.xmmAddress(i);

/** Operand 0, a vector register that is read and written. */
export interface Destination {
  readonly address: I32;
  /** Its value before; the upper half of an MMX register is zero. */
  readonly value: V128;
  /** Writes all of an XMM register, or an MMX register from the low half. */
  write(result: V128): void;
}

/** Operand 0, read now. The sources in memory are to be read before: they can fault. */
export function destination(x: Context): Destination {
  const address = registerAddress(x, 0);
  const value = isMmx(x, 0) ? v128.load64_zero(address) : v128.load(address);
  return {
    address,
    value: x.f.let(value),
    write(result) {
      if (isMmx(x, 0)) writeMmx(x, address, i64x2.extract_lane(result, 0));
      else x.f.storeV128(address, result);
    },
  };
}

/** Writes register operand 0, which is not read: as {@link Destination.write}. */
export function writeVector(x: Context, value: V128): void {
  const address = registerAddress(x, 0);
  if (isMmx(x, 0)) writeMmx(x, address, i64x2.extract_lane(value, 0));
  else x.f.storeV128(address, value);
}

/** Writes the MMX register at `address`, after the transition or before. */
export function storeMmx(x: Context, address: I32, value: I64): void {
  x.f.store64(address, value);
  x.f.store16(address, c32(0xffff), EXPONENT);
}

/** Writes the MMX register at `address` and makes the transition. */
export function writeMmx(x: Context, address: I32, value: I64): void {
  storeMmx(x, address, value);
  enterMmx(x);
}

/** Writes all 16 bytes of operand `i`, an XMM register or memory. */
export function write128(x: Context, i: number, value: V128): void {
  if (x.inMemory(i)) x.store128(linear128(x, true), value);
  else x.f.storeV128(x.xmmAddress(i), value);
}

/** Writes the low `bytes` bytes of operand `i`, an XMM register (the rest stays) or memory. */
export function writeScalar(x: Context, i: number, bytes: 4 | 8, value: I64): void {
  if (x.inMemory(i)) x.store(bytes, x.linearAddress(bytes, true), value);
  else x.f.storeLow(bytes, x.xmmAddress(i), value);
}

/** Writes XMM register operand `i`: `value` in the low half, zeros above. */
export function writeZeroExtended(x: Context, i: number, value: I64): void {
  x.f.storeV128(x.xmmAddress(i), i64x2.replace_lane(ZERO, 0, value));
}

/** The vector with these 32-bit lanes, lowest first. */
export function lanes32(...lanes: readonly number[]): V128 {
  const byte = (i: number): number => (lanes[i >> 2] >>> (8 * (i & 3))) & 0xff;
  return v128.const(Array.from({ length: 16 }, (_, i) => byte(i)));
}

/** The vector with these 16-bit lanes, lowest first. */
export const lanes16 = (...lanes: readonly number[]): V128 =>
  v128.const(lanes.flatMap((lane) => [lane & 0xff, (lane >> 8) & 0xff]));

/** All bits zero. */
export const ZERO: V128 = lanes32(0, 0, 0, 0);
/** Bytes 0 to 15. */
export const IOTA: V128 = v128.const(Array.from({ length: 16 }, (_, i) => i));

/** Bytes 0 to 15 of the two vectors' 32 whose indices `index` gives, as an operand of shuffle. */
export const indices = (index: (i: number) => number): number[] =>
  Array.from({ length: 16 }, (_, i) => index(i));

/** Both vectors' low halves in one. */
export const joinHalves = (low: V128, high: V128): V128 =>
  v128.shuffle(
    low,
    high,
    indices((i) => (i < 8 ? i : i + 8)),
  );

/** A v128 that is `value` in each 32-bit lane. */
export const splat32 = (value: I32): V128 => i32x4.splat(value);

/**
 * Sets the status flags of PTEST, UCOMISS, POPCNT and their like: OF, SF and AF are clear, the
 * others are 0 or 1 as given.
 */
export function setCompareFlags(x: Context, zf: I32, pf: I32, cf: I32): void {
  const zero = x.f.let(zf);
  // The result 0 means ZF and PF, 1 neither of them; bit 8 of the carries inverts PF.
  const invertPf = i32.shl(i32.xor(pf, zero), c32(8));
  const carry = i64.mul(i64.extend_u(cf), CARRY);
  x.flags.store(i64.extend_u(i32.eqz(zero)), i64.or(carry, i64.extend_u(invertPf)));
}
