// FSIN, FCOS, FPTAN and FPATAN (SDM vol. 2A; vol. 1, 8.3.10: errors of less than one unit in the
// last place). The argument is reduced by the FPU's own π, which has 66 bits (vol. 1, 8.3.8):
// results are those of the processor, not of an exact reduction. The series are in
// softfloat-series.ts.

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
  isNotNumber,
  isZero80,
  signOf,
  unpack80,
} from './softfloat-f80.ts';
import {
  BIAS,
  C2,
  DE,
  EXP_SPECIAL,
  FORMAT_F80,
  INTEGER_BIT,
  normalise,
  ONE64,
  type Pair,
  raise,
  type SoftFloatScratch,
  topBit,
  type Unpacked,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';
import {
  arctangent,
  arctangentSeries,
  cosineSeries,
  halfPi,
  pi,
  quarterPi,
  sineSeries,
  threeQuarterPi,
} from './softfloat-series.ts';
import { WIDE_BYTES, type Wide, type WideConstant } from './softfloat-wide.ts';

/** What the transcendental functions are built with. */
export interface WideKit {
  readonly m: ModuleBuilder;
  readonly s: SoftFloatScratch;
  readonly r: Rounding;
  readonly w: Wide;
  /** F80Operations.nan */
  readonly nan: Fn<'i64'>;
}

/** The trigonometric functions. */
export interface Trigonometric {
  /**
   * (cpu, sig, signExp, fcw). An argument of 2^63 or more is left as it is, with C2. `tan`: the
   * caller pushes the 1.
   */
  readonly sin: Fn<'i64'>;
  readonly cos: Fn<'i64'>;
  readonly tan: Fn<'i64'>;
  /** (cpu, xSig, xSignExp, ySig, ySignExp, fcw): the angle of (x, y): x is ST(0), y ST(1). */
  readonly atan2: Fn<'i64'>;
}

/** The address of work-space number `n`. */
export const slot = (kit: WideKit, cpu: I32, n: number): I32 =>
  i32.add(cpu, c32(kit.s.wide + n * WIDE_BYTES));

/** The arguments that describe a constant. */
export const constantArguments = (c: WideConstant): [I32, I32, I64, I64] => [
  c32(c.sign),
  c32(c.exp),
  c64(BigInt.asIntN(64, c.hi)),
  c64(BigInt.asIntN(64, c.lo)),
];

/** to = Σ series[k] · x^k, by Horner's rule. */
export function polynomial(
  f: FunctionBuilder,
  kit: WideKit,
  to: I32,
  x: I32,
  series: readonly WideConstant[],
): void {
  const last = series.length - 1;
  f.call(kit.w.set, to, ...constantArguments(series[last]));
  for (let k = last - 1; k >= 0; k--) f.call(kit.w.step, to, x, ...constantArguments(series[k]));
}

// Work-space numbers.
const REDUCED = 0;
const SQUARE = 1;
const SINE = 2;
const COSINE = 3;

/** π / 2 with a 66-bit π: its significand, at exponent 0. */
const HALF_PI_HIGH = c64(0xc90f_daa2_2168_c234n);
const HALF_PI_LOW = c64(0xc000_0000_0000_0000n);

/**
 * (cpu, exp, sig) -> the number of quarter turns modulo 4, and in the work space the sine and the
 * cosine of what remains. Exact: π / 2 is a number of 66 bits here, of which a multiple is
 * subtracted.
 */
function defineReduce(kit: WideKit): Fn<'i32'> {
  const { m, w } = kit;
  return m.function('sfReduceAngle', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const exp = f.param(1, 'i32');
    const rest: Pair = { hi: f.param(2, 'i64'), lo: f.let(ZERO64) };
    const turns = f.let(c32(0));
    const sign = f.let(c32(0));
    f.if(i32.ge_s(exp, c32(BIAS - 1)), () => {
      f.if(
        i32.eq(exp, c32(BIAS - 1)),
        () => {
          f.set(rest.lo, i64.shl(rest.hi, c64(63)));
          f.set(rest.hi, i64.shr_u(rest.hi, ONE64));
        },
        () => divideByHalfPi(f, rest, turns, i32.sub(exp, c32(BIAS))),
      );
      // To the nearest quarter turn: the rest is in [-π/4, π/4].
      f.if(i64.gt_u(rest.hi, c64(0xc90f_daa2_2168_c234n >> 1n)), () => {
        const borrow = i64.extend_u(i64.gt_u(rest.lo, HALF_PI_LOW));
        f.set(rest.hi, i64.sub(i64.sub(HALF_PI_HIGH, rest.hi), borrow));
        f.set(rest.lo, i64.sub(HALF_PI_LOW, rest.lo));
        f.set(sign, c32(1));
        f.set(turns, i32.add(turns, c32(1)));
      });
      f.set(exp, c32(BIAS));
      normalise(f, rest, exp);
    });
    const at = (n: number): I32 => slot(kit, cpu, n);
    f.call(w.set, at(REDUCED), sign, exp, rest.hi, rest.lo);
    f.call(w.multiply, at(SQUARE), at(REDUCED), at(REDUCED));
    polynomial(f, kit, at(SINE), at(SQUARE), sineSeries);
    f.call(w.multiply, at(SINE), at(SINE), at(REDUCED));
    polynomial(f, kit, at(COSINE), at(SQUARE), cosineSeries);
    f.return(turns);
  });
}

