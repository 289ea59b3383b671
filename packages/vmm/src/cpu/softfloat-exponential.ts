// F2XM1, FYL2X and FYL2XP1 (SDM vol. 2A; vol. 1, 8.3.10: errors of less than one unit in the last
// place). Arguments outside the ranges that the manual gives have undefined results there; here
// they are what Intel's processors return: the logarithm where there is one, else the argument.

import { c32, c64, call, type Fn, type I32, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import {
  exponentOf,
  F80,
  f80Param,
  isDenormal80,
  isNotNumber,
  isZero80,
  unpack80,
} from './softfloat-f80.ts';
import {
  BIAS,
  DE,
  EXP_SPECIAL,
  FORMAT_F80,
  INTEGER_BIT,
  PE,
  raise,
  type Unpacked,
  ZE,
  ZERO64,
} from './softfloat-parts.ts';
import { exponentialSeries, inverseHyperbolicSeries, ln2, twoOverLn2 } from './softfloat-series.ts';
import { constantArguments, polynomial, slot, type WideKit } from './softfloat-trigonometric.ts';

/** The functions. */
export interface Exponential {
  /** (cpu, sig, signExp, fcw): 2^x - 1 for |x| <= 1. */
  readonly exp2m1: Fn<'i64'>;
  /** (cpu, xSig, xSignExp, ySig, ySignExp, fcw): y log2 x; x is ST(0), y ST(1). */
  readonly yLog2x: Fn<'i64'>;
  /** The same of y log2(x + 1). */
  readonly yLog2xp1: Fn<'i64'>;
}

// Work-space numbers.
const X = 0;
const RESULT = 1;
const POWER = 2;
const PLUS = 3;
const INTEGER = 4;

function defineExp2m1(kit: WideKit): Fn<'i64'> {
  const { m, s, w, nan } = kit;
  return m.function('f80Exp2m1', ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const at = (n: number): I32 => slot(kit, cpu, n);
    const exact = (signExp: I32): void => {
      f.store32(cpu, signExp, s.signExp);
      f.return(a.sig);
    };
    f.if(isNotNumber(a), () => f.return(call(nan, cpu, a.sig, a.signExp, a.sig, a.signExp)));
    f.if(isZero80(a), () => exact(a.signExp));
    f.if(i32.ge_u(exponentOf(a), c32(BIAS)), () => {
      // 2^-∞ - 1 = -1; 2^-1 - 1 = -1/2, which processors report as inexact; above 1 they return the
      // argument, as they do for 2^1 - 1 = 1.
      f.if(i32.eq(a.signExp, c32(0x8000 | EXP_SPECIAL)), () => exact(c32(0x8000 | BIAS)));
      f.if(i32.eq(a.signExp, c32(EXP_SPECIAL)), () => exact(a.signExp));
      raise(s, f, c32(PE));
      const one = i64.eq(a.sig, INTEGER_BIT);
      const minusOne = i32.and(one, i32.eq(a.signExp, c32(0x8000 | BIAS)));
      f.if(minusOne, () => exact(c32(0x8000 | (BIAS - 1))));
      exact(a.signExp);
    });
    f.if(isDenormal80(a), () => raise(s, f, c32(DE)));
    const x = unpack80(f, a);
    f.call(w.set, at(X), x.sign, x.exp, x.sig, ZERO64);
    f.call(w.set, at(POWER), ...constantArguments(ln2));
    f.call(w.multiply, at(X), at(X), at(POWER));
    polynomial(f, kit, at(RESULT), at(X), exponentialSeries);
    f.call(w.multiply, at(RESULT), at(RESULT), at(X));
    f.return(call(w.round, cpu, at(RESULT), f.param(3, 'i32')));
  });
}

