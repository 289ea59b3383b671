// The register stack and the status word of the x87 FPU: SDM vol. 1, 8.1.2 (registers, TOP), 8.1.3
// (status), 8.1.7 (tags), 8.5 (exceptions). Registers lie in the state by physical number; a bit of
// S.ftw says of each that it is in use, and the two-bit tags that FNSTENV stores are made from that
// and from the contents.
//
// The functions of the x87 files collect exceptions in S.fpFlags, in the places of the status word;
// `settle` then decides whether the result counts, and reports an unmasked exception in the summary
// bits ES and B, for the next waiting instruction to raise #MF. CR0.NE is taken to be set: the
// external interrupt of the 8086's coprocessor is not modelled.

import { c32, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { C0, C1, C2, C3, IE, QUIET_NAN } from './softfloat-parts.ts';
import { S } from './state.ts';

/** Stack fault: with IE, the stack overflowed (C1 set) or underflowed. */
export const SF: number = 1 << 6;
/** ES, the summary of unmasked exceptions, and B, which has long been a copy of it. */
export const ES_B: number = (1 << 7) | (1 << 15);
/** All exceptions. */
export const EXCEPTIONS = 0x3f;
/** IE, DE and ZE, which are found before there is a result. */
const BEFORE = 0x07;
/** The exceptions that keep a store to memory from happening: all but PE. */
const BEFORE_STORE = 0x1f;
/** All condition codes. */
export const CONDITIONS: number = C0 | C1 | C2 | C3;
const TOP_SHIFT = 11;
/** TOP in the status word. */
export const TOP: number = 7 << TOP_SHIFT;
/** Sign and exponent of the default NaN, whose significand is QUIET_NAN. */
export const DEFAULT_NAN_SIGN_EXP = 0xffff;

/** Outcomes of {@link Settle.settle}. */
export const OUTCOME = {
  /** No unmasked exception. */
  done: 0,
  /** An exception is pending, but the result counts. */
  pending: 1,
  /** An exception is pending, and there is no result. */
  blocked: 2,
} as const;

export const controlWord = (cpu: I32): I32 => i32.load16_u(cpu, S.fcw);
export const statusWord = (cpu: I32): I32 => i32.load16_u(cpu, S.fsw);

/** TOP, the physical number of ST(0). */
export const topOf = (cpu: I32): I32 => i32.and(i32.shr_u(statusWord(cpu), c32(TOP_SHIFT)), c32(7));

/** The physical number of ST(i). */
export const physical = (cpu: I32, i: I32): I32 => i32.and(i32.add(topOf(cpu), i), c32(7));

/** What to add S.fpr to for the address of physical register `n`. */
const place = (cpu: I32, n: I32): I32 => i32.add(cpu, i32.shl(n, c32(4)));

/** Significand, and sign and exponent, of ST(i). */
export const significandAt = (cpu: I32, i: I32): I64 =>
  i64.load(place(cpu, physical(cpu, i)), S.fpr);
export const signExpAt = (cpu: I32, i: I32): I32 =>
  i32.load16_u(place(cpu, physical(cpu, i)), S.fpr + 8);

/** 1 when ST(i) is in use. */
export const isUsed = (cpu: I32, i: I32): I32 =>
  i32.and(i32.shr_u(i32.load8_u(cpu, S.ftw), physical(cpu, i)), c32(1));

/** 1 when ST(i) is empty. */
export const isEmpty = (cpu: I32, i: I32): I32 => i32.eqz(isUsed(cpu, i));

/** Writes ST(i) and marks it used. */
export function writeRegister(f: FunctionBuilder, cpu: I32, i: I32, sig: I64, signExp: I32): void {
  const n = f.let(physical(cpu, i));
  const address = f.let(place(cpu, n));
  f.store64(address, sig, S.fpr);
  f.store16(address, signExp, S.fpr + 8);
  f.store8(cpu, i32.or(i32.load8_u(cpu, S.ftw), i32.shl(c32(1), n)), S.ftw);
}

/** Marks ST(i) empty. */
export function freeRegister(f: FunctionBuilder, cpu: I32, i: I32): void {
  const bit = i32.shl(c32(1), physical(cpu, i));
  f.store8(cpu, i32.and(i32.load8_u(cpu, S.ftw), i32.xor(bit, c32(-1))), S.ftw);
}

/** Adds `count` to TOP, modulo 8. */
export function moveTop(f: FunctionBuilder, cpu: I32, count: number): void {
  const moved = i32.add(statusWord(cpu), c32((count & 7) << TOP_SHIFT));
  const top = i32.and(moved, c32(TOP));
  f.store16(cpu, i32.or(i32.and(statusWord(cpu), c32(~TOP)), top), S.fsw);
}

/** Clears C1, as instructions do that neither round nor fault. */
export const clearC1 = (f: FunctionBuilder, cpu: I32): void =>
  f.store16(cpu, i32.and(statusWord(cpu), c32(~C1)), S.fsw);

/** Empties ST(0) and makes ST(1) the top. */
export function pop(f: FunctionBuilder, cpu: I32): void {
  freeRegister(f, cpu, c32(0));
  moveTop(f, cpu, 1);
}

/** Makes a new ST(0). */
export function pushRegister(f: FunctionBuilder, cpu: I32, sig: I64, signExp: I32): void {
  moveTop(f, cpu, -1);
  writeRegister(f, cpu, c32(0), sig, signExp);
}

/** Forgets the exceptions of earlier instructions: what every operation begins with. */
export const clearFlags = (f: FunctionBuilder, cpu: I32): void => f.store32(cpu, c32(0), S.fpFlags);

/** Reports a stack fault, which goes before all else. */
export const stackUnderflow = (f: FunctionBuilder, cpu: I32): void =>
  f.store32(cpu, c32(IE | SF), S.fpFlags);
export const stackOverflow = (f: FunctionBuilder, cpu: I32): void =>
  f.store32(cpu, c32(IE | SF | C1), S.fpFlags);

/** Sets ES and B by what is flagged and what is masked. */
export function updateSummary(f: FunctionBuilder, cpu: I32): void {
  const status = f.let(i32.and(statusWord(cpu), c32(~ES_B)));
  const masks = i32.xor(controlWord(cpu), c32(-1));
  const unmasked = i32.and(i32.and(status, masks), c32(EXCEPTIONS));
  f.if(unmasked, () => f.set(status, i32.or(status, c32(ES_B))));
  f.store16(cpu, status, S.fsw);
}

/** The functions that end an instruction. */
export interface Settle {
  /**
   * (cpu, conditions) -> one of {@link OUTCOME}: takes S.fpFlags to the status word; `conditions`
   * are the condition codes to clear first. A stack fault clears C1 in any case, and without a
   * result C0 and C3 stay.
   */
  readonly settle: Fn<'i32'>;
  /** (cpu) -> non-zero when the flags of a store to memory keep it from happening. */
  readonly storeBlocked: Fn<'i32'>;
  /** (cpu, pops) -> non-zero when an exception is pending: ends a store to memory. */
  readonly settleStore: Fn<'i32'>;
}

/** Defines {@link Settle}. */
export function defineSettle(m: ModuleBuilder): Settle {
  const settle = m.function('x87Settle', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const flags = f.let(i32.load(cpu, S.fpFlags));
    const masks = i32.xor(controlWord(cpu), c32(-1));
    const unmasked = f.let(i32.and(i32.and(flags, masks), c32(EXCEPTIONS)));
    const before = f.let(i32.and(unmasked, c32(BEFORE)));
    const stackFault = i32.and(flags, c32(SF));
    f.if(i32.and(i32.ne(before, c32(0)), i32.eqz(stackFault)), () =>
      f.set(flags, i32.and(flags, c32(BEFORE))),
    );
    const conditions = f.param(1, 'i32');
    f.if(i32.and(flags, c32(SF)), () => f.set(conditions, i32.or(conditions, c32(C1))));
    f.if(before, () => f.set(conditions, i32.and(conditions, c32(C1 | C2))));
    const cleared = i32.and(statusWord(cpu), i32.xor(conditions, c32(-1)));
    const status = f.let(i32.or(cleared, i32.and(flags, c32(EXCEPTIONS | SF | CONDITIONS))));
    f.if(unmasked, () => f.set(status, i32.or(status, c32(ES_B))));
    f.store16(cpu, status, S.fsw);
    f.if(before, () => f.return(c32(OUTCOME.blocked)));
    f.return(i32.ne(unmasked, c32(OUTCOME.done)));
  });
  const storeBlocked = m.function('x87StoreBlocked', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const masks = i32.xor(controlWord(cpu), c32(-1));
    f.return(i32.and(i32.and(i32.load(cpu, S.fpFlags), masks), c32(BEFORE_STORE)));
  });
  const settleStore = m.function('x87SettleStore', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const blocked = f.let(call(storeBlocked, cpu));
    const outcome = f.let(call(settle, cpu, c32(C1)));
    f.if(i32.and(i32.eqz(blocked), f.param(1, 'i32')), () => pop(f, cpu));
    f.return(outcome);
  });
  return { settle, storeBlocked, settleStore };
}

/** A double extended value in locals, and its default. */
export interface Value {
  readonly sig: I64;
  readonly signExp: I32;
}

/** The default NaN, the result of a masked stack fault. */
export const DEFAULT_NAN: Value = { sig: QUIET_NAN, signExp: c32(DEFAULT_NAN_SIGN_EXP) };

/** ST(i) as it is. */
export const registerValue = (cpu: I32, i: I32): Value => ({
  sig: significandAt(cpu, i),
  signExp: signExpAt(cpu, i),
});

/** The result of a function of the software floating point. */
export function resultOf(
  f: FunctionBuilder,
  cpu: I32,
  fn: Fn<'i64'>,
  ...args: (I32 | I64)[]
): Value {
  const sig = f.let(call(fn, cpu, ...args));
  return { sig, signExp: f.let(i32.load(cpu, S.fpScratch)) };
}
