// The soft processor as a module: built once, instantiated for each vCPU.
//
// The module holds the memory functions, event delivery, the helpers and one handler for each
// instruction variant; handlers are called through a table that the instance imports. Building it
// takes a few hundred milliseconds, so an engine keeps it.

import { Decoder } from '../isa/decoder.ts';
import type { Feature } from '../isa/row.ts';
import { c32, type Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { type Arena, CodeCache, type SpecialPlaces } from './code-cache.ts';
import {
  type DecodeHost,
  type Flow,
  type FlowBuilder,
  HANDLER_PARAMS,
  REGION_PLACE,
  type SpecialHandler,
} from './flow.ts';
import { defineHandlers, type HandlerIndex } from './handlers.ts';
import { Jit, type JitMode, REGION_SLOTS } from './jit/jit.ts';
import {
  eachFunction,
  exportName,
  RegionFactory,
  type RegionService,
} from './jit/region-factory.ts';
import type { Mmu } from './mmu.ts';
import type { PhysicalMap } from './physical-map.ts';
import { ProcessorFunctions } from './processor-functions.ts';
import { S, VECTOR } from './state.ts';

/** What a vCPU needs of its host while it runs. */
export interface ProcessorHost {
  /** Nanoseconds of machine time: the time-stamp counter at 1 GHz. */
  now(): number;
  /** 32 random bits. */
  random(): number;
  /** CPUID of leaf EAX and subleaf ECX: EAX, EBX, ECX, EDX. */
  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number];
  /** RDMSR of a register that the processor itself does not keep; null is #GP. */
  readMsr(index: number): { low: number; high: number } | null;
  /** WRMSR likewise; false is #GP. */
  writeMsr(index: number, low: number, high: number): boolean;
}

/** Exports of the module that the monitor calls. */
export interface ProcessorExports {
  /** Executes from S.rip until the slice ends or there is an exit, in S.exit. */
  enter(cpu: number): void;
  /** Executes one record, placed by {@link CodeCache.fillPair}. */
  runRecord(cpu: number, record: number): void;
  /** Delivers the fault in S.faultVector at S.rip. */
  raise(cpu: number): void;
  /** Delivers an event: vector, kind, hasCode, code; the result is one of DELIVERY. */
  deliver(cpu: number, vector: number, kind: number, hasCode: number, code: number): number;
  /** The code page at a linear address, entered into the fetch TLB; 0 on a fault. */
  fetchPage(cpu: number, linear: bigint): number;
  /** Linear to linear memory; -1 on a fault, -2 outside RAM. */
  translate(cpu: number, tlb: number, linear: bigint, access: number): number;
  /** After an I/O exit: the string's pointers, count and RIP move on. */
  advanceIo(cpu: number): void;
  /** After that: the value of IN, or the element of INS. */
  finishIo(cpu: number, data: number): void;
  flushAll(cpu: number): void;
  selectTlb(cpu: number): void;
  /** Recomputes what derives from control registers and descriptor caches. */
  updateModes(cpu: number): void;
}

/** The compiled processor. */
export class ProcessorModule {
  readonly module: WebAssembly.Module;
  readonly handlers: HandlerIndex;
  readonly special: SpecialPlaces;
  readonly decoder: Decoder;
  private readonly tableSize: number;
  private readonly functions: ProcessorFunctions;

  /** `features`: the instruction sets that exist; see isa/row.ts. */
  constructor(features: Iterable<Feature>) {
    const functions = new ProcessorFunctions();
    this.functions = functions;
    const { module: m, runtime, flow, semantics } = functions;
    this.handlers = defineHandlers(m, runtime, flow, semantics);
    this.special = this.defineSpecial(m, functions.flowBuilder, flow, functions.decode);
    this.exportAll(m, flow, functions.mmu, functions.system);
    m.export('fetchPage', functions.flowBuilder.fetchPage!);
    this.tableSize = m.elementCount;
    this.module = new WebAssembly.Module(m.encode());
    this.decoder = new Decoder(features);
  }

  private defineSpecial(
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

  private exportAll(
    m: ModuleBuilder,
    flow: Flow,
    mmu: Mmu,
    system: ProcessorFunctions['system'],
  ): void {
    m.export('enter', flow.enter);
    const runRecord = m.function('runRecord', HANDLER_PARAMS, 'void', (f) => {
      flow.go(f, f.param(0, 'i32'), f.param(1, 'i32'));
    });
    m.export('runRecord', runRecord);
    // Compiled code calls any of these, each under a name of its own.
    const exported = new Set<number>();
    eachFunction([this.functions.runtime, flow], (fn) => {
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

  /** An instance for the vCPU whose state is at `cpu`, with its decoded code in `arena`. */
  instantiate(options: {
    cpu: number;
    memory: WebAssembly.Memory;
    map: PhysicalMap;
    codeMap: number;
    arena: Arena;
    host: ProcessorHost;
    jit: JitMode;
    service: RegionService | undefined;
  }): { exports: ProcessorExports; cache: CodeCache; jit: Jit } {
    const { cpu, memory, map, codeMap, arena, host } = options;
    const { decoder, handlers, special } = this;
    const cache = new CodeCache({ cpu, memory, map, arena, codeMap, decoder, handlers, special });
    const initial = options.jit === 'off' ? this.tableSize : REGION_PLACE + REGION_SLOTS;
    const table = new WebAssembly.Table({ element: 'anyfunc', initial });
    let jit: Jit | undefined;
    const instance = new WebAssembly.Instance(this.module, {
      env: { memory, table },
      host: {
        ...hostFunctions(cpu, memory, cache, host),
        hot: (_cpu: number, record: number) => jit?.hot(record),
      },
    });
    jit = new Jit({
      mode: options.jit,
      cpu,
      memory,
      table,
      cache,
      map,
      exports: instance.exports as Record<string, never>,
      local: () => new RegionFactory(this.functions, decoder, memory),
      service: options.service,
      now: () => host.now() / 1e6,
    });
    return { exports: instance.exports as unknown as ProcessorExports, cache, jit };
  }
}

function hostFunctions(
  cpu: number,
  memory: WebAssembly.Memory,
  cache: CodeCache,
  host: ProcessorHost,
): Record<string, (...args: number[]) => number | undefined> {
  const words = new Int32Array(memory.buffer, cpu, 1024);
  const scratch = S.scratch >>> 2;
  return {
    now: () => host.now(),
    random: () => host.random() | 0,
    cpuid: () => {
      words.set(host.cpuid(words[0] >>> 0, words[2] >>> 0), scratch);
      return undefined;
    },
    readMsr: (_cpu, index) => {
      const value = host.readMsr(index >>> 0);
      if (!value) return 0;
      words[scratch] = value.low;
      words[scratch + 1] = value.high;
      return 1;
    },
    writeMsr: (_cpu, index) =>
      host.writeMsr(index >>> 0, words[scratch] >>> 0, words[scratch + 1] >>> 0) ? 1 : 0,
    // WebAssembly's addresses beyond 2 GiB are negative numbers here.
    decode: (_cpu, code, offset) => cache.decode(code >>> 0, offset),
    newCodePage: (_cpu, page, mode) => cache.newCodePage(page, mode),
    decodeCrossing: (_cpu, record, page) => {
      cache.decodeCrossing(record >>> 0, page);
      return undefined;
    },
    invalidate: (_cpu, page) => {
      cache.invalidate(page);
      return undefined;
    },
  };
}
