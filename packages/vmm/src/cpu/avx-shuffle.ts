// What AVX and AVX2 rearrange, shift and test in ways that SSE does not: VPERMILPS to VPERMQ,
// shifts by a count for each lane, sign masks and tests of 256 bits. SDM vol. 2.

import {
  c32,
  c64,
  constant32,
  type I32,
  type I64,
  i32,
  i64,
  select,
  type V128,
} from '../wasm/expr.ts';
import { i8x16, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import { lastImmediate, source, type Vector, wideSource, writeRegister } from './avx-operand.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { indices, lanes32, setCompareFlags, splat32, ZERO } from './sse-operand.ts';

/** op0 = compute(op1, op2), in each half. */
const halfwise =
  (compute: (a: V128, b: V128, x: Context) => V128): Semantic =>
  (x) => {
    const b = source(x, 2);
    const a = source(x, 1);
    const low = x.f.let(compute(a.low, b.low, x));
    const high = a.high && b.high && x.f.let(compute(a.high, b.high, x));
    writeRegister(x, 0, low, high);
  };

/** Byte indices of a swizzle by 32-bit lanes whose numbers, 0..3, are in the lanes of `numbers`. */
function dwordBytes(numbers: V128): V128 {
  const bytes = i32x4.mul(numbers, splat32(c32(0x04040404)));
  return i32x4.add(bytes, splat32(c32(0x03020100)));
}

/** VPERMILPS by a vector: bits 1:0 of each lane of op2 choose a lane of the same half of op1. */
const permuteSingles = halfwise((a, b) =>
  i8x16.swizzle(a, dwordBytes(v128.and(b, lanes32(3, 3, 3, 3)))),
);

/** VPERMILPD by a vector: bit 1 of each lane of op2 chooses. */
const permuteDoubles = halfwise((a, b, x) => {
  const chosen = x.f.let(i64x2.shr_s(i64x2.shl(b, c32(62)), c32(63)));
  return v128.bitselect(highTwice(a), lowTwice(a), chosen);
});

const lowTwice = (a: V128): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => i & 7),
  );
const highTwice = (a: V128): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => 8 | (i & 7)),
  );

/** The lanes of `a`, of 32 bits, that two bits each of the immediate choose. */
function dwordsBy(a: V128, imm: I32): V128 {
  const known = constant32(imm);
  if (known !== undefined) {
    return v128.shuffle(
      a,
      a,
      indices((i) => ((known >> (2 * (i >> 2))) & 3) * 4 + (i & 3)),
    );
  }
  const fields = i32x4.shr_u(i32x4.mul(splat32(imm), lanes32(64, 16, 4, 1)), c32(6));
  return i8x16.swizzle(a, dwordBytes(v128.and(fields, lanes32(3, 3, 3, 3))));
}

/** VPERMILPS by the immediate, the same for both halves. */
const permuteSinglesBy: Semantic = (x) => {
  const { low, high } = source(x, 1);
  const imm = x.f.fix(lastImmediate(x));
  const first = x.f.let(dwordsBy(low, imm));
  writeRegister(x, 0, first, high && dwordsBy(high, imm));
};

/** VPERMILPD by the immediate, a bit for each lane. */
const permuteDoublesBy: Semantic = (x) => {
  const { low, high } = source(x, 1);
  const imm = x.f.fix(lastImmediate(x));
  const half = (a: V128, shift: number): V128 => {
    const bit = (n: number): I32 => i32.and(i32.shr_u(imm, c32(shift + n)), c32(1));
    const lane = (n: number): I64 =>
      select(bit(n), i64x2.extract_lane(a, 1), i64x2.extract_lane(a, 0));
    return i64x2.replace_lane(i64x2.splat(lane(0)), 1, lane(1));
  };
  const first = x.f.let(half(low, 0));
  writeRegister(x, 0, first, high && half(high, 2));
};

/** VPERMD, VPERMPS: bits 2:0 of each lane of op1 choose a lane of op2. */
const permuteAcross: Semantic = (x) => {
  const { f } = x;
  const [low, high] = wideSource(x, 2);
  const [first, second] = wideSource(x, 1);
  const half = (numbers: V128): V128 => {
    const bytes = f.let(dwordBytes(v128.and(numbers, lanes32(3, 3, 3, 3))));
    const isHigh = i32x4.shr_s(i32x4.shl(numbers, c32(29)), c32(31));
    return v128.bitselect(i8x16.swizzle(high, bytes), i8x16.swizzle(low, bytes), isHigh);
  };
  const result = f.let(half(first));
  writeRegister(x, 0, result, half(second));
};

/** VPERMQ, VPERMPD: two bits of the immediate for each lane choose one of four. */
const permuteQuadwords: Semantic = (x) => {
  const { f } = x;
  const [low, high] = wideSource(x, 1);
  const imm = f.fix(lastImmediate(x));
  const half = (shift: number): V128 => {
    const known = constant32(imm);
    if (known !== undefined) {
      const at = (i: number): number => ((known >> (shift + 2 * (i >> 3))) & 3) * 8 + (i & 7);
      return v128.shuffle(low, high, indices(at));
    }
    const lane = (field: number): I64 => {
      const bit = (n: number): I32 => i32.and(i32.shr_u(imm, c32(shift + field + n)), c32(1));
      const of = (a: V128): I64 =>
        select(bit(0), i64x2.extract_lane(a, 1), i64x2.extract_lane(a, 0));
      return select(bit(1), of(high), of(low));
    };
    return i64x2.replace_lane(i64x2.splat(lane(0)), 1, lane(2));
  };
  const first = f.let(half(0));
  writeRegister(x, 0, first, half(4));
};