/** Leaves rest · 2^places modulo π / 2 in `rest`, and the quotient's low bits in `turns`. */
function divideByHalfPi(f: FunctionBuilder, rest: Pair, turns: Local<'i32'>, places: I32): void {
  const count = f.let(places);
  const carry = f.let(c32(0));
  f.loop((again) => {
    f.set(turns, i32.shl(turns, c32(1)));
    const equal = i32.and(i64.eq(rest.hi, HALF_PI_HIGH), i64.ge_u(rest.lo, HALF_PI_LOW));
    f.if(i32.or(carry, i32.or(i64.gt_u(rest.hi, HALF_PI_HIGH), equal)), () => {
      const borrow = i64.extend_u(i64.lt_u(rest.lo, HALF_PI_LOW));
      f.set(rest.hi, i64.sub(i64.sub(rest.hi, HALF_PI_HIGH), borrow));
      f.set(rest.lo, i64.sub(rest.lo, HALF_PI_LOW));
      f.set(turns, i32.or(turns, c32(1)));
    });
    f.if(count, () => {
      f.set(carry, topBit(rest.hi));
      f.set(rest.hi, i64.or(i64.shl(rest.hi, ONE64), i64.shr_u(rest.lo, c64(63))));
      f.set(rest.lo, i64.shl(rest.lo, ONE64));
      f.set(count, i32.sub(count, c32(1)));
      f.br(again);
    });
  });
}

