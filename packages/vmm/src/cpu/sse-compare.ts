// Comparisons of SSE: CMPPS to CMPSD and UCOMISS to COMISD. SDM
// vol. 2; vol. 1, table 4-7 and 11.5.2.1 (which NaNs are invalid operands).
//
// Fast paths take operands that are neither NaN nor denormal: with these no flag is ever set, and
// of MXCSR only DAZ matters. The rest goes out of line (sse-float-slow.ts).

import { c32, call, constant32, type Expr, type I32, i32, type V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { heldRelations, RELATION } from './sse-float-slow.ts';
import {
  type BitsType,
  denormals,
  type FloatType,
  numbers,
  type Packed,
  type Scalar,
} from './sse-format.ts';
import {
  destination,
  immediate8,
  setCompareFlags,
  source128,
  splat32,
  ZERO,
} from './sse-operand.ts';
import {
  DOUBLE,
  keepsDenormals,
  type Precision,
  packedResult,
  SINGLE,
  scalarResult,
  sourceBits,
} from './sse-precision.ts';

/** 1 when neither operand is NaN or denormal, and MXCSR leaves denormals alone. */
function ordinary<B extends BitsType>(
  x: Context,
  scalar: Scalar<B, FloatType>,
  a: Expr<B>,
  b: Expr<B>,
): I32 {
  const ordered = i32.and(scalar.isNumber(a), scalar.isNumber(b));
  const denormal = i32.or(scalar.isDenormal(a), scalar.isDenormal(b));
  return i32.and(i32.and(ordered, i32.eqz(denormal)), keepsDenormals(x));
}

/** The predicate: the immediate, of which SSE has three bits, VEX forms five. */
const predicateOf = (x: Context): I32 =>
  i32.and(immediate8(x, 2), c32(x.row.encoding.vex ? 31 : 7));

/** The relations for which the predicate holds, bits of {@link RELATION}: an expression to keep. */
const relationsOf = (x: Context): I32 => x.f.fix(heldRelations(predicateOf(x)));

/** Lanes in which one of `relations` holds; no lane is unordered. */
function packedRelations(p: Packed, a: V128, b: V128, relations: I32): V128 {
  const { op } = p;
  const known = constant32(relations);
  if (known !== undefined) {
    const ones = splat32(c32(-1));
    const results = [
      () => ZERO,
      () => op.lt(a, b),
      () => op.eq(a, b),
      () => op.le(a, b),
      () => op.gt(a, b),
      () => op.ne(a, b),
      () => op.ge(a, b),
      () => ones,
    ];
    return results[known & 7]();
  }
  const where = (relation: number, lanes: V128): V128 => {
    const bit = i32.ne(i32.and(relations, c32(relation)), c32(0));
    return v128.and(lanes, splat32(i32.sub(c32(0), bit)));
  };
  const less = where(RELATION.less, op.lt(a, b));
  const equal = where(RELATION.equal, op.eq(a, b));
  return v128.or(v128.or(less, equal), where(RELATION.greater, op.gt(a, b)));
}

/** CMPSS, CMPSD. */
const scalarCompare =
  <B extends BitsType, F extends FloatType>({ scalar, slow }: Precision<B, F>): Semantic =>
  (x) => {
    const b = sourceBits(x, scalar, 1);
    const address = x.xmmAddress(0);
    const a = x.f.let(scalar.load(address));
    const relations = relationsOf(x);
    const [left, right] = [scalar.float(a), scalar.float(b)];
    const equal = i32.shl(scalar.op.eq(left, right), c32(1));
    const greater = i32.shl(scalar.op.lt(right, left), c32(2));
    const relation = i32.or(i32.or(scalar.op.lt(left, right), equal), greater);
    const holds = i32.ne(i32.and(relation, relations), c32(0));
    scalarResult(x, scalar, address, ordinary(x, scalar, a, b), scalar.mask(holds), () =>
      x.attempt(slow(x).scalarCompare, x.cpu, address, b, predicateOf(x)),
    );
  };

/** CMPPS, CMPPD. */
const packedCompare =
  ({ packed, slow }: Pick<Precision<BitsType, FloatType>, 'packed' | 'slow'>): Semantic =>
  (x) => {
    const b = source128(x, 1);
    const { address, value: a } = destination(x);
    const result = packedRelations(packed, a, b, relationsOf(x));
    const ordered = v128.and(numbers(packed, a), numbers(packed, b));
    const denormal = v128.or(denormals(packed, a), denormals(packed, b));
    const exact = i32.and(keepsDenormals(x), packed.allTrue(v128.andnot(ordered, denormal)));
    packedResult(x, address, exact, result, () =>
      x.attempt(slow(x).packedCompare, x.cpu, address, a, b, predicateOf(x)),
    );
  };

/** UCOMISS, COMISS, UCOMISD, COMISD: the relation of op0 to op1 in ZF, PF and CF. */
const compareFlags =
  <B extends BitsType, F extends FloatType>(
    { scalar, slow }: Precision<B, F>,
    signalling: 0 | 1,
  ): Semantic =>
  (x) => {
    const { f } = x;
    const b = sourceBits(x, scalar, 1);
    const a = f.let(scalar.load(x.xmmAddress(0)));
    const relation = f.local('i32');
    f.if(
      ordinary(x, scalar, a, b),
      () => {
        const equal = scalar.op.eq(scalar.float(a), scalar.float(b));
        const less = scalar.op.lt(scalar.float(a), scalar.float(b));
        f.set(relation, i32.or(i32.shl(equal, c32(6)), less));
      },
      () => {
        f.set(relation, call(slow(x).relation, x.cpu, a, b, c32(signalling)));
        x.faultIf(i32.lt_s(relation, c32(0)));
      },
    );
    const bit = (n: number): I32 => i32.and(i32.shr_u(relation, c32(n)), c32(1));
    setCompareFlags(x, bit(6), bit(2), bit(0));
  };

/** Semantics by mnemonic. */
export const sseCompareSemantics: SemanticTable = {
  cmpss: scalarCompare(SINGLE),
  cmpsd: scalarCompare(DOUBLE),
  cmpps: packedCompare(SINGLE),
  cmppd: packedCompare(DOUBLE),
  ucomiss: compareFlags(SINGLE, 0),
  ucomisd: compareFlags(DOUBLE, 0),
  comiss: compareFlags(SINGLE, 1),
  comisd: compareFlags(DOUBLE, 1),
};
