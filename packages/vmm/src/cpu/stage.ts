// The transaction that far transfers, returns and event delivery build up: the code and stack
// segment, instruction and stack pointer, and privilege they are about to load. It lies in
// S.scratch. Nothing of it is architectural until `commit`, so that any check on the way may fault.

import { c32, type Fn, type I32, i32, i64 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { descriptorAr, descriptorBase, descriptorLimit } from './descriptor.ts';
import type { Modes } from './modes.ts';
import {
  AR_ACCESSED,
  AR_DPL_SHIFT,
  AR_UNUSABLE,
  CS,
  gprSlot,
  RSP,
  S,
  SEGMENT_AR,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  SS,
  segmentCache,
} from './state.ts';

type StageField = 'cs' | 'ss' | 'rsp' | 'rip' | 'gate' | 'cpl' | 'stackSize' | 'newStack';

/** Offsets in the state. */
export const STAGE: Readonly<Record<StageField, number>> = {
  /** 16 bytes each: segments in the format of their caches, {@link STAGED}. */
  cs: S.scratch + 0x20,
  ss: S.scratch + 0x30,
  /** i64: the stack pointer so far. */
  rsp: S.scratch + 0x40,
  /** i64: where execution goes. */
  rip: S.scratch + 0x48,
  /** i64: the gate that leads there. */
  gate: S.scratch + 0x50,
  /** i32: the new privilege level. */
  cpl: S.scratch + 0x58,
  /** i32: bytes of the stack pointer: 2, 4 or 8. */
  stackSize: S.scratch + 0x5c,
  /** i32: non-zero if SS is to be loaded. */
  newStack: S.scratch + 0x60,
};

/** Offsets in a segment's cache: u16 selector, u32 limit, u32 access rights, u32 base as loaded. */
export const STAGED: Readonly<Record<'selector' | 'limit' | 'ar' | 'base', number>> = {
  selector: 0,
  limit: SEGMENT_LIMIT,
  ar: SEGMENT_AR,
  base: SEGMENT_BASE,
};

/** Functions on the transaction. */
export interface Stage {
  /** (cpu, segment offset in STAGE, selector, descriptor): stages what a table entry says. */
  readonly segment: Fn<'void'>;
  /** (cpu, privilege): stages a null SS, as 64-bit mode has it at privilege 0 to 2. */
  readonly nullStack: Fn<'void'>;
  /** (cpu): starts a transaction on the current stack, at the current privilege. */
  readonly begin: Fn<'void'>;
  /** (cpu): makes CS, RIP and CPL, SS if it was changed, and RSP architectural. */
  readonly commit: Fn<'void'>;
  /** (cpu): makes RSP architectural, and nothing else. */
  readonly commitStack: Fn<'void'>;
}

/** Defines {@link Stage}. */
export function defineStage(m: ModuleBuilder, modes: Modes): Stage {
  return {
    segment: m.function('stageSegment', ['i32', 'i32', 'i32', 'i64'], 'void', (f) => {
      const [cpu, selector] = [f.param(0, 'i32'), f.param(2, 'i32')];
      const descriptor = f.param(3, 'i64');
      const at = f.let(i32.add(cpu, f.param(1, 'i32')));
      f.store32(at, i32.and(selector, c32(0xffff)), STAGED.selector);
      f.store32(at, descriptorLimit(descriptor), STAGED.limit);
      f.store32(at, i32.or(descriptorAr(descriptor), c32(AR_ACCESSED)), STAGED.ar);
      f.store32(at, i32.wrap(descriptorBase(descriptor)), STAGED.base);
    }),
    nullStack: m.function('stageNullStack', ['i32', 'i32'], 'void', (f) => {
      const [cpu, cpl] = [f.param(0, 'i32'), f.param(1, 'i32')];
      f.store32(cpu, cpl, STAGE.ss + STAGED.selector);
      f.store32(cpu, c32(0), STAGE.ss + STAGED.limit);
      f.store32(cpu, unusable(cpl), STAGE.ss + STAGED.ar);
      f.store32(cpu, c32(0), STAGE.ss + STAGED.base);
      f.store32(cpu, c32(1), STAGE.newStack);
    }),
    begin: defineBegin(m),
    commit: defineCommit(m, modes),
    commitStack: m.function('stageCommitStack', ['i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      f.store64(cpu, i64.load(cpu, STAGE.rsp), gprSlot(RSP));
    }),
  };
}

/** Access rights of an SS that cannot be used: the DPL is kept, since it is the CPL. */
const unusable = (cpl: I32): I32 => i32.or(c32(AR_UNUSABLE), i32.shl(cpl, c32(AR_DPL_SHIFT)));

function defineBegin(m: ModuleBuilder): Fn<'void'> {
  return m.function('stageBegin', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.store64(cpu, i64.load(cpu, segmentCache(SS)), STAGE.ss);
    f.store64(cpu, i64.load(cpu, segmentCache(SS) + 8), STAGE.ss + 8);
    f.store64(cpu, i64.load(cpu, gprSlot(RSP)), STAGE.rsp);
    f.store32(cpu, i32.load(cpu, S.stackSize), STAGE.stackSize);
    f.store32(cpu, i32.load(cpu, S.cpl), STAGE.cpl);
    f.store32(cpu, c32(0), STAGE.newStack);
  });
}

function defineCommit(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('stageCommit', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const copy = (from: number, segment: number): void => {
      f.store64(cpu, i64.load(cpu, from), segmentCache(segment));
      f.store64(cpu, i64.load(cpu, from + 8), segmentCache(segment) + 8);
    };
    copy(STAGE.cs, CS);
    f.if(i32.load(cpu, STAGE.newStack), () => copy(STAGE.ss, SS));
    f.store64(cpu, i64.load(cpu, STAGE.rsp), gprSlot(RSP));
    f.store64(cpu, i64.load(cpu, STAGE.rip), S.rip);
    f.store32(cpu, i32.load(cpu, STAGE.cpl), S.cpl);
    f.call(modes.updateSegments, cpu);
  });
}