function defineAngleFunction(
  kit: WideKit,
  reduce: Fn<'i32'>,
  name: 'Sin' | 'Cos' | 'Tan',
): Fn<'i64'> {
  const { m, s, r, w, nan } = kit;
  return m.function(`f80${name}`, ['i32', ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const fcw = f.param(3, 'i32');
    const format = c32(FORMAT_F80);
    f.if(isNotNumber(a), () => f.return(call(nan, cpu, a.sig, a.signExp, a.sig, a.signExp)));
    f.if(i32.eq(exponentOf(a), c32(EXP_SPECIAL)), () => f.return(call(r.invalid, cpu, format)));
    f.if(isZero80(a), () => {
      const one = call(r.pack, cpu, c32(0), c32(BIAS), INTEGER_BIT, format);
      const zero = call(r.pack, cpu, signOf(a), c32(0), ZERO64, format);
      f.return(name === 'Cos' ? one : zero);
    });
    f.if(i32.ge_u(exponentOf(a), c32(BIAS + 63)), () => {
      raise(s, f, c32(C2));
      f.store32(cpu, a.signExp, s.signExp);
      f.return(a.sig);
    });
    f.if(isDenormal80(a), () => raise(s, f, c32(DE)));
    const x = unpack80(f, a);
    const turns = f.let(call(reduce, cpu, x.exp, x.sig));
    const odd = f.let(i32.and(turns, c32(1)));
    const sine = slot(kit, cpu, SINE);
    const cosine = slot(kit, cpu, COSINE);
    // A quarter turn makes of sine and cosine: cosine and -sine; half a turn negates both.
    const negate = f.let(c32(0));
    const result = f.local('i32');
    if (name === 'Tan') {
      f.if(
        odd,
        () => f.call(w.divide, sine, cosine, sine),
        () => f.call(w.divide, sine, sine, cosine),
      );
      f.set(result, sine);
      f.set(negate, i32.xor(odd, x.sign));
    } else if (name === 'Sin') {
      f.set(result, select(odd, cosine, sine));
      f.set(negate, i32.xor(i32.and(i32.shr_u(turns, c32(1)), c32(1)), x.sign));
    } else {
      f.set(result, select(odd, sine, cosine));
      const half = i32.shr_u(i32.add(turns, c32(1)), c32(1));
      f.set(negate, i32.and(half, c32(1)));
    }
    f.store32(result, i32.xor(i32.load(result, 20), negate), 20);
    f.return(call(w.round, cpu, result, fcw));
  });
}

// Work-space numbers of the arctangent.
const NUMERATOR = 0;
const DENOMINATOR = 1;
const RATIO = 2;
const SUM = 3;
const TERM = 4;

/** Eighths between which the arctangent's series is used. */
const EIGHTHS = [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] as const;

/**
 * (cpu): the arctangent of the quotient of NUMERATOR and DENOMINATOR, which is at most 1, into SUM:
 * atan q = atan c + atan((q - c) / (1 + q c)), where c is the nearest eighth.
 */
function defineArctangent(kit: WideKit): Fn<'void'> {
  const { m, w } = kit;
  return m.function('sfArctangent', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const at = (n: number): I32 => slot(kit, cpu, n);
    f.call(w.divide, at(RATIO), at(NUMERATOR), at(DENOMINATOR));
    f.call(w.set, at(SUM), c32(0), c32(0), ZERO64, ZERO64);
    const distance = i32.sub(c32(BIAS), i32.load(at(RATIO), 16));
    const nearest = f.let(c32(0));
    f.if(i32.lt_s(distance, c32(5)), () => {
      const sixteenths = i32.wrap(
        i64.shr_u(i64.load(at(RATIO), 0), i64.extend_u(i32.add(distance, c32(59)))),
      );
      f.set(nearest, i32.shr_u(i32.add(sixteenths, c32(1)), c32(1)));
    });
    f.if(nearest, () => {
      // The eighth as a number: its leading bit to bit 63.
      const zeros = f.let(i64.clz(i64.extend_u(nearest)));
      const sig = i64.shl(i64.extend_u(nearest), zeros);
      const exp = i32.sub(c32(BIAS + 63 - 3), i32.wrap(zeros));
      f.call(w.set, at(TERM), c32(1), exp, sig, ZERO64);
      f.call(w.add, at(NUMERATOR), at(RATIO), at(TERM));
      f.store32(at(TERM), c32(0), 20);
      f.call(w.set, at(DENOMINATOR), c32(0), c32(BIAS), INTEGER_BIT, ZERO64);
      f.call(w.multiply, at(TERM), at(TERM), at(RATIO));
      f.call(w.add, at(DENOMINATOR), at(DENOMINATOR), at(TERM));
      f.call(w.divide, at(RATIO), at(NUMERATOR), at(DENOMINATOR));
      const load = (n: bigint) => (): void =>
        f.call(w.set, at(SUM), ...constantArguments(arctangent(n, 8n)));
      f.switch(i32.sub(nearest, c32(1)), EIGHTHS.slice(1).map(load), () => f.unreachable());
    });
    f.call(w.multiply, at(NUMERATOR), at(RATIO), at(RATIO));
    polynomial(f, kit, at(TERM), at(NUMERATOR), arctangentSeries);
    f.call(w.multiply, at(TERM), at(TERM), at(RATIO));
    f.call(w.add, at(SUM), at(SUM), at(TERM));
  });
}

