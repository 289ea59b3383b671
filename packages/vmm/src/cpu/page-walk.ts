// Linear to physical: the page walk of SDM vol. 3A chapter 4, in its four forms: no paging, 32-bit
// with 4 MiB pages, PAE, and 4-level with 2 MiB and 1 GiB pages. 5-level paging and protection keys
// are not there (CPUID says so). Accessed and dirty bits are set with atomic operations, since
// another vCPU may be changing the same entry.

import { AC } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  CR0_PG,
  CR0_WP,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  control,
  EFER_NXE,
  hasBits,
  isLong,
} from './control-bits.ts';
import { S, VECTOR } from './state.ts';

/** What an access is, in the bit positions of the page-fault error code. */
export const ACCESS = {
  read: 0,
  write: 2,
  user: 4,
  fetch: 16,
  /** A supervisor access that RFLAGS.AC does not excuse from SMAP (tables, event stacks). */
  implicit: 64,
} as const;

const PF_PRESENT = 1;
const PF_RESERVED = 8;

/** {@link S.walkFlags}: what the last successful walk found. */
export const WALK = {
  /** Writes are allowed and the dirty bit is set. */
  writable: 1,
  global: 2,
  /** Part of a 2 or 4 MiB page, of a 1 GiB page. */
  large: 4,
  huge: 8,
} as const;

/** Result of a walk that faulted. */
export const NO_PAGE = -1;
/** {@link S.faultVector} for an address that is not canonical: #SS or #GP, by the segment. */
export const FAULT_NON_CANONICAL = -3;

const PTE_P = 1;
const PTE_W = 2;
const PTE_U = 4;
const PTE_A = 32;
const PTE_D = 64;
const PTE_PS = 128;
const PTE_G = 256;
/** Entries hold a physical address in bits 51:12. */
const PTE_ADDRESS = 0x000ffffffffff000n;

const has = (word: I64, bit: number | bigint): I32 => i64.ne(i64.and(word, c64(bit)), c64(0));

