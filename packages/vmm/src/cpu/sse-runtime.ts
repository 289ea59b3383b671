// The out-of-line functions of SSE, defined once in the engine's module.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { SoftFloat } from './softfloat.ts';
import { type ConvertRuntime, defineConvertRuntime } from './sse-convert-slow.ts';
import { defineSettle } from './sse-exceptions.ts';
import { defineFloatRuntime, type FloatRuntime } from './sse-float-slow.ts';

/** What SSE semantics call. */
export interface SseRuntime {
  readonly single: FloatRuntime;
  readonly double: FloatRuntime;
  readonly convert: ConvertRuntime;
}

/** Defines the functions in `m`. The software floating point must collect flags in S.fpFlags. */
export function defineSse(m: ModuleBuilder, soft: SoftFloat): SseRuntime {
  const settle: Fn<'i32'> = defineSettle(m);
  return {
    ...defineFloatRuntime(m, settle, soft),
    convert: defineConvertRuntime(m, settle, soft),
  };
}
