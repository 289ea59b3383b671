// The fast paths of FMA: exactly rounded results by WebAssembly's operations, which have no fused
// one, where that is proven to be possible. Singles are computed in double precision, of which a
// rounding to odd makes the second rounding harmless; doubles by exact sums and products of pairs
// (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
// rounding to odd", IEEE Transactions on Computers 57(4), 2008), of operands far from underflow and
// overflow.

import { c32, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { f32x4, f64x2, i64x2, v128 } from '../wasm/simd.ts';
import { denormals, doubles, type Packed, plain, singles, zeros } from './sse-format.ts';
import { indices, joinHalves, lanes32 } from './sse-operand.ts';

/** A format's fast path: the result, and the lanes in which it is right. */
export type Fused = (
  f: FunctionBuilder,
  a: V128,
  b: V128,
  c: V128,
) => { result: V128; exact: V128 };

/** sum + error = a + b, exactly (Knuth, vol. 2, 4.2.2, theorem B). */
function exactSum(f: FunctionBuilder, a: V128, b: V128): { sum: V128; error: V128 } {
  const sum = f.let(f64x2.add(a, b));
  const part = f.let(f64x2.sub(sum, a));
  const error = f64x2.add(f64x2.sub(a, f64x2.sub(sum, part)), f64x2.sub(b, part));
  return { sum, error: f.let(error) };
}

/**
 * `sum` as it would be if sum + error were rounded to odd: towards zero, and then with its last bit
 * set unless that was exact.
 */
function toOdd({ sum, error }: { sum: V128; error: V128 }): V128 {
  const inexact = f64x2.ne(error, doubles.zero);
  const isBeyond = i64x2.shr_s(v128.xor(sum, error), c32(63));
  const towardsZero = i64x2.add(sum, v128.and(inexact, isBeyond));
  return v128.or(towardsZero, v128.and(inexact, lanes32(1, 0, 1, 0)));
}

/** Two of the four singles: computed as doubles, which then are rounded as if they were exact. */
function fusedPair(f: FunctionBuilder, a: V128, b: V128, c: V128): V128 {
  const [p, q, r] = [a, b, c].map((v) => f.let(f64x2.promote_low_f32x4(v)));
  return f32x4.demote_f64x2_zero(toOdd(exactSum(f, f.let(f64x2.mul(p, q)), r)));
}

const highHalf = (a: V128): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => 8 | (i & 7)),
  );

/** Four singles: a * b + c. */
export const fusedSingles: Fused = (f, a, b, c) => {
  const low = fusedPair(f, a, b, c);
  const high = fusedPair(f, highHalf(a), highHalf(b), highHalf(c));
  const result = f.let(joinHalves(low, high));
  const denormal = [a, b, c].map((v) => denormals(singles, v)).reduce(v128.or);
  return { result, exact: v128.andnot(ordinary(singles, result), denormal) };
};

/** Lanes of a result that is neither tiny nor infinite nor a NaN. */
const ordinary = (p: Packed, result: V128): V128 => v128.or(plain(p, result), zeros(p, result));

/** Splits a significand in two halves, whose products are exact (T. J. Dekker, 1971). */
const SPLITTER = doubles.splat(2 ** 27 + 1);

function split(f: FunctionBuilder, a: V128): [V128, V128] {
  const scaled = f.let(f64x2.mul(a, SPLITTER));
  const high = f.let(f64x2.sub(scaled, f64x2.sub(scaled, a)));
  return [high, f.let(f64x2.sub(a, high))];
}

/** product + error = a times b, exactly, for operands {@link within} 2^400. */
function exactProduct(f: FunctionBuilder, a: V128, b: V128): { product: V128; error: V128 } {
  const [aHigh, aLow] = split(f, a);
  const [bHigh, bLow] = split(f, b);
  const product = f.let(f64x2.mul(a, b));
  const first = f64x2.sub(f64x2.mul(aHigh, bHigh), product);
  const second = f64x2.add(first, f64x2.mul(aHigh, bLow));
  const third = f64x2.add(second, f64x2.mul(aLow, bHigh));
  return { product, error: f.let(f64x2.add(third, f64x2.mul(aLow, bLow))) };
}

/** Lanes that are zero, or of a magnitude from 2^-power to 2^power. */
function within(f: FunctionBuilder, a: V128, power: number): V128 {
  const size = f.let(f64x2.abs(a));
  const least = f64x2.ge(size, doubles.splat(2 ** -power));
  const most = f64x2.le(size, doubles.splat(2 ** power));
  return v128.or(v128.and(least, most), zeros(doubles, size));
}

/** Two doubles: a * b + c. */
export const fusedDoubles: Fused = (f, a, b, c) => {
  const { product, error } = exactProduct(f, a, b);
  const small = exactSum(f, c, error);
  const large = exactSum(f, product, small.sum);
  const rest = f.let(toOdd(exactSum(f, small.error, large.error)));
  const sum = f.let(f64x2.add(large.sum, rest));
  // A zero is exact, and has the sign that the sum of product and addend has.
  const plainSum = f64x2.add(product, c);
  const result = f.let(v128.bitselect(plainSum, sum, zeros(doubles, sum)));
  const factors = v128.and(within(f, a, 400), within(f, b, 400));
  const operands = v128.and(factors, within(f, c, 800));
  return { result, exact: v128.and(operands, ordinary(doubles, result)) };
};
