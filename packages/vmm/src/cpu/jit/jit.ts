// The compiler's life cycle for one vCPU: blocks that the interpreter reports as hot are gathered,
// found their regions, compiled in one module for a batch, and entered into the function table.
// From then on the record at which a region starts has the region as its handler, so that the
// interpreter runs compiled code without knowing, and compiled code goes on to interpreted records
// the same way.
//
// Code goes as it came: when a page's records turn stale, the table entries of its regions are
// emptied and used again; nothing else refers to a region's module, and the host's garbage
// collector takes it.

import type { Fn } from '../../wasm/expr.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { CodeCache } from '../code-cache.ts';
import { CODE_PAGE } from '../code-page.ts';
import type { SemanticTable } from '../context.ts';
import { type Flow, REGION_PLACE } from '../flow.ts';
import type { PhysicalMap } from '../physical-map.ts';
import { R } from '../record.ts';
import type { Runtime } from '../runtime.ts';
import { HEAT, HEAT_ENTRIES, S } from '../state.ts';
import type { RegionFinder, RegionPage } from './region.ts';
import { RegionCompiler } from './region-compiler.ts';

/** Regions at once; more drop all code. */
export const REGION_SLOTS = 24_000;
/** Bytes of WebAssembly that may be alive; then all code is dropped and found again. */
const MODULE_BYTES_MAX = 48 << 20;
/** Regions compiled together: a module costs as much as compiling a few. */
const BATCH_MAX = 24;
/** Entries until a block that is not worth compiling is looked at again. */
const COOL = -100_000;

/** When blocks are compiled: never, once hot, or when first entered. */
export type JitMode = 'off' | 'on' | 'always';

/** Entries that make a block hot. */
const HEAT_LIMIT: Record<JitMode, number> = { off: 0x7fffffff, on: 2000, always: 1 };

/** Counters of a vCPU's compiler. */
export interface JitStatistics {
  regions: number;
  modules: number;
  bytes: number;
  instructions: number;
  milliseconds: number;
  dropped: number;
}

/** What a compiler is made of. */
export interface JitParts {
  readonly mode: JitMode;
  readonly cpu: number;
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  readonly cache: CodeCache;
  readonly map: PhysicalMap;
  readonly finder: RegionFinder;
  readonly runtime: Runtime;
  readonly flow: Flow;
  readonly semantics: SemanticTable;
  /** Exports of the processor's instance: its functions by {@link exportName}. */
  readonly exports: Record<string, unknown>;
  /** Milliseconds, for statistics. */
  readonly now: () => number;
}

/** The name under which the processor's module exports a function for compiled code. */
export const exportName = (fn: Fn): string => `f${fn.index}`;

const isFn = (value: unknown): value is Fn =>
  typeof value === 'object' && value !== null && 'params' in value && 'typeIndex' in value;

/** Calls back with every function in a runtime. */
export function eachFunction(value: unknown, visit: (fn: Fn) => void): void {
  if (isFn(value)) {
    visit(value);
  } else if (typeof value === 'object' && value !== null && !(value instanceof ModuleBuilder)) {
    for (const part of Object.values(value)) eachFunction(part, visit);
  }
}

/** The compiler of one vCPU. */
export class Jit {
  readonly statistics: JitStatistics = {
    regions: 0,
    modules: 0,
    bytes: 0,
    instructions: 0,
    milliseconds: 0,
    dropped: 0,
  };
  private readonly parts: JitParts;
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  /** Hot records with their code pages. */
  private readonly queue: { readonly record: number; readonly code: number }[] = [];
  private readonly freeSlots: number[] = [];
  private nextSlot: number;
  /** Table entries of the regions of each code page. */
  private readonly slotsOf = new Map<number, number[]>();
  private liveBytes = 0;
  private readonly imports: LateImports;

  constructor(parts: JitParts) {
    this.parts = parts;
    this.imports = new LateImports(parts);
    const { buffer } = parts.memory;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.nextSlot = REGION_PLACE;
    this.i32[(parts.cpu + S.heatLimit) >>> 2] = HEAT_LIMIT[parts.mode];
    parts.cache.onDrop = (code) => this.drop(code);
  }

  /** A block was entered often: compile it soon, or now. */
  hot(record: number): void {
    const counter = this.parts.cpu + HEAT + 4 * ((record >>> 5) & (HEAT_ENTRIES - 1));
    this.i32[counter >>> 2] = COOL;
    // Addresses above 2 GiB come as negative numbers.
    const code = this.i32[(this.parts.cpu + S.codePage) >>> 2] >>> 0;
    this.queue.push({ record: record >>> 0, code });
    if (this.parts.mode === 'always') this.compile();
  }

  /** Compiles what has become hot. To be called between slices. */
  compile(): void {
    while (this.queue.length > 0) {
      const begin = this.parts.now();
      this.batch(this.queue.splice(0, BATCH_MAX));
      this.statistics.milliseconds += this.parts.now() - begin;
    }
  }

