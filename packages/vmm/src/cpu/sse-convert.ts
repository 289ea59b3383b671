// Conversions of SSE and SSE2: between integers, single and double precision, in general, MMX and
// XMM registers. SDM vol. 2, CVTDQ2PD to CVTTSS2SI.
//
// The fast path is WebAssembly's conversion, taken when its result is exact, or when inexactness
// shows nowhere (sse-float.ts) and the rounding is the one wanted. The rest is out of line.
//
// MMX forms take a pending x87 exception and make the x87 stack's registers all used. CVTPI2PD and
// CVTPI2PS with a memory operand do neither: they do not touch an MMX register. (The manual says
// so of the first only; processors treat both alike.)

import { c32, c64, f32, f64, type I32, type I64, i32, i64, type V128 } from '../wasm/expr.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import type { ConvertRuntime } from './sse-convert-slow.ts';
import { ignoresInexact, MXCSR_RC, mxcsrIs } from './sse-exceptions.ts';
import {
  type BitsType,
  denormals,
  double,
  doubles,
  type FloatType,
  finite,
  type Packed,
  type Scalar,
  single,
  singles,
  zeros,
} from './sse-format.ts';
import {
  enterMmx,
  isMmx,
  lanes32,
  pendingX87,
  sourceVector,
  splat32,
  storeMmx,
} from './sse-operand.ts';
import { scalarResult, sourceBits } from './sse-precision.ts';
import { S } from './state.ts';

/** Integers up to this magnitude are exact in a single, a double. */
const SINGLE_EXACT = 2 ** 24;
const DOUBLE_EXACT = 2 ** 53;

/** 1 for -limit <= value <= limit. */
const within = (value: I64, limit: number): I32 =>
  i64.le_u(i64.add(value, c64(limit)), c64(2 * limit));

/** CVTSI2SS. */
const integerToSingle: Semantic = (x) => {
  const value = signedSource(x);
  const exact = i32.or(within(value, SINGLE_EXACT), x.roundsAsHost());
  const address = x.xmmAddress(0);
  scalarResult(x, single, address, exact, i32.reinterpret(f32.convert_i64_s(value)), () =>
    x.attempt(x.runtime.sse.convert.scalar.integerToSingle, x.cpu, address, value),
  );
};

/** CVTSI2SD: of 32 bits always exact. */
const integerToDouble: Semantic = (x) => {
  const value = signedSource(x);
  const result = i64.reinterpret(f64.convert_i64_s(value));
  const address = x.xmmAddress(0);
  if (x.sizeOf(1) === 4) {
    x.f.store64(address, result);
    return;
  }
  const exact = i32.or(within(value, DOUBLE_EXACT), x.roundsAsHost());
  scalarResult(x, double, address, exact, result, () =>
    x.attempt(x.runtime.sse.convert.scalar.integerToDouble, x.cpu, address, value),
  );
};

/** Integer operand 1, sign-extended. */
function signedSource(x: Context): I64 {
  const value = x.f.let(x.read(1));
  return x.sizeOf(1) === 4 ? x.f.let(i64.extend32_s(value)) : value;
}

/** CVTSS2SI, CVTSD2SI; CVTTSS2SI, CVTTSD2SI, which truncate. */
const toInteger =
  <B extends BitsType, F extends FloatType>(
    scalar: Scalar<B, F>,
    precision: 'single' | 'double',
    truncate: boolean,
  ): Semantic =>
  (x) => {
    const { f } = x;
    const size = x.sizeOf(0) === 8 ? 8 : 4;
    const a = sourceBits(x, scalar, 1);
    const value = f.let(scalar.float(a));
    const integral = f.let(truncate ? scalar.op.trunc(value) : scalar.op.nearest(value));
    // To nearest, 2^31 - 0.5 rounds to 2^31: the bound is on the rounded value.
    const limit = scalar.constant(2 ** (8 * size - 1));
    const fits = scalar.op.lt(scalar.op.abs(integral), limit);
    const quiet = i32.or(scalar.op.eq(integral, value), ignoresInexact(x.cpu));
    const exact = i32.and(fits, quiet);
    const result = f.local('i64');
    f.if(
      truncate ? exact : i32.and(exact, mxcsrIs(x.cpu, MXCSR_RC, 0)),
      () => f.set(result, scalar.toInteger(integral)),
      () => {
        const slow = x.runtime.sse.convert.integer[precision][size];
        x.attempt(slow, x.cpu, a, c32(truncate ? 1 : 0));
        f.set(result, i64.load(x.cpu, S.fpResult));
      },
    );
    x.write(0, result);
  };

