// Arithmetic on polynomials over GF(2): PCLMULQDQ and CRC32; and POPCNT, the other instruction that
// counts bits. SDM vol. 2; CRC32C is RFC 3720, appendix B.4.
//
// Products without carries are made of integer products: of every fourth bit alone, so that the
// carries of a sum of up to 15 terms stay in the three bits between, where a mask removes them.
// (In the low 64 bits of a product only the topmost sum can have 16 terms, and its carry leaves
// the word.)

import { c32, c64, call, type Fn, type I64, i32, i64, select, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i64x2 } from '../wasm/simd.ts';
import type { Semantic, SemanticTable } from './context.ts';
import { immediate8, setCompareFlags, source128 } from './sse-operand.ts';

/** The functions of this file. */
export interface PolynomialRuntime {
  /** (a i64, b i64) -> their carry-less product, v128. */
  readonly multiply: Fn<'v128'>;
  /** (message i64) -> the CRC32C of its eight bytes, i32, from an initial value of 0. */
  readonly crc32c: Fn<'i32'>;
}

/** Every fourth bit, from bit `first` on. */
const everyFourth = (first: number): I64 => c64(0x1111_1111_1111_1111n << BigInt(first));

/** (a, b) -> the low 64 bits of the carry-less product. */
function defineMultiplyLow(m: ModuleBuilder): Fn<'i64'> {
  return m.function('polynomialLow', ['i64', 'i64'], 'i64', (f) => {
    const parts = (value: I64): I64[] =>
      [0, 1, 2, 3].map((first) => f.let(i64.and(value, everyFourth(first))));
    const a = parts(f.param(0, 'i64'));
    const b = parts(f.param(1, 'i64'));
    const sums = [0, 1, 2, 3].map((first) => {
      const terms = a.map((part, i) => i64.mul(part, b[(first - i) & 3]));
      return i64.and(
        terms.reduce((sum, term) => i64.xor(sum, term)),
        everyFourth(first),
      );
    });
    f.return(sums.reduce((sum, part) => i64.or(sum, part)));
  });
}

/** (a) -> its bits in reverse order. */
function defineReverse(m: ModuleBuilder): Fn<'i64'> {
  return m.function('reverseBits', ['i64'], 'i64', (f) => {
    const value = f.param(0, 'i64');
    const masks = [0x5555_5555_5555_5555n, 0x3333_3333_3333_3333n, 0x0f0f_0f0f_0f0f_0f0fn]
      .concat([0x00ff_00ff_00ff_00ffn, 0x0000_ffff_0000_ffffn])
      .map((mask) => c64(mask));
    masks.forEach((mask, i) => {
      const count = c64(1 << i);
      const up = i64.shl(i64.and(value, mask), count);
      f.set(value, i64.or(up, i64.and(i64.shr_u(value, count), mask)));
    });
    f.return(i64.rotl(value, c64(32)));
  });
}

/** The product's high half is the low half of the reversed factors' product, reversed. */
function defineMultiply(m: ModuleBuilder): Fn<'v128'> {
  const low = defineMultiplyLow(m);
  const reverse = defineReverse(m);
  return m.function('polynomialProduct', ['i64', 'i64'], 'v128', (f) => {
    const a = f.param(0, 'i64');
    const b = f.param(1, 'i64');
    const mirrored = call(reverse, call(low, call(reverse, a), call(reverse, b)));
    const product = i64x2.splat(call(low, a, b));
    f.return(i64x2.replace_lane(product, 1, i64.shr_u(mirrored, c64(1))));
  });
}

/** The CRC32C polynomial, 11EDC6F41h, with its coefficients in reverse: bit 0 is that of x^32. */
const CRC32C = (0x82f6_3b78n << 1n) | 1n;

/** The inverse of `polynomial` as a power series, 64 coefficients. */
function seriesInverse(polynomial: bigint): bigint {
  let result = 0n;
  let rest = 1n;
  for (let i = 0n; i < 64n; i++) {
    if (((rest >> i) & 1n) === 0n) continue;
    result |= 1n << i;
    rest ^= polynomial << i;
  }
  return result;
}

/** The places of the bits that are set, below 64. */
const setBits = (value: bigint): number[] =>
  Array.from({ length: 64 }, (_, i) => i).filter((i) => ((value >> BigInt(i)) & 1n) !== 0n);

/**
 * The remainder of message times x^32 by the CRC polynomial. In the bit-reversed form division is
 * multiplication by the inverse power series: quotient = message / P modulo z^64; then quotient
 * times P is the message again in the low 64 bits, and above them the remainder. Both factors are
 * constants, so each product is a sum of shifted copies.
 */
function defineCrc32c(m: ModuleBuilder): Fn<'i32'> {
  const sum = (f: FunctionBuilder, terms: readonly I64[]): I64 =>
    f.let(terms.reduce((a, b) => i64.xor(a, b)));
  return m.function('crc32c', ['i64'], 'i32', (f) => {
    const message = f.param(0, 'i64');
    const copies = setBits(seriesInverse(CRC32C)).map((n) => i64.shl(message, c64(n)));
    const quotient = sum(f, copies);
    const above = setBits(CRC32C).filter((n) => n > 0);
    f.return(
      i32.wrap(
        sum(
          f,
          above.map((n) => i64.shr_u(quotient, c64(64 - n))),
        ),
      ),
    );
  });
}

/** Defines the functions in `m`. */
export function definePolynomials(m: ModuleBuilder): PolynomialRuntime {
  return { multiply: defineMultiply(m), crc32c: defineCrc32c(m) };
}

/** PCLMULQDQ: bits 0 and 4 of the immediate choose the quadwords of op0 and op1. */
const pclmulqdq: Semantic = (x) => {
  const b = source128(x, 1);
  const a = source128(x, 0);
  const imm = x.f.let(immediate8(x, 2));
  const quadword = (vector: V128, bit: number): I64 =>
    select(i32.and(imm, c32(bit)), i64x2.extract_lane(vector, 1), i64x2.extract_lane(vector, 0));
  const product = call(x.runtime.sse.polynomials.multiply, quadword(a, 1), quadword(b, 16));
  x.f.storeV128(x.xmmAddress(0), product);
};

/** CRC32: op1's bytes go into the checksum in op0; 8-byte destinations are zero-extended. */
const crc32: Semantic = (x) => {
  const bits = 8 * x.sizeOf(1);
  const data = x.f.let(x.read(1));
  const old = x.f.let(i64.and(x.read(0), c64(0xffff_ffff)));
  // Zeros before a message count for nothing: the data's bytes go to the end of eight.
  const message = i64.shl(i64.xor(data, old), c64(64 - bits));
  const crc = i64.extend_u(call(x.runtime.sse.polynomials.crc32c, message));
  x.write(0, bits < 32 ? i64.xor(crc, i64.shr_u(old, c64(bits))) : crc);
};

/** POPCNT: ZF of the operand, the other status flags clear. */
const popcnt: Semantic = (x) => {
  const value = x.f.let(x.read(1));
  x.write(0, i64.popcnt(value));
  setCompareFlags(x, i64.eqz(value), c32(0), c32(0));
};

/** Semantics by mnemonic. */
export const polynomialSemantics: SemanticTable = { pclmulqdq, crc32, popcnt };
