// Rearrangement of vectors: packs, unpacks, shuffles, blends, byte shifts, inserts, extracts and
// sign masks of MMX and SSE to SSE4.1. SDM vol. 2, PACKSSWB to PUNPCKLQDQ, BLENDPS to UNPCKLPS.
//
// Immediates are known only in compiled code; an interpreter's handler serves all values. So a
// shuffle computes its byte indices from the immediate, and is one shuffle when that is a constant.

import { c32, constant32, type I32, i32, i64, select, type V128 } from '../wasm/expr.ts';
import { i8x16, i16x8, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import {
  begin,
  destination,
  enterMmx,
  IOTA,
  immediate8,
  indices,
  isMmx,
  joinHalves,
  lanes16,
  lanes32,
  registerAddress,
  sourceScalar,
  sourceVector,
  splat32,
  writeMmx,
  writeVector,
  ZERO,
} from './sse-operand.ts';

/** PACK: both operands' lanes, narrowed. MMX operands are first joined to one vector. */
const pack =
  (narrow: (a: V128, b: V128) => V128): Semantic =>
  (x) => {
    begin(x);
    const b = sourceVector(x, 1);
    const a = destination(x);
    if (isMmx(x, 0)) {
      const both = x.f.let(joinHalves(a.value, b));
      a.write(narrow(both, both));
    } else {
      a.write(narrow(a.value, b));
    }
  };

/** PUNPCK: lanes of `bytes` bytes of both operands in turn, from their low or high halves. */
const unpack =
  (bytes: number, high: boolean): Semantic =>
  (x) => {
    begin(x);
    const b = sourceVector(x, 1);
    const a = destination(x);
    const start = high ? (isMmx(x, 0) ? 4 : 8) : 0;
    // An MMX result is the first half of this; the rest of the indices is of no account.
    const lane = (i: number): number => Math.floor(i / (2 * bytes)) * bytes + (i % bytes);
    const from = (i: number): number => (start + lane(i)) & 15;
    const second = (i: number): boolean => i % (2 * bytes) >= bytes;
    const lanes = indices((i) => from(i) + (second(i) ? 16 : 0));
    a.write(v128.shuffle(a.value, b, lanes));
  };

/** Factors that bring each two-bit field of the immediate to bits 7:6 of its lane. */
const fields = lanes32(64, 16, 4, 1);

/** Byte indices of a shuffle of 32-bit lanes: lane k from lane (imm >> 2k) & 3. */
function dwordIndices(imm: I32): V128 {
  const shifted = i32x4.shr_u(i32x4.mul(splat32(imm), fields), c32(6));
  const lane = v128.and(shifted, lanes32(3, 3, 3, 3));
  const bytes = i32x4.mul(lane, splat32(c32(0x04040404)));
  return i32x4.add(bytes, splat32(c32(0x03020100)));
}

/** Byte indices of a shuffle of four 16-bit lanes, low or high; the other four stay. */
function wordIndices(imm: I32, high: boolean): V128 {
  const four = high ? [0, 0, 0, 0, 64, 16, 4, 1] : [64, 16, 4, 1, 0, 0, 0, 0];
  const shifted = i16x8.shr_u(i16x8.mul(i16x8.splat(imm), lanes16(...four)), c32(6));
  const lane = v128.and(shifted, lanes16(...Array(8).fill(3)));
  const bytes = i16x8.mul(lane, lanes16(...Array(8).fill(0x0202)));
  const word = (k: number): number => 0x0100 + 0x0202 * k;
  const base = high
    ? [word(0), word(1), word(2), word(3), word(4), word(4), word(4), word(4)]
    : [word(0), word(0), word(0), word(0), word(4), word(5), word(6), word(7)];
  return i16x8.add(bytes, lanes16(...base));
}

/** PSHUFD. */
const pshufd: Semantic = (x) => {
  const a = sourceVector(x, 1);
  const imm = immediate8(x, 2);
  const known = constant32(imm);
  const lane = (i: number, order: number): number => ((order >> (2 * (i >> 2))) & 3) * 4 + (i & 3);
  const result =
    known === undefined
      ? i8x16.swizzle(a, dwordIndices(imm))
      : v128.shuffle(
          a,
          a,
          indices((i) => lane(i, known)),
        );
  writeVector(x, result);
};

/** PSHUFLW, PSHUFHW, and PSHUFW, which is PSHUFLW on an MMX register. */
const shuffleWords =
  (high: boolean): Semantic =>
  (x) => {
    begin(x);
    const a = sourceVector(x, 1);
    writeVector(x, i8x16.swizzle(a, wordIndices(immediate8(x, 2), high)));
  };

/** The low half of `a` and the high half of `b`. */
const lowAndHigh = (a: V128, b: V128): V128 =>
  v128.shuffle(
    a,
    b,
    indices((i) => (i < 8 ? i : i + 16)),
  );

/** SHUFPS: two lanes of op0, then two of op1. */
const shufps: Semantic = (x) => {
  const b = sourceVector(x, 1);
  const a = destination(x);
  const index = x.f.let(dwordIndices(immediate8(x, 2)));
  a.write(lowAndHigh(i8x16.swizzle(a.value, index), i8x16.swizzle(b, index)));
};

const swapHalves = (a: V128): V128 =>
  v128.shuffle(
    a,
    a,
    indices((i) => i ^ 8),
  );

/** SHUFPD: a half of op0, then a half of op1. */
const shufpd: Semantic = (x) => {
  const b = sourceVector(x, 1);
  const a = destination(x);
  const imm = x.f.let(immediate8(x, 2));
  const low = select(i32.and(imm, c32(1)), swapHalves(a.value), a.value);
  const high = select(i32.and(imm, c32(2)), b, swapHalves(b));
  a.write(lowAndHigh(low, high));
};

/** PSHUFB: bit 7 of an index gives zero, which a swizzle's indices beyond 15 do too. */
const pshufb: Semantic = (x) => {
  begin(x);
  const index = sourceVector(x, 1);
  const a = destination(x);
  const mask = isMmx(x, 0) ? 0x87878787 : 0x8f8f8f8f;
  a.write(i8x16.swizzle(a.value, v128.and(index, splat32(c32(mask)))));
};

/** `a` moved down by `count` bytes, 0 to 127, zeros entering; up if `count` is -1 to -128. */
const moveBytes = (a: V128, count: I32): V128 =>
  i8x16.swizzle(a, i8x16.add(IOTA, i8x16.splat(count)));

/** The immediate, operand `i`, but at most `most`. */
function capped(x: Context, i: number, most: number): I32 {
  const imm = x.f.let(immediate8(x, i));
  return x.f.let(select(i32.gt_u(imm, c32(most)), c32(most), imm));
}

const psrldq: Semantic = (x) => {
  const count = capped(x, 1, 16);
  const a = destination(x);
  a.write(moveBytes(a.value, count));
};

const pslldq: Semantic = (x) => {
  const count = capped(x, 1, 16);
  const a = destination(x);
  a.write(moveBytes(a.value, i32.sub(c32(0), count)));
};

/** PALIGNR: op0 above op1, moved down by the immediate's number of bytes. */
const palignr: Semantic = (x) => {
  begin(x);
  const b = sourceVector(x, 1);
  const a = destination(x);
  if (isMmx(x, 0)) {
    a.write(moveBytes(joinHalves(b, a.value), capped(x, 2, 16)));
    return;
  }
  const count = capped(x, 2, 32);
  const upper = moveBytes(a.value, i32.sub(count, c32(16)));
  a.write(v128.or(moveBytes(b, count), upper));
};

/** PBLENDW, BLENDPS, BLENDPD: lane k from op1 if bit k of the immediate is set. */
const blend =
  (bits: V128, splat: (imm: I32) => V128, equal: (a: V128, b: V128) => V128): Semantic =>
  (x) => {
    const b = sourceVector(x, 1);
    const a = destination(x);
    const mask = equal(v128.and(splat(immediate8(x, 2)), bits), bits);
    a.write(v128.bitselect(b, a.value, mask));
  };

/** PBLENDVB, BLENDVPS, BLENDVPD: lanes from op1 where XMM0's are negative. */
const blendVariable =
  (isLess: (a: V128, b: V128) => V128): Semantic =>
  (x) => {
    const b = sourceVector(x, 1);
    const mask = sourceVector(x, 2);
    const a = destination(x);
    a.write(v128.bitselect(b, a.value, isLess(mask, ZERO)));
  };

/** Address of lane `number` (modulo their count) of `bytes` bytes in the register at `address`. */
function laneAddress(address: I32, registerBytes: number, bytes: number, number: I32): I32 {
  const lanes = registerBytes / bytes;
  const offset = i32.mul(i32.and(number, c32(lanes - 1)), c32(bytes));
  return i32.add(address, offset);
}

const registerBytes = (x: Context, i: number): number => (isMmx(x, i) ? 8 : 16);

/** PINSR: the low bytes of a general register, or memory, into a lane. */
const insert =
  (bytes: 1 | 2 | 4 | 8): Semantic =>
  (x) => {
    begin(x);
    const value = x.f.let(x.read(1));
    const address = registerAddress(x, 0);
    const lane = laneAddress(address, registerBytes(x, 0), bytes, immediate8(x, 2));
    x.f.storeLow(bytes, lane, value);
    if (isMmx(x, 0)) writeMmx(x, address, i64.load(address));
  };

/** PEXTR, EXTRACTPS: a lane, zero-extended into a register of any size, or into memory. */
const extract =
  (bytes: 1 | 2 | 4 | 8): Semantic =>
  (x) => {
    begin(x);
    const address = registerAddress(x, 1);
    const lane = laneAddress(address, registerBytes(x, 1), bytes, immediate8(x, 2));
    const load = { 1: i64.load8_u, 2: i64.load16_u, 4: i64.load32_u, 8: i64.load }[bytes];
    x.write(0, load(lane));
    if (isMmx(x, 1)) enterMmx(x);
  };

/** INSERTPS: a lane of op1 (or memory) into a lane of op0; then lanes are cleared. */
const insertps: Semantic = (x) => {
  const imm = x.f.let(immediate8(x, 2));
  const chosen = (): I32 => i32.load(laneAddress(x.xmmAddress(1), 16, 4, i32.shr_u(imm, c32(6))));
  const value = x.f.let(x.inMemory(1) ? i32.wrap(sourceScalar(x, 1, 4)) : chosen());
  const address = x.xmmAddress(0);
  x.f.store32(laneAddress(address, 16, 4, i32.shr_u(imm, c32(4))), value);
  const bits = lanes32(1, 2, 4, 8);
  const kept = i32x4.ne(v128.and(splat32(imm), bits), bits);
  x.f.storeV128(address, v128.and(v128.load(address), kept));
};

/** PMOVMSKB, MOVMSKPS, MOVMSKPD: the signs of all lanes. */
const signs =
  (bitmask: (a: V128) => I32): Semantic =>
  (x) => {
    begin(x);
    // The upper half of an MMX operand is zero, and so are its signs.
    x.write(0, i64.extend_u(bitmask(sourceVector(x, 1))));
    if (isMmx(x, 1)) enterMmx(x);
  };

/** MOVSLDUP, MOVSHDUP, MOVDDUP: lanes of the source as listed, `bytes` bytes each. */
const duplicate =
  (bytes: number, lanes: readonly number[]): Semantic =>
  (x) => {
    const a = sourceVector(x, 1);
    writeVector(
      x,
      v128.shuffle(
        a,
        a,
        indices((i) => lanes[Math.floor(i / bytes)] * bytes + (i % bytes)),
      ),
    );
  };

const bits16 = lanes16(1, 2, 4, 8, 16, 32, 64, 128);

/** Semantics by mnemonic. */
export const sseShuffleSemantics: SemanticTable = {
  packsswb: pack(i8x16.narrow_i16x8_s),
  packuswb: pack(i8x16.narrow_i16x8_u),
  packssdw: pack(i16x8.narrow_i32x4_s),
  packusdw: pack(i16x8.narrow_i32x4_u),
  punpcklbw: unpack(1, false),
  punpcklwd: unpack(2, false),
  punpckldq: unpack(4, false),
  punpcklqdq: unpack(8, false),
  punpckhbw: unpack(1, true),
  punpckhwd: unpack(2, true),
  punpckhdq: unpack(4, true),
  punpckhqdq: unpack(8, true),
  unpcklps: unpack(4, false),
  unpckhps: unpack(4, true),
  unpcklpd: unpack(8, false),
  unpckhpd: unpack(8, true),

  pshufd,
  pshuflw: shuffleWords(false),
  pshufhw: shuffleWords(true),
  pshufw: shuffleWords(false),
  pshufb,
  shufps,
  shufpd,
  movsldup: duplicate(4, [0, 0, 2, 2]),
  movshdup: duplicate(4, [1, 1, 3, 3]),
  movddup: duplicate(8, [0, 0]),
  palignr,
  psrldq,
  pslldq,

  pblendw: blend(bits16, i16x8.splat, i16x8.eq),
  blendps: blend(lanes32(1, 2, 4, 8), i32x4.splat, i32x4.eq),
  blendpd: blend(lanes32(1, 0, 2, 0), (imm) => i64x2.splat(i64.extend_u(imm)), i64x2.eq),
  pblendvb: blendVariable(i8x16.lt_s),
  blendvps: blendVariable(i32x4.lt_s),
  blendvpd: blendVariable(i64x2.lt_s),

  pinsrb: insert(1),
  pinsrw: insert(2),
  pinsrd: insert(4),
  pinsrq: insert(8),
  pextrb: extract(1),
  pextrw: extract(2),
  pextrd: extract(4),
  pextrq: extract(8),
  extractps: extract(4),
  insertps,
  pmovmskb: signs(i8x16.bitmask),
  movmskps: signs(i32x4.bitmask),
  movmskpd: signs(i64x2.bitmask),
};
