// The floating-point and vector half of the processor, in one place: what its semantics call, and
// all of those semantics.

import type { ModuleBuilder } from '../wasm/module.ts';
import { defineAvx } from './avx-runtime.ts';
import { avxSemantics } from './avx-semantics.ts';
import type { SemanticTable } from './context.ts';
import type { MemoryRuntime, Runtime } from './runtime.ts';
import { defineSoftFloat } from './softfloat.ts';
import { WIDE_SCRATCH_BYTES } from './softfloat-parts.ts';
import { defineSse } from './sse-runtime.ts';
import { sseSemantics } from './sse-semantics.ts';
import { S } from './state.ts';
import { x87Semantics } from './x87.ts';
import { defineX87 } from './x87-runtime.ts';

/** Where the software floating point keeps its flags and intermediate results. */
const SCRATCH = {
  flags: S.fpFlags,
  signExp: S.fpScratch,
  wide: S.nonGlobal - WIDE_SCRATCH_BYTES,
};

/** Defines in `m` what the semantics below call. */
export function defineVector(
  m: ModuleBuilder,
  memory: MemoryRuntime,
): Pick<Runtime, 'sse' | 'avx' | 'x87'> {
  const soft = defineSoftFloat(m, SCRATCH);
  const sse = defineSse(m, soft);
  return {
    sse,
    avx: defineAvx(m, memory, sse.settle, soft),
    x87: defineX87(m, soft, memory),
  };
}

/** The semantics of all vector and floating-point instructions, by mnemonic. */
export const vectorSemantics: SemanticTable = {
  ...sseSemantics,
  ...avxSemantics(sseSemantics),
  ...x87Semantics,
};
