// The soft TLB and the slow paths of memory access.
//
// Three TLBs, direct-mapped by bits 21:12 of the linear address: supervisor's, user's, and the
// supervisor's while RFLAGS.AC lifts SMAP. An entry holds a tag for reads and one for writes (the
// page's linear address, or an odd value that matches nothing) and what must be added to a linear
// address to get the place in linear memory. The fast path compares the page of the *last* byte
// with the tag found by the *first*: so an access that crosses pages always comes here.
//
// A page without a write tag is not necessarily read-only: it may be clean (the dirty bit must be
// set by a walk first) or hold decoded code (the store must drop it).
//
// Alignment checks (#AC at privilege 3 while CR0.AM and RFLAGS.AC are set) cost nothing where they
// are off: while they are on, a TLB is in use that is never filled, so that all accesses come here.
// What is checked, and that #AC comes before #PF and after #GP, is as Intel's processors have it:
// 16-byte operands need no alignment for this, 80-bit ones that of 8 bytes.

import { AC } from '../isa/flags.ts';
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
  select,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { defineIsWatched, defineWatch } from './breakpoints.ts';
import type { Size } from './context.ts';
import { CR0_AM, CR4_SMAP, control, hasBits, isCanonical } from './control-bits.ts';
import { stepEpoch } from './jump-cache.ts';
import { ACCESS, definePageWalk, NO_PAGE, WALK } from './page-walk.ts';
import { defineMarkPage, definePhysicalEntry, PAGE } from './physical-map.ts';
import type { MemoryRuntime } from './runtime.ts';
import { defineCheckedAddress } from './segment-check.ts';
import {
  EXIT,
  EXIT_FETCH,
  EXIT_WRITE,
  FAULT_EXIT,
  FETCH_ENTRIES,
  FETCH_ENTRY_BYTES,
  FETCH_SUPERVISOR,
  FETCH_USER,
  S,
  TLB_ALIGNED,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_SUPERVISOR,
  TLB_SUPERVISOR_AC,
  TLB_USER,
  VECTOR,
} from './state.ts';

/** Offsets in a TLB entry. */
export const TLB = { readTag: 0, writeTag: 8, addend: 16, flags: 20 } as const;
const NON_GLOBAL_MAX = 256;
/** Results of `fill` that are not addresses. */
const FAULTED = -1;
const NO_MEMORY = -2;
/** 1 for a result that stands for a fault; for one that is an address. Address 0 is one, too. */
export const isFaulted = (address: I32): I32 => i32.eq(address, c32(FAULTED));
const isMemory = (address: I32): I32 => i32.lt_u(address, c32(NO_MEMORY));
/** 1 for a result that stands for an access outside memory. */
export const isOutside = (address: I32): I32 => i32.eq(address, c32(NO_MEMORY));

/** What mmu.ts defines beyond {@link MemoryRuntime}: for the fetch path and the monitor. */
export interface Mmu extends MemoryRuntime {
  /** (cpu, linear, access) -> address in linear memory, {@link isFaulted} or {@link isOutside}. */
  readonly translate: Fn<'i32'>;
  readonly physicalEntry: Fn<'i32'>;
  readonly markPage: Fn<'void'>;
}

/** Address of the TLB entry for a linear address. */
export function tlbEntry(tlb: I32, linear: I64): I32 {
  // Bits 21:12 of the address become bits 14:5 of the offset in one shift and one mask.
  const offset = i32.and(
    i32.wrap(i64.shr_u(linear, c64(7))),
    c32((TLB_ENTRIES - 1) * TLB_ENTRY_BYTES),
  );
  return i32.add(tlb, offset);
}

const pageOf = (linear: I64): I64 => i64.and(linear, c64(-4096));
const inPage = (linear: I64): I32 => i32.and(i32.wrap(linear), c32(4095));
const or = (...terms: I32[]): I32 => terms.reduce((a, b) => i32.or(a, b));

/** Leaves with an exit that needs the monitor: fields first, then the mark in faultVector. */
function exitFault(f: FunctionBuilder, cpu: I32, reason: number): void {
  f.store32(cpu, c32(reason), S.exit);
  f.store32(cpu, c32(FAULT_EXIT), S.faultVector);
}

