// SSE conversions out of line, every case. SDM vol. 2, CVTDQ2PD to CVTTSS2SI; vol. 1, 11.5.2.
//
// A value that does not fit its integer becomes the integer indefinite, 80..0h, with IE. As in
// sse-float-slow.ts a function writes its result and returns 0, or raises the exception and
// returns 1.

import { c32, call, type Expr, type Fn, type I32, i32, i64, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i32x4, i64x2 } from '../wasm/simd.ts';
import { clearFlags, MXCSR_RC, mxcsr, type SseSoftFloat, settleOrLeave } from './sse-exceptions.ts';
import type { BitsType } from './sse-format.ts';
import { ZERO } from './sse-operand.ts';
import { S } from './state.ts';

/** The out-of-line conversions. Non-zero results: a fault has been raised. */
export interface ConvertRuntime {
  /** (cpu, destination, a v128): all lanes written, those without a source zero. */
  readonly packed: {
    readonly singleToDouble: Fn<'i32'>;
    readonly doubleToSingle: Fn<'i32'>;
    readonly dwordToSingle: Fn<'i32'>;
    readonly singleToDword: Fn<'i32'>;
    readonly singleToDwordTruncated: Fn<'i32'>;
    readonly doubleToDword: Fn<'i32'>;
    readonly doubleToDwordTruncated: Fn<'i32'>;
  };
  /** (cpu, destination, a bits): the lowest lane. */
  readonly scalar: {
    readonly singleToDouble: Fn<'i32'>;
    readonly doubleToSingle: Fn<'i32'>;
    /** (cpu, destination, a i64): from a sign-extended integer. */
    readonly integerToSingle: Fn<'i32'>;
    readonly integerToDouble: Fn<'i32'>;
  };
  /**
   * (cpu, a bits, truncate): the integer, of 4 or 8 bytes, is left in S.fpResult. Truncate: 0 or
   * 1.
   */
  readonly integer: Readonly<Record<'single' | 'double', Readonly<Record<4 | 8, Fn<'i32'>>>>>;
}

/** MXCSR with rounding to zero. */
const truncating = (control: I32): I32 => i32.or(control, c32(MXCSR_RC));

/** What one conversion function is made of. */
interface Conversion {
  readonly name: string;
  readonly lanes: number;
  /** Lane `i` of the source, converted. */
  convert(cpu: I32, a: V128, i: number, control: I32): Expr;
  /** The result lane put into its vector. */
  place(result: V128, i: number, value: Expr): V128;
}

function definePacked(m: ModuleBuilder, settle: Fn<'i32'>, conversion: Conversion): Fn<'i32'> {
  const { name, lanes, convert, place } = conversion;
  return m.function(`sse${name}`, ['i32', 'i32', 'v128'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const control = f.let(mxcsr(cpu));
    clearFlags(f, cpu);
    const all = Array.from({ length: lanes }, (_, i) =>
      f.let(convert(cpu, f.param(2, 'v128'), i, control)),
    );
    settleOrLeave(f, settle, cpu);
    f.storeV128(
      f.param(1, 'i32'),
      all.reduce<V128>((result, value, i) => place(result, i, value), ZERO),
    );
    f.return(c32(0));
  });
}

const dwords = (result: V128, i: number, value: Expr): V128 =>
  i32x4.replace_lane(result, i, value as I32);
const qwords = (result: V128, i: number, value: Expr): V128 =>
  i64x2.replace_lane(result, i, value as Expr<'i64'>);

