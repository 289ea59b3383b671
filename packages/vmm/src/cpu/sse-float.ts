// Arithmetic of SSE to SSE4.1 on single and double precision: ADD, SUB, MUL, DIV, SQRT, MIN, MAX,
// the horizontal and alternating sums, DPPS and DPPD. SDM vol. 2; vol. 1, chapters 10 and 11.
//
// The fast path is WebAssembly's own operation, taken when it provably gives what the processor
// gives, flags included: to nearest, everything masked, PE set already (so that inexactness shows
// nowhere), operands and result of ordinary size. All else is one call to an out-of-line function
// (sse-float-slow.ts). A program's first inexact operation sets PE, and from then on it runs fast.

import { type I32, i32, select, type V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import type { BinaryName } from './sse-float-slow.ts';
import {
  type BitsType,
  denormals,
  type FloatType,
  finite,
  numbers,
  type Packed,
  plain,
  zeros,
} from './sse-format.ts';
import { destination, immediate8, indices, source128 } from './sse-operand.ts';
import {
  DOUBLE,
  keepsDenormals,
  type Precision,
  packedResult,
  SINGLE,
  scalarResult,
  sourceBits,
} from './sse-precision.ts';

/** What a packed operation needs of a precision. */
type AnyPrecision = Pick<Precision<BitsType, FloatType>, 'packed' | 'slow'>;

interface Arithmetic {
  readonly name: BinaryName;
  readonly op: 'add' | 'sub' | 'mul' | 'div';
}
const ADD: Arithmetic = { name: 'add', op: 'add' };
const SUBTRACT: Arithmetic = { name: 'subtract', op: 'sub' };
const MULTIPLY: Arithmetic = { name: 'multiply', op: 'mul' };
const DIVIDE: Arithmetic = { name: 'divide', op: 'div' };

/** True for sums: a tiny one is exact, and zero operands are as good as others. */
const isSum = ({ op }: Arithmetic): boolean => op === 'add' || op === 'sub';

/** ADDSS, SUBSD, and so on: op0 = op0 op op1 in the lowest lane. */
const scalarArithmetic =
  <B extends BitsType, F extends FloatType>(p: Precision<B, F>, arithmetic: Arithmetic): Semantic =>
  (x) => {
    const { scalar } = p;
    const b = sourceBits(x, scalar, 1);
    const address = x.xmmAddress(0);
    const a = x.f.let(scalar.load(address));
    const value = scalar.op[arithmetic.op](scalar.float(a), scalar.float(b));
    const result = x.f.let(scalar.ofFloat(value));
    const size = isSum(arithmetic) ? scalar.isFinite(result) : scalar.isPlain(result);
    const denormal = i32.or(scalar.isDenormal(a), scalar.isDenormal(b));
    const exact = i32.and(i32.and(size, i32.eqz(denormal)), x.roundsAsHost());
    const slow = p.slow(x).scalar[arithmetic.name];
    scalarResult(x, scalar, address, exact, result, () => x.attempt(slow, x.cpu, address, b));
  };

/** Lanes of which the fast path's result is right, if MXCSR allows one at all. */
function exactLanes(p: Packed, { op }: Arithmetic, a: V128, b: V128, result: V128): V128 {
  const denormal = v128.or(denormals(p, a), denormals(p, b));
  if (op === 'add' || op === 'sub') return v128.andnot(finite(p, result), denormal);
  // Zero times a number, zero divided by one: zero results that are not too small to represent.
  const zero = op === 'mul' ? v128.or(zeros(p, a), zeros(p, b)) : zeros(p, a);
  const size = v128.or(plain(p, result), v128.and(zeros(p, result), zero));
  return v128.andnot(size, denormal);
}

/** Packed arithmetic on `a` and `b`, which are op0 and op1 or what became of them. */
function packedArithmeticOn(
  x: Context,
  p: AnyPrecision,
  arithmetic: Arithmetic,
  address: I32,
  a: V128,
  b: V128,
): void {
  const { packed } = p;
  const result = x.f.let(packed.op[arithmetic.op](a, b));
  const lanes = exactLanes(packed, arithmetic, a, b, result);
  const exact = i32.and(x.roundsAsHost(), packed.allTrue(lanes));
  const slow = p.slow(x).packed[arithmetic.name];
  packedResult(x, address, exact, result, () => x.attempt(slow, x.cpu, address, a, b));
}

/** ADDPS, SUBPD, and so on. */
const packedArithmetic =
  (p: AnyPrecision, arithmetic: Arithmetic): Semantic =>
  (x) => {
    const b = source128(x, 1);
    const { address, value } = destination(x);
    packedArithmeticOn(x, p, arithmetic, address, value, b);
  };

/** HADD, HSUB: the sums or differences of neighbours, op0's first. */
const horizontal =
  (p: AnyPrecision, arithmetic: Arithmetic): Semantic =>
  (x) => {
    const b = source128(x, 1);
    const { address, value } = destination(x);
    const bytes = 16 / p.packed.lanes;
    const everySecond = (parity: number): V128 => {
      const lanes = indices((i) => (2 * Math.floor(i / bytes) + parity) * bytes + (i % bytes));
      return x.f.let(v128.shuffle(value, b, lanes));
    };
    packedArithmeticOn(x, p, arithmetic, address, everySecond(0), everySecond(1));
  };

/** ADDSUB: differences in even lanes, sums in odd ones. */
const alternating =
  (p: AnyPrecision): Semantic =>
  (x) => {
    const { packed } = p;
    const b = source128(x, 1);
    const { address, value: a } = destination(x);
    const bytes = 16 / packed.lanes;
    const inOdd = indices((i) => (Math.floor(i / bytes) % 2 === 0 ? i : i + 16));
    const result = x.f.let(v128.shuffle(packed.op.sub(a, b), packed.op.add(a, b), inOdd));
    const lanes = exactLanes(packed, ADD, a, b, result);
    const exact = i32.and(x.roundsAsHost(), packed.allTrue(lanes));
    const slow = p.slow(x).packed.addSubtract;
    packedResult(x, address, exact, result, () => x.attempt(slow, x.cpu, address, a, b));
  };

/** SQRTSS, SQRTSD. */
const scalarSqrt =
  <B extends BitsType, F extends FloatType>(p: Precision<B, F>): Semantic =>
  (x) => {
    const { scalar } = p;
    const a = sourceBits(x, scalar, 1);
    const positive = i32.and(scalar.isPlain(a), i32.eqz(scalar.isNegative(a)));
    const result = x.f.let(scalar.ofFloat(scalar.op.sqrt(scalar.float(a))));
    const slow = p.slow(x).scalarSqrt;
    const address = x.xmmAddress(0);
    scalarResult(x, scalar, address, i32.and(positive, x.roundsAsHost()), result, () =>
      x.attempt(slow, x.cpu, address, a),
    );
  };

/** SQRTPS, SQRTPD. */
const packedSqrt =
  (p: AnyPrecision): Semantic =>
  (x) => {
    const { packed } = p;
    const a = source128(x, 1);
    // Not smaller than the least normal number; a NaN is not, either.
    const size = v128.or(packed.op.ge(a, packed.least), zeros(packed, a));
    const lanes = v128.and(size, finite(packed, a));
    const exact = i32.and(x.roundsAsHost(), packed.allTrue(lanes));
    const address = x.xmmAddress(0);
    packedResult(x, address, exact, packed.op.sqrt(a), () =>
      x.attempt(p.slow(x).packedSqrt, x.cpu, address, a),
    );
  };

type Extreme = 'minimum' | 'maximum';

/** MINSS, MAXSD, ...: op0 if it is less (greater), else op1. */
const scalarExtreme =
  <B extends BitsType, F extends FloatType>(p: Precision<B, F>, name: Extreme): Semantic =>
  (x) => {
    const { scalar } = p;
    const b = sourceBits(x, scalar, 1);
    const address = x.xmmAddress(0);
    const a = x.f.let(scalar.load(address));
    const [left, right] = name === 'minimum' ? [a, b] : [b, a];
    const first = scalar.op.lt(scalar.float(left), scalar.float(right));
    const result = x.f.let(select(first, a, b));
    const ordered = i32.and(scalar.isNumber(a), scalar.isNumber(b));
    const denormal = i32.or(scalar.isDenormal(a), scalar.isDenormal(b));
    const exact = i32.and(i32.and(ordered, i32.eqz(denormal)), keepsDenormals(x));
    const slow = p.slow(x).scalar[name];
    scalarResult(x, scalar, address, exact, result, () => x.attempt(slow, x.cpu, address, b));
  };

/** MINPS, MAXPD, ... */
const packedExtreme =
  (p: AnyPrecision, name: Extreme): Semantic =>
  (x) => {
    const { packed } = p;
    const b = source128(x, 1);
    const { address, value: a } = destination(x);
    const { pmin, pmax } = packed.op;
    // pmin(b, a) is `a < b ? a : b`, which is MIN of a and b (core spec 4.3.3, fpmin).
    const result = x.f.let(name === 'minimum' ? pmin(b, a) : pmax(b, a));
    const ordered = v128.and(numbers(packed, a), numbers(packed, b));
    const denormal = v128.or(denormals(packed, a), denormals(packed, b));
    const exact = i32.and(keepsDenormals(x), packed.allTrue(v128.andnot(ordered, denormal)));
    const slow = p.slow(x).packed[name];
    packedResult(x, address, exact, result, () => x.attempt(slow, x.cpu, address, a, b));
  };

/** DPPS, DPPD. */
const dotProduct =
  (p: AnyPrecision): Semantic =>
  (x) => {
    const b = source128(x, 1);
    x.attempt(p.slow(x).dotProduct, x.cpu, x.xmmAddress(0), b, immediate8(x, 2));
  };

/** Semantics by mnemonic. */
export const sseFloatSemantics: SemanticTable = {
  addss: scalarArithmetic(SINGLE, ADD),
  addsd: scalarArithmetic(DOUBLE, ADD),
  addps: packedArithmetic(SINGLE, ADD),
  addpd: packedArithmetic(DOUBLE, ADD),
  subss: scalarArithmetic(SINGLE, SUBTRACT),
  subsd: scalarArithmetic(DOUBLE, SUBTRACT),
  subps: packedArithmetic(SINGLE, SUBTRACT),
  subpd: packedArithmetic(DOUBLE, SUBTRACT),
  mulss: scalarArithmetic(SINGLE, MULTIPLY),
  mulsd: scalarArithmetic(DOUBLE, MULTIPLY),
  mulps: packedArithmetic(SINGLE, MULTIPLY),
  mulpd: packedArithmetic(DOUBLE, MULTIPLY),
  divss: scalarArithmetic(SINGLE, DIVIDE),
  divsd: scalarArithmetic(DOUBLE, DIVIDE),
  divps: packedArithmetic(SINGLE, DIVIDE),
  divpd: packedArithmetic(DOUBLE, DIVIDE),

  haddps: horizontal(SINGLE, ADD),
  haddpd: horizontal(DOUBLE, ADD),
  hsubps: horizontal(SINGLE, SUBTRACT),
  hsubpd: horizontal(DOUBLE, SUBTRACT),
  addsubps: alternating(SINGLE),
  addsubpd: alternating(DOUBLE),
  dpps: dotProduct(SINGLE),
  dppd: dotProduct(DOUBLE),

  sqrtss: scalarSqrt(SINGLE),
  sqrtsd: scalarSqrt(DOUBLE),
  sqrtps: packedSqrt(SINGLE),
  sqrtpd: packedSqrt(DOUBLE),

  minss: scalarExtreme(SINGLE, 'minimum'),
  minsd: scalarExtreme(DOUBLE, 'minimum'),
  minps: packedExtreme(SINGLE, 'minimum'),
  minpd: packedExtreme(DOUBLE, 'minimum'),
  maxss: scalarExtreme(SINGLE, 'maximum'),
  maxsd: scalarExtreme(DOUBLE, 'maximum'),
  maxps: packedExtreme(SINGLE, 'maximum'),
  maxpd: packedExtreme(DOUBLE, 'maximum'),
};
