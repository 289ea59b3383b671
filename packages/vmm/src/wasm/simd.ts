// The 128-bit vector operators (core spec 5.4.8). One object per lane shape; names are the spec's.

import { type Expr, type I32, loadFrom, Op, type V128, type ValType } from './expr.ts';

const SIMD = 0xfd << 12;

const unary =
  (number: number) =>
  (a: V128): V128 =>
    new Op('v128', SIMD | number, [a]);
const binary =
  (number: number) =>
  (a: V128, b: V128): V128 =>
    new Op('v128', SIMD | number, [a, b]);
const shift =
  (number: number) =>
  (a: V128, count: I32): V128 =>
    new Op('v128', SIMD | number, [a, count]);
const test =
  (number: number) =>
  (a: V128): I32 =>
    new Op('i32', SIMD | number, [a]);
const splat =
  <T extends ValType>(_type: T, number: number) =>
  (a: Expr<T>): V128 =>
    new Op('v128', SIMD | number, [a]);
const extract =
  <T extends ValType>(type: T, number: number) =>
  (a: V128, lane: number): Expr<T> =>
    new Op(type, SIMD | number, [a], [lane]);
const replace =
  <T extends ValType>(_type: T, number: number) =>
  (a: V128, lane: number, value: Expr<T>): V128 =>
    new Op('v128', SIMD | number, [a, value], [lane]);

/** Operators on i8x16. */
export const i8x16 = {
  splat: splat('i32', 0x0f),
  extract_lane_s: extract('i32', 0x15),
  extract_lane_u: extract('i32', 0x16),
  replace_lane: replace('i32', 0x17),
  eq: binary(0x23),
  ne: binary(0x24),
  lt_s: binary(0x25),
  lt_u: binary(0x26),
  gt_s: binary(0x27),
  gt_u: binary(0x28),
  le_s: binary(0x29),
  le_u: binary(0x2a),
  ge_s: binary(0x2b),
  ge_u: binary(0x2c),
  abs: unary(0x60),
  neg: unary(0x61),
  all_true: test(0x63),
  bitmask: test(0x64),
  popcnt: unary(0x62),
  narrow_i16x8_s: binary(0x65),
  narrow_i16x8_u: binary(0x66),
  shl: shift(0x6b),
  shr_s: shift(0x6c),
  shr_u: shift(0x6d),
  add: binary(0x6e),
  sub: binary(0x71),
  add_sat_s: binary(0x6f),
  add_sat_u: binary(0x70),
  sub_sat_s: binary(0x72),
  sub_sat_u: binary(0x73),
  min_s: binary(0x76),
  min_u: binary(0x77),
  max_s: binary(0x78),
  max_u: binary(0x79),
  avgr_u: binary(0x7b),
  swizzle: binary(0x0e),
};

/** Operators on i16x8. */
export const i16x8 = {
  splat: splat('i32', 0x10),
  extract_lane_s: extract('i32', 0x18),
  extract_lane_u: extract('i32', 0x19),
  replace_lane: replace('i32', 0x1a),
  eq: binary(0x2d),
  ne: binary(0x2e),
  lt_s: binary(0x2f),
  lt_u: binary(0x30),
  gt_s: binary(0x31),
  gt_u: binary(0x32),
  le_s: binary(0x33),
  le_u: binary(0x34),
  ge_s: binary(0x35),
  ge_u: binary(0x36),
  abs: unary(0x80),
  neg: unary(0x81),
  all_true: test(0x83),
  bitmask: test(0x84),
  narrow_i32x4_s: binary(0x85),
  narrow_i32x4_u: binary(0x86),
  extend_low_s: unary(0x87),
  extend_high_s: unary(0x88),
  extend_low_u: unary(0x89),
  extend_high_u: unary(0x8a),
  shl: shift(0x8b),
  shr_s: shift(0x8c),
  shr_u: shift(0x8d),
  add: binary(0x8e),
  sub: binary(0x91),
  add_sat_s: binary(0x8f),
  add_sat_u: binary(0x90),
  sub_sat_s: binary(0x92),
  sub_sat_u: binary(0x93),
  mul: binary(0x95),
  min_s: binary(0x96),
  min_u: binary(0x97),
  max_s: binary(0x98),
  max_u: binary(0x99),
  avgr_u: binary(0x9b),
  extadd_pairwise_i8x16_s: unary(0x7c),
  extadd_pairwise_i8x16_u: unary(0x7d),
  q15mulr_sat_s: binary(0x82),
  extmul_low_s: binary(0x9c),
  extmul_high_s: binary(0x9d),
  extmul_low_u: binary(0x9e),
  extmul_high_u: binary(0x9f),
};

