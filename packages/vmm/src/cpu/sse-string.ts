// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: SDM vol. 2, and 4.1 of vol. 2B (imm8 control byte).
//
// The comparisons of each element of one operand with each of the other are made a row at a time:
// one element of op0, copied to all lanes, against all of op1. Lanes beyond a string's end are
// handled as bits of masks.

import {
  c32,
  c64,
  call,
  type Fn,
  type I32,
  i32,
  i64,
  type Local,
  select,
  type V128,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i8x16, i16x8, v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { immediate8, lanes16, lanes32, source128, splat32, ZERO } from './sse-operand.ts';
import { RAX, RCX, RDX, S } from './state.ts';

/** The functions of this file. */
export interface StringRuntime {
  /** (op0 v128, op1 v128, length of op0, length of op1, imm) -> IntRes2, by elements. */
  readonly compareBytes: Fn<'i32'>;
  readonly compareWords: Fn<'i32'>;
  /** (vector) -> the number of elements before the first that is zero. */
  readonly lengthOfBytes: Fn<'i32'>;
  readonly lengthOfWords: Fn<'i32'>;
}

/** Bits of the immediate. */
const WORDS = 1 << 0;
const SIGNED = 1 << 1;
const AGGREGATION_SHIFT = 2;
const NEGATE = 1 << 4;
const NEGATE_VALID_ONLY = 1 << 5;
/** The index is that of the last match; the mask is one of bytes or words. */
const LAST_OR_EXPANDED = 1 << 6;

/** Bytes or words. */
interface Elements {
  readonly name: 'Bytes' | 'Words';
  readonly count: 16 | 8;
  readonly shape: typeof i8x16 | typeof i16x8;
  /** Element `i` of `a` in all lanes. */
  broadcast(a: V128, i: I32): V128;
  /** The sign bit of each element. */
  readonly signs: V128;
}

const BYTES: Elements = {
  name: 'Bytes',
  count: 16,
  shape: i8x16,
  broadcast: (a, i) => i8x16.swizzle(a, i8x16.splat(i)),
  signs: lanes16(...Array(8).fill(0x8080)),
};

const WORD_ELEMENTS: Elements = {
  name: 'Words',
  count: 8,
  shape: i16x8,
  broadcast: (a, i) => {
    const index = i32.add(i32.mul(i, c32(0x0202)), c32(0x0100));
    return i8x16.swizzle(a, i16x8.splat(index));
  },
  signs: lanes16(...Array(8).fill(0x8000)),
};

/** The lowest `count` bits. */
const lowBits = (count: I32): I32 => i32.sub(i32.shl(c32(1), count), c32(1));

/** Runs `body` for the elements 0, `step`, ... of which the last is below `end`. */
function forElements(f: FunctionBuilder, end: I32, step: number, body: (i: I32) => void): void {
  const i = f.let(c32(0));
  f.block((done) => {
    f.loop((next) => {
      f.br(done, i32.ge_s(i32.add(i, c32(step - 1)), end));
      body(i);
      f.set(i, i32.add(i, c32(step)));
      f.br(next);
    });
  });
}

/** The operands of one comparison. */
interface Strings {
  readonly a: V128;
  readonly b: V128;
  readonly lengthA: I32;
  readonly lengthB: I32;
  readonly imm: I32;
}

/** Any of op0's elements equals op1's. */
function equalAny(f: FunctionBuilder, e: Elements, s: Strings, result: Local<'i32'>): void {
  const found = f.let(ZERO);
  forElements(f, s.lengthA, 1, (i) =>
    f.set(found, v128.or(found, e.shape.eq(s.b, e.broadcast(s.a, i)))),
  );
  f.set(result, i32.and(e.shape.bitmask(found), lowBits(s.lengthB)));
}

/** op1's element lies between a pair of op0's. */
function ranges(f: FunctionBuilder, e: Elements, s: Strings, result: Local<'i32'>): void {
  // Unsigned numbers compare as signed ones when their sign bits are inverted.
  const signed = i32.and(s.imm, c32(SIGNED));
  const bias = f.let(select(signed, ZERO, e.signs));
  const bounds = f.let(v128.xor(s.a, bias));
  const b = f.let(v128.xor(s.b, bias));
  const found = f.let(ZERO);
  forElements(f, s.lengthA, 2, (i) => {
    const above = e.shape.ge_s(b, e.broadcast(bounds, i));
    const below = e.shape.le_s(b, e.broadcast(bounds, i32.add(i, c32(1))));
    f.set(found, v128.or(found, v128.and(above, below)));
  });
  f.set(result, i32.and(e.shape.bitmask(found), lowBits(s.lengthB)));
}

/** Both elements are equal, or both beyond the end. */
function equalEach(f: FunctionBuilder, e: Elements, s: Strings, result: Local<'i32'>): void {
  const validA = f.let(lowBits(s.lengthA));
  const validB = f.let(lowBits(s.lengthB));
  const equal = i32.and(e.shape.bitmask(e.shape.eq(s.a, s.b)), i32.and(validA, validB));
  const invalid = i32.xor(i32.or(validA, validB), lowBits(c32(e.count)));
  f.set(result, i32.or(equal, invalid));
}

/** op0 occurs in op1 from this element on, as far as op1 reaches. */
function equalOrdered(f: FunctionBuilder, e: Elements, s: Strings, result: Local<'i32'>): void {
  const all = lowBits(c32(e.count));
  f.set(result, all);
  forElements(f, s.lengthA, 1, (i) => {
    const equal = e.shape.bitmask(e.shape.eq(s.b, e.broadcast(s.a, i)));
    const valid = i32.and(equal, lowBits(s.lengthB));
    // Where element i of op0 would meet one after op1's last, there is nothing to compare.
    const outside = i32.xor(lowBits(i32.sub(c32(e.count), i)), c32(-1));
    f.set(result, i32.and(result, i32.or(i32.shr_u(valid, i), outside)));
  });
  f.set(result, i32.and(result, all));
}

function defineCompare(m: ModuleBuilder, e: Elements): Fn<'i32'> {
  const params = ['v128', 'v128', 'i32', 'i32', 'i32'] as const;
  return m.function(`stringCompare${e.name}`, params, 'i32', (f) => {
    const strings: Strings = {
      a: f.param(0, 'v128'),
      b: f.param(1, 'v128'),
      lengthA: f.param(2, 'i32'),
      lengthB: f.param(3, 'i32'),
      imm: f.param(4, 'i32'),
    };
    const { imm } = strings;
    const result = f.local('i32');
    const aggregations = [equalAny, ranges, equalEach, equalOrdered].map(
      (aggregate) => () => aggregate(f, e, strings, result),
    );
    const kind = i32.and(i32.shr_u(imm, c32(AGGREGATION_SHIFT)), c32(3));
    f.switch(kind, aggregations.slice(0, 3), aggregations[3]);
    const validOnly = i32.and(imm, c32(NEGATE_VALID_ONLY));
    const negated = select(validOnly, lowBits(strings.lengthB), lowBits(c32(e.count)));
    f.return(i32.xor(result, select(i32.and(imm, c32(NEGATE)), negated, c32(0))));
  });
}

function defineLength(m: ModuleBuilder, e: Elements): Fn<'i32'> {
  return m.function(`stringLength${e.name}`, ['v128'], 'i32', (f) => {
    const zeros = e.shape.bitmask(e.shape.eq(f.param(0, 'v128'), ZERO));
    f.return(i32.ctz(i32.or(zeros, c32(1 << e.count))));
  });
}

/** Defines the functions in `m`. */
export function defineStringCompares(m: ModuleBuilder): StringRuntime {
  return {
    compareBytes: defineCompare(m, BYTES),
    compareWords: defineCompare(m, WORD_ELEMENTS),
    lengthOfBytes: defineLength(m, BYTES),
    lengthOfWords: defineLength(m, WORD_ELEMENTS),
  };
}

/** The magnitude of a length in rAX or rDX, but at most `count`. */
function explicitLength(x: Context, register: number, count: I32): I32 {
  const { f } = x;
  const wide = x.opsize === 8;
  const value = f.let(wide ? x.gpr(register) : i64.extend32_s(x.gpr(register)));
  const size = f.let(select(i64.lt_s(value, c64(0)), i64.sub(c64(0), value), value));
  return f.let(select(i64.gt_u(size, i64.extend_u(count)), count, i32.wrap(size)));
}

/** Writes XMM0: IntRes2 itself, or a mask of bytes or words. */
function writeMask(x: Context, result: I32, imm: I32): void {
  const { f } = x;
  const bit = (lane: number): number => 1 << (lane & 7);
  const bytes = v128.const(Array.from({ length: 16 }, (_, lane) => bit(lane)));
  const spread = i8x16.swizzle(splat32(result), lanes32(0, 0, 0x01010101, 0x01010101));
  const words = lanes16(1, 2, 4, 8, 16, 32, 64, 128);
  const byteMask = i8x16.eq(v128.and(spread, bytes), bytes);
  const wordMask = i16x8.eq(v128.and(i16x8.splat(result), words), words);
  const expanded = select(i32.and(imm, c32(WORDS)), wordMask, byteMask);
  const plain = v128.and(splat32(result), lanes32(-1, 0, 0, 0));
  const mask = select(i32.and(imm, c32(LAST_OR_EXPANDED)), expanded, plain);
  f.storeV128(x.cpu, mask, S.xmm);
}

/** Writes ECX: the index of the first or the last match, or the number of elements. */
function writeIndex(x: Context, result: I32, imm: I32, count: I32): void {
  const first = i32.ctz(result);
  const last = i32.sub(c32(31), i32.clz(result));
  const index = select(i32.and(imm, c32(LAST_OR_EXPANDED)), last, first);
  x.setGpr(RCX, 4, i64.extend_u(select(result, index, count)));
}

/** CF: something found; ZF, SF: op1, op0 ended; OF: bit 0 of the result; PF and AF clear. */
function writeFlags(x: Context, result: I32, endedB: I32, endedA: I32): void {
  const bit = (condition: I32, place: number): I32 => i32.shl(condition, c32(place));
  const found = i32.ne(result, c32(0));
  const flags = [bit(endedB, 6), bit(endedA, 7), bit(i32.and(result, c32(1)), 11)];
  x.flags.unpack(flags.reduce((word, flag) => i32.or(word, flag), found));
}

interface Form {
  readonly explicit: boolean;
  readonly mask: boolean;
}

const compareStrings =
  ({ explicit, mask }: Form): Semantic =>
  (x) => {
    const { f } = x;
    const { strings } = x.runtime.sse;
    const b = source128(x, 1);
    const a = source128(x, 0);
    const imm = f.let(immediate8(x, 2));
    const words = f.let(i32.and(imm, c32(WORDS)));
    const count = f.let(select(words, c32(8), c32(16)));
    const length = (vector: V128, register: number): I32 =>
      explicit
        ? explicitLength(x, register, count)
        : f.choose(
            'i32',
            words,
            () => call(strings.lengthOfWords, vector),
            () => call(strings.lengthOfBytes, vector),
          );
    const lengthA = length(a, RAX);
    const lengthB = length(b, RDX);
    const args = [a, b, lengthA, lengthB, imm] as const;
    const result = f.choose(
      'i32',
      words,
      () => call(strings.compareWords, ...args),
      () => call(strings.compareBytes, ...args),
    );
    if (mask) writeMask(x, result, imm);
    else writeIndex(x, result, imm, count);
    writeFlags(x, result, i32.lt_u(lengthB, count), i32.lt_u(lengthA, count));
  };

/** Semantics by mnemonic. */
export const sseStringSemantics: SemanticTable = {
  pcmpestri: compareStrings({ explicit: true, mask: false }),
  pcmpestrm: compareStrings({ explicit: true, mask: true }),
  pcmpistri: compareStrings({ explicit: false, mask: false }),
  pcmpistrm: compareStrings({ explicit: false, mask: true }),
};
