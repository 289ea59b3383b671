// FMA out of line, every case: all roundings, exceptions masked or not.

import { c32, call, type Expr, type Fn, type I32, i32, type V128 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { FusedOperations } from './softfloat-fused.ts';
import { clearFlags, mxcsr, settleOrLeave } from './sse-exceptions.ts';
import { type BitsType, double, type FloatType, type Scalar, single } from './sse-format.ts';
import { ZERO } from './sse-operand.ts';

/**
 * (cpu, destination, a v128, b v128, c v128, signs): each lane of a * b + c. Bits 1:0 of `signs`
 * are what changes sign in even lanes, bits 3:2 in odd ones (softfloat-fused.ts).
 */
export interface FmaRuntime {
  readonly single: Fn<'i32'>;
  readonly double: Fn<'i32'>;
}

const PARAMS = ['i32', 'i32', 'v128', 'v128', 'v128', 'i32'] as const;

/** Defines {@link FmaRuntime}. */
export function defineFma(m: ModuleBuilder, settle: Fn<'i32'>, fused: FusedOperations): FmaRuntime {
  const define = <B extends BitsType>(
    name: string,
    scalar: Scalar<B, FloatType>,
    operation: Fn<'i64'>,
  ): Fn<'i32'> =>
    m.function(name, PARAMS, 'i32', (f) => {
      const [cpu, destination] = [f.param(0, 'i32'), f.param(1, 'i32')];
      const operands = [2, 3, 4].map((i) => f.param(i, 'v128'));
      const signs = f.param(5, 'i32');
      clearFlags(f, cpu);
      const control = f.let(mxcsr(cpu));
      const lane = (i: number): Expr<B> => {
        const bits = operands.map((vector) => scalar.toI64(scalar.lane(vector, i)));
        const own: I32 = i32.and(i32.shr_u(signs, c32(2 * (i & 1))), c32(3));
        return f.let(scalar.fromI64(call(operation, cpu, ...bits, own, control)));
      };
      const lanes = Array.from({ length: 16 / scalar.bytes }, (_, i) => lane(i));
      settleOrLeave(f, settle, cpu);
      const result = lanes.reduce<V128>((v, bits, i) => scalar.withLane(v, i, bits), ZERO);
      f.storeV128(destination, result);
      f.return(c32(0));
    });
  return {
    single: define('fmaPS', single, fused.f32),
    double: define('fmaPD', double, fused.f64),
  };
}
