// Scalar binary32 and binary64 operations as SSE has them: SDM vol. 1, chapter 10.2.3 (MXCSR), 11.5
// (exceptions), table 4-7 (NaN operands: the first operand's NaN, quieted, else the second's).
//
// Each operation has a fast path: with rounding to nearest, and when operands and result are normal
// numbers, WebAssembly's own operation gives the result, and only whether it is exact is left to be
// found out. Everything else goes through the integer arithmetic, which knows all cases.
//
// Values are passed as their bits, not as floats: a WebAssembly engine may change the bits of a
// NaN.

import {
  c32,
  c64,
  call,
  type Expr,
  type F32,
  type F64,
  type Fn,
  f32,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  select,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { Arithmetic } from './softfloat-arithmetic.ts';
import {
  BIAS,
  controlOfMxcsr,
  DE,
  EXP_SPECIAL,
  FORMAT_F32,
  FORMAT_F64,
  IE,
  INTEGER_BIT,
  isNonzero,
  MXCSR_DAZ,
  MXCSR_RC,
  ONE64,
  PE,
  raise,
  type SoftFloatScratch,
  type Unpacked,
  ZERO64,
} from './softfloat-parts.ts';

/** The operations on one format; T is the type of its bits. */
export interface SseOperations<T extends 'i32' | 'i64'> {
  /** (cpu, a, b, mxcsr) */
  readonly add: Fn<T>;
  readonly subtract: Fn<T>;
  readonly multiply: Fn<T>;
  readonly divide: Fn<T>;
  /** (cpu, a, mxcsr) */
  readonly sqrt: Fn<T>;
  /**
   * (cpu, a, b, mxcsr, signalling) -> the relation as RFLAGS bits: ZF equal, CF less, 0 greater,
   * ZF|PF|CF unordered. `signalling`: quiet NaNs raise IE too (COMISS), else only signalling ones.
   */
  readonly compare: Fn<'i32'>;
}

/** A binary interchange format (IEEE 754-2008, 3.4) held in an i64. */
export interface SseFormat {
  readonly name: 'f32' | 'f64';
  readonly width: number;
  readonly fractionBits: number;
  readonly format: number;
  /** The bits of infinity. */
  readonly infinity: bigint;
  /** The quiet bit of a NaN. */
  readonly quiet: bigint;
  /** The double extended exponent of the least normal number. */
  readonly leastExp: number;
  readonly greatestField: number;
}

export const F32_FORMAT: SseFormat = {
  name: 'f32',
  width: 32,
  fractionBits: 23,
  format: FORMAT_F32,
  infinity: 0x7f80_0000n,
  quiet: 1n << 22n,
  leastExp: BIAS - 126,
  greatestField: 0xff,
};

export const F64_FORMAT: SseFormat = {
  name: 'f64',
  width: 64,
  fractionBits: 52,
  format: FORMAT_F64,
  infinity: 0x7ffn << 52n,
  quiet: 1n << 51n,
  leastExp: BIAS - 1022,
  greatestField: 0x7ff,
};

/** The bits without the sign. */
const magnitude = (t: SseFormat, a: I64): I64 => i64.and(a, c64((1n << BigInt(t.width - 1)) - 1n));

/** 1 for NaNs. */
export const isNan = (t: SseFormat, a: I64): I32 => i64.gt_u(magnitude(t, a), c64(t.infinity));

/** 1 for signalling NaNs. */
export const isSignalling = (t: SseFormat, a: I64): I32 =>
  i32.and(isNan(t, a), i64.eqz(i64.and(a, c64(t.quiet))));

/** 1 for denormals, but not for zeros. */
export const isDenormal = (t: SseFormat, a: I64): I32 =>
  i64.lt_u(i64.sub(magnitude(t, a), ONE64), c64((1n << BigInt(t.fractionBits)) - 1n));

/** Unpacks `bits`, not a NaN: denormals are normalised. No flags. */
export function unpack(f: FunctionBuilder, t: SseFormat, bits: I64): Unpacked {
  const sign = f.let(i32.wrap(i64.shr_u(bits, c64(t.width - 1))));
  const field = f.let(i32.wrap(i64.shr_u(magnitude(t, bits), c64(t.fractionBits))));
  const sig = f.let(i64.shl(bits, c64(64 - t.fractionBits)));
  const exp = f.let(i32.add(field, c32(t.leastExp - 1)));
  f.if(
    field,
    () => {
      f.set(sig, i64.or(i64.shr_u(sig, ONE64), INTEGER_BIT));
      f.if(i32.eq(field, c32(t.greatestField)), () => f.set(exp, c32(EXP_SPECIAL)));
    },
    () => {
      const zeros = f.let(i64.clz(sig));
      f.if(isNonzero(sig), () => {
        f.set(sig, i64.shl(sig, zeros));
        f.set(exp, i32.sub(exp, i32.wrap(zeros)));
      });
    },
  );
  return { sign, exp, sig };
}

/**
 * What MXCSR.DAZ makes of `bits`: a denormal becomes a zero of its sign, and nothing is reported
 * (SDM vol. 1, 10.2.3.4).
 */
export function denormalsAreZeros(f: FunctionBuilder, t: SseFormat, bits: I64, mxcsr: I32): I64 {
  const value = f.let(bits);
  const daz = i32.ne(i32.and(mxcsr, c32(MXCSR_DAZ)), c32(0));
  f.if(i32.and(isDenormal(t, value), daz), () =>
    f.set(value, i64.and(value, c64(1n << BigInt(t.width - 1)))),
  );
  return value;
}

/** Raises DE if `denormal`. */
const raiseDenormal = (s: SoftFloatScratch, f: FunctionBuilder, denormal: I32): void =>
  f.if(denormal, () => raise(s, f, c32(DE)));

/** Returns the NaN that a binary operation makes of its NaN operands. */
function returnNan(s: SoftFloatScratch, f: FunctionBuilder, t: SseFormat, a: I64, b: I64): void {
  f.if(i32.or(isSignalling(t, a), isSignalling(t, b)), () => raise(s, f, c32(IE)));
  f.return(i64.or(select(isNan(t, a), a, b), c64(t.quiet)));
}

/** (cpu, a, b, mxcsr): a binary operation by integers, all cases. */
function defineSlow(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  t: SseFormat,
  name: string,
  operation: Fn<'i64'>,
  kind: 'subtract' | 'divide' | 'other',
): Fn<'i64'> {
  return m.function(`${t.name}${name}Slow`, ['i32', 'i64', 'i64', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const mxcsr = f.param(3, 'i32');
    const a = f.param(1, 'i64');
    const b = f.param(2, 'i64');
    f.if(i32.or(isNan(t, a), isNan(t, b)), () => returnNan(s, f, t, a, b));
    const first = denormalsAreZeros(f, t, a, mxcsr);
    const second = denormalsAreZeros(f, t, b, mxcsr);
    const x = unpack(f, t, first);
    const y = unpack(f, t, second);
    // A division by zero goes before a denormal dividend (SDM vol. 1, 4.9.2).
    const counts = kind === 'divide' ? isNonzero(y.sig) : c32(1);
    const denormal = i32.or(isDenormal(t, first), isDenormal(t, second));
    raiseDenormal(s, f, i32.and(denormal, counts));
    const sign = kind === 'subtract' ? i32.xor(y.sign, c32(1)) : y.sign;
    const control = controlOfMxcsr(mxcsr);
    f.return(
      call(operation, cpu, x.sign, x.exp, x.sig, sign, y.exp, y.sig, control, c32(t.format)),
    );
  });
}

function defineSlowSqrt(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  t: SseFormat,
  arithmetic: Arithmetic,
): Fn<'i64'> {
  return m.function(`${t.name}SqrtSlow`, ['i32', 'i64', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const mxcsr = f.param(2, 'i32');
    const a = f.param(1, 'i64');
    f.if(isNan(t, a), () => returnNan(s, f, t, a, a));
    const operand = denormalsAreZeros(f, t, a, mxcsr);
    const x = unpack(f, t, operand);
    // The root of a negative number is invalid, which goes before its being denormal.
    raiseDenormal(s, f, i32.and(isDenormal(t, operand), i32.eqz(x.sign)));
    f.return(
      call(arithmetic.sqrt, cpu, x.sign, x.exp, x.sig, controlOfMxcsr(mxcsr), c32(t.format)),
    );
  });
}

function defineCompare(m: ModuleBuilder, s: SoftFloatScratch, t: SseFormat): Fn<'i32'> {
  const type = t.name === 'f32' ? 'i32' : 'i64';
  return m.function(`${t.name}Compare`, ['i32', type, type, 'i32', 'i32'], 'i32', (f) => {
    const mxcsr = f.param(3, 'i32');
    const a = f.let(widen(f.param(1, type)));
    const b = f.let(widen(f.param(2, type)));
    f.if(i32.or(isNan(t, a), isNan(t, b)), () => {
      const signalling = i32.or(isSignalling(t, a), isSignalling(t, b));
      f.if(i32.or(f.param(4, 'i32'), signalling), () => raise(s, f, c32(IE)));
      f.return(c32(0x45));
    });
    const first = denormalsAreZeros(f, t, a, mxcsr);
    const second = denormalsAreZeros(f, t, b, mxcsr);
    raiseDenormal(s, f, i32.or(isDenormal(t, first), isDenormal(t, second)));
    const x = f.let(floatOf(t, first));
    const y = f.let(floatOf(t, second));
    f.return(i32.or(i32.shl(f64.eq(x, y), c32(6)), f64.lt(x, y)));
  });
}

/** The bits of either format as i64. */
const widen = (a: Expr): I64 => (a.type === 'i32' ? i64.extend_u(a as I32) : (a as I64));

/** The value of not-NaN bits, as a double: exact. */
export const floatOf = (t: SseFormat, a: I64): F64 =>
  t.name === 'f32' ? f64.promote(f32.reinterpret(i32.wrap(a))) : f64.reinterpret(a);

/** MXCSR.RC is round to nearest. */
export const toNearest = (mxcsr: I32): I32 => i32.eqz(i32.and(mxcsr, c32(MXCSR_RC)));

/** Raises PE if `inexact`. */
const raiseInexact = (s: SoftFloatScratch, f: FunctionBuilder, inexact: I32): void =>
  raise(s, f, i32.mul(inexact, c32(PE)));

/**
 * 1 for normal numbers above the least: bounds on the magnitude's bits in one comparison. The least
 * normal number is left out: a tiny product can round to it.
 */
const isPlain64 = (bits: I64): I32 =>
  i64.lt_u(
    i64.sub(i64.shl(bits, ONE64), c64((1n << 53n) + 1n)),
    c64((0x7ffn << 53n) - (1n << 53n) - 1n),
  );
const isPlain32 = (bits: I32): I32 =>
  i32.lt_u(i32.sub(i32.shl(bits, c32(1)), c32((1 << 24) + 1)), c32(0xff00_0000 - (1 << 24) - 1));

const FRACTION64 = c64((1n << 52n) - 1n);
/** The significand of a normal double with its integer bit, 53 bits. */
const significand64 = (bits: I64): I64 => i64.or(i64.and(bits, FRACTION64), c64(1n << 52n));
const exponent64 = (bits: I64): I64 => i64.and(i64.shr_u(bits, c64(52)), c64(0x7ff));

type Inexact64 = (f: FunctionBuilder, a: I64, b: I64, result: I64) => I32;

/** The error of a sum, exactly (Knuth, vol. 2, 4.2.2, theorem B). */
const sumInexact64: Inexact64 = (f, a, b, result) => {
  const x = f.let(f64.reinterpret(a));
  const y = f.let(f64.reinterpret(b));
  const sum = f.let(f64.reinterpret(result));
  const part = f.let(f64.sub(sum, x));
  const error = f64.add(f64.sub(x, f64.sub(sum, part)), f64.sub(y, part));
  return f64.ne(error, f64.const(0));
};

/** Of the 105 or 106 bits of a product the low 52 or 53 are lost: they are in its low 64 bits. */
const productInexact64: Inexact64 = (_f, a, b, result) => {
  const product = i64.mul(significand64(a), significand64(b));
  const sumOfExponents = i64.sub(i64.add(exponent64(a), exponent64(b)), c64(1023));
  const carried = i64.sub(exponent64(result), sumOfExponents);
  return isNonzero(i64.shl(product, i64.sub(c64(12), carried)));
};

/**
 * A quotient is exact if times the divisor it is the dividend. The difference is less than 2^54, so
 * that the low 64 bits of the products tell.
 */
const quotientInexact64: Inexact64 = (_f, a, b, result) => {
  const shift = i64.sub(
    i64.add(i64.sub(exponent64(a), exponent64(b)), c64(1023 + 52)),
    exponent64(result),
  );
  const product = i64.mul(significand64(result), significand64(b));
  return i64.ne(i64.shl(significand64(a), shift), product);
};

/** As with quotients: the root squared is the radicand, or not. */
const rootInexact64: Inexact64 = (_f, a, _b, result) => {
  const shift = i64.add(c64(52), i64.and(i64.add(exponent64(a), ONE64), ONE64));
  const root = significand64(result);
  return i64.ne(i64.shl(significand64(a), shift), i64.mul(root, root));
};

interface Fast64 {
  readonly name: string;
  readonly compute: (a: F64, b: F64) => F64;
  readonly inexact: Inexact64;
  /** The operands may be zero: an addition. */
  readonly zeros: boolean;
}

/** (cpu, a, b, mxcsr) on doubles, with `slow` for what the fast path cannot do. */
function defineFast64(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  slow: Fn<'i64'>,
  operation: Fast64,
): Fn<'i64'> {
  return m.function(`f64${operation.name}`, ['i32', 'i64', 'i64', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f.param(1, 'i64');
    const b = f.param(2, 'i64');
    const mxcsr = f.param(3, 'i32');
    const value = operation.compute(f64.reinterpret(a), f64.reinterpret(b));
    const result = f.let(i64.reinterpret(value));
    const usable = (bits: I64): I32 =>
      operation.zeros ? i32.eqz(isDenormal(F64_FORMAT, bits)) : isPlain64(bits);
    const operands = i32.and(usable(a), usable(b));
    f.if(i32.and(i32.and(toNearest(mxcsr), isPlain64(result)), operands), () => {
      raiseInexact(s, f, operation.inexact(f, a, b, result));
      f.return(result);
    });
    f.return(call(slow, cpu, a, b, mxcsr));
  });
}

interface Fast32 {
  readonly name: string;
  readonly compute: (a: F32, b: F32) => F32;
  /** On the operands and the result as doubles. */
  readonly inexact: (f: FunctionBuilder, a: F64, b: F64, result: F64) => I32;
  readonly zeros: boolean;
}

/** The error of a sum of floats; a sum of two floats may be inexact as a double too. */
const sumInexact32: Fast32['inexact'] = (f, a, b, result) => {
  const sum = f.let(f64.add(a, b));
  const part = f.let(f64.sub(sum, a));
  const error = f64.add(f64.sub(a, f64.sub(sum, part)), f64.sub(b, part));
  return i32.or(f64.ne(sum, result), f64.ne(error, f64.const(0)));
};

/** (cpu, a, b, mxcsr) on floats: as {@link defineFast64}; doubles hold products exactly. */
function defineFast32(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  slow: Fn<'i64'>,
  operation: Fast32,
): Fn<'i32'> {
  return m.function(`f32${operation.name}`, ['i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f.param(1, 'i32');
    const b = f.param(2, 'i32');
    const mxcsr = f.param(3, 'i32');
    const value = operation.compute(f32.reinterpret(a), f32.reinterpret(b));
    const result = f.let(i32.reinterpret(value));
    const wide = (bits: I32): F64 => f.let(f64.promote(f32.reinterpret(bits)));
    const usable = (bits: I32): I32 =>
      operation.zeros ? i32.eqz(isDenormal(F32_FORMAT, i64.extend_u(bits))) : isPlain32(bits);
    const operands = i32.and(usable(a), usable(b));
    f.if(i32.and(i32.and(toNearest(mxcsr), isPlain32(result)), operands), () => {
      raiseInexact(s, f, operation.inexact(f, wide(a), wide(b), wide(result)));
      f.return(result);
    });
    f.return(i32.wrap(call(slow, cpu, i64.extend_u(a), i64.extend_u(b), mxcsr)));
  });
}

/** (cpu, a, mxcsr) */
function defineFastSqrt64(m: ModuleBuilder, s: SoftFloatScratch, slow: Fn<'i64'>): Fn<'i64'> {
  return m.function('f64Sqrt', ['i32', 'i64', 'i32'], 'i64', (f) => {
    const a = f.param(1, 'i64');
    const mxcsr = f.param(2, 'i32');
    const positive = i64.ge_s(a, ZERO64);
    f.if(i32.and(i32.and(toNearest(mxcsr), isPlain64(a)), positive), () => {
      const result = f.let(i64.reinterpret(f64.sqrt(f64.reinterpret(a))));
      raiseInexact(s, f, rootInexact64(f, a, a, result));
      f.return(result);
    });
    f.return(call(slow, f.param(0, 'i32'), a, mxcsr));
  });
}

function defineFastSqrt32(m: ModuleBuilder, s: SoftFloatScratch, slow: Fn<'i64'>): Fn<'i32'> {
  return m.function('f32Sqrt', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const a = f.param(1, 'i32');
    const mxcsr = f.param(2, 'i32');
    const positive = i32.ge_s(a, c32(0));
    f.if(i32.and(i32.and(toNearest(mxcsr), isPlain32(a)), positive), () => {
      const result = f.let(f32.sqrt(f32.reinterpret(a)));
      const root = f.let(f64.promote(result));
      raiseInexact(s, f, f64.ne(f64.mul(root, root), f64.promote(f32.reinterpret(a))));
      f.return(i32.reinterpret(result));
    });
    f.return(i32.wrap(call(slow, f.param(0, 'i32'), i64.extend_u(a), mxcsr)));
  });
}

