// Virtual-8086 mode: SDM vol. 3B, chapter 20 (21 in newer editions), vol. 2 "INT n", "IRET". Entry
// by IRET, the way out through an interrupt or trap gate, IRET inside, and the virtual-mode
// extensions (CR4.VME): INT n redirected to the 8086 program's own vectors, and RFLAGS.VIF in the
// place of IF. Entry by a task switch is in task-switch.ts; instructions that depend on IOPL are
// where their semantics are.
//
// Not in the manual: what becomes of INT n when the redirection bitmap lies beyond the TSS's limit.
// Here it is as if the bit were set.

import {
  AC,
  AF,
  CF,
  DF,
  ID,
  IF,
  IOPL,
  NT,
  OF,
  PF,
  RF,
  SF,
  TF,
  VIF,
  VIP,
  ZF,
} from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { CodeTarget } from './code-target.ts';
import { CR4_VME, control, DR6_BS, hasBits, ioplOf } from './control-bits.ts';
import { SYSTEM_TYPE } from './descriptor.ts';
import { Faults } from './faults.ts';
import { IO_MAP_BASE } from './io.ts';
import type { Modes } from './modes.ts';
import type { MemoryRuntime } from './runtime.ts';
import type { Segments } from './segments.ts';
import { STAGE, type Stage } from './stage.ts';
import type { StageStack } from './stage-stack.ts';
import {
  AR_S,
  CS,
  DS,
  ES,
  FS,
  GS,
  gprSlot,
  RSP,
  S,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  SHADOW,
  SS,
  segmentBase,
  segmentCache,
  TR,
  VECTOR,
} from './state.ts';

/** What virtual-8086 mode is built on. */
export interface VirtualParts {
  readonly memory: MemoryRuntime;
  readonly modes: Modes;
  readonly segments: Segments;
  readonly stage: Stage;
  readonly stack: StageStack;
  readonly target: CodeTarget;
}

/** Entry to, exit from and interrupts inside virtual-8086 mode. */
export interface Virtual8086 {
  /**
   * (cpu, EIP, CS, EFLAGS) -> fault: IRET with VM set in the flags that it has popped; pops the
   * other six and enters the mode.
   */
  readonly enter: Fn<'i32'>;
  /** (cpu, operand size) -> fault: IRET in virtual-8086 mode. */
  readonly iret: Fn<'i32'>;
  /** (cpu, size, #SS code) -> fault: pushes GS, FS, DS and ES for a handler in ring 0. */
  readonly pushSegments: Fn<'i32'>;
  /** (cpu): makes these segments null, once the handler's state is in effect. */
  readonly dropSegments: Fn<'void'>;
  /**
   * (cpu, vector) -> 1 when the program's own vectors serve an INT n that returns to S.eventRip,
   * and it is done; 0 for a gate of the IDT. S.faultVector tells of a fault.
   */
  readonly redirect: Fn<'i32'>;
}

/** Defines {@link Virtual8086}. */
export function defineVirtual8086(m: ModuleBuilder, parts: VirtualParts): Virtual8086 {
  return {
    enter: defineEnter(m, parts),
    iret: defineIret(m, parts),
    pushSegments: definePushSegments(m, parts),
    dropSegments: m.function('dropSegments', ['i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      for (const n of [ES, DS, FS, GS]) f.call(parts.segments.loadNull, cpu, c32(n), c32(0));
    }),
    redirect: defineRedirect(m, parts),
  };
}

/** A value popped from the staged stack; leaves the function if that faults. */
function pop(f: FunctionBuilder, cpu: I32, stack: StageStack, size: I32): I64 {
  const value = f.let(call(stack.pop, cpu, size));
  new Faults(f, cpu).check();
  return value;
}

const selector = (f: FunctionBuilder, value: I64): I32 =>
  f.let(i32.and(i32.wrap(value), c32(0xffff)));

