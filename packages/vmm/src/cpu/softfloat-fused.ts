// Fused multiply-add on binary32 and binary64: the exact product plus the addend, rounded once
// (IEEE 754-2008, 5.4.1). SDM vol. 1, 14.5.2 and 14.5.3 (special values and NaNs of FMA).

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  BIAS,
  controlOfMxcsr,
  DE,
  EXP_SPECIAL,
  IE,
  INTEGER_BIT,
  multiply,
  normalise,
  ONE64,
  type Pair,
  RC_DOWN,
  raise,
  roundingControl,
  type SoftFloatScratch,
  shiftRightSticky,
  type Unpacked,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';
import {
  denormalsAreZeros,
  F32_FORMAT,
  F64_FORMAT,
  isDenormal,
  isNan,
  isSignalling,
  type SseFormat,
  unpack,
} from './softfloat-sse.ts';

/** Signs that an operation changes: of the product, of the addend. */
export const NEGATE_PRODUCT = 1;
export const NEGATE_ADDEND = 2;

/**
 * (cpu, a i64, b i64, c i64, signs, mxcsr) -> the bits of a * b + c in an i64. `signs` is made of
 * {@link NEGATE_PRODUCT} and {@link NEGATE_ADDEND}, which are no operations on NaNs.
 */
export interface FusedOperations {
  readonly f32: Fn<'i64'>;
  readonly f64: Fn<'i64'>;
}

const OPERANDS = ['i32', 'i64', 'i64', 'i64', 'i32', 'i32'] as const;
const UNPACKED = ['i32', 'i32', 'i64'] as const;

const isInfinite = (x: Unpacked): I32 => i32.eq(x.exp, c32(EXP_SPECIAL));
const isZero = (x: Unpacked): I32 => i64.eqz(x.sig);

/** A magnitude of 128 bits, normalised. */
interface Wide extends Pair {
  readonly sign: Unpacked['sign'];
  readonly exp: Unpacked['exp'];
}

/** Exchanges what the locals of two numbers hold. */
function exchange(f: FunctionBuilder, a: Wide, b: Wide): void {
  f.setAll([
    [a.sign, b.sign],
    [a.exp, b.exp],
    [a.hi, b.hi],
    [a.lo, b.lo],
    [b.sign, a.sign],
    [b.exp, a.exp],
    [b.hi, a.hi],
    [b.lo, a.lo],
  ]);
}

/** 1 when the magnitude of `a` is less. */
function isSmaller(a: Wide, b: Wide): I32 {
  const inLow = i32.and(i64.eq(a.hi, b.hi), i64.lt_u(a.lo, b.lo));
  const inSignificand = i32.or(i64.lt_u(a.hi, b.hi), inLow);
  return i32.or(i32.lt_s(a.exp, b.exp), i32.and(i32.eq(a.exp, b.exp), inSignificand));
}

/**
 * (cpu, sign, exp, hi, lo, sign, exp, hi, control, format): the sum of a product and an addend,
 * neither of them zero or infinite.
 */
function defineSum(m: ModuleBuilder, r: Rounding): Fn<'i64'> {
  const params = ['i32', ...UNPACKED, 'i64', ...UNPACKED, 'i32', 'i32'] as const;
  return m.function('sfFusedSum', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const [control, format] = [f.param(8, 'i32'), f.param(9, 'i32')];
    const wide = (first: number, lo: Pair['lo']): Wide => ({
      sign: f.param(first, 'i32'),
      exp: f.param(first + 1, 'i32'),
      hi: f.param(first + 2, 'i64'),
      lo,
    });
    const a = wide(1, f.param(4, 'i64'));
    const b = wide(5, f.let(ZERO64));
    const round = (hi: I64, lo: I64): void =>
      f.return(call(r.round, cpu, a.sign, a.exp, hi, lo, control, format));
    f.if(isSmaller(a, b), () => exchange(f, a, b));
    shiftRightSticky(f, b, i32.sub(a.exp, b.exp));
    f.if(i32.eq(a.sign, b.sign), () => {
      const lo = f.let(i64.add(a.lo, b.lo));
      const carry = i64.extend_u(i64.lt_u(lo, b.lo));
      const partial = f.let(i64.add(a.hi, b.hi));
      const hi = f.let(i64.add(partial, carry));
      const isOver = i32.or(i64.lt_u(partial, b.hi), i64.lt_u(hi, partial));
      f.if(isOver, () => {
        const moved = i64.or(i64.shr_u(lo, ONE64), i64.shl(hi, c64(63)));
        f.set(lo, i64.or(moved, i64.and(lo, ONE64)));
        f.set(hi, i64.or(i64.shr_u(hi, ONE64), INTEGER_BIT));
        f.set(a.exp, i32.add(a.exp, c32(1)));
      });
      round(hi, lo);
    });
    const borrow = f.let(i64.extend_u(i64.lt_u(a.lo, b.lo)));
    const lo = f.let(i64.sub(a.lo, b.lo));
    const hi = f.let(i64.sub(i64.sub(a.hi, b.hi), borrow));
    f.if(i64.eqz(i64.or(hi, lo)), () => {
      const down = i32.eq(roundingControl(control), c32(RC_DOWN));
      f.return(call(r.pack, cpu, down, c32(0), ZERO64, format));
    });
    normalise(f, { hi, lo }, a.exp);
    round(hi, lo);
  });
}