/** One walk being emitted: the parameters and what has been gathered on the way down. */
class Walk {
  readonly f: FunctionBuilder;
  readonly cpu: Local<'i32'>;
  readonly linear: Local<'i64'>;
  readonly access: Local<'i32'>;
  readonly table: Local<'i64'>;
  readonly entry: Local<'i64'>;
  readonly host: Local<'i32'>;
  /** AND of all entries' W and U bits, OR of their NX bits. */
  readonly allowed: Local<'i64'>;
  readonly noExecute: Local<'i64'>;
  readonly flags: Local<'i32'>;

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.cpu = f.param(0, 'i32');
    this.linear = f.param(1, 'i64');
    this.access = f.param(2, 'i32');
    this.table = f.local('i64');
    this.entry = f.local('i64');
    this.host = f.local('i32');
    this.allowed = f.local('i64');
    this.noExecute = f.local('i64');
    this.flags = f.local('i32');
  }

  /** Raises #PF with the bits the access has and `bits`. */
  fault(bits: number): void {
    const { f, cpu } = this;
    f.store64(cpu, this.linear, S.cr2);
    f.store32(cpu, c32(VECTOR.PF), S.faultVector);
    f.store32(cpu, c32(1), S.faultHasCode);
    // The I/D bit is only reported when SMEP is on, or NX where entries have 8 bytes (SDM vol. 3A,
    // 4.7).
    const cr4 = control(cpu, S.cr4);
    const nx = i32.and(hasBits(control(cpu, S.efer), EFER_NXE), hasBits(cr4, CR4_PAE));
    const reportsFetch = i32.or(nx, hasBits(cr4, CR4_SMEP));
    const kind = i32.and(this.access, c32(ACCESS.write | ACCESS.user));
    const fetchBit = i32.and(
      i32.and(this.access, c32(ACCESS.fetch)),
      i32.sub(c32(0), reportsFetch),
    );
    f.store32(cpu, i32.or(i32.or(kind, fetchBit), c32(bits)), S.faultCode);
    f.return(c64(NO_PAGE));
  }

  /** Reads entry `index` of the table, 8 or 4 bytes; faults unless it is present and valid. */
  read(physicalEntry: Fn<'i32'>, index: I64, bytes: number, reserved: I64 | null): void {
    const { f, cpu } = this;
    const address = f.let(i64.add(this.table, index));
    const page = f.let(call(physicalEntry, cpu, i32.wrap(i64.shr_u(address, c64(12)))));
    // A table outside RAM reads as not present: there is nothing sensible to walk.
    f.if(i32.eqz(i32.and(page, c32(1))), () => this.fault(0));
    f.set(this.host, i32.or(i32.and(page, c32(-4096)), i32.and(i32.wrap(address), c32(4095))));
    f.set(this.entry, bytes === 8 ? i64.load(this.host) : i64.load32_u(this.host));
    f.if(i64.eqz(i64.and(this.entry, c64(PTE_P))), () => this.fault(0));
    if (reserved) {
      f.if(i64.ne(i64.and(this.entry, reserved), c64(0)), () => {
        this.fault(PF_PRESENT | PF_RESERVED);
      });
    }
  }

  /** Takes the entry's rights into account and marks it accessed. */
  descend(): void {
    const { f } = this;
    f.set(this.allowed, i64.and(this.allowed, this.entry));
    f.set(this.noExecute, i64.or(this.noExecute, this.entry));
    f.if(i64.eqz(i64.and(this.entry, c64(PTE_A))), () => this.mark(PTE_A));
    f.set(this.table, i64.and(this.entry, c64(PTE_ADDRESS)));
  }

  mark(bits: number): void {
    this.f.drop(i32.atomicRmw('or', this.host, c32(bits)));
  }

  /** Checks the rights gathered, sets A and D of the leaf, returns its physical address. */
  leaf(pageShift: number, extraHigh?: I64): void {
    const { f, cpu } = this;
    f.set(this.allowed, i64.and(this.allowed, this.entry));
    f.set(this.noExecute, i64.or(this.noExecute, this.entry));
    const denied = f.let(this.denied());
    f.if(denied, () => this.fault(PF_PRESENT));
    const writes = hasBits(this.access, ACCESS.write);
    f.if(
      writes,
      () =>
        f.if(i64.ne(i64.and(this.entry, c64(PTE_A | PTE_D)), c64(PTE_A | PTE_D)), () =>
          this.mark(PTE_A | PTE_D),
        ),
      () => f.if(i64.eqz(i64.and(this.entry, c64(PTE_A))), () => this.mark(PTE_A)),
    );
    const dirty = i32.or(writes, has(this.entry, PTE_D));
    const writable = i32.and(dirty, this.mayWrite());
    const global = i32.and(has(this.entry, PTE_G), hasBits(control(cpu, S.cr4), CR4_PGE));
    const size = pageShift >= 30 ? WALK.huge : pageShift > 12 ? WALK.large : 0;
    f.store32(cpu, i32.or(i32.or(writable, i32.shl(global, c32(1))), c32(size)), S.walkFlags);
    const offsetMask = c64((1 << pageShift) - 1);
    const base = i64.and(
      i64.and(this.entry, c64(extraHigh ? 0xffc00000 : PTE_ADDRESS)),
      i64.xor(offsetMask, c64(-1)),
    );
    const address = i64.or(base, i64.and(this.linear, offsetMask));
    f.return(extraHigh ? i64.or(address, extraHigh) : address);
  }

  private supervisor(): I32 {
    return i32.eqz(i32.and(this.access, c32(ACCESS.user)));
  }

  /** 1 when this mode may write the page. */
  private mayWrite(): I32 {
    const ignored = i32.and(this.supervisor(), i32.eqz(hasBits(control(this.cpu, S.cr0), CR0_WP)));
    return i32.or(has(this.allowed, PTE_W), ignored);
  }

  /** 1 when the rights forbid the access (SDM vol. 3A, 4.6.1). */
  private denied(): I32 {
    const { cpu } = this;
    const userPage = has(this.allowed, PTE_U);
    const cr4 = control(cpu, S.cr4);
    const fetch = hasBits(this.access, ACCESS.fetch);
    const noUser = i32.and(i32.eqz(userPage), i32.eqz(this.supervisor()));
    const noWrite = i32.and(hasBits(this.access, ACCESS.write), i32.eqz(this.mayWrite()));
    const nx = i32.and(i64.lt_s(this.noExecute, c64(0)), hasBits(control(cpu, S.efer), EFER_NXE));
    const smep = i32.and(i32.and(userPage, this.supervisor()), hasBits(cr4, CR4_SMEP));
    const noFetch = i32.and(fetch, i32.or(nx, smep));
    const excused = i32.and(
      hasBits(i32.load(cpu, S.eflags), AC),
      i32.eqz(hasBits(this.access, ACCESS.implicit)),
    );
    const smap = i32.and(
      i32.and(i32.and(userPage, this.supervisor()), hasBits(cr4, CR4_SMAP)),
      i32.and(i32.eqz(fetch), i32.eqz(excused)),
    );
    return i32.or(i32.or(noUser, noWrite), i32.or(noFetch, smap));
  }

  /** Byte offset of the table entry that translates bits `shift` and up: `bits` bits of index. */
  index(shift: number, bits: number, bytes: number): I64 {
    const scaled = i64.shr_u(this.linear, c64(shift));
    return i64.mul(i64.and(scaled, c64((1 << bits) - 1)), c64(bytes));
  }
}

/**
 * Bits of an 8-byte entry that must be zero: above the physical width up to bit 51, NX unless
 * enabled, and `more`.
 */
function reservedBits(w: Walk, more = 0n): Local<'i64'> {
  const nxOff = i32.eqz(hasBits(control(w.cpu, S.efer), EFER_NXE));
  const width = i64.and(i64.xor(i64.load(w.cpu, S.physicalMask), c64(-1)), c64(PTE_ADDRESS));
  return w.f.let(i64.or(i64.or(width, c64(more)), i64.shl(i64.extend_u(nxOff), c64(63))));
}

