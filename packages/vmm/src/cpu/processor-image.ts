// The soft processor as WebAssembly: the memory functions, event delivery, the helpers and one
// handler for each instruction variant, and where in the function table the handlers are. Building
// it takes a few hundred milliseconds; it is the same each time, so it can be kept in a file.

import { c32, type Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { SpecialPlaces } from './code-cache.ts';
import {
  type DecodeHost,
  type Flow,
  type FlowBuilder,
  HANDLER_PARAMS,
  type SpecialHandler,
} from './flow.ts';
import { defineHandlers, type SavedHandlers } from './handlers.ts';
import { eachFunction, exportName } from './jit/region-factory.ts';
import type { Mmu } from './mmu.ts';
import type { ProcessorFunctions } from './processor-functions.ts';
import { S, VECTOR } from './state.ts';

/** The processor, ready to be compiled by the host. */
export interface ProcessorImage {
  /** The module, encoded. */
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly handlers: SavedHandlers;
  readonly special: SpecialPlaces;
  /** Entries of the function table that handlers take. */
  readonly tableSize: number;
}

/** Builds the processor of its functions, which can be used for that once. */
export function buildImage(functions: ProcessorFunctions): ProcessorImage {
  const { module: m, runtime, flow, semantics, flowBuilder } = functions;
  const handlers = defineHandlers(m, runtime, flow, semantics);
  const special = defineSpecial(m, flowBuilder, flow, functions.decode);
  exportAll(m, flow, functions.mmu, functions.system, functions.runtime);
  m.export('fetchPage', flowBuilder.fetchPage!);
  return { wasm: m.encode(), handlers: handlers.saved, special, tableSize: m.elementCount };
}

function defineSpecial(
  m: ModuleBuilder,
  flowBuilder: FlowBuilder,
  flow: Flow,
  decode: DecodeHost,
): SpecialPlaces {
  const fault = (name: string, vector: number, hasCode: boolean): Fn<'void'> =>
    m.function(name, HANDLER_PARAMS, 'void', (f) => {
      const cpu = f.param(0, 'i32');
      f.store32(cpu, c32(vector), S.faultVector);
      f.store32(cpu, c32(hasCode ? 1 : 0), S.faultHasCode);
      f.store32(cpu, c32(0), S.faultCode);
      f.returnCall(flow.faultAt, cpu, f.param(1, 'i32'));
    });
  const special = flowBuilder.defineSpecial(decode);
  const places: Partial<Record<SpecialHandler | 'invalid' | 'tooLong', number>> = {
    invalid: m.element(fault('invalid', VECTOR.UD, false)),
    tooLong: m.element(fault('tooLong', VECTOR.GP, true)),
  };
  for (const [name, fn] of Object.entries(special)) {
    places[name as SpecialHandler] = m.element(fn);
  }
  return places as SpecialPlaces;
}

function exportAll(
  m: ModuleBuilder,
  flow: Flow,
  mmu: Mmu,
  system: ProcessorFunctions['system'],
  runtime: ProcessorFunctions['runtime'],
): void {
  m.export('enter', flow.enter);
  const runRecord = m.function('runRecord', HANDLER_PARAMS, 'void', (f) => {
    flow.go(f, f.param(0, 'i32'), f.param(1, 'i32'));
  });
  m.export('runRecord', runRecord);
  // Compiled code calls any of these, each under a name of its own.
  const exported = new Set<number>();
  eachFunction([runtime, flow], (fn) => {
    if (exported.has(fn.index)) return;
    exported.add(fn.index);
    m.export(exportName(fn), fn);
  });
  m.export('raise', flow.raise);
  m.export('deliver', system.deliver);
  m.export('translate', mmu.translate);
  m.export('advanceIo', system.io.advance);
  m.export('finishIo', system.io.finish);
  m.export('flushAll', mmu.flushAll);
  m.export('selectTlb', mmu.selectTlb);
  m.export('updateModes', system.updateModes);
}
