// What follows from the control registers, CS, SS and RFLAGS, and is kept ready for the
// interpreter: the size of code and of the stack pointer, the segment bases in effect, which
// floating-point units trap, the TLB in use, whether to go step by step. Whoever changes one of the
// sources calls here.

import { RF, STATUS_FLAGS, TF } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { CODE_BIG_STACK, CODE_FLAT_CS, CODE_FLAT_DATA } from './code-page.ts';
import {
  CR0_EM,
  CR0_TS,
  CR4_OSFXSR,
  CR4_OSXSAVE,
  control,
  DR7_ENABLES,
  hasBits,
  isLong,
} from './control-bits.ts';
import { EPOCH_NARROW, stepEpoch } from './jump-cache.ts';
import { LazyFlags } from './lazy-flags.ts';
import { fetchEntry } from './mmu.ts';
import type { MemoryRuntime } from './runtime.ts';
import {
  AR_DB,
  AR_L,
  AR_UNUSABLE,
  CS,
  DS,
  ES,
  FETCH_SUPERVISOR,
  FETCH_USER,
  FPU_TRAP,
  S,
  SEGMENT_AR,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  SS,
  segmentBase,
  segmentCache,
} from './state.ts';
import { XSTATE } from './xstate.ts';

/** RFLAGS bits that exist: all but reserved ones. */
const FLAGS_MASK = 0x3f7fd5;

/** The functions that keep derived state. */
export interface Modes {
  /** (cpu): after CR0, CR4 or EFER changed, or all of the state from outside. */
  readonly updateModes: Fn<'void'>;
  /** (cpu): after CS, SS or CPL changed. */
  readonly updateSegments: Fn<'void'>;
  /** (cpu): after ES, SS or DS changed and nothing else. */
  readonly updateKey: Fn<'void'>;
  /** (cpu) -> RFLAGS, 32 bits, with the status flags. */
  readonly packFlags: Fn<'i32'>;
  /** (cpu, RFLAGS): sets every flag. */
  readonly setFlags: Fn<'void'>;
  /** (cpu, RFLAGS): sets the flags that are not status flags. */
  readonly setSystemFlags: Fn<'void'>;
  /** (cpu): after DR7 or RFLAGS.TF changed. */
  readonly updateStepping: Fn<'void'>;
}

/** Defines {@link Modes}. */
export function defineModes(m: ModuleBuilder, memory: MemoryRuntime): Modes {
  const updateStepping = defineUpdateStepping(m);
  const setSystemFlags = defineSetSystemFlags(m, memory, updateStepping);
  const updateKey = defineUpdateKey(m);
  const updateSizes = defineUpdateSizes(m, updateKey);
  return {
    updateKey,
    updateModes: defineUpdateModes(m, memory, updateSizes, updateStepping),
    updateSegments: defineUpdateSegments(m, memory, updateSizes),
    packFlags: m.function('packFlags', ['i32'], 'i32', (f) => {
      const cpu = f.param(0, 'i32');
      f.return(i32.or(i32.load(cpu, S.eflags), new LazyFlags(f, cpu).pack()));
    }),
    setFlags: m.function('setFlags', ['i32', 'i32'], 'void', (f) => {
      const [cpu, flags] = [f.param(0, 'i32'), f.param(1, 'i32')];
      new LazyFlags(f, cpu).unpack(flags);
      f.call(setSystemFlags, cpu, flags);
    }),
    setSystemFlags,
    updateStepping,
  };
}

function defineUpdateStepping(m: ModuleBuilder): Fn<'void'> {
  return m.function('updateStepping', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const trap = i32.and(i32.load(cpu, S.eflags), c32(TF));
    const breakpoints = i32.and(i32.load(cpu, S.dr + 8 * 7), c32(DR7_ENABLES));
    f.store32(cpu, i32.or(trap, breakpoints), S.stepping);
  });
}

function defineSetSystemFlags(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  updateStepping: Fn<'void'>,
): Fn<'void'> {
  return m.function('setSystemFlags', ['i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const kept = i32.and(f.param(1, 'i32'), c32(FLAGS_MASK & ~STATUS_FLAGS));
    f.store32(cpu, i32.or(kept, c32(2)), S.eflags);
    f.call(updateStepping, cpu);
    // RF matters to instruction breakpoints only, and only stepping clears it after an instruction.
    f.if(i32.eqz(i32.load(cpu, S.stepping)), () => {
      f.store32(cpu, i32.and(i32.load(cpu, S.eflags), c32(~RF)), S.eflags);
    });
    // RFLAGS.AC decides which of the supervisor's TLBs is in use.
    f.call(memory.selectTlb, cpu);
  });
}

