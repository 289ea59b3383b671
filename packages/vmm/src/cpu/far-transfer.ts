// JMP and CALL to another code segment, directly or through a call gate: SDM vol. 2 "JMP", "CALL",
// vol. 3A, 5.8. Modelled: real-address and virtual-8086 mode, all protected modes, 16-, 32- and
// 64-bit call gates with stack switch and parameters. TSSs and task gates as targets are
// task-switch.ts's business.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { type CodeTarget, cutToSize, flattenStack } from './code-target.ts';
import { hasBits, hasParagraphs, isLong } from './control-bits.ts';
import {
  descriptorAr,
  dplOf,
  gateOffset,
  gateSelector,
  HIGH_TYPE,
  isNull,
  isPresent,
  rplOf,
  SYSTEM_TYPE,
  selectorCode,
} from './descriptor.ts';
import { Faults } from './faults.ts';
import type { MemoryRuntime } from './runtime.ts';
import type { Segments } from './segments.ts';
import type { StackSwitch } from './stack-switch.ts';
import { STAGE, STAGED, type Stage } from './stage.ts';
import type { StageStack } from './stage-stack.ts';
import { AR_S, CS, gprSlot, RSP, S, SS, segmentCache, VECTOR } from './state.ts';
import { TASK, type TaskSwitch } from './task-switch.ts';

/** What far transfers are built on. */
export interface FarParts {
  readonly memory: MemoryRuntime;
  readonly segments: Segments;
  readonly stage: Stage;
  readonly stack: StageStack;
  readonly stackSwitch: StackSwitch;
  readonly target: CodeTarget;
  readonly task: TaskSwitch;
}

/**
 * Far JMP and CALL; on success S.rip is where to go on. A switch to a faulty task is a success that
 * leaves the new task's fault in S.faultVector.
 */
export interface FarTransfer {
  /** (cpu, selector, offset, operand size, address behind the instruction) -> fault. */
  readonly jump: Fn<'i32'>;
  /** (cpu, selector, offset, operand size, return address) -> fault. */
  readonly call: Fn<'i32'>;
}

/** The system types that stand for a task, busy ones included: those are then refused. */
const TASK_TYPES =
  (1 << SYSTEM_TYPE.tss16) |
  (1 << SYSTEM_TYPE.tss16Busy) |
  (1 << SYSTEM_TYPE.taskGate) |
  (1 << SYSTEM_TYPE.tss) |
  (1 << SYSTEM_TYPE.tssBusy);

/** Defines {@link FarTransfer}. */
export function defineFarTransfer(m: ModuleBuilder, parts: FarParts): FarTransfer {
  const gate = defineGate(m, parts);
  return { jump: defineJump(m, parts, gate), call: defineCall(m, parts, gate) };
}

/**
 * (cpu, selector) -> the descriptor of a target, code or system; #GP if it is null or absent.
 * S.faultVector tells.
 */
function fetchTarget(f: FunctionBuilder, cpu: I32, selector: I32, segments: Segments): I64 {
  const faults = new Faults(f, cpu);
  faults.raiseIf(isNull(selector), VECTOR.GP, 0);
  const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
  faults.check();
  return descriptor;
}

function defineJump(m: ModuleBuilder, parts: FarParts, gate: Fn<'i32'>): Fn<'i32'> {
  const { segments, stage, target } = parts;
  return m.function('farJump', ['i32', 'i32', 'i64', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const offset = f.let(cutToSize(f, f.param(2, 'i64'), f.param(3, 'i32')));
    f.call(stage.begin, cpu);
    f.if(
      hasParagraphs(cpu),
      () => f.call(target.real, cpu, selector),
      () => {
        const descriptor = fetchTarget(f, cpu, selector, segments);
        f.if(
          hasBits(descriptorAr(descriptor), AR_S),
          () => faults.attempt(target.direct, cpu, selector, descriptor),
          () => {
            switchTask(f, cpu, parts, {
              selector,
              descriptor,
              how: TASK.jump,
              rip: f.param(4, 'i64'),
            });
            faults.attempt(gate, cpu, selector, descriptor);
            f.set(offset, i64.load(cpu, STAGE.rip));
            const through = f.let(i32.and(gateSelector(i64.load(cpu, STAGE.gate)), c32(0xfffc)));
            const code = fetchTarget(f, cpu, through, segments);
            faults.attempt(target.direct, cpu, through, code);
          },
        );
      },
    );
    faults.attempt(target.offset, cpu, offset, c32(0));
    f.call(stage.commit, cpu);
    f.return(c32(0));
  });
}

