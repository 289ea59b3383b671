// The VEX forms of SSE instructions: the semantics of SSE, once for each 128-bit half. Which SSE
// row a VEX row is a form of follows from the bytes: they have prefix, map and opcode in common.

import type { Row } from '../isa/row.ts';
import { rows } from '../isa/rows.ts';
import type { Local, V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import { settleDeferred } from './avx-exceptions.ts';
import { isWide, source, type Vector, vectorBytes, writeRegister } from './avx-operand.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { semanticOf } from './context.ts';
import { type Lane, LaneContext } from './lane-context.ts';
import { indices, joinHalves, ZERO } from './sse-operand.ts';

/** Rows without a VEX prefix, by mnemonic. */
const legacyRows = new Map<string, Row[]>();
for (const row of rows) {
  if (row.encoding.vex) continue;
  const named = legacyRows.get(row.mnemonic);
  if (named === undefined) legacyRows.set(row.mnemonic, [row]);
  else named.push(row);
}

/** The SSE row of the same operation, or undefined. */
function legacyRowOf(row: Row): Row | undefined {
  const { encoding, mnemonic, operands } = row;
  const named = legacyRows.get(mnemonic.slice(1)) ?? [];
  // Blends by a mask have another opcode, as the mask is another operand.
  if (operands.some(({ place }) => place === 'is4')) return named[0];
  const isWideInteger = encoding.onlyOpsize === 8;
  const same = named.filter(({ encoding: other }) => {
    const forms = other.forms === 'both' || other.forms === encoding.forms;
    const bytes = other.opcode === encoding.opcode && other.map === encoding.map;
    return forms && bytes && other.prefix === encoding.prefix && other.digit === encoding.digit;
  });
  return same.find((other) => (other.encoding.onlyOpsize === 8) === isWideInteger) ?? same[0];
}

/** By how much the upper half's immediate is shifted, where it is not that of the lower one. */
const IMMEDIATE_SHIFTS: Readonly<Record<string, number>> = {
  shufpd: 2,
  blendps: 4,
  blendpd: 2,
  mpsadbw: 3,
};

/** Stages at which an instruction decides about exceptions: DPPS multiplies, adds, and adds. */
const stagesOf = (legacy: Row): number => (legacy.mnemonic === 'dpps' ? 3 : 1);

/**
 * What each half works on, of operand `i` of 256-bit instructions: a half of a YMM register, a part
 * of what is widened, or all of an XMM register (counts of shifts).
 */
function halvesOf(x: Context, i: number, widens: boolean): readonly Local<'v128'>[] {
  const { low, high } = source(x, i);
  if (high) return [low, high];
  if (!widens) return [low, low];
  const part = widenedBytes(x, i);
  const moved = v128.shuffle(
    low,
    low,
    indices((byte) => (byte + part) & 15),
  );
  return [low, x.f.let(moved)];
}

/** Bytes that half of a widening instruction takes: half of its memory form. */
function widenedBytes({ row }: Context, i: number): number {
  const [, bits] = /\/m(\d+)$/.exec(row.operands[i].type) ?? [];
  return Number(bits) / 16;
}

/** True for conversions and moves to a YMM register from fewer bytes. */
const isWidening = (x: Context): boolean => /^v(pmov[sz]x|cvt(dq2pd|ps2pd))/.test(x.row.mnemonic);

/** Sources as the halves of a 256-bit instruction have them, by SSE operand. */
function wideSources(x: Context, legacy: Row): Map<number, Local<'v128'>>[] {
  const added = x.row.operands.length - legacy.operands.length;
  const halves = [new Map<number, Local<'v128'>>(), new Map<number, Local<'v128'>>()];
  for (const [i, operand] of legacy.operands.entries()) {
    if (i === 0 || operand.place === 'imm') continue;
    const parts = halvesOf(x, i + added, isWidening(x));
    for (const [half, sources] of halves.entries()) sources.set(i, parts[half]);
  }
  return halves;
}

/** True when the result goes to a vector register. */
function hasVectorResult(x: Context): boolean {
  const { access, type } = x.row.operands[0] ?? { access: 'r', type: 'm' };
  return access !== 'r' && /^[xy]mm/.test(type) && !x.inMemory(0);
}

function runNarrow(x: Context, legacy: Row, semantic: Semantic): void {
  const adds = x.row.operands.length > legacy.operands.length;
  const hasResult = hasVectorResult(x);
  const first: V128 = adds ? v128.load(x.xmmAddress(1)) : ZERO;
  const lane: Lane = {
    row: legacy,
    sources: new Map(),
    destination: hasResult ? first : undefined,
    immediateShift: 0,
    deferred: undefined,
  };
  const half = new LaneContext(x, lane);
  semantic(half);
  if (hasResult) writeRegister(x, 0, half.value);
}

function runWide(x: Context, legacy: Row, semantic: Semantic): void {
  const adds = x.row.operands.length > legacy.operands.length;
  const first: Partial<Vector> = adds ? source(x, 1) : {};
  const deferred = x.f.local('i32');
  let hasDeferred = false;
  const results = wideSources(x, legacy).map((sources, half) => {
    const lane: Lane = {
      row: legacy,
      sources,
      destination: (half === 0 ? first.low : first.high) ?? ZERO,
      immediateShift: half === 0 ? 0 : (IMMEDIATE_SHIFTS[legacy.mnemonic] ?? 0),
      deferred,
    };
    const context = new LaneContext(x, lane);
    semantic(context);
    hasDeferred ||= context.hasDeferred;
    return x.f.let(context.value);
  });
  if (hasDeferred) settleDeferred(x, deferred, stagesOf(legacy));
  const [low, high] = results;
  // Conversions to narrower lanes leave both results in lower halves.
  const narrows = vectorBytes(x, 0) === 16;
  if (narrows) writeRegister(x, 0, joinHalves(low, high));
  else writeRegister(x, 0, low, high);
}

/** The semantics of the VEX row `row` by those of SSE, or undefined when there is no such row. */
export function laneSemantic(row: Row, sse: SemanticTable): Semantic | undefined {
  const legacy = legacyRowOf(row);
  const semantic = legacy && semanticOf(sse, legacy);
  if (!legacy || !semantic) return undefined;
  // Of vectors in memory AVX asks no alignment.
  const encoding = { ...legacy.encoding, vex: row.encoding.vex };
  const unaligned: Row = { ...legacy, encoding, aligned: false };
  return (x) => (isWide(x) ? runWide : runNarrow)(x, unaligned, semantic);
}