/** (cpu): RESULT = log2((1 + z) / (1 - z)) = 2 atanh(z) / ln 2, for z in X. */
function defineLogarithmOfRatio(kit: WideKit): Fn<'void'> {
  const { m, w } = kit;
  return m.function('sfLogarithmOfRatio', ['i32'], 'void', (f) => {
    const at = (n: number): I32 => slot(kit, f.param(0, 'i32'), n);
    f.call(w.multiply, at(POWER), at(X), at(X));
    polynomial(f, kit, at(RESULT), at(POWER), inverseHyperbolicSeries);
    f.call(w.multiply, at(RESULT), at(RESULT), at(X));
    f.call(w.set, at(POWER), ...constantArguments(twoOverLn2));
    f.call(w.multiply, at(RESULT), at(RESULT), at(POWER));
  });
}

/** The significand of √2. */
const SQRT2 = 0xb504_f333_f9de_6484n;

/**
 * (cpu): RESULT = log2 of the positive number in X. It is 2^k · m with m around 1, and
 * log2 m = 2 atanh((m - 1) / (m + 1)) / ln 2.
 */
function defineLogarithm(kit: WideKit, ofRatio: Fn<'void'>): Fn<'void'> {
  const { m, w } = kit;
  return m.function('sfLogarithm', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const at = (n: number): I32 => slot(kit, cpu, n);
    const one = (to: number, sign: number): void =>
      f.call(w.set, at(to), c32(sign), c32(BIAS), INTEGER_BIT, ZERO64);
    const above = f.let(i64.gt_u(i64.load(at(X), 0), c64(SQRT2)));
    const k = f.let(i32.add(i32.sub(i32.load(at(X), 16), c32(BIAS)), above));
    f.store32(at(X), i32.sub(c32(BIAS), above), 16);
    one(PLUS, 0);
    f.call(w.add, at(PLUS), at(PLUS), at(X));
    one(POWER, 1);
    f.call(w.add, at(X), at(X), at(POWER));
    f.call(w.divide, at(X), at(X), at(PLUS));
    f.call(ofRatio, cpu);
    f.if(k, () => {
      const negative = f.let(i32.lt_s(k, c32(0)));
      const size = f.let(i64.extend_u(select(negative, i32.sub(c32(0), k), k)));
      const zeros = f.let(i64.clz(size));
      const exp = i32.sub(c32(BIAS + 63), i32.wrap(zeros));
      f.call(w.set, at(INTEGER), negative, exp, i64.shl(size, zeros), ZERO64);
      f.call(w.add, at(RESULT), at(RESULT), at(INTEGER));
    });
  });
}

/** The results that are zeros and infinities. */
interface Results {
  readonly invalid: () => void;
  readonly infinity: (sign: I32) => void;
  readonly zero: (sign: I32) => void;
  readonly denormal: () => void;
  /** What there is for x <= -1. */
  readonly argument: () => void;
}

const isInfinite = (x: Unpacked): I32 => i32.eq(x.exp, c32(EXP_SPECIAL));
const isZero = (x: Unpacked): I32 => i64.eqz(x.sig);
const not = (a: I32): I32 => i32.xor(a, c32(1));

/** Vol. 2A, "FYL2X", table 3-48, but for finite results that are not zero. */
function logarithmSpecials(
  f: FunctionBuilder,
  kit: WideKit,
  x: Unpacked,
  y: Unpacked,
  to: Results,
): void {
  f.if(isZero(x), () => {
    f.if(isZero(y), to.invalid);
    f.if(i32.eqz(isInfinite(y)), () => raise(kit.s, f, c32(ZE)));
    to.infinity(not(y.sign));
  });
  f.if(x.sign, to.invalid);
  const one = f.let(i32.and(i32.eq(x.exp, c32(BIAS)), i64.eq(x.sig, INTEGER_BIT)));
  const belowOne = f.let(i32.lt_s(x.exp, c32(BIAS)));
  f.if(i32.or(i32.and(isInfinite(x), isZero(y)), i32.and(isInfinite(y), one)), to.invalid);
  to.denormal();
  f.if(i32.or(isInfinite(x), isInfinite(y)), () => to.infinity(i32.xor(y.sign, belowOne)));
  f.if(i32.or(isZero(y), one), () => to.zero(i32.xor(y.sign, belowOne)));
}

