// What a semantic function may ask for. Semantics are written once against `Context`; the
// interpreter's context takes operands from a record, compiled code's from constants and locals.
//
// Rules for semantic functions:
//  - Values are i64. What `read` returns is zero-extended from the operand's size; what `write`
//    takes may have anything above that size. Writing 4 bytes of a general register clears the
//    upper half, writing 1 or 2 keeps the rest.
//  - An expression is evaluated where it is used, each time it is used: `x.f.let(...)` keeps a value.
//    In particular, read every source before writing a destination.
//  - Faults are precise: nothing may be written (registers, flags, memory) before the last thing
//    that can fault has been done. `load`, `store`, `read`, `write` and `modify` of memory operands,
//    and `raise`, leave the function when they fault.
//  - A semantic function ends with the last statement it emits; the context then goes on to the next
//    instruction, unless the function has ended with one of `branch`, `jump`, `exit`.

import type { Row } from '../isa/row.ts';
import type { Expr, Fn, I32, I64, V128 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { LazyFlags } from './lazy-flags.ts';
import type { Runtime } from './runtime.ts';

/** Operand or access size in bytes. */
export type Size = 1 | 2 | 4 | 8;

/** What differs between two handlers of one row. */
export interface Variant {
  readonly row: Row;
  /** Effective operand size in bytes (1 for byte rows). */
  readonly opsize: Size;
  /** How the memory operand is addressed; `register` when there is none. */
  readonly addressing: Addressing;
  /** LOCK prefix. */
  readonly lock: boolean;
  /** Repeat prefix: 0, 0xf2, 0xf3. */
  readonly rep: 0 | 0xf2 | 0xf3;
  /** Code size in bytes, when it matters: 8 for 64-bit code, 4 for 32- and 16-bit code. */
  readonly wide: boolean;
}

/**
 * - `register`: no memory operand.
 * - `base`: 64-bit code, base + displacement (the base may be RIP or nothing).
 * - `flat`: 64-bit code, base + index × scale + displacement + base of FS or GS.
 * - `checked`: anything else: address-size prefix, or 16- and 32-bit code with segment limits.
 */
export type Addressing = 'register' | 'base' | 'flat' | 'checked';

/** A memory operand read and written in one go. */
export interface Modified {
  readonly old: I64;
  readonly result: I64;
}

/** The view of one instruction that its semantics are written against. */
export interface Context {
  readonly f: FunctionBuilder;
  /** Base of the CPU state: `i32.load(x.cpu, S.cpl)`. */
  readonly cpu: I32;
  readonly runtime: Runtime;
  readonly flags: LazyFlags;
  readonly variant: Variant;
  readonly row: Row;
  /** Effective operand size in bytes. */
  readonly opsize: Size;
  /** True for 64-bit code. */
  readonly wide: boolean;
  /** Bytes of the stack pointer, if that is known; else S.stackSize has it. */
  readonly stackBytes: Size | undefined;

  /** Size in bytes of explicit operand `i` (0 = destination), for integer operands. */
  sizeOf(i: number): Size;
  /** True when operand `i` is in memory in this variant. */
  inMemory(i: number): boolean;
  /** Operand `i`: general register, memory, immediate, or fixed register. */
  read(i: number): I64;
  /** Writes general register or memory operand `i`. */
  write(i: number, value: I64): void;
  /** Replaces operand `i` by what `compute` makes of it; atomic under LOCK. */
  modify(i: number, compute: (old: I64) => I64, options?: { atomic: boolean }): Modified;
  /** The same for memory at a linear address. */
  modifyAt(size: Size, linear: I64, compute: (old: I64) => I64, atomic: boolean): Modified;
  /** The second immediate (ENTER, far pointers). */
  imm2(): I32;

  /** General register by number, all 64 bits. */
  gpr(n: number): I64;
  /** Low `size` bytes of a general register by number, zero-extended. */
  gprLow(n: number, size: Size): I64;
  /** Writes the low `size` bytes of a general register (4 clears the upper half). */
  setGpr(n: number, size: Size, value: I64): void;

  /** State address of XMM operand `i` (register form): 16 bytes in linear memory. */
  xmmAddress(i: number): I32;
  /** State address of the upper half of YMM operand `i`, whose lower half is at its xmmAddress. */
  ymmAddress(i: number): I32;
  /** State address of the significand of MMX operand `i` (8 bytes; the tag is the caller's). */
  mmAddress(i: number): I32;
  /** Register number of operand `i` when it is sreg, creg, dreg or sti: an i32, 0..15. */
  registerNumber(i: number): I32;

  /** Effective address of the memory operand, without segment (LEA): zero-extended. */
  effectiveAddress(): I64;
  /** State address of the lower half of the vector register that is the index (gathers). */
  indexAddress(): I32;
  /** Effective address of element `index`, sign-extended, of such a memory operand. */
  elementAddress(index: I64): I64;
  /** Linear address of the memory operand for an access of `bytes`; checks segment limits. */
  linearAddress(bytes: number, write: boolean, delta?: I64): I64;
  /** Linear address of `offset` in a segment (0..5) that is not the operand's; checked outside 64-bit code. */
  segmentAddress(segment: number, offset: I64, bytes: number, write: boolean): I64;
  /** The same in the segment of the record: of the operand, or of the string's source. */
  sourceAddress(offset: I64, bytes: number, write: boolean): I64;
  /**
   * True when what string instructions access lies where their registers say, as far as a page
   * goes: nothing but paging is in the way.
   */
  readonly hasPlainStrings: boolean;
  /** Mask of the address size: 16, 32 or 64 ones. */
  addressMask(): I64;
  /** Writes the part of a general register that the address size covers. */
  setAddressRegister(n: number, value: I64): void;
  /** Memory at a linear address with the current privilege, zero-extended. */
  load(size: Size, linear: I64): I64;
  store(size: Size, linear: I64, value: I64): void;
  /**
   * Where 8, 10, 16 or more `bytes` (at most 64) at `linear` can be read in linear memory: the RAM itself, or
   * a copy when they cross pages. Valid until the next access.
   */
  readable(linear: I64, bytes: number): I32;
  load128(linear: I64): V128;
  store128(linear: I64, value: V128): void;
  /** Stores one or two vectors, lowest first: all of them or, on a fault, none. */
  storeVectors(linear: I64, values: readonly V128[]): void;

  /**
   * Emits `hit` for `bytes` bytes at `linear`, given their place in linear memory, if the TLB has
   * them for reading or writing; else `miss`.
   */
  whenMapped(
    linear: I64,
    bytes: number,
    write: boolean,
    hit: (host: I32) => void,
    miss: () => void,
  ): void;

  /** 1 when WebAssembly's arithmetic is SSE's: see roundsAsHost of sse-exceptions.ts. */
  roundsAsHost(): I32;

  /** Raises an exception; the function is left. Conditional when `when` is given. */
  raise(vector: number, options?: { code?: I32; when?: I32 }): void;
  /** Goes to $fault when `failed` is not zero: after a runtime function has set the fault. */
  faultIf(failed: I32): void;
  /** Calls a runtime function that returns non-zero when it has raised a fault. */
  attempt(fn: Fn<'i32'>, ...args: Expr[]): void;

  /** RIP of this instruction, and of the next one. */
  rip(): I64;
  nextRip(): I64;
  /** Ends the block: goes to the direct target (operand of type rel) if `condition` holds. */
  branch(condition?: I32): void;
  /**
   * Outside 64-bit code, raises #GP(0) if {@link branch} would leave the limit of CS. For what
   * changes something before it branches; otherwise `branch` checks where it must.
   */
  checkBranch(condition?: I32): void;
  /** Raises #GP(0) unless `rip` can be jumped to: canonical, or within the limit of CS. */
  checkTarget(rip: I64): void;
  /** Ends the block: goes to `rip` (already checked), truncated to the operand size outside 64-bit code. */
  jump(rip: I64): void;
  /** As {@link jump}, for a near return. */
  returnTo(rip: I64): void;
  /** Ends the block; S.rip holds where to go on. */
  resume(): void;
  /** As {@link resume}, after RFLAGS.IF, TF, the shadow or a debug register may have changed. */
  resync(): void;
  /** Goes on at the next instruction: the code is where it was, and is what it was. */
  goOn(): void;
  /** The same, after RFLAGS.IF, TF or a debug register may have changed. */
  resyncNext(): void;
  /** Holds off what `shadow` (of SHADOW) says until after the next instruction; may leave. */
  hold(shadow: number): void;
  /** Ends the block at the next instruction, after state it depends on has changed (mode, paging). */
  serialize(): void;
  /** Leaves to the monitor with S.exit = `reason`, this instruction done, RIP at the next. */
  exitAfter(reason: number): void;
  /** Leaves to the monitor with S.exit = `reason`, this instruction not done, RIP at it. */
  exitBefore(reason: number): void;
}

/** The semantics of one mnemonic. */
export type Semantic = (x: Context) => void;

/** Semantics by mnemonic; a row may also be given by its full name, which wins. */
export type SemanticTable = Readonly<Record<string, Semantic>>;

/** The semantics of a row, or undefined when the processor has no such instruction. */
export const semanticOf = (table: SemanticTable, row: Row): Semantic | undefined =>
  table[row.name] ?? table[row.mnemonic];
