// The statements of one WebAssembly function. Each call appends code at once; control structures
// take their bodies as functions, and labels count their own depth.

import { ByteWriter } from './bytes.ts';
import {
  constant32,
  type Expr,
  emitOpcode,
  type F32,
  type F64,
  type Fn,
  type I32,
  type I64,
  isConstant,
  Local,
  Place,
  type V128,
  VALTYPE_CODE,
  type ValType,
} from './expr.ts';

/** The target of a branch: a block's end or a loop's start. */
export interface Label {
  readonly depth: number;
}

/** A table that indirect calls go through. */
export interface Table {
  readonly index: number;
}

type Body = () => void;

/** The constant zero of each type. */
const ZERO: Record<ValType, readonly number[]> = {
  i32: [0x41, 0],
  i64: [0x42, 0],
  f32: [0x43, 0, 0, 0, 0],
  f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  v128: [0xfd, 0x0c, ...Array<number>(16).fill(0)],
};

/** Builds the body of one function. */
export class FunctionBuilder {
  code: ByteWriter = new ByteWriter();
  readonly params: readonly Local[];
  private readonly locals: ValType[] = [];
  private depth = 0;
  /** Code before the current piece, and what is to be put between; see {@link defer}. */
  private readonly pieces: (ByteWriter | Body)[] = [];
  /** Locals for the parts of the function, and those of them that are free. */
  private readonly temporaries: Local[] = [];
  private readonly free: Record<ValType, Local[]> = {
    i32: [],
    i64: [],
    f32: [],
    f64: [],
    v128: [],
  };
  private readonly recycles: boolean;

  /**
   * `recycles`: the function is long and made of parts that share no temporaries. Then a new local
   * is set to zero where it is made (the part may run many times), and {@link recycle} ends a part.
   */
  constructor(params: readonly ValType[], recycles = false) {
    this.params = params.map((type, index) => new Local(type, index));
    this.recycles = recycles;
  }

  /**
   * Ends a part: its temporaries may serve the next one, except those in `kept`. Locals of
   * {@link keep} are not touched.
   */
  recycle(kept: readonly Local[] = []): void {
    for (const list of Object.values(this.free)) list.length = 0;
    for (const local of this.temporaries) {
      if (!kept.includes(local)) this.free[local.type].push(local);
    }
  }

  /** How many control structures enclose the next statement. */
  get nesting(): number {
    return this.depth;
  }

  /** Parameter `index`, which must have type `type`. */
  param<T extends ValType>(index: number, type: T): Local<T> {
    const local = this.params[index];
    if (local?.type !== type) throw new TypeError(`parameter ${index} is not ${type}`);
    return local as Local<T>;
  }

  /** A new local that is never recycled; zero at function entry. */
  keep<T extends ValType>(type: T): Local<T> {
    this.locals.push(type);
    return new Local(type, this.params.length + this.locals.length - 1);
  }

  private temporary<T extends ValType>(type: T): Local<T> {
    if (!this.recycles) return this.keep(type);
    const free = this.free[type].pop() as Local<T> | undefined;
    if (free) return free;
    const local = this.keep(type);
    this.temporaries.push(local);
    return local;
  }

  /** A new local, zero at function entry (or here, where locals are recycled). */
  local<T extends ValType>(type: T): Local<T> {
    const local = this.temporary(type);
    if (this.recycles) {
      this.code.bytes(ZERO[type]);
      this.code.u8(0x21);
      this.code.uleb(local.index);
    }
    return local;
  }

  /** A new local holding `value` as it is now. */
  let<T extends ValType>(value: Expr<T>): Local<T> {
    const local = this.temporary(value.type);
    this.set(local, value);
    return local;
  }

  /** A new local for a value that every path sets before it is read. */
  unset<T extends ValType>(type: T): Local<T> {
    return this.temporary(type);
  }

  /** `value`, to be used more than once while nothing it is made of changes. */
  hold<T extends ValType>(value: Expr<T>): Expr<T> {
    return value instanceof Local || isConstant(value) ? value : this.let(value);
  }

  /** `value` as it is now, to be used more than once: a new local, or the constant that it is. */
  fix<T extends ValType>(value: Expr<T>): Expr<T> {
    return isConstant(value) ? value : this.let(value);
  }

