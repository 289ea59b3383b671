// Vector registers that are locals: semantics read and write them as memory of the state; a place
// in the address's stead turns loads and stores into lanes of the local.

import { c32, type Expr, type I32, i32, i64, type Local, Place, type V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { f32x4, f64x2, i8x16, i16x8, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import { ZERO } from './sse-operand.ts';
import { S } from './state.ts';

const SIMD = 0xfd << 12;

/** Loads by opcode: the value of so many bytes at `offset` of a vector. */
const LOADS: Readonly<Record<number, (vector: V128, offset: number) => Expr>> = {
  40: (vector, offset) => i32x4.extract_lane(vector, offset >> 2),
  41: (vector, offset) => i64x2.extract_lane(vector, offset >> 3),
  42: (vector, offset) => f32x4.extract_lane(vector, offset >> 2),
  43: (vector, offset) => f64x2.extract_lane(vector, offset >> 3),
  49: (vector, offset) => i64.extend_u(i8x16.extract_lane_u(vector, offset)),
  51: (vector, offset) => i64.extend_u(i16x8.extract_lane_u(vector, offset >> 1)),
  53: (vector, offset) => i64.extend_u(i32x4.extract_lane(vector, offset >> 2)),
  [SIMD | 0x00]: (vector) => vector,
  [SIMD | 0x5c]: (vector, offset) =>
    i32x4.replace_lane(ZERO, 0, i32x4.extract_lane(vector, offset >> 2)),
  [SIMD | 0x5d]: (vector, offset) =>
    i64x2.replace_lane(ZERO, 0, i64x2.extract_lane(vector, offset >> 3)),
};

/** Stores by opcode: the vector with `value` at `offset`. */
const STORES: Readonly<Record<number, (vector: V128, offset: number, value: Expr) => V128>> = {
  54: (vector, offset, value) => i32x4.replace_lane(vector, offset >> 2, value as I32),
  55: (vector, offset, value) => i64x2.replace_lane(vector, offset >> 3, value as Expr<'i64'>),
  56: (vector, offset, value) => f32x4.replace_lane(vector, offset >> 2, value as Expr<'f32'>),
  57: (vector, offset, value) => f64x2.replace_lane(vector, offset >> 3, value as Expr<'f64'>),
  60: (vector, offset, value) => i8x16.replace_lane(vector, offset, i32.wrap(value as Expr<'i64'>)),
  61: (vector, offset, value) =>
    i16x8.replace_lane(vector, offset >> 1, i32.wrap(value as Expr<'i64'>)),
  62: (vector, offset, value) =>
    i32x4.replace_lane(vector, offset >> 2, i32.wrap(value as Expr<'i64'>)),
  [SIMD | 0x0b]: (_vector, _offset, value) => value as V128,
};

/** A vector register in a local, `offset` bytes in. */
export abstract class VectorPlace extends Place {
  protected readonly offset: number;

  constructor(offset: number) {
    super();
    this.offset = offset;
  }

  /** Where the register is. */
  protected abstract local(): Local<'v128'>;
  protected abstract set(value: V128): void;
  /** The register in the state, up to date, for a function that works there. */
  abstract spill(cpu: I32): I32;
  /** Takes the register from the state, after such a function. */
  abstract reload(cpu: I32): void;

  load(opcode: number, offset: number): Expr {
    const load = LOADS[opcode];
    if (!load) throw new TypeError(`no load ${opcode} from a vector register`);
    return load(this.local(), this.offset + offset);
  }

  store(opcode: number, value: Expr, offset: number): void {
    const store = STORES[opcode];
    if (!store) throw new TypeError(`no store ${opcode} to a vector register`);
    this.set(store(this.local(), this.offset + offset, value));
  }
}

/** A vector of one instruction, which is in no register yet. */
export class LanePlace extends VectorPlace {
  readonly value: Local<'v128'>;
  private readonly f: FunctionBuilder;

  constructor(f: FunctionBuilder, value: Local<'v128'>, offset = 0) {
    super(offset);
    this.f = f;
    this.value = value;
  }

  protected local(): Local<'v128'> {
    return this.value;
  }

  protected set(value: V128): void {
    this.f.set(this.value, value);
  }

  at(bytes: number): LanePlace {
    return new LanePlace(this.f, this.value, this.offset + bytes);
  }

  spill(cpu: I32): I32 {
    this.f.storeV128(cpu, this.value, S.lanes);
    return i32.add(cpu, c32(S.lanes + this.offset));
  }

  reload(cpu: I32): void {
    this.f.set(this.value, v128.load(cpu, S.lanes));
  }
}
