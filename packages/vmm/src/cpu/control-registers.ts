// CR0, CR2, CR3, CR4, CR8, XCR0 and EFER: SDM vol. 3A, 2.5, 2.6, 2.2.1; the rules of entering and
// leaving IA-32e mode, 9.8.5; PDPTE registers, 4.4.1. Modelled: every check that raises #GP, the
// flushes, LMA. CR4 has the bits of the features that CPUID shows, and MCE and PCE, which kernels
// set without asking. Not modelled: PCID, protection keys, CET, 5-level paging;
// CR0.NE is kept, but #MF is always an exception, as on a processor that vmm(4) runs (it forces
// NE). CR0.CD and NW change nothing: there is no cache.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_FSGSBASE,
  CR4_MCE,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_PCE,
  CR4_PGE,
  CR4_PSE,
  CR4_PVI,
  CR4_SMAP,
  CR4_SMEP,
  CR4_TSD,
  CR4_UMIP,
  CR4_VME,
  control,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
  hasBits,
  isLong,
} from './control-bits.ts';
import { Faults } from './faults.ts';
import type { Modes } from './modes.ts';
import type { MemoryRuntime } from './runtime.ts';
import { AR_L, AR_S, CS, S, SEGMENT_AR, segmentCache, TR, VECTOR } from './state.ts';

/** The bits of CR0 that exist; others are dropped (below 32) or raise #GP (above). */
const CR0_MASK =
  CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
/** Those that decide how linear addresses are translated. */
const CR0_PAGING = CR0_PE | CR0_PG | CR0_WP;

/** The bits of CR4 that may be set. */
const CR4_MASK =
  CR4_VME |
  CR4_PVI |
  CR4_TSD |
  CR4_DE |
  CR4_PSE |
  CR4_PAE |
  CR4_MCE |
  CR4_PGE |
  CR4_PCE |
  CR4_OSFXSR |
  CR4_OSXMMEXCPT |
  CR4_UMIP |
  CR4_FSGSBASE |
  CR4_OSXSAVE |
  CR4_SMEP |
  CR4_SMAP;
const CR4_PAGING = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP;
/** Those whose change loads the PDPTE registers. */
const CR4_PDPTE = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP;

const EFER_MASK = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

/** What the control registers need to know of memory. */
export interface ControlParts {
  readonly memory: MemoryRuntime;
  /** (cpu, page number) -> entry of the physical map (physical-map.ts). */
  readonly physicalEntry: Fn<'i32'>;
  readonly modes: Modes;
}

/** Functions on control registers. */
export interface ControlRegisters {
  /** (cpu, number) -> the register; #UD for one that does not exist. S.faultVector tells. */
  readonly read: Fn<'i64'>;
  /** (cpu, number, value) -> fault. */
  readonly write: Fn<'i32'>;
  /** (cpu, value) -> fault: LMSW and CLTS write CR0 too. */
  readonly writeCr0: Fn<'i32'>;
  /** (cpu, value) -> fault: WRMSR. */
  readonly writeEfer: Fn<'i32'>;
}

/** Defines {@link ControlRegisters}. */
export function defineControlRegisters(m: ModuleBuilder, parts: ControlParts): ControlRegisters {
  const loadPdptes = defineLoadPdptes(m, parts);
  const writeCr0 = defineWriteCr0(m, parts, loadPdptes);
  const writeCr3 = defineWriteCr3(m, parts, loadPdptes);
  const writeCr4 = defineWriteCr4(m, parts, loadPdptes);
  return {
    read: defineRead(m),
    write: defineWrite(m, writeCr0, writeCr3, writeCr4),
    writeCr0,
    writeEfer: defineWriteEfer(m, parts),
  };
}

const REGISTERS = [
  [0, S.cr0],
  [2, S.cr2],
  [3, S.cr3],
  [4, S.cr4],
  [8, S.cr8],
] as const;

function defineRead(m: ModuleBuilder): Fn<'i64'> {
  return m.function('readControl', ['i32', 'i32'], 'i64', (f) => {
    const [cpu, number] = [f.param(0, 'i32'), f.param(1, 'i32')];
    for (const [n, field] of REGISTERS) {
      f.if(i32.eq(number, c32(n)), () => f.return(i64.load(cpu, field)));
    }
    new Faults(f, cpu, c64(0)).raise(VECTOR.UD);
    f.unreachable();
  });
}

