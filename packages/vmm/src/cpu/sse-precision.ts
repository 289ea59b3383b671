// Single and double precision as the semantics of SSE see them: the vocabularies of sse-format.ts,
// the out-of-line functions, and what all fast paths ask of MXCSR.

import type { Expr, I32, V128 } from '../wasm/expr.ts';
import type { Context } from './context.ts';
import { MXCSR_DAZ, mxcsrIs } from './sse-exceptions.ts';
import type { FloatRuntime } from './sse-float-slow.ts';
import {
  type BitsType,
  double,
  doubles,
  type FloatType,
  type Packed,
  type Scalar,
  single,
  singles,
} from './sse-format.ts';
import { sourceScalar } from './sse-operand.ts';

/** One of the two precisions. */
export interface Precision<B extends BitsType, F extends FloatType> {
  readonly scalar: Scalar<B, F>;
  readonly packed: Packed;
  /** Its out-of-line functions. */
  slow(x: Context): FloatRuntime;
}

/** SS and PS. */
export const SINGLE: Precision<'i32', 'f32'> = {
  scalar: single,
  packed: singles,
  slow: (x) => x.runtime.sse.single,
};

/** SD and PD. */
export const DOUBLE: Precision<'i64', 'f64'> = {
  scalar: double,
  packed: doubles,
  slow: (x) => x.runtime.sse.double,
};

/** Operand `i`: the lowest lane of a register, or memory. */
export const sourceBits = <B extends BitsType>(
  x: Context,
  scalar: Scalar<B, FloatType>,
  i: number,
): Expr<B> => x.f.let(scalar.fromI64(sourceScalar(x, i, scalar.bytes)));

/** Writes `result` to the lowest lane at `address` if `exact` holds; else `slow` does it all. */
export function scalarResult<B extends BitsType>(
  x: Context,
  scalar: Scalar<B, FloatType>,
  address: I32,
  exact: I32,
  result: Expr<B>,
  slow: () => void,
): void {
  const write = (): void => x.f.storeLow(scalar.bytes, address, scalar.toI64(result));
  x.f.if(exact, write, slow);
}

/** Writes `result` to the register at `address` if `exact` holds; else `slow` does it all. */
export function packedResult(
  x: Context,
  address: I32,
  exact: I32,
  result: V128,
  slow: () => void,
): void {
  x.f.if(exact, () => x.f.storeV128(address, result), slow);
}

/** 1 when denormals are not zeros: all that MIN, MAX, comparisons and ROUND want of MXCSR. */
export const keepsDenormals = (x: Context): I32 => mxcsrIs(x.cpu, MXCSR_DAZ, 0);
