// RCPPS, RCPSS, RSQRTPS, RSQRTSS: approximations, without rounding control and exceptions. SDM
// vol. 2 bounds the relative error by 1.5 x 2^-12; here they are bit for bit what Intel's
// processors give.
//
// Those look the result up by the leading bits of the fraction, 11 for the reciprocal, 10 and the
// exponent's parity for the root. The tables need not be kept: each entry is the function of the
// middle of its interval, rounded to 13 bits. Denormal operands are zeros, and so are tiny results.

import { c32, call, type F64, type Fn, f64, type I32, i32, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i32x4 } from '../wasm/simd.ts';
import type { Context, SemanticTable } from './context.ts';
import { single } from './sse-format.ts';
import { source128 } from './sse-operand.ts';
import { sourceBits } from './sse-precision.ts';

/** (bits of a single) -> bits of the approximation. */
export interface ReciprocalRuntime {
  readonly reciprocal: Fn<'i32'>;
  readonly reciprocalRoot: Fn<'i32'>;
}

const SIGN = 0x8000_0000;
const INFINITY = 0x7f80_0000;
const DEFAULT_NAN = 0xffc0_0000;
const QUIET = 1 << 22;
const BIAS = 127;

/** A result's significand counts 2^-13: 4096 to 8191 of them. */
const UNITS = 8192;

/** The middle of the interval of `bits` leading fraction bits that `value` lies in, in [1, 2). */
function middle(value: I32, bits: number): F64 {
  const fraction = i32.and(value, c32(0x7fffff));
  const interval = f64.convert_i32_s(i32.shr_u(fraction, c32(23 - bits)));
  const width = 2 ** -bits;
  return f64.add(f64.mul(interval, f64.const(width)), f64.const(1 + width / 2));
}

/** The single `significand` / UNITS, which is in [0.5, 1), times 2^(exponent - 126). */
function compose(sign: I32, exponent: I32, significand: F64): I32 {
  const units = i32.trunc_sat_f64_s(f64.nearest(significand));
  const fraction = i32.shl(i32.sub(units, c32(UNITS / 2)), c32(11));
  return i32.or(i32.or(sign, i32.shl(exponent, c32(23))), fraction);
}

/** Returns the results that both functions have in common: of NaNs, zeros and denormals. */
function specials(f: FunctionBuilder, value: I32, sign: I32, exponent: I32): void {
  f.if(i32.eqz(single.isNumber(value)), () => f.return(i32.or(value, c32(QUIET))));
  f.if(i32.eqz(exponent), () => f.return(i32.or(sign, c32(INFINITY))));
}

const signOf = (value: I32): I32 => i32.and(value, c32(SIGN));
const exponentOf = (value: I32): I32 => i32.and(i32.shr_u(value, c32(23)), c32(0xff));

/** Defines the approximations in `m`. */
export function defineReciprocals(m: ModuleBuilder): ReciprocalRuntime {
  const reciprocal = m.function('sseReciprocal', ['i32'], 'i32', (f) => {
    const value = f.param(0, 'i32');
    const sign = f.let(signOf(value));
    const exponent = f.let(exponentOf(value));
    specials(f, value, sign, exponent);
    const result = f.let(i32.sub(c32(2 * BIAS - 1), exponent));
    f.if(i32.le_s(result, c32(0)), () => f.return(sign));
    f.return(compose(sign, result, f64.div(f64.const(UNITS), middle(value, 11))));
  });
  const reciprocalRoot = m.function('sseReciprocalRoot', ['i32'], 'i32', (f) => {
    const value = f.param(0, 'i32');
    const sign = f.let(signOf(value));
    const exponent = f.let(exponentOf(value));
    specials(f, value, sign, exponent);
    f.if(sign, () => f.return(c32(DEFAULT_NAN)));
    f.if(i32.eq(value, c32(INFINITY)), () => f.return(c32(0)));
    // The bias is odd: an even field is an odd power of two, of which one goes into the radicand.
    const odd = f.let(i32.and(i32.xor(exponent, c32(1)), c32(1)));
    const factor = select(odd, f64.const(2), f64.const(1));
    const radicand = f64.mul(middle(value, 10), factor);
    const power = i32.shr_s(i32.sub(i32.sub(exponent, c32(BIAS)), odd), c32(1));
    const root = f64.div(f64.const(UNITS), f64.sqrt(radicand));
    f.return(compose(c32(0), i32.sub(c32(BIAS - 1), power), root));
  });
  return { reciprocal, reciprocalRoot };
}

type Name = keyof ReciprocalRuntime;

const scalar =
  (name: Name) =>
  (x: Context): void => {
    const a = sourceBits(x, single, 1);
    x.f.store32(x.xmmAddress(0), call(x.runtime.sse.reciprocals[name], a));
  };

const packed =
  (name: Name) =>
  (x: Context): void => {
    const a = source128(x, 1);
    const approximate = (lane: number): I32 =>
      call(x.runtime.sse.reciprocals[name], i32x4.extract_lane(a, lane));
    let result = i32x4.splat(approximate(0));
    for (const lane of [1, 2, 3]) result = i32x4.replace_lane(result, lane, approximate(lane));
    x.f.storeV128(x.xmmAddress(0), result);
  };

/** Semantics by mnemonic. */
export const sseReciprocalSemantics: SemanticTable = {
  rcpss: scalar('reciprocal'),
  rcpps: packed('reciprocal'),
  rsqrtss: scalar('reciprocalRoot'),
  rsqrtps: packed('reciprocalRoot'),
};
