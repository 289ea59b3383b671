// The compiler's sides of Context. For most instructions, what the interpreter takes from a record
// is constant, and general registers and flags are locals of the region's function; what is not
// overridden works as in the interpreter, on the instruction's record, whose address is known. For
// the others everything does, on the state of the vCPU.

import { operandShapes } from '../../isa/operand.ts';
import {
  c32,
  c64,
  c64parts,
  type Expr,
  type Fn,
  type I32,
  type I64,
  i32,
  i64,
} from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Size, Variant } from '../context.ts';
import type { Flow } from '../flow.ts';
import { InterpreterContext } from '../interpreter-context.ts';
import { LazyFlags } from '../lazy-flags.ts';
import { TLB, tlbEntry } from '../mmu.ts';
import { registerNaming, registerOf } from '../operand-size.ts';
import type { Runtime } from '../runtime.ts';
import { roundsAsHost } from '../sse-exceptions.ts';
import { EXIT, RAX, RCX, RDI, RSI, S, SLOT } from '../state.ts';
import type { LocalFlags } from './local-flags.ts';
import type { RegionInstruction } from './region.ts';
import type { DirtyRegisters } from './region-exits.ts';
import { type RegionLocals, vectorBit } from './region-locals.ts';
import { UpperPlace, XmmPlace } from './xmm-place.ts';

/** How a region is left, and where it goes on; given by the region's compiler. */
export interface RegionWays {
  /** A fault of the instruction, which is not done. */
  fault(): void;
  /** To the address in the region's local `target`: by a jump, a call or a return. */
  enter(by: 'jump' | 'call' | 'return'): void;
  /** On a condition, to the address in `target`, by a direct branch that goes there then. */
  wrap(): void;
  /** To the monitor; the instruction under way goes on in the next slice. */
  pause(): void;
  /** Along the block's direct edges. */
  branch(condition: I32 | undefined): void;
}

/** What an instruction of a region is compiled with. */
export interface RegionParts {
  readonly f: FunctionBuilder;
  readonly runtime: Runtime;
  readonly flow: Flow;
  readonly at: RegionInstruction;
  readonly locals: RegionLocals;
  readonly ways: RegionWays;
  /** What the path to here has changed. */
  readonly dirty: DirtyRegisters;
}

/** The variant of an instruction. */
function variantOf({ instruction, addressing }: RegionInstruction): Variant {
  const { row, opsize, lock, rep, codeSize } = instruction;
  const repeats = row.rep === 'none' ? 0 : row.rep === 'rep' && rep !== 0 ? 0xf3 : rep;
  const size = row.opsizeRule === 'none' ? row.encoding.onlyOpsize || 4 : opsize;
  const isLocked = lock && addressing !== 'register';
  return { row, opsize: size, addressing, lock: isLocked, rep: repeats, wide: codeSize === 8 };
}

/** What repeated string instructions change on their way, before their next round may fault. */
const REPEATED = (1 << RAX) | (1 << RCX) | (1 << RSI) | (1 << RDI);

/** One instruction of a region, on the region's locals. */
export class JitContext extends InterpreterContext {
  protected readonly at: RegionInstruction;
  protected readonly locals: RegionLocals;
  protected readonly ways: RegionWays;
  private readonly dirty: DirtyRegisters;
  /** A store was emitted: the code may have changed under the region's feet. */
  hasStored = false;

  constructor(parts: RegionParts, flags: LocalFlags) {
    const { f, runtime, flow, at } = parts;
    super(f, runtime, flow, variantOf(at), { record: c32(at.record), flags });
    this.at = at;
    this.locals = parts.locals;
    this.ways = parts.ways;
    this.dirty = parts.dirty;
    if (this.variant.rep !== 0) {
      for (const n of [RAX, RCX, RSI, RDI]) this.locals.gpr(n);
      this.noteWritten(REPEATED);
    }
  }

  private noteWritten(registers: number): void {
    this.dirty.registers |= registers;
    this.locals.written |= registers;
  }

  // Registers.

  /** Number of a general register, and the bit its operand starts at (8 for AH to BH). */
  private generalOperand(i: number): { n: number; shift: number } {
    const { type, place } = this.row.operands[i];
    const { instruction } = this.at;
    if (place === 'fixed') return { n: operandShapes[type].fixed ?? 0, shift: 0 };
    const n = registerOf(this.row.operands[i], instruction);
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
    this.noteWritten(1 << n);
    if (size === 8) {
      this.f.set(local, value);
      return;
    }
    const part = i64.and(value, c64(2 ** (8 * size) - 1));
    if (size === 4) {
      this.f.set(local, part);
      return;
    }
    const mask = size === 2 ? 0xffff : 0xff << shift;
    const rest = i64.and(local, c64parts(~mask, -1));
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
    this.writePart(n, 8, 0, value);
  }

  private vectorNumber(i: number): number {
    return registerOf(this.row.operands[i], this.at.instruction);
  }

  override xmmAddress(i: number): I32 {
    const n = this.row.operands[i].type === 'xmm0' ? 0 : this.vectorNumber(i);
    return new XmmPlace(this.locals, n, (written) => this.noteWritten(vectorBit(written)));
  }

  override ymmAddress(i: number): I32 {
    return new UpperPlace(this.f, this.cpu, this.vectorNumber(i));
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

  override sourceAddress(offset: I64, _bytes: number, _write: boolean): I64 {
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

  override roundsAsHost(): I32 {
    this.locals.usesRounding = true;
    return this.locals.hostRounding;
  }

  override attempt(fn: Fn<'i32'>, ...args: Expr[]): void {
    const places = args.filter((arg) => arg instanceof XmmPlace);
    super.attempt(fn, ...args.map((arg) => (arg instanceof XmmPlace ? arg.spill(this.cpu) : arg)));
    for (const place of places) place.reload(this.cpu);
    // It may have been soft floating point, which sets MXCSR.PE: from then on the host's will do.
    if (this.locals.usesRounding) this.f.set(this.locals.hostRounding, roundsAsHost(this.cpu));
  }

  // Faults and control.

  protected override fault(): void {
    this.ways.fault();
  }

  override branch(condition?: I32): void {
    this.ways.branch(condition);
    this.end();
  }

  override jump(rip: I64): void {
    this.f.set(this.locals.target, rip);
    this.ways.enter(this.row.mnemonic === 'call' ? 'call' : 'jump');
    this.end();
  }

  override returnTo(rip: I64): void {
    this.f.set(this.locals.target, rip);
    this.ways.enter('return');
    this.end();
  }

  override exitBefore(reason: number): void {
    if (reason !== EXIT.none) throw new Error(`${this.row.name} leaves to the monitor`);
    this.ways.pause();
    this.end();
  }

  override resume(): void {
    throw new Error(`${this.row.name} is no instruction for a region's locals`);
  }
}

/** One instruction of a region, on the state of the vCPU. */
export class StateContext extends InterpreterContext {
  private readonly ways: RegionWays;

  constructor({ f, runtime, flow, at, ways }: RegionParts) {
    const flags = new LazyFlags(f, f.param(0, 'i32'), f.nesting);
    super(f, runtime, flow, variantOf(at), { record: c32(at.record), flags });
    this.ways = ways;
  }

  override branch(condition?: I32): void {
    this.ways.branch(condition);
    this.end();
  }

  /** The region goes on behind the instruction by itself. */
  override goOn(): void {}
}
