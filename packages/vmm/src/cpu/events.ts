// Exceptions and interrupts: SDM vol. 3A, chapter 6 (6.12 and 6.13 protected mode, 6.14 IA-32e
// mode), vol. 2 "INT n", and for real-address mode vol. 3B, 21.1.4.
//
// Modelled: the three tables, interrupt and trap gates of 16, 32 and 64 bits, stack switches to
// inner rings and to the interrupt stack table, error codes with EXT and IDT bits, double and
// triple faults, the way out of virtual-8086 mode (more of which is in virtual-8086.ts). What is
// behind a task gate is in task-switch.ts. The stack below the pointer may have been written to
// when a delivery faults in the middle.

import { AC, IF, NT, RF, TF, VM } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { CodeTarget } from './code-target.ts';
import { DEBUGCTL_BTF, DR6_BS, DR7_GD, isLong, isReal, isVirtual } from './control-bits.ts';
import {
  descriptorAr,
  dplOf,
  gateOffset,
  gateSelector,
  isPresent,
  SYSTEM_TYPE,
  selectorCode,
} from './descriptor.ts';
import { Faults, faulted, NO_FAULT } from './faults.ts';
import type { Modes } from './modes.ts';
import { FAULT_NON_CANONICAL } from './page-walk.ts';
import type { MemoryRuntime } from './runtime.ts';
import { IST_SLOT, type StackSwitch } from './stack-switch.ts';
import { STAGE, STAGED, type Stage } from './stage.ts';
import type { StageStack } from './stage-stack.ts';
import {
  CS,
  EVENT,
  EXIT,
  FAULT_EXIT,
  gprSlot,
  RSP,
  S,
  SHADOW,
  SS,
  segmentCache,
  VECTOR,
} from './state.ts';
import type { TaskSwitch } from './task-switch.ts';
import type { Virtual8086 } from './virtual-8086.ts';

/** What event delivery is built on. */
export interface EventParts {
  readonly memory: MemoryRuntime;
  readonly modes: Modes;
  readonly stage: Stage;
  readonly stack: StageStack;
  readonly stackSwitch: StackSwitch;
  readonly target: CodeTarget;
  readonly task: TaskSwitch;
  readonly virtual: Virtual8086;
}

/** What delivering an event came to. */
export const DELIVERY = {
  /** The handler is about to run. */
  done: 0,
  /** A triple fault, as S.exit says. */
  shutdown: 1,
  /** The monitor must see to an access on the way, see S.exit; nothing has happened yet. */
  waits: 2,
} as const;

/** Event delivery. */
export interface Events {
  /** (cpu, vector, kind, hasCode, code) -> {@link DELIVERY}. */
  readonly deliver: Fn<'i32'>;
  /**
   * (cpu, vector, kind) -> fault: INT3, INTO and INT1, at S.eventRip. A fault is that of the
   * instruction, for its own delivery. A switch to a faulty task is a success that leaves the new
   * task's fault in S.faultVector.
   */
  readonly interrupt: Fn<'i32'>;
  /** (cpu, vector) -> fault: INT n, which virtual-8086 mode treats in its own way; as above. */
  readonly interruptN: Fn<'i32'>;
}

const EVENT_PARAMS = ['i32', 'i32', 'i32', 'i32', 'i32'] as const;

/** The parameters of every delivery function: (cpu, vector, kind, hasCode, code). */
const eventParams = (f: FunctionBuilder) => ({
  cpu: f.param(0, 'i32'),
  vector: f.param(1, 'i32'),
  kind: f.param(2, 'i32'),
  hasCode: f.param(3, 'i32'),
  code: f.param(4, 'i32'),
});

/** A mask with a bit for each vector. */
function maskOf(...vectors: number[]): number {
  return vectors.reduce((mask, vector) => mask | (1 << vector), 0);
}

/** #MC, which nothing here raises, but a monitor may inject. */
const MACHINE_CHECK = 18;

