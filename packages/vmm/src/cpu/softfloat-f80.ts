// The double extended arithmetic of the x87 FPU: SDM vol. 1, 8.1 to 8.5. Operands are a significand
// (i64) and sign and exponent (i32, 16 bits); a result is the significand, with sign and exponent
// in scratch. `fcw` is the control word: rounding control, precision control, and the masks, on
// which the results of overflow and underflow depend.
//
// NaNs follow table 4-7: of two, the quiet one, or that with the larger significand. Unnormals,
// pseudo-NaNs and pseudo-infinities are invalid operands (8.2.2); pseudo-denormals are taken for
// what they say. A NaN or invalid operand withdraws the DE of another one, which can have come
// before: from the conversion of a memory operand.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { Arithmetic } from './softfloat-arithmetic.ts';
import {
  controlOfFcw,
  DE,
  EXP_SPECIAL,
  FORMAT_EXTENDED,
  FORMAT_F80,
  IE,
  isNonzero,
  ONE64,
  QUIET_NAN,
  raise,
  type SoftFloatScratch,
  topBit,
  type Unpacked,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';

/** One double extended number in wasm parameters: significand, sign and exponent. */
export const F80 = ['i64', 'i32'] as const;

/** The arithmetic on double extended numbers. */
export interface F80Operations {
  /** (cpu, aSig, aSignExp, bSig, bSignExp, fcw) */
  readonly add: Fn<'i64'>;
  readonly subtract: Fn<'i64'>;
  readonly multiply: Fn<'i64'>;
  readonly divide: Fn<'i64'>;
  /** (cpu, sig, signExp, fcw) */
  readonly sqrt: Fn<'i64'>;
  /**
   * (cpu, aSig, aSignExp, bSig, bSignExp, signalling) -> the relation as RFLAGS bits: ZF equal, CF
   * less, 0 greater, ZF|PF|CF unordered; shifted left by 8 they are C3, C2, C0. `signalling`: quiet
   * NaNs raise IE too (FCOM), else only signalling ones (FUCOM).
   */
  readonly compare: Fn<'i32'>;
  /** (cpu, aSig, aSignExp, bSig, bSignExp): the result when an operand is a NaN or unsupported. */
  readonly nan: Fn<'i64'>;
}

/** A double extended operand: two parameters of the function. */
export interface F80Operand {
  readonly sig: I64;
  readonly signExp: I32;
}

/** The operand at parameters `index` and `index + 1`. */
export const f80Param = (f: FunctionBuilder, index: number): F80Operand => ({
  sig: f.param(index, 'i64'),
  signExp: f.param(index + 1, 'i32'),
});

export const exponentOf = (a: F80Operand): I32 => i32.and(a.signExp, c32(0x7fff));
export const signOf = (a: F80Operand): I32 => i32.and(i32.shr_u(a.signExp, c32(15)), c32(1));

/** 1 for unnormals, pseudo-NaNs and pseudo-infinities: an exponent, but no integer bit. */
export const isUnsupported = (a: F80Operand): I32 =>
  i32.and(i32.ne(exponentOf(a), c32(0)), i32.eqz(topBit(a.sig)));

/** 1 for NaNs; `a` is not unsupported. */
export const isNan80 = (a: F80Operand): I32 =>
  i32.and(i32.eq(exponentOf(a), c32(EXP_SPECIAL)), isNonzero(i64.shl(a.sig, ONE64)));

/** 1 for signalling NaNs among NaNs. */
export const isSignalling80 = (a: F80Operand): I32 => i64.lt_u(a.sig, QUIET_NAN);

/** 1 for NaNs and unsupported operands. */
export const isNotNumber = (a: F80Operand): I32 => i32.or(isNan80(a), isUnsupported(a));

/** 1 for denormals and pseudo-denormals. */
export const isDenormal80 = (a: F80Operand): I32 =>
  i32.and(i32.eqz(exponentOf(a)), isNonzero(a.sig));

/** 1 for zeros. */
export const isZero80 = (a: F80Operand): I32 => i64.eqz(a.sig);

/** Unpacks a number, normalising denormals. No flags. */
export function unpack80(f: FunctionBuilder, a: F80Operand): Unpacked {
  const sign = f.let(signOf(a));
  const exp = f.let(exponentOf(a));
  const sig = f.let(a.sig);
  f.if(isDenormal80(a), () => {
    const zeros = f.let(i64.clz(sig));
    f.set(sig, i64.shl(sig, zeros));
    f.set(exp, i32.sub(c32(1), i32.wrap(zeros)));
  });
  return { sign, exp, sig };
}

/** The format argument for the precision control of `fcw` (SDM vol. 1, table 8-2). */
const formatOfPrecision = (fcw: I32): I32 => {
  const pc = i32.and(i32.shr_u(fcw, c32(8)), c32(3));
  const below64 = select(i32.eq(pc, c32(2)), c32(11), c32(0));
  return i32.or(c32(FORMAT_EXTENDED), select(pc, below64, c32(40)));
};

/**
 * Takes back the DE of an operand, perhaps of its conversion, for something that goes before it.
 */
function withdrawDenormal(s: SoftFloatScratch, f: FunctionBuilder): void {
  const cpu = f.param(0, 'i32');
  f.store32(cpu, i32.and(i32.load(cpu, s.flags), c32(~DE)), s.flags);
}

function defineNan(m: ModuleBuilder, s: SoftFloatScratch, r: Rounding): Fn<'i64'> {
  return m.function('f80Nan', ['i32', ...F80, ...F80], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    withdrawDenormal(s, f);
    f.if(i32.or(isUnsupported(a), isUnsupported(b)), () =>
      f.return(call(r.invalid, cpu, c32(FORMAT_F80))),
    );
    const aNan = f.let(isNan80(a));
    const bNan = f.let(isNan80(b));
    const aSignalling = f.let(i32.and(aNan, isSignalling80(a)));
    const bSignalling = f.let(i32.and(bNan, isSignalling80(b)));
    f.if(i32.or(aSignalling, bSignalling), () => raise(s, f, c32(IE)));
    const first = f.let(aNan);
    f.if(i32.and(aNan, bNan), () => {
      // With equal significands the positive one.
      const larger = i32.or(
        i64.gt_u(a.sig, b.sig),
        i32.and(i64.eq(a.sig, b.sig), i32.lt_u(a.signExp, b.signExp)),
      );
      const differ = i32.ne(aSignalling, bSignalling);
      f.set(first, select(differ, bSignalling, larger));
    });
    f.store32(cpu, select(first, a.signExp, b.signExp), s.signExp);
    f.return(i64.or(select(first, a.sig, b.sig), QUIET_NAN));
  });
}

