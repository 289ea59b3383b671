// The compiler's side of Context: what the interpreter takes from a record is constant here,
// general registers and flags are locals of the region's function. What is not overridden works as
// in the interpreter, on the instruction's record, whose address is known.

import { operandShapes } from '../../isa/operand.ts';
import { c32, c64, c64parts, type I32, type I64, i32, i64, type Local } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Size, Variant } from '../context.ts';
import type { Flow } from '../flow.ts';
import { InterpreterContext } from '../interpreter-context.ts';
import { LazyFlags } from '../lazy-flags.ts';
import { TLB, tlbEntry } from '../mmu.ts';
import { registerNaming } from '../operand-size.ts';
import type { Runtime } from '../runtime.ts';
import { EXIT, S, SLOT } from '../state.ts';
import type { RegionInstruction } from './region.ts';

/** The flag words as locals of a region. */
export class LocalFlags extends LazyFlags {
  private readonly words: RegionLocals;
  /** Set by the region for each block: how deep its statements are nested. */
  nesting = 0;

  constructor(f: FunctionBuilder, cpu: I32, words: RegionLocals) {
    super(f, cpu);
    this.words = words;
  }

  protected override get base(): number {
    return this.nesting;
  }

  protected override put(result: I64, carry: I64): void {
    this.words.usesFlags = true;
    this.f.set(this.words.flagResult, result);
    this.f.set(this.words.flagCarry, carry);
  }

  protected override putCarry(carry: I64): void {
    this.words.usesFlags = true;
    this.f.set(this.words.flagCarry, carry);
  }

  protected override keptResult(): I64 {
    this.words.usesFlags = true;
    return this.words.flagResult;
  }

  protected override keptCarry(): I64 {
    this.words.usesFlags = true;
    return this.words.flagCarry;
  }
}

/** The locals of a region that outlive an instruction. */
export class RegionLocals {
  readonly flagResult: Local<'i64'>;
  readonly flagCarry: Local<'i64'>;
  usesFlags = false;
  /** Instructions left in the slice. */
  readonly budget: Local<'i32'>;
  readonly tlb: Local<'i32'>;
  readonly ripBase: Local<'i64'>;
  /** S.codeGeneration at entry, and whether a store has changed it since. */
  readonly generation: Local<'i32'>;
  readonly isStale: Local<'i32'>;
  private readonly f: FunctionBuilder;
  private readonly general: (Local<'i64'> | undefined)[] = Array(16).fill(undefined);

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.flagResult = f.keep('i64');
    this.flagCarry = f.keep('i64');
    this.budget = f.keep('i32');
    this.tlb = f.keep('i32');
    this.ripBase = f.keep('i64');
    this.generation = f.keep('i32');
    this.isStale = f.keep('i32');
  }

  /** The local of general register `n`. */
  gpr(n: number): Local<'i64'> {
    this.general[n] ??= this.f.keep('i64');
    return this.general[n];
  }

  /** The registers in use, with their locals. */
  *registers(): Generator<[number, Local<'i64'>]> {
    for (const [n, local] of this.general.entries()) if (local) yield [n, local];
  }
}

/** How a region is left, and where it goes on; given by the region's compiler. */
export interface RegionExits {
  /** A fault at the instruction: `refund` makes the budget what $faultAt expects. */
  fault(record: number, refund: number): void;
  /** To S.rip, which has been stored. */
  enter(): void;
  /** To the monitor; the instruction under way goes on in the next slice. */
  pause(): void;
  /** Along the block's direct edges. */
  branch(condition: I32 | undefined): void;
}

/** One instruction of a region. */
export class JitContext extends InterpreterContext {
  private readonly at: RegionInstruction;
  private readonly locals: RegionLocals;
  private readonly exits: RegionExits;
  private readonly refund: number;
  /** A store was emitted: the code may have changed under the region's feet. */
  hasStored = false;

  constructor(options: {
    f: FunctionBuilder;
    runtime: Runtime;
    flow: Flow;
    variant: Variant;
    at: RegionInstruction;
    locals: RegionLocals;
    flags: LocalFlags;
    exits: RegionExits;
    refund: number;
  }) {
    const { f, runtime, flow, variant, at, flags } = options;
    super(f, runtime, flow, variant, { record: c32(at.record), flags });
    this.at = at;
    this.locals = options.locals;
    this.exits = options.exits;
    this.refund = options.refund;
  }

  /** True when the semantics left the region or the block. */
  get hasEnded(): boolean {
    return this.ended;
  }

  protected override end(): void {
    if (this.f.nesting === (this.flags as LocalFlags).nesting) this.ended = true;
  }

  // Registers.

  /** Number of a general register, and the bit its operand starts at (8 for AH to BH). */
  private generalOperand(i: number): { n: number; shift: number } {
    const { type, place } = this.row.operands[i];
    const { instruction } = this.at;
    if (place === 'fixed') return { n: operandShapes[type].fixed ?? 0, shift: 0 };
    const n = place === 'reg' ? instruction.reg : instruction.rm;
    const isHigh = this.sizeOf(i) === 1 && !instruction.rexPresent && n >= 4 && n < 8;
    return isHigh ? { n: n - 4, shift: 8 } : { n, shift: 0 };
  }

  private readPart(n: number, size: Size, shift: number): I64 {
    const local = this.locals.gpr(n);
    const moved = shift ? i64.shr_u(local, c64(shift)) : local;
    return size === 8 ? moved : i64.and(moved, c64(2 ** (8 * size) - 1));
  }

