// Task switches: SDM vol. 3A, chapter 7. By JMP and CALL of a TSS or task gate, by IRET with NT
// set, and by exceptions and interrupts through a task gate; 16- and 32-bit TSSs.
//
// A switch has a point of no return (7.3). What is checked before it faults in the old task, as
// helper functions do. What is found wrong behind it, in the segments that the new task wants, is
// a fault of the new task's first instruction, with the new task's state: the function then
// answers 0, S.rip and S.eventRip are the new task's, and S.faultVector holds the exception, which
// whoever asked for the switch raises there. The T bit's debug trap comes the same way.
//
// The pages of both TSSs and of the descriptors are written to, so that they are translated for
// writing before anything changes: a page fault leaves the old task as it was (7.3 asks for no more
// than that the TSSs be present).
//
// Not in the manual: the upper halves of general registers loaded from a 16-bit TSS. Here they are
// ones, as other implementations have it.

import { NT, VM } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { CR0_PG, CR0_TS, control, DR6_BS, DR6_BT, DR7_LOCAL, hasBits } from './control-bits.ts';
import type { ControlRegisters } from './control-registers.ts';
import {
  descriptorAr,
  descriptorBase,
  descriptorLimit,
  dplOf,
  gateSelector,
  isCode,
  isConforming,
  isNull,
  isPresent,
  rplOf,
  SYSTEM_TYPE,
  selectorCode,
} from './descriptor.ts';
import { Faults, faulted, NO_FAULT } from './faults.ts';
import { isFaulted } from './mmu.ts';
import type { Modes } from './modes.ts';
import { ACCESS } from './page-walk.ts';
import type { MemoryRuntime } from './runtime.ts';
import { inLdt, type Segments } from './segments.ts';
import type { Stage } from './stage.ts';
import type { StageStack } from './stage-stack.ts';
import {
  AR_S,
  AR_UNUSABLE,
  CS,
  DS,
  ES,
  FS,
  GS,
  gprSlot,
  LDTR,
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

/** What task switches are built on. */
export interface TaskParts {
  readonly memory: MemoryRuntime;
  /** (cpu, TLB or 0, linear, access) -> an address, or isFaulted (mmu.ts). */
  readonly translate: Fn<'i32'>;
  readonly modes: Modes;
  readonly segments: Segments;
  readonly control: ControlRegisters;
  readonly stage: Stage;
  readonly stack: StageStack;
}

/** Ways to another task; see the head of this file for what 0 means. */
export interface TaskSwitch {
  /**
   * (cpu, selector, descriptor, {@link TASK}) -> fault: JMP or CALL of a TSS, or through a task
   * gate; the old task goes on at S.eventRip.
   */
  readonly transfer: Fn<'i32'>;
  /** (cpu) -> fault: IRET with NT set; the old task goes on at S.eventRip. */
  readonly back: Fn<'i32'>;
  /**
   * (cpu, task gate, EXT, flags to save, has code, code) -> fault: an event whose gate has been
   * checked; the old task goes on at S.eventRip.
   */
  readonly event: Fn<'i32'>;
}

/** How a task is left. */
export const TASK = { jump: 0, call: 1, iret: 2 } as const;

/** Where things are in a TSS: figures 7-2 and 7-10. `segments` are ES CS SS DS, and FS GS. */
interface Layout {
  readonly bytes: 2 | 4;
  readonly limitMin: number;
  readonly ip: number;
  readonly flags: number;
  readonly registers: number;
  readonly segments: readonly number[];
  readonly ldt: number;
}
const TSS32: Layout = {
  bytes: 4,
  limitMin: 0x67,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: [0x48, 0x4c, 0x50, 0x54, 0x58, 0x5c],
  ldt: 0x60,
};
const TSS16: Layout = {
  bytes: 2,
  limitMin: 0x2b,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: [0x22, 0x24, 0x26, 0x28],
  ldt: 0x2a,
};
const TSS_CR3 = 0x1c;
const TSS_TRAP = 0x64;

/** The state that is read from the new TSS before anything is loaded: offsets in S.task. */
const NEW = { registers: 0, segments: 32, ldt: 56, ip: 60, flags: 64, cr3: 68, trap: 72 } as const;
const field = (offset: number): number => S.task + offset;

/** Bit 3 of a TSS's type tells 32-bit ones, bit 1 busy ones. */
const isWide = (ar: I32): I32 => i32.and(i32.shr_u(ar, c32(3)), c32(1));
const BUSY = 2;

/** Defines {@link TaskSwitch}. */
export function defineTaskSwitch(m: ModuleBuilder, parts: TaskParts): TaskSwitch {
  const check = defineCheck(m, parts);
  const change = defineChange(m, parts);
  return {
    transfer: defineTransfer(m, parts, check, change),
    back: m.function('taskReturn', ['i32'], 'i32', (f) => {
      const cpu = f.param(0, 'i32');
      const faults = new Faults(f, cpu);
      const link = call(parts.memory.loadSystem[2], cpu, i64.load(cpu, segmentBase(TR)));
      const selector = f.let(i32.wrap(link));
      faults.check();
      faults.attempt(check, cpu, selector, c32(BUSY), c32(VECTOR.TS), c32(0));
      f.returnCall(change, cpu, selector, c32(TASK.iret), flagsOf(f, cpu, parts));
      f.unreachable();
    }),
    event: defineEvent(m, parts, check, change),
  };
}

const flagsOf = (f: FunctionBuilder, cpu: I32, { modes }: TaskParts): I32 =>
  f.let(call(modes.packFlags, cpu));

function defineTransfer(
  m: ModuleBuilder,
  parts: TaskParts,
  check: Fn<'i32'>,
  change: Fn<'i32'>,
): Fn<'i32'> {
  return m.function('taskTransfer', ['i32', 'i32', 'i64', 'i32'], 'i32', (f) => {
    const [cpu, descriptor] = [f.param(0, 'i32'), f.param(2, 'i64')];
    const faults = new Faults(f, cpu);
    const selector = f.let(f.param(1, 'i32'));
    const ar = f.let(descriptorAr(descriptor));
    const dpl = dplOf(ar);
    const code = f.let(selectorCode(selector));
    const outer = i32.or(i32.gt_u(i32.load(cpu, S.cpl), dpl), i32.gt_u(rplOf(selector), dpl));
    faults.raiseIf(outer, VECTOR.GP, code);
    f.if(i32.eq(i32.and(ar, c32(0xf)), c32(SYSTEM_TYPE.taskGate)), () => {
      faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
      f.set(selector, gateSelector(descriptor));
    });
    faults.attempt(check, cpu, selector, c32(0), c32(VECTOR.GP), c32(0));
    f.returnCall(change, cpu, selector, f.param(3, 'i32'), flagsOf(f, cpu, parts));
    f.unreachable();
  });
}

/**
 * (cpu, selector, busy bit, vector, ext) -> fault: checks that the TSS can be switched to, and that
 * everything that the switch writes can be written.
 */
function defineCheck(m: ModuleBuilder, parts: TaskParts): Fn<'i32'> {
  const { segments } = parts;
  const probe = defineProbe(m, parts);
  return m.function('checkTask', ['i32', 'i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, busy] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const [vector, ext] = [f.param(3, 'i32'), f.param(4, 'i32')];
    const faults = new Faults(f, cpu);
    const code = f.let(selectorCode(selector, ext));
    faults.raiseIf(i32.or(inLdt(selector), isNull(selector)), vector, code);
    const descriptor = f.let(call(segments.fetch, cpu, selector, vector, ext));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    // Types 1 and 9, or 3 and 11 for a task that is to be gone back to.
    const wanted = i32.or(c32(SYSTEM_TYPE.tss16), busy);
    faults.raiseIf(i32.ne(i32.and(ar, c32(AR_S | 0x7)), wanted), vector, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    const min = f.let(select(isWide(ar), c32(TSS32.limitMin), c32(TSS16.limitMin)));
    const small = i32.lt_u(descriptorLimit(descriptor), min);
    faults.raiseIf(small, VECTOR.TS, code);
    faults.attempt(probe, cpu, descriptorBase(descriptor), min);
    const current = isWide(i32.load(cpu, segmentCache(TR) + SEGMENT_AR));
    const currentMin = select(current, c32(TSS32.limitMin), c32(TSS16.limitMin));
    faults.attempt(probe, cpu, i64.load(cpu, segmentBase(TR)), currentMin);
    faults.attempt(probe, cpu, call(segments.address, cpu, selector), c32(7));
    const old = i32.load16_u(cpu, segmentCache(TR));
    faults.attempt(probe, cpu, call(segments.address, cpu, old), c32(7));
    f.return(c32(0));
  });
}

/** (cpu, linear, bytes less one) -> fault unless the supervisor can write there. */
function defineProbe(m: ModuleBuilder, { translate }: TaskParts): Fn<'i32'> {
  return m.function('probeTask', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const [cpu, first] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const last = i64.add(first, i64.extend_u(f.param(2, 'i32')));
    for (const at of [first, last]) {
      const access = c32(ACCESS.implicit | ACCESS.write);
      f.if(isFaulted(call(translate, cpu, c32(0), at, access)), () => f.return(c32(1)));
    }
    f.return(c32(0));
  });
}

function defineEvent(
  m: ModuleBuilder,
  parts: TaskParts,
  check: Fn<'i32'>,
  change: Fn<'i32'>,
): Fn<'i32'> {
  const { stage, stack } = parts;
  const pushCode = m.function('pushTaskCode', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, code] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const wide = isWide(i32.load(cpu, segmentCache(TR) + SEGMENT_AR));
    f.call(stage.begin, cpu);
    const size = i32.shl(c32(2), wide);
    new Faults(f, cpu).attempt(stack.push, cpu, size, i64.extend_u(code), c32(0));
    f.call(stage.commitStack, cpu);
    f.return(c32(0));
  });
  return m.function('taskEvent', ['i32', 'i64', 'i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, gate, ext] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const selector = f.let(gateSelector(gate));
    faults.attempt(check, cpu, selector, c32(0), c32(VECTOR.GP), ext);
    faults.attempt(change, cpu, selector, c32(TASK.call), f.param(3, 'i32'));
    const isTrap = f.let(i32.eq(i32.load(cpu, S.faultVector), c32(VECTOR.DB)));
    const sound = i32.or(i32.eqz(faulted(cpu)), isTrap);
    f.if(i32.and(sound, f.param(4, 'i32')), () => {
      f.store32(cpu, c32(NO_FAULT), S.faultVector);
      f.drop(call(pushCode, cpu, f.param(5, 'i32')));
      f.if(i32.and(isTrap, i32.eqz(faulted(cpu))), () => raise(f, cpu, VECTOR.DB, false));
    });
    f.return(c32(0));
  });
}

