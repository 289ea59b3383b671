// Comparisons of SSE: CMPPS to CMPSD and UCOMISS to COMISD. SDM
// vol. 2; vol. 1, table 4-7 and 11.5.2.1 (which NaNs are invalid operands).
//
// Fast paths take operands that are neither NaN nor denormal: with these no flag is ever set, and
// of MXCSR only DAZ matters. The rest goes out of line (sse-float-slow.ts).

import { c32, call, type Expr, type I32, i32, type V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { type BitsType, denormals, type FloatType, numbers, type Scalar } from './sse-format.ts';
import { destination, immediate8, setCompareFlags, source128, splat32 } from './sse-operand.ts';
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

/** The predicates of CMPPS by bits 1:0 of the immediate; bit 2 negates. Unordered is none here. */
interface Predicate {
  /** 0 or 1: holds for equal operands; for less ones; is negated. */
  readonly equal: I32;
  readonly less: I32;
  readonly negated: I32;
}

function predicate(x: Context): Predicate {
  const imm = x.f.let(immediate8(x, 2));
  const kind = x.f.let(i32.and(imm, c32(3)));
  return {
    // EQ is 0, LE is 2; LT is 1, LE is 2; 3 is UNORD.
    equal: i32.eqz(i32.and(kind, c32(1))),
    less: i32.lt_u(i32.sub(kind, c32(1)), c32(2)),
    negated: i32.and(i32.shr_u(imm, c32(2)), c32(1)),
  };
}

/** CMPSS, CMPSD. */
const scalarCompare =
  <B extends BitsType, F extends FloatType>({ scalar, slow }: Precision<B, F>): Semantic =>
  (x) => {
    const b = sourceBits(x, scalar, 1);
    const address = x.xmmAddress(0);
    const a = x.f.let(scalar.load(address));
    const { equal, less, negated } = predicate(x);
    const isEqual = i32.and(scalar.op.eq(scalar.float(a), scalar.float(b)), equal);
    const isLess = i32.and(scalar.op.lt(scalar.float(a), scalar.float(b)), less);
    const holds = i32.xor(i32.or(isEqual, isLess), negated);
    scalarResult(x, scalar, address, ordinary(x, scalar, a, b), scalar.mask(holds), () =>
      x.attempt(slow(x).scalarCompare, x.cpu, address, b, immediate8(x, 2)),
    );
  };

/** CMPPS, CMPPD. */
const packedCompare =
  ({ packed, slow }: Pick<Precision<BitsType, FloatType>, 'packed' | 'slow'>): Semantic =>
  (x) => {
    const b = source128(x, 1);
    const { address, value: a } = destination(x);
    const { equal, less, negated } = predicate(x);
    const all = (condition: I32): V128 => splat32(i32.sub(c32(0), condition));
    const isEqual = v128.and(packed.op.eq(a, b), all(equal));
    const isLess = v128.and(packed.op.lt(a, b), all(less));
    const result = v128.xor(v128.or(isEqual, isLess), all(negated));
    const ordered = v128.and(numbers(packed, a), numbers(packed, b));
    const denormal = v128.or(denormals(packed, a), denormals(packed, b));
    const exact = i32.and(keepsDenormals(x), packed.allTrue(v128.andnot(ordered, denormal)));
    packedResult(x, address, exact, result, () =>
      x.attempt(slow(x).packedCompare, x.cpu, address, a, b, immediate8(x, 2)),
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
