// The arithmetic of the x87 FPU on its stack: operands that are not there, results, pops and pushes
// around the functions of softfloat.ts. SDM vol. 1, 8.3.5 to 8.3.9, 8.5.1.1 (stack faults); vol.
// 2A.
//
// A stack fault with IE masked gives the default NaN wherever the instruction has a result.

import { c32, call, type Fn, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { SoftFloat } from './softfloat.ts';
import { BIAS, C0, C1, C2, C3, EXP_SPECIAL, INTEGER_BIT, ZERO64 } from './softfloat-parts.ts';
import { S } from './state.ts';
import {
  CONDITIONS,
  clearFlags,
  controlWord,
  DEFAULT_NAN,
  isEmpty,
  isUsed,
  OUTCOME,
  pop,
  pushRegister,
  registerValue,
  resultOf,
  type Settle,
  stackOverflow,
  stackUnderflow,
  statusWord,
  type Value,
  writeRegister,
} from './x87-stack.ts';

const ARITHMETIC = ['add', 'subtract', 'multiply', 'divide'] as const;
/** Names of the four operations. */
export type ArithmeticName = (typeof ARITHMETIC)[number];
const UNARY = ['sqrt', 'roundIntegral', 'exp2m1', 'sin', 'cos'] as const;
/** Operations on ST(0). */
export type UnaryName = (typeof UNARY)[number];
/** Operations on ST(0) and ST(1): the result in ST(0), or in ST(1) and a pop. */
export type BinaryName = 'scale' | 'prem' | 'prem1' | 'yLog2x' | 'yLog2xp1' | 'atan2';
/** Operations that replace ST(0) and push a second result. */
export type PushingName = 'tan' | 'sincos' | 'extract';

/** The functions; those with a result return non-zero when an exception is pending. */
export interface X87Arithmetic {
  /** (cpu, a, b, to, pops): ST(to) = ST(a) op ST(b). */
  readonly registers: Readonly<Record<ArithmeticName, Fn<'i32'>>>;
  /** (cpu, sig, signExp, reversed): ST(0) = ST(0) op operand, or the other way round. */
  readonly operand: Readonly<Record<ArithmeticName, Fn<'i32'>>>;
  /** (cpu) */
  readonly unary: Readonly<Record<UnaryName, Fn<'i32'>>>;
  readonly binary: Readonly<Record<BinaryName, Fn<'i32'>>>;
  readonly pushing: Readonly<Record<PushingName, Fn<'i32'>>>;
  /** (cpu, signMask, sign): FABS and FCHS: the sign is kept by the mask and inverted. */
  readonly sign: Fn<'i32'>;
  /**
   * (cpu, sig, signExp, signalling) -> the relation of ST(0) to the operand as RFLAGS bits, and
   * {@link COMPARE_PENDING}. An unmasked exception does not keep the codes from being set, contrary
   * to the manual, but it keeps registers from being popped.
   */
  readonly compareOperand: Fn<'i32'>;
  /** (cpu, i, signalling, conditions): the same with ST(i); `conditions` are the codes to clear. */
  readonly compareRegister: Fn<'i32'>;
  /** (cpu, relation, pops): sets C3, C2, C0, and pops unless an exception is pending. */
  readonly setRelation: Fn<'void'>;
  /** (cpu): FXAM. */
  readonly examine: Fn<'void'>;
}

/** A value that is computed on one of two ways. */
interface Result {
  readonly sig: Local<'i64'>;
  readonly signExp: Local<'i32'>;
}

const newResult = (f: FunctionBuilder): Result => ({
  sig: f.local('i64'),
  signExp: f.local('i32'),
});

function assign(f: FunctionBuilder, to: Result, value: Value): void {
  f.set(to.sig, value.sig);
  f.set(to.signExp, value.signExp);
}

/** Settles, and returns if there is no result; else gives the outcome to return at the end. */
function settleOrReturn(
  f: FunctionBuilder,
  settle: Settle,
  cpu: I32,
  conditions: I32 = c32(C1),
): Local<'i32'> {
  const outcome = f.let(call(settle.settle, cpu, conditions));
  f.if(i32.eq(outcome, c32(OUTCOME.blocked)), () => f.return(outcome));
  return outcome;
}

/** 1 unless it is an infinity or a NaN. */
const isNumber = (signExp: I32): I32 =>
  i32.ne(i32.and(signExp, c32(EXP_SPECIAL)), c32(EXP_SPECIAL));

const ST0 = c32(0);
const ST1 = c32(1);
/** Where a push goes: ST(7) before it. */
const ABOVE = c32(7);

function defineRegisters(m: ModuleBuilder, settle: Settle, name: string, fn: Fn<'i64'>): Fn<'i32'> {
  return m.function(`x87Registers_${name}`, ['i32', 'i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const [a, b] = [f.param(1, 'i32'), f.param(2, 'i32')];
    const result = newResult(f);
    clearFlags(f, cpu);
    f.if(
      i32.and(isUsed(cpu, a), isUsed(cpu, b)),
      () => {
        const [x, y] = [registerValue(cpu, a), registerValue(cpu, b)];
        const args = [x.sig, x.signExp, y.sig, y.signExp, controlWord(cpu)];
        assign(f, result, resultOf(f, cpu, fn, ...args));
      },
      () => {
        stackUnderflow(f, cpu);
        assign(f, result, DEFAULT_NAN);
      },
    );
    const outcome = settleOrReturn(f, settle, cpu);
    writeRegister(f, cpu, f.param(3, 'i32'), result.sig, result.signExp);
    f.if(f.param(4, 'i32'), () => pop(f, cpu));
    f.return(outcome);
  });
}

function defineOperand(m: ModuleBuilder, settle: Settle, name: string, fn: Fn<'i64'>): Fn<'i32'> {
  return m.function(`x87Operand_${name}`, ['i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const operand: Value = { sig: f.param(1, 'i64'), signExp: f.param(2, 'i32') };
    const result = newResult(f);
    const compute = (x: Value, y: Value) => (): void => {
      const args = [x.sig, x.signExp, y.sig, y.signExp, controlWord(cpu)];
      assign(f, result, resultOf(f, cpu, fn, ...args));
    };
    f.if(
      isUsed(cpu, ST0),
      () => {
        const top = registerValue(cpu, ST0);
        f.if(f.param(3, 'i32'), compute(operand, top), compute(top, operand));
      },
      () => {
        stackUnderflow(f, cpu);
        assign(f, result, DEFAULT_NAN);
      },
    );
    const outcome = settleOrReturn(f, settle, cpu);
    writeRegister(f, cpu, ST0, result.sig, result.signExp);
    f.return(outcome);
  });
}

function defineUnary(m: ModuleBuilder, settle: Settle, name: UnaryName, fn: Fn<'i64'>): Fn<'i32'> {
  return m.function(`x87Unary_${name}`, ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const result = newResult(f);
    clearFlags(f, cpu);
    f.if(
      isUsed(cpu, ST0),
      () => {
        const x = registerValue(cpu, ST0);
        assign(f, result, resultOf(f, cpu, fn, x.sig, x.signExp, controlWord(cpu)));
      },
      () => {
        stackUnderflow(f, cpu);
        assign(f, result, DEFAULT_NAN);
      },
    );
    const angle = name === 'sin' || name === 'cos';
    const outcome = settleOrReturn(f, settle, cpu, c32(angle ? C1 | C2 : C1));
    writeRegister(f, cpu, ST0, result.sig, result.signExp);
    f.return(outcome);
  });
}

