// Loading ES, SS, DS, FS and GS: SDM vol. 3A, chapter 5 (protection) and vol. 2, "MOV", "LDS".
// Modelled: real-address mode (limits stay as they were, so "unreal" mode works), virtual-8086
// mode, 16- and 32-bit protected mode, compatibility and 64-bit mode, the accessed bit. The
// descriptor's accessed bit is not set under a lock: a processor that shares the table would have
// to change it during the load to tell.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { isReal, isVirtual } from './control-bits.ts';
import {
  AR_REAL,
  AR_VIRTUAL,
  descriptorAr,
  descriptorBase,
  descriptorLimit,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  isUsable,
  isWritableData,
  rplOf,
  selectorCode,
} from './descriptor.ts';
import { Faults } from './faults.ts';
import type { Modes } from './modes.ts';
import type { MemoryRuntime } from './runtime.ts';
import {
  AR_ACCESSED,
  AR_DB,
  AR_DPL_SHIFT,
  AR_G,
  AR_UNUSABLE,
  LDTR,
  S,
  SEGMENT_AR,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  SLOT,
  SS,
  segmentBase,
  segmentCache,
  VECTOR,
} from './state.ts';

/** Functions that read descriptors and load segment registers. */
export interface Segments {
  /**
   * (cpu, selector, vector, ext) -> the descriptor. Beyond its table's limit: `vector` with the
   * selector and `ext` as error code. S.faultVector tells.
   */
  readonly fetch: Fn<'i64'>;
  /** (cpu, selector, descriptor) -> fault: sets the accessed bit in the table unless it is set. */
  readonly markAccessed: Fn<'i32'>;
  /** (cpu, selector) -> linear address of its descriptor; no checks. */
  readonly address: Fn<'i64'>;
  /** (cpu, segment ES SS DS FS GS, selector) -> fault: MOV and POP of a segment register. */
  readonly load: Fn<'i32'>;
  /** (cpu, segment ES..GS, selector): a load in virtual-8086 mode, or on the way there. */
  readonly loadVirtual: Fn<'void'>;
  /** (cpu, segment ES..GS, selector): makes a segment unusable, holding that selector. */
  readonly loadNull: Fn<'void'>;
  /**
   * (cpu, segment ES SS DS FS GS, selector, vector) -> the descriptor to load, checked; `vector` is
   * what a wrong one raises: #GP, or #TS in a task switch. S.faultVector tells.
   */
  readonly dataDescriptor: Fn<'i64'>;
  /** (cpu, segment, selector, descriptor): fills the segment's cache and base. */
  readonly set: Fn<'void'>;
  /** (cpu): after a return to an outer ring, data segments that are not for it become null. */
  readonly scrub: Fn<'void'>;
}

/** Defines {@link Segments}. */
export function defineSegments(m: ModuleBuilder, memory: MemoryRuntime, modes: Modes): Segments {
  const address = defineAddress(m);
  const fetch = defineFetch(m, memory, address);
  const markAccessed = defineMarkAccessed(m, memory, address);
  const parts = {
    markAccessed,
    loadVirtual: defineLoadVirtual(m, modes),
    loadNull: defineLoadNull(m, modes),
    dataDescriptor: defineDataDescriptor(m, fetch),
    set: defineSetSegment(m, modes),
  };
  return {
    ...parts,
    fetch,
    address,
    load: defineLoad(m, parts, modes),
    scrub: defineScrub(m, modes),
  };
}

/** Non-zero for a selector of the LDT. */
export const inLdt = (selector: I32): I32 => i32.and(selector, c32(4));
/** Where a selector's descriptor is in its table, in bytes. */
export const tableOffset = (selector: I32): I32 => i32.and(selector, c32(0xfff8));

function defineAddress(m: ModuleBuilder): Fn<'i64'> {
  return m.function('descriptorAddress', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const base = f.choose(
      'i64',
      inLdt(selector),
      () => i64.load(cpu, segmentBase(LDTR)),
      () => i64.load(cpu, S.gdtrBase),
    );
    f.return(i64.add(base, i64.extend_u(tableOffset(selector))));
  });
}

