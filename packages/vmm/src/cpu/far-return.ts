// RET to another code segment, and IRET: SDM vol. 2 "RET", "IRET". Modelled: real-address mode, all
// protected modes, returns to the same and to outer rings, from and to 64-bit code. IRET from a
// nested task, and to, in and from virtual-8086 mode, goes on in the files of these.

import {
  AC, AF, CF, DF, ID, IF, IOPL, NT, OF, PF, RF, SF, TF, VIF, VIP, VM, ZF,
} from '../isa/flags.ts'; // biome-ignore format: flags
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { type CodeTarget, flattenStack, stagedWide } from './code-target.ts';
import { hasBits, hasParagraphs, isLong, isReal, isVirtual } from './control-bits.ts';
import {
  descriptorAr,
  dplOf,
  isNull,
  isPresent,
  isWritableData,
  rplOf,
  selectorCode,
} from './descriptor.ts';
import { Faults } from './faults.ts';
import type { Modes } from './modes.ts';
import type { Segments } from './segments.ts';
import { STAGE, STAGED, type Stage } from './stage.ts';
import type { StageStack } from './stage-stack.ts';
import { AR_DB, gprSlot, RSP, S, VECTOR } from './state.ts';
import type { TaskSwitch } from './task-switch.ts';
import type { Virtual8086 } from './virtual-8086.ts';

/** What far returns are built on. */
export interface ReturnParts {
  readonly modes: Modes;
  readonly segments: Segments;
  readonly stage: Stage;
  readonly stack: StageStack;
  readonly target: CodeTarget;
  readonly task: TaskSwitch;
  readonly virtual: Virtual8086;
}

/** Far returns; on success S.rip is where to go on. */
export interface FarReturn {
  /** (cpu, operand size, bytes of parameters to drop) -> fault. */
  readonly ret: Fn<'i32'>;
  /**
   * (cpu, operand size) -> fault. S.eventRip is behind the instruction, for a task that is left; a
   * switch to a faulty task is a success that leaves the new task's fault in S.faultVector.
   */
  readonly iret: Fn<'i32'>;
  /**
   * (cpu, flags, operand size, CPL, more): loads the flags that IRET, and POPF, may change in that
   * ring, and `more` of them.
   */
  readonly restoreFlags: Fn<'void'>;
}

/** Defines {@link FarReturn}. */
export function defineFarReturn(m: ModuleBuilder, parts: ReturnParts): FarReturn {
  const outer = defineOuterStack(m, parts);
  const restoreFlags = defineRestoreFlags(m, parts.modes);
  return {
    ret: defineRet(m, parts, outer),
    iret: defineIret(m, parts, outer, restoreFlags),
    restoreFlags,
  };
}

/** (cpu, selector) -> fault: checks and stages the SS that a return pops, for the staged ring. */
function defineReturnStack(m: ModuleBuilder, { segments, stage }: ReturnParts): Fn<'i32'> {
  return m.function('returnStack', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const cpl = f.let(i32.load(cpu, STAGE.cpl));
    f.if(isNull(selector), () => {
      const inner = i32.and(i32.ne(cpl, c32(3)), i32.eq(rplOf(selector), cpl));
      faults.raiseIf(i32.eqz(i32.and(stagedWide(cpu), inner)), VECTOR.GP, 0);
      f.call(stage.nullStack, cpu, cpl);
      f.return(c32(0));
    });
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const code = f.let(selectorCode(selector));
    const wrongRing = i32.or(i32.ne(rplOf(selector), cpl), i32.ne(dplOf(ar), cpl));
    faults.raiseIf(i32.or(wrongRing, i32.eqz(isWritableData(ar))), VECTOR.GP, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.SS, code);
    faults.attempt(segments.markAccessed, cpu, selector, descriptor);
    f.call(stage.segment, cpu, c32(STAGE.ss), selector, descriptor);
    f.store32(cpu, c32(1), STAGE.newStack);
    f.return(c32(0));
  });
}

