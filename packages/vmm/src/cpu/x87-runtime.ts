// What the semantics of the x87 instructions call, in one object.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { defineFxParts, defineFxState, type FxState } from './fxsave.ts';
import type { MemoryRuntime } from './runtime.ts';
import type { SoftFloat } from './softfloat.ts';
import { defineX87Arithmetic, type X87Arithmetic } from './x87-arithmetic.ts';
import { defineSettle, type Settle } from './x87-stack.ts';
import { defineX87State, type X87State } from './x87-state.ts';
import { defineX87Transfer, type X87Transfer } from './x87-transfer.ts';
import { defineXSave, type XSave } from './xsave.ts';

/** Conversions of operands in memory, of softfloat.ts. */
export interface X87Operands {
  /** (cpu, bits): for arithmetic: DE is flagged, a signalling NaN stays one. */
  readonly fromF32: Fn<'i64'>;
  readonly fromF64: Fn<'i64'>;
  /** (cpu, sig, signExp): quiets a signalling NaN, with IE. */
  readonly quiet: Fn<'i64'>;
  /** (cpu, integer) */
  readonly fromI64: Fn<'i64'>;
  /** (cpu, low, high) */
  readonly fromBcd: Fn<'i64'>;
}

/** The functions. */
export interface X87Runtime extends X87Arithmetic, X87Transfer, Settle, X87State, FxState, XSave {
  readonly operands: X87Operands;
}

/** Defines the functions in `m`. */
export function defineX87(m: ModuleBuilder, soft: SoftFloat, memory: MemoryRuntime): X87Runtime {
  const settle = defineSettle(m);
  const parts = defineFxParts(m, memory);
  return {
    ...settle,
    ...defineX87Arithmetic(m, settle, soft),
    ...defineX87Transfer(m, settle, soft),
    ...defineX87State(m, memory),
    ...defineFxState(m, memory, parts),
    ...defineXSave(m, memory, parts),
    operands: soft.f80,
  };
}