/** EXT: 1 unless the event is INT n, INT3 or INTO (6.13). */
const extOf = (kind: I32): I32 => i32.ne(kind, c32(EVENT.software));

/** Defines {@link Events}. */
export function defineEvents(m: ModuleBuilder, parts: EventParts): Events {
  const once = defineOnce(m, parts);
  const interrupt = m.function('interrupt', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, vector, kind] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    new Faults(f, cpu).attempt(once, cpu, vector, kind, c32(0), c32(0));
    // TF is clear in the handler, and the instruction itself is not trapped (vol. 3B, 18.3.1.4).
    const traps = i32.and(i32.load(cpu, S.debugTraps), c32(~DR6_BS));
    f.store32(cpu, traps, S.debugTraps);
    f.return(c32(0));
  });
  return {
    deliver: defineDeliver(m, once, defineEscalate(m)),
    interrupt,
    interruptN: m.function('interruptN', ['i32', 'i32'], 'i32', (f) => {
      const [cpu, vector] = [f.param(0, 'i32'), f.param(1, 'i32')];
      f.if(isVirtual(cpu), () => {
        const isDone = f.let(call(parts.virtual.redirect, cpu, vector));
        new Faults(f, cpu).check();
        f.if(isDone, () => f.return(c32(0)));
      });
      f.returnCall(interrupt, cpu, vector, c32(EVENT.software));
      f.unreachable();
    }),
  };
}

/** One attempt at delivery, in the mode the processor is in. */
function defineOnce(m: ModuleBuilder, parts: EventParts): Fn<'i32'> {
  const real = defineReal(m, parts);
  const pushFrame = definePushFrame(m, parts);
  const enter = defineEnter(m, parts);
  const legacy = defineProtected(m, parts, pushFrame);
  const long = defineLong(m, parts, pushFrame);
  const readGate = defineReadGate(m, parts.memory, 8);
  const throughTask = defineThroughTask(m, parts);
  return m.function('deliverOnce', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector, kind, hasCode, code } = eventParams(f);
    const faults = new Faults(f, cpu);
    f.call(parts.stage.begin, cpu);
    const attempt = (path: Fn<'i32'>) => () =>
      faults.attempt(path, cpu, vector, kind, hasCode, code);
    f.if(isLong(cpu), attempt(long), () =>
      f.if(isReal(cpu), attempt(real), () => {
        faults.attempt(readGate, cpu, vector, kind);
        const type = i32.and(descriptorAr(i64.load(cpu, STAGE.gate)), c32(0xf));
        f.if(i32.eq(type, c32(SYSTEM_TYPE.taskGate)), () => {
          f.returnCall(throughTask, cpu, vector, kind, hasCode, code);
        });
        const virtual = f.let(isVirtual(cpu));
        attempt(legacy)();
        f.call(enter, cpu, vector);
        f.if(virtual, () => f.call(parts.virtual.dropSegments, cpu));
        f.return(c32(0));
      }),
    );
    f.call(enter, cpu, vector);
    f.return(c32(0));
  });
}

/** Delivery through the task gate in STAGE.gate. */
function defineThroughTask(m: ModuleBuilder, { modes, task }: EventParts): Fn<'i32'> {
  return m.function('deliverTask', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector, kind, hasCode, code } = eventParams(f);
    const flags = f.let(call(modes.packFlags, cpu));
    const type = packKind(f, vector, kind, hasCode);
    f.if(i32.and(type, c32(FRAME_RF)), () => f.set(flags, i32.or(flags, c32(RF))));
    const gate = i64.load(cpu, STAGE.gate);
    new Faults(f, cpu).attempt(task.event, cpu, gate, extOf(kind), flags, hasCode, code);
    forgetMmio(f, cpu);
    f.return(c32(0));
  });
}