/** Operators on i32x4. */
export const i32x4 = {
  splat: splat('i32', 0x11),
  extract_lane: extract('i32', 0x1b),
  replace_lane: replace('i32', 0x1c),
  eq: binary(0x37),
  ne: binary(0x38),
  lt_s: binary(0x39),
  lt_u: binary(0x3a),
  gt_s: binary(0x3b),
  gt_u: binary(0x3c),
  le_s: binary(0x3d),
  le_u: binary(0x3e),
  ge_s: binary(0x3f),
  ge_u: binary(0x40),
  abs: unary(0xa0),
  neg: unary(0xa1),
  all_true: test(0xa3),
  bitmask: test(0xa4),
  extend_low_s: unary(0xa7),
  extend_high_s: unary(0xa8),
  extend_low_u: unary(0xa9),
  extend_high_u: unary(0xaa),
  shl: shift(0xab),
  shr_s: shift(0xac),
  shr_u: shift(0xad),
  add: binary(0xae),
  sub: binary(0xb1),
  mul: binary(0xb5),
  min_s: binary(0xb6),
  min_u: binary(0xb7),
  max_s: binary(0xb8),
  max_u: binary(0xb9),
  extadd_pairwise_i16x8_s: unary(0x7e),
  extadd_pairwise_i16x8_u: unary(0x7f),
  extmul_low_s: binary(0xbc),
  extmul_high_s: binary(0xbd),
  extmul_low_u: binary(0xbe),
  extmul_high_u: binary(0xbf),
  dot_i16x8_s: binary(0xba),
  trunc_sat_f32x4_s: unary(0xf8),
  trunc_sat_f32x4_u: unary(0xf9),
  trunc_sat_f64x2_s_zero: unary(0xfc),
  trunc_sat_f64x2_u_zero: unary(0xfd),
};

/** Operators on i64x2. */
export const i64x2 = {
  splat: splat('i64', 0x12),
  extract_lane: extract('i64', 0x1d),
  replace_lane: replace('i64', 0x1e),
  eq: binary(0xd6),
  ne: binary(0xd7),
  lt_s: binary(0xd8),
  gt_s: binary(0xd9),
  le_s: binary(0xda),
  ge_s: binary(0xdb),
  abs: unary(0xc0),
  neg: unary(0xc1),
  all_true: test(0xc3),
  bitmask: test(0xc4),
  extend_low_s: unary(0xc7),
  extend_high_s: unary(0xc8),
  extend_low_u: unary(0xc9),
  extend_high_u: unary(0xca),
  shl: shift(0xcb),
  shr_s: shift(0xcc),
  shr_u: shift(0xcd),
  add: binary(0xce),
  sub: binary(0xd1),
  mul: binary(0xd5),
  extmul_low_s: binary(0xdc),
  extmul_high_s: binary(0xdd),
  extmul_low_u: binary(0xde),
  extmul_high_u: binary(0xdf),
};

/** Operators on f32x4. */
export const f32x4 = {
  splat: splat('f32', 0x13),
  extract_lane: extract('f32', 0x1f),
  replace_lane: replace('f32', 0x20),
  eq: binary(0x41),
  ne: binary(0x42),
  lt: binary(0x43),
  gt: binary(0x44),
  le: binary(0x45),
  ge: binary(0x46),
  ceil: unary(0x67),
  floor: unary(0x68),
  trunc: unary(0x69),
  nearest: unary(0x6a),
  abs: unary(0xe0),
  neg: unary(0xe1),
  sqrt: unary(0xe3),
  add: binary(0xe4),
  sub: binary(0xe5),
  mul: binary(0xe6),
  div: binary(0xe7),
  min: binary(0xe8),
  max: binary(0xe9),
  pmin: binary(0xea),
  pmax: binary(0xeb),
  convert_i32x4_s: unary(0xfa),
  convert_i32x4_u: unary(0xfb),
  demote_f64x2_zero: unary(0x5e),
};

/** Operators on f64x2. */
export const f64x2 = {
  splat: splat('f64', 0x14),
  extract_lane: extract('f64', 0x21),
  replace_lane: replace('f64', 0x22),
  eq: binary(0x47),
  ne: binary(0x48),
  lt: binary(0x49),
  gt: binary(0x4a),
  le: binary(0x4b),
  ge: binary(0x4c),
  ceil: unary(0x74),
  floor: unary(0x75),
  trunc: unary(0x7a),
  nearest: unary(0x94),
  abs: unary(0xec),
  neg: unary(0xed),
  sqrt: unary(0xef),
  add: binary(0xf0),
  sub: binary(0xf1),
  mul: binary(0xf2),
  div: binary(0xf3),
  min: binary(0xf4),
  max: binary(0xf5),
  pmin: binary(0xf6),
  pmax: binary(0xf7),
  convert_low_i32x4_s: unary(0xfe),
  convert_low_i32x4_u: unary(0xff),
  promote_low_f32x4: unary(0x5f),
};

/** Operators on all 128 bits. */
export const v128 = {
  load: (address: I32, offset = 0): V128 => loadFrom('v128', SIMD | 0x00, address, offset),
  /** The 32 bits at `address`, zero-extended. */
  load32_zero: (address: I32, offset = 0): V128 => loadFrom('v128', SIMD | 0x5c, address, offset),
  /** The 64 bits at `address`, zero-extended. */
  load64_zero: (address: I32, offset = 0): V128 => loadFrom('v128', SIMD | 0x5d, address, offset),
  /** The constant with these 16 bytes, lowest first. */
  const: (bytes: readonly number[]): V128 => new Op('v128', SIMD | 0x0c, [], bytes),
  /** Bytes chosen from `a` (0-15) and `b` (16-31) by 16 constant indices. */
  shuffle: (a: V128, b: V128, lanes: readonly number[]): V128 =>
    new Op('v128', SIMD | 0x0d, [a, b], lanes),
  /** Bits of `a` where `mask` is 1, of `b` where it is 0. */
  bitselect: (a: V128, b: V128, mask: V128): V128 => new Op('v128', SIMD | 0x52, [a, b, mask]),
  and: binary(0x4e),
  andnot: binary(0x4f),
  or: binary(0x50),
  xor: binary(0x51),
  not: unary(0x4d),
  any_true: test(0x53),
};