function definePackedAll(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  soft: SseSoftFloat,
): ConvertRuntime['packed'] {
  const { convert } = soft;
  const define = (
    name: string,
    lanes: number,
    lane: Conversion['convert'],
    place: Conversion['place'] = dwords,
  ): Fn<'i32'> => definePacked(m, settle, { name, lanes, convert: lane, place });
  const single = (a: V128, i: number): I32 => i32x4.extract_lane(a, i);
  const double = (a: V128, i: number): Expr<'i64'> => i64x2.extract_lane(a, i);
  return {
    singleToDouble: define(
      'SingleToDouble',
      2,
      (cpu, a, i, control) => call(convert.f32ToF64, cpu, single(a, i), control),
      qwords,
    ),
    doubleToSingle: define('DoubleToSingle', 2, (cpu, a, i, control) =>
      call(convert.f64ToF32, cpu, double(a, i), control),
    ),
    dwordToSingle: define('DwordToSingle', 4, (cpu, a, i, control) =>
      call(convert.i64ToF32, cpu, i64.extend_s(single(a, i)), control),
    ),
    singleToDword: define('SingleToDword', 4, (cpu, a, i, control) =>
      call(convert.f32ToI32, cpu, single(a, i), control),
    ),
    singleToDwordTruncated: define('SingleToDwordTruncated', 4, (cpu, a, i, control) =>
      call(convert.f32ToI32, cpu, single(a, i), truncating(control)),
    ),
    doubleToDword: define('DoubleToDword', 2, (cpu, a, i, control) =>
      call(convert.f64ToI32, cpu, double(a, i), control),
    ),
    doubleToDwordTruncated: define('DoubleToDwordTruncated', 2, (cpu, a, i, control) =>
      call(convert.f64ToI32, cpu, double(a, i), truncating(control)),
    ),
  };
}

/** (cpu, destination, a): the result of `convert` in the destination's lowest lane. */
function defineScalar<A extends BitsType, B extends BitsType>(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  name: string,
  from: A,
  convert: Fn<B>,
): Fn<'i32'> {
  return m.function(`sse${name}`, ['i32', 'i32', from], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    clearFlags(f, cpu);
    const value: Expr = f.let(call(convert, cpu, f.param(2, from), mxcsr(cpu)));
    settleOrLeave(f, settle, cpu);
    storeBits(f, f.param(1, 'i32'), value, 0);
    f.return(c32(0));
  });
}

/** Stores an i32 or an i64 as it is. */
function storeBits(f: FunctionBuilder, address: I32, value: Expr, offset: number): void {
  if (value.type === 'i32') f.store32(address, value as I32, offset);
  else f.store64(address, value as Expr<'i64'>, offset);
}

/** (cpu, a, truncate): the integer in S.fpResult. */
function defineToInteger<A extends BitsType, B extends BitsType>(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  from: A,
  convert: Fn<B>,
): Fn<'i32'> {
  return m.function(`sse${convert.name}`, ['i32', from, 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    clearFlags(f, cpu);
    const rounding = i32.mul(f.param(2, 'i32'), c32(MXCSR_RC));
    const control = i32.or(mxcsr(cpu), rounding);
    const value: Expr = f.let(call(convert, cpu, f.param(1, from), control));
    storeBits(f, cpu, value, S.fpResult);
    f.return(call(settle, cpu));
  });
}

/** Defines the conversions in `m`. */
export function defineConvertRuntime(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  soft: SseSoftFloat,
): ConvertRuntime {
  const { convert } = soft;
  return {
    packed: definePackedAll(m, settle, soft),
    scalar: {
      singleToDouble: defineScalar(m, settle, 'SingleToDoubleS', 'i32', convert.f32ToF64),
      doubleToSingle: defineScalar(m, settle, 'DoubleToSingleS', 'i64', convert.f64ToF32),
      integerToSingle: defineScalar(m, settle, 'IntegerToSingle', 'i64', convert.i64ToF32),
      integerToDouble: defineScalar(m, settle, 'IntegerToDouble', 'i64', convert.i64ToF64),
    },
    integer: {
      single: {
        4: defineToInteger(m, settle, 'i32', convert.f32ToI32),
        8: defineToInteger(m, settle, 'i32', convert.f32ToI64),
      },
      double: {
        4: defineToInteger(m, settle, 'i64', convert.f64ToI32),
        8: defineToInteger(m, settle, 'i64', convert.f64ToI64),
      },
    },
  };
}