/** (cpu, operand size) -> fault: pops RSP and SS, and stages them. */
function defineOuterStack(m: ModuleBuilder, parts: ReturnParts): Fn<'i32'> {
  const { stack } = parts;
  const returnStack = defineReturnStack(m, parts);
  return m.function('outerStack', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const rsp = f.let(call(stack.pop, cpu, size));
    faults.check();
    const selector = f.let(i32.wrap(call(stack.pop, cpu, size)));
    faults.check();
    faults.attempt(returnStack, cpu, i32.and(selector, c32(0xffff)));
    const big = hasBits(i32.load(cpu, STAGE.ss + STAGED.ar), AR_DB);
    const narrow = i32.eqz(i32.or(big, stagedWide(cpu)));
    f.store32(cpu, stackSizeOf(big, stagedWide(cpu)), STAGE.stackSize);
    // To a 16-bit stack only SP is loaded: the rest of RSP leaks, as it does on real processors.
    f.if(narrow, () => {
      const kept = i64.and(i64.load(cpu, gprSlot(RSP)), c64(-65536));
      f.set(rsp, i64.or(kept, i64.and(rsp, c64(0xffff))));
    });
    f.store64(cpu, rsp, STAGE.rsp);
    f.return(c32(0));
  });
}

const stackSizeOf = (big: I32, wide: I32): I32 => select(wide, c32(8), select(big, c32(4), c32(2)));

/**
 * The stack pointer after a return to 64-bit code of the same ring, over `bytes`, those popped
 * included: flat, but processors cut the count to the width that the stack pointer had before.
 */
function releaseFlat(f: FunctionBuilder, cpu: I32, bytes: I32): void {
  const count = f.let(bytes);
  f.if(i32.eq(i32.load(cpu, STAGE.stackSize), c32(2)), () => {
    f.set(count, i32.and(count, c32(0xffff)));
  });
  f.store64(cpu, i64.load(cpu, gprSlot(RSP)), STAGE.rsp);
  flattenStack(f, cpu);
  f.store64(cpu, i64.add(i64.load(cpu, STAGE.rsp), i64.extend_u(count)), STAGE.rsp);
}

function defineRet(m: ModuleBuilder, parts: ReturnParts, outer: Fn<'i32'>): Fn<'i32'> {
  const { segments, stage, stack, target } = parts;
  return m.function('farReturn', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, size, extra] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    f.call(stage.begin, cpu);
    const pop = (): I64 => {
      const value = f.let(call(stack.pop, cpu, size));
      faults.check();
      return value;
    };
    const rip = pop();
    const selector = f.let(i32.and(i32.wrap(pop()), c32(0xffff)));
    const oldCpl = f.let(i32.load(cpu, S.cpl));
    f.if(
      hasParagraphs(cpu),
      () => f.call(target.real, cpu, selector),
      () => faults.attempt(target.outward, cpu, selector),
    );
    faults.attempt(target.offset, cpu, rip, c32(0));
    const toOuter = f.let(i32.gt_u(i32.load(cpu, STAGE.cpl), oldCpl));
    f.if(
      i32.and(i32.eqz(toOuter), stagedWide(cpu)),
      () => releaseFlat(f, cpu, i32.add(i32.shl(size, c32(1)), extra)),
      () => f.call(stack.release, cpu, extra),
    );
    f.if(toOuter, () => {
      faults.attempt(outer, cpu, size);
      f.call(stack.release, cpu, extra);
    });
    f.call(stage.commit, cpu);
    f.if(toOuter, () => f.call(segments.scrub, cpu));
    f.return(c32(0));
  });
}

/** Flags that IRET loads in every ring; with an operand of 32 or 64 bits also the second group. */
const IRET_FLAGS = CF | PF | AF | ZF | SF | OF | TF | DF | NT;
const IRET_FLAGS_WIDE = RF | AC | ID;

