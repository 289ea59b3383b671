// LDTR and TR, and what protected-mode programs may ask about descriptors: SDM vol. 2, "LLDT",
// "LTR", "LAR", "LSL", "VERR/VERW". In IA-32e mode system descriptors have 16 bytes (vol. 3A,
// 7.2.3, 8.2.2).

import { c32, c64, call, type Fn, type I32, i32, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { isCanonical, isLong } from './control-bits.ts';
import {
  descriptorAr,
  descriptorBase,
  descriptorLimit,
  dplOf,
  HIGH_TYPE,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  isWritableData,
  rplOf,
  SYSTEM_TYPE,
  selectorCode,
} from './descriptor.ts';
import { Faults, NO_FAULT } from './faults.ts';
import type { MemoryRuntime } from './runtime.ts';
import { inLdt, type Segments, tableOffset } from './segments.ts';
import {
  AR_S,
  AR_UNUSABLE,
  LDTR,
  S,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  segmentBase,
  segmentCache,
  TR,
  VECTOR,
} from './state.ts';

/** Functions of LDTR and TR, and inspections of descriptors. */
export interface SystemSegments {
  /** (cpu, selector) -> fault: LLDT, LTR. */
  readonly loadLdt: Fn<'i32'>;
  readonly loadTask: Fn<'i32'>;
  /**
   * (cpu, selector, types) -> fault: LAR and LSL. `types` has a bit for each system type allowed.
   * The descriptor goes to S.scratch (i64), 0 when there is none that the program may see.
   */
  readonly inspect: Fn<'i32'>;
  /**
   * (cpu, selector, write) -> fault: VERR and VERW; the answer, 0 or 1, goes to S.scratch (i32).
   */
  readonly verify: Fn<'i32'>;
}

/** Masks of system types for {@link SystemSegments.inspect}: (LAR, LSL) × (legacy, IA-32e). */
const bits = (...types: number[]): number => types.reduce((mask, type) => mask | (1 << type), 0);
const { tss16, ldt, tss16Busy, callGate16, taskGate, tss, tssBusy, callGate } = SYSTEM_TYPE;
const LSL_LEGACY = bits(tss16, ldt, tss16Busy, tss, tssBusy);
const LSL_LONG = bits(ldt, tss, tssBusy);
const LAR_LEGACY = LSL_LEGACY | bits(callGate16, taskGate, callGate);
const LAR_LONG = LSL_LONG | bits(callGate);

/** The mask of system types that LAR, or LSL, accepts in the mode the processor is in. */
export const larTypes = (cpu: I32): I32 => select(isLong(cpu), c32(LAR_LONG), c32(LAR_LEGACY));
export const lslTypes = (cpu: I32): I32 => select(isLong(cpu), c32(LSL_LONG), c32(LSL_LEGACY));

/** Defines {@link SystemSegments}. */
export function defineSystemSegments(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  segments: Segments,
): SystemSegments {
  const high = defineHighHalf(m, memory, segments);
  const look = defineLook(m, segments);
  const read = defineRead(m, segments);
  const base = defineSystemBase(m, high);
  return {
    loadLdt: defineLoadLdt(m, read, base),
    loadTask: defineLoadTask(m, memory, segments, read, base),
    inspect: defineInspect(m, look, high),
    verify: defineVerify(m, look),
  };
}

/** (cpu, selector) -> the second 8 bytes of a 16-byte descriptor; S.faultVector tells. */
function defineHighHalf(m: ModuleBuilder, memory: MemoryRuntime, segments: Segments): Fn<'i64'> {
  return m.function('descriptorHigh', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const limit = f.choose(
      'i32',
      inLdt(selector),
      () => i32.load(cpu, segmentCache(LDTR) + SEGMENT_LIMIT),
      () => i32.load(cpu, S.gdtrLimit),
    );
    const beyond = i32.gt_u(i32.add(tableOffset(selector), c32(15)), limit);
    new Faults(f, cpu, c64(0)).raiseIf(beyond, VECTOR.GP, selectorCode(selector));
    const address = call(segments.address, cpu, selector);
    f.return(call(memory.loadSystem[8], cpu, i64.add(address, c64(8))));
  });
}

/** (cpu, selector, types) -> a present system descriptor of the GDT; S.faultVector tells. */
function defineRead(m: ModuleBuilder, segments: Segments): Fn<'i64'> {
  return m.function('systemDescriptor', ['i32', 'i32', 'i32'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu, c64(0));
    const code = f.let(selectorCode(selector));
    faults.raiseIf(inLdt(selector), VECTOR.GP, code);
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    faults.raiseIf(i32.eqz(isAmong(ar, f.param(2, 'i32'))), VECTOR.GP, code);
    faults.raiseIf(i32.eqz(isPresent(ar)), VECTOR.NP, code);
    f.return(descriptor);
  });
}

/** 1 when `ar` is a system descriptor of a type whose bit is set in `types`. */
const isAmong = (ar: I32, types: I32): I32 =>
  // With the S bit the shift count is 16 or more, where no mask has bits.
  i32.and(i32.shr_u(types, i32.and(ar, c32(AR_S | 0xf))), c32(1));

/** (cpu, selector, descriptor) -> the base, 64 bits in IA-32e mode; S.faultVector tells. */
function defineSystemBase(m: ModuleBuilder, high: Fn<'i64'>): Fn<'i64'> {
  return m.function('systemBase', ['i32', 'i32', 'i64'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu, c64(0));
    const base = f.let(descriptorBase(f.param(2, 'i64')));
    f.if(i32.eqz(isLong(cpu)), () => f.return(base));
    const upper = f.let(call(high, cpu, selector));
    faults.check();
    f.set(base, i64.or(base, i64.shl(upper, c64(32))));
    const typed = i64.ne(i64.and(upper, c64(HIGH_TYPE)), c64(0));
    faults.raiseIf(i32.or(typed, i32.eqz(isCanonical(base))), VECTOR.GP, selectorCode(selector));
    f.return(base);
  });
}