/** (cpu, selector, {@link TASK}, flags to save) -> 0: the switch, which nothing stops any more. */
function defineChange(m: ModuleBuilder, parts: TaskParts): Fn<'i32'> {
  const { segments, memory } = parts;
  const save = defineSave(m, parts);
  const read = defineRead(m, parts);
  const load = defineLoad(m, parts);
  const setBusy = m.function('setBusy', ['i32', 'i32', 'i32'], 'void', (f) => {
    const [cpu, busy] = [f.param(0, 'i32'), f.param(2, 'i32')];
    const at = f.let(i64.add(call(segments.address, cpu, f.param(1, 'i32')), c64(5)));
    const type = i64.and(call(memory.loadSystem[1], cpu, at), c64(~BUSY));
    f.drop(call(memory.storeSystem[1], cpu, at, i64.or(type, i64.extend_u(busy))));
  });
  return m.function('changeTask', ['i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, how] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const flags = f.let(f.param(3, 'i32'));
    const old = f.let(i32.load16_u(cpu, segmentCache(TR)));
    const nests = f.let(i32.eq(how, c32(TASK.call)));
    f.if(i32.eqz(nests), () => f.call(setBusy, cpu, old, c32(0)));
    f.if(i32.eq(how, c32(TASK.iret)), () => f.set(flags, i32.and(flags, c32(~NT))));
    f.call(save, cpu, flags);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
    const base = f.let(descriptorBase(descriptor));
    f.call(read, cpu, base, isWide(descriptorAr(descriptor)));
    f.if(nests, () => {
      f.drop(call(memory.storeSystem[2], cpu, base, i64.extend_u(old)));
      f.store32(cpu, i32.or(i32.load(cpu, field(NEW.flags)), c32(NT)), field(NEW.flags));
    });
    f.call(setBusy, cpu, selector, c32(BUSY));
    f.store32(cpu, selector, segmentCache(TR));
    f.store32(cpu, descriptorLimit(descriptor), segmentCache(TR) + SEGMENT_LIMIT);
    f.store32(cpu, i32.or(descriptorAr(descriptor), c32(BUSY)), segmentCache(TR) + SEGMENT_AR);
    f.store64(cpu, base, segmentBase(TR));
    f.call(load, cpu);
    f.store64(cpu, i64.load(cpu, S.rip), S.eventRip);
    f.return(c32(0));
  });
}