/** Leaves the function with a task switch if the descriptor is of a TSS or task gate. */
function switchTask(
  f: FunctionBuilder,
  cpu: I32,
  { task }: FarParts,
  to: { selector: I32; descriptor: I64; how: number; rip: I64 },
): void {
  const type = i32.and(descriptorAr(to.descriptor), c32(0xf));
  const isTask = i32.and(i32.shr_u(c32(TASK_TYPES), type), c32(1));
  // There are no task switches in IA-32e mode, nor 16-bit gates (vol. 3A, 7.7).
  f.if(i32.and(isTask, i32.eqz(isLong(cpu))), () => {
    f.store64(cpu, to.rip, S.eventRip);
    f.returnCall(task.transfer, cpu, to.selector, to.descriptor, c32(to.how));
  });
}

/**
 * (cpu, gate selector, descriptor) -> fault: checks a call gate; it goes to STAGE.gate, its offset
 * to STAGE.rip.
 */
function defineGate(m: ModuleBuilder, { memory, segments }: FarParts): Fn<'i32'> {
  return m.function('callGate', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, selector, gate] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i64')];
    const faults = new Faults(f, cpu);
    const ar = f.let(descriptorAr(gate));
    const code = f.let(selectorCode(selector));
    const type = f.let(i32.and(ar, c32(0xf)));
    const narrow = i32.and(i32.eq(type, c32(SYSTEM_TYPE.callGate16)), i32.eqz(isLong(cpu)));
    const fits = i32.or(i32.eq(type, c32(SYSTEM_TYPE.callGate)), narrow);
    faults.raiseIf(i32.eqz(fits), VECTOR.GP, code);
    const dpl = dplOf(ar);
    const outer = i32.or(i32.gt_u(i32.load(cpu, S.cpl), dpl), i32.gt_u(rplOf(selector), dpl));
    faults.raiseIf(outer, VECTOR.GP, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    const offset = f.let(gateOffset(gate));
    f.if(i32.eq(type, c32(SYSTEM_TYPE.callGate16)), () => {
      f.set(offset, i64.and(gate, c64(0xffff)));
    });
    f.if(isLong(cpu), () => {
      // The second half lies where the next descriptor would: the table must reach that far.
      f.drop(call(segments.fetch, cpu, i32.add(selector, c32(8)), c32(VECTOR.GP), c32(0)));
      faults.raiseIf(i32.eq(i32.load(cpu, S.faultVector), c32(VECTOR.GP)), VECTOR.GP, code);
      faults.check();
      const highAt = i64.add(call(segments.address, cpu, selector), c64(8));
      const high = f.let(call(memory.loadSystem[8], cpu, highAt));
      faults.check();
      const typed = i64.ne(i64.and(high, c64(HIGH_TYPE)), c64(0));
      faults.raiseIf(typed, VECTOR.GP, code);
      f.set(offset, i64.or(offset, i64.shl(high, c64(32))));
    });
    f.store64(cpu, gate, STAGE.gate);
    f.store64(cpu, offset, STAGE.rip);
    f.return(c32(0));
  });
}

function defineCall(m: ModuleBuilder, parts: FarParts, gate: Fn<'i32'>): Fn<'i32'> {
  const { segments, stage, stack, target } = parts;
  const throughGate = defineCallGate(m, parts);
  return m.function('farCall', ['i32', 'i32', 'i64', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, selector, size] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(3, 'i32')];
    const returnRip = f.param(4, 'i64');
    const faults = new Faults(f, cpu);
    const offset = f.let(cutToSize(f, f.param(2, 'i64'), size));
    f.call(stage.begin, cpu);
    f.if(
      hasParagraphs(cpu),
      () => f.call(target.real, cpu, selector),
      () => {
        const descriptor = fetchTarget(f, cpu, selector, segments);
        f.if(i32.eqz(hasBits(descriptorAr(descriptor), AR_S)), () => {
          switchTask(f, cpu, parts, { selector, descriptor, how: TASK.call, rip: returnRip });
          faults.attempt(gate, cpu, selector, descriptor);
          f.returnCall(throughGate, cpu, returnRip);
        });
        faults.attempt(target.direct, cpu, selector, descriptor);
        flattenStack(f, cpu);
      },
    );
    faults.attempt(stack.push, cpu, size, i64.load16_u(cpu, segmentCache(CS)), c32(0));
    faults.attempt(stack.push, cpu, size, returnRip, c32(0));
    faults.attempt(target.offset, cpu, offset, c32(0));
    f.call(stage.commit, cpu);
    f.return(c32(0));
  });
}