function defineBinary(
  m: ModuleBuilder,
  settle: Settle,
  name: BinaryName,
  fn: Fn<'i64'>,
  more: readonly I32[],
): Fn<'i32'> {
  return m.function(`x87Binary_${name}`, ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const result = newResult(f);
    clearFlags(f, cpu);
    f.if(
      i32.and(isUsed(cpu, ST0), isUsed(cpu, ST1)),
      () => {
        const [x, y] = [registerValue(cpu, ST0), registerValue(cpu, ST1)];
        const args = [x.sig, x.signExp, y.sig, y.signExp, controlWord(cpu), ...more];
        assign(f, result, resultOf(f, cpu, fn, ...args));
      },
      () => {
        stackUnderflow(f, cpu);
        assign(f, result, DEFAULT_NAN);
      },
    );
    const remainder = name === 'prem' || name === 'prem1';
    const conditions = f.let(c32(remainder ? C1 | C2 : C1));
    // The quotient's bits are set by a remainder, not by a NaN.
    if (remainder) f.if(isNumber(result.signExp), () => f.set(conditions, c32(CONDITIONS)));
    const outcome = settleOrReturn(f, settle, cpu, conditions);
    const pops = !remainder && name !== 'scale';
    writeRegister(f, cpu, pops ? ST1 : ST0, result.sig, result.signExp);
    if (pops) pop(f, cpu);
    f.return(outcome);
  });
}

