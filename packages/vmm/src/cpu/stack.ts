// The stack: pushes and pops in every stack width. In 64-bit code RSP is 64 bits and SS is flat;
// elsewhere the width is that of SS (S.stackSize) and the limit of SS is checked.
//
// Nothing changes RSP until the caller commits, so an instruction can do all of its accesses first.

import { c32, c64, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { Context, Size } from './context.ts';
import { isCanonical } from './control-bits.ts';
import { RSP, S, SS, VECTOR } from './state.ts';

/** A stack pointer on its way: pushes and pops move it, {@link commit} makes it RSP. */
export class Stack {
  private readonly x: Context;
  private readonly pointer: Local<'i64'>;

  /** Starts at RSP, or at `start`. */
  constructor(x: Context, start: I64 = x.gpr(RSP)) {
    this.x = x;
    this.pointer = x.f.let(start);
  }

  /** Where the pointer is now. */
  get top(): I64 {
    return this.pointer;
  }

  private mask(): I64 {
    const { wide: isWide, stackBytes } = this.x;
    if (isWide) return c64(-1);
    if (stackBytes !== undefined) return c64(2 ** (8 * stackBytes) - 1);
    const wide = i32.eq(i32.load(this.x.cpu, S.stackSize), c32(4));
    // 0xffff, or 0xffffffff for a 32-bit stack.
    return i64.or(c64(0xffff), i64.mul(i64.extend_u(wide), c64(0xffff0000)));
  }

  private address(bytes: number, write: boolean): I64 {
    const { x } = this;
    if (x.wide) {
      // An instruction with a memory operand besides has its other faults charged to that.
      if (x.variant.addressing !== 'register') {
        x.raise(VECTOR.SS, { code: c32(0), when: i32.eqz(isCanonical(this.pointer)) });
      }
      return this.pointer;
    }
    return x.segmentAddress(SS, x.f.let(i64.and(this.pointer, this.mask())), bytes, write);
  }

  /** Moves the pointer by `bytes`, up or (negative) down. */
  move(bytes: I64): void {
    this.x.f.set(this.pointer, i64.add(this.pointer, bytes));
  }

  /** Writes `value` below the pointer. May fault. */
  push(size: Size, value: I64): void {
    const kept = this.x.f.let(value);
    this.move(c64(-size));
    this.x.store(size, this.address(size, true), kept);
  }

  /** Reads what is at the pointer and moves past it. May fault. */
  pop(size: Size): I64 {
    const value = this.x.load(size, this.address(size, false));
    this.move(c64(size));
    return value;
  }

  /** Writes a selector below the pointer, in a place of `size` bytes that it does not fill. */
  pushSelector(size: Size, value: I64): void {
    this.move(c64(-size));
    this.x.store(2, this.address(size, true), value);
  }

  /** Reads a selector at the pointer, which is all that is read, and moves past `size` bytes. */
  popSelector(size: Size): I64 {
    const value = this.x.load(2, this.address(size, false));
    this.move(c64(size));
    return value;
  }

  /** Reads at the pointer plus `offset` without moving. */
  peek(size: Size, offset: number): I64 {
    const { x } = this;
    const at = x.f.let(i64.add(this.pointer, c64(offset)));
    if (x.wide) return x.load(size, at);
    return x.load(size, x.segmentAddress(SS, x.f.let(i64.and(at, this.mask())), size, false));
  }

  /** Faults if `size` bytes at the pointer could not be written. */
  probe(size: Size): void {
    const { x } = this;
    x.attempt(x.runtime.memory.probeWrite, x.cpu, this.address(size, true), c32(size));
  }

  /** RSP = the pointer. */
  commit(): void {
    const { x } = this;
    if (x.stackBytes !== undefined) {
      x.setGpr(RSP, x.stackBytes, this.pointer);
      return;
    }
    x.f.if(
      i32.eq(i32.load(x.cpu, S.stackSize), c32(4)),
      () => x.setGpr(RSP, 4, this.pointer),
      () => x.setGpr(RSP, 2, this.pointer),
    );
  }
}
