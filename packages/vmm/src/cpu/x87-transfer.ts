// Loads, stores and exchanges of the x87 FPU: SDM vol. 1, 8.3.3 and 8.3.4; vol. 2A: FLD, FST, FILD,
// FIST, FISTTP, FBLD, FBSTP, FXCH, FCMOVcc, FFREE. Memory itself is the semantics' affair: a load
// hands over what it has read, a store is given what to write and is settled when it is written.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { SoftFloat } from './softfloat.ts';
import { C1, IE, QUIET_NAN } from './softfloat-parts.ts';
import { S } from './state.ts';
import {
  clearFlags,
  controlWord,
  DEFAULT_NAN,
  DEFAULT_NAN_SIGN_EXP,
  isEmpty,
  isUsed,
  OUTCOME,
  pop,
  pushRegister,
  registerValue,
  type Settle,
  stackOverflow,
  stackUnderflow,
  type Value,
  writeRegister,
} from './x87-stack.ts';

/** The functions; those with an i32 result return non-zero when an exception is pending. */
export interface X87Transfer {
  /** (cpu, sig, signExp): pushes a value, whose conversion may have raised flags in S.fpFlags. */
  readonly push: Fn<'i32'>;
  /** (cpu, i): pushes ST(i). */
  readonly pushCopy: Fn<'i32'>;
  /** (cpu, i, pops): ST(i) = ST(0). */
  readonly copyTo: Fn<'i32'>;
  /** (cpu, i): exchanges ST(0) and ST(i). */
  readonly exchange: Fn<'i32'>;
  /** (cpu, i, condition): ST(0) = ST(i) if the condition holds. */
  readonly moveIf: Fn<'i32'>;
  /** (cpu) -> ST(0) as the bits of a float; flags in S.fpFlags, to be settled. */
  readonly toF32: Fn<'i64'>;
  readonly toF64: Fn<'i64'>;
  /** (cpu, bits, control): ST(0) as an integer; `control` is OR-ed to the control word. */
  readonly toInteger: Fn<'i64'>;
  /** (cpu): ST(0) as packed decimal; the high two bytes in S.fpScratch. */
  readonly toBcd: Fn<'i64'>;
  /** (cpu): ST(0) as it is; sign and exponent in S.fpScratch. */
  readonly toF80: Fn<'i64'>;
}

const ST0 = c32(0);
const ABOVE = c32(7);

/** A value that may be replaced by the default NaN. */
function mutable(
  f: FunctionBuilder,
  value: Value,
): {
  replace: () => void;
  value: Value;
} {
  const sig = f.let(value.sig);
  const signExp = f.let(value.signExp);
  const replace = (): void => {
    f.set(sig, DEFAULT_NAN.sig);
    f.set(signExp, DEFAULT_NAN.signExp);
  };
  return { replace, value: { sig, signExp } };
}

function settled(f: FunctionBuilder, settle: Settle, cpu: I32, conditions: number = C1): I32 {
  const outcome = f.let(call(settle.settle, cpu, c32(conditions)));
  f.if(i32.eq(outcome, c32(OUTCOME.blocked)), () => f.return(outcome));
  return outcome;
}

function definePushes(m: ModuleBuilder, settle: Settle): Pick<X87Transfer, 'push' | 'pushCopy'> {
  const push = m.function('x87Push', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const [sig, signExp] = [f.param(1, 'i64'), f.param(2, 'i32')];
    f.if(isUsed(cpu, ABOVE), () => {
      stackOverflow(f, cpu);
      f.set(sig, DEFAULT_NAN.sig);
      f.set(signExp, DEFAULT_NAN.signExp);
    });
    const outcome = f.let(call(settle.settle, cpu, c32(C1)));
    // An unmasked denormal is reported, but loaded all the same; IE is never flagged beside DE.
    const invalid = i32.and(i32.load(cpu, S.fpFlags), c32(IE));
    f.if(i32.and(i32.eq(outcome, c32(OUTCOME.blocked)), invalid), () => f.return(outcome));
    pushRegister(f, cpu, sig, signExp);
    f.return(outcome);
  });
  const pushCopy = m.function('x87PushCopy', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const i = f.param(1, 'i32');
    clearFlags(f, cpu);
    const { replace, value } = mutable(f, registerValue(cpu, i));
    f.if(isUsed(cpu, ABOVE), () => {
      stackOverflow(f, cpu);
      replace();
    });
    // Where the register to copy is empty as well, that is what is reported.
    f.if(isEmpty(cpu, i), () => {
      stackUnderflow(f, cpu);
      replace();
    });
    const outcome = settled(f, settle, cpu);
    pushRegister(f, cpu, value.sig, value.signExp);
    f.return(outcome);
  });
  return { push, pushCopy };
}

