// The soft processor's state to and from vmm(4)'s register structures.

import {
  FS,
  S,
  SEGMENT_AR,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  segmentBase,
  segmentCache,
} from '../cpu/state.ts';
import { STATUS_FLAGS } from '../isa/flags.ts';
import {
  VCPU_CRS,
  VCPU_DRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  type VcpuSegmentInfo,
  VM_RWREGS_CRS,
  VM_RWREGS_DRS,
  VM_RWREGS_GPRS,
  VM_RWREGS_MSRS,
  VM_RWREGS_SREGS,
} from './registers.ts';

/** vmm(4)'s index of each general register, in the processor's order. */
const GENERAL = [
  VCPU_REGS.RAX,
  VCPU_REGS.RCX,
  VCPU_REGS.RDX,
  VCPU_REGS.RBX,
  VCPU_REGS.RSP,
  VCPU_REGS.RBP,
  VCPU_REGS.RSI,
  VCPU_REGS.RDI,
  VCPU_REGS.R8,
  VCPU_REGS.R9,
  VCPU_REGS.R10,
  VCPU_REGS.R11,
  VCPU_REGS.R12,
  VCPU_REGS.R13,
  VCPU_REGS.R14,
  VCPU_REGS.R15,
] as const;

/** vmm(4)'s index of each segment register, in the processor's order. */
const SEGMENTS = [
  VCPU_SREGS.ES,
  VCPU_SREGS.CS,
  VCPU_SREGS.SS,
  VCPU_SREGS.DS,
  VCPU_SREGS.FS,
  VCPU_SREGS.GS,
  VCPU_SREGS.LDTR,
  VCPU_SREGS.TR,
] as const;

/** Plain 64-bit registers: vmm(4)'s index and the processor's offset. CR8 is not exchanged. */
const CONTROL = [
  [VCPU_CRS.CR0, S.cr0],
  [VCPU_CRS.CR2, S.cr2],
  [VCPU_CRS.CR3, S.cr3],
  [VCPU_CRS.CR4, S.cr4],
  [VCPU_CRS.XCR0, S.xcr0],
  [VCPU_CRS.PDPTE0, S.pdpte],
  [VCPU_CRS.PDPTE1, S.pdpte + 8],
  [VCPU_CRS.PDPTE2, S.pdpte + 16],
  [VCPU_CRS.PDPTE3, S.pdpte + 24],
] as const;

const MSRS = [
  [VCPU_MSRS.EFER, S.efer],
  [VCPU_MSRS.STAR, S.star],
  [VCPU_MSRS.LSTAR, S.lstar],
  [VCPU_MSRS.CSTAR, S.cstar],
  [VCPU_MSRS.SFMASK, S.sfmask],
  [VCPU_MSRS.KGSBASE, S.kernelGsBase],
  [VCPU_MSRS.MISC_ENABLE, S.miscEnable],
] as const;

const DEBUG = [
  [VCPU_DRS.DR0, S.dr],
  [VCPU_DRS.DR1, S.dr + 8],
  [VCPU_DRS.DR2, S.dr + 16],
  [VCPU_DRS.DR3, S.dr + 24],
  [VCPU_DRS.DR6, S.dr + 48],
  [VCPU_DRS.DR7, S.dr + 56],
] as const;

const CR0_PE = 1n;
const CR0_NW = 1n << 29n;
const CR0_CD = 1n << 30n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
/** CR4 bits that the processor has: PVI to UMIP, FSGSBASE, OSXSAVE, SMEP, SMAP. */
const CR4_VALID = 0x350fffn;
const EFER_VALID = 0xd01n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;

/** True for control registers that the processor which guests see could hold together. */
export function isControlStatePossible(cr0: bigint, cr4: bigint, efer: bigint): boolean {
  if (cr0 >> 32n !== 0n || (cr4 & ~CR4_VALID) !== 0n || (efer & ~EFER_VALID) !== 0n) return false;
  if ((cr0 & CR0_PG) !== 0n && (cr0 & CR0_PE) === 0n) return false;
  if ((cr0 & CR0_NW) !== 0n && (cr0 & CR0_CD) === 0n) return false;
  const long = (efer & EFER_LME) !== 0n && (cr0 & CR0_PG) !== 0n;
  return !long || (cr4 & CR4_PAE) !== 0n;
}

/** RFLAGS as the lazy words have them: see lazy-flags.ts for their meaning. */
function packFlags(view: DataView, base: number): bigint {
  const result = view.getBigInt64(base + S.flagResult, true);
  const carry = view.getBigUint64(base + S.flagCarry, true);
  const bit = (n: bigint): bigint => (carry >> n) & 1n;
  let ones = Number(result & 0xffn) ^ Number((carry >> 8n) & 0xffn);
  ones ^= ones >> 4;
  ones ^= ones >> 2;
  ones ^= ones >> 1;
  const sf = (result < 0n ? 1n : 0n) ^ bit(16n);
  const flags =
    bit(63n) |
    (BigInt(~ones & 1) << 2n) |
    (bit(3n) << 4n) |
    ((result === 0n ? 1n : 0n) << 6n) |
    (sf << 7n) |
    ((bit(63n) ^ bit(62n)) << 11n);
  return BigInt(view.getUint32(base + S.eflags, true)) | flags;
}

function unpackFlags(view: DataView, base: number, flags: bigint): void {
  const has = (n: bigint): bigint => (flags >> n) & 1n;
  const cf = has(0n);
  const corrections = ((has(2n) ^ has(6n)) << 8n) | (has(7n) << 16n) | (has(4n) << 3n);
  const carry = (cf << 63n) | ((cf ^ has(11n)) << 62n) | corrections;
  view.setBigUint64(base + S.flagResult, has(6n) ? 0n : 1n, true);
  view.setBigUint64(base + S.flagCarry, carry, true);
  view.setUint32(base + S.eflags, (Number(flags & 0x3f7fd7n) & ~STATUS_FLAGS) | 2, true);
}