/** CVTSS2SD: exact, unless it raises something. */
const singleToDouble: Semantic = (x) => {
  const a = sourceBits(x, single, 1);
  const ordinary = i32.and(single.isFinite(a), i32.eqz(single.isDenormal(a)));
  const result = i64.reinterpret(f64.promote(f32.reinterpret(a)));
  const address = x.xmmAddress(0);
  scalarResult(x, double, address, ordinary, result, () =>
    x.attempt(x.runtime.sse.convert.scalar.singleToDouble, x.cpu, address, a),
  );
};

/** CVTSD2SS. */
const doubleToSingle: Semantic = (x) => {
  const { f } = x;
  const a = sourceBits(x, double, 1);
  const value = f.let(f64.reinterpret(a));
  const narrow = f.let(f32.demote(value));
  const result = f.let(i32.reinterpret(narrow));
  const size = i32.or(single.isPlain(result), f64.eq(value, f64.const(0)));
  const quiet = i32.or(f64.eq(f64.promote(narrow), value), x.roundsAsHost());
  const address = x.xmmAddress(0);
  scalarResult(x, single, address, i32.and(size, quiet), result, () =>
    x.attempt(x.runtime.sse.convert.scalar.doubleToSingle, x.cpu, address, a),
  );
};

/** A packed conversion: the fast path's result, and when it is right. */
interface PackedConversion {
  readonly result: V128;
  readonly exact: I32;
  readonly slow: keyof ConvertRuntime['packed'];
}

type Convert = (x: Context, a: V128) => PackedConversion;

/** The converted vector, by the fast path or by the out-of-line function. */
function converted(x: Context, a: V128, convert: Convert): V128 {
  const { f } = x;
  const { result, exact, slow } = convert(x, a);
  const vector = f.local('v128');
  f.if(
    exact,
    () => f.set(vector, result),
    () => {
      const place = i32.add(x.cpu, c32(S.fpResult));
      x.attempt(x.runtime.sse.convert.packed[slow], x.cpu, place, a);
      f.set(vector, v128.load(place));
    },
  );
  return vector;
}

/** The two low lanes: the high ones of a register operand do not count, and are no operands. */
const lowLanes = (a: V128): V128 => v128.and(a, lanes32(-1, -1, 0, 0));

/** CVTPS2PD. */
const singlesToDoubles: Convert = (_x, a) => ({
  result: f64x2.promote_low_f32x4(a),
  exact: singles.allTrue(v128.andnot(finite(singles, a), denormals(singles, a))),
  slow: 'singleToDouble',
});

/** CVTPD2PS. */
const doublesToSingles: Convert = (x, a) => {
  const result = x.f.let(f32x4.demote_f64x2_zero(a));
  const back = x.f.let(f64x2.promote_low_f32x4(result));
  const large = f64x2.gt(f64x2.abs(back), doubles.splat(2 ** -126));
  const size = x.f.let(v128.and(v128.or(large, zeros(doubles, a)), finite(doubles, back)));
  const same = doubles.allTrue(v128.and(size, f64x2.eq(back, a)));
  const exact = i32.or(same, i32.and(x.roundsAsHost(), doubles.allTrue(size)));
  return { result, exact, slow: 'doubleToSingle' };
};

/** CVTDQ2PS, CVTPI2PS. */
const dwordsToSingles: Convert = (x, a) => {
  const limit = splat32(c32(SINGLE_EXACT));
  const small = i32x4.le_u(i32x4.add(a, limit), splat32(c32(2 * SINGLE_EXACT)));
  return {
    result: f32x4.convert_i32x4_s(a),
    exact: i32.or(i32x4.all_true(small), x.roundsAsHost()),
    slow: 'dwordToSingle',
  };
};

