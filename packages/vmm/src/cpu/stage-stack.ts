// Pushes and pops on the stack of a transaction (stage.ts): with the limit, type and canonicality
// checks of that stack, before it is the processor's. SDM vol. 3A, 5.8.5 (stack switching), 6.12.1.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { Size } from './context.ts';
import { hasBits, isCanonical } from './control-bits.ts';
import { isUsable, isWritableData, TYPE_EXPAND_DOWN } from './descriptor.ts';
import { Faults } from './faults.ts';
import { FAULT_NON_CANONICAL } from './page-walk.ts';
import type { MemoryRuntime } from './runtime.ts';
import { STAGE, STAGED } from './stage.ts';
import { AR_DB, S, VECTOR } from './state.ts';

/** Functions on the staged stack; sizes are run-time values: 2, 4 or 8 bytes. */
export interface StageStack {
  /** (cpu, size, value, error code) -> fault: #SS with that code. */
  readonly push: Fn<'i32'>;
  /** (cpu, size) -> the value; #SS(0). S.faultVector tells. */
  readonly pop: Fn<'i64'>;
  /** (cpu, bytes): moves the stack pointer up. */
  readonly release: Fn<'void'>;
}

/** Defines {@link StageStack}. */
export function defineStageStack(m: ModuleBuilder, memory: MemoryRuntime): StageStack {
  const mask = defineMask(m);
  const address = defineStackAddress(m, mask);
  const step = defineStep(m, mask);
  const store = defineStore(m, memory);
  return {
    push: m.function('stagePush', ['i32', 'i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
      const [value, code] = [f.param(2, 'i64'), f.param(3, 'i32')];
      const faults = new Faults(f, cpu);
      const sp = f.let(call(step, cpu, i32.sub(c32(0), size)));
      const linear = f.let(call(address, cpu, sp, size, code));
      faults.check();
      f.if(call(store, cpu, size, linear, value), () => {
        const crooked = i32.eq(i32.load(cpu, S.faultVector), c32(FAULT_NON_CANONICAL));
        faults.raiseIf(crooked, VECTOR.SS, code);
        f.return(c32(1));
      });
      f.store64(cpu, sp, STAGE.rsp);
      f.return(c32(0));
    }),
    pop: definePop(m, memory, address, step),
    release: m.function('stageRelease', ['i32', 'i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      f.store64(cpu, call(step, cpu, f.param(1, 'i32')), STAGE.rsp);
    }),
  };
}

function definePop(
  m: ModuleBuilder,
  memory: MemoryRuntime,
  address: Fn<'i64'>,
  step: Fn<'i64'>,
): Fn<'i64'> {
  return m.function('stagePop', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu, c64(0));
    const linear = f.let(call(address, cpu, i64.load(cpu, STAGE.rsp), size, c32(0)));
    faults.check();
    const value = f.local('i64');
    const load = (bytes: Size) => (): void => f.set(value, call(memory.load[bytes], cpu, linear));
    f.switch(i32.shr_u(size, c32(2)), [load(2), load(4)], load(8));
    const crooked = i32.eq(i32.load(cpu, S.faultVector), c32(FAULT_NON_CANONICAL));
    faults.raiseIf(crooked, VECTOR.SS, 0);
    f.store64(cpu, call(step, cpu, size), STAGE.rsp);
    f.return(value);
  });
}

/** (cpu) -> the bits of the staged stack pointer that count. */
function defineMask(m: ModuleBuilder): Fn<'i64'> {
  return m.function('stageStackMask', ['i32'], 'i64', (f) => {
    const size = f.let(i32.load(f.param(0, 'i32'), STAGE.stackSize));
    const narrow = select(i32.eq(size, c32(4)), c64(0xffffffff), c64(0xffff));
    f.return(select(i32.eq(size, c32(8)), c64(-1), narrow));
  });
}

/** (cpu, bytes) -> the staged stack pointer moved by that much, bits that do not count kept. */
function defineStep(m: ModuleBuilder, mask: Fn<'i64'>): Fn<'i64'> {
  return m.function('stageStep', ['i32', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const bits = f.let(call(mask, cpu));
    const old = f.let(i64.load(cpu, STAGE.rsp));
    const moved = i64.add(old, i64.extend_s(f.param(1, 'i32')));
    const kept = i64.and(old, i64.xor(bits, c64(-1)));
    f.return(i64.or(kept, i64.and(moved, bits)));
  });
}

/** (cpu, stack pointer, bytes, error code) -> linear address; S.faultVector tells. */
function defineStackAddress(m: ModuleBuilder, mask: Fn<'i64'>): Fn<'i64'> {
  return m.function('stageStackAddress', ['i32', 'i64', 'i32', 'i32'], 'i64', (f) => {
    const [cpu, sp, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu, c64(0));
    const code = f.param(3, 'i32');
    f.if(i32.eq(i32.load(cpu, STAGE.stackSize), c32(8)), () => {
      faults.raiseIf(i32.eqz(isCanonical(sp)), VECTOR.SS, code);
      f.return(sp);
    });
    const offset = f.let(i64.and(sp, call(mask, cpu)));
    const ar = f.let(i32.load(cpu, STAGE.ss + STAGED.ar));
    const limit = f.let(i64.load32_u(cpu, STAGE.ss + STAGED.limit));
    const last = f.let(i64.add(offset, i64.extend_u(i32.sub(bytes, c32(1)))));
    const unwritable = i32.eqz(i32.and(isUsable(ar), isWritableData(ar)));
    const outside = select(
      hasBits(ar, TYPE_EXPAND_DOWN),
      i32.or(i64.le_u(offset, limit), i64.gt_u(last, topOf(ar))),
      i64.gt_u(last, limit),
    );
    faults.raiseIf(i32.or(unwritable, outside), VECTOR.SS, code);
    const base = i64.load32_u(cpu, STAGE.ss + STAGED.base);
    f.return(i64.and(i64.add(base, offset), c64(0xffffffff)));
  });
}

/** The highest offset of an expand-down segment: its D/B bit (vol. 3A, 5.3). */
const topOf = (ar: I32): I64 => select(hasBits(ar, AR_DB), c64(0xffffffff), c64(0xffff));

/**
 * (cpu, size, linear, value) -> fault. An inner stack is written with supervisor rights; on the
 * current privilege's own stack this is a store like any other.
 */
function defineStore(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('stageStore', ['i32', 'i32', 'i64', 'i64'], 'i32', (f) => {
    const [cpu, size] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const [linear, value] = [f.param(2, 'i64'), f.param(3, 'i64')];
    const log = f.let(i32.shr_u(size, c32(2)));
    const failed = f.local('i32');
    const through = (stores: MemoryRuntime['store']): void => {
      const store = (bytes: Size) => (): void => {
        f.set(failed, call(stores[bytes], cpu, linear, value));
      };
      f.switch(log, [store(2), store(4)], store(8));
    };
    f.if(
      i32.eq(i32.load(cpu, STAGE.cpl), i32.load(cpu, S.cpl)),
      () => through(memory.store),
      () => through(memory.storeSystem),
    );
    f.return(failed);
  });
}