/** The answers to MMIO were for the instruction that the event interrupted. */
function forgetMmio(f: FunctionBuilder, cpu: I32): void {
  f.store32(cpu, c32(0), S.mmioCount);
  f.store32(cpu, c32(0), S.mmioNext);
}

/** (cpu, vector): the new state takes effect; the gate is in STAGE.gate. */
function defineEnter(m: ModuleBuilder, { modes, stage }: EventParts): Fn<'void'> {
  return m.function('enterHandler', ['i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.call(stage.commit, cpu);
    const cleared = select(isReal(cpu), c32(~(TF | RF | AC)), c32(~(TF | NT | RF | VM)));
    const flags = f.let(i32.and(i32.load(cpu, S.eflags), cleared));
    // Bit 0 of the type tells trap gates, which leave IF alone, from interrupt gates.
    const trap = i64.and(i64.load(cpu, STAGE.gate), c64(1n << 40n));
    f.if(i64.eqz(trap), () => f.set(flags, i32.and(flags, c32(~IF))));
    f.call(modes.setSystemFlags, cpu, flags);
    f.store32(cpu, c32(SHADOW.none), S.shadow);
    forgetMmio(f, cpu);
    f.if(i32.eq(f.param(1, 'i32'), c32(VECTOR.DB)), () => {
      // General detection must not stop the debug handler itself (vol. 3B, 18.2.4).
      const dr7 = S.dr + 8 * 7;
      f.store32(cpu, i32.and(i32.load(cpu, dr7), c32(~DR7_GD)), dr7);
      // Nor are branches trapped any more, until the handler asks again (18.4.3).
      const kept = i32.and(i32.load(cpu, S.debugCtl), c32(~DEBUGCTL_BTF));
      f.store32(cpu, kept, S.debugCtl);
    });
  });
}

/** Delivery through the interrupt vector table: no error codes, no checks but of its limit. */
function defineReal(m: ModuleBuilder, parts: EventParts): Fn<'i32'> {
  const { memory, modes, stack, target } = parts;
  return m.function('deliverReal', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector } = eventParams(f);
    const faults = new Faults(f, cpu);
    const offset = f.let(i32.shl(vector, c32(2)));
    const limit = i32.load(cpu, S.idtrLimit);
    faults.raiseIf(i32.gt_u(i32.or(offset, c32(3)), limit), VECTOR.GP, 0);
    const entryAt = i64.add(i64.load(cpu, S.idtrBase), i64.extend_u(offset));
    const entry = f.let(i32.wrap(call(memory.loadSystem[4], cpu, entryAt)));
    faults.check();
    const push = (value: I32): void =>
      faults.attempt(stack.push, cpu, c32(2), i64.extend_u(value), c32(0));
    push(call(modes.packFlags, cpu));
    push(i32.load16_u(cpu, segmentCache(CS)));
    push(i32.wrap(i64.load(cpu, S.eventRip)));
    f.call(target.real, cpu, i32.shr_u(entry, c32(16)));
    faults.attempt(target.offset, cpu, i64.extend_u(i32.and(entry, c32(0xffff))), c32(0));
    // A vector clears IF as an interrupt gate does.
    f.store64(cpu, c64(0), STAGE.gate);
    f.return(c32(0));
  });
}

/** #GP, #NP with the error code that names an IDT entry. */
const idtCode = (vector: I32, ext: I32): I32 =>
  i32.or(i32.or(i32.shl(vector, c32(3)), c32(2)), ext);

