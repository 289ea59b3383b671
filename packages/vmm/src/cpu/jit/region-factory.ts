// From hot blocks to a WebAssembly module: finds their regions and compiles them as one batch,
// since a module costs as much as compiling a few of them. It needs the guest's memory and decoded
// code, which are shared, and the processor's functions to call; so it can work in another thread
// than the vCPU's, which goes on meanwhile. Whether the code is still what it was, the vCPU's
// thread finds out when it takes the batch.

import type { Decoder } from '../../isa/decoder.ts';
import type { Fn } from '../../wasm/expr.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { CODE_PAGE, codeKindOf } from '../code-page.ts';
import type { Flow } from '../flow.ts';
import { pageHost } from '../physical-map.ts';
import type { ProcessorFunctions } from '../processor-functions.ts';
import { R } from '../record.ts';
import type { Runtime } from '../runtime.ts';
import { FETCH_ENTRIES, FETCH_ENTRY_BYTES, HEAT, heatSlot, S } from '../state.ts';
import { type Region, RegionFinder, type RegionPage, recordIn } from './region.ts';
import { RegionCompiler } from './region-compiler.ts';

/** A path is followed into blocks that have got this part of the heat that makes one hot. */
const WARM = 8;
const PAGE_BYTES = 4096;
/** 64-bit code, as in the tags of the fetch TLB. */
const CODE_MODE = 8;

/** A hot block. */
export interface HotBlock {
  /** Its first record, and the code page that has it. */
  readonly record: number;
  readonly code: number;
  /** The linear address of its page, in halves. */
  readonly linearLo: number;
  readonly linearHi: number;
  /** Address of the fetch TLB, by which the pages around it are found. */
  readonly fetchTlb: number;
}

/** Hot blocks to compile. */
export interface RegionRequest {
  /** Where the vCPU's state lies. */
  readonly cpu: number;
  readonly blocks: readonly HotBlock[];
  /** Records below this address are complete; others are not looked at. */
  readonly end: number;
  /** How often all code had been dropped; see {@link CompiledBatch}. */
  readonly flushes: number;
}

/** A code page that a region has code of, and a record of that; void if it has another there. */
export interface RegionOrigin {
  readonly code: number;
  readonly record: number;
}

/** A compiled region, exported by its batch's module under `name`. */
export interface CompiledRegion {
  readonly name: string;
  /** The first is where the region is entered. */
  readonly origins: readonly RegionOrigin[];
}

/** The regions of a request, those that were worth compiling. */
export interface CompiledBatch {
  /** Undefined when there was none. */
  readonly module: WebAssembly.Module | undefined;
  readonly regions: readonly CompiledRegion[];
  /**
   * Records of blocks that were left out, as they are part of regions: hot perhaps only as that.
   */
  readonly covered: readonly number[];
  /** Of the request: the addresses are good while this is current. */
  readonly flushes: number;
  /** Bytes of WebAssembly, and instructions compiled. */
  readonly bytes: number;
  readonly instructions: number;
}

/** Something that compiles in another thread. */
export interface RegionService {
  /** False while the other thread is starting, and would answer late. */
  readonly isReady: boolean;
  /** Hands over a request. */
  request(request: RegionRequest): void;
  /**
   * The next batch that is ready, in the order of the requests; costs next to nothing when none is.
   */
  take(): CompiledBatch | undefined;
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

/** Compiles regions of one vCPU. */
export class RegionFactory {
  private readonly functions: ProcessorFunctions;
  private readonly finder: RegionFinder;
  private readonly memory: WebAssembly.Memory;
  private readonly imports: LateImports;
  /** Records of blocks inside regions, which have not been reported as hot since. */
  private readonly inside = new Set<number>();
  private flushes = 0;
  private u8 = new Uint8Array(0);
  private u16 = new Uint16Array(0);
  private i32 = new Int32Array(0);

  /** `memory` holds the guest's memory and the vCPU's decoded code. */
  constructor(functions: ProcessorFunctions, decoder: Decoder, memory: WebAssembly.Memory) {
    this.functions = functions;
    this.finder = new RegionFinder(decoder, functions.semantics);
    this.memory = memory;
    this.imports = new LateImports(functions);
  }

  /** Compiles what is worth it of a request. */
  build(request: RegionRequest): CompiledBatch {
    const { blocks, end, flushes } = request;
    this.look(end);
    if (flushes !== this.flushes) this.inside.clear();
    this.flushes = flushes;
    const builder = new ModuleBuilder({ lateImports: true });
    builder.importMemory('env', 'memory', 1, 65536);
    this.imports.bind(builder);
    const regions: CompiledRegion[] = [];
    const covered: number[] = [];
    let instructions = 0;
    for (const block of blocks) {
      // All blocks of a loop get hot at once, and the first one's region has the others.
      if (this.inside.delete(block.record)) {
        covered.push(block.record);
        continue;
      }
      const name = `r${regions.length}`;
      const region = this.region(block, request);
      if (!region) continue;
      this.compile(builder, region, name);
      instructions += sizeOf(region);
      regions.push({ name, origins: originsOf(region) });
    }
    if (regions.length === 0) {
      return { module: undefined, regions, covered, flushes, bytes: 0, instructions };
    }
    const bytes = builder.encode(false);
    const module = new WebAssembly.Module(bytes);
    return { module, regions, covered, flushes, bytes: bytes.length, instructions };
  }