/** (cpu, flags): writes the state of the old task into its TSS. */
function defineSave(m: ModuleBuilder, { memory }: TaskParts): Fn<'void'> {
  return m.function('saveTask', ['i32', 'i32'], 'void', (f) => {
    const [cpu, flags] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const base = f.let(i64.load(cpu, segmentBase(TR)));
    const write = (layout: Layout) => (): void => {
      const store = (size: 2 | 4, offset: number, value: I64): void =>
        f.drop(call(memory.storeSystem[size], cpu, i64.add(base, c64(offset)), value));
      store(layout.bytes, layout.ip, i64.load(cpu, S.eventRip));
      store(layout.bytes, layout.flags, i64.extend_u(flags));
      for (let n = 0; n < 8; n++) {
        store(layout.bytes, layout.registers + n * layout.bytes, i64.load(cpu, gprSlot(n)));
      }
      for (const [n, offset] of layout.segments.entries()) {
        store(2, offset, i64.load16_u(cpu, segmentCache(n)));
      }
    };
    f.if(isWide(i32.load(cpu, segmentCache(TR) + SEGMENT_AR)), write(TSS32), write(TSS16));
  });
}

/** (cpu, base, 32-bit): reads the state of the new task into S.task. */
function defineRead(m: ModuleBuilder, { memory }: TaskParts): Fn<'void'> {
  return m.function('readTask', ['i32', 'i64', 'i32'], 'void', (f) => {
    const [cpu, base] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const read = (layout: Layout) => (): void => {
      const get = (size: 2 | 4, offset: number, to: number, upper = 0): void => {
        const value = i32.wrap(call(memory.loadSystem[size], cpu, i64.add(base, c64(offset))));
        f.store32(cpu, i32.or(value, c32(upper)), field(to));
      };
      const { bytes } = layout;
      get(bytes, layout.ip, NEW.ip);
      get(bytes, layout.flags, NEW.flags);
      for (let n = 0; n < 8; n++) {
        const upper = bytes === 2 ? 0xffff0000 : 0;
        get(bytes, layout.registers + n * bytes, NEW.registers + 4 * n, upper);
      }
      for (let n = 0; n < 6; n++) {
        const offset = layout.segments[n];
        if (offset === undefined) f.store32(cpu, c32(0), field(NEW.segments + 4 * n));
        else get(2, offset, NEW.segments + 4 * n);
      }
      get(2, layout.ldt, NEW.ldt);
      if (bytes === 4) get(4, TSS_CR3, NEW.cr3);
      else f.store32(cpu, i32.wrap(i64.load(cpu, S.cr3)), field(NEW.cr3));
      if (bytes === 4) get(2, TSS_TRAP, NEW.trap);
      else f.store32(cpu, c32(0), field(NEW.trap));
    };
    f.if(f.param(2, 'i32'), read(TSS32), read(TSS16));
  });
}

