// WebAssembly expressions as typed trees. `i64.add(a, b)` builds a node; a FunctionBuilder flattens
// it to stack code where a statement uses it, so an expression is evaluated exactly where it is
// used, once for each use: keep it in a local (`f.let`) to use it twice.
//
// Constants fold in the constructors, because the same semantic functions build the interpreter
// (operands unknown) and compiled code (operands constant).

import type { ByteWriter } from './bytes.ts';

/** The value types that generated code uses. */
export type ValType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Binary encodings of the value types (core spec 5.3.1). */
export const VALTYPE_CODE: Record<ValType, number> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

/** A function that expressions can call; made by a ModuleBuilder. */
export interface Fn<R extends ValType | 'void' = ValType | 'void'> {
  readonly index: number;
  readonly name: string;
  readonly params: readonly ValType[];
  readonly result: R;
  readonly typeIndex: number;
  /** True when its value depends on its arguments alone, and calling it changes nothing. */
  readonly isPure?: boolean;
}

/** One node: the opcode, its operands, and what its immediate needs. */
export abstract class Expr<T extends ValType = ValType> {
  readonly type: T;

  constructor(type: T) {
    this.type = type;
  }

  /** Appends the stack code that leaves this value. */
  abstract emit(out: ByteWriter): void;

  /**
   * True when the value depends on locals alone, which are appended to `locals`: it may be
   * evaluated at any time while these stay as they are.
   */
  isSteady(_locals: Local[]): boolean {
    return false;
  }
}

export type I32 = Expr<'i32'>;
export type I64 = Expr<'i64'>;
export type F32 = Expr<'f32'>;
export type F64 = Expr<'f64'>;
export type V128 = Expr<'v128'>;

/** An i32 constant. */
export class Const32 extends Expr<'i32'> {
  readonly value: number;

  constructor(value: number) {
    super('i32');
    this.value = value | 0;
  }

  emit(out: ByteWriter): void {
    out.u8(0x41);
    out.sleb32(this.value);
  }

  override isSteady(): boolean {
    return true;
  }
}

/** An i64 constant in two halves. */
export class Const64 extends Expr<'i64'> {
  readonly lo: number;
  readonly hi: number;

  constructor(lo: number, hi: number) {
    super('i64');
    this.lo = lo | 0;
    this.hi = hi | 0;
  }

  emit(out: ByteWriter): void {
    out.u8(0x42);
    out.sleb64(this.lo, this.hi);
  }

  override isSteady(): boolean {
    return true;
  }
}

class ConstFloat<T extends 'f32' | 'f64'> extends Expr<T> {
  private readonly value: number;

  constructor(type: T, value: number) {
    super(type);
    this.value = value;
  }

  emit(out: ByteWriter): void {
    out.u8(this.type === 'f32' ? 0x43 : 0x44);
    if (this.type === 'f32') out.f32(this.value);
    else out.f64(this.value);
  }
}

/** A local variable, read. {@link Expr} for its value; the builder's `set` writes it. */
export class Local<T extends ValType = ValType> extends Expr<T> {
  readonly index: number;

  constructor(type: T, index: number) {
    super(type);
    this.index = index;
  }

  emit(out: ByteWriter): void {
    out.u8(0x20);
    out.uleb(this.index);
  }

  override isSteady(locals: Local[]): boolean {
    locals.push(this);
    return true;
  }
}

/**
 * An address that stands for something else than memory, such as a local: loads and stores there
 * are made by it.
 */
export abstract class Place extends Expr<'i32'> {
  constructor() {
    super('i32');
  }

  /** What a load with `opcode` gives, `offset` bytes in. */
  abstract load(opcode: number, offset: number): Expr;
  /** A store with `opcode`, `offset` bytes in. */
  abstract store(opcode: number, value: Expr, offset: number): void;
  /** The place `bytes` further on. */
  abstract at(bytes: number): Place;

  emit(): void {
    throw new TypeError('a place is used as an address');
  }
}

