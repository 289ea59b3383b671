// FXSAVE and FXRSTOR: the state of the x87 FPU, MMX and SSE (SDM vol. 1, 10.5, tables 10-2 and
// 10-4).
//
// Not modelled: leaving out XMM registers and MXCSR when CR4.OSFXSR is clear, which the manual
// leaves to the implementation, and the fast variant of AMD's processors.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { Faults } from './faults.ts';
import type { MemoryRuntime } from './runtime.ts';
import { S } from './state.ts';
import { physical, updateSummary } from './x87-stack.ts';
import {
  clearSelectors,
  FOP_BITS,
  isFaulting,
  registerPlace,
  setControl,
  times,
} from './x87-state.ts';

/** Bytes of the area. */
export const FX_AREA = 512;
/** FXRSTOR's result for reserved bits of MXCSR. */
export const RESERVED_MXCSR = 2;

/** Bits of MXCSR that must be zero, and the mask of the others that FXSAVE stores. */
const MXCSR_RESERVED = 0xffff_0000;
const MXCSR_MASK = 0xffff;

/** The functions; they return non-zero when they have set a fault. */
export interface FxState {
  /** (cpu, linear, rexW, registers): FXSAVE and FXRSTOR, with that many XMM registers. */
  readonly fxsave: Fn<'i32'>;
  /** Returns {@link RESERVED_MXCSR}, with nothing loaded, when MXCSR has reserved bits: #GP. */
  readonly fxrstor: Fn<'i32'>;
}

/** The two halves of the area, which XSAVE (xsave.ts) treats one by one. */
export interface FxParts {
  /** (cpu, linear of the area, rexW) -> fault. */
  readonly storeX87: Fn<'i32'>;
  readonly loadX87: Fn<'i32'>;
  /** (cpu, linear of the area, registers) -> fault: the XMM registers. */
  readonly storeXmm: Fn<'i32'>;
  readonly loadXmm: Fn<'i32'>;
  /** (cpu, linear of the area) -> fault: MXCSR and its mask. */
  readonly storeMxcsr: Fn<'i32'>;
}

/** Offsets in the area. */
export const FX = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  st: 32,
  xmm: 160,
} as const;

const FX_PARAMS = ['i32', 'i64', 'i32', 'i32'] as const;
const PART_PARAMS = ['i32', 'i64', 'i32'] as const;

/** Stores 8 bytes at an offset of the area; leaves the function with 1 if that faults. */
const storing =
  (f: FunctionBuilder, memory: MemoryRuntime) =>
  (at: I64, value: I64): void =>
    f.if(call(memory.store[8], f.param(0, 'i32'), at, value), () => f.return(c32(1)));

/** Loads 8 bytes; leaves the function with 1 if that faults. */
const loading =
  (f: FunctionBuilder, memory: MemoryRuntime) =>
  (at: I64): I64 => {
    const cpu = f.param(0, 'i32');
    const value = f.let(call(memory.load[8], cpu, at));
    f.if(isFaulting(cpu), () => f.return(c32(1)));
    return value;
  };

/** Where entry `i` of a table of 16-byte entries in the area is. */
const entryAt = (f: FunctionBuilder, linear: I64, start: number, i: I32): I64 =>
  f.let(i64.add(linear, i64.extend_u(i32.add(i32.shl(i, c32(4)), c32(start)))));

function defineStoreX87(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('storeX87', PART_PARAMS, 'i32', (f) => {
    const [cpu, linear, rexW] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const store = storing(f, memory);
    const field = (offset: number, value: I64): void => store(i64.add(linear, c64(offset)), value);
    // The words of the header in one: control, status, tags (one byte, then a reserved one),
    // opcode.
    const header = i64.or(
      i64.load32_u(cpu, S.fcw),
      i64.or(i64.shl(i64.load8_u(cpu, S.ftw), c64(32)), i64.shl(i64.load16_u(cpu, S.fop), c64(48))),
    );
    field(FX.fcw, header);
    const pointer = (at: number): I64 => select(rexW, i64.load(cpu, at), i64.load32_u(cpu, at));
    field(FX.fip, pointer(S.fip));
    field(FX.fdp, pointer(S.fdp));
    times(f, c32(8), (i) => {
      const from = f.let(registerPlace(cpu, physical(cpu, i)));
      const to = entryAt(f, linear, FX.st, i);
      store(to, i64.load(from, S.fpr));
      store(i64.add(to, c64(8)), i64.load16_u(from, S.fpr + 8));
    });
    f.return(c32(0));
  });
}

function defineStoreXmm(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('storeXmm', PART_PARAMS, 'i32', (f) => {
    const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const store = storing(f, memory);
    times(f, f.param(2, 'i32'), (i) => {
      const from = f.let(i32.add(cpu, i32.shl(i, c32(4))));
      const to = entryAt(f, linear, FX.xmm, i);
      store(to, i64.load(from, S.xmm));
      store(i64.add(to, c64(8)), i64.load(from, S.xmm + 8));
    });
    f.return(c32(0));
  });
}

