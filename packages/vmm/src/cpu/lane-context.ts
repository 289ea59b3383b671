// The semantics of an SSE instruction, run for one 128-bit half of its VEX form (SDM vol. 1, 14.1
// and 14.2): the context that those semantics are given, on top of that of the VEX instruction.
//
// The destination is a local, which begins as the first source when the VEX form has one more
// operand than the SSE form, and is written to the register when all halves are done. So nothing is
// written before the last fault, and it does not matter which registers are the same.

import type { Row } from '../isa/row.ts';
import {
  c32,
  c64,
  constant32,
  type Expr,
  type Fn,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  type V128,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { v128 } from '../wasm/simd.ts';
import { attemptDeferred } from './avx-exceptions.ts';
import type { Context, Size, Variant } from './context.ts';
import type { LazyFlags } from './lazy-flags.ts';
import type { Runtime } from './runtime.ts';
import { S } from './state.ts';
import { LanePlace } from './vector-place.ts';

/** What a half works on. */
export interface Lane {
  /** The SSE row. */
  readonly row: Row;
  /** Sources that are neither the registers nor the memory of the VEX form, by SSE operand. */
  readonly sources: ReadonlyMap<number, Local<'v128'>>;
  /** What the destination holds before; undefined when there is none. */
  readonly destination: V128 | undefined;
  /** The immediate is shifted right by this. */
  readonly immediateShift: number;
  /** Set when an out-of-line function ran whose exceptions wait for the other half. */
  readonly deferred: Local<'i32'> | undefined;
}

/** Semantics that choose a lane of the destination by the immediate, which must be known then. */
const CHOOSES_LANE = /^(pinsr|insertps)/;

/** The context of one half. Control flow is not for vector semantics: it is the outer context's. */
export class LaneContext implements Context {
  readonly f: FunctionBuilder;
  readonly cpu: I32;
  readonly runtime: Runtime;
  readonly flags: LazyFlags;
  readonly variant: Variant;
  readonly row: Row;
  readonly opsize: Size;
  readonly wide: boolean;
  readonly stackBytes: Size | undefined;
  readonly hasPlainStrings = false;
  private readonly outer: Context;
  private readonly lane: Lane;
  /** True when the semantics have called something of which the exceptions wait. */
  hasDeferred = false;
  private readonly place: I32 | undefined;
  private readonly result: Local<'v128'> | undefined;

  constructor(outer: Context, lane: Lane) {
    this.f = outer.f;
    this.cpu = outer.cpu;
    this.runtime = outer.runtime;
    this.flags = outer.flags;
    this.variant = outer.variant;
    this.row = lane.row;
    this.opsize = outer.opsize;
    this.wide = outer.wide;
    this.stackBytes = outer.stackBytes;
    this.outer = outer;
    this.lane = lane;
    if (lane.destination === undefined) return;
    if (CHOOSES_LANE.test(lane.row.mnemonic) && this.isImmediateUnknown()) {
      this.place = i32.add(this.cpu, c32(S.lanes));
      this.f.storeV128(this.cpu, lane.destination, S.lanes);
    } else {
      this.result = this.f.let(lane.destination);
      this.place = new LanePlace(this.f, this.result);
    }
  }

  private isImmediateUnknown(): boolean {
    return constant32(i32.wrap(this.outer.read(this.outer.row.operands.length - 1))) === undefined;
  }

  /** What the semantics made of the destination. */
  get value(): V128 {
    return this.result ?? v128.load(this.cpu, S.lanes);
  }

  /** The VEX form's operand for operand `i` of the SSE form. */
  private outerOperand(i: number): number {
    const added = this.outer.row.operands.length - this.row.operands.length;
    return i === 0 ? 0 : i + added;
  }

  sizeOf(i: number): Size {
    return this.outer.sizeOf(this.outerOperand(i));
  }

  inMemory(i: number): boolean {
    if (this.lane.sources.has(i)) return false;
    return this.outer.inMemory(this.outerOperand(i));
  }

  read(i: number): I64 {
    const value = this.outer.read(this.outerOperand(i));
    const { immediateShift } = this.lane;
    if (immediateShift === 0 || this.row.operands[i].place !== 'imm') return value;
    return i64.shr_u(value, c64(immediateShift));
  }

  write(i: number, value: I64): void {
    this.outer.write(this.outerOperand(i), value);
  }

  xmmAddress(i: number): I32 {
    if (i === 0 && this.place) return this.place;
    const source = this.lane.sources.get(i);
    if (source) return new LanePlace(this.f, source);
    return this.outer.xmmAddress(this.outerOperand(i));
  }

  attempt(fn: Fn<'i32'>, ...args: Expr[]): void {
    const { cpu } = this;
    const { deferred } = this.lane;
    const places = args.filter((arg) => arg instanceof LanePlace);
    const passed = args.map((arg) => (arg instanceof LanePlace ? arg.spill(cpu) : arg));
    if (deferred) {
      this.hasDeferred = true;
      attemptDeferred(this.outer, deferred, fn, ...passed);
    } else {
      this.outer.attempt(fn, ...passed);
    }
    for (const place of places) place.reload(cpu);
  }

  faultIf(failed: I32): void {
    this.outer.faultIf(failed);
  }

  raise(vector: number, options?: { code?: I32; when?: I32 }): void {
    this.outer.raise(vector, options);
  }

  roundsAsHost(): I32 {
    return this.outer.roundsAsHost();
  }

  gpr(n: number): I64 {
    return this.outer.gpr(n);
  }

  gprLow(n: number, size: Size): I64 {
    return this.outer.gprLow(n, size);
  }

  setGpr(n: number, size: Size, value: I64): void {
    this.outer.setGpr(n, size, value);
  }

  addressMask(): I64 {
    return this.outer.addressMask();
  }

  linearAddress(bytes: number, write: boolean): I64 {
    return this.outer.linearAddress(bytes, write);
  }

  sourceAddress(offset: I64, bytes: number, write: boolean): I64 {
    return this.outer.sourceAddress(offset, bytes, write);
  }

  load(size: Size, linear: I64): I64 {
    return this.outer.load(size, linear);
  }

  store(size: Size, linear: I64, value: I64): void {
    this.outer.store(size, linear, value);
  }

  readable(linear: I64, bytes: number): I32 {
    return this.outer.readable(linear, bytes);
  }

  load128(linear: I64): V128 {
    return this.outer.load128(linear);
  }

  store128(linear: I64, value: V128): void {
    this.outer.store128(linear, value);
  }

  // What the semantics of vector instructions have no use for.

  private never(): never {
    throw new TypeError(`${this.row.name} asks its half for what a vector does not have`);
  }

  ymmAddress = (): never => this.never();
  mmAddress = (): never => this.never();
  modify = (): never => this.never();
  modifyAt = (): never => this.never();
  imm2 = (): never => this.never();
  registerNumber = (): never => this.never();
  effectiveAddress = (): never => this.never();
  indexAddress = (): never => this.never();
  elementAddress = (): never => this.never();
  segmentAddress = (): never => this.never();
  setAddressRegister = (): never => this.never();
  whenMapped = (): never => this.never();
  storeVectors = (): never => this.never();
  rip = (): never => this.never();
  nextRip = (): never => this.never();
  branch = (): never => this.never();
  checkBranch = (): never => this.never();
  checkTarget = (): never => this.never();
  jump = (): never => this.never();
  returnTo = (): never => this.never();
  resume = (): never => this.never();
  resync = (): never => this.never();
  goOn = (): never => this.never();
  resyncNext = (): never => this.never();
  hold = (): never => this.never();
  serialize = (): never => this.never();
  exitAfter = (): never => this.never();
  exitBefore = (): never => this.never();
}