/** 1 in 64-bit mode, as CS has it. */
const isWide = (cpu: I32): I32 =>
  i32.and(isLong(cpu), hasBits(i32.load(cpu, segmentCache(CS) + SEGMENT_AR), AR_L));

/** Access rights of a segment in which one may read and write up to its limit. */
const IS_PLAIN_DATA = AR_UNUSABLE | 0xe;
const PLAIN_DATA = 2;

/** 1 for a segment that is all of the linear address space. */
function isFlat(cpu: I32, segment: number): I32 {
  const cache = segmentCache(segment);
  const isWhole = i32.eq(i32.load(cpu, cache + SEGMENT_LIMIT), c32(-1));
  return i32.and(isWhole, i32.eqz(i32.load(cpu, cache + SEGMENT_BASE)));
}

/** 1 for such a segment that can be read and written. */
function isFlatData(cpu: I32, segment: number): I32 {
  const rights = i32.load(cpu, segmentCache(segment) + SEGMENT_AR);
  const isPlain = i32.eq(i32.and(rights, c32(IS_PLAIN_DATA)), c32(PLAIN_DATA));
  return i32.and(isFlat(cpu, segment), isPlain);
}

/** (cpu): S.codeKey outside 64-bit code, from the segments and S.codeMode and S.stackSize. */
function defineUpdateKey(m: ModuleBuilder): Fn<'void'> {
  return m.function('updateKey', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const mode = f.let(i32.load(cpu, S.codeMode));
    f.if(i32.eq(mode, c32(8)), () => f.return());
    const bit = (condition: I32, value: number): I32 => i32.mul(condition, c32(value));
    const isBig = i32.eq(i32.load(cpu, S.stackSize), c32(4));
    const data = [ES, SS, DS].map((n) => isFlatData(cpu, n)).reduce((a, b) => i32.and(a, b));
    const stack = i32.or(mode, bit(isBig, CODE_BIG_STACK));
    const flat = i32.or(bit(data, CODE_FLAT_DATA), bit(isFlat(cpu, CS), CODE_FLAT_CS));
    f.store32(cpu, i32.or(stack, flat), S.codeKey);
  });
}

/** (cpu): code may be elsewhere from now on, see S.epoch. */
const defineNewEpoch = (m: ModuleBuilder): Fn<'void'> =>
  m.function('newEpoch', ['i32'], 'void', (f) => stepEpoch(f, f.param(0, 'i32')));

/** Notes in S.epoch whether code is 64-bit code. */
function setNarrow(f: FunctionBuilder, cpu: I32, bit: number): void {
  const others = i32.and(i32.load(cpu, S.epoch), c32(~EPOCH_NARROW));
  f.store32(cpu, i32.or(others, c32(bit)), S.epoch);
}

/**
 * (cpu, linear): sets S.codeBound. The fetch TLB forgets the pages in which CS has ended and now
 * ends: their code may have been decoded further, or less far.
 */
function defineSetCodeBound(m: ModuleBuilder, newEpoch: Fn<'void'>): Fn<'void'> {
  return m.function('setCodeBound', ['i32', 'i64'], 'void', (f) => {
    const [cpu, next] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const old = f.let(i64.load(cpu, S.codeBound));
    f.if(i64.eq(old, next), () => f.return());
    f.store64(cpu, next, S.codeBound);
    f.call(newEpoch, cpu);
    for (const tlb of [FETCH_SUPERVISOR, FETCH_USER]) {
      for (const linear of [old, next]) {
        f.store64(fetchEntry(i32.add(cpu, c32(tlb)), linear), c64(-1));
      }
    }
  });
}

/**
 * Where CS ends, outside 64-bit code: see {@link S.codeBound}. Nowhere, when that is a page's end,
 * or when it lies before the base in the base's page: a segment of 4 GiB, as real mode often has
 * one left over from protected mode.
 */
function codeBound(f: FunctionBuilder, cpu: I32): I64 {
  const base = f.let(i64.load32_u(cpu, segmentCache(CS) + SEGMENT_BASE));
  const limit = i64.load32_u(cpu, segmentCache(CS) + SEGMENT_LIMIT);
  const end = f.let(i64.and(i64.add(i64.add(base, limit), c64(1)), c64(0xffffffff)));
  const isAtPageEnd = i64.eqz(i64.and(end, c64(4095)));
  // Unsigned, so that an end behind the base is far away.
  const isRoundTheWorld = i64.le_u(i64.sub(base, end), i64.and(base, c64(4095)));
  return select(i32.or(isAtPageEnd, isRoundTheWorld), c64(0), end);
}