/** One level at which an entry with PS set may be the leaf. */
function maybeLarge(w: Walk, shift: number, reserved: Local<'i64'>): void {
  w.f.if(has(w.entry, PTE_PS), () => {
    // Bits between the page size and the PAT bit (12) are reserved in large leaves.
    const between = c64((1 << shift) - (1 << 13));
    w.f.if(i64.ne(i64.and(w.entry, i64.or(reserved, between)), c64(0)), () => {
      w.fault(PF_PRESENT | PF_RESERVED);
    });
    w.leaf(shift);
  });
}

function fourLevels(w: Walk, physicalEntry: Fn<'i32'>): void {
  const { f } = w;
  // Addresses whose upper 17 bits differ cannot be translated: not a page fault.
  const top = f.let(i64.shr_s(w.linear, c64(47)));
  f.if(i64.gt_u(i64.add(top, c64(1)), c64(1)), () => {
    f.store32(w.cpu, c32(FAULT_NON_CANONICAL), S.faultVector);
    f.return(c64(NO_PAGE));
  });
  const reserved = reservedBits(w);
  f.set(w.table, i64.and(i64.load(w.cpu, S.cr3), c64(PTE_ADDRESS)));
  w.read(physicalEntry, w.index(39, 9, 8), 8, i64.or(reserved, c64(PTE_PS)));
  w.descend();
  w.read(physicalEntry, w.index(30, 9, 8), 8, reserved);
  maybeLarge(w, 30, reserved);
  w.descend();
  w.read(physicalEntry, w.index(21, 9, 8), 8, reserved);
  maybeLarge(w, 21, reserved);
  w.descend();
  w.read(physicalEntry, w.index(12, 9, 8), 8, reserved);
  w.leaf(12);
}

function threeLevels(w: Walk, physicalEntry: Fn<'i32'>): void {
  const { f } = w;
  // Bits 62:52, which 4-level paging ignores, are reserved here.
  const reserved = reservedBits(w, 0x7ffn << 52n);
  // The four PDPTEs were loaded with CR3; they carry no rights.
  const slot = i32.shl(i32.wrap(i64.shr_u(w.linear, c64(30))), c32(3));
  f.set(w.entry, i64.load(i32.add(w.cpu, slot), S.pdpte));
  f.if(i64.eqz(i64.and(w.entry, c64(PTE_P))), () => w.fault(0));
  f.set(w.table, i64.and(w.entry, c64(PTE_ADDRESS)));
  w.read(physicalEntry, w.index(21, 9, 8), 8, reserved);
  maybeLarge(w, 21, reserved);
  w.descend();
  w.read(physicalEntry, w.index(12, 9, 8), 8, reserved);
  w.leaf(12);
}

function twoLevels(w: Walk, physicalEntry: Fn<'i32'>): void {
  const { f } = w;
  f.set(w.table, i64.and(i64.load(w.cpu, S.cr3), c64(0xfffff000)));
  w.read(physicalEntry, w.index(22, 10, 4), 4, null);
  const large = i32.and(has(w.entry, PTE_PS), hasBits(control(w.cpu, S.cr4), CR4_PSE));
  f.if(large, () => {
    // PSE-36: bits 20:13 of the entry are address bits 39:32.
    f.if(has(w.entry, 1 << 21), () => w.fault(PF_PRESENT | PF_RESERVED));
    const high = f.let(i64.shl(i64.and(w.entry, c64(0x1fe000)), c64(19)));
    w.leaf(22, high);
  });
  w.descend();
  w.read(physicalEntry, w.index(12, 10, 4), 4, null);
  w.leaf(12);
}

/**
 * Defines (cpu, linear, access) -> physical address, or {@link NO_PAGE} with the fault in the
 * state. Fills S.walkFlags. Changes nothing but accessed and dirty bits.
 */
export function definePageWalk(m: ModuleBuilder, physicalEntry: Fn<'i32'>): Fn<'i64'> {
  const declare = (name: string, build: (w: Walk) => void): Fn<'i64'> =>
    m.function(name, ['i32', 'i64', 'i32'], 'i64', (f) => {
      const w = new Walk(f);
      f.set(w.allowed, c64(-1));
      build(w);
      f.unreachable();
    });
  const four = declare('walk4', (w) => fourLevels(w, physicalEntry));
  const three = declare('walkPae', (w) => threeLevels(w, physicalEntry));
  const two = declare('walk2', (w) => twoLevels(w, physicalEntry));
  return m.function('walk', ['i32', 'i64', 'i32'], 'i64', (f) => {
    const [cpu, linear, access] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    f.if(isLong(cpu), () => f.returnCall(four, cpu, linear, access));
    f.if(i32.eqz(hasBits(control(cpu, S.cr0), CR0_PG)), () => {
      f.store32(cpu, c32(WALK.writable), S.walkFlags);
      f.return(i64.and(linear, c64(0xffffffff)));
    });
    const low = i64.and(linear, c64(0xffffffff));
    f.if(hasBits(control(cpu, S.cr4), CR4_PAE), () => f.returnCall(three, cpu, low, access));
    f.returnCall(two, cpu, low, access);
    f.unreachable();
  });
}
