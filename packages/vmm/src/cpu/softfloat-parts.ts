// What the parts of the software floating point share: the exception flags, the control word that
// the arithmetic sees, and the integer macros (128-bit shift, product, normalisation) that emit
// into whatever function uses them.
//
// Numbers inside the arithmetic are unpacked: a sign (0 or 1), an exponent with the bias of the
// double extended format (SDM vol. 1, 4.2.2), not limited to its range, and a 64-bit significand
// with its integer bit at bit 63. Zero has significand 0; infinity has exponent EXP_SPECIAL.

import { c32, c64, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';

/** Invalid operation. The flags have the order of MXCSR and of the x87 status word. */
export const IE: number = 1 << 0;
/** Denormal operand. */
export const DE: number = 1 << 1;
/** Division by zero. */
export const ZE: number = 1 << 2;
/** Overflow. */
export const OE: number = 1 << 3;
/** Underflow. */
export const UE: number = 1 << 4;
/** Precision: the result is inexact. */
export const PE: number = 1 << 5;
/** x87 condition code 0. */
export const C0: number = 1 << 8;
/** x87 condition code 1: with PE, the significand was rounded up. */
export const C1: number = 1 << 9;
/** x87 condition code 2: an argument reduction is not complete. */
export const C2: number = 1 << 10;
/** x87 condition code 3. */
export const C3: number = 1 << 14;

/** Offsets, from the base address of the processor's state, of what the functions work with. */
export interface SoftFloatScratch {
  /** i32: exceptions (bits 0-5) and x87 condition codes are OR-ed in. */
  readonly flags: number;
  /** i32: sign and exponent (16 bits) of the last double extended result. */
  readonly signExp: number;
  /** Work space of the transcendental functions: {@link WIDE_SCRATCH_BYTES}, 8-byte aligned. */
  readonly wide: number;
}

/** Bytes at {@link SoftFloatScratch.wide}. */
export const WIDE_SCRATCH_BYTES: number = 5 * 24;

/** Bias of the double extended exponent. */
export const BIAS = 16383;
/** Exponent of infinities and NaNs. */
export const EXP_SPECIAL = 0x7fff;

// The control argument of the arithmetic has the layout of the x87 control word (SDM vol. 1,
// 8.1.5), and MXCSR's flush-to-zero bit where that has it.

/** The exceptions that are masked are set in control, at the places of their flags. */
export const CONTROL_FTZ: number = 1 << 15;
const CONTROL_RC_SHIFT = 10;

/** Denormals-are-zeros, MXCSR bit 6. */
export const MXCSR_DAZ: number = 1 << 6;
/** Rounding control of MXCSR, bits 13 and 14. */
export const MXCSR_RC: number = 3 << 13;

/** Rounding control values (SDM vol. 1, table 4-8). */
export const RC_NEAREST = 0;
export const RC_DOWN = 1;
export const RC_UP = 2;
export const RC_ZERO = 3;

// The format argument of the arithmetic: how many low bits of the 64-bit significand are rounded
// away, and whether the exponent has the double extended range.

/** Round to binary32. */
export const FORMAT_F32 = 40;
/** Round to binary64. */
export const FORMAT_F64 = 11;
/** Round to binary16. */
export const FORMAT_F16 = 53;
/** The exponent range is that of double extended; OR-ed to the number of bits rounded away. */
export const FORMAT_EXTENDED = 64;
/** Round to double extended, all 64 bits. */
export const FORMAT_F80: number = FORMAT_EXTENDED;

/** The integer bit of a significand. */
export const INTEGER_BIT: I64 = c64(1n << 63n);
/** The quiet bit of a NaN; alone with the integer bit it is the default NaN. */
export const QUIET_NAN: I64 = c64(3n << 62n);
export const ZERO64: I64 = c64(0);
export const ONE64: I64 = c64(1);
const LOW32 = c64(0xffff_ffffn);

/** An unpacked operand or result. */
export interface Unpacked {
  readonly sign: Local<'i32'>;
  readonly exp: Local<'i32'>;
  readonly sig: Local<'i64'>;
}

/** An unsigned 128-bit value in two locals. */
export interface Pair {
  readonly hi: Local<'i64'>;
  readonly lo: Local<'i64'>;
}

/** The rounding control of a control argument. */
export const roundingControl = (control: I32): I32 =>
  i32.and(i32.shr_u(control, c32(CONTROL_RC_SHIFT)), c32(3));

/** MXCSR as a control argument. */
export const controlOfMxcsr = (mxcsr: I32): I32 =>
  i32.or(
    i32.and(i32.shr_u(mxcsr, c32(7)), c32(0x3f)),
    i32.or(
      i32.and(i32.shr_u(mxcsr, c32(3)), c32(3 << CONTROL_RC_SHIFT)),
      i32.and(mxcsr, c32(CONTROL_FTZ)),
    ),
  );

/** An x87 control word as a control argument. */
export const controlOfFcw = (fcw: I32): I32 => i32.and(fcw, c32(0xfff));

/** 1 if `a` is not zero. */
export const isNonzero = (a: I64): I32 => i64.ne(a, ZERO64);

/** 1 if bit 63 of `a` is set. */
export const topBit = (a: I64): I32 => i32.wrap(i64.shr_u(a, c64(63)));

/** a AND NOT the bits of `mask`. */
export const without = (a: I32, mask: number): I32 => i32.and(a, c32(~mask));

/** ORs `bits` into the exception flags of the state at parameter 0. */
export function raise(s: SoftFloatScratch, f: FunctionBuilder, bits: I32): void {
  const cpu = f.param(0, 'i32');
  f.store32(cpu, i32.or(i32.load(cpu, s.flags), bits), s.flags);
}

/** The 128-bit product of two 64-bit values, by 32-bit halves. */
export function multiply(f: FunctionBuilder, a: I64, b: I64): Pair {
  const aLow = f.let(i64.and(a, LOW32));
  const aHigh = f.let(i64.shr_u(a, c64(32)));
  const bLow = f.let(i64.and(b, LOW32));
  const bHigh = f.let(i64.shr_u(b, c64(32)));
  const low = f.let(i64.mul(aLow, bLow));
  // Neither sum can overflow: (2^32 - 1)^2 + 2^32 - 1 < 2^64.
  const middle = f.let(i64.add(i64.mul(aLow, bHigh), i64.shr_u(low, c64(32))));
  const middle2 = f.let(i64.add(i64.mul(aHigh, bLow), i64.and(middle, LOW32)));
  const hi = f.let(
    i64.add(
      i64.mul(aHigh, bHigh),
      i64.add(i64.shr_u(middle, c64(32)), i64.shr_u(middle2, c64(32))),
    ),
  );
  const lo = f.let(i64.or(i64.shl(middle2, c64(32)), i64.and(low, LOW32)));
  return { hi, lo };
}

/**
 * Shifts `value` right by `count` (any unsigned count), in place; bits that fall out are kept as a
 * one in the lowest bit, which is all that rounding needs to know of them.
 */
export function shiftRightSticky(f: FunctionBuilder, value: Pair, count: I32): void {
  const { hi, lo } = value;
  const n = f.let(count);
  const sticky = (a: I64): I64 => i64.extend_u(isNonzero(a));
  f.if(i32.ge_u(n, c32(64)), () => {
    f.set(lo, i64.or(hi, sticky(lo)));
    f.set(hi, ZERO64);
    f.set(n, i32.sub(n, c32(64)));
    f.if(i32.ge_u(n, c32(64)), () => {
      f.set(lo, sticky(lo));
      f.set(n, c32(0));
    });
  });
  f.if(n, () => {
    const right = f.let(i64.extend_u(n));
    const left = f.let(i64.sub(c64(64), right));
    const moved = i64.or(i64.shr_u(lo, right), i64.shl(hi, left));
    f.set(lo, i64.or(moved, sticky(i64.shl(lo, left))));
    f.set(hi, i64.shr_u(hi, right));
  });
}

/** Shifts `value`, which is not zero, left until bit 127 is set, and lowers `exp` with it. */
export function normalise(f: FunctionBuilder, value: Pair, exp: Local<'i32'>): void {
  const { hi, lo } = value;
  f.if(i64.eqz(hi), () => {
    f.set(hi, lo);
    f.set(lo, ZERO64);
    f.set(exp, i32.sub(exp, c32(64)));
  });
  const count = f.let(i64.clz(hi));
  f.if(isNonzero(count), () => {
    f.set(hi, i64.or(i64.shl(hi, count), i64.shr_u(lo, i64.sub(c64(64), count))));
    f.set(lo, i64.shl(lo, count));
    f.set(exp, i32.sub(exp, i32.wrap(count)));
  });
}

/**
 * Whether to round the magnitude `keep` up, given the fraction `rest` (in units of 2^-64) below.
 */
export function roundsUp(f: FunctionBuilder, rc: I32, sign: I32, keep: I64, rest: I64): I32 {
  const below = f.let(rest);
  const mode = f.let(rc);
  return f.choose(
    'i32',
    i32.eqz(mode),
    () =>
      i32.and(
        topBit(below),
        i32.or(isNonzero(i64.shl(below, ONE64)), i32.wrap(i64.and(keep, ONE64))),
      ),
    // Down rounds negative magnitudes up, up the positive ones: mode 1 with sign 1, 2 with 0.
    () => i32.and(isNonzero(below), i32.eq(mode, i32.sub(c32(2), sign))),
  );
}