class MmuBuilder {
  private readonly m: ModuleBuilder;
  private readonly codeWritten: Fn<'void'>;
  readonly physicalEntry: Fn<'i32'>;
  readonly markPage: Fn<'void'>;
  private readonly walk: Fn<'i64'>;
  readonly translate: Fn<'i32'>;
  readonly checkAligned: Fn<'i32'>;
  private readonly noteNonGlobal: Fn<'void'>;
  private readonly isWatched: Fn<'i32'>;
  private readonly watch: Fn<'void'>;
  private readonly mmioRead: Fn<'i64'>;
  private readonly mmioWrite: Fn<'i32'>;
  private readonly storeBytes: Fn<'i32'>;

  constructor(m: ModuleBuilder, codeWritten: Fn<'void'>) {
    this.m = m;
    this.codeWritten = codeWritten;
    this.physicalEntry = definePhysicalEntry(m);
    this.markPage = defineMarkPage(m);
    this.walk = definePageWalk(m, this.physicalEntry);
    this.noteNonGlobal = this.defineNoteNonGlobal();
    this.checkAligned = this.defineCheckAligned();
    this.isWatched = defineIsWatched(m);
    this.watch = defineWatch(m);
    const protection = this.defineProtection();
    this.translate = this.defineTranslate(protection);
    this.mmioRead = this.defineMmioRead();
    this.mmioWrite = this.defineMmioWrite();
    this.storeBytes = this.defineStoreBytes();
  }

  /** (cpu, entry): remembers an entry that the next MOV CR3 must drop. */
  private defineNoteNonGlobal(): Fn<'void'> {
    return this.m.function('noteNonGlobal', ['i32', 'i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      const count = f.let(i32.load(cpu, S.nonGlobalCount));
      f.if(i32.lt_u(count, c32(NON_GLOBAL_MAX)), () => {
        const slot = i32.add(cpu, i32.shl(count, c32(2)));
        f.store32(slot, f.param(1, 'i32'), S.nonGlobal);
      });
      // One past the end means that the list overflowed and everything must go.
      f.if(i32.le_u(count, c32(NON_GLOBAL_MAX)), () => {
        f.store32(cpu, i32.add(count, c32(1)), S.nonGlobalCount);
      });
    });
  }

  /** (cpu, entry of the physical map, access) -> 1 and an exit if its protection forbids it. */
  private defineProtection(): Fn<'i32'> {
    return this.m.function('protection', ['i32', 'i32', 'i32'], 'i32', (f) => {
      const [cpu, entry, access] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
      const write = i32.shr_u(i32.and(access, c32(ACCESS.write)), c32(1));
      const fetch = i32.shr_u(i32.and(access, c32(ACCESS.fetch)), c32(4));
      const read = i32.eqz(or(write, fetch));
      const forbidden = or(
        i32.and(entry, i32.mul(write, c32(PAGE.noWrite))),
        i32.and(entry, i32.mul(fetch, c32(PAGE.noExecute))),
        i32.and(entry, i32.mul(read, c32(PAGE.noRead))),
      );
      f.if(i32.eqz(forbidden), () => f.return(c32(0)));
      const flags = or(i32.mul(write, c32(EXIT_WRITE)), i32.mul(fetch, c32(EXIT_FETCH)));
      f.store32(cpu, flags, S.exitFlags);
      f.store64(cpu, i64.load(cpu, S.lastPhysical), S.exitGpa);
      exitFault(f, cpu, EXIT.eptViolation);
      f.return(c32(1));
    });
  }

  /** The slow way from linear address to memory, filling the TLB given for it. */
  private defineTranslate(protection: Fn<'i32'>): Fn<'i32'> {
    const fill = this.defineFill();
    return this.m.function('translate', ['i32', 'i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, tlb] = [f.param(0, 'i32'), f.param(1, 'i32')];
      const [linear, access] = [f.param(2, 'i64'), f.param(3, 'i32')];
      f.if(checksAlignment(cpu, tlb), () => f.set(tlb, c32(0)));
      const physical = f.let(call(this.walk, cpu, linear, access));
      f.if(i64.eq(physical, c64(NO_PAGE)), () => f.return(c32(FAULTED)));
      f.store64(cpu, physical, S.lastPhysical);
      const page = f.let(i32.wrap(i64.shr_u(physical, c64(12))));
      const entry = f.let(call(this.physicalEntry, cpu, page));
      f.store32(cpu, entry, S.lastEntry);
      f.if(i32.eqz(i32.and(entry, c32(PAGE.present))), () => f.return(c32(NO_MEMORY)));
      f.if(i32.and(entry, c32(PAGE.noWrite | PAGE.noExecute | PAGE.noRead)), () => {
        f.if(call(protection, cpu, entry, access), () => f.return(c32(FAULTED)));
      });
      f.if(i32.eqz(i32.and(entry, c32(PAGE.touched))), () => {
        f.call(this.markPage, cpu, page, c32(PAGE.touched));
        const touched = i32.add(i32.load(cpu, S.touchedPages), c32(1));
        f.store32(cpu, touched, S.touchedPages);
      });
      f.if(tlb, () => {
        const stepping = i32.load(cpu, S.stepping);
        f.if(stepping, () => f.if(call(this.isWatched, cpu, linear), () => f.set(tlb, c32(0))));
        f.if(tlb, () => f.call(fill, cpu, tlb, linear, entry));
      });
      f.return(or(i32.and(entry, c32(-4096)), inPage(linear)));
    });
  }

