// Control of the x87 FPU: control and status word, environment and state, WAIT, FXSAVE and FXRSTOR
// (SDM vol. 1, 8.3.11 and 8.6; vol. 2A), XSAVE and XRSTOR (vol. 1, chapter 13). None of them
// changes the pointers to the last instruction.

import { c32, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import {
  CR0_EM,
  CR0_MP,
  CR0_TS,
  CR4_OSXSAVE,
  hasBits,
  isCanonical,
  control as register,
} from './control-bits.ts';
import { FX_AREA, RESERVED_MXCSR } from './fxsave.ts';
import { pendingX87 } from './sse-operand.ts';
import { S, VECTOR } from './state.ts';
import { runtime } from './x87-instruction.ts';
import type { X87Runtime } from './x87-runtime.ts';
import { ES_B, EXCEPTIONS, SF, statusWord } from './x87-stack.ts';
import { ENVIRONMENT_16, ENVIRONMENT_32, REGISTERS } from './x87-state.ts';
import { XSAVE_FORM } from './xsave.ts';
import { XSAVE_ALIGNMENT, XSAVE_BASE_BYTES } from './xstate.ts';

/** A control instruction; the waiting ones take a pending exception first. */
const control =
  (waits: boolean, body: (x: Context, rt: X87Runtime) => void): Semantic =>
  (x) => {
    if (waits) pendingX87(x);
    body(x, runtime(x));
  };

/** FLDENV, FNSTENV, FRSTOR, FNSAVE. */
const environment =
  (waits: boolean, pick: (rt: X87Runtime) => Fn<'i32'>, write: boolean, more = 0): Semantic =>
  (x) => {
    if (waits) pendingX87(x);
    const large = x.opsize !== 2;
    const bytes = (large ? ENVIRONMENT_32 : ENVIRONMENT_16) + more;
    // The first word is accessed before the area's end can be found beyond the limit.
    const first = x.linearAddress(2, write);
    const mask = large ? 3 : 1;
    x.attempt(x.runtime.memory.checkAligned, x.cpu, first, c32(mask));
    if (write) x.attempt(x.runtime.memory.probeWrite, x.cpu, first, c32(2));
    else x.f.drop(x.load(2, first));
    x.attempt(pick(runtime(x)), x.cpu, x.linearAddress(bytes, write), c32(large ? 1 : 0));
  };

const wait: Semantic = (x) => {
  const cr0 = i32.wrap(i64.load(x.cpu, S.cr0));
  x.raise(VECTOR.NM, { when: i32.eq(i32.and(cr0, c32(CR0_MP | CR0_TS)), c32(CR0_MP | CR0_TS)) });
  pendingX87(x);
};

/** The linear address of an area that is aligned to `alignment` bytes, checked as processors do. */
function alignedArea(x: Context, bytes: number, alignment: number, write: boolean): I64 {
  const { f, cpu } = x;
  // Alignment is looked at before the limit that the area may cross and the right to write, but
  // after canonicality, which the access finds out.
  const start = f.let(x.linearAddress(16, false));
  x.attempt(x.runtime.memory.checkAligned, cpu, start, c32(3));
  const misaligned = i32.and(i32.wrap(start), c32(alignment - 1));
  x.raise(VECTOR.GP, { code: c32(0), when: select(isCanonical(start), misaligned, c32(0)) });
  return f.let(x.linearAddress(bytes, write));
}

/** FXSAVE and FXRSTOR: SDM vol. 2A; the area is aligned to 16 bytes. */
const fx =
  (pick: (rt: X87Runtime) => Fn<'i32'>, write: boolean): Semantic =>
  (x) => {
    const { f, cpu } = x;
    const cr0 = f.let(i32.wrap(i64.load(cpu, S.cr0)));
    x.raise(VECTOR.UD, { when: i32.and(cr0, c32(CR0_EM)) });
    x.raise(VECTOR.NM, { when: i32.and(cr0, c32(CR0_TS)) });
    const linear = alignedArea(x, FX_AREA, 16, write);
    const rexW = c32(x.opsize === 8 ? 1 : 0);
    const registers = c32(x.wide ? 16 : 8);
    const failed = f.let(call(pick(runtime(x)), cpu, linear, rexW, registers));
    x.raise(VECTOR.GP, { code: c32(0), when: i32.eq(failed, c32(RESERVED_MXCSR)) });
    x.faultIf(failed);
  };

/** What XSAVE and its like have in common: #UD, #NM, the area. */
const xstate =
  (
    write: boolean,
    body: (x: Context, rt: X87Runtime, args: [I32, I64, I32, I32]) => void,
  ): Semantic =>
  (x) => {
    const { cpu } = x;
    const enabled = hasBits(register(cpu, S.cr4), CR4_OSXSAVE);
    x.raise(VECTOR.UD, { when: i32.eqz(enabled) });
    x.raise(VECTOR.NM, { when: hasBits(register(cpu, S.cr0), CR0_TS) });
    const linear = alignedArea(x, XSAVE_BASE_BYTES, XSAVE_ALIGNMENT, write);
    const rexW = c32(x.opsize === 8 ? 1 : 0);
    body(x, runtime(x), [cpu, linear, rexW, c32(x.wide ? 16 : 8)]);
  };

const xsave = (form: number): Semantic =>
  xstate(true, (x, rt, args) => x.attempt(rt.xsave, ...args, c32(form)));

const nothing = (): void => {};

/** Semantics by mnemonic. */
export const x87ControlSemantics: SemanticTable = {
  fldcw: control(true, (x, rt) => x.f.call(rt.loadControl, x.cpu, i32.wrap(x.read(0)))),
  fnstcw: control(false, (x) => x.write(0, i64.load16_u(x.cpu, S.fcw))),
  fnstsw: control(false, (x) => x.write(0, i64.load16_u(x.cpu, S.fsw))),
  fnclex: control(false, (x) => {
    const kept = i32.and(statusWord(x.cpu), c32(~(ES_B | EXCEPTIONS | SF)));
    x.f.store16(x.cpu, kept, S.fsw);
  }),
  fninit: control(false, (x, rt) => x.f.call(rt.init, x.cpu)),
  fneni: control(false, nothing),
  fndisi: control(false, nothing),
  fnsetpm: control(false, nothing),
  fldenv: environment(true, (rt) => rt.loadEnvironment, false),
  fnstenv: environment(false, (rt) => rt.storeEnvironment, true),
  frstor: environment(true, (rt) => rt.restore, false, REGISTERS),
  fnsave: environment(false, (rt) => rt.save, true, REGISTERS),
  wait,
  fxsave: fx((rt) => rt.fxsave, true),
  fxrstor: fx((rt) => rt.fxrstor, false),
  xsave: xsave(XSAVE_FORM.plain),
  xsaveopt: xsave(XSAVE_FORM.optimized),
  xsavec: xsave(XSAVE_FORM.compacted),
  xrstor: xstate(false, (x, rt, args) => x.attempt(rt.xrstor, ...args)),
};