/** (cpu): makes S.task the processor's state; what is wrong with it is left in S.faultVector. */
function defineLoad(m: ModuleBuilder, parts: TaskParts): Fn<'void'> {
  const { control: controls, modes, segments } = parts;
  const loadSegments = defineLoadSegments(m, parts);
  return m.function('loadTask', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    for (let n = 0; n < 8; n++) {
      f.store64(cpu, i64.load32_u(cpu, field(NEW.registers + 4 * n)), gprSlot(n));
    }
    f.store64(cpu, i64.load32_u(cpu, field(NEW.ip)), S.rip);
    // Whatever faults from here on finds the selectors loaded and the segments unusable.
    for (const n of [ES, CS, SS, DS, FS, GS]) {
      f.call(segments.loadNull, cpu, c32(n), i32.load(cpu, field(NEW.segments + 4 * n)));
    }
    f.store32(cpu, i32.load(cpu, field(NEW.ldt)), segmentCache(LDTR));
    f.store32(cpu, c32(AR_UNUSABLE), segmentCache(LDTR) + SEGMENT_AR);
    const flags = f.let(i32.load(cpu, field(NEW.flags)));
    const cpl = rplOf(i32.load(cpu, field(NEW.segments + 4 * CS)));
    f.store32(cpu, select(hasBits(flags, VM), c32(3), cpl), S.cpl);
    f.call(modes.setFlags, cpu, flags);
    f.store32(cpu, c32(SHADOW.none), S.shadow);
    const traps = i32.and(i32.load(cpu, S.debugTraps), c32(~DR6_BS));
    f.store32(cpu, traps, S.debugTraps);
    // Local breakpoints are those of the task that is left (vol. 3B, 18.2.4).
    const dr7 = S.dr + 8 * 7;
    f.store32(cpu, i32.and(i32.load(cpu, dr7), c32(~DR7_LOCAL)), dr7);
    f.store32(cpu, i32.or(control(cpu, S.cr0), c32(CR0_TS)), S.cr0);
    f.call(modes.updateModes, cpu);
    const paged = hasBits(control(cpu, S.cr0), CR0_PG);
    const moved = i32.ne(i32.load(cpu, field(NEW.cr3)), i32.wrap(i64.load(cpu, S.cr3)));
    f.if(i32.and(paged, moved), () => {
      const cr3 = i64.load32_u(cpu, field(NEW.cr3));
      f.if(call(controls.write, cpu, c32(3), cr3), () => f.return());
    });
    f.if(call(loadSegments, cpu), () => f.return());
    const limit = i32.load(cpu, segmentCache(CS) + SEGMENT_LIMIT);
    const outside = i32.gt_u(i32.wrap(i64.load(cpu, S.rip)), limit);
    f.if(i32.and(i32.load(cpu, field(NEW.trap)), c32(1)), () => {
      const dr6 = S.dr + 8 * 6;
      f.store32(cpu, i32.or(i32.load(cpu, dr6), c32(DR6_BT)), dr6);
      raise(f, cpu, VECTOR.DB, false);
      f.return();
    });
    f.if(outside, () => raise(f, cpu, VECTOR.GP, true));
  });
}

