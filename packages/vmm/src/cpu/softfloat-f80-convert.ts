// The conversions of the x87 FPU: between double extended and binary32, binary64, integers and
// packed decimal (SDM vol. 1, 4.7 and 8.1.2; vol. 2A: FLD, FST, FILD, FIST, FBLD, FBSTP), rounding
// to integral values (FRNDINT), and the constants (FLDPI, ...).

import {
  c32,
  c64,
  call,
  type Fn,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  select,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  exponentOf,
  F80,
  f80Param,
  isDenormal80,
  isNan80,
  isNotNumber,
  isSignalling80,
  isUnsupported,
  signOf,
} from './softfloat-f80.ts';
import {
  BIAS,
  C1,
  controlOfFcw,
  DE,
  EXP_SPECIAL,
  FORMAT_F80,
  IE,
  INTEGER_BIT,
  isNonzero,
  OE,
  ONE64,
  type Pair,
  PE,
  QUIET_NAN,
  RC_UP,
  raise,
  roundingControl,
  roundsUp,
  type SoftFloatScratch,
  shiftRightSticky,
  topBit,
  UE,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';
import { F32_FORMAT, F64_FORMAT, isDenormal, type SseFormat, unpack } from './softfloat-sse.ts';

/** The conversions; `fcw` is the control word. */
export interface F80Conversions {
  /**
   * (cpu, bits): a memory operand of arithmetic. Raises DE; a signalling NaN stays one, for the
   * operation to find.
   */
  readonly fromF32: Fn<'i64'>;
  readonly fromF64: Fn<'i64'>;
  /**
   * (cpu, sig, signExp): what FLD does to a converted operand: quiets a signalling NaN, with IE.
   */
  readonly quiet: Fn<'i64'>;
  /** (cpu, integer i64): exact. */
  readonly fromI64: Fn<'i64'>;
  /**
   * (cpu, digits i64, digitsAndSign i32): the low eight bytes of a packed decimal, the high two.
   */
  readonly fromBcd: Fn<'i64'>;
  /** (cpu, sig, signExp, fcw) -> the bits */
  readonly toF32: Fn<'i32'>;
  readonly toF64: Fn<'i64'>;
  /**
   * (cpu, sig, signExp, fcw, bits): an integer of 16, 32 or 64 bits, sign-extended; what does not
   * fit raises IE and gives the least one. `fcw | 0xc00` truncates (FISTTP).
   */
  readonly toInteger: Fn<'i64'>;
  /** (cpu, sig, signExp, fcw): as `fromBcd` takes it; the high two bytes in `scratch.signExp`. */
  readonly toBcd: Fn<'i64'>;
  /** (cpu, sig, signExp, fcw): FRNDINT. */
  readonly roundIntegral: Fn<'i64'>;
}

/** A constant of the FPU: the significand rounded down, and whether nearest is one more. */
export interface F80Constant {
  readonly truncated: bigint;
  readonly nearestUp: boolean;
  readonly exact: boolean;
  readonly signExp: number;
}

/** By mnemonic (SDM vol. 2A, "FLD1/FLDL2T/..."), rounded as RC says. */
export const f80Constants: Readonly<Record<string, F80Constant>> = {
  fld1: { truncated: 1n << 63n, nearestUp: false, exact: true, signExp: BIAS },
  fldl2t: { truncated: 0xd49a784bcd1b8afen, nearestUp: false, exact: false, signExp: BIAS + 1 },
  fldl2e: { truncated: 0xb8aa3b295c17f0bbn, nearestUp: true, exact: false, signExp: BIAS },
  fldpi: { truncated: 0xc90fdaa22168c234n, nearestUp: true, exact: false, signExp: BIAS + 1 },
  fldlg2: { truncated: 0x9a209a84fbcff798n, nearestUp: true, exact: false, signExp: BIAS - 2 },
  fldln2: { truncated: 0xb17217f7d1cf79abn, nearestUp: true, exact: false, signExp: BIAS - 1 },
  fldz: { truncated: 0n, nearestUp: false, exact: true, signExp: 0 },
};

/** The significand of a constant under the rounding control of `fcw`. No exceptions. */
export function constantSignificand(constant: F80Constant, fcw: I32): I64 {
  const { truncated, nearestUp, exact } = constant;
  if (exact) return c64(truncated);
  const rc = roundingControl(fcw);
  const up = nearestUp ? i32.eqz(i32.and(rc, c32(1))) : i32.eq(rc, c32(RC_UP));
  return i64.add(i64.extend_u(up), c64(truncated));
}

/** (cpu, bits) */
function defineFromBinary(m: ModuleBuilder, s: SoftFloatScratch, t: SseFormat): Fn<'i64'> {
  const type = t.name === 'f32' ? 'i32' : 'i64';
  return m.function(`f80From${t.name.toUpperCase()}`, ['i32', type], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const raw = f.params[1];
    const bits = type === 'i32' ? f.let(i64.extend_u(raw as I32)) : (raw as Local<'i64'>);
    f.if(isDenormal(t, bits), () => raise(s, f, c32(DE)));
    const { sign, exp, sig } = unpack(f, t, bits);
    // A NaN unpacks as an infinity with a fraction, which is what it is; a zero has no exponent.
    const field = select(isNonzero(sig), exp, c32(0));
    f.store32(cpu, i32.or(i32.shl(sign, c32(15)), field), s.signExp);
    f.return(sig);
  });
}