  /** Views of the memory, which grows when the vCPU first runs. */
  private look(end: number): void {
    if (end <= this.u8.length) return;
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
  }

  /** The region that starts at a block. */
  private region(block: HotBlock, request: RegionRequest): Region | undefined {
    const pages = new Map<number, RegionPage | undefined>();
    const at = (distance: number): RegionPage | undefined => {
      if (pages.has(distance)) return pages.get(distance);
      const code = this.codePageAt(block, distance, request.end);
      const page = code === 0 ? undefined : this.page(code, distance, request, at);
      pages.set(distance, page);
      return page;
    };
    const page = this.page(block.code, 0, request, at);
    pages.set(0, page);
    return this.finder.find(page, this.u16[(block.record + R.offset) >>> 1]);
  }

  private compile(module: ModuleBuilder, region: Region, name: string): void {
    const { runtime, flow } = this.imports;
    const leftOf = (record: number): number => this.u16[(record + R.left) >>> 1];
    const { semantics } = this.functions;
    const compiler = new RegionCompiler({ module, runtime, flow, semantics, leftOf }, region);
    module.export(name, compiler.compile(name));
    for (const { frame, page, offset } of region.blocks.values()) {
      if (!frame && offset !== region.entry) this.inside.add(recordIn(page, offset));
    }
  }

  /**
   * The code page at a distance from a block's page, 0 if there is none. The vCPU may be changing
   * its fetch TLB meanwhile: code looks again whether the page is there when it goes there.
   */
  private codePageAt({ linearLo, linearHi, fetchTlb }: HotBlock, distance: number, end: number) {
    const low = (linearLo >>> 0) + distance * PAGE_BYTES;
    const high = (linearHi + Math.floor(low / 2 ** 32)) | 0;
    const slot = (low / PAGE_BYTES) & (FETCH_ENTRIES - 1);
    const entry = (fetchTlb + slot * FETCH_ENTRY_BYTES) >>> 2;
    if (this.i32[entry] !== (low | CODE_MODE | 0) || this.i32[entry + 1] !== high) return 0;
    const code = this.i32[entry + 2] >>> 0;
    return code < end ? code : 0;
  }

  private page(
    code: number,
    distance: number,
    { end, cpu }: RegionRequest,
    at: RegionPage['at'],
  ): RegionPage {
    const warm = this.i32[(cpu + S.heatLimit) >>> 2] / WARM;
    const map = this.i32[(cpu + S.physicalMap) >>> 2];
    return {
      code,
      distance,
      kind: codeKindOf(this.i32[(code + CODE_PAGE.mode) >>> 2]),
      bytes: this.u8,
      host: pageHost(this.i32, map, this.i32[(code + CODE_PAGE.page) >>> 2]),
      at,
      isWarm: (record) => {
        const heat = this.i32[(cpu + HEAT + heatSlot(record)) >>> 2];
        // Those that were hot already have been set far below zero.
        return heat < 0 || heat >= warm;
      },
      recordAt: (offset) => {
        const record = this.i32[(code + CODE_PAGE.map + 4 * offset) >>> 2] >>> 0;
        return record < end ? record : 0;
      },
    };
  }
}

function sizeOf({ blocks }: Region): number {
  let instructions = 0;
  for (const block of blocks.values()) instructions += block.instructions.length;
  return instructions;
}

function originsOf({ blocks }: Region): RegionOrigin[] {
  const origins = new Map<number, RegionOrigin>();
  for (const { page, instructions } of blocks.values()) {
    const { code } = page;
    if (!origins.has(code)) origins.set(code, { code, record: instructions[0].record });
  }
  return [...origins.values()];
}

/** The processor's functions as imports of a batch's module, each imported when first called. */
export class LateImports {
  readonly runtime: Runtime;
  readonly flow: Flow;
  private module: ModuleBuilder | undefined;
  /** Import index of each function in that module. */
  private readonly indices = new Map<string, number>();

  constructor({ runtime, flow }: ProcessorFunctions) {
    this.runtime = this.remap(runtime) as Runtime;
    this.flow = this.remap(flow) as Flow;
  }

  /** From now on calls are imports of `module`. */
  bind(module: ModuleBuilder): void {
    this.module = module;
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
    this.indices.set(name, index);
    return index;
  }
}