function defineWrite(
  m: ModuleBuilder,
  writeCr0: Fn<'i32'>,
  writeCr3: Fn<'i32'>,
  writeCr4: Fn<'i32'>,
): Fn<'i32'> {
  return m.function('writeControl', ['i32', 'i32', 'i64'], 'i32', (f) => {
    const [cpu, number, value] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i64')];
    const faults = new Faults(f, cpu);
    const is = (n: number): I32 => i32.eq(number, c32(n));
    f.if(is(0), () => f.returnCall(writeCr0, cpu, value));
    f.if(is(3), () => f.returnCall(writeCr3, cpu, value));
    f.if(is(4), () => f.returnCall(writeCr4, cpu, value));
    f.if(is(2), () => {
      f.store64(cpu, value, S.cr2);
      f.return(c32(0));
    });
    f.if(is(8), () => {
      faults.raiseIf(i64.gt_u(value, c64(15)), VECTOR.GP, 0);
      f.store64(cpu, value, S.cr8);
      f.return(c32(0));
    });
    faults.raise(VECTOR.UD);
    f.unreachable();
  });
}

/** 1 when the 32-bit words differ in any of `bits`. */
const changed = (a: I32, b: I32, bits: number): I32 => hasBits(i32.xor(a, b), bits);
const upperHalf = (value: I64): I32 => i32.wrap(i64.shr_u(value, c64(32)));

/**
 * (cpu, CR3) -> fault: loads the four PDPTE registers. #GP(0) for a present one with reserved bits.
 */
function defineLoadPdptes(m: ModuleBuilder, { physicalEntry }: ControlParts): Fn<'i32'> {
  return m.function('loadPdptes', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, cr3] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const base = f.let(i32.and(i32.wrap(cr3), c32(-32)));
    const page = f.let(call(physicalEntry, cpu, i32.shr_u(base, c32(12))));
    const host = f.let(i32.or(i32.and(page, c32(-4096)), i32.and(base, c32(4095))));
    // Outside memory there is nothing to read: not present.
    const entry = (i: number): I64 =>
      f.choose(
        'i64',
        page,
        () => i64.load(host, 8 * i),
        () => c64(0),
      );
    // Bits 2:1 and 8:5 are reserved, and all above the physical width (4.4.1, table 4-8).
    const above = i64.and(i64.xor(i64.load(cpu, S.physicalMask), c64(-1)), c64(-4096));
    const reserved = f.let(i64.or(above, c64(0x1e6)));
    const entries = [0, 1, 2, 3].map(entry);
    for (const value of entries) {
      const present = i32.and(i32.wrap(value), c32(1));
      const bad = i32.and(present, i64.ne(i64.and(value, reserved), c64(0)));
      new Faults(f, cpu).raiseIf(bad, VECTOR.GP, 0);
    }
    for (const [i, value] of entries.entries()) f.store64(cpu, value, S.pdpte + 8 * i);
    f.return(c32(0));
  });
}

/** PAE paging outside IA-32e mode, by the values given: PDPTE registers are in use. */
const usesPdptes = (cr0: I32, cr4: I32, long: I32): I32 =>
  i32.and(i32.and(i32.shr_u(cr0, c32(31)), hasBits(cr4, CR4_PAE)), i32.eqz(long));

function defineWriteCr0(m: ModuleBuilder, parts: ControlParts, loadPdptes: Fn<'i32'>): Fn<'i32'> {
  const checkPaging = defineCheckPaging(m, loadPdptes);
  const { memory, modes } = parts;
  return m.function('writeCr0', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, value] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const old = f.let(control(cpu, S.cr0));
    const next = f.let(i32.or(i32.and(i32.wrap(value), c32(CR0_MASK)), c32(CR0_ET)));
    faults.raiseIf(upperHalf(value), VECTOR.GP, 0);
    const pagingWithoutProtection = i32.and(hasBits(next, CR0_PG), i32.eqz(hasBits(next, CR0_PE)));
    const nwWithoutCd = i32.and(hasBits(next, CR0_NW), i32.eqz(hasBits(next, CR0_CD)));
    faults.raiseIf(i32.or(pagingWithoutProtection, nwWithoutCd), VECTOR.GP, 0);
    f.if(changed(old, next, CR0_PG), () => faults.attempt(checkPaging, cpu, next));
    f.store64(cpu, i64.extend_u(next), S.cr0);
    f.if(changed(old, next, CR0_PG), () => {
      const efer = f.let(i32.and(control(cpu, S.efer), c32(~EFER_LMA)));
      // LME is bit 8, LMA bit 10: paging copies the one to the other.
      const lma = i32.shl(i32.and(efer, c32(EFER_LME)), c32(2));
      f.if(hasBits(next, CR0_PG), () => f.set(efer, i32.or(efer, lma)));
      f.store32(cpu, efer, S.efer);
    });
    f.if(changed(old, next, CR0_PAGING), () => f.call(memory.flushAll, cpu));
    f.call(modes.updateModes, cpu);
    f.return(c32(0));
  });
}