/** Defines the operations on binary64. */
export function defineF64(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  arithmetic: Arithmetic,
): SseOperations<'i64'> {
  const t = F64_FORMAT;
  const operation = (
    name: string,
    slow: Fn<'i64'>,
    compute: (a: F64, b: F64) => F64,
    inexact: Inexact64,
    kind: 'subtract' | 'divide' | 'other' = 'other',
  ): Fn<'i64'> => {
    const zeros = slow === arithmetic.add;
    const all = defineSlow(m, s, t, name, slow, kind);
    return defineFast64(m, s, all, { name, compute, inexact, zeros });
  };
  // a - b is a + -b, and so is its error.
  const differenceInexact: Inexact64 = (f, a, b, result) =>
    sumInexact64(f, a, i64.xor(b, INTEGER_BIT), result);
  return {
    add: operation('Add', arithmetic.add, f64.add, sumInexact64),
    subtract: operation('Subtract', arithmetic.add, f64.sub, differenceInexact, 'subtract'),
    multiply: operation('Multiply', arithmetic.multiply, f64.mul, productInexact64),
    divide: operation('Divide', arithmetic.divide, f64.div, quotientInexact64, 'divide'),
    sqrt: defineFastSqrt64(m, s, defineSlowSqrt(m, s, t, arithmetic)),
    compare: defineCompare(m, s, t),
  };
}