/** (cpu, vector, kind) -> fault: reads a gate of 8 bytes into STAGE.gate, and checks it. */
function defineReadGate(m: ModuleBuilder, memory: MemoryRuntime, bytes: 8 | 16): Fn<'i32'> {
  const { interruptGate, interruptGate16, taskGate } = SYSTEM_TYPE;
  return m.function(`readGate${8 * bytes}`, ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, vector, kind] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const code = f.let(idtCode(vector, extOf(kind)));
    const offset = f.let(i32.mul(vector, c32(bytes)));
    const limit = i32.load(cpu, S.idtrLimit);
    faults.raiseIf(i32.gt_u(i32.add(offset, c32(bytes - 1)), limit), VECTOR.GP, code);
    const address = i64.add(i64.load(cpu, S.idtrBase), i64.extend_u(offset));
    const gate = f.let(call(memory.loadSystem[8], cpu, address));
    faults.check();
    const ar = f.let(descriptorAr(gate));
    // Interrupt and trap gates differ in bit 0 of their types; S must be clear.
    const kindOfGate = f.let(i32.and(ar, c32(0x1e)));
    const wide = i32.ne(kindOfGate, c32(interruptGate));
    const narrow = i32.eq(kindOfGate, c32(interruptGate16));
    const leadsToTask = i32.eq(i32.and(ar, c32(0x1f)), c32(taskGate));
    const wrong = bytes === 16 ? wide : i32.and(wide, i32.eqz(i32.or(narrow, leadsToTask)));
    faults.raiseIf(wrong, VECTOR.GP, code);
    const software = i32.eq(kind, c32(EVENT.software));
    const forbidden = i32.and(software, i32.lt_u(dplOf(ar), i32.load(cpu, S.cpl)));
    faults.raiseIf(forbidden, VECTOR.GP, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    f.store64(cpu, gate, STAGE.gate);
    f.return(c32(0));
  });
}

/** Delivery through a 64-bit gate, up to the point where nothing can fault any more. */
function defineLong(m: ModuleBuilder, parts: EventParts, pushFrame: Fn<'i32'>): Fn<'i32'> {
  const { memory, target } = parts;
  const readGate = defineReadGate(m, memory, 16);
  const stackFor = defineStackFor(m, parts);
  return m.function('deliverLong', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector, kind, hasCode, code } = eventParams(f);
    const faults = new Faults(f, cpu);
    const ext = f.let(extOf(kind));
    faults.attempt(readGate, cpu, vector, kind);
    const gate = f.let(i64.load(cpu, STAGE.gate));
    const highAt = i64.add(
      i64.load(cpu, S.idtrBase),
      i64.extend_u(i32.or(i32.shl(vector, c32(4)), c32(8))),
    );
    const high = f.let(call(memory.loadSystem[8], cpu, highAt));
    faults.check();
    faults.attempt(target.inward, cpu, gateSelector(gate), ext);
    const ist = i32.and(i32.wrap(i64.shr_u(gate, c64(32))), c32(7));
    faults.attempt(stackFor, cpu, ist, ext);
    const type = packKind(f, vector, kind, hasCode);
    faults.attempt(pushFrame, cpu, c32(8), type, code, ext, c32(1));
    const offset = i64.or(gateOffset(gate), i64.shl(high, c64(32)));
    faults.attempt(target.offset, cpu, offset, ext);
    f.return(c32(0));
  });
}

/** (cpu, IST, ext) -> fault: stages the stack of a 64-bit handler, aligned to 16 bytes. */
function defineStackFor(m: ModuleBuilder, { stage, stackSwitch }: EventParts): Fn<'i32'> {
  return m.function('stackForHandler', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, ist, ext] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const cpl = i32.load(cpu, STAGE.cpl);
    const inner = f.let(i32.lt_u(cpl, i32.load(cpu, S.cpl)));
    f.if(i32.or(inner, ist), () => {
      const slot = f.choose(
        'i32',
        ist,
        () => i32.add(ist, c32(IST_SLOT)),
        () => cpl,
      );
      faults.attempt(stackSwitch.pointer64, cpu, slot, ext);
    });
    f.if(inner, () => f.call(stage.nullStack, cpu, cpl));
    // Also a handler of compatibility-mode code runs on a 64-bit stack.
    f.store32(cpu, c32(8), STAGE.stackSize);
    f.store64(cpu, i64.and(i64.load(cpu, STAGE.rsp), c64(-16)), STAGE.rsp);
    f.return(c32(0));
  });
}

