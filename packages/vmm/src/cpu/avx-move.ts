// Moves of AVX and AVX2: whole vectors, broadcasts, halves, VZEROUPPER and VZEROALL. SDM vol. 2.
// Not modelled: the cache hints of non-temporal moves, which are not architectural here.

import { c32, i32, type V128 } from '../wasm/expr.ts';
import { f32x4, i8x16, i16x8, i64x2 } from '../wasm/simd.ts';
import {
  isWide,
  lastImmediate,
  lowSource,
  source,
  wideSource,
  writeOperand,
  writeRegister,
} from './avx-operand.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { ZERO } from './sse-operand.ts';
import { S } from './state.ts';

const REGISTERS = 16;

/** 16 or 32 bytes, from and to registers or memory. */
const moveVector: Semantic = (x) => writeOperand(x, 0, source(x, 1));

/** VZEROUPPER: outside 64-bit code there are eight registers. */
const vzeroupper: Semantic = (x) => clearHalves(x, S.ymmHigh);

const vzeroall: Semantic = (x) => {
  clearHalves(x, S.xmm);
  clearHalves(x, S.ymmHigh);
};

function clearHalves(x: Context, offset: number): void {
  const { f, cpu } = x;
  const clear = (from: number, to: number): void => {
    for (let n = from; n < to; n++) f.storeV128(cpu, ZERO, offset + 16 * n);
  };
  clear(0, REGISTERS / 2);
  f.if(i32.eq(i32.load(cpu, S.codeMode), c32(8)), () => clear(REGISTERS / 2, REGISTERS));
}

/** Broadcasts: the lowest element of op1, in a register or in memory, to all. */
const broadcast =
  (spread: (a: V128) => V128): Semantic =>
  (x) => {
    const all = x.f.let(spread(lowSource(x, 1)));
    writeRegister(x, 0, all, isWide(x) ? all : undefined);
  };

const splat8 = (a: V128): V128 => i8x16.splat(i8x16.extract_lane_u(a, 0));
const splat16 = (a: V128): V128 => i16x8.splat(i16x8.extract_lane_u(a, 0));
const splat32 = (a: V128): V128 => f32x4.splat(f32x4.extract_lane(a, 0));
const splat64 = (a: V128): V128 => i64x2.splat(i64x2.extract_lane(a, 0));

/** VINSERTF128: op1 with the half that bit 0 of the immediate chooses replaced by op2. */
const insertHalf: Semantic = (x) => {
  const { f } = x;
  const half = lowSource(x, 2);
  const [low, high] = wideSource(x, 1);
  f.if(
    i32.and(lastImmediate(x), c32(1)),
    () => f.set(high, half),
    () => f.set(low, half),
  );
  writeRegister(x, 0, low, high);
};

/** VEXTRACTF128: a half of op1. */
const extractHalf: Semantic = (x) => {
  const { f } = x;
  const [low, high] = wideSource(x, 1);
  f.if(i32.and(lastImmediate(x), c32(1)), () => f.set(low, high));
  writeOperand(x, 0, { low, high: undefined });
};

/** VPERM2F128: each half of the result is one of four, or zero. */
const permuteHalves: Semantic = (x) => {
  const { f } = x;
  const [c, d] = wideSource(x, 2);
  const [a, b] = wideSource(x, 1);
  const imm = f.fix(lastImmediate(x));
  const choose = (shift: number): V128 => {
    const field = i32.shr_u(imm, c32(shift));
    const result = f.local('v128');
    const copy = (from: V128) => () => f.set(result, from);
    f.switch(i32.and(field, c32(3)), [copy(a), copy(b), copy(c)], copy(d));
    f.if(i32.and(field, c32(8)), copy(ZERO));
    return result;
  };
  const low = choose(0);
  writeRegister(x, 0, low, choose(4));
};

/** Semantics by mnemonic. */
export const avxMoveSemantics: SemanticTable = {
  vmovaps: moveVector,
  vmovapd: moveVector,
  vmovups: moveVector,
  vmovupd: moveVector,
  vmovdqa: moveVector,
  vmovdqu: moveVector,
  vlddqu: moveVector,
  vmovntps: moveVector,
  vmovntpd: moveVector,
  vmovntdq: moveVector,
  vmovntdqa: moveVector,
  vzeroupper,
  vzeroall,
  vbroadcastss: broadcast(splat32),
  vbroadcastsd: broadcast(splat64),
  vpbroadcastb: broadcast(splat8),
  vpbroadcastw: broadcast(splat16),
  vpbroadcastd: broadcast(splat32),
  vpbroadcastq: broadcast(splat64),
  vbroadcastf128: broadcast((a) => a),
  vbroadcasti128: broadcast((a) => a),
  vinsertf128: insertHalf,
  vinserti128: insertHalf,
  vextractf128: extractHalf,
  vextracti128: extractHalf,
  vperm2f128: permuteHalves,
  vperm2i128: permuteHalves,
};