/** A load from memory, or from a {@link Place}. */
export function loadFrom<T extends ValType>(
  type: T,
  opcode: number,
  address: I32,
  offset: number,
): Expr<T> {
  if (address instanceof Place) return address.load(opcode, offset) as Expr<T>;
  return new Access(type, opcode, 0, [address], offset);
}

/** Writes an opcode; those of a prefixed space are given as `prefix << 12 | number`. */
export function emitOpcode(out: ByteWriter, opcode: number): void {
  if (opcode > 0xff) {
    out.u8(opcode >> 12);
    out.uleb(opcode & 0xfff);
  } else {
    out.u8(opcode);
  }
}

/** An operator over operands, with optional immediate bytes after the opcode. */
export class Op<T extends ValType> extends Expr<T> {
  readonly opcode: number;
  readonly args: readonly Expr[];
  readonly immediate: readonly number[] | undefined;

  constructor(type: T, opcode: number, args: readonly Expr[], immediate?: readonly number[]) {
    super(type);
    this.opcode = opcode;
    this.args = args;
    this.immediate = immediate;
  }

  emit(out: ByteWriter): void {
    for (const arg of this.args) arg.emit(out);
    emitOpcode(out, this.opcode);
    if (this.immediate) out.bytes(this.immediate);
  }

  override isSteady(locals: Local[]): boolean {
    return this.args.every((arg) => arg.isSteady(locals));
  }
}

/** A load, or another operator with a memory immediate (alignment, constant offset). */
export class Access<T extends ValType> extends Expr<T> {
  readonly opcode: number;
  readonly args: readonly Expr[];
  readonly align: number;
  readonly offset: number;

  constructor(type: T, opcode: number, align: number, args: readonly Expr[], offset: number) {
    super(type);
    this.opcode = opcode;
    this.args = args;
    this.align = align;
    this.offset = offset;
  }

  emit(out: ByteWriter): void {
    for (const arg of this.args) arg.emit(out);
    emitOpcode(out, this.opcode);
    out.uleb(this.align);
    out.uleb(this.offset);
  }
}

/** A call of a function that returns a value. */
export class Call<T extends ValType> extends Expr<T> {
  private readonly callee: Fn<T>;
  private readonly args: readonly Expr[];

  constructor(callee: Fn<T>, args: readonly Expr[]) {
    super(callee.result);
    this.callee = callee;
    this.args = args;
  }

  emit(out: ByteWriter): void {
    for (const arg of this.args) arg.emit(out);
    out.u8(0x10);
    out.uleb(this.callee.index);
  }

  override isSteady(locals: Local[]): boolean {
    return this.callee.isPure === true && this.args.every((arg) => arg.isSteady(locals));
  }
}

/** Calls `callee`; the arguments must match its parameter types. */
export function call<T extends ValType>(callee: Fn<T>, ...args: Expr[]): Expr<T> {
  if (args.length !== callee.params.length || args.some((a, i) => a.type !== callee.params[i])) {
    throw new TypeError(`call of ${callee.name}: wrong arguments`);
  }
  return new Call(callee, args);
}

/** `condition ? a : b`, both evaluated. */
export function select<T extends ValType>(condition: I32, a: Expr<T>, b: Expr<T>): Expr<T> {
  if (condition instanceof Const32) return condition.value ? a : b;
  return new Op(a.type, 0x1b, [a, b, condition]);
}

/** An i32 constant. */
export const c32 = (value: number): I32 => new Const32(value);