  /** Sets several locals, all of them to values as they are now. */
  setAll(pairs: readonly (readonly [Local, Expr])[]): void {
    for (const [, value] of pairs) value.emit(this.code);
    for (const [local] of [...pairs].reverse()) {
      this.code.u8(0x21);
      this.code.uleb(local.index);
    }
  }

  /** local = value */
  set<T extends ValType>(local: Local<T>, value: Expr<T>): void {
    value.emit(this.code);
    this.code.u8(0x21);
    this.code.uleb(local.index);
  }

  /** Evaluates `value` for its effects. */
  drop(value: Expr): void {
    value.emit(this.code);
    this.code.u8(0x1a);
  }

  /** Calls a function that returns nothing. */
  call(callee: Fn<'void'>, ...args: Expr[]): void {
    this.arguments(callee.params, args, callee.name);
    this.code.u8(0x10);
    this.code.uleb(callee.index);
  }

  /** Leaves the function through a tail call. */
  returnCall(callee: Fn, ...args: Expr[]): void {
    this.arguments(callee.params, args, callee.name);
    this.code.u8(0x12);
    this.code.uleb(callee.index);
  }

  /** Leaves the function through a tail call of `table[index]`, a function of type `type`. */
  returnCallIndirect(table: Table, type: number, index: I32, ...args: Expr[]): void {
    for (const arg of args) arg.emit(this.code);
    index.emit(this.code);
    this.code.u8(0x13);
    this.code.uleb(type);
    this.code.uleb(table.index);
  }

  private arguments(params: readonly ValType[], args: readonly Expr[], name: string): void {
    if (args.length !== params.length || args.some((arg, i) => arg.type !== params[i])) {
      throw new TypeError(`call of ${name}: wrong arguments`);
    }
    for (const arg of args) arg.emit(this.code);
  }

  /** return value */
  return(value?: Expr): void {
    value?.emit(this.code);
    this.code.u8(0x0f);
  }

  /** A trap: for what cannot be reached. */
  unreachable(): void {
    this.code.u8(0x00);
  }

  /** if (condition) then else otherwise */
  if(condition: I32, then: Body, otherwise?: Body): void {
    const known = constant32(condition);
    if (known !== undefined) {
      if (known !== 0) then();
      else otherwise?.();
      return;
    }
    condition.emit(this.code);
    this.code.u8(0x04);
    this.code.u8(0x40);
    this.depth++;
    then();
    if (otherwise) {
      this.code.u8(0x05);
      otherwise();
    }
    this.depth--;
    this.code.u8(0x0b);
  }

  /** The value of one of two branches, only one of which is evaluated. */
  choose<T extends ValType>(
    type: T,
    condition: I32,
    then: () => Expr<T>,
    otherwise: () => Expr<T>,
  ): Local<T> {
    const result = this.local(type);
    this.if(
      condition,
      () => this.set(result, then()),
      () => this.set(result, otherwise()),
    );
    return result;
  }

  /** A block; branching to its label leaves it. */
  block(body: (label: Label) => void): void {
    this.structure(0x02, body);
  }

  /** A loop; branching to its label starts the next round, falling out of the body ends it. */
  loop(body: (label: Label) => void): void {
    this.structure(0x03, body);
  }

  private structure(opcode: number, body: (label: Label) => void): void {
    this.code.u8(opcode);
    this.code.u8(0x40);
    this.depth++;
    body({ depth: this.depth });
    this.depth--;
    this.code.u8(0x0b);
  }

  /** Branches to `label`, always or if `condition` is not zero. */
  br(label: Label, condition?: I32): void {
    condition?.emit(this.code);
    this.code.u8(condition ? 0x0d : 0x0c);
    this.code.uleb(this.depth - label.depth);
  }

  /** Branches to `labels[index]`, or to `otherwise` past the end. */
  brTable(index: I32, labels: readonly Label[], otherwise: Label): void {
    index.emit(this.code);
    this.code.u8(0x0e);
    this.code.uleb(labels.length);
    for (const label of labels) this.code.uleb(this.depth - label.depth);
    this.code.uleb(this.depth - otherwise.depth);
  }

  /**
   * Runs `cases[index]`, or `otherwise` past their end. The cases do not fall through.
   */
  switch(index: I32, cases: readonly Body[], otherwise: Body): void {
    this.block((end) => {
      const nest = (remaining: number, labels: Label[]): void => {
        if (remaining === 0) {
          this.block((fallback) => {
            this.brTable(index, labels, fallback);
          });
          otherwise();
          this.br(end);
          return;
        }
        const position = remaining - 1;
        this.block((label) => {
          labels[position] = label;
          nest(position, labels);
        });
        cases[position]();
        this.br(end);
      };
      nest(cases.length, []);
    });
  }