  /** (cpu, tlb, linear, entry of the physical map): enters a translation. */
  private defineFill(): Fn<'void'> {
    return this.m.function('fill', ['i32', 'i32', 'i64', 'i32'], 'void', (f) => {
      const [cpu, tlb] = [f.param(0, 'i32'), f.param(1, 'i32')];
      const [linear, entry] = [f.param(2, 'i64'), f.param(3, 'i32')];
      const walk = f.let(i32.load(cpu, S.walkFlags));
      const slot = f.let(tlbEntry(tlb, linear));
      const page = f.let(pageOf(linear));
      f.store64(cpu, i64.add(i64.load(cpu, S.tlbMisses), c64(1)), S.tlbMisses);
      // Execute-only and unreadable pages never get a read tag: each access is checked.
      const readable = i32.eqz(i32.and(entry, c32(PAGE.noRead)));
      f.if(
        readable,
        () => f.store64(slot, page, TLB.readTag),
        () => f.store64(slot, c64(-1), TLB.readTag),
      );
      const writable = i32.and(
        i32.and(walk, c32(WALK.writable)),
        i32.eqz(i32.and(entry, c32(PAGE.noWrite | PAGE.code))),
      );
      f.if(
        writable,
        () => f.store64(slot, page, TLB.writeTag),
        () => f.store64(slot, c64(-1), TLB.writeTag),
      );
      f.store32(slot, i32.sub(i32.and(entry, c32(-4096)), i32.wrap(page)), TLB.addend);
      f.store32(slot, walk, TLB.flags);
      f.if(i32.eqz(i32.and(walk, c32(WALK.global))), () => f.call(this.noteNonGlobal, cpu, slot));
      f.if(i32.and(walk, c32(WALK.large | WALK.huge)), () => this.noteLarge(f, cpu, linear));
    });
  }

  /** Marks the 2 MiB and 1 GiB regions around `linear` as having been translated by large pages. */
  private noteLarge(f: FunctionBuilder, cpu: I32, linear: I64): void {
    for (const shift of [21, 30]) {
      const hash = f.let(regionHash(linear, shift));
      const byte = f.let(i32.add(cpu, i32.shr_u(hash, c32(3))));
      const bit = i32.shl(c32(1), i32.and(hash, c32(7)));
      f.store8(byte, i32.or(i32.load8_u(byte, S.largeRegions), bit), S.largeRegions);
    }
  }

  /**
   * (cpu, bytes) -> the value read at S.lastPhysical, outside RAM. The monitor answers MMIO in the
   * order of the instruction's accesses and runs the instruction again; the answers so far are
   * taken from S.mmioData, the first one that is missing makes the exit.
   */
  private defineMmioRead(): Fn<'i64'> {
    return this.m.function('mmioRead', ['i32', 'i32'], 'i64', (f) => {
      const cpu = f.param(0, 'i32');
      const next = f.let(i32.load(cpu, S.mmioNext));
      f.if(i32.lt_u(next, i32.load(cpu, S.mmioCount)), () => {
        f.store32(cpu, i32.add(next, c32(1)), S.mmioNext);
        f.return(i64.load(i32.add(cpu, i32.shl(next, c32(3))), S.mmioData));
      });
      f.store64(cpu, i64.load(cpu, S.lastPhysical), S.exitGpa);
      f.store32(cpu, f.param(1, 'i32'), S.exitSize);
      f.store32(cpu, c32(0), S.exitFlags);
      exitFault(f, cpu, EXIT.mmio);
      f.return(c64(0));
    });
  }