function defineCopyTo(m: ModuleBuilder, settle: Settle): Fn<'i32'> {
  return m.function('x87CopyTo', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    clearFlags(f, cpu);
    const { replace, value } = mutable(f, registerValue(cpu, ST0));
    f.if(isEmpty(cpu, ST0), () => {
      stackUnderflow(f, cpu);
      replace();
    });
    const outcome = settled(f, settle, cpu);
    writeRegister(f, cpu, f.param(1, 'i32'), value.sig, value.signExp);
    f.if(f.param(2, 'i32'), () => pop(f, cpu));
    f.return(outcome);
  });
}

function defineExchange(m: ModuleBuilder, settle: Settle): Fn<'i32'> {
  return m.function('x87Exchange', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const i = f.param(1, 'i32');
    clearFlags(f, cpu);
    const top = mutable(f, registerValue(cpu, ST0));
    const other = mutable(f, registerValue(cpu, i));
    f.if(isEmpty(cpu, ST0), () => {
      stackUnderflow(f, cpu);
      top.replace();
    });
    f.if(isEmpty(cpu, i), () => {
      stackUnderflow(f, cpu);
      other.replace();
    });
    const outcome = settled(f, settle, cpu);
    writeRegister(f, cpu, ST0, other.value.sig, other.value.signExp);
    writeRegister(f, cpu, i, top.value.sig, top.value.signExp);
    f.return(outcome);
  });
}

function defineMoveIf(m: ModuleBuilder, settle: Settle): Fn<'i32'> {
  return m.function('x87MoveIf', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const i = f.param(1, 'i32');
    const moves = f.param(2, 'i32');
    clearFlags(f, cpu);
    const { replace, value } = mutable(f, registerValue(cpu, i));
    f.if(i32.or(isEmpty(cpu, ST0), isEmpty(cpu, i)), () => {
      stackUnderflow(f, cpu);
      replace();
      f.set(moves, c32(1));
    });
    const outcome = settled(f, settle, cpu, 0);
    f.if(moves, () => writeRegister(f, cpu, ST0, value.sig, value.signExp));
    f.return(outcome);
  });
}

/** (cpu, ...more): ST(0) converted, or `absent` when it is empty. */
function defineStore(
  m: ModuleBuilder,
  name: string,
  more: readonly 'i32'[],
  convert: (f: FunctionBuilder, x: Value) => I64,
  absent: (f: FunctionBuilder) => I64,
): Fn<'i64'> {
  return m.function(`x87${name}`, ['i32', ...more], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    clearFlags(f, cpu);
    f.if(isEmpty(cpu, ST0), () => {
      stackUnderflow(f, cpu);
      f.store32(cpu, c32(DEFAULT_NAN_SIGN_EXP), S.fpScratch);
      f.return(absent(f));
    });
    f.return(convert(f, registerValue(cpu, ST0)));
  });
}

/** Defines the functions in `m`. */
export function defineX87Transfer(
  m: ModuleBuilder,
  settle: Settle,
  { f80 }: SoftFloat,
): X87Transfer {
  const control = (f: FunctionBuilder): I32 => controlWord(f.param(0, 'i32'));
  const toF32 = defineStore(
    m,
    'ToF32',
    [],
    (f, x) => i64.extend_u(call(f80.toF32, f.param(0, 'i32'), x.sig, x.signExp, control(f))),
    () => c64(0xffc0_0000n),
  );
  const toF64 = defineStore(
    m,
    'ToF64',
    [],
    (f, x) => call(f80.toF64, f.param(0, 'i32'), x.sig, x.signExp, control(f)),
    () => c64(0xfff8n << 48n),
  );
  const toInteger = defineStore(
    m,
    'ToInteger',
    ['i32', 'i32'],
    (f, x) => {
      const rounding = i32.or(control(f), f.param(2, 'i32'));
      const bits = f.param(1, 'i32');
      return call(f80.toInteger, f.param(0, 'i32'), x.sig, x.signExp, rounding, bits);
    },
    // The integer indefinite, the least there is.
    (f) => i64.shl(c64(-1), i64.extend_u(i32.sub(f.param(1, 'i32'), c32(1)))),
  );
  const toBcd = defineStore(
    m,
    'ToBcd',
    [],
    (f, x) => call(f80.toBcd, f.param(0, 'i32'), x.sig, x.signExp, control(f)),
    () => QUIET_NAN,
  );
  const toF80 = defineStore(
    m,
    'ToF80',
    [],
    (f, x) => {
      f.store32(f.param(0, 'i32'), x.signExp, S.fpScratch);
      return x.sig;
    },
    () => QUIET_NAN,
  );
  return {
    ...definePushes(m, settle),
    copyTo: defineCopyTo(m, settle),
    exchange: defineExchange(m, settle),
    moveIf: defineMoveIf(m, settle),
    toF32,
    toF64,
    toInteger,
    toBcd,
    toF80,
  };
}
