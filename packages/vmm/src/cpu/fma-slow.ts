// FMA out of line, every case: all roundings, exceptions masked or not; and the fast path before.

import { c32, call, type Expr, type Fn, type I32, i32, type V128 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i32x4, v128 } from '../wasm/simd.ts';
import { type Fused, fusedDoubles, fusedSingles } from './fma-fast.ts';
import type { FusedOperations } from './softfloat-fused.ts';
import { clearFlags, mxcsr, roundsAsHost, settleOrLeave } from './sse-exceptions.ts';
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
import { lanes32, ZERO } from './sse-operand.ts';

/**
 * (cpu, destination, a v128, b v128, c v128, signs): each lane of a * b + c. Bits 1:0 of `signs`
 * are what changes sign in even lanes, bits 3:2 in odd ones (softfloat-fused.ts).
 */
export interface FmaRuntime {
  readonly single: Fn<'i32'>;
  readonly double: Fn<'i32'>;
}

/** All ones in odd lanes. */
const oddLanes = (bytes: 4 | 8): V128 =>
  bytes === 4 ? lanes32(0, -1, 0, -1) : lanes32(0, 0, -1, -1);

const PARAMS = ['i32', 'i32', 'v128', 'v128', 'v128', 'i32'] as const;

/** Defines {@link FmaRuntime}. */
export function defineFma(m: ModuleBuilder, settle: Fn<'i32'>, fused: FusedOperations): FmaRuntime {
  const define = <B extends BitsType>(
    name: string,
    scalar: Scalar<B, FloatType>,
    packed: Packed,
    fast: Fused,
    operation: Fn<'i64'>,
  ): Fn<'i32'> =>
    m.function(name, PARAMS, 'i32', (f) => {
      const [cpu, destination] = [f.param(0, 'i32'), f.param(1, 'i32')];
      const operands = [2, 3, 4].map((i) => f.param(i, 'v128'));
      const signs = f.param(5, 'i32');
      f.if(roundsAsHost(cpu), () => {
        const [a, b, c] = operands;
        const changed = (value: V128, bit: number): V128 => {
          const sign = (shift: number): I32 => i32.shl(i32.shr_u(signs, c32(bit + shift)), c32(31));
          const even = i32x4.splat(sign(0));
          const both = v128.bitselect(i32x4.splat(sign(2)), even, oddLanes(scalar.bytes));
          return f.let(v128.xor(value, v128.and(both, packed.sign)));
        };
        const { result, exact } = fast(f, changed(a, 0), b, changed(c, 1));
        f.if(packed.allTrue(exact), () => {
          f.storeV128(destination, result);
          f.return(c32(0));
        });
      });
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
    single: define('fmaPS', single, singles, fusedSingles, fused.f32),
    double: define('fmaPD', double, doubles, fusedDoubles, fused.f64),
  };
}