/** CVTPS2DQ, CVTPD2DQ and their like, to signed dwords; the CVTT forms truncate. */
const toDwords =
  (
    packed: Packed,
    truncate: boolean,
    narrow: (a: V128) => V128,
    slow: keyof ConvertRuntime['packed'],
  ): Convert =>
  (x, a) => {
    const { op } = packed;
    const integral = x.f.let(truncate ? op.trunc(a) : op.nearest(a));
    const fits = x.f.let(op.lt(op.abs(integral), packed.splat(2 ** 31)));
    const same = packed.allTrue(v128.and(fits, op.eq(integral, a)));
    const quiet = i32.and(ignoresInexact(x.cpu), packed.allTrue(fits));
    const exact = i32.or(same, quiet);
    return {
      result: narrow(integral),
      exact: truncate ? exact : i32.and(exact, mxcsrIs(x.cpu, MXCSR_RC, 0)),
      slow,
    };
  };

const nearestSingles = toDwords(singles, false, i32x4.trunc_sat_f32x4_s, 'singleToDword');
const truncatedSingles = toDwords(singles, true, i32x4.trunc_sat_f32x4_s, 'singleToDwordTruncated');
const nearestDoubles = toDwords(doubles, false, i32x4.trunc_sat_f64x2_s_zero, 'doubleToDword');
const truncatedDoubles = toDwords(
  doubles,
  true,
  i32x4.trunc_sat_f64x2_s_zero,
  'doubleToDwordTruncated',
);

/** A conversion between XMM registers. */
const toXmm =
  (convert: Convert): Semantic =>
  (x) =>
    x.f.storeV128(x.xmmAddress(0), converted(x, sourceVector(x, 1), convert));

/**
 * CVTPS2PI, CVTPD2PI and their truncating forms: two lanes to an MMX register. Here and in
 * CVTPI2PS the x87 stack is the MMX unit's already when a SIMD exception is raised.
 */
const toMmx =
  (convert: Convert): Semantic =>
  (x) => {
    pendingX87(x);
    const a = sourceVector(x, 1);
    const operand = x.row.operands[1].type === 'xmm/m64' ? x.f.let(lowLanes(a)) : a;
    enterMmx(x);
    storeMmx(x, x.mmAddress(0), i64x2.extract_lane(converted(x, operand, convert), 0));
  };

/** True when operand 1 is an MMX register and not memory: only then is the x87 state touched. */
const readsMmx = (x: Context): boolean => isMmx(x, 1) && !x.inMemory(1);

/** CVTPI2PS: two lanes; the high half of the destination stays. */
const fromMmxToSingles: Semantic = (x) => {
  if (readsMmx(x)) pendingX87(x);
  const a = sourceVector(x, 1);
  if (readsMmx(x)) enterMmx(x);
  const result = converted(x, a, dwordsToSingles);
  x.f.store64(x.xmmAddress(0), i64x2.extract_lane(result, 0));
};

/** CVTDQ2PD, CVTPI2PD: always exact. */
const dwordsToDoubles: Semantic = (x) => {
  if (readsMmx(x)) pendingX87(x);
  x.f.storeV128(x.xmmAddress(0), f64x2.convert_low_i32x4_s(sourceVector(x, 1)));
  if (readsMmx(x)) enterMmx(x);
};

/** CVTPS2PD, whose source is half a register. */
const cvtps2pd: Semantic = (x) => {
  const a = x.f.let(lowLanes(sourceVector(x, 1)));
  x.f.storeV128(x.xmmAddress(0), converted(x, a, singlesToDoubles));
};

/** Semantics by mnemonic. */
export const sseConvertSemantics: SemanticTable = {
  cvtsi2ss: integerToSingle,
  cvtsi2sd: integerToDouble,
  cvtss2si: toInteger(single, 'single', false),
  cvtsd2si: toInteger(double, 'double', false),
  cvttss2si: toInteger(single, 'single', true),
  cvttsd2si: toInteger(double, 'double', true),
  cvtss2sd: singleToDouble,
  cvtsd2ss: doubleToSingle,
  cvtps2pd,
  cvtpd2ps: toXmm(doublesToSingles),
  cvtdq2ps: toXmm(dwordsToSingles),
  cvtdq2pd: dwordsToDoubles,
  cvtps2dq: toXmm(nearestSingles),
  cvttps2dq: toXmm(truncatedSingles),
  cvtpd2dq: toXmm(nearestDoubles),
  cvttpd2dq: toXmm(truncatedDoubles),
  cvtpi2ps: fromMmxToSingles,
  cvtpi2pd: dwordsToDoubles,
  cvtps2pi: toMmx(nearestSingles),
  cvttps2pi: toMmx(truncatedSingles),
  cvtpd2pi: toMmx(nearestDoubles),
  cvttpd2pi: toMmx(truncatedDoubles),
};