function defineRestoreFlags(m: ModuleBuilder, modes: Modes): Fn<'void'> {
  return m.function('restoreFlags', ['i32', 'i32', 'i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, popped] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const [size, cpl] = [f.param(2, 'i32'), f.param(3, 'i32')];
    const wide = i32.ne(size, c32(2));
    const mask = f.let(select(wide, c32(IRET_FLAGS | IRET_FLAGS_WIDE), c32(IRET_FLAGS)));
    f.set(mask, i32.or(mask, f.param(4, 'i32')));
    const flags = f.let(call(modes.packFlags, cpu));
    const iopl = i32.and(i32.shr_u(flags, c32(12)), c32(3));
    f.if(i32.le_u(cpl, iopl), () => f.set(mask, i32.or(mask, c32(IF))));
    f.if(i32.eqz(cpl), () => f.set(mask, i32.or(mask, c32(IOPL))));
    const kept = i32.and(flags, i32.xor(mask, c32(-1)));
    f.call(modes.setFlags, cpu, i32.or(kept, i32.and(popped, mask)));
  });
}

function defineIret(
  m: ModuleBuilder,
  parts: ReturnParts,
  outer: Fn<'i32'>,
  restoreFlags: Fn<'void'>,
): Fn<'i32'> {
  const { segments, stage, stack, target } = parts;
  const prepare = definePrepareIret(m, parts, outer);
  return m.function('iret', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    f.call(stage.begin, cpu);
    f.if(isVirtual(cpu), () => f.returnCall(parts.virtual.iret, cpu, size));
    f.if(i32.and(hasBits(i32.load(cpu, S.eflags), NT), i32.eqz(isReal(cpu))), () => {
      faults.raiseIf(isLong(cpu), VECTOR.GP, 0);
      f.returnCall(parts.task.back, cpu);
    });
    const pop = (): I64 => {
      const value = f.let(call(stack.pop, cpu, size));
      faults.check();
      return value;
    };
    const rip = pop();
    const selector = f.let(i32.and(i32.wrap(pop()), c32(0xffff)));
    const flags = f.let(i32.wrap(pop()));
    const oldCpl = f.let(i32.load(cpu, S.cpl));
    f.if(
      isReal(cpu),
      () => f.call(target.real, cpu, selector),
      () => {
        const isTrusted = i32.and(i32.eqz(oldCpl), i32.eqz(isLong(cpu)));
        const isWide = i32.ne(size, c32(2));
        f.if(i32.and(hasBits(flags, VM), i32.and(isTrusted, isWide)), () => {
          f.returnCall(parts.virtual.enter, cpu, rip, selector, flags);
        });
        faults.attempt(prepare, cpu, selector, size);
      },
    );
    faults.attempt(target.offset, cpu, rip, c32(0));
    f.call(stage.commit, cpu);
    const isMonitor = i32.and(i32.eqz(oldCpl), i32.ne(size, c32(2)));
    const more = select(isMonitor, c32(VIF | VIP), c32(0));
    f.call(restoreFlags, cpu, flags, size, oldCpl, more);
    f.if(i32.gt_u(i32.load(cpu, S.cpl), oldCpl), () => f.call(segments.scrub, cpu));
    f.return(c32(0));
  });
}

/** (cpu, selector, operand size) -> fault: stages CS, and SS where IRET pops it. */
function definePrepareIret(m: ModuleBuilder, parts: ReturnParts, outer: Fn<'i32'>): Fn<'i32'> {
  return m.function('prepareIret', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, size] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const cpl = f.let(i32.load(cpu, S.cpl));
    const wide = f.let(i32.eq(i32.load(cpu, S.codeMode), c32(8)));
    faults.attempt(parts.target.outward, cpu, selector);
    // 64-bit code always pops the stack too (vol. 3A, 6.14.3).
    f.if(i32.or(wide, i32.gt_u(i32.load(cpu, STAGE.cpl), cpl)), () => {
      faults.attempt(outer, cpu, size);
    });
    f.return(c32(0));
  });
}
