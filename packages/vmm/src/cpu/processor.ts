// The soft processor as a module: built once, instantiated for each vCPU.
//
// What the module holds, and how it is built, is in processor-image.ts. Handlers are called through
// a table that the instance imports.

import { Decoder } from '../isa/decoder.ts';
import type { Feature } from '../isa/row.ts';
import { type Arena, CodeCache, type SpecialPlaces } from './code-cache.ts';
import { REGION_PLACE } from './flow.ts';
import { HandlerIndex } from './handlers.ts';
import { Jit, type JitMode, REGION_SLOTS } from './jit/jit.ts';
import { RegionFactory, type RegionService } from './jit/region-factory.ts';
import type { PhysicalMap } from './physical-map.ts';
import { ProcessorFunctions } from './processor-functions.ts';
import { buildImage, type ProcessorImage } from './processor-image.ts';
import { S } from './state.ts';

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
  private functions: ProcessorFunctions | undefined;

  /**
   * `features`: the instruction sets that exist; see isa/row.ts. `image` spares building the
   * processor; it must be what this version of the code builds.
   */
  constructor(features: Iterable<Feature>, image?: ProcessorImage) {
    if (!image) this.functions = new ProcessorFunctions();
    const { wasm, handlers, special, tableSize } = image ?? buildImage(this.functions!);
    this.handlers = new HandlerIndex(handlers);
    this.special = special;
    this.tableSize = tableSize;
    this.module = new WebAssembly.Module(wasm);
    this.decoder = new Decoder(features);
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
      local: () => {
        this.functions ??= new ProcessorFunctions();
        return new RegionFactory(this.functions, decoder, memory);
      },
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