function raise(f: FunctionBuilder, cpu: I32, vector: number, hasCode: boolean): void {
  f.store32(cpu, c32(vector), S.faultVector);
  f.store32(cpu, c32(hasCode ? 1 : 0), S.faultHasCode);
  f.store32(cpu, c32(0), S.faultCode);
}

/** (cpu) -> fault: LDTR and the segment registers of the new task, in its own privilege. */
function defineLoadSegments(m: ModuleBuilder, parts: TaskParts): Fn<'i32'> {
  const { modes, segments } = parts;
  const loadLdt = defineLoadLdt(m, parts);
  const loadCode = defineLoadCode(m, parts);
  const loadData = m.function('taskData', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, segment, selector] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    f.if(isNull(selector), () => {
      faults.raiseIf(i32.eq(segment, c32(SS)), VECTOR.TS, selectorCode(selector));
      f.return(c32(0));
    });
    const checked = call(segments.dataDescriptor, cpu, segment, selector, c32(VECTOR.TS));
    const descriptor = f.let(checked);
    faults.check();
    faults.attempt(segments.markAccessed, cpu, selector, descriptor);
    f.call(segments.set, cpu, segment, selector, descriptor);
    f.return(c32(0));
  });
  return m.function('taskSegments', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const faults = new Faults(f, cpu);
    const selectorOf = (n: number): I32 => i32.load(cpu, field(NEW.segments + 4 * n));
    faults.attempt(loadLdt, cpu, i32.load(cpu, field(NEW.ldt)));
    f.if(hasBits(i32.load(cpu, S.eflags), VM), () => {
      for (const n of [ES, CS, SS, DS, FS, GS]) {
        f.call(segments.loadVirtual, cpu, c32(n), selectorOf(n));
      }
      f.call(modes.updateSegments, cpu);
      f.return(c32(0));
    });
    faults.attempt(loadCode, cpu, selectorOf(CS));
    for (const n of [SS, ES, DS, FS, GS]) faults.attempt(loadData, cpu, c32(n), selectorOf(n));
    f.call(modes.updateSegments, cpu);
    f.return(c32(0));
  });
}