function defineFetch(m: ModuleBuilder, memory: MemoryRuntime, address: Fn<'i64'>): Fn<'i64'> {
  return m.function('fetchDescriptor', ['i32', 'i32', 'i32', 'i32'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu, c64(0));
    const limit = f.choose(
      'i32',
      inLdt(selector),
      () => i32.load(cpu, segmentCache(LDTR) + SEGMENT_LIMIT),
      () => i32.load(cpu, S.gdtrLimit),
    );
    const noTable = i32.and(
      i32.ne(inLdt(selector), c32(0)),
      i32.eqz(isUsable(i32.load(cpu, segmentCache(LDTR) + SEGMENT_AR))),
    );
    const beyond = i32.gt_u(i32.or(tableOffset(selector), c32(7)), limit);
    const code = selectorCode(selector, f.param(3, 'i32'));
    faults.raiseIf(i32.or(noTable, beyond), f.param(2, 'i32'), code);
    f.return(call(memory.loadSystem[8], cpu, call(address, cpu, selector)));
  });
}

function defineMarkAccessed(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  address: Fn<'i64'>,
): Fn<'i32'> {
  return m.function('markAccessed', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const rights = f.let(i64.shr_u(f.param(2, 'i64'), c64(40)));
    f.if(i32.and(i32.wrap(rights), c32(1)), () => f.return(c32(0)));
    const at = i64.add(call(address, cpu, selector), c64(5));
    f.return(call(memory.storeSystem[1], cpu, at, i64.or(rights, c64(1))));
  });
}

/** (cpu, segment, selector, descriptor): fills the segment's cache and base. */
function defineSetSegment(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('setSegment', ['i32', 'i32', 'i32', 'i64'], 'void', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const descriptor = f.param(3, 'i64');
    const at = f.let(cacheOf(cpu, segment));
    f.store32(at, selector);
    f.store32(at, descriptorLimit(descriptor), SEGMENT_LIMIT);
    f.store32(at, i32.or(descriptorAr(descriptor), c32(AR_ACCESSED)), SEGMENT_AR);
    const base = f.let(descriptorBase(descriptor));
    f.store32(at, i32.wrap(base), SEGMENT_BASE);
    storeBase(f, modes, cpu, segment, base);
    f.if(i32.eq(segment, c32(SS)), () => f.call(modes.updateSegments, cpu));
  });
}

/** Address of the cache of a segment register, less S.segment: fields are at S.segment + field. */
const cacheOf = (cpu: I32, segment: I32): I32 =>
  i32.add(i32.add(cpu, c32(S.segment)), i32.shl(segment, c32(4)));

/**
 * Stores the base in effect, which in 64-bit code is zero for ES, CS, SS and DS. The segment's
 * cache must be complete.
 */
function storeBase(f: FunctionBuilder, modes: Modes, cpu: I32, segment: I32, base: I64): void {
  const at = f.let(i32.add(cpu, i32.shl(segment, c32(3))));
  const ignored = i32.and(i32.eq(i32.load(cpu, S.codeMode), c32(8)), i32.lt_u(segment, c32(4)));
  f.if(
    ignored,
    () => f.store64(at, c64(0), SLOT.segmentBase),
    () => f.store64(at, base, SLOT.segmentBase),
  );
  f.call(modes.updateKey, cpu);
}

/** (cpu, segment, selector): a load in real-address mode. */
function defineLoadReal(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('loadSegmentReal', ['i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const at = f.let(cacheOf(cpu, segment));
    const ar = f.let(i32.load(at, SEGMENT_AR));
    f.if(i32.eqz(isUsable(ar)), () => {
      // A null selector of protected mode left nothing to keep.
      f.store32(at, c32(0xffff), SEGMENT_LIMIT);
      f.set(ar, c32(0));
    });
    f.store32(at, i32.or(i32.and(ar, c32(AR_DB | AR_G)), c32(AR_REAL)), SEGMENT_AR);
    f.store32(at, selector);
    const base = f.let(i32.shl(selector, c32(4)));
    f.store32(at, base, SEGMENT_BASE);
    storeBase(f, modes, cpu, segment, i64.extend_u(base));
  });
}

/** (cpu, segment, selector): a load in virtual-8086 mode, where limits and rights are fixed. */
function defineLoadVirtual(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('loadSegmentVirtual', ['i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, segment] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const selector = f.let(i32.and(f.param(2, 'i32'), c32(0xffff)));
    const at = f.let(cacheOf(cpu, segment));
    f.store32(at, selector);
    f.store32(at, c32(0xffff), SEGMENT_LIMIT);
    f.store32(at, c32(AR_VIRTUAL), SEGMENT_AR);
    const base = f.let(i32.shl(selector, c32(4)));
    f.store32(at, base, SEGMENT_BASE);
    storeBase(f, modes, cpu, segment, i64.extend_u(base));
  });
}

