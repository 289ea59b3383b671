// Addition, multiplication, division and square root of unpacked numbers, exact up to the final
// rounding (IEEE 754-2008, 5.4.1), with the zeros, infinities and invalid operations of SDM vol. 1,
// 8.5.1.2 and tables of FADD, FMUL, FDIV (vol. 2A). NaNs and denormals are the callers': they
// differ between SSE and x87. One set of functions serves binary32, binary64 and double extended:
// the significands are 64 bits wide, and only rounding knows the format.

import {
  c32,
  c64,
  call,
  type Fn,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  BIAS,
  EXP_SPECIAL,
  INTEGER_BIT,
  multiply,
  normalise,
  ONE64,
  type Pair,
  RC_DOWN,
  raise,
  roundingControl,
  type SoftFloatScratch,
  shiftRightSticky,
  topBit,
  type Unpacked,
  ZE,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';

/**
 * Binary operations take (cpu, signA, expA, sigA, signB, expB, sigB, control, format), `sqrt`
 * (cpu, sign, exp, sig, control, format); results are those of `Rounding.pack`.
 */
export interface Arithmetic {
  readonly add: Fn<'i64'>;
  readonly multiply: Fn<'i64'>;
  readonly divide: Fn<'i64'>;
  readonly sqrt: Fn<'i64'>;
}

const UNPACKED = ['i32', 'i32', 'i64'] as const;
const BINARY = ['i32', ...UNPACKED, ...UNPACKED, 'i32', 'i32'] as const;

/** The parameters of a binary operation, and the results it may return. */
interface BinaryFrame {
  readonly cpu: I32;
  readonly a: Unpacked;
  readonly b: Unpacked;
  readonly control: I32;
  readonly format: I32;
  /** Returns infinity, zero, the default NaN, or a rounded number. */
  returnInfinity(sign: I32): void;
  returnZero(sign: I32): void;
  returnInvalid(): void;
  returnRounded(sign: I32, exp: I32, sig: I64, extra: I64): void;
}

function binaryFrame(f: FunctionBuilder, r: Rounding): BinaryFrame {
  const operand = (first: number): Unpacked => ({
    sign: f.param(first, 'i32'),
    exp: f.param(first + 1, 'i32'),
    sig: f.param(first + 2, 'i64'),
  });
  const cpu = f.param(0, 'i32');
  const control = f.param(7, 'i32');
  const format = f.param(8, 'i32');
  return {
    cpu,
    a: operand(1),
    b: operand(4),
    control,
    format,
    returnInfinity: (sign) =>
      f.return(call(r.pack, cpu, sign, c32(EXP_SPECIAL), INTEGER_BIT, format)),
    returnZero: (sign) => f.return(call(r.pack, cpu, sign, c32(0), ZERO64, format)),
    returnInvalid: () => f.return(call(r.invalid, cpu, format)),
    returnRounded: (sign, exp, sig, extra) =>
      f.return(call(r.round, cpu, sign, exp, sig, extra, control, format)),
  };
}

const isInfinite = (x: Unpacked): I32 => i32.eq(x.exp, c32(EXP_SPECIAL));
const isZero = (x: Unpacked): I32 => i64.eqz(x.sig);

/** Exchanges two locals by way of a third. */
function swap<T extends 'i32' | 'i64'>(f: FunctionBuilder, a: Local<T>, b: Local<T>): void {
  const kept = f.let(a);
  f.set(a, b);
  f.set(b, kept);
}

function defineAdd(m: ModuleBuilder, r: Rounding): Fn<'i64'> {
  return m.function('sfAdd', BINARY, 'i64', (f) => {
    const frame = binaryFrame(f, r);
    const { a, b } = frame;
    addSpecials(f, frame);
    const smaller = i32.or(
      i32.lt_s(a.exp, b.exp),
      i32.and(i32.eq(a.exp, b.exp), i64.lt_u(a.sig, b.sig)),
    );
    f.if(smaller, () => {
      swap(f, a.sign, b.sign);
      swap(f, a.exp, b.exp);
      swap(f, a.sig, b.sig);
    });
    const small: Pair = { hi: b.sig, lo: f.let(ZERO64) };
    shiftRightSticky(f, small, i32.sub(a.exp, b.exp));
    f.if(
      i32.eq(a.sign, b.sign),
      () => {
        const sum = f.let(i64.add(a.sig, small.hi));
        f.if(i64.lt_u(sum, small.hi), () => {
          const sticky = i64.and(small.lo, ONE64);
          const shifted = i64.or(i64.shr_u(small.lo, ONE64), i64.shl(sum, c64(63)));
          f.set(small.lo, i64.or(shifted, sticky));
          f.set(sum, i64.or(i64.shr_u(sum, ONE64), INTEGER_BIT));
          f.set(a.exp, i32.add(a.exp, c32(1)));
        });
        frame.returnRounded(a.sign, a.exp, sum, small.lo);
      },
      () => {
        const borrow = i64.extend_u(i64.ne(small.lo, ZERO64));
        const hi = f.let(i64.sub(i64.sub(a.sig, small.hi), borrow));
        const lo = f.let(i64.sub(ZERO64, small.lo));
        // An exact zero difference is +0, or -0 when rounding down (IEEE 754-2008, 6.3).
        f.if(i64.eqz(i64.or(hi, lo)), () =>
          frame.returnZero(i32.eq(roundingControl(frame.control), c32(RC_DOWN))),
        );
        normalise(f, { hi, lo }, a.exp);
        frame.returnRounded(a.sign, a.exp, hi, lo);
      },
    );
    f.unreachable();
  });
}

/** Infinities and zeros of an addition. A zero leaves the other operand, still to be rounded. */
function addSpecials(f: FunctionBuilder, frame: BinaryFrame): void {
  const { a, b } = frame;
  const differ = i32.ne(a.sign, b.sign);
  f.if(isInfinite(a), () => {
    f.if(i32.and(isInfinite(b), differ), () => frame.returnInvalid());
    frame.returnInfinity(a.sign);
  });
  f.if(isInfinite(b), () => frame.returnInfinity(b.sign));
  f.if(isZero(a), () => {
    f.if(isZero(b), () => {
      const down = i32.eq(roundingControl(frame.control), c32(RC_DOWN));
      f.if(differ, () => frame.returnZero(down));
      frame.returnZero(a.sign);
    });
    frame.returnRounded(b.sign, b.exp, b.sig, ZERO64);
  });
  f.if(isZero(b), () => frame.returnRounded(a.sign, a.exp, a.sig, ZERO64));
}

function defineMultiply(m: ModuleBuilder, r: Rounding): Fn<'i64'> {
  return m.function('sfMultiply', BINARY, 'i64', (f) => {
    const frame = binaryFrame(f, r);
    const { a, b } = frame;
    const sign = f.let(i32.xor(a.sign, b.sign));
    f.if(i32.or(isInfinite(a), isInfinite(b)), () => {
      f.if(i32.or(isZero(a), isZero(b)), () => frame.returnInvalid());
      frame.returnInfinity(sign);
    });
    f.if(i32.or(isZero(a), isZero(b)), () => frame.returnZero(sign));
    // The product of two significands in [1, 2) is in [1, 4).
    const exp = f.let(i32.sub(i32.add(a.exp, b.exp), c32(BIAS - 1)));
    const product = multiply(f, a.sig, b.sig);
    normalise(f, product, exp);
    frame.returnRounded(sign, exp, product.hi, product.lo);
  });
}

/**
 * (hi, lo, divisor) -> floor((hi << 64 | lo) / divisor), for hi < divisor and a divisor with bit 63
 * set: two digits of 32 bits (Knuth, The Art of Computer Programming, vol. 2, 4.3.1, algorithm D).
 */
function defineDivide128(m: ModuleBuilder): Fn<'i64'> {
  return m.function('sfDivide128', ['i64', 'i64', 'i64'], 'i64', (f) => {
    const remainder = f.param(0, 'i64');
    const lo = f.param(1, 'i64');
    const divisor = f.param(2, 'i64');
    const high = f.let(i64.shr_u(divisor, c64(32)));
    const low = f.let(i64.and(divisor, c64(0xffff_ffffn)));
    const digit = (next: I64): I64 => {
      const dividend = f.let(next);
      const q = f.let(i64.div_u(remainder, high));
      const rest = f.let(i64.sub(remainder, i64.mul(q, high)));
      const shifted = i64.or(i64.shl(rest, c64(32)), dividend);
      // The estimate is at most 2 too large.
      f.loop((again) => {
        const tooLarge = i32.or(
          i64.ne(i64.shr_u(q, c64(32)), ZERO64),
          i64.gt_u(i64.mul(q, low), shifted),
        );
        f.if(tooLarge, () => {
          f.set(q, i64.sub(q, ONE64));
          f.set(rest, i64.add(rest, high));
          f.br(again, i64.eqz(i64.shr_u(rest, c64(32))));
        });
      });
      const whole = i64.or(i64.shl(remainder, c64(32)), dividend);
      f.set(remainder, i64.sub(whole, i64.mul(q, divisor)));
      return q;
    };
    const first = digit(i64.shr_u(lo, c64(32)));
    const second = digit(i64.and(lo, c64(0xffff_ffffn)));
    f.return(i64.or(i64.shl(first, c64(32)), second));
  });
}

function defineDivide(m: ModuleBuilder, s: SoftFloatScratch, r: Rounding): Fn<'i64'> {
  const divide128 = defineDivide128(m);
  return m.function('sfDivide', BINARY, 'i64', (f) => {
    const frame = binaryFrame(f, r);
    const { a, b } = frame;
    const sign = f.let(i32.xor(a.sign, b.sign));
    f.if(isInfinite(a), () => {
      f.if(isInfinite(b), () => frame.returnInvalid());
      frame.returnInfinity(sign);
    });
    f.if(isInfinite(b), () => frame.returnZero(sign));
    f.if(isZero(b), () => {
      f.if(isZero(a), () => frame.returnInvalid());
      raise(s, f, c32(ZE));
      frame.returnInfinity(sign);
    });
    f.if(isZero(a), () => frame.returnZero(sign));
    const exp = f.let(i32.add(i32.sub(a.exp, b.exp), c32(BIAS - 1)));
    // Make the dividend less than the divisor, so that the quotient is a fraction in [1/2, 1).
    const lo = f.let(ZERO64);
    f.if(i64.ge_u(a.sig, b.sig), () => {
      f.set(lo, i64.shl(a.sig, c64(63)));
      f.set(a.sig, i64.shr_u(a.sig, ONE64));
      f.set(exp, i32.add(exp, c32(1)));
    });
    const q = f.let(call(divide128, a.sig, lo, b.sig));
    const remainder = f.let(i64.sub(lo, i64.mul(q, b.sig)));
    // Of what is below the quotient rounding needs to know: zero, and how it compares to a half.
    const extra = f.let(i64.extend_u(i64.ne(remainder, ZERO64)));
    const twice = i64.shl(remainder, ONE64);
    f.if(i32.or(topBit(remainder), i64.ge_u(twice, b.sig)), () => {
      const exactlyHalf = i32.and(i32.eqz(topBit(remainder)), i64.eq(twice, b.sig));
      const aboveHalf = i64.extend_u(i32.eqz(exactlyHalf));
      f.set(extra, i64.or(INTEGER_BIT, aboveHalf));
    });
    frame.returnRounded(sign, exp, q, extra);
  });
}

function defineSqrt(m: ModuleBuilder, r: Rounding): Fn<'i64'> {
  return m.function('sfSqrt', ['i32', ...UNPACKED, 'i32', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const sign = f.param(1, 'i32');
    const exp = f.param(2, 'i32');
    const sig = f.param(3, 'i64');
    const control = f.param(4, 'i32');
    const format = f.param(5, 'i32');
    f.if(i64.eqz(sig), () => f.return(call(r.pack, cpu, sign, c32(0), ZERO64, format)));
    f.if(sign, () => f.return(call(r.invalid, cpu, format)));
    f.if(i32.eq(exp, c32(EXP_SPECIAL)), () =>
      f.return(call(r.pack, cpu, c32(0), exp, INTEGER_BIT, format)),
    );
    // An odd exponent doubles the significand. The radicand is then 128 bits, whose top two are not
    // 00.
    const e = f.let(i32.sub(exp, c32(BIAS)));
    const even = f.let(i64.extend_u(i32.eqz(i32.and(e, c32(1)))));
    const high = f.let(i64.shr_u(sig, even));
    const low = f.let(i64.shl(i64.and(sig, even), c64(63)));
    const { root, remainder, carry } = squareRootBits(f, high, low);
    // The next bit of the root would be 1 if the remainder is greater than the root; more cannot be
    // equal to a half, since the radicand has ended.
    const above = i32.or(i64.ne(carry, ZERO64), i64.gt_u(remainder, root));
    const half = i64.shl(i64.extend_u(above), c64(63));
    const extra = i64.or(half, i64.extend_u(i64.ne(i64.or(remainder, carry), ZERO64)));
    const rootExp = i32.add(i32.shr_s(e, c32(1)), c32(BIAS));
    f.return(call(r.round, cpu, c32(0), rootExp, root, extra, control, format));
  });
}

/**
 * The 64-bit root of `high` and `low`, and the remainder, of up to 65 bits: `carry` is its top. The
 * host's square root gives the root's upper half, and a division the lower one (P. Zimmermann,
 * "Karatsuba Square Root", INRIA RR-3805, 1999).
 */
function squareRootBits(
  f: FunctionBuilder,
  high: Local<'i64'>,
  low: Local<'i64'>,
): { root: Local<'i64'>; remainder: Local<'i64'>; carry: Local<'i64'> } {
  const half = c64(32);
  const mask = c64(0xffffffff);
  const square = (x: I64): I64 => i64.mul(x, x);
  // A double has fewer bits than `high`: its root may be one too large.
  const upper = f.let(i64.trunc_sat_f64_u(f64.sqrt(f64.convert_i64_u(high))));
  f.if(i64.gt_u(upper, mask), () => f.set(upper, mask));
  f.if(i64.gt_u(square(upper), high), () => f.set(upper, i64.sub(upper, ONE64)));
  const rest = f.let(i64.sub(high, square(upper)));
  // (rest, upper half of low) / (2 * upper), without the 65th bit that the dividend may have.
  const dividend = i64.or(i64.shl(rest, c64(31)), i64.shr_u(low, c64(33)));
  const lower = f.let(i64.div_u(dividend, upper));
  f.if(i64.gt_u(lower, mask), () => f.set(lower, mask));
  const twice = i64.shl(upper, ONE64);
  const over = f.let(
    i64.sub(i64.or(i64.shl(rest, half), i64.shr_u(low, half)), i64.mul(twice, lower)),
  );
  const root = f.let(i64.or(i64.shl(upper, half), lower));
  const before = f.let(i64.or(i64.shl(over, half), i64.and(low, mask)));
  const remainder = f.let(i64.sub(before, square(lower)));
  const borrow = i64.extend_u(i64.lt_u(before, square(lower)));
  const carry = f.let(i64.sub(i64.shr_u(over, half), borrow));
  f.if(i64.lt_s(carry, ZERO64), () => {
    // One too large after all: remainder + 2 * root - 1, and the root less 1.
    const addend = f.let(i64.sub(i64.shl(root, ONE64), ONE64));
    f.set(remainder, i64.add(remainder, addend));
    const carried = i64.extend_u(i64.lt_u(remainder, addend));
    f.set(carry, i64.add(i64.add(carry, i64.shr_u(root, c64(63))), carried));
    f.set(root, i64.sub(root, ONE64));
  });
  return { root, remainder, carry };
}

/** Defines the arithmetic in `m`. */
export function defineArithmetic(m: ModuleBuilder, s: SoftFloatScratch, r: Rounding): Arithmetic {
  return {
    add: defineAdd(m, r),
    multiply: defineMultiply(m, r),
    divide: defineDivide(m, s, r),
    sqrt: defineSqrt(m, r),
  };
}
