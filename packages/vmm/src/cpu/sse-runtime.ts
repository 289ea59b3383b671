// The out-of-line functions of SSE, defined once in the engine's module.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { type AesRuntime, defineAes } from './aes.ts';
import { definePolynomials, type PolynomialRuntime } from './binary-polynomials.ts';
import { type ConvertRuntime, defineConvertRuntime } from './sse-convert-slow.ts';
import { defineSettle, type SseSoftFloat } from './sse-exceptions.ts';
import { defineFloatRuntime, type FloatRuntime } from './sse-float-slow.ts';
import { defineReciprocals, type ReciprocalRuntime } from './sse-reciprocal.ts';
import { defineStringCompares, type StringRuntime } from './sse-string.ts';

/** What SSE semantics call. */
export interface SseRuntime {
  /** (cpu): see sse-exceptions.ts. */
  readonly settle: Fn<'i32'>;
  readonly single: FloatRuntime;
  readonly double: FloatRuntime;
  readonly convert: ConvertRuntime;
  readonly reciprocals: ReciprocalRuntime;
  readonly strings: StringRuntime;
  readonly aes: AesRuntime;
  readonly polynomials: PolynomialRuntime;
}

/** Defines the functions in `m`. */
export function defineSse(m: ModuleBuilder, soft: SseSoftFloat): SseRuntime {
  const settle: Fn<'i32'> = defineSettle(m);
  return {
    settle,
    ...defineFloatRuntime(m, settle, soft),
    convert: defineConvertRuntime(m, settle, soft),
    reciprocals: defineReciprocals(m),
    strings: defineStringCompares(m),
    aes: defineAes(m),
    polynomials: definePolynomials(m),
  };
}
