// Exponent and remainder operations of the x87 FPU: FSCALE, FXTRACT, FPREM and FPREM1 (SDM vol.
// 2A). Their results are exact but for range, and precision control does not concern them.

import { c32, c64, call, type Fn, type I32, i32, i64, type Local, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { F80, f80Param, isDenormal80, isNotNumber, isZero80, unpack80 } from './softfloat-f80.ts';
import {
  BIAS,
  C0,
  C1,
  C2,
  C3,
  controlOfFcw,
  DE,
  EXP_SPECIAL,
  FORMAT_F80,
  INTEGER_BIT,
  isNonzero,
  ONE64,
  raise,
  type SoftFloatScratch,
  topBit,
  type Unpacked,
  ZE,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';

/** The operations; `a` is ST(0), `b` is ST(1). */
export interface F80Scaling {
  /** (cpu, aSig, aSignExp, bSig, bSignExp, fcw): a * 2^trunc(b). */
  readonly scale: Fn<'i64'>;
  /** (cpu, sig, signExp): the unbiased exponent as a number: FXTRACT's ST(1). */
  readonly extractExponent: Fn<'i64'>;
  /** (cpu, sig, signExp): the significand as a number in [1, 2): FXTRACT's ST(0). */
  readonly extractSignificand: Fn<'i64'>;
  /**
   * (cpu, aSig, aSignExp, bSig, bSignExp, fcw, nearest): the remainder of a / b, or a partial one
   * with C2; C0, C3, C1 are the low three bits of the quotient. `nearest`: the quotient is rounded
   * to nearest (FPREM1), else truncated (FPREM).
   */
  readonly remainder: Fn<'i64'>;
}

const isInfinite = (x: Unpacked): I32 => i32.eq(x.exp, c32(EXP_SPECIAL));

function defineScale(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
): Fn<'i64'> {
  return m.function('f80Scale', ['i32', ...F80, ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    const format = c32(FORMAT_F80);
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () =>
      f.return(call(nan, cpu, a.sig, a.signExp, b.sig, b.signExp)),
    );
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    const invalid = (): void => f.return(call(r.invalid, cpu, format));
    const infinity = (): void =>
      f.return(call(r.pack, cpu, x.sign, c32(EXP_SPECIAL), INTEGER_BIT, format));
    const zero = (): void => f.return(call(r.pack, cpu, x.sign, c32(0), ZERO64, format));
    const denormal = (): void =>
      f.if(i32.or(isDenormal80(a), isDenormal80(b)), () => raise(s, f, c32(DE)));
    f.if(isInfinite(y), () =>
      f.if(
        y.sign,
        () => {
          f.if(isInfinite(x), invalid);
          denormal();
          zero();
        },
        () => {
          f.if(isZero80(a), invalid);
          denormal();
          infinity();
        },
      ),
    );
    denormal();
    f.if(isInfinite(x), infinity);
    f.if(isZero80(a), zero);
    // Beyond 2^16 any scale overflows or underflows.
    const integer = f.let(c32(0));
    f.if(i32.ge_s(y.exp, c32(BIAS)), () => {
      const places = i64.extend_u(i32.sub(c32(BIAS + 63), y.exp));
      const size = i32.wrap(i64.shr_u(y.sig, places));
      f.set(integer, select(i32.gt_s(y.exp, c32(BIAS + 15)), c32(0x1_0000), size));
      f.if(y.sign, () => f.set(integer, i32.sub(c32(0), integer)));
    });
    const exp = i32.add(x.exp, integer);
    const control = controlOfFcw(f.param(5, 'i32'));
    f.return(call(r.round, cpu, x.sign, exp, x.sig, ZERO64, control, format));
  });
}

/** (cpu, sig, signExp), for both halves of FXTRACT. */
function defineExtract(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
  part: 'Exponent' | 'Significand',
): Fn<'i64'> {
  return m.function(`f80Extract${part}`, ['i32', ...F80], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const format = c32(FORMAT_F80);
    const wantsExponent = part === 'Exponent';
    f.if(isNotNumber(a), () => f.return(call(nan, cpu, a.sig, a.signExp, a.sig, a.signExp)));
    const x = unpack80(f, a);
    const result = (sign: I32, exp: I32, sig: typeof x.sig | typeof ZERO64): void =>
      f.return(call(r.pack, cpu, sign, exp, sig, format));
    f.if(isZero80(a), () => {
      raise(s, f, c32(ZE));
      if (wantsExponent) result(c32(1), c32(EXP_SPECIAL), INTEGER_BIT);
      else result(x.sign, c32(0), ZERO64);
    });
    f.if(isInfinite(x), () =>
      result(wantsExponent ? c32(0) : x.sign, c32(EXP_SPECIAL), INTEGER_BIT),
    );
    f.if(isDenormal80(a), () => raise(s, f, c32(DE)));
    if (!wantsExponent) {
      result(x.sign, c32(BIAS), x.sig);
      return;
    }
    const exponent = f.let(i32.sub(x.exp, c32(BIAS)));
    const negative = f.let(i32.lt_s(exponent, c32(0)));
    const size = f.let(i64.extend_u(select(negative, i32.sub(c32(0), exponent), exponent)));
    const zeros = f.let(i64.clz(size));
    result(negative, i32.sub(c32(BIAS + 63), i32.wrap(zeros)), i64.shl(size, zeros));
  });
}