function defineLoadX87(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('loadX87', PART_PARAMS, 'i32', (f) => {
    const [cpu, linear, rexW] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const load = loading(f, memory);
    const field = (offset: number): I64 => load(i64.add(linear, c64(offset)));
    const header = field(FX.fcw);
    setControl(f, cpu, i32.wrap(header));
    f.store16(cpu, i32.wrap(i64.shr_u(header, c64(16))), S.fsw);
    f.store8(cpu, i32.wrap(i64.shr_u(header, c64(32))), S.ftw);
    const fop = i32.wrap(i64.shr_u(header, c64(48)));
    f.store16(cpu, i32.and(fop, c32(FOP_BITS)), S.fop);
    const pointer = (offset: number): I64 => {
      const value = field(offset);
      return select(rexW, value, i64.and(value, c64(0xffff_ffff)));
    };
    f.store64(cpu, pointer(FX.fip), S.fip);
    f.store64(cpu, pointer(FX.fdp), S.fdp);
    clearSelectors(f, cpu);
    updateSummary(f, cpu);
    times(f, c32(8), (i) => {
      const to = f.let(registerPlace(cpu, physical(cpu, i)));
      const from = entryAt(f, linear, FX.st, i);
      f.store64(to, load(from), S.fpr);
      f.storeLow(2, to, load(i64.add(from, c64(8))), S.fpr + 8);
    });
    f.return(c32(0));
  });
}

function defineLoadXmm(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('loadXmm', PART_PARAMS, 'i32', (f) => {
    const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const load = loading(f, memory);
    times(f, f.param(2, 'i32'), (i) => {
      const to = f.let(i32.add(cpu, i32.shl(i, c32(4))));
      const from = entryAt(f, linear, FX.xmm, i);
      f.store64(to, load(from), S.xmm);
      f.store64(to, load(i64.add(from, c64(8))), S.xmm + 8);
    });
    f.return(c32(0));
  });
}

/** Defines {@link FxParts}. */
export function defineFxParts(m: ModuleBuilder, memory: MemoryRuntime): FxParts {
  return {
    storeX87: defineStoreX87(m, memory),
    loadX87: defineLoadX87(m, memory),
    storeXmm: defineStoreXmm(m, memory),
    loadXmm: defineLoadXmm(m, memory),
    storeMxcsr: m.function('storeMxcsr', ['i32', 'i64'], 'i32', (f) => {
      const cpu = f.param(0, 'i32');
      const value = i64.or(i64.load32_u(cpu, S.mxcsr), c64(BigInt(MXCSR_MASK) << 32n));
      storing(f, memory)(i64.add(f.param(1, 'i64'), c64(FX.mxcsr)), value);
      f.return(c32(0));
    }),
  };
}

/** Leaves the function with 1 unless an area of `bytes` can be written. */
export function probeArea(f: FunctionBuilder, memory: MemoryRuntime, bytes: number): void {
  const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
  // Of two faulting pages the second is reported, as processors do.
  for (const at of [i64.add(linear, c64(bytes - 1)), linear]) {
    f.if(call(memory.probeWrite, cpu, at, c32(1)), () => f.return(c32(1)));
  }
}

/** 1 for a value that MXCSR cannot have. */
export const isReservedMxcsr = (mxcsr: I32): I32 =>
  i32.ne(i32.and(mxcsr, c32(MXCSR_RESERVED)), c32(0));

/** Defines the functions in `m`. */
export function defineFxState(m: ModuleBuilder, memory: MemoryRuntime, parts: FxParts): FxState {
  return {
    fxsave: m.function('x87Fxsave', FX_PARAMS, 'i32', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const faults = new Faults(f, cpu);
      probeArea(f, memory, FX_AREA);
      faults.attempt(parts.storeX87, cpu, linear, f.param(2, 'i32'));
      faults.attempt(parts.storeMxcsr, cpu, linear);
      f.return(call(parts.storeXmm, cpu, linear, f.param(3, 'i32')));
    }),
    fxrstor: m.function('x87Fxrstor', FX_PARAMS, 'i32', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const faults = new Faults(f, cpu);
      const load = loading(f, memory);
      // What can fault comes first: the area lies in two pages at most.
      f.drop(load(linear));
      f.drop(load(i64.add(linear, c64(FX_AREA - 8))));
      const mxcsr = f.let(i32.wrap(load(i64.add(linear, c64(FX.mxcsr)))));
      f.if(isReservedMxcsr(mxcsr), () => f.return(c32(RESERVED_MXCSR)));
      f.store32(cpu, mxcsr, S.mxcsr);
      faults.attempt(parts.loadX87, cpu, linear, f.param(2, 'i32'));
      f.return(call(parts.loadXmm, cpu, linear, f.param(3, 'i32')));
    }),
  };
}