  /** A store opcode with its operands. */
  store(opcode: number, align: number, address: I32, value: Expr, offset: number): void {
    if (address instanceof Place) {
      address.store(opcode, value, offset);
      return;
    }
    address.emit(this.code);
    value.emit(this.code);
    emitOpcode(this.code, opcode);
    this.code.uleb(align);
    this.code.uleb(offset);
  }

  store8(address: I32, value: I32, offset = 0): void {
    this.store(0x3a, 0, address, value, offset);
  }
  store16(address: I32, value: I32, offset = 0): void {
    this.store(0x3b, 0, address, value, offset);
  }
  store32(address: I32, value: I32, offset = 0): void {
    this.store(0x36, 0, address, value, offset);
  }
  store64(address: I32, value: I64, offset = 0): void {
    this.store(0x37, 0, address, value, offset);
  }
  storeF32(address: I32, value: F32, offset = 0): void {
    this.store(0x38, 0, address, value, offset);
  }
  storeF64(address: I32, value: F64, offset = 0): void {
    this.store(0x39, 0, address, value, offset);
  }
  storeV128(address: I32, value: V128, offset = 0): void {
    this.store((0xfd << 12) | 0x0b, 0, address, value, offset);
  }
  /** The low 8, 16 or 32 bits of an i64 (bytes: 1, 2, 4), or all of it (8). */
  storeLow(bytes: number, address: I32, value: I64, offset = 0): void {
    const opcode = bytes === 1 ? 0x3c : bytes === 2 ? 0x3d : bytes === 4 ? 0x3e : 0x37;
    this.store(opcode, 0, address, value, offset);
  }
  /** A sequentially consistent 32-bit store; `address` must be aligned. */
  atomicStore32(address: I32, value: I32, offset = 0): void {
    this.store((0xfe << 12) | 0x17, 2, address, value, offset);
  }

  /** memory.copy: `length` bytes, the ranges may overlap. */
  memoryCopy(destination: I32, source: I32, length: I32): void {
    for (const arg of [destination, source, length]) arg.emit(this.code);
    this.code.bytes([0xfc, 0x0a, 0x00, 0x00]);
  }

  /** memory.fill: `length` bytes of `value`. */
  memoryFill(destination: I32, value: I32, length: I32): void {
    for (const arg of [destination, value, length]) arg.emit(this.code);
    this.code.bytes([0xfc, 0x0b, 0x00]);
  }

  /**
   * Leaves a gap for statements that are known only when the rest of the function is: `build` runs
   * when it is complete. They must not leave a control structure open.
   */
  defer(build: Body): void {
    this.pieces.push(this.code, build);
    this.code = new ByteWriter();
  }

  /** Opens `count` blocks that {@link endBlock} ends, unseen by labels inside: see {@link outer}. */
  openBlocks(count: number): void {
    for (let i = 0; i < count; i++) this.code.bytes([0x02, 0x40]);
  }

  /** Ends the innermost of {@link openBlocks}. */
  endBlock(): void {
    this.code.u8(0x0b);
  }

  /** The label of the block that is number `index` from the inside among {@link openBlocks}. */
  outer(index: number): Label {
    return { depth: -index };
  }

  /** All of the code, with the gaps filled. */
  private complete(): ByteWriter {
    const whole = new ByteWriter(this.code.length + 1024);
    const last = this.code;
    for (const piece of this.pieces) {
      if (piece instanceof ByteWriter) {
        whole.append(piece);
      } else {
        this.code = new ByteWriter();
        piece();
        whole.append(this.code);
      }
    }
    whole.append(last);
    return whole;
  }

  /** The function body as the code section wants it: locals, code, end. */
  body(): ByteWriter {
    const code = this.pieces.length > 0 ? this.complete() : this.code;
    const out = new ByteWriter(code.length + 32);
    const runs: [number, ValType][] = [];
    for (const type of this.locals) {
      const last = runs[runs.length - 1];
      if (last?.[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    out.uleb(runs.length);
    for (const [count, type] of runs) {
      out.uleb(count);
      out.u8(VALTYPE_CODE[type]);
    }
    out.append(code);
    out.u8(0x0b);
    return out;
  }
}
