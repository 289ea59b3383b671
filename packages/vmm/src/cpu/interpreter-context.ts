// The interpreter's side of Context: operands come from the fields of a record, control goes to the
// next record's handler.

import { operandShapes } from '../isa/operand.ts';
import type { Row } from '../isa/row.ts';
import {
  c32,
  c64,
  call,
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
import { CODE_KEY_MASK, CODE_PAGE } from './code-page.ts';
import type { Context, Modified, Size, Variant } from './context.ts';
import { type Flow, nextRecord, ripOf } from './flow.ts';
import { LazyFlags } from './lazy-flags.ts';
import { isFaulted, loadLow, TLB, tlbEntry } from './mmu.ts';
import {
  fieldOf,
  hasMemoryForm,
  operandSize,
  registerFormSize,
  registerNaming,
} from './operand-size.ts';
import { BLOCK_INSTRUCTIONS_MAX, R } from './record.ts';
import type { Runtime } from './runtime.ts';
import { roundsAsHost } from './sse-exceptions.ts';
import { CS, EXPECTED, gprSlot, RAX, S, SEGMENT_LIMIT, segmentCache, VECTOR } from './state.ts';

/** Builds one handler. */
export class InterpreterContext implements Context {
  readonly f: FunctionBuilder;
  readonly cpu: I32;
  readonly record: I32;
  readonly runtime: Runtime;
  readonly flags: LazyFlags;
  readonly variant: Variant;
  readonly row: Row;
  readonly opsize: Size;
  readonly wide: boolean;
  readonly stackBytes: Size | undefined;
  protected readonly flow: Flow;
  protected ended = false;
  /** The nesting at which statements are unconditional. */
  private readonly nesting: number;

  /** `before`: where the record is, and flags to share, when it is not that of the parameters. */
  constructor(
    f: FunctionBuilder,
    runtime: Runtime,
    flow: Flow,
    variant: Variant,
    before?: { readonly record: I32; readonly flags: LazyFlags },
  ) {
    this.f = f;
    this.cpu = f.param(0, 'i32');
    this.record = before ? before.record : f.param(1, 'i32');
    this.runtime = runtime;
    this.flow = flow;
    this.flags = before?.flags ?? new LazyFlags(f, this.cpu);
    this.nesting = f.nesting;
    this.variant = variant;
    this.row = variant.row;
    this.opsize = variant.opsize;
    this.wide = variant.wide;
    this.stackBytes = variant.wide ? 8 : undefined;
  }

  /** True when the semantics left for elsewhere. */
  get hasEnded(): boolean {
    return this.ended;
  }

  /** Goes on to the next record, unless the semantics ended the block. */
  finish(): void {
    if (this.ended) return;
    const next = nextRecord(this.record);
    const handler = i32.load16_u(this.record, 32 + R.handler);
    this.f.returnCallIndirect(this.flow.table, this.flow.handlerType, handler, this.cpu, next);
  }

  /** Notes that control has left, unless the statement that left was conditional. */
  protected end(): void {
    if (this.f.nesting === this.nesting) this.ended = true;
  }

  // Operands.

  protected slot(field: number): I32 {
    return i32.add(this.cpu, i32.load16_u(this.record, field));
  }

  sizeOf(i: number): Size {
    const { type } = this.row.operands[i];
    return this.inMemory(i) ? operandSize(type, this.opsize) : registerFormSize(type, this.opsize);
  }

  inMemory(i: number): boolean {
    const { type, place } = this.row.operands[i];
    if (place === 'moffs') return true;
    return place === 'rm' && this.variant.addressing !== 'register' && hasMemoryForm(type);
  }

  /** State address of register operand `i`, and a constant offset to it. */
  protected register(i: number): { address: I32; offset: number } {
    const { type, place } = this.row.operands[i];
    if (place === 'fixed')
      return { address: this.cpu, offset: gprSlot(operandShapes[type].fixed ?? RAX) };
    return { address: this.registerSlot(i), offset: 0 };
  }

  /** State address of what the record names as register operand `i`. */
  private registerSlot(i: number): I32 {
    return this.slot(fieldOf(this.row.operands[i]) ?? R.rm);
  }

  read(i: number): I64 {
    const { type, place } = this.row.operands[i];
    const size = this.sizeOf(i);
    if (this.inMemory(i)) return this.load(size, this.operandAddress(size, false));
    if (type === 'one') return c64(1);
    if (place === 'imm') {
      const load = this.row.encoding.vex ? i64.load32_u : i64.load;
      return load(this.record, R.imm);
    }
    const { address, offset } = this.register(i);
    return this.f.let(loadLow(size, address, offset));
  }

  write(i: number, value: I64): void {
    const size = this.sizeOf(i);
    if (this.inMemory(i)) {
      this.store(size, this.operandAddress(size, true), value);
      return;
    }
    const { address, offset } = this.register(i);
    this.setRegister(address, offset, size, value);
  }

  protected setRegister(address: I32, offset: number, size: Size, value: I64): void {
    if (size === 4) this.f.store64(address, i64.and(value, c64(0xffffffff)), offset);
    else this.f.storeLow(size, address, value, offset);
  }

  modify(i: number, compute: (old: I64) => I64, options = { atomic: false }): Modified {
    const size = this.sizeOf(i);
    const atomic = options.atomic || this.variant.lock;
    if (this.inMemory(i)) {
      return this.modifyAt(size, this.operandAddress(size, true), compute, atomic);
    }
    const { address, offset } = this.register(i);
    const old = this.f.let(loadLow(size, address, offset));
    const result = this.f.let(compute(old));
    this.setRegister(address, offset, size, result);
    return { old, result };
  }

  modifyAt(size: Size, linear: I64, compute: (old: I64) => I64, atomic: boolean): Modified {
    const { f } = this;
    const kept = f.hold(linear);
    const address = f.unset('i32');
    const slow = f.local('i32');
    this.translate(
      kept,
      size,
      TLB.writeTag,
      (host) => f.set(address, host),
      () => {
        f.set(address, call(this.runtime.memory.writable, this.cpu, kept, c32(size)));
        f.if(isFaulted(address), () => this.fault());
        f.set(slow, c32(1));
      },
    );
    const old = f.unset('i64');
    const result = f.unset('i64');
    const plain = (): void => {
      f.set(old, loadLow(size, address));
      f.set(result, compute(old));
      f.storeLow(size, address, result);
    };
    if (atomic) {
      // Atomic instructions trap on misaligned addresses: a split lock is done in two steps.
      const aligned = i32.eqz(i32.and(address, c32(size - 1)));
      f.if(aligned, () => this.exchange(size, address, old, result, compute), plain);
    } else {
      plain();
    }
    f.if(slow, () => this.commit(kept, size, address));
    return { old, result };
  }

  /** Writes back what {@link MemoryRuntime.writable} may have buffered. */
  protected commit(linear: I64, bytes: number, address: I32): void {
    const { commit } = this.runtime.memory;
    this.f.if(call(commit, this.cpu, linear, c32(bytes), address), () => this.fault());
  }

  /** Compare-and-swap until nobody else came between. */
  protected exchange(
    size: Size,
    address: I32,
    old: Local<'i64'>,
    result: Local<'i64'>,
    compute: (old: I64) => I64,
  ): void {
    const { f } = this;
    f.set(old, loadLow(size, address));
    const seen = f.local('i64');
    f.loop((again) => {
      f.set(result, compute(old));
      const swap = {
        1: i64.atomicCmpxchg8,
        2: i64.atomicCmpxchg16,
        4: i64.atomicCmpxchg32,
        8: i64.atomicCmpxchg,
      }[size];
      const mask = size === 8 ? result : i64.and(result, c64(2 ** (8 * size) - 1));
      f.set(seen, swap(address, old, mask));
      f.if(i64.ne(seen, old), () => {
        f.set(old, seen);
        f.br(again);
      });
    });
  }

  imm2(): I32 {
    return i32.load16_u(this.record, R.reg);
  }

  gpr(n: number): I64 {
    return i64.load(this.cpu, gprSlot(n));
  }

  gprLow(n: number, size: Size): I64 {
    return loadLow(size, this.cpu, gprSlot(n));
  }

  setGpr(n: number, size: Size, value: I64): void {
    this.setRegister(this.cpu, gprSlot(n), size, value);
  }

  xmmAddress(i: number): I32 {
    if (this.row.operands[i].type === 'xmm0') return i32.add(this.cpu, c32(S.xmm));
    return this.f.let(this.registerSlot(i));
  }

  ymmAddress(i: number): I32 {
    return this.f.let(i32.add(this.registerSlot(i), c32(S.ymmHigh - S.xmm)));
  }

  mmAddress(i: number): I32 {
    return this.f.let(this.registerSlot(i));
  }

  registerNumber(i: number): I32 {
    const operand = this.row.operands[i];
    if (operand.place === 'fixed') return c32(operandShapes[operand.type].fixed ?? 0);
    if (registerNaming(operand) !== 'number') throw new TypeError(`${this.row.name}: not a number`);
    return i32.load16_u(this.record, fieldOf(operand) ?? R.rm);
  }

  // Memory.

  effectiveAddress(): I64 {
    const { f, record } = this;
    if (this.row.operands.some((operand) => operand.place === 'moffs')) {
      return f.let(i64.load(record, R.imm));
    }
    const base = i64.load(this.slot(R.base));
    const disp = i64.load32_s(record, R.disp);
    if (this.variant.addressing === 'base') return f.let(i64.add(base, disp));
    const index = i64.shl(i64.load(this.slot(R.index)), i64.load8_u(record, R.scale));
    const sum = i64.add(i64.add(base, index), disp);
    if (this.variant.addressing === 'flat') return f.let(sum);
    return f.let(i64.and(sum, this.addressMask()));
  }

  indexAddress(): I32 {
    return this.f.let(this.slot(R.index));
  }

  elementAddress(index: I64): I64 {
    const { f, record } = this;
    const base = i64.add(i64.load(this.slot(R.base)), i64.load32_s(record, R.disp));
    const sum = i64.add(base, i64.shl(index, i64.load8_u(record, R.scale)));
    return f.let(i64.and(sum, this.addressMask()));
  }

  linearAddress(bytes: number, write: boolean, delta?: I64): I64 {
    const { f } = this;
    const effective = this.effectiveAddress();
    const offset = delta ? f.let(i64.add(effective, delta)) : effective;
    if (this.variant.addressing === 'base' && !this.row.operands.some((o) => o.place === 'moffs')) {
      return offset;
    }
    return this.sourceAddress(offset, bytes, write);
  }

  /** Linear address of the operand in memory, of which the next access is. */
  protected operandAddress(bytes: number, write: boolean): I64 {
    return this.linearAddress(bytes, write);
  }

  sourceAddress(offset: I64, bytes: number, write: boolean): I64 {
    if (this.variant.addressing === 'checked') {
      const segment = i32.load8_u(this.record, R.segmentIndex);
      return this.segmented(segment, i64.and(offset, this.addressMask()), bytes, write);
    }
    return this.f.let(i64.add(offset, i64.load(this.slot(R.segment))));
  }

  segmentAddress(segment: number, offset: I64, bytes: number, write: boolean): I64 {
    if (this.wide) return this.f.let(offset);
    return this.segmented(c32(segment), offset, bytes, write);
  }

  protected segmented(segment: I32, offset: I64, bytes: number, write: boolean): I64 {
    const { f, cpu } = this;
    const { checkedAddress } = this.runtime.memory;
    const linear = f.let(
      call(checkedAddress, cpu, segment, offset, c32(bytes), c32(write ? 1 : 0)),
    );
    this.faultIfSet();
    return linear;
  }

  get hasPlainStrings(): boolean {
    return this.variant.addressing !== 'checked';
  }

  addressMask(): I64 {
    if (this.variant.addressing !== 'checked') return c64(-1);
    const log = i32.shl(i32.load8_u(this.record, R.addressLog), c32(3));
    return i64.load(i32.add(this.cpu, log), S.addressMask);
  }

  setAddressRegister(n: number, value: I64): void {
    const { f } = this;
    if (this.variant.addressing !== 'checked') {
      this.setGpr(n, 8, value);
      return;
    }
    const kept = f.let(value);
    const log = f.let(i32.load8_u(this.record, R.addressLog));
    f.if(
      i32.eq(log, c32(1)),
      () => this.setGpr(n, 2, kept),
      () =>
        f.if(
          i32.eq(log, c32(2)),
          () => this.setGpr(n, 4, kept),
          () => this.setGpr(n, 8, kept),
        ),
    );
  }

  /** The inline TLB lookup: `hit` gets the place in linear memory, `miss` runs otherwise. */
  protected translate(
    linear: I64,
    bytes: number,
    tag: number,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    const { f } = this;
    const entry = f.let(tlbEntry(i32.load(this.cpu, S.tlb), linear));
    const last = bytes === 1 ? linear : i64.add(linear, c64(bytes - 1));
    f.if(
      i64.eq(i64.load(entry, tag), i64.and(last, c64(-4096))),
      () => hit(i32.add(i32.wrap(linear), i32.load(entry, TLB.addend))),
      miss,
    );
  }

  whenMapped(
    linear: I64,
    bytes: number,
    write: boolean,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    this.translate(this.f.hold(linear), bytes, write ? TLB.writeTag : TLB.readTag, hit, miss);
  }

  load(size: Size, linear: I64): I64 {
    const { f } = this;
    const kept = f.hold(linear);
    const value = f.unset('i64');
    this.translate(
      kept,
      size,
      TLB.readTag,
      (host) => f.set(value, loadLow(size, host)),
      () => {
        f.set(value, call(this.runtime.memory.load[size], this.cpu, kept));
        this.faultIfSet();
      },
    );
    return value;
  }

  store(size: Size, linear: I64, value: I64): void {
    const { f } = this;
    const kept = f.hold(linear);
    const data = f.hold(value);
    this.translate(
      kept,
      size,
      TLB.writeTag,
      (host) => f.storeLow(size, host, data),
      () => this.attempt(this.runtime.memory.store[size], this.cpu, kept, data),
    );
  }

  readable(linear: I64, bytes: number): I32 {
    const { f } = this;
    const kept = f.hold(linear);
    const address = f.unset('i32');
    this.translate(
      kept,
      bytes,
      TLB.readTag,
      (host) => f.set(address, host),
      () => {
        f.set(address, call(this.runtime.memory.readable, this.cpu, kept, c32(bytes)));
        f.if(isFaulted(address), () => this.fault());
      },
    );
    return address;
  }

  load128(linear: I64): V128 {
    return this.f.let(v128.load(this.readable(linear, 16)));
  }

  store128(linear: I64, value: V128): void {
    this.storeVectors(linear, [value]);
  }

  storeVectors(linear: I64, values: readonly V128[]): void {
    const { f } = this;
    const bytes = 16 * values.length;
    const kept = f.hold(linear);
    const data = values.map((value) => f.hold(value));
    const storeAll = (address: I32): void => {
      const place = data.length === 1 ? address : f.let(address);
      for (const [i, value] of data.entries()) f.storeV128(place, value, 16 * i);
    };
    this.translate(kept, bytes, TLB.writeTag, storeAll, () => {
      const { writable } = this.runtime.memory;
      const address = f.let(call(writable, this.cpu, kept, c32(bytes)));
      f.if(isFaulted(address), () => this.fault());
      storeAll(address);
      this.commit(kept, bytes, address);
    });
  }

  roundsAsHost(): I32 {
    return roundsAsHost(this.cpu);
  }

  // Faults.

  protected fault(): void {
    this.f.returnCall(this.flow.faultAt, this.cpu, this.record);
  }

  /** Leaves if a runtime function that returns a value has set a fault. */
  faultIfSet(): void {
    this.f.if(i32.ne(i32.load(this.cpu, S.faultVector), c32(-1)), () => this.fault());
  }

  faultIf(failed: I32): void {
    this.f.if(failed, () => this.fault());
  }

  attempt(fn: Fn<'i32'>, ...args: Expr[]): void {
    this.faultIf(call(fn, ...args));
  }

  raise(vector: number, options: { code?: I32; when?: I32 } = {}): void {
    const { f, cpu } = this;
    const body = (): void => {
      f.store32(cpu, c32(vector), S.faultVector);
      f.store32(cpu, c32(options.code ? 1 : 0), S.faultHasCode);
      if (options.code) f.store32(cpu, options.code, S.faultCode);
      this.fault();
    };
    if (options.when) {
      f.if(options.when, body);
    } else {
      body();
      this.end();
    }
  }

  // Control flow.

  rip(): I64 {
    return ripOf(this.cpu, this.record);
  }

  nextRip(): I64 {
    return i64.add(this.rip(), i64.load8_u(this.record, R.length));
  }

  branch(condition?: I32): void {
    const { f, cpu } = this;
    const taken = (): void => {
      if (!this.wide && this.opsize === 2) {
        this.checkBranch();
        // IP wraps at 64 KiB, and where that is in the page depends on the base of CS: no link.
        f.store64(cpu, this.directTarget(), S.rip);
        f.returnCall(this.flow.enter, cpu);
      } else {
        this.follow(R.taken);
      }
    };
    if (condition) {
      f.if(condition, taken);
      this.follow(R.fallThrough);
    } else {
      taken();
    }
    this.end();
  }

  /** Goes to the record that R.taken or R.fallThrough of this one points to, or finds it first. */
  private follow(field: number): void {
    const { f, cpu, record } = this;
    const target = f.let(i32.load(record, field));
    f.if(target, () => this.flow.go(f, cpu, target));
    f.returnCall(this.flow.link, cpu, record, c32(field === R.fallThrough ? 1 : 0));
  }

  /** RIP that a direct branch goes to, outside 64-bit code. */
  private directTarget(): I64 {
    const target = i64.add(this.nextRip(), i64.load32_s(this.record, R.disp));
    return i64.and(target, c64(this.opsize === 2 ? 0xffff : 0xffffffff));
  }

  checkBranch(condition?: I32): void {
    if (this.wide) return;
    const limit = i64.load32_u(this.cpu, segmentCache(CS) + SEGMENT_LIMIT);
    const outside = i64.gt_u(this.directTarget(), limit);
    this.raise(VECTOR.GP, {
      code: c32(0),
      when: condition ? i32.and(condition, outside) : outside,
    });
  }

  checkTarget(rip: I64): void {
    if (this.wide) {
      // Canonical: bits 63:47 are all equal.
      const top = i64.add(i64.shr_s(rip, c64(47)), c64(1));
      this.raise(VECTOR.GP, { code: c32(0), when: i64.gt_u(top, c64(1)) });
      return;
    }
    const limit = i64.load32_u(this.cpu, segmentCache(CS) + SEGMENT_LIMIT);
    this.raise(VECTOR.GP, { code: c32(0), when: i64.gt_u(rip, limit) });
  }

  jump(rip: I64): void {
    const target =
      this.wide || this.opsize === 8 ? rip : i64.and(rip, c64(2 ** (8 * this.opsize) - 1));
    this.f.store64(this.cpu, target, S.rip);
    this.resume();
  }

  returnTo(rip: I64): void {
    const { f, cpu } = this;
    const target = this.wide ? rip : i64.or(rip, c64(EXPECTED.narrow));
    f.if(i64.eq(target, i64.load(cpu, S.expected)), () => {
      f.store64(cpu, c64(EXPECTED.met), S.expected);
      f.return();
    });
    this.jump(rip);
  }

  /** Gives back what the block was charged for the instructions that will not run now. */
  protected closeBlock(): void {
    if (this.row.endsBlock) return;
    const { f, cpu } = this;
    const rest = i32.sub(i32.load16_u(this.record, R.left), c32(1));
    f.store32(cpu, i32.add(i32.load(cpu, S.budget), rest), S.budget);
  }

  resume(): void {
    this.closeBlock();
    this.f.returnCall(this.flow.enter, this.cpu);
    this.end();
  }

  resync(): void {
    this.closeBlock();
    this.f.returnCall(this.flow.resync, this.cpu);
    this.end();
  }

  goOn(): void {
    if (!this.row.endsBlock) return;
    if (!this.wide) {
      // A segment has perhaps been loaded for which the code of this page is not.
      const { f, cpu } = this;
      const page = i32.load(i32.load(cpu, S.codePage), CODE_PAGE.mode);
      const changed = i32.xor(page, i32.load(cpu, S.codeKey));
      f.if(i32.and(changed, c32(CODE_KEY_MASK)), () => {
        f.store64(cpu, this.nextRip(), S.rip);
        f.returnCall(this.flow.enter, cpu);
      });
    }
    this.follow(R.fallThrough);
    this.end();
  }

  resyncNext(): void {
    const { f, cpu } = this;
    const asked = i32.or(i32.load(cpu, S.window), i32.load(cpu, S.stepping));
    f.if(asked, () => this.resyncAtNext());
    this.goOn();
  }

  private resyncAtNext(): void {
    this.f.store64(this.cpu, this.nextRip(), S.rip);
    this.resync();
  }

  hold(shadow: number): void {
    const { f, cpu } = this;
    const asked = i32.or(i32.load(cpu, S.window), i32.load(cpu, S.stepping));
    // Nothing comes in before the end of the slice, which may be right behind this instruction.
    const ending = i32.lt_s(i32.load(cpu, S.budget), c32(BLOCK_INSTRUCTIONS_MAX));
    f.if(i32.or(asked, ending), () => {
      f.store32(cpu, c32(shadow), S.shadow);
      this.resyncAtNext();
    });
  }

  serialize(): void {
    this.f.store64(this.cpu, this.nextRip(), S.rip);
    this.resume();
  }

  exitAfter(reason: number): void {
    const { f, cpu } = this;
    f.store64(cpu, this.nextRip(), S.rip);
    f.store32(cpu, c32(reason), S.exit);
    this.closeBlock();
    f.return();
    this.end();
  }

  exitBefore(reason: number): void {
    const { f, cpu } = this;
    f.store32(cpu, c32(reason), S.exit);
    f.store32(cpu, i32.load8_u(this.record, R.length), S.exitLength);
    const budget = i32.add(i32.load(cpu, S.budget), i32.load16_u(this.record, R.left));
    f.store32(cpu, budget, S.budget);
    f.store64(cpu, this.rip(), S.rip);
    f.return();
    this.end();
  }
}
