// The code segment that a transfer goes to: one check for each way there. SDM vol. 3A, 5.8 (program
// control transfers), 6.12.1 (interrupts), vol. 2 "JMP", "CALL", "RET", "IRET", "INT n".

import { c32, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { hasBits, isCanonical, isLong, isVirtual } from './control-bits.ts';
import {
  AR_REAL,
  AR_VIRTUAL,
  descriptorAr,
  dplOf,
  is64BitCode,
  isCode,
  isConforming,
  isNull,
  isPresent,
  rplOf,
  selectorCode,
} from './descriptor.ts';
import { Faults } from './faults.ts';
import type { Segments } from './segments.ts';
import { STAGE, STAGED, type Stage } from './stage.ts';
import {
  AR_DB,
  AR_G,
  AR_L,
  CS,
  S,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  segmentCache,
  VECTOR,
} from './state.ts';

/** Functions that stage CS, CPL and RIP; all but `real` return non-zero on a fault. */
export interface CodeTarget {
  /** (cpu, selector, descriptor): JMP and CALL without a gate, JMP through one (RPL 0 then). */
  readonly direct: Fn<'i32'>;
  /**
   * (cpu, selector, ext): interrupts and CALL through a gate; to the segment's ring if it is inner.
   */
  readonly inward: Fn<'i32'>;
  /** (cpu, selector): RET and IRET; to the ring of the selector's RPL. */
  readonly outward: Fn<'i32'>;
  /** (cpu, selector): in real-address and in virtual-8086 mode. */
  readonly real: Fn<'void'>;
  /** (cpu, selector): on the way to virtual-8086 mode. */
  readonly virtual: Fn<'void'>;
  /** (cpu, offset, error code): stages RIP in the staged code segment. */
  readonly offset: Fn<'i32'>;
}

/** Defines {@link CodeTarget}. */
export function defineCodeTarget(m: ModuleBuilder, segments: Segments, stage: Stage): CodeTarget {
  const finish = defineFinish(m, segments, stage);
  const virtual = defineVirtual(m);
  return {
    virtual,
    direct: defineDirect(m, finish),
    inward: defineInward(m, segments, finish),
    outward: defineOutward(m, segments, finish),
    real: m.function('codeReal', ['i32', 'i32'], 'void', (f) => {
      const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
      f.if(isVirtual(cpu), () => f.returnCall(virtual, cpu, selector));
      const ar = i32.and(i32.load(cpu, segmentCache(CS) + SEGMENT_AR), c32(AR_DB | AR_G));
      const limit = i32.load(cpu, segmentCache(CS) + SEGMENT_LIMIT);
      f.store32(cpu, selector, STAGE.cs + STAGED.selector);
      f.store32(cpu, limit, STAGE.cs + STAGED.limit);
      f.store32(cpu, i32.or(ar, c32(AR_REAL)), STAGE.cs + STAGED.ar);
      f.store32(cpu, i32.shl(selector, c32(4)), STAGE.cs + STAGED.base);
    }),
    offset: defineOffset(m),
  };
}

function defineVirtual(m: ModuleBuilder): Fn<'void'> {
  return m.function('codeVirtual', ['i32', 'i32'], 'void', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    f.store32(cpu, selector, STAGE.cs + STAGED.selector);
    f.store32(cpu, c32(0xffff), STAGE.cs + STAGED.limit);
    f.store32(cpu, c32(AR_VIRTUAL), STAGE.cs + STAGED.ar);
    f.store32(cpu, i32.shl(selector, c32(4)), STAGE.cs + STAGED.base);
    f.store32(cpu, c32(3), STAGE.cpl);
  });
}

/**
 * (cpu, selector, descriptor, privilege, error code) -> fault: the checks that all ways share,
 * after those of privilege, and the staging.
 */
function defineFinish(m: ModuleBuilder, segments: Segments, stage: Stage): Fn<'i32'> {
  return m.function('codeFinish', ['i32', 'i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, descriptor] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i64')];
    const [cpl, code] = [f.param(3, 'i32'), f.param(4, 'i32')];
    const faults = new Faults(f, cpu);
    const ar = f.let(descriptorAr(descriptor));
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    faults.attempt(segments.markAccessed, cpu, selector, descriptor);
    const loaded = i32.or(i32.and(selector, c32(0xfffc)), cpl);
    f.call(stage.segment, cpu, c32(STAGE.cs), loaded, descriptor);
    f.store32(cpu, cpl, STAGE.cpl);
    f.return(c32(0));
  });
}

/** 1 for a descriptor with both L and D set, which IA-32e mode does not allow. */
const contradictory = (cpu: I32, ar: I32): I32 =>
  i32.and(isLong(cpu), i32.eq(i32.and(ar, c32(AR_L | AR_DB)), c32(AR_L | AR_DB)));