  private writePart(n: number, size: Size, shift: number, value: I64): void {
    const local = this.locals.gpr(n);
    if (size === 8) {
      this.f.set(local, value);
      return;
    }
    const part = i64.and(value, c64(2 ** (8 * size) - 1));
    if (size === 4) {
      this.f.set(local, part);
      return;
    }
    const mask = (2n ** BigInt(8 * size) - 1n) << BigInt(shift);
    const rest = i64.and(local, c64(~mask));
    this.f.set(local, i64.or(rest, shift ? i64.shl(part, c64(shift)) : part));
  }

  override read(i: number): I64 {
    const operand = this.row.operands[i];
    if (this.inMemory(i) || operand.type === 'one') return super.read(i);
    if (operand.place === 'imm') return this.immediate(i);
    if (registerNaming(operand) !== 'general') return super.read(i);
    const { n, shift } = this.generalOperand(i);
    return this.f.let(this.readPart(n, this.sizeOf(i), shift));
  }

  private immediate(i: number): I64 {
    const { immLo, immHi } = this.at.instruction;
    const size = this.sizeOf(i);
    if (size === 8) return c64parts(immLo, immHi);
    const mask = size === 4 ? -1 : (1 << (8 * size)) - 1;
    return c64parts(immLo & mask, 0);
  }

  override write(i: number, value: I64): void {
    if (this.inMemory(i)) {
      super.write(i, value);
      return;
    }
    const { n, shift } = this.generalOperand(i);
    this.writePart(n, this.sizeOf(i), shift, value);
  }

  override modify(
    i: number,
    compute: (old: I64) => I64,
    options = { atomic: false },
  ): { old: I64; result: I64 } {
    if (this.inMemory(i)) return super.modify(i, compute, options);
    const { n, shift } = this.generalOperand(i);
    const size = this.sizeOf(i);
    const old = this.f.let(this.readPart(n, size, shift));
    const result = this.f.let(compute(old));
    this.writePart(n, size, shift, result);
    return { old, result };
  }

  override gpr(n: number): I64 {
    return this.locals.gpr(n);
  }

  override gprLow(n: number, size: Size): I64 {
    return this.readPart(n, size, 0);
  }

  override setGpr(n: number, size: Size, value: I64): void {
    this.writePart(n, size, 0, value);
  }

  override setAddressRegister(n: number, value: I64): void {
    this.f.set(this.locals.gpr(n), value);
  }

  private vectorNumber(i: number): number {
    const { place } = this.row.operands[i];
    return place === 'reg' ? this.at.instruction.reg : this.at.instruction.rm;
  }

  override xmmAddress(i: number): I32 {
    const isFixed = this.row.operands[i].type === 'xmm0';
    return i32.add(this.cpu, c32(S.xmm + (isFixed ? 0 : 16 * this.vectorNumber(i))));
  }

  override mmAddress(i: number): I32 {
    return i32.add(this.cpu, c32(S.fpr + 16 * this.vectorNumber(i)));
  }

  // Addresses.

  override effectiveAddress(): I64 {
    const { instruction } = this.at;
    if (this.row.operands.some((operand) => operand.place === 'moffs')) {
      return c64parts(instruction.disp, instruction.dispHi);
    }
    const { base, index, scale, disp, length } = instruction;
    const isRelative = base === 16;
    const offset = isRelative ? disp + this.at.offset + length : disp;
    let sum: I64 = c64(offset);
    if (isRelative) sum = i64.add(this.locals.ripBase, sum);
    else if (base >= 0) sum = i64.add(this.locals.gpr(base), sum);
    if (index >= 0) sum = i64.add(sum, i64.shl(this.locals.gpr(index), c64(scale)));
    return this.f.let(sum);
  }

  override sourceAddress(offset: I64): I64 {
    const { segmentOverride } = this.at.instruction;
    if (segmentOverride < 4) return this.f.let(offset);
    const base = i64.load(this.cpu, SLOT.segmentBase + 8 * segmentOverride);
    return this.f.let(i64.add(offset, base));
  }

  override rip(): I64 {
    return i64.add(this.locals.ripBase, c64(this.at.offset));
  }

  override nextRip(): I64 {
    const next = this.at.offset + this.at.instruction.length;
    return i64.add(this.locals.ripBase, c64(next));
  }

  // Memory.

  protected override translate(
    linear: I64,
    bytes: number,
    tag: number,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    const { f } = this;
    const isWrite = tag === TLB.writeTag;
    if (isWrite) this.hasStored = true;
    const entry = f.let(tlbEntry(this.locals.tlb, linear));
    const last = bytes === 1 ? linear : i64.add(linear, c64(bytes - 1));
    f.if(
      i64.eq(i64.load(entry, tag), i64.and(last, c64(-4096))),
      () => hit(i32.add(i32.wrap(linear), i32.load(entry, TLB.addend))),
      () => {
        miss();
        if (isWrite) this.noteStale();
      },
    );
  }

  /** After a store that was not plain: has it dropped decoded code? */
  private noteStale(): void {
    const { f, locals } = this;
    const now = i32.load(this.cpu, S.codeGeneration);
    f.set(locals.isStale, i32.or(locals.isStale, i32.ne(now, locals.generation)));
  }

  protected override commit(linear: I64, bytes: number, address: I32): void {
    super.commit(linear, bytes, address);
    this.noteStale();
  }

  // Faults and control.

  protected override fault(): void {
    this.exits.fault(this.at.record, this.refund);
  }

  override branch(condition?: I32): void {
    this.exits.branch(condition);
    this.end();
  }

  override exitBefore(reason: number): void {
    if (reason !== EXIT.none) throw new Error(`${this.row.name} leaves to the monitor`);
    this.exits.pause();
    this.end();
  }

  override resume(): void {
    this.exits.enter();
    this.end();
  }
}