function defineQuiet(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f80Quiet', ['i32', ...F80], 'i64', (f) => {
    const a = f80Param(f, 1);
    f.store32(f.param(0, 'i32'), a.signExp, s.signExp);
    f.if(i32.and(isNan80(a), isSignalling80(a)), () => {
      raise(s, f, c32(IE));
      f.return(i64.or(a.sig, QUIET_NAN));
    });
    f.return(a.sig);
  });
}

/** Returns the integer `size` with sign `sign`. */
function returnInteger(s: SoftFloatScratch, f: FunctionBuilder, sign: I32, size: I64): void {
  const magnitude = f.let(size);
  const zeros = f.let(i64.clz(magnitude));
  const exp = select(i64.eqz(magnitude), c32(0), i32.sub(c32(BIAS + 63), i32.wrap(zeros)));
  f.store32(f.param(0, 'i32'), i32.or(i32.shl(sign, c32(15)), exp), s.signExp);
  f.return(i64.shl(magnitude, zeros));
}

function defineFromInteger(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f80FromI64', ['i32', 'i64'], 'i64', (f) => {
    const a = f.param(1, 'i64');
    const negative = f.let(topBit(a));
    returnInteger(s, f, negative, select(negative, i64.sub(ZERO64, a), a));
  });
}

function defineFromBcd(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f80FromBcd', ['i32', 'i64', 'i32'], 'i64', (f) => {
    const low = f.param(1, 'i64');
    const high = f.param(2, 'i32');
    const value = f.let(ZERO64);
    const digits = (source: I64): void => {
      f.set(value, i64.add(i64.mul(value, c64(10)), source));
    };
    const top = i64.extend_u(high);
    digits(i64.and(i64.shr_u(top, c64(4)), c64(15)));
    digits(i64.and(top, c64(15)));
    const shift = f.let(c64(60));
    f.loop((again) => {
      digits(i64.and(i64.shr_u(low, shift), c64(15)));
      f.set(shift, i64.sub(shift, c64(4)));
      f.br(again, i64.ge_s(shift, ZERO64));
    });
    returnInteger(s, f, i32.and(i32.shr_u(high, c32(15)), c32(1)), value);
  });
}

/** (cpu, sig, signExp, fcw) -> bits in an i64 */
function defineToBinary(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  t: SseFormat,
): Fn<'i64'> {
  return m.function(`f80To${t.name.toUpperCase()}Bits`, ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const control = controlOfFcw(f.param(3, 'i32'));
    const format = c32(t.format);
    f.if(isUnsupported(a), () => f.return(call(r.invalid, cpu, format)));
    const exp = f.let(exponentOf(a));
    const special = c32(EXP_SPECIAL);
    f.if(i32.eq(exp, special), () => {
      const sig = f.let(a.sig);
      f.if(isNan80(a), () => {
        f.if(isSignalling80(a), () => raise(s, f, c32(IE)));
        f.set(sig, i64.or(sig, QUIET_NAN));
      });
      f.return(call(r.pack, cpu, signOf(a), special, sig, format));
    });
    f.if(i64.eqz(a.sig), () => f.return(call(r.pack, cpu, signOf(a), c32(0), ZERO64, format)));
    // A denormal is so far below the range that its exponent does not matter; only its integer bit,
    // which the rounding wants set.
    const sig = i64.or(a.sig, INTEGER_BIT);
    const bits = f.let(call(r.round, cpu, signOf(a), exp, sig, ZERO64, control, format));
    // An unmasked overflow or underflow stores nothing, so that nothing has been rounded.
    const flags = f.let(i32.load(cpu, s.flags));
    f.if(i32.and(i32.and(flags, c32(OE | UE)), i32.xor(control, c32(-1))), () =>
      f.store32(cpu, i32.and(flags, c32(~(PE | C1))), s.flags),
    );
    f.return(bits);
  });
}

/** A magnitude rounded to an integer, and the flags of that. */
interface RoundedInteger {
  readonly size: Local<'i64'>;
  readonly flags: Local<'i32'>;
}

/** Rounds a finite number less than 2^64 in magnitude to an integer. */
function roundToInteger(f: FunctionBuilder, sig: I64, signExp: I32, fcw: I32): RoundedInteger {
  const value: Pair = { hi: f.let(sig), lo: f.let(ZERO64) };
  const a = { sig, signExp };
  shiftRightSticky(f, value, i32.sub(c32(BIAS + 63), exponentOf(a)));
  const up = f.let(roundsUp(f, roundingControl(fcw), signOf(a), value.hi, value.lo));
  const size = f.let(i64.add(value.hi, i64.extend_u(up)));
  const inexact = select(isNonzero(value.lo), c32(PE), c32(0));
  const flags = f.let(i32.or(inexact, select(up, c32(C1), c32(0))));
  return { size, flags };
}