/** The angles of zeros and infinities: vol. 2A, "FPATAN", table 3-37. */
function angleSpecials(
  f: FunctionBuilder,
  kit: WideKit,
  x: Unpacked,
  y: Unpacked,
  angle: (constant: WideConstant) => void,
): void {
  const { r } = kit;
  const infinite = (n: Unpacked): I32 => i32.eq(n.exp, c32(EXP_SPECIAL));
  const zero = (): void =>
    f.return(call(r.pack, f.param(0, 'i32'), y.sign, c32(0), ZERO64, c32(FORMAT_F80)));
  f.if(infinite(y), () => {
    f.if(infinite(x), () => {
      f.if(x.sign, () => angle(threeQuarterPi));
      angle(quarterPi);
    });
    angle(halfPi);
  });
  f.if(i32.or(infinite(x), i64.eqz(y.sig)), () => {
    f.if(x.sign, () => angle(pi));
    zero();
  });
  f.if(i64.eqz(x.sig), () => angle(halfPi));
}

function defineAtan2(kit: WideKit): Fn<'i64'> {
  const { m, s, w, nan } = kit;
  const arctangentOf = defineArctangent(kit);
  return m.function('f80Atan2', ['i32', ...F80, ...F80, 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = f80Param(f, 1);
    const b = f80Param(f, 3);
    const at = (n: number): I32 => slot(kit, cpu, n);
    f.if(i32.or(isNotNumber(a), isNotNumber(b)), () =>
      f.return(call(nan, cpu, a.sig, a.signExp, b.sig, b.signExp)),
    );
    f.if(i32.or(isDenormal80(a), isDenormal80(b)), () => raise(s, f, c32(DE)));
    const x = unpack80(f, a);
    const y = unpack80(f, b);
    const rounded = (): void => {
      f.store32(at(SUM), y.sign, 20);
      f.return(call(w.round, cpu, at(SUM), f.param(5, 'i32')));
    };
    angleSpecials(f, kit, x, y, (constant) => {
      f.call(w.set, at(SUM), ...constantArguments(constant));
      rounded();
    });
    const steep = f.let(
      i32.or(i32.gt_s(y.exp, x.exp), i32.and(i32.eq(y.exp, x.exp), i64.gt_u(y.sig, x.sig))),
    );
    const place = (first: number, second: number) => (): void => {
      f.call(w.set, at(first), c32(0), y.exp, y.sig, ZERO64);
      f.call(w.set, at(second), c32(0), x.exp, x.sig, ZERO64);
    };
    f.if(steep, place(DENOMINATOR, NUMERATOR), place(NUMERATOR, DENOMINATOR));
    f.call(arctangentOf, cpu);
    // What is subtracted from π / 2, and then from π, is positive.
    const complement = (whole: WideConstant) => (): void => {
      f.store32(at(SUM), c32(1), 20);
      f.call(w.set, at(TERM), ...constantArguments(whole));
      f.call(w.add, at(SUM), at(TERM), at(SUM));
    };
    f.if(steep, complement(halfPi));
    f.if(x.sign, complement(pi));
    rounded();
  });
}

/** Defines the functions. */
export function defineTrigonometric(kit: WideKit): Trigonometric {
  const reduce = defineReduce(kit);
  return {
    sin: defineAngleFunction(kit, reduce, 'Sin'),
    cos: defineAngleFunction(kit, reduce, 'Cos'),
    tan: defineAngleFunction(kit, reduce, 'Tan'),
    atan2: defineAtan2(kit),
  };
}
