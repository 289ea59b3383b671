// Numbers with 128-bit significands, in memory, for the transcendental functions: 64 bits more than
// their results have, so that all rounding errors on the way together stay far below the last
// place.
//
// A number lies at an address: the significand's high and low i64 at 0 and 8 (bit 127 set, or all
// zero for zero), the exponent i32 at 16 (bias of double extended, not limited to its range), the
// sign i32 at 20. Results are truncated, except that bits lost in an addition leave a one in the
// last place.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  BIAS,
  controlOfFcw,
  FORMAT_F80,
  INTEGER_BIT,
  isNonzero,
  multiply,
  normalise,
  ONE64,
  type Pair,
  shiftRightSticky,
  topBit,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';

/** Bytes of one number. */
export const WIDE_BYTES = 24;

/** A constant with a 128-bit significand. */
export interface WideConstant {
  readonly sign: number;
  readonly exp: number;
  readonly hi: bigint;
  readonly lo: bigint;
}

/** The quotient of two integers as a constant, truncated to 128 bits. */
export function wideConstant(numerator: bigint, denominator = 1n): WideConstant {
  const negative = numerator < 0n !== denominator < 0n;
  const n = numerator < 0n ? -numerator : numerator;
  const d = denominator < 0n ? -denominator : denominator;
  // Scaled so that the quotient has 128 or 129 bits.
  const scale = 128 + d.toString(2).length - n.toString(2).length;
  let quotient = scale >= 0 ? (n << BigInt(scale)) / d : n / (d << BigInt(-scale));
  let exp = BIAS + 127 - scale;
  if (quotient >> 128n) {
    quotient >>= 1n;
    exp++;
  }
  return { sign: negative ? 1 : 0, exp, hi: quotient >> 64n, lo: quotient & ((1n << 64n) - 1n) };
}

/** The operations, on addresses; a destination may be an operand. */
export interface Wide {
  /** (to, sign, exp, hi, lo) */
  readonly set: Fn<'void'>;
  /** (to, a, b) */
  readonly add: Fn<'void'>;
  readonly multiply: Fn<'void'>;
  readonly divide: Fn<'void'>;
  /** (to, x, sign, exp, hi, lo): to * x + constant, a step of Horner's rule. */
  readonly step: Fn<'void'>;
  /** (cpu, from, fcw): rounded to double extended, as an inexact result. */
  readonly round: Fn<'i64'>;
}

interface Loaded extends Pair {
  readonly exp: Local<'i32'>;
  readonly sign: Local<'i32'>;
}

function load(f: FunctionBuilder, at: I32): Loaded {
  return {
    hi: f.let(i64.load(at, 0)),
    lo: f.let(i64.load(at, 8)),
    exp: f.let(i32.load(at, 16)),
    sign: f.let(i32.load(at, 20)),
  };
}

function store(f: FunctionBuilder, at: I32, sign: I32, exp: I32, hi: I64, lo: I64): void {
  f.store64(at, hi, 0);
  f.store64(at, lo, 8);
  f.store32(at, exp, 16);
  f.store32(at, sign, 20);
}

const NUMBER = ['i32', 'i32', 'i64', 'i64'] as const;

/** (to, a, sign, exp, hi, lo): a + the number in the parameters. */
function defineAddNumber(m: ModuleBuilder): Fn<'void'> {
  return m.function('wideAddNumber', ['i32', 'i32', ...NUMBER], 'void', (f) => {
    const to = f.param(0, 'i32');
    const a = load(f, f.param(1, 'i32'));
    const b = {
      sign: f.param(2, 'i32'),
      exp: f.param(3, 'i32'),
      hi: f.param(4, 'i64'),
      lo: f.param(5, 'i64'),
    };
    const keep = (x: Loaded): void => {
      store(f, to, x.sign, x.exp, x.hi, x.lo);
      f.return();
    };
    f.if(i64.eqz(b.hi), () => keep(a));
    f.if(i64.eqz(a.hi), () => keep(b));
    f.if(isSmaller(a, b), () => exchange(f, a, b));
    shiftRightSticky(f, b, i32.sub(a.exp, b.exp));
    f.if(
      i32.eq(a.sign, b.sign),
      () => addMagnitudes(f, a, b),
      () => subtractMagnitudes(f, a, b),
    );
    keep(a);
  });
}

function isSmaller(a: Loaded, b: Loaded): I32 {
  const low = i32.and(i64.eq(a.hi, b.hi), i64.lt_u(a.lo, b.lo));
  const significand = i32.or(i64.lt_u(a.hi, b.hi), low);
  return i32.or(i32.lt_s(a.exp, b.exp), i32.and(i32.eq(a.exp, b.exp), significand));
}

function exchange(f: FunctionBuilder, a: Loaded, b: Loaded): void {
  const swap = <T extends 'i32' | 'i64'>(x: Local<T>, y: Local<T>): void => {
    const kept = f.let(x);
    f.set(x, y);
    f.set(y, kept);
  };
  swap(a.hi, b.hi);
  swap(a.lo, b.lo);
  swap(a.exp, b.exp);
  swap(a.sign, b.sign);
}

/** a += b, both at a's exponent. */
function addMagnitudes(f: FunctionBuilder, a: Loaded, b: Pair): void {
  f.set(a.lo, i64.add(a.lo, b.lo));
  const carry = f.let(i64.extend_u(i64.lt_u(a.lo, b.lo)));
  f.set(a.hi, i64.add(a.hi, b.hi));
  const overflow = f.let(i64.lt_u(a.hi, b.hi));
  f.set(a.hi, i64.add(a.hi, carry));
  f.if(i32.or(overflow, i64.lt_u(a.hi, carry)), () => {
    const lost = i64.and(a.lo, ONE64);
    f.set(a.lo, i64.or(i64.or(i64.shr_u(a.lo, ONE64), i64.shl(a.hi, c64(63))), lost));
    f.set(a.hi, i64.or(i64.shr_u(a.hi, ONE64), INTEGER_BIT));
    f.set(a.exp, i32.add(a.exp, c32(1)));
  });
}