function defineLoadLdt(m: ModuleBuilder, read: Fn<'i64'>, systemBase: Fn<'i64'>): Fn<'i32'> {
  return m.function('loadLdt', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    f.if(isNull(selector), () => {
      f.store32(cpu, selector, segmentCache(LDTR));
      f.store32(cpu, c32(AR_UNUSABLE), segmentCache(LDTR) + SEGMENT_AR);
      f.return(c32(0));
    });
    const descriptor = f.let(call(read, cpu, selector, c32(1 << SYSTEM_TYPE.ldt)));
    faults.check();
    const base = f.let(call(systemBase, cpu, selector, descriptor));
    faults.check();
    f.store32(cpu, selector, segmentCache(LDTR));
    f.store32(cpu, descriptorLimit(descriptor), segmentCache(LDTR) + SEGMENT_LIMIT);
    f.store32(cpu, descriptorAr(descriptor), segmentCache(LDTR) + SEGMENT_AR);
    f.store64(cpu, base, segmentBase(LDTR));
    f.return(c32(0));
  });
}

function defineLoadTask(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  segments: Segments,
  read: Fn<'i64'>,
  systemBase: Fn<'i64'>,
): Fn<'i32'> {
  const busy = c32(2);
  const types = (cpu: I32): I32 => select(isLong(cpu), c32(bits(tss)), c32(bits(tss, tss16)));
  return m.function('loadTask', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    faults.raiseIf(isNull(selector), VECTOR.GP, 0);
    const descriptor = f.let(call(read, cpu, selector, types(cpu)));
    faults.check();
    const base = f.let(call(systemBase, cpu, selector, descriptor));
    faults.check();
    const ar = f.let(i32.or(descriptorAr(descriptor), busy));
    const at = i64.add(call(segments.address, cpu, selector), c64(5));
    faults.attempt(memory.storeSystem[1], cpu, at, i64.extend_u(ar));
    f.store32(cpu, selector, segmentCache(TR));
    f.store32(cpu, descriptorLimit(descriptor), segmentCache(TR) + SEGMENT_LIMIT);
    f.store32(cpu, ar, segmentCache(TR) + SEGMENT_AR);
    f.store64(cpu, base, segmentBase(TR));
    f.return(c32(0));
  });
}

/**
 * (cpu, selector) -> the descriptor, or 0 for a null selector or one beyond its table: no fault,
 * but for the page faults of reading the table.
 */
function defineLook(m: ModuleBuilder, segments: Segments): Fn<'i64'> {
  return m.function('lookDescriptor', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    f.if(isNull(selector), () => f.return(c64(0)));
    const descriptor = f.let(call(segments.fetch, cpu, selector, c32(VECTOR.GP), c32(0)));
    f.if(i32.eq(i32.load(cpu, S.faultVector), c32(VECTOR.GP)), () => {
      f.store32(cpu, c32(NO_FAULT), S.faultVector);
      f.return(c64(0));
    });
    f.return(descriptor);
  });
}

/** 1 when CPL or RPL is less privileged than the descriptor, and it is not conforming code. */
const outOfReach = (cpu: I32, selector: I32, ar: I32): I32 =>
  i32.and(
    i32.or(i32.gt_u(i32.load(cpu, S.cpl), dplOf(ar)), i32.gt_u(rplOf(selector), dplOf(ar))),
    i32.eqz(i32.and(isCode(ar), isConforming(ar))),
  );

function defineInspect(m: ModuleBuilder, look: Fn<'i64'>, high: Fn<'i64'>): Fn<'i32'> {
  return m.function('inspect', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector, types] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    f.store64(cpu, c64(0), S.scratch);
    const descriptor = f.let(call(look, cpu, selector));
    faults.check();
    const ar = f.let(descriptorAr(descriptor));
    const system = i32.eqz(i32.and(ar, c32(AR_S)));
    const refused = i32.or(
      i32.or(i64.eqz(descriptor), outOfReach(cpu, selector, ar)),
      i32.and(system, i32.eqz(isAmong(ar, types))),
    );
    f.if(refused, () => f.return(c32(0)));
    f.if(i32.and(system, isLong(cpu)), () => {
      const upper = f.let(call(high, cpu, selector));
      f.if(i32.eq(i32.load(cpu, S.faultVector), c32(VECTOR.GP)), () => {
        f.store32(cpu, c32(NO_FAULT), S.faultVector);
        f.return(c32(0));
      });
      faults.check();
      f.if(i64.ne(i64.and(upper, c64(HIGH_TYPE)), c64(0)), () => f.return(c32(0)));
    });
    f.store64(cpu, descriptor, S.scratch);
    f.return(c32(0));
  });
}

function defineVerify(m: ModuleBuilder, look: Fn<'i64'>): Fn<'i32'> {
  return m.function('verifySegment', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, selector] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const descriptor = f.let(call(look, cpu, selector));
    new Faults(f, cpu).check();
    const ar = f.let(descriptorAr(descriptor));
    const allowed = select(f.param(2, 'i32'), isWritableData(ar), isReadable(ar));
    const reachable = i32.eqz(outOfReach(cpu, selector, ar));
    const found = i64.ne(descriptor, c64(0));
    f.store32(cpu, i32.and(found, i32.and(allowed, reachable)), S.scratch);
    f.return(c32(0));
  });
}