/** (cpu, selector) -> fault: LDTR, with #TS for whatever is wrong with it. */
function defineLoadLdt(m: ModuleBuilder, { segments }: TaskParts): Fn<'i32'> {
  return m.function('taskLdt', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    f.if(isNull(selector), () => f.return(c32(0)));
    const code = f.let(selectorCode(selector));
    faults.raiseIf(inLdt(selector), VECTOR.TS, code);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.TS), c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const wrong = i32.ne(i32.and(ar, c32(AR_S | 0xf)), c32(SYSTEM_TYPE.ldt));
    faults.raiseIf(i32.or(wrong, i32.eqz(isPresent(ar))), VECTOR.TS, code);
    f.store32(cpu, descriptorLimit(descriptor), segmentCache(LDTR) + SEGMENT_LIMIT);
    f.store32(cpu, ar, segmentCache(LDTR) + SEGMENT_AR);
    f.store64(cpu, descriptorBase(descriptor), segmentBase(LDTR));
    f.return(c32(0));
  });
}

/** (cpu, selector) -> fault: CS; the privilege is the selector's RPL. */
function defineLoadCode(m: ModuleBuilder, { segments }: TaskParts): Fn<'i32'> {
  return m.function('taskCode', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const code = f.let(selectorCode(selector));
    faults.raiseIf(isNull(selector), VECTOR.TS, code);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.TS), c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const [dpl, rpl] = [f.let(dplOf(ar)), f.let(rplOf(selector))];
    const wrongRing = select(isConforming(ar), i32.gt_u(dpl, rpl), i32.ne(dpl, rpl));
    faults.raiseIf(i32.or(i32.eqz(isCode(ar)), wrongRing), VECTOR.TS, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    faults.attempt(segments.markAccessed, cpu, selector, descriptor);
    f.call(segments.set, cpu, c32(CS), selector, descriptor);
    f.return(c32(0));
  });
}