function defineEnter(m: ModuleBuilder, parts: VirtualParts): Fn<'i32'> {
  const { modes, segments, stack } = parts;
  return m.function('enterVirtual', ['i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, rip, cs] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const next = (): I64 => pop(f, cpu, stack, c32(4));
    const esp = next();
    // In the order of the frame.
    const popped = [SS, ES, DS, FS, GS].map((n) => [n, selector(f, next())] as const);
    new Faults(f, cpu).raiseIf(i64.gt_u(rip, c64(0xffff)), VECTOR.GP, 0);
    f.store64(cpu, esp, gprSlot(RSP));
    f.store64(cpu, rip, S.rip);
    f.store32(cpu, c32(3), S.cpl);
    f.call(modes.setFlags, cpu, f.param(3, 'i32'));
    for (const [n, value] of [[CS, cs] as const, ...popped]) {
      f.call(segments.loadVirtual, cpu, c32(n), value);
    }
    f.call(modes.updateSegments, cpu);
    f.return(c32(0));
  });
}

/** Flags that IRET of 16 bits loads in virtual-8086 mode, IF apart. */
const IRET_FLAGS = CF | PF | AF | ZF | SF | OF | TF | DF | NT;
/** The others of an IRET of 32 bits; those of the monitor stay. */
const IRET_FLAGS_WIDE = RF | AC | ID;

function defineIret(m: ModuleBuilder, parts: VirtualParts): Fn<'i32'> {
  const { modes, stage, stack, target } = parts;
  return m.function('iretVirtual', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const isTrusted = f.let(i32.eq(ioplOf(cpu), c32(3)));
    f.if(i32.eqz(isTrusted), () => {
      const isExtended = hasBits(control(cpu, S.cr4), CR4_VME);
      const isServed = i32.and(isExtended, i32.eq(size, c32(2)));
      faults.raiseIf(i32.eqz(isServed), VECTOR.GP, 0);
    });
    f.call(stage.begin, cpu);
    const rip = pop(f, cpu, stack, size);
    const cs = selector(f, pop(f, cpu, stack, size));
    const flags = f.let(i32.wrap(pop(f, cpu, stack, size)));
    f.if(i32.eqz(isTrusted), () => faults.raiseIf(refusesFlags(cpu, flags), VECTOR.GP, 0));
    f.call(target.real, cpu, cs);
    faults.attempt(target.offset, cpu, rip, c32(0));
    f.call(stage.commit, cpu);
    const mask = f.let(c32(IRET_FLAGS));
    f.if(
      isTrusted,
      () => f.set(mask, c32(IRET_FLAGS | IF)),
      () => {
        f.set(mask, c32(IRET_FLAGS | VIF));
        f.set(flags, ifAsVif(flags));
      },
    );
    f.if(i32.eq(size, c32(4)), () => f.set(mask, i32.or(mask, c32(IRET_FLAGS_WIDE))));
    const kept = i32.and(call(modes.packFlags, cpu), i32.xor(mask, c32(-1)));
    f.call(modes.setFlags, cpu, i32.or(kept, i32.and(flags, mask)));
    f.return(c32(0));
  });
}

/** Flags with IF in the place of VIF too. IF is bit 9, VIF bit 19. */
export const ifAsVif = (flags: I32): I32 =>
  i32.or(i32.and(flags, c32(~VIF)), i32.shl(i32.and(flags, c32(IF)), c32(10)));

/** 1 when the extensions refuse to load `flags`: TF, or IF while an interrupt is pending. */
export const refusesFlags = (cpu: I32, flags: I32): I32 =>
  i32.or(hasBits(flags, TF), i32.and(hasBits(flags, IF), hasBits(i32.load(cpu, S.eflags), VIP)));

/** Flags as a program below IOPL 3 sees them under the extensions: VIF as IF, IOPL as 3. */
export const virtualized = (flags: I32): I32 =>
  i32.or(i32.and(flags, c32(~IF)), i32.or(i32.and(i32.shr_u(flags, c32(10)), c32(IF)), c32(IOPL)));

function definePushSegments(m: ModuleBuilder, { stack }: VirtualParts): Fn<'i32'> {
  return m.function('pushSegments', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, size, code] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    for (const n of [GS, FS, DS, ES]) {
      faults.attempt(stack.push, cpu, size, i64.load16_u(cpu, segmentCache(n)), code);
    }
    f.return(c32(0));
  });
}