/** VPBLENDD: lane k from op2 if bit k of the immediate is set. */
const blendDwords: Semantic = (x) => {
  const b = source(x, 2);
  const a = source(x, 1);
  const imm = x.f.fix(lastImmediate(x));
  const half = (first: V128, second: V128, bits: V128): V128 =>
    v128.bitselect(second, first, i32x4.eq(v128.and(splat32(imm), bits), bits));
  const low = x.f.let(half(a.low, b.low, lanes32(1, 2, 4, 8)));
  writeRegister(x, 0, low, a.high && b.high && half(a.high, b.high, lanes32(16, 32, 64, 128)));
};

/** Shifts of each 32-bit lane by its own count; those beyond 31 leave zero, or the sign. */
const shiftDwords = (shift: (a: I32, count: I32) => I32, isArithmetic = false): Semantic =>
  halfwise((a, b, x) => {
    const { f } = x;
    const limit = splat32(c32(31));
    const counts = f.let(i32x4.min_u(b, limit));
    let result: V128 = ZERO;
    for (const lane of [0, 1, 2, 3]) {
      const of = (v: V128): I32 => i32x4.extract_lane(v, lane);
      result = i32x4.replace_lane(result, lane, shift(of(a), of(counts)));
    }
    if (isArithmetic) return result;
    return v128.and(result, i32x4.le_u(b, limit));
  });

/** The same of 64-bit lanes. */
const shiftQuadwords = (shift: (a: I64, count: I64) => I64): Semantic =>
  halfwise((a, b) => {
    const lane = (n: number): I64 => {
      const count = i64x2.extract_lane(b, n);
      const moved = shift(i64x2.extract_lane(a, n), count);
      return select(i64.gt_u(count, c64(63)), c64(0), moved);
    };
    return i64x2.replace_lane(i64x2.splat(lane(0)), 1, lane(1));
  });

/** VMOVMSKPS, VMOVMSKPD, VPMOVMSKB: the signs of all lanes, of which a half has `lanes`. */
const signs =
  (lanes: number, bitmask: (a: V128) => I32): Semantic =>
  (x) => {
    const { low, high } = source(x, 1);
    const mask = high ? i32.or(bitmask(low), i32.shl(bitmask(high), c32(lanes))) : bitmask(low);
    x.write(0, i64.extend_u(mask));
  };

const either = (a: V128, b: V128 | undefined): V128 => (b ? v128.or(a, b) : a);

/** Both operands' halves combined, with one vector for what is to be tested. */
function combined(a: Vector, b: Vector, combine: (a: V128, b: V128) => V128): V128 {
  return either(combine(a.low, b.low), a.high && b.high && combine(a.high, b.high));
}

/** VPTEST: ZF if no bit of op1 is in op0, CF if all are. VTESTPS, VTESTPD: of sign bits alone. */
const testBits =
  (bits: V128 | undefined): Semantic =>
  (x) => {
    const b = source(x, 1);
    const a = source(x, 0);
    const isNone = (v: V128): I32 => i32.eqz(v128.any_true(bits ? v128.and(v, bits) : v));
    const zf = isNone(combined(a, b, v128.and));
    const cf = isNone(combined(a, b, (left, right) => v128.andnot(right, left)));
    setCompareFlags(x, zf, c32(0), cf);
  };

const SIGN = 0x8000_0000;

/** VPERMILPS and VPERMILPD are two instructions each. */
const byForm =
  (byImmediate: Semantic, byVector: Semantic): Semantic =>
  (x) =>
    (x.row.operands[2].place === 'imm' ? byImmediate : byVector)(x);

/** Semantics by mnemonic. */
export const avxShuffleSemantics: SemanticTable = {
  vpermilps: byForm(permuteSinglesBy, permuteSingles),
  vpermilpd: byForm(permuteDoublesBy, permuteDoubles),
  vpermd: permuteAcross,
  vpermps: permuteAcross,
  vpermq: permuteQuadwords,
  vpermpd: permuteQuadwords,
  vpblendd: blendDwords,
  vpsllvd: shiftDwords(i32.shl),
  vpsrlvd: shiftDwords(i32.shr_u),
  vpsravd: shiftDwords(i32.shr_s, true),
  vpsllvq: shiftQuadwords(i64.shl),
  vpsrlvq: shiftQuadwords(i64.shr_u),
  vmovmskps: signs(4, i32x4.bitmask),
  vmovmskpd: signs(2, i64x2.bitmask),
  vpmovmskb: signs(16, i8x16.bitmask),
  vptest: testBits(undefined),
  vtestps: testBits(splat32(c32(SIGN))),
  vtestpd: testBits(lanes32(0, SIGN, 0, SIGN)),
};
