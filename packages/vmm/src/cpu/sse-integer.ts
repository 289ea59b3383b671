// Integer arithmetic of MMX, SSE2, SSSE3, SSE4.1 and SSE4.2, lane by lane: SDM vol. 2, PABSB to
// PXOR, MPSADBW, PHMINPOSUW, PTEST. One function for the MMX and the XMM form of each: an MMX
// operand is a vector whose upper half does not count.
//
// Shuffles, packs, blends, inserts and extracts are in sse-shuffle.ts, moves in sse-move.ts.

import { c32, c64, type I32, i32, i64, select, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { i8x16, i16x8, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import {
  begin,
  destination,
  IOTA,
  immediate8,
  indices,
  isMmx,
  joinHalves,
  lanes16,
  lanes32,
  setCompareFlags,
  sourceVector,
  writeVector,
  ZERO,
} from './sse-operand.ts';

type Binary = (a: V128, b: V128, f: FunctionBuilder) => V128;

/** op0 = compute(op0, op1). Both are locals: they may be used more than once. */
const binary =
  (compute: Binary): Semantic =>
  (x) => {
    begin(x);
    const b = sourceVector(x, 1);
    const a = destination(x);
    a.write(compute(a.value, b, x.f));
  };

/** op0 = compute(op1). */
const unary =
  (compute: (a: V128, f: FunctionBuilder) => V128): Semantic =>
  (x) => {
    begin(x);
    writeVector(x, compute(sourceVector(x, 1), x.f));
  };

/**
 * As {@link binary}, for operations that take neighbours of one operand into neighbouring results:
 * MMX operands are joined to one vector, of which the lower half of the result is wanted.
 */
const horizontal =
  (compute: Binary): Semantic =>
  (x) => {
    begin(x);
    const b = sourceVector(x, 1);
    const a = destination(x);
    if (isMmx(x, 0)) {
      const both = x.f.let(joinHalves(a.value, b));
      a.write(compute(both, both, x.f));
    } else {
      a.write(compute(a.value, b, x.f));
    }
  };

/** Lanes `parity`, `parity` + 2, ... of `bytes` bytes each, of the two vectors' lanes. */
const everySecond = (a: V128, b: V128, bytes: number, parity: number): V128 =>
  v128.shuffle(
    a,
    b,
    indices((i) => (2 * Math.floor(i / bytes) + parity) * bytes + (i % bytes)),
  );

/** compute(lane 2i, lane 2i + 1) of both operands. */
const pairwise = (bytes: number, compute: (even: V128, odd: V128) => V128): Semantic =>
  horizontal((a, b) => compute(everySecond(a, b, bytes, 0), everySecond(a, b, bytes, 1)));

/** The high 16 bits of eight 32-bit products. */
const highWords = (low: V128, high: V128): V128 => everySecond(low, high, 2, 1);

/** Low 32 bits of both 64-bit lanes, where extmul_low takes its operands from. */
const evenDwords = (a: V128): V128 => everySecond(a, a, 4, 0);

/** |a - b| of unsigned bytes: one of the saturated differences is zero. */
const absoluteDifference = (a: V128, b: V128): V128 =>
  v128.or(i8x16.sub_sat_u(a, b), i8x16.sub_sat_u(b, a));

/** PMADDUBSW: unsigned bytes of `a` times signed bytes of `b`, neighbours added with saturation. */
const multiplyAddBytes: Binary = (a, b) => {
  const even = i16x8.mul(v128.and(a, lanes32(...Array(4).fill(0x00ff00ff))), signedEven(b));
  const odd = i16x8.mul(i16x8.shr_u(a, c32(8)), i16x8.shr_s(b, c32(8)));
  return i16x8.add_sat_s(even, odd);
};
const signedEven = (b: V128): V128 => i16x8.shr_s(i16x8.shl(b, c32(8)), c32(8));

/** PSADBW: sums of the absolute differences of eight bytes, in 64-bit lanes. */
const sumOfDifferences: Binary = (a, b, f) => {
  const words = i16x8.extadd_pairwise_i8x16_u(absoluteDifference(a, b));
  const dwords = f.let(i32x4.extadd_pairwise_i16x8_u(words));
  const sums = i64x2.add(dwords, i64x2.shr_u(dwords, c32(32)));
  return v128.and(sums, lanes32(0xffff, 0, 0xffff, 0));
};

/** PMULHRSW: WebAssembly's saturates -1 times -1, where the SDM's wraps to -1. */
const multiplyHighRound: Binary = (a, b) => {
  const least = lanes16(...Array(8).fill(0x8000));
  const wraps = v128.and(i16x8.eq(a, least), i16x8.eq(b, least));
  return v128.xor(i16x8.q15mulr_sat_s(a, b), wraps);
};

type Shape = typeof i8x16 | typeof i16x8 | typeof i32x4;

/** PSIGN: a negated where b is negative, zero where b is. */
const sign = (shape: Shape): Semantic =>
  binary((a, b, f) => {
    const negative = f.let(shape.lt_s(b, ZERO));
    const signed = shape.sub(v128.xor(a, negative), negative);
    return v128.and(signed, shape.ne(b, ZERO));
  });

type Shift = (a: V128, count: I32) => V128;

/** The count of a shift by operand 1, all bits of its low quadword, capped at `most`. */
function shiftCount(x: Context, most: number): I32 {
  if (x.row.operands[1].type === 'imm8') {
    const count = x.f.let(immediate8(x, 1));
    return x.f.let(select(i32.gt_u(count, c32(most)), c32(most), count));
  }
  const count = x.f.let(i64x2.extract_lane(sourceVector(x, 1), 0));
  const large = i64.gt_u(count, c64(most));
  return x.f.let(select(large, c32(most), i32.wrap(count)));
}

/** PSLL, PSRL: counts of `bits` and more give zero, where WebAssembly's shifts take them modulo. */
const shift =
  (bits: number, compute: Shift): Semantic =>
  (x) => {
    begin(x);
    const count = shiftCount(x, bits);
    const a = destination(x);
    a.write(select(i32.lt_u(count, c32(bits)), compute(a.value, count), ZERO));
  };

/** PSRA: counts of `bits` and more give copies of the sign. */
const shiftArithmetic =
  (bits: number, compute: Shift): Semantic =>
  (x) => {
    begin(x);
    const count = shiftCount(x, bits - 1);
    const a = destination(x);
    a.write(compute(a.value, count));
  };

/** PMOVSX, PMOVZX: widens the low lanes, once or more. */
const widen = (...steps: readonly ((a: V128) => V128)[]): Semantic =>
  unary((a) => steps.reduce((value, step) => step(value), a));

/** PTEST: ZF if no bit of op1 is in op0, CF if all are. */
const ptest: Semantic = (x) => {
  const b = sourceVector(x, 1);
  const a = sourceVector(x, 0);
  const zf = i32.eqz(v128.any_true(v128.and(a, b)));
  const cf = i32.eqz(v128.any_true(v128.andnot(b, a)));
  setCompareFlags(x, zf, c32(0), cf);
};

/** PHMINPOSUW: the least unsigned word and its place; of equals the first. */
const minimumPosition: Semantic = (x) => {
  const { f } = x;
  const a = sourceVector(x, 1);
  // Word and place as one number, whose minimum is sought.
  const keys = (words: V128, first: number): V128 =>
    v128.or(i32x4.shl(words, c32(3)), lanes32(first, first + 1, first + 2, first + 3));
  const low = keys(i32x4.extend_low_u(a), 0);
  const four = f.let(i32x4.min_u(low, keys(i32x4.extend_high_u(a), 4)));
  const two = f.let(i32x4.min_u(four, swapBytes(four, 8)));
  const least = f.let(i32x4.extract_lane(i32x4.min_u(two, swapBytes(two, 4)), 0));
  const place = i32.shl(i32.and(least, c32(7)), c32(16));
  writeVector(x, i32x4.replace_lane(ZERO, 0, i32.or(i32.shr_u(least, c32(3)), place)));
};

/** The vector rotated by `distance` bytes. */
const swapBytes = (a: V128, distance: number): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => (i + distance) & 15),
  );