/** 1 unless the number is finite and its magnitude less than 2^64. */
const isBeyondIntegers = (signExp: I32): I32 =>
  i32.gt_u(exponentOf({ sig: ZERO64, signExp }), c32(BIAS + 63));

function defineToInteger(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f80ToInteger', ['i32', ...F80, 'i32', 'i32'], 'i64', (f) => {
    const a = f80Param(f, 1);
    const fcw = f.param(3, 'i32');
    const bits = i64.extend_u(f.param(4, 'i32'));
    const greatest = f.let(i64.shl(ONE64, i64.sub(bits, ONE64)));
    const indefinite = (): void => {
      raise(s, f, c32(IE));
      f.return(i64.sub(ZERO64, greatest));
    };
    f.if(i32.or(isUnsupported(a), isBeyondIntegers(a.signExp)), indefinite);
    const { size, flags } = roundToInteger(f, a.sig, a.signExp, fcw);
    const sign = f.let(i64.extend_u(signOf(a)));
    // 2^(bits-1) fits if it is negative.
    f.if(i64.gt_u(size, i64.add(i64.sub(greatest, ONE64), sign)), indefinite);
    raise(s, f, flags);
    f.return(select(i32.wrap(sign), i64.sub(ZERO64, size), size));
  });
}

function defineToBcd(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f80ToBcd', ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const indefinite = (): void => {
      raise(s, f, c32(IE));
      f.store32(cpu, c32(0xffff), s.signExp);
      f.return(QUIET_NAN);
    };
    f.if(i32.or(isUnsupported(a), isBeyondIntegers(a.signExp)), indefinite);
    const { size, flags } = roundToInteger(f, a.sig, a.signExp, f.param(3, 'i32'));
    f.if(i64.ge_u(size, c64(10n ** 18n)), indefinite);
    raise(s, f, flags);
    const low = f.let(ZERO64);
    const shift = f.let(ZERO64);
    const digit = (): I64 => {
      const quotient = f.let(i64.div_u(size, c64(10)));
      const rest = f.let(i64.sub(size, i64.mul(quotient, c64(10))));
      f.set(size, quotient);
      return rest;
    };
    f.loop((again) => {
      f.set(low, i64.or(low, i64.shl(digit(), shift)));
      f.set(shift, i64.add(shift, c64(4)));
      f.br(again, i64.lt_u(shift, c64(64)));
    });
    const ones = i32.wrap(digit());
    const tens = i32.shl(i32.wrap(digit()), c32(4));
    const sign = i32.and(a.signExp, c32(0x8000));
    f.store32(cpu, i32.or(sign, i32.or(tens, ones)), s.signExp);
    f.return(low);
  });
}

function defineRoundIntegral(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
): Fn<'i64'> {
  return m.function('f80RoundIntegral', ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    f.if(isNotNumber(a), () => f.return(call(nan, cpu, a.sig, a.signExp, a.sig, a.signExp)));
    f.if(isDenormal80(a), () => raise(s, f, c32(DE)));
    const large = i32.ge_u(exponentOf(a), c32(BIAS + 63));
    f.if(i32.or(large, i64.eqz(a.sig)), () => {
      f.store32(cpu, a.signExp, s.signExp);
      f.return(a.sig);
    });
    const { size, flags } = roundToInteger(f, a.sig, a.signExp, f.param(3, 'i32'));
    raise(s, f, flags);
    const zeros = f.let(i64.clz(size));
    const exp = i32.sub(c32(BIAS + 63), i32.wrap(zeros));
    f.return(call(r.pack, cpu, signOf(a), exp, i64.shl(size, zeros), c32(FORMAT_F80)));
  });
}

/** Defines the conversions in `m`; `nan` is F80Operations.nan. */
export function defineF80Conversions(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
): F80Conversions {
  const toF32 = defineToBinary(m, s, r, F32_FORMAT);
  return {
    fromF32: defineFromBinary(m, s, F32_FORMAT),
    fromF64: defineFromBinary(m, s, F64_FORMAT),
    quiet: defineQuiet(m, s),
    fromI64: defineFromInteger(m, s),
    fromBcd: defineFromBcd(m, s),
    toF32: m.function('f80ToF32', ['i32', ...F80, 'i32'], 'i32', (f) =>
      f.return(i32.wrap(call(toF32, ...f.params))),
    ),
    toF64: defineToBinary(m, s, r, F64_FORMAT),
    toInteger: defineToInteger(m, s),
    toBcd: defineToBcd(m, s),
    roundIntegral: defineRoundIntegral(m, s, r, nan),
  };
}