/** Delivery through the 32- or 16-bit gate in STAGE.gate. */
function defineProtected(m: ModuleBuilder, parts: EventParts, pushFrame: Fn<'i32'>): Fn<'i32'> {
  const { target, stackSwitch, virtual } = parts;
  return m.function('deliverProtected', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector, kind, hasCode, code } = eventParams(f);
    const faults = new Faults(f, cpu);
    const ext = f.let(extOf(kind));
    const gate = f.let(i64.load(cpu, STAGE.gate));
    // Types 6 and 7 have 16 bits, 14 and 15 have 32; the former's offset has no upper half.
    const wide = f.let(i32.and(i32.wrap(i64.shr_u(gate, c64(43))), c32(1)));
    const offset = f.choose(
      'i64',
      wide,
      () => gateOffset(gate),
      () => i64.and(gate, c64(0xffff)),
    );
    faults.attempt(target.inward, cpu, gateSelector(gate), ext);
    const inner = f.let(i32.lt_u(i32.load(cpu, STAGE.cpl), i32.load(cpu, S.cpl)));
    const stackCode = f.let(ext);
    const size = f.let(i32.shl(c32(2), wide));
    const fromVirtual = f.let(isVirtual(cpu));
    // Out of virtual-8086 mode the only way is to ring 0.
    const notInmost = i32.and(fromVirtual, i32.load(cpu, STAGE.cpl));
    faults.raiseIf(notInmost, VECTOR.GP, selectorCode(gateSelector(gate), ext));
    f.if(inner, () => {
      faults.attempt(stackSwitch.inner, cpu, ext);
      const selector = i32.load16_u(cpu, STAGE.ss + STAGED.selector);
      f.set(stackCode, selectorCode(selector, ext));
    });
    f.if(fromVirtual, () => faults.attempt(virtual.pushSegments, cpu, size, stackCode));
    const type = packKind(f, vector, kind, hasCode);
    faults.attempt(pushFrame, cpu, size, type, code, stackCode, inner);
    faults.attempt(target.offset, cpu, offset, ext);
    f.return(c32(0));
  });
}

/** Bits of the frame's `type` argument: an error code is pushed; RF is pushed as 1. */
const FRAME_CODE = 1;
const FRAME_RF = 2;

/** Exceptions that are not faults, for which RF is pushed as it is (vol. 3B, 18.3.1.1). */
const NO_RESUME = maskOf(VECTOR.DB, VECTOR.NMI, VECTOR.BP, VECTOR.OF, VECTOR.DF, MACHINE_CHECK);

function packKind(f: FunctionBuilder, vector: I32, kind: I32, hasCode: I32): I32 {
  const type = f.let(i32.ne(hasCode, c32(0)));
  const resume = i32.eqz(i32.and(i32.shr_u(c32(NO_RESUME), vector), c32(1)));
  f.if(i32.and(i32.eq(kind, c32(EVENT.exception)), resume), () => {
    f.set(type, i32.or(type, c32(FRAME_RF)));
  });
  return type;
}

/** (cpu, size, type, code, #SS code, with SS and SP) -> fault: pushes the frame of the handler. */
function definePushFrame(m: ModuleBuilder, { modes, stack }: EventParts): Fn<'i32'> {
  const params = ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'] as const;
  return m.function('pushFrame', params, 'i32', (f) => {
    const [cpu, size, type] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const [code, stackCode, withStack] = [f.param(3, 'i32'), f.param(4, 'i32'), f.param(5, 'i32')];
    const faults = new Faults(f, cpu);
    const push = (value: I64): void => faults.attempt(stack.push, cpu, size, value, stackCode);
    f.if(withStack, () => {
      push(i64.load16_u(cpu, segmentCache(SS)));
      push(i64.load(cpu, gprSlot(RSP)));
    });
    const flags = f.let(call(modes.packFlags, cpu));
    f.if(i32.and(type, c32(FRAME_RF)), () => f.set(flags, i32.or(flags, c32(RF))));
    push(i64.extend_u(flags));
    push(i64.load16_u(cpu, segmentCache(CS)));
    push(i64.load(cpu, S.eventRip));
    f.if(i32.and(type, c32(FRAME_CODE)), () => push(i64.extend_u(code)));
    f.return(c32(0));
  });
}

