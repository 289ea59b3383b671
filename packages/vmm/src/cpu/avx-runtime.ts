// The out-of-line functions of AVX, FMA and F16C, defined once in the engine's module.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { defineElements, type ElementRuntime } from './avx-memory.ts';
import { defineFma, type FmaRuntime } from './fma-slow.ts';
import { defineHalfRuntime, type HalfRuntime } from './half-precision.ts';
import type { MemoryRuntime } from './runtime.ts';
import type { SoftFloat } from './softfloat.ts';

/** What AVX semantics call besides what SSE semantics do. */
export interface AvxRuntime {
  readonly elements: ElementRuntime;
  readonly fma: FmaRuntime;
  readonly half: HalfRuntime;
}

/** Defines the functions in `m`. */
export function defineAvx(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  settle: Fn<'i32'>,
  soft: Pick<SoftFloat, 'fused' | 'half'>,
): AvxRuntime {
  return {
    elements: defineElements(m, memory),
    fma: defineFma(m, settle, soft.fused),
    half: defineHalfRuntime(m, settle, soft.half),
  };
}