/** `compute` gives the result for ST(0), then that to be pushed. */
function definePushing(
  m: ModuleBuilder,
  settle: Settle,
  name: PushingName,
  compute: (f: FunctionBuilder, x: Value) => [Value, Value],
): Fn<'i32'> {
  return m.function(`x87Pushing_${name}`, ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const [first, second] = [newResult(f), newResult(f)];
    clearFlags(f, cpu);
    const room = i32.and(isUsed(cpu, ST0), isEmpty(cpu, ABOVE));
    f.if(
      room,
      () => {
        const [below, above] = compute(f, registerValue(cpu, ST0));
        assign(f, first, below);
        assign(f, second, above);
      },
      () => {
        stackOverflow(f, cpu);
        f.if(isEmpty(cpu, ST0), () => stackUnderflow(f, cpu));
        assign(f, first, DEFAULT_NAN);
        assign(f, second, DEFAULT_NAN);
      },
    );
    const outcome = settleOrReturn(f, settle, cpu, c32(name === 'extract' ? C1 : C1 | C2));
    writeRegister(f, cpu, ST0, first.sig, first.signExp);
    // An argument out of range is left alone.
    f.if(i32.eqz(i32.and(i32.load(cpu, S.fpFlags), c32(C2))), () =>
      pushRegister(f, cpu, second.sig, second.signExp),
    );
    f.return(outcome);
  });
}

function definePushingAll(
  m: ModuleBuilder,
  settle: Settle,
  { f80 }: SoftFloat,
): X87Arithmetic['pushing'] {
  const of = (f: FunctionBuilder, fn: Fn<'i64'>, x: Value): Value => {
    const cpu = f.param(0, 'i32');
    return resultOf(f, cpu, fn, x.sig, x.signExp, controlWord(cpu));
  };
  const tan = definePushing(m, settle, 'tan', (f, x) => {
    const result = of(f, f80.tan, x);
    // FPTAN pushes 1, but beside a NaN the NaN again.
    const nan = f.let(i32.eqz(isNumber(result.signExp)));
    const sig = f.choose(
      'i64',
      nan,
      () => result.sig,
      () => INTEGER_BIT,
    );
    const signExp = f.choose(
      'i32',
      nan,
      () => result.signExp,
      () => c32(BIAS),
    );
    return [result, { sig, signExp }];
  });
  const sincos = definePushing(m, settle, 'sincos', (f, x) => {
    const sine = of(f, f80.sin, x);
    return [sine, of(f, f80.cos, x)];
  });
  const extract = definePushing(m, settle, 'extract', (f, x) => {
    const cpu = f.param(0, 'i32');
    const exponent = resultOf(f, cpu, f80.extractExponent, x.sig, x.signExp);
    return [exponent, resultOf(f, cpu, f80.extractSignificand, x.sig, x.signExp)];
  });
  return { tan, sincos, extract };
}

function defineSign(m: ModuleBuilder, settle: Settle): Fn<'i32'> {
  return m.function('x87Sign', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const result = newResult(f);
    clearFlags(f, cpu);
    f.if(
      isUsed(cpu, ST0),
      () => {
        const x = registerValue(cpu, ST0);
        const kept = i32.and(x.signExp, f.param(1, 'i32'));
        assign(f, result, { sig: x.sig, signExp: i32.xor(kept, f.param(2, 'i32')) });
      },
      () => {
        stackUnderflow(f, cpu);
        assign(f, result, DEFAULT_NAN);
      },
    );
    const outcome = settleOrReturn(f, settle, cpu);
    writeRegister(f, cpu, ST0, result.sig, result.signExp);
    f.return(outcome);
  });
}

/** Unordered, as a relation. */
const UNORDERED = c32(0x45);

/** In a comparison's result: an exception is pending. */
export const COMPARE_PENDING = 0x100;

/** Settles a comparison and returns its relation; `conditions` are the codes to clear. */
function returnRelation(
  f: FunctionBuilder,
  settle: Settle,
  cpu: I32,
  conditions: I32,
  relation: I32,
): void {
  const kept = f.let(relation);
  const pending = i32.ne(call(settle.settle, cpu, conditions), c32(0));
  f.return(i32.or(kept, i32.mul(pending, c32(COMPARE_PENDING))));
}