/** (cpu, segment, selector): makes a data segment register null. */
function defineLoadNull(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('loadSegmentNull', ['i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const at = f.let(cacheOf(cpu, segment));
    const rights = i32.or(
      c32(AR_UNUSABLE),
      // Of SS the DPL is kept: it is the CPL.
      i32.mul(i32.eq(segment, c32(SS)), i32.shl(i32.load(cpu, S.cpl), c32(AR_DPL_SHIFT))),
    );
    f.store32(at, rights, SEGMENT_AR);
    f.store32(at, selector);
    f.store32(at, c32(0), SEGMENT_LIMIT);
    f.store32(at, c32(0), SEGMENT_BASE);
    storeBase(f, modes, cpu, segment, c64(0));
  });
}

/** See {@link Segments.dataDescriptor}. */
function defineDataDescriptor(m: ModuleBuilder, fetch: Fn<'i64'>): Fn<'i64'> {
  return m.function('dataDescriptor', ['i32', 'i32', 'i32', 'i32'], 'i64', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const vector = f.param(3, 'i32');
    const faults = new Faults(f, cpu, c64(0));
    const descriptor = f.let(call(fetch, cpu, selector, vector, c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const cpl = f.let(i32.load(cpu, S.cpl));
    const code = f.let(selectorCode(selector));
    f.if(
      i32.eq(segment, c32(SS)),
      () => {
        const wrongRing = i32.or(i32.ne(rplOf(selector), cpl), i32.ne(dplOf(ar), cpl));
        faults.raiseIf(i32.or(wrongRing, i32.eqz(isWritableData(ar))), vector, code);
        faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.SS, code);
      },
      () => {
        faults.raiseIf(i32.eqz(isReadable(ar)), vector, code);
        const dpl = dplOf(ar);
        const outer = i32.or(i32.gt_u(rplOf(selector), dpl), i32.gt_u(cpl, dpl));
        const exempt = i32.and(isCode(ar), isConforming(ar));
        faults.raiseIf(i32.and(outer, i32.eqz(exempt)), vector, code);
        faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
      },
    );
    f.return(descriptor);
  });
}

type LoadParts = Pick<
  Segments,
  'markAccessed' | 'loadVirtual' | 'loadNull' | 'dataDescriptor' | 'set'
>;

function defineLoad(m: ModuleBuilder, parts: LoadParts, modes: Modes): Fn<'i32'> {
  const { markAccessed, loadVirtual, loadNull, dataDescriptor, set } = parts;
  const loadReal = defineLoadReal(m, modes);
  return m.function('loadSegment', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    f.if(isReal(cpu), () => {
      f.call(loadReal, cpu, segment, selector);
      f.return(c32(0));
    });
    f.if(isVirtual(cpu), () => {
      f.call(loadVirtual, cpu, segment, selector);
      f.return(c32(0));
    });
    f.if(isNull(selector), () => {
      const cpl = i32.load(cpu, S.cpl);
      const allowed = i32.and(
        i32.eq(i32.load(cpu, S.codeMode), c32(8)),
        i32.and(i32.ne(cpl, c32(3)), i32.eq(rplOf(selector), cpl)),
      );
      const forbidden = i32.and(i32.eq(segment, c32(SS)), i32.eqz(allowed));
      faults.raiseIf(forbidden, VECTOR.GP, 0);
      f.call(loadNull, cpu, segment, selector);
      f.return(c32(0));
    });
    const descriptor = f.let(call(dataDescriptor, cpu, segment, selector, c32(VECTOR.GP)));
    faults.check();
    faults.attempt(markAccessed, cpu, selector, descriptor);
    f.call(set, cpu, segment, selector, descriptor);
    f.return(c32(0));
  });
}

function defineScrub(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  const one = m.function('scrubSegment', ['i32', 'i32'], 'void', (f) => {
    const [cpu, segment] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const at = f.let(cacheOf(cpu, segment));
    const ar = f.let(i32.load(at, SEGMENT_AR));
    f.if(i32.ge_u(dplOf(ar), i32.load(cpu, S.cpl)), () => f.return());
    f.if(i32.and(isCode(ar), isConforming(ar)), () => f.return());
    // The base stays, which matters for FS and GS in 64-bit mode.
    f.store32(at, c32(0));
    f.store32(at, i32.or(ar, c32(AR_UNUSABLE)), SEGMENT_AR);
  });
  return m.function('scrubSegments', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    for (const segment of [0, 3, 4, 5]) f.call(one, cpu, c32(segment));
    f.call(modes.updateKey, cpu);
  });
}