/** Returns the NaN that comes of NaN operands: the first one, quieted. */
function returnNan(
  s: SoftFloatScratch,
  f: FunctionBuilder,
  t: SseFormat,
  operands: readonly I64[],
): void {
  const any = (test: (a: I64) => I32): I32 => operands.map(test).reduce((p, q) => i32.or(p, q));
  f.if(
    any((a) => isNan(t, a)),
    () => {
      f.if(
        any((a) => isSignalling(t, a)),
        () => raise(s, f, c32(IE)),
      );
      const [a, b, c] = operands;
      const first = select(isNan(t, a), a, select(isNan(t, b), b, c));
      f.return(i64.or(first, c64(t.quiet)));
    },
  );
}

function defineFormat(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  t: SseFormat,
  sum: Fn<'i64'>,
): Fn<'i64'> {
  return m.function(`${t.name}Fused`, OPERANDS, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const [signs, mxcsr] = [f.param(4, 'i32'), f.param(5, 'i32')];
    const bits = [f.param(1, 'i64'), f.param(2, 'i64'), f.param(3, 'i64')];
    returnNan(s, f, t, bits);
    const operands = bits.map((a) => denormalsAreZeros(f, t, a, mxcsr));
    const [a, b, c] = operands.map((operand) => unpack(f, t, operand));
    const format = c32(t.format);
    const control = f.let(controlOfMxcsr(mxcsr));
    const sign = f.let(i32.xor(i32.xor(a.sign, b.sign), i32.and(signs, c32(NEGATE_PRODUCT))));
    f.set(c.sign, i32.xor(c.sign, i32.and(i32.shr_u(signs, c32(1)), c32(1))));
    const infinity = (of: I32): void =>
      f.return(call(r.pack, cpu, of, c32(EXP_SPECIAL), INTEGER_BIT, format));
    const denormal = operands.map((each) => isDenormal(t, each)).reduce((p, q) => i32.or(p, q));
    const raiseDenormal = (): void => f.if(denormal, () => raise(s, f, c32(DE)));
    const product = i32.or(isInfinite(a), isInfinite(b));
    const none = f.let(i32.or(isZero(a), isZero(b)));
    const cancels = i32.and(isInfinite(c), i32.ne(sign, c.sign));
    f.if(product, () => {
      f.if(i32.or(none, cancels), () => f.return(call(r.invalid, cpu, format)));
      raiseDenormal();
      infinity(sign);
    });
    raiseDenormal();
    f.if(isInfinite(c), () => infinity(c.sign));
    f.if(none, () => {
      const down = i32.eq(roundingControl(control), c32(RC_DOWN));
      const zero = select(i32.eq(sign, c.sign), sign, down);
      f.if(isZero(c), () => f.return(call(r.pack, cpu, zero, c32(0), ZERO64, format)));
      f.return(call(r.round, cpu, c.sign, c.exp, c.sig, ZERO64, control, format));
    });
    const exp = f.let(i32.sub(i32.add(a.exp, b.exp), c32(BIAS - 1)));
    const exact = multiply(f, a.sig, b.sig);
    normalise(f, exact, exp);
    f.if(isZero(c), () => {
      f.return(call(r.round, cpu, sign, exp, exact.hi, exact.lo, control, format));
    });
    const addend = [c.sign, c.exp, c.sig] as const;
    f.return(call(sum, cpu, sign, exp, exact.hi, exact.lo, ...addend, control, format));
  });
}

/** Defines the operations in `m`. */
export function defineFused(m: ModuleBuilder, s: SoftFloatScratch, r: Rounding): FusedOperations {
  const sum = defineSum(m, r);
  return {
    f32: defineFormat(m, s, r, F32_FORMAT, sum),
    f64: defineFormat(m, s, r, F64_FORMAT, sum),
  };
}