function defineBinary(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  name: string,
  nan: Fn<'i64'>,
  operation: Fn<'i64'>,
): Fn<'i64'> {
  return m.function(`f80${name}`, ['i32', ...F80, ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    const fcw = f.param(5, 'i32');
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () =>
      f.return(call(nan, cpu, a.sig, a.signExp, b.sig, b.signExp)),
    );
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    const denormal = i32.or(isDenormal80(a), isDenormal80(b));
    f.if(denormal, () => raise(s, f, c32(DE)));
    // A division by zero goes before a denormal dividend (SDM vol. 1, 4.9.2).
    if (name === 'Divide') f.if(i64.eqz(y.sig), () => withdrawDenormal(s, f));
    const sign = name === 'Subtract' ? i32.xor(y.sign, c32(1)) : y.sign;
    const control = controlOfFcw(fcw);
    const format = formatOfPrecision(fcw);
    f.return(call(operation, cpu, x.sign, x.exp, x.sig, sign, y.exp, y.sig, control, format));
  });
}

function defineSqrt(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  nan: Fn<'i64'>,
  sqrt: Fn<'i64'>,
): Fn<'i64'> {
  return m.function('f80Sqrt', ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const fcw = f.param(3, 'i32');
    f.if(isNotNumber(a), () => f.return(call(nan, cpu, a.sig, a.signExp, a.sig, a.signExp)));
    const x = unpack80(f, a);
    f.if(i32.and(isDenormal80(a), i32.eqz(x.sign)), () => raise(s, f, c32(DE)));
    f.return(call(sqrt, cpu, x.sign, x.exp, x.sig, controlOfFcw(fcw), formatOfPrecision(fcw)));
  });
}

function defineCompare(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i32'> {
  return m.function('f80Compare', ['i32', ...F80, ...F80, 'i32'], 'i32', (f) => {
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () => {
      withdrawDenormal(s, f);
      const signalling = (x: F80Operand): I32 =>
        i32.or(isUnsupported(x), i32.and(isNan80(x), isSignalling80(x)));
      const invalid = i32.or(f.param(5, 'i32'), i32.or(signalling(a), signalling(b)));
      f.if(invalid, () => raise(s, f, c32(IE)));
      f.return(c32(0x45));
    });
    f.if(i32.or(isDenormal80(a), isDenormal80(b)), () => raise(s, f, c32(DE)));
    f.if(i64.eqz(i64.or(a.sig, b.sig)), () => f.return(c32(0x40)));
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    f.if(i32.ne(x.sign, y.sign), () => f.return(x.sign));
    const equal = i32.and(i32.eq(x.exp, y.exp), i64.eq(x.sig, y.sig));
    f.if(equal, () => f.return(c32(0x40)));
    // Zero has no exponent to go by.
    const smaller = i32.or(
      i64.eqz(x.sig),
      i32.and(
        i64.ne(y.sig, c64(0)),
        i32.or(i32.lt_s(x.exp, y.exp), i32.and(i32.eq(x.exp, y.exp), i64.lt_u(x.sig, y.sig))),
      ),
    );
    f.return(i32.xor(smaller, x.sign));
  });
}

/** Defines the operations in `m`. */
export function defineF80(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  arithmetic: Arithmetic,
): F80Operations {
  const nan = defineNan(m, s, r);
  return {
    add: defineBinary(m, s, 'Add', nan, arithmetic.add),
    subtract: defineBinary(m, s, 'Subtract', nan, arithmetic.add),
    multiply: defineBinary(m, s, 'Multiply', nan, arithmetic.multiply),
    divide: defineBinary(m, s, 'Divide', nan, arithmetic.divide),
    sqrt: defineSqrt(m, s, nan, arithmetic.sqrt),
    compare: defineCompare(m, s),
    nan,
  };
}
