// Single and double precision as WebAssembly handles them: a pair of vocabularies, so that
// semantics are written once for PS and PD, SS and SD. SDM vol. 1, 4.2.2 and 4.8.3 (encodings).
//
// Scalars are handled as their bits; a float appears only between two operations.

import {
  c32,
  c64,
  type Expr,
  f32,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type V128,
} from '../wasm/expr.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../wasm/simd.ts';

/** The type that holds a scalar's bits. */
export type BitsType = 'i32' | 'i64';
/** The type that WebAssembly computes with. */
export type FloatType = 'f32' | 'f64';

/** Scalars of one format: `B` is the type of its bits, `F` that of its floats. */
export interface Scalar<B extends BitsType, F extends FloatType> {
  readonly bytes: 4 | 8;
  readonly bits: B;
  /** The bits, of which an i64 holds no more. */
  fromI64(value: I64): Expr<B>;
  toI64(bits: Expr<B>): I64;
  load(address: I32): Expr<B>;
  lane(vector: V128, lane: number): Expr<B>;
  withLane(vector: V128, lane: number, bits: Expr<B>): V128;
  float(bits: Expr<B>): Expr<F>;
  ofFloat(float: Expr<F>): Expr<B>;
  constant(value: number): Expr<F>;
  /** Truncated, saturating. */
  toInteger(float: Expr<F>): I64;
  /** Neither NaN nor infinity. */
  isFinite(bits: Expr<B>): I32;
  /** Not a NaN. */
  isNumber(bits: Expr<B>): I32;
  /** A denormal, but not zero. */
  isDenormal(bits: Expr<B>): I32;
  /** Finite and greater than the least normal number (to which a tiny result can round). */
  isPlain(bits: Expr<B>): I32;
  isNegative(bits: Expr<B>): I32;
  /** The zero of the same sign. */
  signOf(bits: Expr<B>): Expr<B>;
  /** All bits `condition`, 0 or 1. */
  mask(condition: I32): Expr<B>;
  readonly op: {
    add(a: Expr<F>, b: Expr<F>): Expr<F>;
    sub(a: Expr<F>, b: Expr<F>): Expr<F>;
    mul(a: Expr<F>, b: Expr<F>): Expr<F>;
    div(a: Expr<F>, b: Expr<F>): Expr<F>;
    sqrt(a: Expr<F>): Expr<F>;
    floor(a: Expr<F>): Expr<F>;
    ceil(a: Expr<F>): Expr<F>;
    trunc(a: Expr<F>): Expr<F>;
    nearest(a: Expr<F>): Expr<F>;
    abs(a: Expr<F>): Expr<F>;
    eq(a: Expr<F>, b: Expr<F>): I32;
    lt(a: Expr<F>, b: Expr<F>): I32;
  };
}

const double32 = (bits: I32): I32 => i32.shl(bits, c32(1));
const double64 = (bits: I64): I64 => i64.shl(bits, c64(1));
/** Twice the bits of infinity and of the least normal number: magnitudes compare without sign. */
const INFINITY32 = 0xff00_0000;
const LEAST32 = 0x0100_0000;
const INFINITY64 = 0x7ffn << 53n;
const LEAST64 = 1n << 53n;

/** Single precision. */
export const single: Scalar<'i32', 'f32'> = {
  bytes: 4,
  bits: 'i32',
  fromI64: i32.wrap,
  toI64: i64.extend_u,
  load: (address) => i32.load(address),
  lane: i32x4.extract_lane,
  withLane: i32x4.replace_lane,
  float: f32.reinterpret,
  ofFloat: i32.reinterpret,
  constant: f32.const,
  toInteger: i64.trunc_sat_f32_s,
  isFinite: (bits) => i32.lt_u(double32(bits), c32(INFINITY32)),
  isNumber: (bits) => i32.le_u(double32(bits), c32(INFINITY32)),
  isDenormal: (bits) => i32.lt_u(i32.sub(double32(bits), c32(1)), c32(LEAST32 - 1)),
  isPlain: (bits) =>
    i32.lt_u(i32.sub(double32(bits), c32(LEAST32 + 1)), c32(INFINITY32 - LEAST32 - 1)),
  isNegative: (bits) => i32.lt_s(bits, c32(0)),
  signOf: (bits) => i32.and(bits, c32(0x8000_0000)),
  mask: (condition) => i32.sub(c32(0), condition),
  op: f32,
};

