// The compiler's life cycle for one vCPU: blocks that the interpreter reports as hot are gathered,
// and handed to a RegionFactory, here or in another thread. What comes back is instantiated and
// entered into the function table. From then on the record at which a region starts has the region
// as its handler, so that the interpreter runs compiled code without knowing, and compiled code
// goes on to interpreted records the same way.
//
// Code goes as it came: when a page's records turn stale, the table entries of its regions are
// emptied and used again; nothing else refers to a region's module, and the host's garbage
// collector takes it.

import type { CodeCache } from '../code-cache.ts';
import { CODE_PAGE } from '../code-page.ts';
import { REGION_PLACE } from '../flow.ts';
import type { PhysicalMap } from '../physical-map.ts';
import { R } from '../record.ts';
import { HEAT, HEAT_ENTRIES, heatSlot, S, SLOT } from '../state.ts';
import type {
  CompiledBatch,
  CompiledRegion,
  HotBlock,
  RegionFactory,
  RegionOrigin,
  RegionService,
} from './region-factory.ts';

/** Regions at once; more drop all code. */
export const REGION_SLOTS = 24_000;
/** Bytes of WebAssembly that may be alive; then all code is dropped and found again. */
const MODULE_BYTES_MAX = 48 << 20;
/** Regions compiled together: a module costs as much as compiling a few. */
const BATCH_MAX = 24;
/** Requests that another thread may have at once: one to work on, one to go on with. */
const REQUESTS_MAX = 2;
/** Hot blocks that may wait; more are forgotten, and report themselves again. */
const QUEUE_MAX = 2000;
/** Entries until a block that was reported is reported again. */
const COOL = -20_000;
/** The same for one that is part of another's region. */
const COVERED = -1000;

/** When blocks are compiled: never, once hot, or when first entered. */
export type JitMode = 'off' | 'on' | 'always';

/** Entries that make a block hot. */
const HEAT_LIMIT: Record<JitMode, number> = { off: 0x7fffffff, on: 500, always: 1 };

/** Counters of a vCPU's compiler. */
export interface JitStatistics {
  regions: number;
  modules: number;
  bytes: number;
  instructions: number;
  /** What compiling and installing took of the vCPU's thread. */
  milliseconds: number;
  dropped: number;
}

/** A module, and how many of its regions are in the function table: with the last one it goes. */
interface LiveModule {
  readonly bytes: number;
  regions: number;
}

/** A region in the function table. */
interface Installed {
  readonly slot: number;
  readonly module: LiveModule;
  /** Where it is entered, and the handler that was there before. */
  readonly record: number;
  readonly interpreter: number;
  readonly origins: readonly RegionOrigin[];
}

/** What a compiler is made of. */
export interface JitParts {
  readonly mode: JitMode;
  readonly cpu: number;
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  readonly cache: CodeCache;
  readonly map: PhysicalMap;
  /** Exports of the processor's instance, which compiled code imports. */
  readonly exports: Readonly<Record<string, never>>;
  /** Makes what compiles in this thread. */
  readonly local: () => RegionFactory;
  /** Compiles in another one, if given, unless every block is to be compiled at once. */
  readonly service: RegionService | undefined;
  /** Milliseconds, for statistics. */
  readonly now: () => number;
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
  private readonly service: RegionService | undefined;
  private factory: RegionFactory | undefined;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  private queue: HotBlock[] = [];
  /** How often all code had been dropped when the queue was begun. */
  private queueFlushes = 0;
  /** Requests under way in the other thread. */
  private requests = 0;
  private readonly freeSlots: number[] = [];
  private nextSlot = REGION_PLACE;
  /** The regions that have code of each code page. */
  private readonly regionsOf = new Map<number, Set<Installed>>();
  private liveBytes = 0;

  constructor(parts: JitParts) {
    this.parts = parts;
    this.service = parts.mode === 'always' ? undefined : parts.service;
    const { buffer } = parts.memory;
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.i32[(parts.cpu + S.heatLimit) >>> 2] = HEAT_LIMIT[parts.mode];
    parts.cache.onDrop = (code) => this.drop(code);
  }

  /** A block was entered often: compile it soon, or now. */
  hot(record: number): void {
    const { cpu, mode } = this.parts;
    this.cool(record, COOL);
    this.forgetDropped();
    if (this.queue.length >= QUEUE_MAX) return;
    // Addresses above 2 GiB come as negative numbers.
    const code = this.i32[(cpu + S.codePage) >>> 2] >>> 0;
    const linear = (cpu + SLOT.ripBase) >>> 2;
    this.queue.push({
      record: record >>> 0,
      code,
      linearLo: this.i32[linear],
      linearHi: this.i32[linear + 1],
      fetchTlb: this.i32[(cpu + S.fetchTlb) >>> 2],
    });
    if (mode === 'always') this.compile();
  }

