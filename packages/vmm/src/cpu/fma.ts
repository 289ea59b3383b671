// FMA: SDM vol. 2, VFMADD132PD to VFNMSUB231SS; vol. 1, 14.5.
//
// The fast path computes the exactly rounded result with WebAssembly's operations, which have no
// fused one, where that is proven to be possible: singles in double precision, of which a rounding
// to odd makes the second rounding harmless; doubles by exact sums and products of pairs (S. Boldo
// and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
// to odd", IEEE Transactions on Computers 57(4), 2008), of operands far from underflow and
// overflow. MXCSR must allow it, as for SSE (sse-float.ts). All else is out of line (fma-slow.ts).
//
// Scalars are vectors whose other lanes are zero: those raise nothing.

import { c32, i32, type Local, type V128 } from '../wasm/expr.ts';
import { f32x4, f64x2, i64x2, v128 } from '../wasm/simd.ts';
import { attemptDeferred, settleDeferred } from './avx-exceptions.ts';
import { source, type Vector, writeRegister } from './avx-operand.ts';
import type { Context, Semantic } from './context.ts';
import type { FmaRuntime } from './fma-slow.ts';
import { NEGATE_ADDEND, NEGATE_PRODUCT } from './softfloat-fused.ts';
import { denormals, doubles, type Packed, plain, singles, zeros } from './sse-format.ts';
import { indices, joinHalves, lanes32, ZERO } from './sse-operand.ts';
import { S } from './state.ts';

/** Which operands are multiplied, and which is added, by the digits of the name. */
const ORDERS = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] } as const;

/** Signs that change, in even and in odd lanes, by the name of the operation. */
const OPERATIONS: Readonly<Record<string, readonly [number, number]>> = {
  madd: [0, 0],
  msub: [NEGATE_ADDEND, NEGATE_ADDEND],
  nmadd: [NEGATE_PRODUCT, NEGATE_PRODUCT],
  nmsub: [NEGATE_PRODUCT | NEGATE_ADDEND, NEGATE_PRODUCT | NEGATE_ADDEND],
  maddsub: [NEGATE_ADDEND, 0],
  msubadd: [0, NEGATE_ADDEND],
};

/** A format's fast path: the result, and the lanes in which it is right. */
type Fused = (x: Context, a: V128, b: V128, c: V128) => { result: V128; exact: V128 };

/** sum + error = a + b, exactly (Knuth, vol. 2, 4.2.2, theorem B). */
function exactSum(x: Context, a: V128, b: V128): { sum: V128; error: V128 } {
  const { f } = x;
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
function fusedPair(x: Context, a: V128, b: V128, c: V128): V128 {
  const { f } = x;
  const [p, q, r] = [a, b, c].map((v) => f.let(f64x2.promote_low_f32x4(v)));
  return f32x4.demote_f64x2_zero(toOdd(exactSum(x, f.let(f64x2.mul(p, q)), r)));
}

const highHalf = (a: V128): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => 8 | (i & 7)),
  );

const fusedSingles: Fused = (x, a, b, c) => {
  const low = fusedPair(x, a, b, c);
  const high = fusedPair(x, highHalf(a), highHalf(b), highHalf(c));
  const result = x.f.let(joinHalves(low, high));
  const denormal = [a, b, c].map((v) => denormals(singles, v)).reduce(v128.or);
  return { result, exact: v128.andnot(ordinary(singles, result), denormal) };
};

/** Lanes of a result that is neither tiny nor infinite nor a NaN. */
const ordinary = (p: Packed, result: V128): V128 => v128.or(plain(p, result), zeros(p, result));

/** Splits a significand in two halves, whose products are exact (T. J. Dekker, 1971). */
const SPLITTER = doubles.splat(2 ** 27 + 1);

function split(x: Context, a: V128): [V128, V128] {
  const scaled = x.f.let(f64x2.mul(a, SPLITTER));
  const high = x.f.let(f64x2.sub(scaled, f64x2.sub(scaled, a)));
  return [high, x.f.let(f64x2.sub(a, high))];
}

/** product + error = a times b, exactly, for operands {@link within} 2^400. */
function exactProduct(x: Context, a: V128, b: V128): { product: V128; error: V128 } {
  const [aHigh, aLow] = split(x, a);
  const [bHigh, bLow] = split(x, b);
  const product = x.f.let(f64x2.mul(a, b));
  const first = f64x2.sub(f64x2.mul(aHigh, bHigh), product);
  const second = f64x2.add(first, f64x2.mul(aHigh, bLow));
  const third = f64x2.add(second, f64x2.mul(aLow, bHigh));
  return { product, error: x.f.let(f64x2.add(third, f64x2.mul(aLow, bLow))) };
}

/** Lanes that are zero, or of a magnitude from 2^-power to 2^power. */
function within(x: Context, a: V128, power: number): V128 {
  const size = x.f.let(f64x2.abs(a));
  const least = f64x2.ge(size, doubles.splat(2 ** -power));
  const most = f64x2.le(size, doubles.splat(2 ** power));
  return v128.or(v128.and(least, most), zeros(doubles, size));
}