/** Double precision. */
export const double: Scalar<'i64', 'f64'> = {
  bytes: 8,
  bits: 'i64',
  fromI64: (value) => value,
  toI64: (bits) => bits,
  load: (address) => i64.load(address),
  lane: i64x2.extract_lane,
  withLane: i64x2.replace_lane,
  float: f64.reinterpret,
  ofFloat: i64.reinterpret,
  constant: f64.const,
  toInteger: i64.trunc_sat_f64_s,
  isFinite: (bits) => i64.lt_u(double64(bits), c64(INFINITY64)),
  isNumber: (bits) => i64.le_u(double64(bits), c64(INFINITY64)),
  isDenormal: (bits) => i64.lt_u(i64.sub(double64(bits), c64(1)), c64(LEAST64 - 1n)),
  isPlain: (bits) =>
    i64.lt_u(i64.sub(double64(bits), c64(LEAST64 + 1n)), c64(INFINITY64 - LEAST64 - 1n)),
  isNegative: (bits) => i64.lt_s(bits, c64(0)),
  signOf: (bits) => i64.and(bits, c64(1n << 63n)),
  mask: (condition) => i64.sub(c64(0), i64.extend_u(condition)),
  op: f64,
};

/** Vectors of one format. Masks are all ones or all zeros in each lane. */
export interface Packed {
  readonly lanes: 4 | 2;
  readonly op: typeof f32x4 | typeof f64x2;
  /** This number in all lanes. */
  splat(value: number): V128;
  /** 1 when no lane of a mask is zero. */
  allTrue(mask: V128): I32;
  /** The least normal number. */
  readonly least: V128;
  readonly infinity: V128;
  readonly zero: V128;
  /** The sign bit. */
  readonly sign: V128;
}

const packed32 = (value: number): V128 => f32x4.splat(f32.const(value));
const packed64 = (value: number): V128 => f64x2.splat(f64.const(value));

/** Four singles. */
export const singles: Packed = {
  lanes: 4,
  op: f32x4,
  splat: packed32,
  allTrue: i32x4.all_true,
  least: packed32(2 ** -126),
  infinity: packed32(Number.POSITIVE_INFINITY),
  zero: packed32(0),
  sign: packed32(-0),
};

/** Two doubles. */
export const doubles: Packed = {
  lanes: 2,
  op: f64x2,
  splat: packed64,
  allTrue: i64x2.all_true,
  least: packed64(2 ** -1022),
  infinity: packed64(Number.POSITIVE_INFINITY),
  zero: packed64(0),
  sign: packed64(-0),
};

/** Lanes that are denormal, but not zero. */
export const denormals = (p: Packed, a: V128): V128 =>
  v128.and(p.op.lt(p.op.abs(a), p.least), p.op.ne(a, p.zero));

/** Lanes that are neither NaN nor infinity. */
export const finite = (p: Packed, a: V128): V128 => p.op.lt(p.op.abs(a), p.infinity);

/** Lanes that are finite and greater than the least normal number. */
export const plain = (p: Packed, a: V128): V128 =>
  v128.and(finite(p, a), p.op.gt(p.op.abs(a), p.least));

/** Lanes that are not NaN. */
export const numbers = (p: Packed, a: V128): V128 => p.op.eq(a, a);

/** Lanes that are zero. */
export const zeros = (p: Packed, a: V128): V128 => p.op.eq(a, p.zero);