  /** The addresses of blocks from before all code was dropped may be others' by now. */
  private forgetDropped(): void {
    const { cache, cpu } = this.parts;
    if (cache.flushes === this.queueFlushes) return;
    this.queueFlushes = cache.flushes;
    this.queue.length = 0;
    const heat = (cpu + HEAT) >>> 2;
    this.i32.fill(0, heat, heat + HEAT_ENTRIES);
  }

  private cool(record: number, heat: number): void {
    this.i32[(this.parts.cpu + HEAT + heatSlot(record)) >>> 2] = heat;
  }

  /** Compiles what has become hot, or takes what was compiled. To be called between slices. */
  compile(): void {
    if (this.service?.isReady) {
      this.exchange(this.service);
      return;
    }
    while (this.queue.length > 0) {
      const begin = this.parts.now();
      this.factory ??= this.parts.local();
      this.install(this.factory.build(this.nextRequest()));
      this.statistics.milliseconds += this.parts.now() - begin;
    }
  }

  /** Takes what another thread has compiled, and gives it more. */
  private exchange(service: RegionService): void {
    for (let batch = service.take(); batch; batch = service.take()) {
      const begin = this.parts.now();
      this.requests--;
      this.install(batch);
      this.statistics.milliseconds += this.parts.now() - begin;
    }
    while (this.queue.length > 0 && this.requests < REQUESTS_MAX) {
      const request = this.nextRequest();
      if (request.blocks.length === 0) continue;
      this.requests++;
      service.request(request);
    }
  }

  private nextRequest(): Parameters<RegionFactory['build']>[0] {
    const { cache, cpu } = this.parts;
    this.forgetDropped();
    // In a long slice a block may report itself twice.
    const records = new Set<number>();
    const blocks = this.queue.splice(0, BATCH_MAX).filter((block) => {
      const isFirst = !records.has(block.record);
      records.add(block.record);
      return isFirst && this.isCandidate(block);
    });
    return { cpu, blocks, end: cache.end, flushes: cache.flushes };
  }

  /** False when a record has become stale, is compiled already, or is not of a page. */
  private isCandidate(origin: RegionOrigin): boolean {
    if (this.u16[(origin.record + R.handler) >>> 1] >= REGION_PLACE) return false;
    return this.isCurrent(origin);
  }

  /** True while a code page has a record, and so what was decoded of it since that was made. */
  private isCurrent({ record, code }: RegionOrigin): boolean {
    if (!this.parts.cache.isLive(code)) return false;
    const offset = this.u16[(record + R.offset) >>> 1];
    return this.i32[(code + CODE_PAGE.map + 4 * offset) >>> 2] >>> 0 === record;
  }

  private install(batch: CompiledBatch): void {
    const { cache, memory, exports } = this.parts;
    const { module, regions, covered, flushes, bytes, instructions } = batch;
    if (flushes !== cache.flushes) return;
    for (const record of covered) this.cool(record, COVERED);
    if (!module) return;
    const live = regions.filter(({ origins }) => {
      return this.isCandidate(origins[0]) && origins.every((origin) => this.isCurrent(origin));
    });
    if (live.length === 0) return;
    const instance = new WebAssembly.Instance(module, { env: { memory }, f: exports });
    this.statistics.modules++;
    this.statistics.bytes += bytes;
    this.statistics.instructions += instructions;
    this.liveBytes += bytes;
    const of: LiveModule = { bytes, regions: live.length };
    for (const region of live) this.enter(region, of, instance.exports[region.name]);
    if (this.liveBytes > MODULE_BYTES_MAX) cache.flush();
  }

  /** Enters a region into the function table, and its place there into its record. */
  private enter({ origins }: CompiledRegion, module: LiveModule, fn: unknown): void {
    let slot = this.freeSlots.pop();
    if (slot === undefined) {
      if (this.nextSlot >= REGION_PLACE + REGION_SLOTS) {
        this.parts.cache.flush();
        return;
      }
      slot = this.nextSlot++;
    }
    this.parts.table.set(slot, fn);
    const { record } = origins[0];
    const handler = (record + R.handler) >>> 1;
    const region: Installed = { slot, module, record, origins, interpreter: this.u16[handler] };
    this.u16[handler] = slot;
    for (const { code } of origins) {
      const regions = this.regionsOf.get(code);
      if (regions) regions.add(region);
      else this.regionsOf.set(code, new Set([region]));
    }
    this.statistics.regions++;
  }

  /** The records of a code page are stale: regions with code of it are no longer reached. */
  private drop(code: number): void {
    const regions = this.regionsOf.get(code);
    if (!regions) return;
    this.regionsOf.delete(code);
    for (const region of regions) {
      const { slot, module, record, origins, interpreter } = region;
      this.parts.table.set(slot, null);
      this.freeSlots.push(slot);
      if (--module.regions === 0) this.liveBytes -= module.bytes;
      for (const origin of origins) this.regionsOf.get(origin.code)?.delete(region);
      // It may have been entered from another page, which still is what it was.
      if (code === origins[0].code) continue;
      this.u16[(record + R.handler) >>> 1] = interpreter;
      this.cool(record, 0);
    }
    this.statistics.dropped += regions.size;
  }
}