const fusedDoubles: Fused = (x, a, b, c) => {
  const { f } = x;
  const { product, error } = exactProduct(x, a, b);
  const small = exactSum(x, c, error);
  const large = exactSum(x, product, small.sum);
  const rest = f.let(toOdd(exactSum(x, small.error, large.error)));
  const sum = f.let(f64x2.add(large.sum, rest));
  // A zero is exact, and has the sign that the sum of product and addend has.
  const plainSum = f64x2.add(product, c);
  const result = f.let(v128.bitselect(plainSum, sum, zeros(doubles, sum)));
  const factors = v128.and(within(x, a, 400), within(x, b, 400));
  const operands = v128.and(factors, within(x, c, 800));
  return { result, exact: v128.and(operands, ordinary(doubles, result)) };
};

interface Format {
  readonly packed: Packed;
  readonly fused: Fused;
  readonly slow: keyof FmaRuntime;
  /** A sign bit for the lanes, even and odd, that are told. */
  signs(even: boolean, odd: boolean): V128;
}

const sign = (isSet: boolean): number => (isSet ? 0x8000_0000 : 0);

const SINGLES: Format = {
  packed: singles,
  fused: fusedSingles,
  slow: 'single',
  signs: (even, odd) => lanes32(sign(even), sign(odd), sign(even), sign(odd)),
};
const DOUBLES: Format = {
  packed: doubles,
  fused: fusedDoubles,
  slow: 'double',
  signs: (even, odd) => lanes32(0, sign(even), 0, sign(odd)),
};

/** What a mnemonic says. */
interface Form {
  readonly format: Format;
  readonly order: readonly [number, number, number];
  readonly even: number;
  readonly odd: number;
  /** Bytes of a scalar; undefined for vectors. */
  readonly scalar: 4 | 8 | undefined;
}

function formOf(mnemonic: string): Form | undefined {
  const [, name, order, kind, type] = /^vf(\D+)(\d{3})(.)(.)$/.exec(mnemonic) ?? [];
  if (name === undefined) return undefined;
  const isSingle = type === 's';
  const [even, odd] = OPERATIONS[name];
  return {
    format: isSingle ? SINGLES : DOUBLES,
    order: ORDERS[order as unknown as keyof typeof ORDERS],
    even,
    odd,
    scalar: kind === 'p' ? undefined : isSingle ? 4 : 8,
  };
}

/** One half: by the fast path, or by the out-of-line function. */
function fusedHalf(
  x: Context,
  form: Form,
  deferred: Local<'i32'>,
  [a, b, c]: readonly V128[],
): V128 {
  const { f, cpu } = x;
  const { format, even, odd } = form;
  const changed = (value: V128, bit: number): V128 => {
    if (((even | odd) & bit) === 0) return value;
    return f.let(v128.xor(value, format.signs((even & bit) !== 0, (odd & bit) !== 0)));
  };
  const factor = changed(a, NEGATE_PRODUCT);
  const addend = changed(c, NEGATE_ADDEND);
  const vector = f.local('v128');
  const isDone = f.local('i32');
  f.if(x.roundsAsHost(), () => {
    const { result, exact } = format.fused(x, factor, b, addend);
    f.set(vector, result);
    f.set(isDone, format.packed.allTrue(exact));
  });
  f.if(i32.eqz(isDone), () => {
    const place = i32.add(cpu, c32(S.lanes));
    const signs = c32(even | (odd << 2));
    attemptDeferred(x, deferred, x.runtime.avx.fma[format.slow], cpu, place, a, b, c, signs);
    f.set(vector, v128.load(cpu, S.lanes));
  });
  return vector;
}

/** Only the lowest lane of `bytes` bytes. */
const lowest = (a: V128, bytes: 4 | 8): V128 =>
  v128.and(a, bytes === 4 ? lanes32(-1, 0, 0, 0) : lanes32(-1, -1, 0, 0));

function fma(form: Form): Semantic {
  return (x) => {
    const { f } = x;
    const operands: Vector[] = [];
    for (const i of [2, 1, 0]) operands[i] = source(x, i);
    const deferred = f.local('i32');
    const { order, scalar } = form;
    const lows = order.map((i) => {
      const { low } = operands[i];
      return scalar ? f.let(lowest(low, scalar)) : low;
    });
    const low = fusedHalf(x, form, deferred, lows);
    const highs = order.map((i) => operands[i].high ?? ZERO);
    const isWide = operands[0].high !== undefined;
    const high = isWide ? fusedHalf(x, form, deferred, highs) : undefined;
    settleDeferred(x, deferred);
    if (!scalar) {
      writeRegister(x, 0, low, high);
      return;
    }
    const mask = scalar === 4 ? lanes32(-1, 0, 0, 0) : lanes32(-1, -1, 0, 0);
    writeRegister(x, 0, v128.bitselect(low, operands[0].low, mask));
  };
}

/** The semantics of an FMA mnemonic, or undefined for others. */
export function fmaSemantic(mnemonic: string): Semantic | undefined {
  const form = formOf(mnemonic);
  return form && fma(form);
}