function defineDirect(m: ModuleBuilder, finish: Fn<'i32'>): Fn<'i32'> {
  return m.function('codeDirect', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, selector, descriptor] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i64')];
    const faults = new Faults(f, cpu);
    const ar = f.let(descriptorAr(descriptor));
    const cpl = f.let(i32.load(cpu, S.cpl));
    const code = f.let(selectorCode(selector));
    faults.raiseIf(i32.or(i32.eqz(isCode(ar)), contradictory(cpu, ar)), VECTOR.GP, code);
    f.if(
      isConforming(ar),
      () => faults.raiseIf(i32.gt_u(dplOf(ar), cpl), VECTOR.GP, code),
      () => {
        const wrongRing = i32.or(i32.gt_u(rplOf(selector), cpl), i32.ne(dplOf(ar), cpl));
        faults.raiseIf(wrongRing, VECTOR.GP, code);
      },
    );
    f.return(call(finish, cpu, selector, descriptor, cpl, code));
  });
}

function defineInward(m: ModuleBuilder, segments: Segments, finish: Fn<'i32'>): Fn<'i32'> {
  return m.function('codeInward', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, ext] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    faults.raiseIf(isNull(selector), VECTOR.GP, ext);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), ext));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const cpl = f.let(i32.load(cpu, S.cpl));
    const code = f.let(selectorCode(selector, ext));
    const unfit = i32.or(i32.eqz(isCode(ar)), i32.gt_u(dplOf(ar), cpl));
    faults.raiseIf(unfit, VECTOR.GP, code);
    // Gates of IA-32e mode lead to 64-bit code only.
    faults.raiseIf(i32.and(isLong(cpu), i32.eqz(is64BitCode(ar))), VECTOR.GP, code);
    f.if(i32.eqz(isConforming(ar)), () => f.set(cpl, dplOf(ar)));
    f.return(call(finish, cpu, selector, descriptor, cpl, code));
  });
}

function defineOutward(m: ModuleBuilder, segments: Segments, finish: Fn<'i32'>): Fn<'i32'> {
  return m.function('codeOutward', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    faults.raiseIf(isNull(selector), VECTOR.GP, 0);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const rpl = f.let(rplOf(selector));
    const code = f.let(selectorCode(selector));
    const unfit = i32.or(i32.eqz(isCode(ar)), i32.lt_u(rpl, i32.load(cpu, S.cpl)));
    faults.raiseIf(i32.or(unfit, contradictory(cpu, ar)), VECTOR.GP, code);
    f.if(
      isConforming(ar),
      () => faults.raiseIf(i32.gt_u(dplOf(ar), rpl), VECTOR.GP, code),
      () => faults.raiseIf(i32.ne(dplOf(ar), rpl), VECTOR.GP, code),
    );
    f.return(call(finish, cpu, selector, descriptor, rpl, code));
  });
}

/** 1 when the staged code segment is 64-bit code. */
export const stagedWide = (cpu: I32): I32 =>
  i32.and(isLong(cpu), hasBits(i32.load(cpu, STAGE.cs + STAGED.ar), AR_L));

/**
 * On the way to 64-bit code: from now on the staged stack is as that code sees it, without base and
 * limit. From compatibility mode RSP is ESP.
 */
export function flattenStack(f: FunctionBuilder, cpu: I32): void {
  f.if(stagedWide(cpu), () => {
    f.store32(cpu, c32(8), STAGE.stackSize);
    f.if(i32.ne(i32.load(cpu, S.codeMode), c32(8)), () => {
      f.store64(cpu, i64.load32_u(cpu, STAGE.rsp), STAGE.rsp);
    });
  });
}

function defineOffset(m: ModuleBuilder): Fn<'i32'> {
  return m.function('codeOffset', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const [cpu, offset, code] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const bad = f.choose(
      'i32',
      stagedWide(cpu),
      () => i32.eqz(isCanonical(offset)),
      () => beyondLimit(cpu, offset),
    );
    faults.raiseIf(bad, VECTOR.GP, code);
    f.store64(cpu, offset, STAGE.rip);
    f.return(c32(0));
  });
}

const beyondLimit = (cpu: I32, offset: I64): I32 =>
  i64.gt_u(offset, i64.load32_u(cpu, STAGE.cs + STAGED.limit));

/** `offset` cut to `size` bytes (2, 4 or 8, known at run time). */
export function cutToSize(f: FunctionBuilder, offset: I64, size: I32): I64 {
  const cut = f.let(offset);
  f.if(i32.eq(size, c32(2)), () => f.set(cut, i64.and(cut, i64.extend_u(c32(0xffff)))));
  f.if(i32.eq(size, c32(4)), () => f.set(cut, i64.and(cut, i64.extend_u(c32(-1)))));
  return cut;
}