/** An i64 constant from a number (an integer of at most 53 bits) or a bigint. */
export function c64(value: number | bigint): I64 {
  if (typeof value === 'bigint') {
    return new Const64(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }
  return new Const64(value | 0, Math.floor(value / 0x1_0000_0000) | 0);
}

/** An i64 constant from its 32-bit halves. */
export const c64parts = (lo: number, hi: number): I64 => new Const64(lo, hi);

/** The constant value of an i32 expression, or undefined. */
export function constant32(value: I32): number | undefined {
  return value instanceof Const32 ? value.value : undefined;
}

/** True for constants. */
export const isConstant = (value: Expr): boolean =>
  value instanceof Const32 || value instanceof Const64;

/** True for the i64 constant zero. */
export function isZero64(value: I64): boolean {
  return value instanceof Const64 && value.lo === 0 && value.hi === 0;
}

const unary =
  <R extends ValType, A extends ValType>(type: R, opcode: number) =>
  (a: Expr<A>): Expr<R> =>
    new Op(type, opcode, [a]);
const binary =
  <R extends ValType, A extends ValType>(type: R, opcode: number) =>
  (a: Expr<A>, b: Expr<A>): Expr<R> =>
    new Op(type, opcode, [a, b]);
const load =
  <R extends ValType>(type: R, opcode: number) =>
  (address: I32, offset = 0): Expr<R> =>
    loadFrom(type, opcode, address, offset);
const atomicLoad =
  <R extends ValType>(type: R, number: number, align: number) =>
  (address: I32, offset = 0): Expr<R> =>
    new Access(type, (0xfe << 12) | number, align, [address], offset);
const atomicRmw =
  <R extends 'i32' | 'i64'>(type: R, number: number, align: number) =>
  (address: I32, value: Expr<R>, offset = 0): Expr<R> =>
    new Access(type, (0xfe << 12) | number, align, [address, value], offset);
const atomicCmpxchg =
  <R extends 'i32' | 'i64'>(type: R, number: number, align: number) =>
  (address: I32, expected: Expr<R>, value: Expr<R>, offset = 0): Expr<R> =>
    new Access(type, (0xfe << 12) | number, align, [address, expected, value], offset);

/** A binary i32 operator that folds when both operands are constants. */
const fold32 =
  (opcode: number, compute: (a: number, b: number) => number, rightIdentity?: number) =>
  (a: I32, b: I32): I32 => {
    if (b instanceof Const32) {
      if (a instanceof Const32) return new Const32(compute(a.value, b.value));
      if (b.value === rightIdentity) return a;
    }
    return new Op('i32', opcode, [a, b]);
  };

/** A comparison of i64 for equality, which folds when both operands are constants. */
const equality =
  (opcode: number, whenEqual: number) =>
  (a: I64, b: I64): I32 => {
    if (a instanceof Const64 && b instanceof Const64) {
      return new Const32(a.lo === b.lo && a.hi === b.hi ? whenEqual : 1 - whenEqual);
    }
    return new Op('i32', opcode, [a, b]);
  };

/** a - b of two constants. */
function difference(a: Const64, b: Const64): I64 {
  const borrow = a.lo >>> 0 < b.lo >>> 0 ? 1 : 0;
  return new Const64(a.lo - b.lo, a.hi - b.hi - borrow);
}

const addFolded = fold32(0x6a, (a, b) => a + b, 0);

type RmwName = 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg';
const RMW_BASE: Record<RmwName, number> = {
  add: 0x1e,
  sub: 0x25,
  and: 0x2c,
  or: 0x33,
  xor: 0x3a,
  xchg: 0x41,
};

/** i32 operators. */
export const i32 = {
  const: c32,
  load: load('i32', 0x28),
  load8_s: load('i32', 0x2c),
  load8_u: load('i32', 0x2d),
  load16_s: load('i32', 0x2e),
  load16_u: load('i32', 0x2f),
  eqz: unary<'i32', 'i32'>('i32', 0x45),
  eq: fold32(0x46, (a, b) => (a === b ? 1 : 0)),
  ne: fold32(0x47, (a, b) => (a !== b ? 1 : 0)),
  lt_s: binary<'i32', 'i32'>('i32', 0x48),
  lt_u: binary<'i32', 'i32'>('i32', 0x49),
  gt_s: binary<'i32', 'i32'>('i32', 0x4a),
  gt_u: binary<'i32', 'i32'>('i32', 0x4b),
  le_s: binary<'i32', 'i32'>('i32', 0x4c),
  le_u: binary<'i32', 'i32'>('i32', 0x4d),
  ge_s: binary<'i32', 'i32'>('i32', 0x4e),
  ge_u: binary<'i32', 'i32'>('i32', 0x4f),
  clz: unary<'i32', 'i32'>('i32', 0x67),
  ctz: unary<'i32', 'i32'>('i32', 0x68),
  popcnt: unary<'i32', 'i32'>('i32', 0x69),
  add: (a: I32, b: I32): I32 =>
    a instanceof Place && b instanceof Const32 ? a.at(b.value) : addFolded(a, b),
  sub: fold32(0x6b, (a, b) => a - b, 0),
  mul: fold32(0x6c, (a, b) => Math.imul(a, b), 1),
  div_s: binary<'i32', 'i32'>('i32', 0x6d),
  div_u: binary<'i32', 'i32'>('i32', 0x6e),
  rem_s: binary<'i32', 'i32'>('i32', 0x6f),
  rem_u: binary<'i32', 'i32'>('i32', 0x70),
  and: fold32(0x71, (a, b) => a & b, -1),
  or: fold32(0x72, (a, b) => a | b, 0),
  xor: fold32(0x73, (a, b) => a ^ b, 0),
  shl: fold32(0x74, (a, b) => a << b, 0),
  shr_s: fold32(0x75, (a, b) => a >> b, 0),
  shr_u: fold32(0x76, (a, b) => a >>> b, 0),
  rotl: binary<'i32', 'i32'>('i32', 0x77),
  rotr: binary<'i32', 'i32'>('i32', 0x78),
  wrap: (a: I64): I32 => (a instanceof Const64 ? new Const32(a.lo) : new Op('i32', 0xa7, [a])),
  trunc_sat_f32_s: unary<'i32', 'f32'>('i32', 0xfc000),
  trunc_sat_f32_u: unary<'i32', 'f32'>('i32', 0xfc001),
  trunc_sat_f64_s: unary<'i32', 'f64'>('i32', 0xfc002),
  trunc_sat_f64_u: unary<'i32', 'f64'>('i32', 0xfc003),
  reinterpret: unary<'i32', 'f32'>('i32', 0xbc),
  extend8_s: unary<'i32', 'i32'>('i32', 0xc0),
  extend16_s: unary<'i32', 'i32'>('i32', 0xc1),
  atomicLoad: atomicLoad('i32', 0x10, 2),
  atomicLoad8: atomicLoad('i32', 0x12, 0),
  atomicRmw: (op: RmwName, address: I32, value: I32, offset = 0): I32 =>
    atomicRmw('i32', RMW_BASE[op], 2)(address, value, offset),
  atomicRmw8: (op: RmwName, address: I32, value: I32, offset = 0): I32 =>
    atomicRmw('i32', RMW_BASE[op] + 2, 0)(address, value, offset),
  atomicRmw16: (op: RmwName, address: I32, value: I32, offset = 0): I32 =>
    atomicRmw('i32', RMW_BASE[op] + 3, 1)(address, value, offset),
  atomicCmpxchg: atomicCmpxchg('i32', 0x48, 2),
  atomicCmpxchg8: atomicCmpxchg('i32', 0x4a, 0),
  atomicCmpxchg16: atomicCmpxchg('i32', 0x4b, 1),
};

/** i64 operators. */
export const i64 = {
  const: c64,
  load: load('i64', 0x29),
  load8_s: load('i64', 0x30),
  load8_u: load('i64', 0x31),
  load16_s: load('i64', 0x32),
  load16_u: load('i64', 0x33),
  load32_s: load('i64', 0x34),
  load32_u: load('i64', 0x35),
  eqz: (a: I64): I32 =>
    a instanceof Const64 ? new Const32(isZero64(a) ? 1 : 0) : new Op('i32', 0x50, [a]),
  eq: equality(0x51, 1),
  ne: equality(0x52, 0),
  lt_s: binary<'i32', 'i64'>('i32', 0x53),
  lt_u: binary<'i32', 'i64'>('i32', 0x54),
  gt_s: binary<'i32', 'i64'>('i32', 0x55),
  gt_u: binary<'i32', 'i64'>('i32', 0x56),
  le_s: binary<'i32', 'i64'>('i32', 0x57),
  le_u: binary<'i32', 'i64'>('i32', 0x58),
  ge_s: binary<'i32', 'i64'>('i32', 0x59),
  ge_u: binary<'i32', 'i64'>('i32', 0x5a),
  clz: unary<'i64', 'i64'>('i64', 0x79),
  ctz: unary<'i64', 'i64'>('i64', 0x7a),
  popcnt: unary<'i64', 'i64'>('i64', 0x7b),
  add: (a: I64, b: I64): I64 => (isZero64(b) ? a : isZero64(a) ? b : new Op('i64', 0x7c, [a, b])),
  sub: (a: I64, b: I64): I64 => {
    if (a instanceof Const64 && b instanceof Const64) return difference(a, b);
    return isZero64(b) ? a : new Op('i64', 0x7d, [a, b]);
  },
  mul: binary<'i64', 'i64'>('i64', 0x7e),
  div_s: binary<'i64', 'i64'>('i64', 0x7f),
  div_u: binary<'i64', 'i64'>('i64', 0x80),
  rem_s: binary<'i64', 'i64'>('i64', 0x81),
  rem_u: (a: I64, b: I64): I64 => {
    const isSmall = a instanceof Const64 && b instanceof Const64 && a.hi === 0 && b.hi === 0;
    if (isSmall && b.lo !== 0) return new Const64((a.lo >>> 0) % (b.lo >>> 0), 0);
    return new Op('i64', 0x82, [a, b]);
  },
  and: (a: I64, b: I64): I64 =>
    a instanceof Const64 && b instanceof Const64
      ? new Const64(a.lo & b.lo, a.hi & b.hi)
      : new Op('i64', 0x83, [a, b]),
  or: binary<'i64', 'i64'>('i64', 0x84),
  xor: binary<'i64', 'i64'>('i64', 0x85),
  shl: (a: I64, b: I64): I64 => (isZero64(b) ? a : new Op('i64', 0x86, [a, b])),
  shr_s: (a: I64, b: I64): I64 => (isZero64(b) ? a : new Op('i64', 0x87, [a, b])),
  shr_u: (a: I64, b: I64): I64 => (isZero64(b) ? a : new Op('i64', 0x88, [a, b])),
  rotl: binary<'i64', 'i64'>('i64', 0x89),
  rotr: binary<'i64', 'i64'>('i64', 0x8a),
  extend_s: (a: I32): I64 =>
    a instanceof Const32 ? new Const64(a.value, a.value >> 31) : new Op('i64', 0xac, [a]),
  extend_u: (a: I32): I64 =>
    a instanceof Const32 ? new Const64(a.value, 0) : new Op('i64', 0xad, [a]),
  trunc_sat_f32_s: unary<'i64', 'f32'>('i64', 0xfc004),
  trunc_sat_f32_u: unary<'i64', 'f32'>('i64', 0xfc005),
  trunc_sat_f64_s: unary<'i64', 'f64'>('i64', 0xfc006),
  trunc_sat_f64_u: unary<'i64', 'f64'>('i64', 0xfc007),
  reinterpret: unary<'i64', 'f64'>('i64', 0xbd),
  extend8_s: unary<'i64', 'i64'>('i64', 0xc2),
  extend16_s: unary<'i64', 'i64'>('i64', 0xc3),
  extend32_s: unary<'i64', 'i64'>('i64', 0xc4),
  atomicLoad: atomicLoad('i64', 0x11, 3),
  atomicRmw: (op: RmwName, address: I32, value: I64, offset = 0): I64 =>
    atomicRmw('i64', RMW_BASE[op] + 1, 3)(address, value, offset),
  atomicRmw8: (op: RmwName, address: I32, value: I64, offset = 0): I64 =>
    atomicRmw('i64', RMW_BASE[op] + 4, 0)(address, value, offset),
  atomicRmw16: (op: RmwName, address: I32, value: I64, offset = 0): I64 =>
    atomicRmw('i64', RMW_BASE[op] + 5, 1)(address, value, offset),
  atomicRmw32: (op: RmwName, address: I32, value: I64, offset = 0): I64 =>
    atomicRmw('i64', RMW_BASE[op] + 6, 2)(address, value, offset),
  atomicCmpxchg: atomicCmpxchg('i64', 0x49, 3),
  atomicCmpxchg8: atomicCmpxchg('i64', 0x4c, 0),
  atomicCmpxchg16: atomicCmpxchg('i64', 0x4d, 1),
  atomicCmpxchg32: atomicCmpxchg('i64', 0x4e, 2),
};

/** f32 operators. */
export const f32 = {
  const: (value: number): F32 => new ConstFloat('f32', value),
  load: load('f32', 0x2a),
  eq: binary<'i32', 'f32'>('i32', 0x5b),
  ne: binary<'i32', 'f32'>('i32', 0x5c),
  lt: binary<'i32', 'f32'>('i32', 0x5d),
  gt: binary<'i32', 'f32'>('i32', 0x5e),
  le: binary<'i32', 'f32'>('i32', 0x5f),
  ge: binary<'i32', 'f32'>('i32', 0x60),
  abs: unary<'f32', 'f32'>('f32', 0x8b),
  neg: unary<'f32', 'f32'>('f32', 0x8c),
  ceil: unary<'f32', 'f32'>('f32', 0x8d),
  floor: unary<'f32', 'f32'>('f32', 0x8e),
  trunc: unary<'f32', 'f32'>('f32', 0x8f),
  nearest: unary<'f32', 'f32'>('f32', 0x90),
  sqrt: unary<'f32', 'f32'>('f32', 0x91),
  add: binary<'f32', 'f32'>('f32', 0x92),
  sub: binary<'f32', 'f32'>('f32', 0x93),
  mul: binary<'f32', 'f32'>('f32', 0x94),
  div: binary<'f32', 'f32'>('f32', 0x95),
  convert_i32_s: unary<'f32', 'i32'>('f32', 0xb2),
  convert_i32_u: unary<'f32', 'i32'>('f32', 0xb3),
  convert_i64_s: unary<'f32', 'i64'>('f32', 0xb4),
  convert_i64_u: unary<'f32', 'i64'>('f32', 0xb5),
  demote: unary<'f32', 'f64'>('f32', 0xb6),
  reinterpret: unary<'f32', 'i32'>('f32', 0xbe),
};

/** f64 operators. */
export const f64 = {
  const: (value: number): F64 => new ConstFloat('f64', value),
  load: load('f64', 0x2b),
  eq: binary<'i32', 'f64'>('i32', 0x61),
  ne: binary<'i32', 'f64'>('i32', 0x62),
  lt: binary<'i32', 'f64'>('i32', 0x63),
  gt: binary<'i32', 'f64'>('i32', 0x64),
  le: binary<'i32', 'f64'>('i32', 0x65),
  ge: binary<'i32', 'f64'>('i32', 0x66),
  abs: unary<'f64', 'f64'>('f64', 0x99),
  neg: unary<'f64', 'f64'>('f64', 0x9a),
  ceil: unary<'f64', 'f64'>('f64', 0x9b),
  floor: unary<'f64', 'f64'>('f64', 0x9c),
  trunc: unary<'f64', 'f64'>('f64', 0x9d),
  nearest: unary<'f64', 'f64'>('f64', 0x9e),
  sqrt: unary<'f64', 'f64'>('f64', 0x9f),
  add: binary<'f64', 'f64'>('f64', 0xa0),
  sub: binary<'f64', 'f64'>('f64', 0xa1),
  mul: binary<'f64', 'f64'>('f64', 0xa2),
  div: binary<'f64', 'f64'>('f64', 0xa3),
  convert_i32_s: unary<'f64', 'i32'>('f64', 0xb7),
  convert_i32_u: unary<'f64', 'i32'>('f64', 0xb8),
  convert_i64_s: unary<'f64', 'i64'>('f64', 0xb9),
  convert_i64_u: unary<'f64', 'i64'>('f64', 0xba),
  promote: unary<'f64', 'f32'>('f64', 0xbb),
  reinterpret: unary<'f64', 'i64'>('f64', 0xbf),
};
