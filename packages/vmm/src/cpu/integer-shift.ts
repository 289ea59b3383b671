// Shifts, rotates and bit instructions: SDM vol. 2, RCL to SHRD, BT to BSWAP.

import { c32, c64, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { signExtend, zeroExtend } from './lazy-flags.ts';

/** The count as the processor takes it: 6 bits for 64-bit operands, else 5. */
function countOf(x: Context, operand: number, size: Size): I64 {
  return x.f.fix(i64.and(x.read(operand), c64(size === 8 ? 63 : 31)));
}

const bit = (value: I64, position: I64): I32 =>
  i32.and(i32.wrap(i64.shr_u(value, position)), c32(1));
const signBit = (value: I64, size: Size): I32 => bit(value, c64(8 * size - 1));

/** What a shift computes: the result, and CF and OF for counts other than 0. */
interface Shift {
  result(a: I64, count: I64, size: Size, x: Context): I64;
  cf(a: I64, count: I64, size: Size, result: I64): I32;
  of(a: I64, size: Size, result: I64, cf: I32): I32;
}

/** SHL, SHR, SAR: all flags, unless the count is 0. */
function shift(op: Shift): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const count = countOf(x, 1, size);
    const { old, result } = x.modify(0, (a) => op.result(a, count, size, x));
    f.if(i64.ne(count, c64(0)), () => {
      const cf = x.flags.once(op.cf(old, count, size, result));
      x.flags.resultCfOf(size, result, cf, x.flags.once(op.of(old, size, result, cf)));
    });
  };
}

/** Bit 8*size-count of `a`: the last one shifted out to the left; 0 when all are gone. */
function lastLeft(a: I64, count: I64, size: Size): I32 {
  if (size === 8) return bit(a, i64.sub(c64(64), count));
  return bit(i64.shl(a, count), c64(8 * size));
}

const shl: Shift = {
  result: (a, count) => i64.shl(a, count),
  cf: lastLeft,
  of: (_a, size, result, cf) => i32.xor(signBit(result, size), cf),
};

const shr: Shift = {
  result: (a, count) => i64.shr_u(a, count),
  cf: (a, count) => bit(a, i64.sub(count, c64(1))),
  of: (a, size) => signBit(a, size),
};

const sar: Shift = {
  result: (a, count, size) => i64.shr_s(signExtend(a, size), count),
  cf: (a, count, size) => bit(i64.shr_s(signExtend(a, size), i64.sub(count, c64(1))), c64(0)),
  of: () => c32(0),
};

/** ROL and ROR: CF and OF only, unless the count is 0. */
function rotate(left: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const bits = 8 * size;
    const count = countOf(x, 1, size);
    const turn = (a: I64): I64 => {
      if (size === 8) return left ? i64.rotl(a, count) : i64.rotr(a, count);
      const n = f.let(i64.and(count, c64(bits - 1)));
      const back = i64.and(i64.sub(c64(bits), n), c64(bits - 1));
      return left
        ? i64.or(i64.shl(a, n), i64.shr_u(a, back))
        : i64.or(i64.shr_u(a, n), i64.shl(a, back));
    };
    const { result } = x.modify(0, turn);
    f.if(i64.ne(count, c64(0)), () => {
      const top = f.let(signBit(result, size));
      if (left) {
        const cf = f.let(bit(result, c64(0)));
        x.flags.setCfOf(cf, i32.xor(top, cf));
      } else {
        x.flags.setCfOf(top, i32.xor(top, bit(result, c64(bits - 2))));
      }
    });
  };
}

/** RCL and RCR: a rotate of one bit more, through CF. */
function rotateCarry(left: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const bits = 8 * size;
    const raw = countOf(x, 1, size);
    const count = size <= 2 ? f.fix(i64.rem_u(raw, c64(bits + 1))) : raw;
    const carry = f.let(i64.extend_u(x.flags.cf()));
    const newCarry = f.let(carry);
    const turn = (a: I64): I64 => {
      const result = f.let(a);
      f.if(i64.ne(count, c64(0)), () => {
        // The two parts that the rotate joins, without a shift by the full width.
        const rest = f.let(i64.sub(c64(bits), count));
        const [out, into] = left
          ? [bit(a, rest), i64.shl(carry, i64.sub(count, c64(1)))]
          : [bit(a, i64.sub(count, c64(1))), i64.shl(carry, rest)];
        f.set(newCarry, i64.extend_u(out));
        const moved = left ? i64.shl(a, count) : i64.shr_u(a, count);
        const wrapped = left
          ? i64.shr_u(i64.shr_u(a, rest), c64(1))
          : i64.shl(i64.shl(a, rest), c64(1));
        // A count equal to the width leaves nothing of what is moved.
        const gone = i64.ge_u(count, c64(bits));
        const kept = select(gone, c64(0), moved);
        f.set(result, i64.or(i64.or(kept, wrapped), into));
      });
      return zeroExtend(result, size);
    };
    const { result } = x.modify(0, turn);
    f.if(i64.ne(count, c64(0)), () => {
      const cf = f.let(i32.wrap(newCarry));
      const top = signBit(result, size);
      const of = left ? i32.xor(top, cf) : i32.xor(top, bit(result, c64(bits - 2)));
      x.flags.setCfOf(cf, of);
    });
  };
}