/** (cpu, return address) -> fault: CALL through the gate in STAGE.gate. */
function defineCallGate(m: ModuleBuilder, parts: FarParts): Fn<'i32'> {
  const { stage, stack, target } = parts;
  const switchStack = defineSwitchStack(m, parts);
  return m.function('callThroughGate', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, returnRip] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const gate = f.let(i64.load(cpu, STAGE.gate));
    const offset = f.let(i64.load(cpu, STAGE.rip));
    faults.attempt(target.inward, cpu, gateSelector(gate), c32(0));
    flattenStack(f, cpu);
    // 16-bit gates are type 4, the others 12; those of IA-32e mode push 8 bytes.
    const wide = i32.and(i32.wrap(i64.shr_u(gate, c64(43))), c32(1));
    const size = f.let(i32.shl(i32.shl(c32(2), wide), isLong(cpu)));
    const code = f.local('i32');
    f.if(i32.lt_u(i32.load(cpu, STAGE.cpl), i32.load(cpu, S.cpl)), () => {
      faults.attempt(switchStack, cpu, size);
      f.set(code, selectorCode(i32.load16_u(cpu, STAGE.ss + STAGED.selector)));
    });
    faults.attempt(stack.push, cpu, size, i64.load16_u(cpu, segmentCache(CS)), code);
    faults.attempt(stack.push, cpu, size, returnRip, code);
    faults.attempt(target.offset, cpu, offset, c32(0));
    f.call(stage.commit, cpu);
    f.return(c32(0));
  });
}

/** (cpu, size) -> fault: stages the inner stack and pushes SS, SP and the parameters onto it. */
function defineSwitchStack(m: ModuleBuilder, parts: FarParts): Fn<'i32'> {
  const { stage, stack, stackSwitch } = parts;
  const copy = defineCopyParameters(m, parts);
  return m.function('callGateStack', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const long = f.let(isLong(cpu));
    f.if(
      long,
      () => {
        const cpl = i32.load(cpu, STAGE.cpl);
        faults.attempt(stackSwitch.pointer64, cpu, cpl, c32(0));
        f.call(stage.nullStack, cpu, cpl);
      },
      () => faults.attempt(stackSwitch.inner, cpu, c32(0)),
    );
    const code = f.let(selectorCode(i32.load16_u(cpu, STAGE.ss + STAGED.selector)));
    faults.attempt(stack.push, cpu, size, i64.load16_u(cpu, segmentCache(SS)), code);
    faults.attempt(stack.push, cpu, size, i64.load(cpu, gprSlot(RSP)), code);
    f.if(i32.eqz(long), () => faults.attempt(copy, cpu, size, code));
    f.return(c32(0));
  });
}

/** (cpu, size, #SS code) -> fault: copies as many values as the gate says from the old stack. */
function defineCopyParameters(m: ModuleBuilder, { memory, stack }: FarParts): Fn<'i32'> {
  return m.function('copyParameters', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, size, code] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const count = f.let(i32.and(i32.wrap(i64.shr_u(i64.load(cpu, STAGE.gate), c64(32))), c32(31)));
    const wide = f.let(i32.eq(i32.load(cpu, S.stackSize), c32(4)));
    const value = f.local('i64');
    f.block((done) => {
      f.loop((again) => {
        f.br(done, i32.eqz(count));
        f.set(count, i32.sub(count, c32(1)));
        const at = f.let(i64.add(i64.load(cpu, gprSlot(RSP)), i64.extend_u(i32.mul(count, size))));
        f.set(at, i64.and(at, i64.extend_u(stackMask(wide))));
        const checked = call(memory.checkedAddress, cpu, c32(SS), at, size, c32(0));
        const linear = f.let(checked);
        faults.check();
        f.if(
          i32.eq(size, c32(4)),
          () => f.set(value, call(memory.load[4], cpu, linear)),
          () => f.set(value, call(memory.load[2], cpu, linear)),
        );
        faults.check();
        faults.attempt(stack.push, cpu, size, value, code);
        f.br(again);
      });
    });
    f.return(c32(0));
  });
}

/** 0xffff, or 0xffffffff when `wide` is 1. */
const stackMask = (wide: I32): I32 => i32.or(c32(0xffff), i32.sub(c32(0), wide));