  private batch(hot: Jit['queue']): void {
    const builder = new ModuleBuilder({ lateImports: true });
    builder.importMemory('env', 'memory', 1, 65536);
    const imports = this.imports;
    imports.bind(builder);
    const compiled: { record: number; code: number; name: string }[] = [];
    for (const { record, code } of hot) {
      if (!this.isCandidate(record, code)) continue;
      const name = `r${compiled.length}`;
      if (this.region(builder, imports, record, code, name)) compiled.push({ record, code, name });
    }
    if (compiled.length === 0) return;
    const bytes = builder.encode(false);
    const module = new WebAssembly.Module(bytes);
    const instance = new WebAssembly.Instance(module, {
      env: { memory: this.parts.memory },
      f: imports.values,
    });
    this.statistics.modules++;
    this.statistics.bytes += bytes.length;
    this.liveBytes += bytes.length;
    for (const { record, code, name } of compiled) {
      this.install(record, code, instance.exports[name]);
    }
    if (this.liveBytes > MODULE_BYTES_MAX) this.parts.cache.flush();
  }

  /** Compiles the region that starts at `record`; false when there is none worth it. */
  private region(
    module: ModuleBuilder,
    imports: LateImports,
    record: number,
    code: number,
    name: string,
  ): boolean {
    const { finder, semantics } = this.parts;
    const page = this.page(code);
    const region = finder.find(page, this.u16[(record + R.offset) >>> 1]);
    if (!region) return false;
    const compiler = new RegionCompiler(
      {
        module,
        runtime: imports.runtime,
        flow: imports.flow,
        semantics,
        leftOf: (at) => this.u16[(at + R.left) >>> 1],
        recordAt: (offset) => page.recordAt(offset),
      },
      region,
    );
    module.export(name, compiler.compile(name));
    for (const block of region.blocks.values()) {
      this.statistics.instructions += block.instructions.length;
    }
    return true;
  }

  /** False when a record has become stale, is compiled already, or is not of a page. */
  private isCandidate(record: number, code: number): boolean {
    if (!this.parts.cache.isLive(code)) return false;
    if (this.i32[(code + CODE_PAGE.mode) >>> 2] !== 8) return false;
    if (this.u16[(record + R.handler) >>> 1] >= REGION_PLACE) return false;
    const offset = this.u16[(record + R.offset) >>> 1];
    return this.recordAt(code, offset) === record;
  }

  private recordAt(code: number, offset: number): number {
    return this.i32[(code + CODE_PAGE.map + 4 * offset) >>> 2] >>> 0;
  }

  private page(code: number): RegionPage {
    const host = this.parts.map.hostOf(this.i32[(code + CODE_PAGE.page) >>> 2]);
    return {
      bytes: this.u8,
      host,
      recordAt: (offset) => this.recordAt(code, offset),
    };
  }

  private install(record: number, code: number, fn: unknown): void {
    let slot = this.freeSlots.pop();
    if (slot === undefined) {
      if (this.nextSlot >= REGION_PLACE + REGION_SLOTS) {
        this.parts.cache.flush();
        return;
      }
      slot = this.nextSlot++;
    }
    this.parts.table.set(slot, fn);
    this.u16[(record + R.handler) >>> 1] = slot;
    const slots = this.slotsOf.get(code);
    if (slots) slots.push(slot);
    else this.slotsOf.set(code, [slot]);
    this.statistics.regions++;
  }

  /** The records of a code page are stale: its regions are no longer reached. */
  private drop(code: number): void {
    const slots = this.slotsOf.get(code);
    if (!slots) return;
    for (const slot of slots) {
      this.parts.table.set(slot, null);
      this.freeSlots.push(slot);
    }
    this.statistics.dropped += slots.length;
    this.slotsOf.delete(code);
    if (this.slotsOf.size === 0) this.liveBytes = 0;
  }
}

/** The processor's functions as imports of a batch's module, each imported when first called. */
class LateImports {
  readonly runtime: Runtime;
  readonly flow: Flow;
  /** What the module bound last is to be instantiated with. */
  values: Record<string, never> = {};
  private module: ModuleBuilder | undefined;
  private readonly exports: Record<string, unknown>;
  /** Import index of each function in that module. */
  private readonly indices = new Map<string, number>();

  constructor(parts: JitParts) {
    this.exports = parts.exports;
    this.runtime = this.remap(parts.runtime) as Runtime;
    this.flow = this.remap(parts.flow) as Flow;
  }

  /** From now on calls are imports of `module`. */
  bind(module: ModuleBuilder): void {
    this.module = module;
    this.values = {};
    this.indices.clear();
  }

  private remap(value: unknown): unknown {
    if (isFn(value)) return this.imported(value);
    if (typeof value !== 'object' || value === null || value instanceof ModuleBuilder) return value;
    const copy: Record<string, unknown> = {};
    for (const [name, part] of Object.entries(value)) copy[name] = this.remap(part);
    return copy;
  }

  private imported(fn: Fn): Fn {
    const { name, params, result, typeIndex, isPure } = fn;
    const indexOf = (): number => this.indexOf(exportName(fn), fn);
    return {
      get index() {
        return indexOf();
      },
      name,
      params,
      result,
      typeIndex,
      isPure,
    };
  }

  private indexOf(name: string, { params, result }: Fn): number {
    const known = this.indices.get(name);
    if (known !== undefined) return known;
    if (!this.module) throw new Error('no module is bound');
    const { index } = this.module.importFunction('f', name, params, result);
    this.values[name] = this.exports[name] as never;
    this.indices.set(name, index);
    return index;
  }
}