/** (cpu): the sizes of code and stack pointer, the bases in effect, and the end of CS. */
function defineUpdateSizes(m: ModuleBuilder, updateKey: Fn<'void'>): Fn<'void'> {
  const newEpoch = defineNewEpoch(m);
  const setCodeBound = defineSetCodeBound(m, newEpoch);
  return m.function('updateSizes', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.if(
      isWide(cpu),
      () => {
        f.store32(cpu, c32(8), S.codeMode);
        f.store32(cpu, c32(8), S.stackSize);
        f.store32(cpu, c32(8), S.codeKey);
        setNarrow(f, cpu, 0);
        f.call(setCodeBound, cpu, c64(0));
        for (const n of [ES, CS, SS, DS]) f.store64(cpu, c64(0), segmentBase(n));
      },
      () => {
        const sizeOf = (segment: number): I32 => {
          const isBig = hasBits(i32.load(cpu, segmentCache(segment) + SEGMENT_AR), AR_DB);
          return i32.add(c32(2), i32.shl(isBig, c32(1)));
        };
        f.store32(cpu, sizeOf(CS), S.codeMode);
        f.store32(cpu, sizeOf(SS), S.stackSize);
        setNarrow(f, cpu, EPOCH_NARROW);
        f.call(setCodeBound, cpu, codeBound(f, cpu));
        // Where RIP leads depends on the base of CS.
        const base = f.let(i32.load(cpu, segmentCache(CS) + SEGMENT_BASE));
        f.if(i32.ne(i32.load(cpu, S.codeBase), base), () => {
          f.store32(cpu, base, S.codeBase);
          f.call(newEpoch, cpu);
        });
        for (const n of [ES, CS, SS, DS]) {
          f.store64(cpu, i64.load32_u(cpu, segmentCache(n) + SEGMENT_BASE), segmentBase(n));
        }
        f.call(updateKey, cpu);
      },
    );
  });
}

function defineUpdateSegments(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  updateSizes: Fn<'void'>,
): Fn<'void'> {
  return m.function('updateSegments', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    // From 64-bit code to 64-bit code, as nearly always, no size or base changes.
    const same = i32.and(isWide(cpu), i32.eq(i32.load(cpu, S.codeMode), c32(8)));
    f.if(i32.eqz(same), () => f.call(updateSizes, cpu));
    f.call(memory.selectTlb, cpu);
  });
}

function defineUpdateModes(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  updateSizes: Fn<'void'>,
  updateStepping: Fn<'void'>,
): Fn<'void'> {
  const fpuTraps = m.function('fpuTraps', ['i32'], 'i32', (f) => f.return(fpuTrapBits(f)));
  return m.function('updateModes', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.call(updateSizes, cpu);
    f.store32(cpu, call(fpuTraps, cpu), S.fpuTraps);
    f.call(updateStepping, cpu);
    f.call(memory.selectTlb, cpu);
  });
}

/** {@link S.fpuTraps}: SDM vol. 3A, 2.5, and vol. 1, tables of 8.1.7 and 13.1, 14.5.3 (AVX). */
function fpuTrapBits(f: FunctionBuilder): I32 {
  const cpu = f.param(0, 'i32');
  const cr0 = control(cpu, S.cr0);
  const bits = f.local('i32');
  f.if(hasBits(cr0, CR0_EM | CR0_TS), () => f.set(bits, c32(FPU_TRAP.x87)));
  const add = (trap: number): void => f.set(bits, i32.or(bits, c32(trap)));
  f.if(hasBits(cr0, CR0_EM), () => add(FPU_TRAP.mmxUd | FPU_TRAP.sseUd));
  f.if(hasBits(cr0, CR0_TS), () => add(FPU_TRAP.mmxNm | FPU_TRAP.sseNm | FPU_TRAP.avxNm));
  f.if(i32.eqz(hasBits(control(cpu, S.cr4), CR4_OSFXSR)), () => add(FPU_TRAP.sseUd));
  const components = XSTATE.sse | XSTATE.avx;
  const enabled = i32.eq(
    i32.and(i32.wrap(i64.load(cpu, S.xcr0)), c32(components)),
    c32(components),
  );
  const usable = i32.and(enabled, hasBits(control(cpu, S.cr4), CR4_OSXSAVE));
  f.if(i32.eqz(usable), () => add(FPU_TRAP.avxUd));
  return bits;
}