  /** (cpu, bytes, value) -> non-zero when the monitor must make the write at S.lastPhysical. */
  private defineMmioWrite(): Fn<'i32'> {
    return this.m.function('mmioWrite', ['i32', 'i32', 'i64'], 'i32', (f) => {
      const cpu = f.param(0, 'i32');
      const next = f.let(i32.load(cpu, S.mmioNext));
      f.if(i32.lt_u(next, i32.load(cpu, S.mmioCount)), () => {
        f.store32(cpu, i32.add(next, c32(1)), S.mmioNext);
        f.return(c32(0));
      });
      f.store64(cpu, i64.load(cpu, S.lastPhysical), S.exitGpa);
      f.store32(cpu, f.param(1, 'i32'), S.exitSize);
      f.store32(cpu, c32(EXIT_WRITE), S.exitFlags);
      f.store64(cpu, f.param(2, 'i64'), S.exitData);
      exitFault(f, cpu, EXIT.mmio);
      f.return(c32(1));
    });
  }

  /** See {@link MemoryRuntime.checkAligned}. */
  private defineCheckAligned(): Fn<'i32'> {
    return this.m.function('checkAligned', ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, linear, mask] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const isChecked = checksAlignment(cpu, i32.load(cpu, S.tlb));
      const isCrooked = i32.and(i32.wrap(linear), mask);
      // A non-canonical address is #GP or #SS first.
      const ok = i32.or(
        i32.or(i32.eqz(isChecked), i32.eqz(isCrooked)),
        i32.eqz(isCanonical(linear)),
      );
      f.if(ok, () => f.return(c32(0)));
      f.store32(cpu, c32(VECTOR.AC), S.faultVector);
      f.store32(cpu, c32(1), S.faultHasCode);
      f.store32(cpu, c32(0), S.faultCode);
      f.return(c32(1));
    });
  }

  /** Leaves the function with `failure` after an alignment check, where `tlb` says to check. */
  private align(
    f: FunctionBuilder,
    access: { cpu: I32; tlb: I32; linear: I64; bytes: I32 | number },
    failure: Expr,
  ): void {
    const { cpu, tlb, linear, bytes } = access;
    f.if(checksAlignment(cpu, tlb), () => {
      const mask = typeof bytes === 'number' ? c32(bytes - 1) : alignmentMask(bytes);
      f.if(call(this.checkAligned, cpu, linear, mask), () => f.return(failure));
    });
  }

  /** Access kind of an ordinary access: the U bit from CPL. */
  private currentAccess(cpu: I32, kind: number): I32 {
    const user = i32.shl(i32.eq(i32.load(cpu, S.cpl), c32(3)), c32(2));
    return i32.or(user, c32(kind));
  }

  private crosses(linear: I64, bytes: I32): I32 {
    return i32.gt_u(i32.add(inPage(linear), bytes), c32(4096));
  }

  /** (cpu, tlb, access, linear, bytes) -> address to read at, RAM or bounce; or isFaulted. */
  defineReadableFrom(): Fn<'i32'> {
    return this.m.function('readableFrom', ['i32', 'i32', 'i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, tlb, access] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
      const [linear, bytes] = [f.param(3, 'i64'), f.param(4, 'i32')];
      const bounce = i32.add(cpu, c32(S.bounce));
      const first = f.let(call(this.translate, cpu, tlb, linear, access));
      f.if(isFaulted(first), () => f.return(c32(FAULTED)));
      this.observe(f, cpu, linear, bytes, access);
      f.if(i32.eqz(this.crosses(linear, bytes)), () => {
        f.if(isMemory(first), () => f.return(first));
        this.mmioToBounce(f, cpu, bytes);
        f.return(bounce);
      });
      const head = f.let(i32.sub(c32(4096), inPage(linear)));
      const second = f.let(
        call(this.translate, cpu, tlb, i64.add(linear, i64.extend_u(head)), access),
      );
      f.if(isFaulted(second), () => f.return(c32(FAULTED)));
      // No device of ours is read across a page boundary: the part outside RAM reads as ones.
      f.memoryFill(bounce, c32(255), bytes);
      f.if(isMemory(first), () => f.memoryCopy(bounce, first, head));
      f.if(isMemory(second), () => {
        f.memoryCopy(i32.add(bounce, head), second, i32.sub(bytes, head));
      });
      f.return(bounce);
    });
  }

  /** Reads `bytes` of MMIO into the bounce buffer, in pieces of 8 bytes at most; leaves on exit. */
  private mmioToBounce(f: FunctionBuilder, cpu: I32, bytes: I32): void {
    const done = f.local('i32');
    f.set(done, c32(0));
    const value = f.local('i64');
    f.loop((again) => {
      const rest = i32.sub(bytes, done);
      const piece = f.let(
        f.choose(
          'i32',
          i32.gt_u(rest, c32(8)),
          () => c32(8),
          () => rest,
        ),
      );
      f.set(value, call(this.mmioRead, cpu, piece));
      f.if(i32.eq(i32.load(cpu, S.faultVector), c32(FAULT_EXIT)), () => f.return(c32(FAULTED)));
      f.store64(i32.add(cpu, done), value, S.bounce);
      f.set(done, i32.add(done, piece));
      f.store64(cpu, i64.add(i64.load(cpu, S.lastPhysical), c64(8)), S.lastPhysical);
      f.br(again, i32.lt_u(done, bytes));
    });
  }

  /** (cpu, linear, bytes) -> readable address with the current rights. */
  defineReadable(from: Fn<'i32'>): Fn<'i32'> {
    return this.m.function('readable', ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const access = this.currentAccess(cpu, ACCESS.read);
      const tlb = f.let(i32.load(cpu, S.tlb));
      this.align(f, { cpu, tlb, linear, bytes }, c32(FAULTED));
      f.returnCall(from, cpu, tlb, access, linear, bytes);
      f.unreachable();
    });
  }

  defineLoad(size: Size, from: Fn<'i32'>, system: boolean): Fn<'i64'> {
    const name = `load${system ? 'System' : ''}${8 * size}`;
    return this.m.function(name, ['i32', 'i64'], 'i64', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const tlb = system ? i32.add(cpu, c32(TLB_SUPERVISOR)) : i32.load(cpu, S.tlb);
      const access = system ? c32(ACCESS.implicit) : this.currentAccess(cpu, ACCESS.read);
      // Not for the handlers, which have looked there, but for event delivery and the like.
      const entry = f.let(tlbEntry(tlb, linear));
      const last = pageOf(i64.add(linear, c64(size - 1)));
      f.if(i64.eq(i64.load(entry, TLB.readTag), last), () => {
        f.return(loadLow(size, i32.add(i32.wrap(linear), i32.load(entry, TLB.addend))));
      });
      if (!system && size > 1) this.align(f, { cpu, tlb, linear, bytes: size }, c64(0));
      const address = f.let(call(from, cpu, tlb, access, linear, c32(size)));
      f.if(isFaulted(address), () => f.return(c64(0)));
      f.return(loadLow(size, address));
    });
  }

  /** (cpu, tlb, access, linear, bytes): stores that many bytes of the bounce buffer; 1: fault. */
  private defineStoreBytes(): Fn<'i32'> {
    const params = ['i32', 'i32', 'i32', 'i64', 'i32'] as const;
    return this.m.function('storeBytes', params, 'i32', (f) => {
      const [cpu, tlb, access] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
      const [linear, bytes] = [f.param(3, 'i64'), f.param(4, 'i32')];
      const bounce = i32.add(cpu, c32(S.bounce));
      const head = f.let(i32.sub(c32(4096), inPage(linear)));
      f.if(i32.gt_u(head, bytes), () => f.set(head, bytes));
      const tail = f.let(i32.sub(bytes, head));
      // Both pages must be writable before a byte of either changes; the lower one faults first.
      const first = f.let(call(this.translate, cpu, tlb, linear, access));
      f.if(isFaulted(first), () => f.return(c32(1)));
      const entry = f.let(i32.load(cpu, S.lastEntry));
      const physical = f.let(i64.load(cpu, S.lastPhysical));
      const second = f.let(c32(NO_MEMORY));
      f.if(tail, () => {
        const next = i64.add(linear, i64.extend_u(head));
        f.set(second, call(this.translate, cpu, tlb, next, access));
        f.if(isFaulted(second), () => f.return(c32(1)));
      });
      this.observe(f, cpu, linear, bytes, access);
      f.if(
        isOutside(first),
        () => {
          f.if(i32.eqz(tail), () => {
            f.returnCall(this.mmioWrite, cpu, bytes, i64.load(bounce));
          });
        },
        () => {
          f.memoryCopy(first, bounce, head);
          this.noteCode(f, cpu, entry, physical, head);
        },
      );
      f.if(isMemory(second), () => {
        f.memoryCopy(second, i32.add(bounce, head), tail);
        this.noteCode(f, cpu, i32.load(cpu, S.lastEntry), i64.load(cpu, S.lastPhysical), tail);
      });
      f.return(c32(0));
    });
  }

  /** Lets data breakpoints see an access that succeeded in being translated. */
  private observe(f: FunctionBuilder, cpu: I32, linear: I64, bytes: I32, access: I32): void {
    f.if(i32.load(cpu, S.stepping), () => f.call(this.watch, cpu, linear, bytes, access));
  }

  private noteCode(f: FunctionBuilder, cpu: I32, entry: I32, physical: I64, bytes: I32): void {
    f.if(i32.and(entry, c32(PAGE.code)), () => f.call(this.codeWritten, cpu, physical, bytes));
  }

  defineStore(size: Size, system: boolean): Fn<'i32'> {
    const name = `store${system ? 'System' : ''}${8 * size}`;
    return this.m.function(name, ['i32', 'i64', 'i64'], 'i32', (f) => {
      const [cpu, linear, value] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i64')];
      const tlb = system ? i32.add(cpu, c32(TLB_SUPERVISOR)) : i32.load(cpu, S.tlb);
      const access = system
        ? c32(ACCESS.implicit | ACCESS.write)
        : this.currentAccess(cpu, ACCESS.write);
      const entry = f.let(tlbEntry(tlb, linear));
      const last = pageOf(i64.add(linear, c64(size - 1)));
      f.if(i64.eq(i64.load(entry, TLB.writeTag), last), () => {
        f.storeLow(size, i32.add(i32.wrap(linear), i32.load(entry, TLB.addend)), value);
        f.return(c32(0));
      });
      if (!system && size > 1) this.align(f, { cpu, tlb, linear, bytes: size }, c32(1));
      f.store64(cpu, value, S.bounce);
      f.returnCall(this.storeBytes, cpu, tlb, access, linear, c32(size));
      f.unreachable();
    });
  }

  /** (cpu, linear, bytes) -> address to modify; the bounce buffer when the write needs care. */
  defineWritable(from: Fn<'i32'>): Fn<'i32'> {
    return this.m.function('writable', ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const tlb = f.let(i32.load(cpu, S.tlb));
      const access = f.let(this.currentAccess(cpu, ACCESS.write));
      this.align(f, { cpu, tlb, linear, bytes }, c32(FAULTED));
      f.if(i32.eqz(this.crosses(linear, bytes)), () => {
        const address = f.let(call(this.translate, cpu, tlb, linear, access));
        f.if(isFaulted(address), () => f.return(c32(FAULTED)));
        this.observe(f, cpu, linear, bytes, access);
        const plain = i32.eqz(i32.and(i32.load(cpu, S.lastEntry), c32(PAGE.code)));
        f.if(i32.and(isMemory(address), plain), () => f.return(address));
      });
      // Through the buffer: read with write rights, so that what commit does cannot fault.
      const address = f.let(call(from, cpu, tlb, access, linear, bytes));
      f.if(isFaulted(address), () => f.return(c32(FAULTED)));
      const bounce = f.let(i32.add(cpu, c32(S.bounce)));
      f.if(i32.ne(address, bounce), () => f.memoryCopy(bounce, address, bytes));
      f.return(bounce);
    });
  }

  defineCommit(): Fn<'i32'> {
    return this.m.function('commit', ['i32', 'i64', 'i32', 'i32'], 'i32', (f) => {
      const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      f.if(i32.ne(f.param(3, 'i32'), i32.add(cpu, c32(S.bounce))), () => f.return(c32(0)));
      const access = this.currentAccess(cpu, ACCESS.write);
      f.returnCall(this.storeBytes, cpu, i32.load(cpu, S.tlb), access, linear, bytes);
      f.unreachable();
    });
  }

  defineProbeWrite(): Fn<'i32'> {
    return this.m.function('probeWrite', ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, linear, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const access = f.let(this.currentAccess(cpu, ACCESS.write));
      const tlb = f.let(i32.load(cpu, S.tlb));
      this.align(f, { cpu, tlb, linear, bytes }, c32(1));
      f.if(isFaulted(call(this.translate, cpu, tlb, linear, access)), () => f.return(c32(1)));
      f.if(this.crosses(linear, bytes), () => {
        const next = pageOf(i64.add(linear, i64.extend_u(i32.sub(bytes, c32(1)))));
        f.if(isFaulted(call(this.translate, cpu, tlb, next, access)), () => f.return(c32(1)));
      });
      f.return(c32(0));
    });
  }

  defineFlushAll(): Fn<'void'> {
    return this.m.function('flushAll', ['i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      stepEpoch(f, cpu);
      const bytes = FETCH_USER + FETCH_ENTRIES * FETCH_ENTRY_BYTES - TLB_SUPERVISOR;
      f.memoryFill(i32.add(cpu, c32(TLB_SUPERVISOR)), c32(255), c32(bytes));
      f.memoryFill(i32.add(cpu, c32(S.largeRegions)), c32(0), c32(128));
      f.store32(cpu, c32(0), S.nonGlobalCount);
      f.store32(cpu, c32(0), S.fetchNonGlobal);
    });
  }

  defineFlushNonGlobal(flushAll: Fn<'void'>): Fn<'void'> {
    return this.m.function('flushNonGlobal', ['i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      stepEpoch(f, cpu);
      const count = f.let(i32.load(cpu, S.nonGlobalCount));
      f.if(i32.gt_u(count, c32(NON_GLOBAL_MAX)), () => f.returnCall(flushAll, cpu));
      f.block((done) => {
        f.loop((again) => {
          f.br(done, i32.eqz(count));
          f.set(count, i32.sub(count, c32(1)));
          const slot = i32.add(cpu, i32.shl(count, c32(2)));
          const entry = f.let(i32.load(slot, S.nonGlobal));
          f.store64(entry, c64(-1), TLB.readTag);
          f.store64(entry, c64(-1), TLB.writeTag);
          f.br(again);
        });
      });
      f.store32(cpu, c32(0), S.nonGlobalCount);
      const fetchBytes = c32(FETCH_ENTRIES * FETCH_ENTRY_BYTES);
      f.memoryFill(i32.add(cpu, c32(FETCH_USER)), c32(255), fetchBytes);
      f.if(i32.load(cpu, S.fetchNonGlobal), () => {
        f.memoryFill(i32.add(cpu, c32(FETCH_SUPERVISOR)), c32(255), fetchBytes);
        f.store32(cpu, c32(0), S.fetchNonGlobal);
      });
    });
  }

  /** (cpu, linear): INVLPG. A large page may have left many entries: then all go. */
  defineFlushPage(flushAll: Fn<'void'>): Fn<'void'> {
    return this.m.function('flushPage', ['i32', 'i64'], 'void', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      stepEpoch(f, cpu);
      for (const shift of [21, 30]) {
        const hash = f.let(regionHash(linear, shift));
        const byte = i32.load8_u(i32.add(cpu, i32.shr_u(hash, c32(3))), S.largeRegions);
        const bit = i32.and(i32.shr_u(byte, i32.and(hash, c32(7))), c32(1));
        f.if(bit, () => f.returnCall(flushAll, cpu));
      }
      const page = f.let(pageOf(linear));
      for (const tlb of [TLB_SUPERVISOR, TLB_USER, TLB_SUPERVISOR_AC]) {
        const entry = f.let(tlbEntry(i32.add(cpu, c32(tlb)), linear));
        f.store64(entry, c64(-1), TLB.readTag);
        f.store64(entry, c64(-1), TLB.writeTag);
      }
      for (const tlb of [FETCH_SUPERVISOR, FETCH_USER]) {
        const entry = f.let(fetchEntry(i32.add(cpu, c32(tlb)), linear));
        f.if(i64.eq(pageOf(i64.load(entry)), page), () => f.store64(entry, c64(-1)));
      }
    });
  }

  defineSelectTlb(): Fn<'void'> {
    return this.m.function('selectTlb', ['i32'], 'void', (f) => {
      const cpu = f.param(0, 'i32');
      const set = (tlb: number, fetch: number): void => {
        f.store32(cpu, i32.add(cpu, c32(tlb)), S.tlb);
        f.store32(cpu, i32.add(cpu, c32(fetch)), S.fetchTlb);
        const mode = c32(fetch === FETCH_USER ? 1 : 0);
        f.store32(cpu, i32.or(i32.and(i32.load(cpu, S.epoch), c32(-2)), mode), S.epoch);
      };
      f.if(i32.eq(i32.load(cpu, S.cpl), c32(3)), () => {
        const asked = hasBits(i32.load(cpu, S.eflags), AC);
        const checked = i32.and(asked, hasBits(control(cpu, S.cr0), CR0_AM));
        f.if(
          checked,
          () => set(TLB_ALIGNED, FETCH_USER),
          () => set(TLB_USER, FETCH_USER),
        );
        f.return();
      });
      set(TLB_SUPERVISOR, FETCH_SUPERVISOR);
      const smap = hasBits(control(cpu, S.cr4), CR4_SMAP);
      f.if(i32.and(smap, hasBits(i32.load(cpu, S.eflags), AC)), () =>
        set(TLB_SUPERVISOR_AC, FETCH_SUPERVISOR),
      );
    });
  }
}

