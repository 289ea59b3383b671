// BMI1 and BMI2, LZCNT and MOVBE: SDM vol. 2, ANDN to TZCNT. Those with a VEX prefix have operands
// of 4 or 8 bytes.

import { c32, c64, call, type Fn, type I32, type I64, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { Context, Semantic, SemanticTable, Size } from './context.ts';
import { swapBytes } from './integer-shift.ts';
import { RDX } from './state.ts';

/** PDEP and PEXT out of line. */
export interface BitFieldRuntime {
  /** (value, mask) -> the low bits of the value at the ones of the mask. */
  readonly deposit: Fn<'i64'>;
  /** (value, mask) -> the bits of the value at the ones of the mask, together. */
  readonly extract: Fn<'i64'>;
}

/** Defines {@link BitFieldRuntime}: a round for each one of the mask. */
export function defineBitFields(m: ModuleBuilder): BitFieldRuntime {
  const define = (name: string, isDeposit: boolean): Fn<'i64'> =>
    m.function(name, ['i64', 'i64'], 'i64', (f) => {
      const [value, mask] = [f.param(0, 'i64'), f.param(1, 'i64')];
      const result = f.local('i64');
      const place = f.let(c64(1));
      f.block((done) => {
        f.loop((next) => {
          f.br(done, i64.eqz(mask));
          const lowest = f.let(i64.and(mask, i64.sub(c64(0), mask)));
          const [asked, given] = isDeposit ? [place, lowest] : [lowest, place];
          const isSet = i64.ne(i64.and(value, asked), c64(0));
          f.if(isSet, () => f.set(result, i64.or(result, given)));
          f.set(mask, i64.xor(mask, lowest));
          f.set(place, i64.shl(place, c64(1)));
          f.br(next);
        });
      });
      f.return(result);
    });
  return { deposit: define('bitsDeposit', true), extract: define('bitsExtract', false) };
}

const bitsOf = (size: Size): number => 8 * size;

/** Operand `i`, sign-extended. */
function signedOperand(x: Context, i: number): I64 {
  const value = x.read(i);
  return x.sizeOf(i) === 4 ? i64.extend32_s(value) : value;
}

/** Writes op0 and the flags of a logical result, with `cf`; OF is clear. */
function writeLogic(x: Context, result: I64, cf: I32): void {
  const size = x.sizeOf(0);
  const kept = x.f.let(size === 4 ? i64.and(result, c64(0xffffffff)) : result);
  const carry = x.f.let(cf);
  x.write(0, kept);
  x.flags.resultCfOf(size, kept, carry, c32(0));
}

const andn: Semantic = (x) => {
  const b = x.f.let(x.read(2));
  const a = x.f.let(x.read(1));
  writeLogic(x, i64.and(i64.xor(a, c64(-1)), b), c32(0));
};

/** BLSR, BLSMSK, BLSI: op1 with its lowest one cleared, up to it, or alone. */
const lowestBit =
  (compute: (a: I64) => I64, cf: (a: I64) => I32): Semantic =>
  (x) => {
    const a = x.f.let(x.read(1));
    writeLogic(x, compute(a), cf(a));
  };

/** BEXTR: bits 7:0 of op2 say where, bits 15:8 how many. */
const bextr: Semantic = (x) => {
  const { f } = x;
  const value = f.let(x.read(1));
  const control = f.let(x.read(2));
  const start = f.let(i64.and(control, c64(0xff)));
  const length = f.let(i64.and(i64.shr_u(control, c64(8)), c64(0xff)));
  const moved = select(i64.gt_u(start, c64(63)), c64(0), i64.shr_u(value, start));
  const mask = i64.sub(i64.shl(c64(1), length), c64(1));
  const result = i64.and(moved, select(i64.gt_u(length, c64(63)), c64(-1), mask));
  writeLogic(x, result, c32(0));
};

/** BZHI: the bits of op1 below the place in bits 7:0 of op2; CF says that there is none above. */
const bzhi: Semantic = (x) => {
  const { f } = x;
  const bits = bitsOf(x.sizeOf(0));
  const value = f.let(x.read(1));
  const place = f.let(i64.and(x.read(2), c64(0xff)));
  const beyond = f.let(i64.ge_u(place, c64(bits)));
  const mask = i64.sub(i64.shl(c64(1), place), c64(1));
  writeLogic(x, i64.and(value, select(beyond, c64(-1), mask)), beyond);
};

/** MULX: rDX times op2, without flags; the upper half to op0, which wins when they are the same. */
const mulx: Semantic = (x) => {
  const { f } = x;
  const b = f.let(x.read(2));
  const size = x.sizeOf(0);
  const a = f.let(x.gprLow(RDX, size));
  const low = f.let(i64.mul(a, b));
  const high = size === 8 ? call(x.runtime.integer.mulHighU, a, b) : i64.shr_u(low, c64(32));
  const upper = f.let(high);
  x.write(1, low);
  x.write(0, upper);
};

const bitField =
  (name: keyof BitFieldRuntime): Semantic =>
  (x) => {
    const mask = x.f.let(x.read(2));
    const value = x.f.let(x.read(1));
    x.write(0, call(x.runtime.integer.bitFields[name], value, mask));
  };

const rorx: Semantic = (x) => {
  const count = x.f.fix(x.read(2));
  const value = x.f.let(x.read(1));
  if (x.sizeOf(0) === 8) {
    x.write(0, i64.rotr(value, count));
    return;
  }
  const both = i64.or(value, i64.shl(value, c64(32)));
  x.write(0, i64.shr_u(both, i64.and(count, c64(31))));
};

/** SHLX, SHRX, SARX: by op2 modulo the operand size, without flags. */
const shiftBy =
  (shift: (a: I64, count: I64) => I64, isSigned = false): Semantic =>
  (x) => {
    const value = x.f.let(isSigned ? signedOperand(x, 1) : x.read(1));
    const count = x.f.let(i64.and(x.read(2), c64(bitsOf(x.sizeOf(0)) - 1)));
    x.write(0, shift(value, count));
  };

/** TZCNT, LZCNT: of a zero the operand size in bits, and CF; ZF says that the result is zero. */
const countZeros =
  (count: (value: I64, bits: number) => I64): Semantic =>
  (x) => {
    const { f } = x;
    const size = x.sizeOf(1);
    const value = f.let(x.read(1));
    const result = f.let(count(value, bitsOf(size)));
    x.write(0, result);
    x.flags.resultCfOf(size, result, f.let(i64.eqz(value)), c32(0));
  };

/** The place of a one above the operand makes zero count right. */
const trailingZeros = (value: I64, bits: number): I64 =>
  i64.ctz(bits === 64 ? value : i64.or(value, c64(1n << BigInt(bits))));

const leadingZeros = (value: I64, bits: number): I64 => i64.sub(i64.clz(value), c64(64 - bits));

/** MOVBE: the bytes in reverse order, between a register and memory. */
const movbe: Semantic = (x) => {
  const size = x.sizeOf(0);
  const swapped = swapBytes(x.f, x.f.let(x.read(1)), 8);
  x.write(0, i64.shr_u(swapped, c64(64 - bitsOf(size))));
};

const minusOne = (a: I64): I64 => i64.sub(a, c64(1));

/** Semantics by mnemonic. */
export const bitSemantics: SemanticTable = {
  andn,
  blsr: lowestBit((a) => i64.and(a, minusOne(a)), i64.eqz),
  blsmsk: lowestBit((a) => i64.xor(a, minusOne(a)), i64.eqz),
  blsi: lowestBit(
    (a) => i64.and(a, i64.sub(c64(0), a)),
    (a) => i64.ne(a, c64(0)),
  ),
  bextr,
  bzhi,
  mulx,
  pdep: bitField('deposit'),
  pext: bitField('extract'),
  rorx,
  shlx: shiftBy(i64.shl),
  shrx: shiftBy(i64.shr_u),
  sarx: shiftBy(i64.shr_s, true),
  tzcnt: countZeros(trailingZeros),
  lzcnt: countZeros(leadingZeros),
  movbe,
};