/** (cpu, CR0) -> fault: the conditions under which CR0.PG may change to what it is there. */
function defineCheckPaging(m: ModuleBuilder, loadPdptes: Fn<'i32'>): Fn<'i32'> {
  return m.function('checkPaging', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, next] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const wideCs = hasBits(i32.load(cpu, segmentCache(CS) + SEGMENT_AR), AR_L);
    f.if(i32.eqz(hasBits(next, CR0_PG)), () => {
      // 64-bit code cannot turn paging off under itself.
      faults.raiseIf(i32.and(isLong(cpu), wideCs), VECTOR.GP, 0);
      f.return(c32(0));
    });
    const pae = hasBits(control(cpu, S.cr4), CR4_PAE);
    f.if(hasBits(control(cpu, S.efer), EFER_LME), () => {
      // The task register must not hold a 16-bit TSS: types 1 and 3.
      const tr = i32.load(cpu, segmentCache(TR) + SEGMENT_AR);
      const narrowTask = i32.eq(i32.and(tr, c32(AR_S | 0xd)), c32(1));
      const refused = i32.or(i32.eqz(pae), i32.or(wideCs, narrowTask));
      faults.raiseIf(refused, VECTOR.GP, 0);
      f.return(c32(0));
    });
    f.if(pae, () => faults.attempt(loadPdptes, cpu, i64.load(cpu, S.cr3)));
    f.return(c32(0));
  });
}

function defineWriteCr3(m: ModuleBuilder, parts: ControlParts, loadPdptes: Fn<'i32'>): Fn<'i32'> {
  return m.function('writeCr3', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, value] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const long = f.let(isLong(cpu));
    const above = i64.and(value, i64.xor(i64.load(cpu, S.physicalMask), c64(-1)));
    const reserved = i64.ne(i64.and(above, c64(-4096)), c64(0));
    faults.raiseIf(i32.and(long, reserved), VECTOR.GP, 0);
    const pdptes = usesPdptes(control(cpu, S.cr0), control(cpu, S.cr4), long);
    f.if(pdptes, () => faults.attempt(loadPdptes, cpu, value));
    f.store64(cpu, value, S.cr3);
    f.call(parts.memory.flushNonGlobal, cpu);
    f.return(c32(0));
  });
}

function defineWriteCr4(m: ModuleBuilder, parts: ControlParts, loadPdptes: Fn<'i32'>): Fn<'i32'> {
  const { memory, modes } = parts;
  return m.function('writeCr4', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, value] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const old = f.let(control(cpu, S.cr4));
    const next = f.let(i32.wrap(value));
    const long = f.let(isLong(cpu));
    const reserved = i32.or(upperHalf(value), i32.and(next, c32(~CR4_MASK)));
    faults.raiseIf(reserved, VECTOR.GP, 0);
    faults.raiseIf(i32.and(long, i32.eqz(hasBits(next, CR4_PAE))), VECTOR.GP, 0);
    f.if(changed(old, next, CR4_PDPTE), () => {
      f.if(usesPdptes(control(cpu, S.cr0), next, long), () => {
        faults.attempt(loadPdptes, cpu, i64.load(cpu, S.cr3));
      });
    });
    f.store64(cpu, i64.extend_u(next), S.cr4);
    f.if(changed(old, next, CR4_PAGING), () => f.call(memory.flushAll, cpu));
    f.call(modes.updateModes, cpu);
    f.return(c32(0));
  });
}

function defineWriteEfer(m: ModuleBuilder, { memory }: ControlParts): Fn<'i32'> {
  return m.function('writeEfer', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, value] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const faults = new Faults(f, cpu);
    const old = f.let(control(cpu, S.efer));
    const next = f.let(i32.wrap(value));
    const reserved = i32.or(upperHalf(value), i32.and(next, c32(~EFER_MASK)));
    faults.raiseIf(reserved, VECTOR.GP, 0);
    const paging = hasBits(control(cpu, S.cr0), CR0_PG);
    faults.raiseIf(i32.and(paging, changed(old, next, EFER_LME)), VECTOR.GP, 0);
    // LMA is the processor's.
    const kept = i32.or(i32.and(next, c32(~EFER_LMA)), i32.and(old, c32(EFER_LMA)));
    f.store64(cpu, i64.extend_u(kept), S.efer);
    f.if(changed(old, next, EFER_NXE), () => f.call(memory.flushAll, cpu));
    f.return(c32(0));
  });
}
