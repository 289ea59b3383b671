// What the soft processor's functions are, before they become a module: memory, control flow,
// events, helpers, and the semantics of instructions. Building them gives the same functions with
// the same indices each time, so that code compiled in another thread can call those of this one.

import type { Fn } from '../wasm/expr.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { branch } from './branch.ts';
import { defineCodeWritten } from './code-page.ts';
import type { SemanticTable } from './context.ts';
import { decimal } from './decimal.ts';
import { type DecodeHost, type Flow, FlowBuilder } from './flow.ts';
import { integerArithmetic } from './integer-arithmetic.ts';
import { bitSemantics } from './integer-bmi.ts';
import { integerShift } from './integer-shift.ts';
import { defineIntegerRuntime } from './integer-wide.ts';
import { defineMmu, type Mmu } from './mmu.ts';
import { move } from './move.ts';
import type { HostRuntime, Runtime } from './runtime.ts';
import { strings } from './strings.ts';
import { defineSystem, systemSemantics } from './system-runtime.ts';
import { defineVector, vectorSemantics } from './vector-runtime.ts';

interface Imports {
  readonly host: HostRuntime;
  readonly decode: DecodeHost;
  readonly invalidate: Fn<'void'>;
  readonly hot: Fn<'void'>;
}

/** The functions of the processor, in a module that is still being built. */
export class ProcessorFunctions {
  readonly module: ModuleBuilder = new ModuleBuilder();
  readonly runtime: Runtime;
  readonly flow: Flow;
  readonly flowBuilder: FlowBuilder;
  readonly decode: DecodeHost;
  readonly mmu: Mmu;
  readonly system: ReturnType<typeof defineSystem>;
  readonly semantics: SemanticTable;

  constructor() {
    const m = this.module;
    m.importMemory('env', 'memory', 1, 65536);
    const table = m.importTable('env', 'table', 1);
    const imports = declareImports(m);
    this.decode = imports.decode;
    this.flowBuilder = new FlowBuilder(m, table, imports.hot);
    const { flow } = this.flowBuilder;
    this.flow = flow;
    this.semantics = allSemantics();
    const codeWritten = defineCodeWritten(m, imports.invalidate);
    this.mmu = defineMmu(m, codeWritten);
    const integer = defineIntegerRuntime(m);
    this.system = defineSystem(m, this.mmu, imports.host);
    const vector = defineVector(m, this.mmu);
    this.flowBuilder.define(this.mmu, this.system.deliver, imports.decode);
    this.runtime = {
      module: m,
      memory: this.mmu,
      flow,
      system: this.system,
      integer,
      host: imports.host,
      ...vector,
    };
  }
}

function declareImports(m: ModuleBuilder): Imports {
  const declare = <R extends 'i32' | 'f64' | 'void'>(
    name: string,
    count: number,
    result: R,
  ): Fn<R> => m.importFunction('host', name, Array<'i32'>(count).fill('i32'), result);
  return {
    host: {
      now: declare('now', 0, 'f64'),
      random: declare('random', 0, 'i32'),
      cpuid: declare('cpuid', 1, 'void'),
      readMsr: declare('readMsr', 2, 'i32'),
      writeMsr: declare('writeMsr', 2, 'i32'),
    },
    decode: {
      decode: declare('decode', 3, 'i32'),
      newCodePage: declare('newCodePage', 3, 'i32'),
      decodeCrossing: declare('decodeCrossing', 3, 'void'),
    },
    invalidate: declare('invalidate', 2, 'void'),
    hot: declare('hot', 2, 'void'),
  };
}

function allSemantics(): SemanticTable {
  return {
    ...integerArithmetic,
    ...integerShift,
    ...bitSemantics,
    ...move,
    ...branch,
    ...strings,
    ...decimal,
    ...systemSemantics,
    ...vectorSemantics,
  };
}