/** Defines the operations on binary32. */
export function defineF32(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  arithmetic: Arithmetic,
): SseOperations<'i32'> {
  const t = F32_FORMAT;
  const operation = (
    name: string,
    slow: Fn<'i64'>,
    compute: (a: F32, b: F32) => F32,
    inexact: Fast32['inexact'],
    kind: 'subtract' | 'divide' | 'other' = 'other',
  ): Fn<'i32'> => {
    const zeros = slow === arithmetic.add;
    const all = defineSlow(m, s, t, name, slow, kind);
    return defineFast32(m, s, all, { name, compute, inexact, zeros });
  };
  const differenceInexact: Fast32['inexact'] = (f, a, b, result) =>
    sumInexact32(f, a, f.let(f64.sub(f64.const(0), b)), result);
  return {
    add: operation('Add', arithmetic.add, f32.add, sumInexact32),
    subtract: operation('Subtract', arithmetic.add, f32.sub, differenceInexact, 'subtract'),
    multiply: operation('Multiply', arithmetic.multiply, f32.mul, (_f, a, b, result) =>
      f64.ne(f64.mul(a, b), result),
    ),
    divide: operation(
      'Divide',
      arithmetic.divide,
      f32.div,
      (_f, a, b, result) => f64.ne(f64.mul(result, b), a),
      'divide',
    ),
    sqrt: defineFastSqrt32(m, s, defineSlowSqrt(m, s, t, arithmetic)),
    compare: defineCompare(m, s, t),
  };
}