/** a -= b, both at a's exponent and b not greater. */
function subtractMagnitudes(f: FunctionBuilder, a: Loaded, b: Pair): void {
  const borrow = i64.extend_u(i64.lt_u(a.lo, b.lo));
  f.set(a.hi, i64.sub(i64.sub(a.hi, b.hi), borrow));
  f.set(a.lo, i64.sub(a.lo, b.lo));
  f.if(isNonzero(i64.or(a.hi, a.lo)), () => normalise(f, a, a.exp));
}

function defineMultiply(m: ModuleBuilder): Fn<'void'> {
  return m.function('wideMultiply', ['i32', 'i32', 'i32'], 'void', (f) => {
    const a = load(f, f.param(1, 'i32'));
    const b = load(f, f.param(2, 'i32'));
    const sign = i32.xor(a.sign, b.sign);
    const exp = f.let(i32.sub(i32.add(a.exp, b.exp), c32(BIAS - 1)));
    const product = multiply(f, a.hi, b.hi);
    // Of the cross products only the high halves count; the low product does not.
    for (const cross of [multiply(f, a.hi, b.lo).hi, multiply(f, a.lo, b.hi).hi]) {
      f.set(product.lo, i64.add(product.lo, cross));
      const carry = i64.extend_u(i64.lt_u(product.lo, cross));
      f.set(product.hi, i64.add(product.hi, carry));
    }
    f.if(i64.eqz(product.hi), () => {
      store(f, f.param(0, 'i32'), sign, c32(0), ZERO64, ZERO64);
      f.return();
    });
    normalise(f, product, exp);
    store(f, f.param(0, 'i32'), sign, exp, product.hi, product.lo);
  });
}

function defineDivide(m: ModuleBuilder): Fn<'void'> {
  return m.function('wideDivide', ['i32', 'i32', 'i32'], 'void', (f) => {
    const rest = load(f, f.param(1, 'i32'));
    const by = load(f, f.param(2, 'i32'));
    const exp = f.let(i32.add(i32.sub(rest.exp, by.exp), c32(BIAS)));
    const quotient: Pair = { hi: f.let(ZERO64), lo: f.let(ZERO64) };
    const carry = f.let(c32(0));
    const count = f.let(c32(128));
    f.loop((again) => {
      const high = i64.or(i64.shl(quotient.hi, ONE64), i64.shr_u(quotient.lo, c64(63)));
      f.set(quotient.hi, high);
      f.set(quotient.lo, i64.shl(quotient.lo, ONE64));
      const low = i32.and(i64.eq(rest.hi, by.hi), i64.ge_u(rest.lo, by.lo));
      f.if(i32.or(carry, i32.or(i64.gt_u(rest.hi, by.hi), low)), () => {
        const borrow = i64.extend_u(i64.lt_u(rest.lo, by.lo));
        f.set(rest.hi, i64.sub(i64.sub(rest.hi, by.hi), borrow));
        f.set(rest.lo, i64.sub(rest.lo, by.lo));
        f.set(quotient.lo, i64.or(quotient.lo, ONE64));
      });
      f.set(carry, topBit(rest.hi));
      f.set(rest.hi, i64.or(i64.shl(rest.hi, ONE64), i64.shr_u(rest.lo, c64(63))));
      f.set(rest.lo, i64.shl(rest.lo, ONE64));
      f.set(count, i32.sub(count, c32(1)));
      f.br(again, count);
    });
    f.if(isNonzero(quotient.hi), () => normalise(f, quotient, exp));
    const sign = i32.xor(rest.sign, by.sign);
    store(f, f.param(0, 'i32'), sign, exp, quotient.hi, quotient.lo);
  });
}

/** Defines the operations in `m`. */
export function defineWide(m: ModuleBuilder, r: Rounding): Wide {
  const addNumber = defineAddNumber(m);
  const product = defineMultiply(m);
  const set = m.function('wideSet', ['i32', ...NUMBER], 'void', (f) => {
    const [sign, exp] = [f.param(1, 'i32'), f.param(2, 'i32')];
    store(f, f.param(0, 'i32'), sign, exp, f.param(3, 'i64'), f.param(4, 'i64'));
  });
  const add = m.function('wideAdd', ['i32', 'i32', 'i32'], 'void', (f) => {
    const b = load(f, f.param(2, 'i32'));
    f.call(addNumber, f.param(0, 'i32'), f.param(1, 'i32'), b.sign, b.exp, b.hi, b.lo);
  });
  const step = m.function('wideStep', ['i32', 'i32', ...NUMBER], 'void', (f) => {
    const [to, x, ...constant] = f.params;
    f.call(product, to, to, x);
    f.call(addNumber, to, to, ...constant);
  });
  const round = m.function('wideRound', ['i32', 'i32', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const a = load(f, f.param(1, 'i32'));
    const control = controlOfFcw(f.param(2, 'i32'));
    const format = c32(FORMAT_F80);
    f.if(i64.eqz(a.hi), () => f.return(call(r.pack, cpu, a.sign, c32(0), ZERO64, format)));
    const below = i64.or(a.lo, ONE64);
    f.return(call(r.round, cpu, a.sign, a.exp, a.hi, below, control, format));
  });
  return { set, add, multiply: product, divide: defineDivide(m), step, round };
}
