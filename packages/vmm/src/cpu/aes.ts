// The AES instructions: FIPS 197; SDM vol. 2, AESDEC to AESKEYGENASSIST.
//
// A state is a vector, byte r + 4c its row r and column c. The S-box is looked up without memory,
// hence in constant time: sixteen swizzles, one for each row of the table, of which one gives the
// byte and the others zero.

import { c32, call, type Fn, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i8x16, v128 } from '../wasm/simd.ts';
import type { Semantic, SemanticTable } from './context.ts';
import { immediate8, indices, lanes32, source128, splat32, ZERO } from './sse-operand.ts';

/** Functions on states, without the round key: (state v128) -> v128. */
export interface AesRuntime {
  readonly encrypt: Fn<'v128'>;
  readonly encryptLast: Fn<'v128'>;
  readonly decrypt: Fn<'v128'>;
  readonly decryptLast: Fn<'v128'>;
  readonly inverseMixColumns: Fn<'v128'>;
  readonly subBytes: Fn<'v128'>;
}

/** a times x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2.1). */
const xtimeByte = (a: number): number => ((a << 1) ^ (a & 0x80 ? 0x11b : 0)) & 0xff;

function multiply(a: number, b: number): number {
  let product = 0;
  let power = a;
  for (let bits = b; bits !== 0; bits >>= 1) {
    if (bits & 1) product ^= power;
    power = xtimeByte(power);
  }
  return product;
}

/** The inverse is the 254th power; that of 0 is 0. */
function inverse(a: number): number {
  let power = 1;
  for (let i = 0; i < 254; i++) power = multiply(power, a);
  return power;
}

/** FIPS 197, 5.1.1: the inverse, then an affine map of its bits. */
function substitute(a: number): number {
  const b = inverse(a);
  const rotated = (n: number): number => (b << n) | (b >> (8 - n));
  return (b ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63) & 0xff;
}

const S_BOX: readonly number[] = Array.from({ length: 256 }, (_, a) => substitute(a));
const INVERSE_S_BOX: readonly number[] = S_BOX.map((_, a) => S_BOX.indexOf(a));

/** Byte places after ShiftRows: row r moves `direction` times r columns to the left. */
const shiftRows = (direction: 1 | -1): number[] =>
  indices((i) => (i & 3) | ((((i >> 2) + direction * (i & 3)) & 3) << 2));

const shuffle = (a: V128, lanes: readonly number[]): V128 => v128.shuffle(a, a, lanes);

/** Each column rotated by `count` rows. */
const rotateColumns = (a: V128, count: number): V128 =>
  shuffle(
    a,
    indices((i) => (i & ~3) | ((i + count) & 3)),
  );

/** Each byte times x. */
const xtime = (a: V128): V128 => {
  const reduction = v128.and(i8x16.lt_s(a, ZERO), splat32(c32(0x1b1b1b1b)));
  return v128.xor(i8x16.add(a, a), reduction);
};

/** FIPS 197, 5.1.3: 2 a0 + 3 a1 + a2 + a3 for the byte and those below it. */
function mixColumns(f: FunctionBuilder, a: V128): V128 {
  const next = f.let(rotateColumns(a, 1));
  const both = f.let(v128.xor(a, next));
  const rest = f.let(rotateColumns(both, 2));
  return v128.xor(v128.xor(xtime(both), next), rest);
}

/** The inverse matrix is MixColumns' times one that adds 4 (a0 + a2) to a0. */
function inverseMixColumns(f: FunctionBuilder, a: V128): V128 {
  const pair = f.let(v128.xor(a, rotateColumns(a, 2)));
  const twice = f.let(xtime(pair));
  return mixColumns(f, f.let(v128.xor(a, xtime(twice))));
}

/** Defines the functions in `m`. */
export function defineAes(m: ModuleBuilder): AesRuntime {
  const unary = (name: string, build: (f: FunctionBuilder, a: V128) => V128): Fn<'v128'> =>
    m.function(`aes${name}`, ['v128'], 'v128', (f) => f.return(build(f, f.param(0, 'v128'))));
  const lookUp = (name: string, table: readonly number[]): Fn<'v128'> =>
    unary(name, (f, a) => {
      const result = f.let(ZERO);
      for (let row = 0; row < 16; row++) {
        const bytes = v128.const(table.slice(16 * row, 16 * row + 16));
        const index = v128.xor(a, splat32(c32(row * 0x10101010)));
        f.set(result, v128.or(result, i8x16.swizzle(bytes, index)));
      }
      return result;
    });
  const subBytes = lookUp('SubBytes', S_BOX);
  const inverseSubBytes = lookUp('InverseSubBytes', INVERSE_S_BOX);
  const encryptLast = unary('EncryptLast', (_f, a) => call(subBytes, shuffle(a, shiftRows(1))));
  const decryptLast = unary('DecryptLast', (_f, a) =>
    call(inverseSubBytes, shuffle(a, shiftRows(-1))),
  );
  const inverseMix = unary('InverseMixColumns', inverseMixColumns);
  return {
    encryptLast,
    decryptLast,
    subBytes,
    inverseMixColumns: inverseMix,
    encrypt: unary('Encrypt', (f, a) => mixColumns(f, f.let(call(encryptLast, a)))),
    decrypt: unary('Decrypt', (_f, a) => call(inverseMix, call(decryptLast, a))),
  };
}

/** AESENC and its kin: a round of op0, then the round key op1. */
const round =
  (name: keyof AesRuntime): Semantic =>
  (x) => {
    const key = source128(x, 1);
    const state = call(x.runtime.sse.aes[name], source128(x, 0));
    x.f.storeV128(x.xmmAddress(0), v128.xor(state, key));
  };

const aesimc: Semantic = (x) => {
  const state = source128(x, 1);
  x.f.storeV128(x.xmmAddress(0), call(x.runtime.sse.aes.inverseMixColumns, state));
};

/** SubWord of the second and the fourth word; and the same rotated, with the round constant. */
const aeskeygenassist: Semantic = (x) => {
  const words = x.f.let(call(x.runtime.sse.aes.subBytes, source128(x, 1)));
  const assisted = shuffle(words, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
  const constant = v128.and(splat32(immediate8(x, 2)), lanes32(0, -1, 0, -1));
  x.f.storeV128(x.xmmAddress(0), v128.xor(assisted, constant));
};

/** Semantics by mnemonic. */
export const aesSemantics: SemanticTable = {
  aesenc: round('encrypt'),
  aesenclast: round('encryptLast'),
  aesdec: round('decrypt'),
  aesdeclast: round('decryptLast'),
  aesimc,
  aeskeygenassist,
};