/** Vol. 2A, "FYL2XP1", table 3-49, and below its range. */
function logarithmPlus1Specials(f: FunctionBuilder, x: Unpacked, y: Unpacked, to: Results): void {
  f.if(i32.or(i32.and(isZero(x), isInfinite(y)), i32.and(isInfinite(x), isZero(y))), to.invalid);
  f.if(i32.and(isInfinite(x), x.sign), to.invalid);
  to.denormal();
  const sign = i32.xor(x.sign, y.sign);
  f.if(i32.or(isInfinite(x), isInfinite(y)), () => to.infinity(sign));
  f.if(i32.or(isZero(x), isZero(y)), () => to.zero(sign));
  f.if(i32.and(x.sign, i32.ge_s(x.exp, c32(BIAS))), () => to.argument());
}

function defineYLog2(
  kit: WideKit,
  name: 'YLog2x' | 'YLog2xp1',
  compute: (f: FunctionBuilder, x: Unpacked) => void,
): Fn<'i64'> {
  const { m, s, r, w, nan } = kit;
  return m.function(`f80${name}`, ['i32', ...F80, ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    const at = (n: number): I32 => slot(kit, cpu, n);
    const format = c32(FORMAT_F80);
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () =>
      f.return(call(nan, cpu, a.sig, a.signExp, b.sig, b.signExp)),
    );
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    const results: Results = {
      invalid: () => f.return(call(r.invalid, cpu, format)),
      infinity: (sign) => f.return(call(r.pack, cpu, sign, c32(EXP_SPECIAL), INTEGER_BIT, format)),
      zero: (sign) => f.return(call(r.pack, cpu, sign, c32(0), ZERO64, format)),
      argument: () => {
        raise(s, f, c32(PE));
        f.return(call(r.pack, cpu, x.sign, x.exp, x.sig, format));
      },
      denormal: () => f.if(i32.or(isDenormal80(a), isDenormal80(b)), () => raise(s, f, c32(DE))),
    };
    if (name === 'YLog2x') logarithmSpecials(f, kit, x, y, results);
    else logarithmPlus1Specials(f, x, y, results);
    compute(f, x);
    f.call(w.set, at(X), y.sign, y.exp, y.sig, ZERO64);
    f.call(w.multiply, at(RESULT), at(RESULT), at(X));
    f.return(call(w.round, cpu, at(RESULT), f.param(5, 'i32')));
  });
}

/** Defines the functions. */
export function defineExponential(kit: WideKit): Exponential {
  const { w } = kit;
  const ofRatio = defineLogarithmOfRatio(kit);
  const logarithm = defineLogarithm(kit, ofRatio);
  return {
    exp2m1: defineExp2m1(kit),
    yLog2x: defineYLog2(kit, 'YLog2x', (f, x) => {
      const cpu = f.param(0, 'i32');
      f.call(w.set, slot(kit, cpu, X), c32(0), x.exp, x.sig, ZERO64);
      f.call(logarithm, cpu);
    }),
    yLog2xp1: defineYLog2(kit, 'YLog2xp1', (f, x) => {
      const cpu = f.param(0, 'i32');
      const at = (n: number): I32 => slot(kit, cpu, n);
      f.call(w.set, at(X), x.sign, x.exp, x.sig, ZERO64);
      f.if(
        // log2(1 + x) is that of the ratio for z = x / (2 + x), and keeps all digits of a small x.
        i32.lt_s(x.exp, c32(BIAS - 2)),
        () => {
          f.call(w.set, at(PLUS), c32(0), c32(BIAS + 1), INTEGER_BIT, ZERO64);
          f.call(w.add, at(PLUS), at(PLUS), at(X));
          f.call(w.divide, at(X), at(X), at(PLUS));
          f.call(ofRatio, cpu);
        },
        () => {
          f.call(w.set, at(PLUS), c32(0), c32(BIAS), INTEGER_BIT, ZERO64);
          f.call(w.add, at(X), at(X), at(PLUS));
          f.call(logarithm, cpu);
        },
      );
    }),
  };
}