/**
 * MPSADBW: for each of eight places in op0, the sum of the absolute differences of four bytes there
 * and the four bytes of op1 that bits 1:0 of the immediate choose; bit 2 chooses the first place.
 */
const sumsOfDifferences: Semantic = (x) => {
  const { f } = x;
  const b = sourceVector(x, 1);
  const a = destination(x);
  const imm = f.let(immediate8(x, 2));
  const place = i32.and(imm, c32(4));
  const moved = f.let(i8x16.swizzle(a.value, i8x16.add(IOTA, i8x16.splat(place))));
  const chosen = f.let(i32.shl(i32.and(imm, c32(3)), c32(2)));
  const sums = f.let(ZERO);
  for (let k = 0; k < 4; k++) {
    const four = i8x16.swizzle(b, i8x16.splat(i32.add(chosen, c32(k))));
    const byte = f.let(four);
    const bytes = f.let(k === 0 ? moved : swapBytes(moved, k));
    f.set(sums, i16x8.add(sums, i16x8.extend_low_u(absoluteDifference(bytes, byte))));
  }
  a.write(sums);
};

/** Semantics by mnemonic. */
export const sseIntegerSemantics: SemanticTable = {
  paddb: binary(i8x16.add),
  paddw: binary(i16x8.add),
  paddd: binary(i32x4.add),
  paddq: binary(i64x2.add),
  paddsb: binary(i8x16.add_sat_s),
  paddsw: binary(i16x8.add_sat_s),
  paddusb: binary(i8x16.add_sat_u),
  paddusw: binary(i16x8.add_sat_u),
  psubb: binary(i8x16.sub),
  psubw: binary(i16x8.sub),
  psubd: binary(i32x4.sub),
  psubq: binary(i64x2.sub),
  psubsb: binary(i8x16.sub_sat_s),
  psubsw: binary(i16x8.sub_sat_s),
  psubusb: binary(i8x16.sub_sat_u),
  psubusw: binary(i16x8.sub_sat_u),

  pmullw: binary(i16x8.mul),
  pmulld: binary(i32x4.mul),
  pmulhw: binary((a, b) => highWords(i32x4.extmul_low_s(a, b), i32x4.extmul_high_s(a, b))),
  pmulhuw: binary((a, b) => highWords(i32x4.extmul_low_u(a, b), i32x4.extmul_high_u(a, b))),
  pmulhrsw: binary(multiplyHighRound),
  pmuludq: binary((a, b) => i64x2.extmul_low_u(evenDwords(a), evenDwords(b))),
  pmuldq: binary((a, b) => i64x2.extmul_low_s(evenDwords(a), evenDwords(b))),
  pmaddwd: binary(i32x4.dot_i16x8_s),
  pmaddubsw: binary(multiplyAddBytes),
  psadbw: binary(sumOfDifferences),
  mpsadbw: sumsOfDifferences,
  phminposuw: minimumPosition,

  pavgb: binary(i8x16.avgr_u),
  pavgw: binary(i16x8.avgr_u),
  pabsb: unary(i8x16.abs),
  pabsw: unary(i16x8.abs),
  pabsd: unary(i32x4.abs),
  psignb: sign(i8x16),
  psignw: sign(i16x8),
  psignd: sign(i32x4),
  pminub: binary(i8x16.min_u),
  pminsb: binary(i8x16.min_s),
  pminuw: binary(i16x8.min_u),
  pminsw: binary(i16x8.min_s),
  pminud: binary(i32x4.min_u),
  pminsd: binary(i32x4.min_s),
  pmaxub: binary(i8x16.max_u),
  pmaxsb: binary(i8x16.max_s),
  pmaxuw: binary(i16x8.max_u),
  pmaxsw: binary(i16x8.max_s),
  pmaxud: binary(i32x4.max_u),
  pmaxsd: binary(i32x4.max_s),

  pcmpeqb: binary(i8x16.eq),
  pcmpeqw: binary(i16x8.eq),
  pcmpeqd: binary(i32x4.eq),
  pcmpeqq: binary(i64x2.eq),
  pcmpgtb: binary(i8x16.gt_s),
  pcmpgtw: binary(i16x8.gt_s),
  pcmpgtd: binary(i32x4.gt_s),
  pcmpgtq: binary(i64x2.gt_s),

  pand: binary(v128.and),
  pandn: binary((a, b) => v128.andnot(b, a)),
  por: binary(v128.or),
  pxor: binary(v128.xor),
  andps: binary(v128.and),
  andpd: binary(v128.and),
  andnps: binary((a, b) => v128.andnot(b, a)),
  andnpd: binary((a, b) => v128.andnot(b, a)),
  orps: binary(v128.or),
  orpd: binary(v128.or),
  xorps: binary(v128.xor),
  xorpd: binary(v128.xor),
  ptest,

  phaddw: pairwise(2, i16x8.add),
  phaddd: pairwise(4, i32x4.add),
  phaddsw: pairwise(2, i16x8.add_sat_s),
  phsubw: pairwise(2, i16x8.sub),
  phsubd: pairwise(4, i32x4.sub),
  phsubsw: pairwise(2, i16x8.sub_sat_s),

  psllw: shift(16, i16x8.shl),
  pslld: shift(32, i32x4.shl),
  psllq: shift(64, i64x2.shl),
  psrlw: shift(16, i16x8.shr_u),
  psrld: shift(32, i32x4.shr_u),
  psrlq: shift(64, i64x2.shr_u),
  psraw: shiftArithmetic(16, i16x8.shr_s),
  psrad: shiftArithmetic(32, i32x4.shr_s),

  pmovsxbw: widen(i16x8.extend_low_s),
  pmovsxbd: widen(i16x8.extend_low_s, i32x4.extend_low_s),
  pmovsxbq: widen(i16x8.extend_low_s, i32x4.extend_low_s, i64x2.extend_low_s),
  pmovsxwd: widen(i32x4.extend_low_s),
  pmovsxwq: widen(i32x4.extend_low_s, i64x2.extend_low_s),
  pmovsxdq: widen(i64x2.extend_low_s),
  pmovzxbw: widen(i16x8.extend_low_u),
  pmovzxbd: widen(i16x8.extend_low_u, i32x4.extend_low_u),
  pmovzxbq: widen(i16x8.extend_low_u, i32x4.extend_low_u, i64x2.extend_low_u),
  pmovzxwd: widen(i32x4.extend_low_u),
  pmovzxwq: widen(i32x4.extend_low_u, i64x2.extend_low_u),
  pmovzxdq: widen(i64x2.extend_low_u),
};
