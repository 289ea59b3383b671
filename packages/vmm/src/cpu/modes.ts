// What follows from the control registers, CS, SS and RFLAGS, and is kept ready for the
// interpreter: the size of code and of the stack pointer, the segment bases in effect, which
// floating-point units trap, the TLB in use, whether to go step by step. Whoever changes one of the
// sources calls here.

import { RF, STATUS_FLAGS, TF } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  CR0_EM,
  CR0_TS,
  CR4_OSFXSR,
  control,
  DR7_ENABLES,
  hasBits,
  isLong,
} from './control-bits.ts';
import { LazyFlags } from './lazy-flags.ts';
import type { MemoryRuntime } from './runtime.ts';
import {
  AR_DB,
  AR_L,
  CS,
  DS,
  ES,
  FPU_TRAP,
  S,
  SEGMENT_AR,
  SS,
  segmentBase,
  segmentCache,
} from './state.ts';

/**
 * Offset in a segment's cache of its base as loaded, 32 bits, for ES, CS, SS and DS: 64-bit code
 * does not use it (SLOT.segmentBase is 0 there), but a return to compatibility mode finds it again.
 */
export const SEGMENT_BASE = 12;

/** RFLAGS bits that exist: all but reserved ones and those of virtual-8086 mode. */
const FLAGS_MASK = 0x257fd5;

/** The functions that keep derived state. */
export interface Modes {
  /** (cpu): after CR0, CR4, EFER, CS, SS or CPL changed, or all of the state from outside. */
  readonly updateModes: Fn<'void'>;
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
  return {
    updateModes: defineUpdateModes(m, memory, updateStepping),
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

function defineUpdateModes(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  updateStepping: Fn<'void'>,
): Fn<'void'> {
  const fpuTraps = m.function('fpuTraps', ['i32'], 'i32', (f) => f.return(fpuTrapBits(f)));
  return m.function('updateModes', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const cs = f.let(i32.load(cpu, segmentCache(CS) + SEGMENT_AR));
    const wide = f.let(i32.and(isLong(cpu), hasBits(cs, AR_L)));
    f.if(
      wide,
      () => {
        f.store32(cpu, c32(8), S.codeMode);
        f.store32(cpu, c32(8), S.stackSize);
        for (const n of [ES, CS, SS, DS]) f.store64(cpu, c64(0), segmentBase(n));
      },
      () => {
        const size = (ar: I32): I32 => i32.add(c32(2), i32.shl(hasBits(ar, AR_DB), c32(1)));
        f.store32(cpu, size(cs), S.codeMode);
        f.store32(cpu, size(i32.load(cpu, segmentCache(SS) + SEGMENT_AR)), S.stackSize);
        for (const n of [ES, CS, SS, DS]) {
          f.store64(cpu, i64.load32_u(cpu, segmentCache(n) + SEGMENT_BASE), segmentBase(n));
        }
      },
    );
    f.store32(cpu, call(fpuTraps, cpu), S.fpuTraps);
    f.call(updateStepping, cpu);
    f.call(memory.selectTlb, cpu);
  });
}

/** {@link S.fpuTraps} for CR0 and CR4: SDM vol. 3A, 2.5, and vol. 1, tables of 8.1.7 and 13.1. */
function fpuTrapBits(f: FunctionBuilder): I32 {
  const cpu = f.param(0, 'i32');
  const cr0 = control(cpu, S.cr0);
  const bits = f.local('i32');
  f.if(hasBits(cr0, CR0_EM | CR0_TS), () => f.set(bits, c32(FPU_TRAP.x87)));
  const add = (trap: number): void => f.set(bits, i32.or(bits, c32(trap)));
  f.if(hasBits(cr0, CR0_EM), () => add(FPU_TRAP.mmxUd | FPU_TRAP.sseUd));
  f.if(hasBits(cr0, CR0_TS), () => add(FPU_TRAP.mmxNm | FPU_TRAP.sseNm));
  f.if(i32.eqz(hasBits(control(cpu, S.cr4), CR4_OSFXSR)), () => add(FPU_TRAP.sseUd));
  return bits;
}
