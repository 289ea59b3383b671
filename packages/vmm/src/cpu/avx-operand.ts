// Operands of AVX instructions: YMM and XMM registers, and memory of their sizes. SDM vol. 1, 14.3.
//
// Rules that hold for all of them are kept here: an instruction that writes a register clears what
// the register has beyond the result; memory need not be aligned, but where the row says so (#GP).

import { operandShapes } from '../isa/operand.ts';
import { c32, c64, type I32, i32, i64, type Local, type V128 } from '../wasm/expr.ts';
import { i64x2, v128 } from '../wasm/simd.ts';
import type { Context } from './context.ts';
import { ZERO } from './sse-operand.ts';
import { VECTOR } from './state.ts';

/** A vector of 128 or, with its upper half, 256 bits. Both are locals. */
export interface Vector {
  readonly low: Local<'v128'>;
  readonly high: Local<'v128'> | undefined;
}

/** True for instructions of 256 bits. */
export const isWide = (x: Context): boolean => x.row.encoding.vex?.length === 1;

/** Bytes of vector operand `i`: 32 or 16; of its memory form 8, 4, 2 or 1 too. */
export function vectorBytes(x: Context, i: number): number {
  const { registerSize, memorySize } = operandShapes[x.row.operands[i].type];
  return (x.inMemory(i) ? memorySize : registerSize) as number;
}

/** Linear address of a vector in memory, aligned if the row wants it. */
function vectorAddress(x: Context, bytes: number, write: boolean) {
  const linear = x.f.let(x.linearAddress(bytes, write));
  if (x.row.aligned) {
    const low = i32.and(i32.wrap(linear), c32(bytes - 1));
    x.raise(VECTOR.GP, { code: c32(0), when: low });
  }
  return linear;
}

/** Operand `i`: a register, or memory, whose part beyond its size is zero. */
export function source(x: Context, i: number): Vector {
  const { f } = x;
  const bytes = vectorBytes(x, i);
  if (!x.inMemory(i)) {
    const low = f.let(v128.load(x.xmmAddress(i)));
    return { low, high: bytes === 32 ? f.let(v128.load(x.ymmAddress(i))) : undefined };
  }
  const linear = vectorAddress(x, bytes, false);
  if (bytes < 16) {
    const value = x.load(bytes as 1 | 2 | 4 | 8, linear);
    return { low: f.let(i64x2.replace_lane(ZERO, 0, value)), high: undefined };
  }
  const address = f.hold(x.readable(linear, bytes));
  const low = f.let(v128.load(address));
  return { low, high: bytes === 32 ? f.let(v128.load(address, 16)) : undefined };
}

/** The low half of operand `i`. */
export const lowSource = (x: Context, i: number): Local<'v128'> => source(x, i).low;

/** Both halves of operand `i`, which has 256 bits. */
export function wideSource(x: Context, i: number): [Local<'v128'>, Local<'v128'>] {
  const { low, high } = source(x, i);
  if (!high) throw new TypeError(`${x.row.name}: operand ${i} has no upper half`);
  return [low, high];
}

/** Writes register operand `i`: the low half, and the upper half, or zeros there. */
export function writeRegister(x: Context, i: number, low: V128, high: V128 = ZERO): void {
  x.f.storeV128(x.xmmAddress(i), low);
  x.f.storeV128(x.ymmAddress(i), high);
}

/** Writes operand `i`, a register or memory of its size. */
export function writeOperand(x: Context, i: number, { low, high }: Vector): void {
  if (!x.inMemory(i)) {
    writeRegister(x, i, low, high);
    return;
  }
  const bytes = vectorBytes(x, i);
  if (bytes === 8) {
    x.store(8, x.linearAddress(8, true), i64x2.extract_lane(low, 0));
    return;
  }
  const linear = vectorAddress(x, bytes, true);
  x.storeVectors(linear, high && bytes === 32 ? [low, high] : [low]);
}

/** The 8-bit immediate, the last operand. */
export const lastImmediate = (x: Context): I32 =>
  i32.wrap(i64.and(x.read(x.row.operands.length - 1), c64(0xff)));