function defineCompares(
  m: ModuleBuilder,
  settle: Settle,
  compare: Fn<'i32'>,
): Pick<X87Arithmetic, 'compareOperand' | 'compareRegister' | 'setRelation'> {
  const relationTo = (cpu: I32, y: Value, signalling: I32): I32 => {
    const x = registerValue(cpu, ST0);
    return call(compare, cpu, x.sig, x.signExp, y.sig, y.signExp, signalling);
  };
  const absent = (f: FunctionBuilder, cpu: I32) => (): I32 => {
    stackUnderflow(f, cpu);
    return UNORDERED;
  };
  const compareOperand = m.function(
    'x87CompareOperand',
    ['i32', 'i64', 'i32', 'i32'],
    'i32',
    (f) => {
      const cpu = f.param(0, 'i32');
      const operand = { sig: f.param(1, 'i64'), signExp: f.param(2, 'i32') };
      const relation = f.choose(
        'i32',
        isUsed(cpu, ST0),
        () => relationTo(cpu, operand, f.param(3, 'i32')),
        absent(f, cpu),
      );
      returnRelation(f, settle, cpu, c32(C1), relation);
    },
  );
  const compareRegister = m.function(
    'x87CompareRegister',
    ['i32', 'i32', 'i32', 'i32'],
    'i32',
    (f) => {
      const cpu = f.param(0, 'i32');
      const i = f.param(1, 'i32');
      clearFlags(f, cpu);
      const relation = f.choose(
        'i32',
        i32.and(isUsed(cpu, ST0), isUsed(cpu, i)),
        () => relationTo(cpu, registerValue(cpu, i), f.param(2, 'i32')),
        absent(f, cpu),
      );
      returnRelation(f, settle, cpu, f.param(3, 'i32'), relation);
    },
  );
  const setRelation = m.function('x87SetRelation', ['i32', 'i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const relation = f.param(1, 'i32');
    const pops = f.param(2, 'i32');
    // ZF, PF and CF are eight places below C3, C2 and C0.
    const status = i32.and(statusWord(cpu), c32(~(C0 | C2 | C3)));
    const codes = i32.shl(i32.and(relation, c32(0xff)), c32(8));
    f.store16(cpu, i32.or(status, codes), S.fsw);
    f.if(i32.and(relation, c32(COMPARE_PENDING)), () => f.return());
    f.loop((again) => {
      f.if(pops, () => {
        pop(f, cpu);
        f.set(pops, i32.sub(pops, c32(1)));
        f.br(again);
      });
    });
  });
  return { compareOperand, compareRegister, setRelation };
}

/** FXAM's classes, in C3, C2 and C0: vol. 2A, "FXAM", table 3-42. */
const EXAMINE = {
  unsupported: 0,
  nan: C0,
  normal: C2,
  infinity: C2 | C0,
  zero: C3,
  empty: C3 | C0,
  denormal: C3 | C2,
} as const;

function defineExamine(m: ModuleBuilder): Fn<'void'> {
  return m.function('x87Examine', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const sig = f.let(significand(cpu));
    const signExp = f.let(registerValue(cpu, ST0).signExp);
    const exp = f.let(i32.and(signExp, c32(EXP_SPECIAL)));
    const kind = f.let(c32(EXAMINE.normal));
    const integer = i64.lt_s(sig, ZERO64);
    f.if(
      i32.eqz(exp),
      () => {
        f.set(kind, c32(EXAMINE.denormal));
        f.if(i64.eqz(sig), () => f.set(kind, c32(EXAMINE.zero)));
      },
      () => {
        f.if(i32.eq(exp, c32(EXP_SPECIAL)), () => {
          f.set(kind, c32(EXAMINE.nan));
          f.if(i64.eq(sig, INTEGER_BIT), () => f.set(kind, c32(EXAMINE.infinity)));
        });
        f.if(i32.eqz(integer), () => f.set(kind, c32(EXAMINE.unsupported)));
      },
    );
    f.if(isEmpty(cpu, ST0), () => f.set(kind, c32(EXAMINE.empty)));
    const sign = i32.shl(i32.shr_u(signExp, c32(15)), c32(9));
    const status = i32.and(statusWord(cpu), c32(~CONDITIONS));
    f.store16(cpu, i32.or(status, i32.or(kind, sign)), S.fsw);
  });
}

const significand = (cpu: I32): I64 => registerValue(cpu, ST0).sig;

/** Defines the arithmetic in `m`. */
export function defineX87Arithmetic(
  m: ModuleBuilder,
  settle: Settle,
  soft: SoftFloat,
): X87Arithmetic {
  const { f80 } = soft;
  const table = <K extends string>(
    names: readonly K[],
    define: (name: K) => Fn<'i32'>,
  ): Readonly<Record<K, Fn<'i32'>>> =>
    Object.fromEntries(names.map((name) => [name, define(name)])) as Record<K, Fn<'i32'>>;
  const binary = (name: BinaryName, fn: Fn<'i64'>, ...more: I32[]): Fn<'i32'> =>
    defineBinary(m, settle, name, fn, more);
  return {
    registers: table(ARITHMETIC, (name) => defineRegisters(m, settle, name, f80[name])),
    operand: table(ARITHMETIC, (name) => defineOperand(m, settle, name, f80[name])),
    unary: table(UNARY, (name) => defineUnary(m, settle, name, f80[name])),
    binary: {
      scale: binary('scale', f80.scale),
      prem: binary('prem', f80.remainder, c32(0)),
      prem1: binary('prem1', f80.remainder, c32(1)),
      yLog2x: binary('yLog2x', f80.yLog2x),
      yLog2xp1: binary('yLog2xp1', f80.yLog2xp1),
      atan2: binary('atan2', f80.atan2),
    },
    pushing: definePushingAll(m, settle, soft),
    sign: defineSign(m, settle),
    ...defineCompares(m, settle, f80.compare),
    examine: defineExamine(m),
  };
}