/** Fills the register classes in `mask` from the state at `base`. */
export function saveRegisters(
  view: DataView,
  base: number,
  into: VcpuRegState,
  mask: number,
): void {
  const get = (offset: number): bigint => view.getBigUint64(base + offset, true);
  if (mask & VM_RWREGS_GPRS) {
    for (const [i, index] of GENERAL.entries()) into.vrs_gprs[index] = get(8 * i);
    into.vrs_gprs[VCPU_REGS.RIP] = get(S.rip);
    into.vrs_gprs[VCPU_REGS.RFLAGS] = packFlags(view, base);
  }
  if (mask & VM_RWREGS_CRS) for (const [i, at] of CONTROL) into.vrs_crs[i] = get(at);
  if (mask & VM_RWREGS_MSRS) for (const [i, at] of MSRS) into.vrs_msrs[i] = get(at);
  if (mask & VM_RWREGS_DRS) for (const [i, at] of DEBUG) into.vrs_drs[i] = get(at);
  if (!(mask & VM_RWREGS_SREGS)) return;
  for (const [i, index] of SEGMENTS.entries()) {
    const at = base + segmentCache(i);
    const segment = into.vrs_sregs[index];
    segment.vsi_sel = view.getUint16(at, true);
    segment.vsi_limit = view.getUint32(at + SEGMENT_LIMIT, true);
    segment.vsi_ar = view.getUint32(at + SEGMENT_AR, true);
    // Of the first four, 64-bit code has no base in effect, but they keep what was loaded.
    segment.vsi_base =
      i < FS ? BigInt(view.getUint32(at + SEGMENT_BASE, true)) : get(segmentBase(i));
  }
  into.vrs_gdtr.vsi_base = get(S.gdtrBase);
  into.vrs_gdtr.vsi_limit = view.getUint32(base + S.gdtrLimit, true);
  into.vrs_idtr.vsi_base = get(S.idtrBase);
  into.vrs_idtr.vsi_limit = view.getUint32(base + S.idtrLimit, true);
}

/** Loads the register classes in `mask`; false, with nothing changed, for an impossible state. */
export function loadRegisters(
  view: DataView,
  base: number,
  from: VcpuRegState,
  mask: number,
): boolean {
  const set = (offset: number, value: bigint): void =>
    view.setBigUint64(base + offset, value, true);
  const get = (offset: number): bigint => view.getBigUint64(base + offset, true);
  const crs = (mask & VM_RWREGS_CRS) !== 0;
  const cr0 = crs ? from.vrs_crs[VCPU_CRS.CR0] : get(S.cr0);
  const cr4 = crs ? from.vrs_crs[VCPU_CRS.CR4] : get(S.cr4);
  const efer = mask & VM_RWREGS_MSRS ? from.vrs_msrs[VCPU_MSRS.EFER] : get(S.efer);
  if (!isControlStatePossible(cr0, cr4, efer)) return false;
  if (crs) for (const [i, at] of CONTROL) set(at, from.vrs_crs[i]);
  if (mask & VM_RWREGS_MSRS) for (const [i, at] of MSRS) set(at, from.vrs_msrs[i]);
  if (mask & (VM_RWREGS_CRS | VM_RWREGS_MSRS)) {
    // LMA follows from LME and PG; ET is always set.
    const long = (efer & EFER_LME) !== 0n && (cr0 & CR0_PG) !== 0n;
    set(S.efer, long ? efer | EFER_LMA : efer & ~EFER_LMA);
    set(S.cr0, cr0 | 0x10n);
  }
  if (mask & VM_RWREGS_GPRS) {
    for (const [i, index] of GENERAL.entries()) set(8 * i, from.vrs_gprs[index]);
    set(S.rip, from.vrs_gprs[VCPU_REGS.RIP]);
    unpackFlags(view, base, from.vrs_gprs[VCPU_REGS.RFLAGS]);
  }
  if (mask & VM_RWREGS_DRS) for (const [i, at] of DEBUG) set(at, from.vrs_drs[i]);
  if (mask & VM_RWREGS_SREGS) loadSegments(view, base, from);
  return true;
}

function loadSegments(view: DataView, base: number, from: VcpuRegState): void {
  const set = (offset: number, value: bigint): void =>
    view.setBigUint64(base + offset, value, true);
  for (const [i, index] of SEGMENTS.entries()) loadSegment(view, base, i, from.vrs_sregs[index]);
  set(S.gdtrBase, from.vrs_gdtr.vsi_base);
  view.setUint32(base + S.gdtrLimit, from.vrs_gdtr.vsi_limit, true);
  set(S.idtrBase, from.vrs_idtr.vsi_base);
  view.setUint32(base + S.idtrLimit, from.vrs_idtr.vsi_limit, true);
  // The privilege level is SS.DPL (SDM vol. 3C, 25.4.1).
  const ss = from.vrs_sregs[VCPU_SREGS.SS].vsi_ar;
  view.setUint32(base + S.cpl, (ss >>> 5) & 3, true);
}

function loadSegment(view: DataView, base: number, i: number, from: VcpuSegmentInfo): void {
  const at = base + segmentCache(i);
  view.setUint16(at, from.vsi_sel, true);
  view.setUint32(at + SEGMENT_LIMIT, from.vsi_limit, true);
  view.setUint32(at + SEGMENT_AR, from.vsi_ar, true);
  view.setUint32(at + SEGMENT_BASE, Number(from.vsi_base & 0xffffffffn), true);
  view.setBigUint64(base + segmentBase(i), from.vsi_base, true);
}