/** SHLD and SHRD: bits come in from the second operand. */
function shiftDouble(left: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const bits = 8 * size;
    const count = countOf(x, 2, size);
    const b = f.let(x.read(1));
    const rest = f.let(i64.sub(c64(bits), count));
    const turn = (a: I64): I64 => {
      const result = f.let(a);
      f.if(i64.ne(count, c64(0)), () => {
        const joined = left
          ? i64.or(i64.shl(a, count), i64.shr_u(b, rest))
          : i64.or(i64.shr_u(a, count), i64.shl(b, rest));
        f.set(result, joined);
      });
      return zeroExtend(result, size);
    };
    const { old, result } = x.modify(0, turn);
    f.if(i64.ne(count, c64(0)), () => {
      const out = left ? bit(old, rest) : bit(old, i64.sub(count, c64(1)));
      const cf = f.let(out);
      const of = f.let(i32.xor(signBit(old, size), signBit(result, size)));
      x.flags.resultCfOf(size, result, cf, of);
    });
  };
}

/** BT, BTS, BTR, BTC. A register bit offset reaches any distance from a memory operand. */
function bitTest(change: ((a: I64, mask: I64) => I64) | null): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const offset = f.fix(x.read(1));
    const within = f.fix(i64.and(offset, c64(8 * size - 1)));
    const mask = f.fix(i64.shl(c64(1), within));
    const apply = (a: I64): I64 => (change ? change(a, mask) : a);
    let old: I64;
    if (x.inMemory(0)) {
      const far = x.row.operands[1].place === 'reg';
      const log = Math.log2(size);
      const elements = i64.shr_s(signExtend(offset, size), c64(3 + log));
      const delta = far ? f.let(i64.shl(elements, c64(log))) : undefined;
      const linear = x.linearAddress(size, change !== null, delta);
      old = change
        ? x.modifyAt(size, linear, apply, x.variant.lock).old
        : f.let(x.load(size, linear));
    } else {
      old = change ? x.modify(0, apply).old : f.let(x.read(0));
    }
    x.flags.setCf(f.let(bit(old, within)));
  };
}

/** BSF and BSR leave the destination alone when the source is 0, as processors do. */
function bitScan(forward: boolean): (x: Context) => void {
  return (x) => {
    const source = x.f.let(x.read(1));
    x.f.if(i64.ne(source, c64(0)), () => {
      x.write(0, forward ? i64.ctz(source) : i64.sub(c64(63), i64.clz(source)));
    });
    x.flags.logic(x.sizeOf(1), source);
  };
}

/** The low 4 or all 8 bytes of `a` in reverse order; of 4 bytes the upper half means nothing. */
export function swapBytes(f: FunctionBuilder, a: I64, size: 4 | 8): I64 {
  const swap = (value: I64, mask: bigint, distance: number): I64 =>
    i64.or(
      i64.and(i64.shr_u(value, c64(distance)), c64(mask)),
      i64.shl(i64.and(value, c64(mask)), c64(distance)),
    );
  const bytes = f.let(swap(a, 0x00ff00ff00ff00ffn, 8));
  const words = f.let(swap(bytes, 0x0000ffff0000ffffn, 16));
  return size === 4 ? words : i64.rotl(words, c64(32));
}

function bswap(x: Context): void {
  const size = x.sizeOf(0);
  const a = x.f.let(x.read(0));
  // Undefined for 16-bit operands; processors give 0.
  if (size === 2) x.write(0, c64(0));
  else x.write(0, swapBytes(x.f, a, size === 4 ? 4 : 8));
}

/** Semantics of shifts, rotates and bit instructions, by mnemonic. */
export const integerShift: SemanticTable = {
  shl: shift(shl),
  shr: shift(shr),
  sar: shift(sar),
  rol: rotate(true),
  ror: rotate(false),
  rcl: rotateCarry(true),
  rcr: rotateCarry(false),
  shld: shiftDouble(true),
  shrd: shiftDouble(false),
  bt: bitTest(null),
  bts: bitTest(i64.or),
  btr: bitTest((a, mask) => i64.and(a, i64.xor(mask, c64(-1)))),
  btc: bitTest(i64.xor),
  bsf: bitScan(true),
  bsr: bitScan(false),
  bswap,
};