/** 1 for the TLB that is in use while alignment is checked. */
const checksAlignment = (cpu: I32, tlb: I32): I32 => i32.eq(tlb, i32.add(cpu, c32(TLB_ALIGNED)));

/** The address bits that must be zero in an operand of so many bytes (vol. 3A, 6.15, "#AC"). */
function alignmentMask(bytes: I32): I32 {
  const isPower = i32.eqz(i32.and(bytes, i32.sub(bytes, c32(1))));
  const isSmall = i32.le_u(bytes, c32(8));
  const natural = select(i32.and(isPower, isSmall), i32.sub(bytes, c32(1)), c32(0));
  return select(i32.eq(bytes, c32(10)), c32(7), natural);
}

/** Address of the fetch TLB entry for a linear address. */
export function fetchEntry(tlb: I32, linear: I64): I32 {
  const offset = i32.and(
    i32.wrap(i64.shr_u(linear, c64(8))),
    c32((FETCH_ENTRIES - 1) * FETCH_ENTRY_BYTES),
  );
  return i32.add(tlb, offset);
}

/**
 * The tag of a fetch TLB entry: the page's linear address, and the code mode in the low bits, since
 * what it leads to is decoded for one mode.
 */
export const fetchTag = (linear: I64, mode: I32): I64 =>
  i64.or(i64.and(linear, c64(-4096)), i64.extend_u(mode));