/** Vectors of the contributory exceptions (6.15, "Interrupt 8"). */
const CONTRIBUTORY = maskOf(VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP);
const isIn = (mask: number, vector: I32): I32 =>
  i32.and(i32.and(i32.shr_u(c32(mask), vector), c32(1)), i32.lt_u(vector, c32(32)));

/**
 * (cpu) -> the vector to deliver when S.faultVector came up while S.delivering was being delivered:
 * itself, #DF, or -1 for a shutdown (6.15, table 6-5).
 */
function defineEscalate(m: ModuleBuilder): Fn<'i32'> {
  const PAGE_FAULT = 1 << VECTOR.PF;
  return m.function('escalate', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const first = f.let(i32.load(cpu, S.delivering));
    const second = f.let(i32.load(cpu, S.faultVector));
    f.if(i32.eq(first, c32(VECTOR.DF)), () => f.return(c32(-1)));
    const contributory = i32.and(isIn(CONTRIBUTORY, first), isIn(CONTRIBUTORY, second));
    const afterPageFault = i32.and(
      i32.eq(first, c32(VECTOR.PF)),
      isIn(CONTRIBUTORY | PAGE_FAULT, second),
    );
    f.if(i32.or(contributory, afterPageFault), () => f.return(c32(VECTOR.DF)));
    f.return(second);
  });
}

function defineDeliver(m: ModuleBuilder, once: Fn<'i32'>, escalate: Fn<'i32'>): Fn<'i32'> {
  return m.function('deliver', EVENT_PARAMS, 'i32', (f) => {
    const { cpu, vector, kind, hasCode, code } = eventParams(f);
    const leave = (result: number): void => {
      f.store32(cpu, c32(NO_FAULT), S.faultVector);
      f.store32(cpu, c32(-1), S.delivering);
      f.return(c32(result));
    };
    f.loop((again) => {
      const exception = i32.eq(kind, c32(EVENT.exception));
      f.store32(cpu, i32.or(vector, i32.sub(exception, c32(1))), S.delivering);
      f.if(i32.eqz(call(once, cpu, vector, kind, hasCode, code)), () => {
        // Else the task that was switched to has a fault, at S.eventRip.
        f.if(i32.eqz(faulted(cpu)), () => leave(DELIVERY.done));
      });
      const fault = f.let(i32.load(cpu, S.faultVector));
      f.if(i32.eq(fault, c32(FAULT_EXIT)), () => leave(DELIVERY.waits));
      // A descriptor table or TSS that reaches past the canonical addresses.
      f.if(i32.eq(fault, c32(FAULT_NON_CANONICAL)), () => {
        f.store32(cpu, c32(VECTOR.GP), S.faultVector);
        f.store32(cpu, c32(1), S.faultCode);
      });
      f.set(vector, call(escalate, cpu));
      f.if(i32.eq(vector, c32(-1)), () => {
        f.store32(cpu, c32(EXIT.tripleFault), S.exit);
        leave(DELIVERY.shutdown);
      });
      f.set(kind, c32(EVENT.exception));
      f.set(hasCode, i32.load(cpu, S.faultHasCode));
      f.set(code, i32.load(cpu, S.faultCode));
      f.if(i32.eq(vector, c32(VECTOR.DF)), () => {
        f.set(hasCode, c32(1));
        f.set(code, c32(0));
      });
      f.store32(cpu, c32(NO_FAULT), S.faultVector);
      f.br(again);
    });
    f.unreachable();
  });
}