/** Bytes of the redirection bitmap, which ends where the I/O permission bitmap begins. */
const REDIRECTION_BYTES = 32;

/** (cpu, vector) -> 1 when its bit in the redirection bitmap is clear; S.faultVector tells. */
function defineIsRedirected(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('isRedirected', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, vector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu, c32(0));
    const limit = f.let(i32.load(cpu, segmentCache(TR) + SEGMENT_LIMIT));
    const type = i32.and(i32.load(cpu, segmentCache(TR) + SEGMENT_AR), c32(AR_S | 0xd));
    const narrow = i32.ne(type, c32(SYSTEM_TYPE.tss));
    f.if(i32.or(narrow, i32.lt_u(limit, c32(IO_MAP_BASE + 1))), () => f.return(c32(0)));
    const base = f.let(i64.load(cpu, segmentBase(TR)));
    const map = f.let(i32.wrap(call(memory.loadSystem[2], cpu, i64.add(base, c64(IO_MAP_BASE)))));
    faults.check();
    const at = f.let(i32.sub(i32.add(map, i32.shr_u(vector, c32(3))), c32(REDIRECTION_BYTES)));
    f.if(i32.gt_u(at, limit), () => f.return(c32(0)));
    const byte = f.let(i32.wrap(call(memory.loadSystem[1], cpu, i64.add(base, i64.extend_u(at)))));
    faults.check();
    f.return(i32.eqz(i32.and(i32.shr_u(byte, i32.and(vector, c32(7))), c32(1))));
  });
}

function defineRedirect(m: ModuleBuilder, parts: VirtualParts): Fn<'i32'> {
  const isRedirected = defineIsRedirected(m, parts.memory);
  const deliver = defineDeliver(m, parts);
  return m.function('redirect', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, vector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    f.if(hasBits(control(cpu, S.cr4), CR4_VME), () => {
      const redirected = f.let(call(isRedirected, cpu, vector));
      new Faults(f, cpu).check();
      f.if(redirected, () => {
        new Faults(f, cpu).attempt(deliver, cpu, vector);
        f.return(c32(1));
      });
    });
    const isTrusted = i32.eq(ioplOf(cpu), c32(3));
    new Faults(f, cpu).raiseIf(i32.eqz(isTrusted), VECTOR.GP, 0);
    f.return(c32(0));
  });
}

/** (cpu, vector) -> fault: through the vector table at linear address 0, staying in the mode. */
function defineDeliver(m: ModuleBuilder, parts: VirtualParts): Fn<'i32'> {
  const { memory, modes, stage, stack, target } = parts;
  return m.function('deliverVirtual', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, vector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    f.call(stage.begin, cpu);
    const isTrusted = f.let(i32.eq(ioplOf(cpu), c32(3)));
    const entryAt = i64.extend_u(i32.shl(vector, c32(2)));
    const entry = f.let(i32.wrap(call(memory.loadSystem[4], cpu, entryAt)));
    faults.check();
    const flags = f.let(call(modes.packFlags, cpu));
    const pushed = f.let(flags);
    f.if(i32.eqz(isTrusted), () => f.set(pushed, virtualized(flags)));
    const push = (value: I64): void => faults.attempt(stack.push, cpu, c32(2), value, c32(0));
    push(i64.extend_u(pushed));
    push(i64.load16_u(cpu, segmentCache(CS)));
    push(i64.load(cpu, S.eventRip));
    f.call(target.real, cpu, i32.shr_u(entry, c32(16)));
    f.store64(cpu, i64.extend_u(i32.and(entry, c32(0xffff))), STAGE.rip);
    f.call(stage.commit, cpu);
    f.set(flags, i32.and(flags, c32(~(TF | RF))));
    f.if(
      isTrusted,
      () => f.set(flags, i32.and(flags, c32(~IF))),
      () => f.set(flags, i32.and(flags, c32(~VIF))),
    );
    f.call(modes.setSystemFlags, cpu, flags);
    f.store32(cpu, c32(SHADOW.none), S.shadow);
    f.store32(cpu, i32.and(i32.load(cpu, S.debugTraps), c32(~DR6_BS)), S.debugTraps);
    f.return(c32(0));
  });
}