/** A bit number 0..1023 for the region of 2^shift bytes around `linear`. */
function regionHash(linear: I64, shift: number): I32 {
  const region = i32.wrap(i64.shr_u(linear, c64(shift)));
  const mixed = i32.mul(region, c32(0x9e3779b1 | 0));
  return i32.shr_u(i32.add(mixed, c32(shift)), c32(22));
}

/** The low `size` bytes at `address`, zero-extended. */
export function loadLow(size: Size, address: I32, offset = 0): I64 {
  if (size === 1) return i64.load8_u(address, offset);
  if (size === 2) return i64.load16_u(address, offset);
  if (size === 4) return i64.load32_u(address, offset);
  return i64.load(address, offset);
}

const SIZES: readonly Size[] = [1, 2, 4, 8];

function bySize<T>(make: (size: Size) => T): Record<Size, T> {
  const table = SIZES.map(make);
  return { 1: table[0], 2: table[1], 4: table[2], 8: table[3] };
}

/**
 * Defines the memory functions of a module. `codeWritten` is (cpu, physical, bytes): called after
 * a store into a page with decoded code.
 */
export function defineMmu(m: ModuleBuilder, codeWritten: Fn<'void'>): Mmu {
  const builder = new MmuBuilder(m, codeWritten);
  const from = builder.defineReadableFrom();
  const flushAll = builder.defineFlushAll();
  return {
    load: bySize((size) => builder.defineLoad(size, from, false)),
    store: bySize((size) => builder.defineStore(size, false)),
    loadSystem: bySize((size) => builder.defineLoad(size, from, true)),
    storeSystem: bySize((size) => builder.defineStore(size, true)),
    readable: builder.defineReadable(from),
    writable: builder.defineWritable(from),
    commit: builder.defineCommit(),
    probeWrite: builder.defineProbeWrite(),
    checkAligned: builder.checkAligned,
    flushAll,
    flushNonGlobal: builder.defineFlushNonGlobal(flushAll),
    flushPage: builder.defineFlushPage(flushAll),
    selectTlb: builder.defineSelectTlb(),
    checkedAddress: defineCheckedAddress(m),
    translate: builder.translate,
    physicalEntry: builder.physicalEntry,
    markPage: builder.markPage,
  };
}

/** The local a memory operand's translation ends in; exported for memory-access.ts. */
export type HostAddress = Local<'i32'>;