/** A remainder under way: a value less than twice the divisor, and the quotient so far. */
interface Division {
  readonly rest: Local<'i64'>;
  readonly quotient: Local<'i64'>;
}

/** `steps` + 1 steps of long division of x.sig by y.sig, each of one quotient bit. */
function longDivision(f: FunctionBuilder, x: Unpacked, y: Unpacked, steps: I32): Division {
  const rest = f.let(x.sig);
  const quotient = f.let(ZERO64);
  const carry = f.let(c32(0));
  const count = f.let(steps);
  f.loop((again) => {
    f.set(quotient, i64.shl(quotient, ONE64));
    f.if(i32.or(carry, i64.ge_u(rest, y.sig)), () => {
      f.set(rest, i64.sub(rest, y.sig));
      f.set(quotient, i64.or(quotient, ONE64));
    });
    f.if(count, () => {
      f.set(carry, topBit(rest));
      f.set(rest, i64.shl(rest, ONE64));
      f.set(count, i32.sub(count, c32(1)));
      f.br(again);
    });
  });
  return { rest, quotient };
}

/** C0, C3, C1 from the low three bits of the quotient: Q2, Q1, Q0. */
const quotientFlags = (quotient: Local<'i64'>): I32 => {
  const flag = (bit: number, at: number): I32 => {
    const set = isNonzero(i64.and(quotient, c64(1 << bit)));
    return select(set, c32(at), c32(0));
  };
  return i32.or(flag(2, C0), i32.or(flag(1, C3), flag(0, C1)));
};

function defineRemainder(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
): Fn<'i64'> {
  return m.function('f80Remainder', ['i32', ...F80, ...F80, 'i32', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    const control = controlOfFcw(f.param(5, 'i32'));
    const nearest = f.param(6, 'i32');
    const format = c32(FORMAT_F80);
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () =>
      f.return(call(nan, cpu, a.sig, a.signExp, b.sig, b.signExp)),
    );
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    f.if(i32.or(isInfinite(x), isZero80(b)), () => f.return(call(r.invalid, cpu, format)));
    f.if(i32.or(isDenormal80(a), isDenormal80(b)), () => raise(s, f, c32(DE)));
    f.if(isZero80(a), () => f.return(call(r.pack, cpu, x.sign, c32(0), ZERO64, format)));
    const exact = (exp: I32, sig: Local<'i64'>): void => {
      const zeros = f.let(i64.clz(sig));
      f.if(i64.eqz(sig), () => f.return(call(r.pack, cpu, x.sign, c32(0), ZERO64, format)));
      const sum = i32.sub(exp, i32.wrap(zeros));
      const shifted = i64.shl(sig, zeros);
      f.return(call(r.round, cpu, x.sign, sum, shifted, ZERO64, control, format));
    };
    const difference = f.let(i32.sub(x.exp, y.exp));
    // Less than half the divisor, or for FPREM less than the divisor: nothing to subtract.
    const least = i32.sub(c32(0), nearest);
    f.if(isInfinite(y), () => {
      // The dividend as it is, but for the exponent of a pseudo-denormal, which becomes a normal.
      const exp = select(isDenormal80(a), c32(1), x.exp);
      f.return(call(r.pack, cpu, x.sign, exp, a.sig, format));
    });
    f.if(i32.lt_s(difference, least), () => exact(x.exp, x.sig));
    f.if(i32.ge_s(difference, c32(64)), () => {
      // A partial reduction, by 32 to 63 bits: how many is the implementation's to choose.
      const bits = f.let(i32.or(i32.and(difference, c32(31)), c32(32)));
      const { rest } = longDivision(f, x, y, bits);
      raise(s, f, c32(C2));
      exact(i32.sub(x.exp, bits), rest);
    });
    f.if(i32.lt_s(difference, c32(0)), () => {
      // Between a quarter of the divisor and all of it, for FPREM1: the quotient is 0 or 1.
      f.if(i64.le_u(x.sig, y.sig), () => exact(x.exp, x.sig));
      raise(s, f, c32(C1));
      f.set(x.sign, i32.xor(x.sign, c32(1)));
      exact(x.exp, f.let(i64.sub(i64.shl(y.sig, ONE64), x.sig)));
    });
    const { rest, quotient } = longDivision(f, x, y, difference);
    f.if(nearest, () => {
      const twice = i64.shl(rest, ONE64);
      const odd = i32.wrap(i64.and(quotient, ONE64));
      const above = i32.or(topBit(rest), i64.gt_u(twice, y.sig));
      const tie = i32.and(i64.eq(twice, y.sig), odd);
      f.if(i32.or(above, i32.and(tie, i32.eqz(topBit(rest)))), () => {
        f.set(rest, i64.sub(y.sig, rest));
        f.set(quotient, i64.add(quotient, ONE64));
        f.set(x.sign, i32.xor(x.sign, c32(1)));
      });
    });
    raise(s, f, quotientFlags(quotient));
    exact(y.exp, rest);
    f.unreachable();
  });
}

/** Defines the operations in `m`; `nan` is F80Operations.nan. */
export function defineF80Scaling(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  nan: Fn<'i64'>,
): F80Scaling {
  return {
    scale: defineScale(m, s, r, nan),
    extractExponent: defineExtract(m, s, r, nan, 'Exponent'),
    extractSignificand: defineExtract(m, s, r, nan, 'Significand'),
    remainder: defineRemainder(m, s, r, nan),
  };
}
