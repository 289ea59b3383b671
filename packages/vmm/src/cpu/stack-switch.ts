// Where an inner ring's stack comes from: the TSS (SDM vol. 3A, 5.8.5, 6.14.5, 8.2.1, 8.7). A
// 64-bit TSS holds stack pointers only, and the interrupt stack table; 32- and 16-bit ones hold SS
// as well.

import { c32, call, type Fn, type I32, i32, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { hasBits } from './control-bits.ts';
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
import type { MemoryRuntime } from './runtime.ts';
import type { Segments } from './segments.ts';
import { STAGE, type Stage } from './stage.ts';
import {
  AR_DB,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  segmentBase,
  segmentCache,
  TR,
  VECTOR,
} from './state.ts';

/** Functions that stage the stack of the privilege level in STAGE.cpl. */
export interface StackSwitch {
  /**
   * (cpu, slot, ext) -> fault: stages RSP from slot `slot` of the 64-bit TSS: 0..2 for RSP0..2,
   * 4..10 for IST1..7 (the slots of the TSS from offset 4 on, 8 bytes each).
   */
  readonly pointer64: Fn<'i32'>;
  /** (cpu, ext) -> fault: stages SS and SP from the 32- or 16-bit TSS. */
  readonly inner: Fn<'i32'>;
}

/** The slot of IST1 less 1, for {@link StackSwitch.pointer64}. */
export const IST_SLOT = 3;

/** Defines {@link StackSwitch}. */
export function defineStackSwitch(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  segments: Segments,
  stage: Stage,
): StackSwitch {
  return {
    pointer64: definePointer64(m, memory),
    inner: defineInner(m, memory, defineStageStackSegment(m, segments, stage)),
  };
}

const taskCode = (cpu: I32, ext: I32): I32 =>
  selectorCode(i32.load16_u(cpu, segmentCache(TR)), ext);

function definePointer64(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('stackPointer64', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, slot, ext] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const offset = f.let(i32.add(i32.shl(slot, c32(3)), c32(4)));
    const limit = i32.load(cpu, segmentCache(TR) + SEGMENT_LIMIT);
    const beyond = i32.gt_u(i32.add(offset, c32(7)), limit);
    faults.raiseIf(beyond, VECTOR.TS, taskCode(cpu, ext));
    const linear = i64.add(i64.load(cpu, segmentBase(TR)), i64.extend_u(offset));
    const rsp = f.let(call(memory.loadSystem[8], cpu, linear));
    faults.check();
    f.store64(cpu, rsp, STAGE.rsp);
    f.store32(cpu, c32(8), STAGE.stackSize);
    f.return(c32(0));
  });
}

/** (cpu, selector, ext) -> fault: checks and stages the SS that a TSS names. */
function defineStageStackSegment(m: ModuleBuilder, segments: Segments, stage: Stage): Fn<'i32'> {
  return m.function('stageInnerSs', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, ext] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const cpl = f.let(i32.load(cpu, STAGE.cpl));
    const code = f.let(selectorCode(selector, ext));
    faults.raiseIf(isNull(selector), VECTOR.TS, ext);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.TS), ext));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const wrongRing = i32.or(i32.ne(rplOf(selector), cpl), i32.ne(dplOf(ar), cpl));
    faults.raiseIf(i32.or(wrongRing, i32.eqz(isWritableData(ar))), VECTOR.TS, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.SS, code);
    faults.attempt(segments.markAccessed, cpu, selector, descriptor);
    f.call(stage.segment, cpu, c32(STAGE.ss), selector, descriptor);
    f.store32(cpu, c32(1), STAGE.newStack);
    f.store32(cpu, select(hasBits(ar, AR_DB), c32(4), c32(2)), STAGE.stackSize);
    f.return(c32(0));
  });
}

function defineInner(m: ModuleBuilder, memory: MemoryRuntime, stageSs: Fn<'i32'>): Fn<'i32'> {
  return m.function('innerStack', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, ext] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    // Types 9 and 11 are 32-bit TSSs: 8 bytes for each ring from offset 4; 16-bit ones: 4 from 2.
    const type = i32.load(cpu, segmentCache(TR) + SEGMENT_AR);
    const wide = f.let(i32.and(i32.shr_u(type, c32(3)), c32(1)));
    const size = f.let(i32.shl(c32(2), wide));
    const ring = i32.shl(i32.load(cpu, STAGE.cpl), i32.add(wide, c32(2)));
    const offset = f.let(i32.add(ring, size));
    const limit = i32.load(cpu, segmentCache(TR) + SEGMENT_LIMIT);
    const beyond = i32.gt_u(i32.add(offset, i32.add(size, c32(1))), limit);
    faults.raiseIf(beyond, VECTOR.TS, taskCode(cpu, ext));
    const linear = f.let(i64.add(i64.load(cpu, segmentBase(TR)), i64.extend_u(offset)));
    const sp = f.choose(
      'i64',
      wide,
      () => call(memory.loadSystem[4], cpu, linear),
      () => call(memory.loadSystem[2], cpu, linear),
    );
    faults.check();
    const ssAt = i64.add(linear, i64.extend_u(size));
    const selector = f.let(i32.wrap(call(memory.loadSystem[2], cpu, ssAt)));
    faults.check();
    faults.attempt(stageSs, cpu, selector, ext);
    f.store64(cpu, sp, STAGE.rsp);
    f.return(c32(0));
  });
}
