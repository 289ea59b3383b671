// KVM's register structures to and from vmm(4)'s. Of the latter, two registers are not KVM's to
// keep: IA32_MISC_ENABLE, which the engine answers itself (kvm-msrs.ts), and XCR0, which means
// nothing on a processor without XSAVE. The PDPTEs read as 0 and are loaded from memory with CR3.

import {
  isControlStatePossible,
  MSR,
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
} from 'vmm';
import { DEBUGREGS, DTABLE, REGS, SEGMENT, SREGS } from './struct-layouts.ts';
import { AREA, type MsrValue, type VcpuHandle } from './vcpu-handle.ts';

const GENERAL = (Object.keys(REGS) as (keyof typeof REGS)[]).map(
  (name) => [name, VCPU_REGS[name.toUpperCase() as keyof typeof VCPU_REGS]] as const,
);

const SEGMENTS = [
  [SREGS.cs, VCPU_SREGS.CS],
  [SREGS.ds, VCPU_SREGS.DS],
  [SREGS.es, VCPU_SREGS.ES],
  [SREGS.fs, VCPU_SREGS.FS],
  [SREGS.gs, VCPU_SREGS.GS],
  [SREGS.ss, VCPU_SREGS.SS],
  [SREGS.ldt, VCPU_SREGS.LDTR],
  [SREGS.tr, VCPU_SREGS.TR],
] as const;

const CONTROL = [
  [SREGS.cr0, VCPU_CRS.CR0],
  [SREGS.cr2, VCPU_CRS.CR2],
  [SREGS.cr3, VCPU_CRS.CR3],
  [SREGS.cr4, VCPU_CRS.CR4],
] as const;

const MSRS = [
  [MSR.STAR, VCPU_MSRS.STAR],
  [MSR.LSTAR, VCPU_MSRS.LSTAR],
  [MSR.CSTAR, VCPU_MSRS.CSTAR],
  [MSR.SFMASK, VCPU_MSRS.SFMASK],
  [MSR.KERNELGSBASE, VCPU_MSRS.KGSBASE],
] as const;
const MSR_INDICES = MSRS.map(([index]) => index);

const DEBUG = [
  [DEBUGREGS.db, VCPU_DRS.DR0],
  [DEBUGREGS.db + 8, VCPU_DRS.DR1],
  [DEBUGREGS.db + 16, VCPU_DRS.DR2],
  [DEBUGREGS.db + 24, VCPU_DRS.DR3],
  [DEBUGREGS.dr6, VCPU_DRS.DR6],
  [DEBUGREGS.dr7, VCPU_DRS.DR7],
] as const;

const CR0_ET = 1n << 4n;
const CR0_PG = 1n << 31n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;

/** The largest limit of a segment that counts bytes. */
const LIMIT_BYTES_MAX = 0xf_ffff;

/** Registers that the engine keeps, because KVM does not. */
export interface KeptRegisters {
  miscEnable: bigint;
  xcr0: bigint;
}

const BITS = [
  ['type', 0, 0xf],
  ['s', 4, 1],
  ['dpl', 5, 3],
  ['present', 7, 1],
  ['avl', 12, 1],
  ['l', 13, 1],
  ['db', 14, 1],
  ['g', 15, 1],
  ['unusable', 16, 1],
] as const;

function loadSegment(view: DataView, at: number, into: VcpuSegmentInfo): void {
  into.vsi_base = view.getBigUint64(at + SEGMENT.base, true);
  into.vsi_limit = view.getUint32(at + SEGMENT.limit, true);
  into.vsi_sel = view.getUint16(at + SEGMENT.selector, true);
  into.vsi_ar = 0;
  for (const [field, shift] of BITS) into.vsi_ar |= view.getUint8(at + SEGMENT[field]) << shift;
}

function storeSegment(view: DataView, at: number, from: VcpuSegmentInfo): void {
  view.setBigUint64(at + SEGMENT.base, from.vsi_base, true);
  view.setUint32(at + SEGMENT.limit, from.vsi_limit, true);
  view.setUint16(at + SEGMENT.selector, from.vsi_sel, true);
  for (const [field, shift, mask] of BITS) {
    view.setUint8(at + SEGMENT[field], (from.vsi_ar >> shift) & mask);
  }
  // The limit is in bytes, but processors want G to agree with it (SDM vol. 3C, 27.3.1.2).
  if (from.vsi_limit > LIMIT_BYTES_MAX) view.setUint8(at + SEGMENT.g, 1);
}

/** Fills the register classes in `mask`. */
export function readRegisters(
  handle: VcpuHandle,
  kept: KeptRegisters,
  into: VcpuRegState,
  mask: number,
): void {
  const { view } = handle;
  const get = (at: number): bigint => view.getBigUint64(at, true);
  if (mask & VM_RWREGS_GPRS) {
    handle.get('regs');
    for (const [name, index] of GENERAL) into.vrs_gprs[index] = handle.register(name);
  }
  if (mask & (VM_RWREGS_SREGS | VM_RWREGS_CRS | VM_RWREGS_MSRS)) handle.get('sregs');
  if (mask & VM_RWREGS_CRS) {
    into.vrs_crs.fill(0n);
    for (const [at, index] of CONTROL) into.vrs_crs[index] = get(AREA.sregs + at);
    into.vrs_crs[VCPU_CRS.XCR0] = kept.xcr0;
  }
  if (mask & VM_RWREGS_SREGS) {
    for (const [at, index] of SEGMENTS) loadSegment(view, AREA.sregs + at, into.vrs_sregs[index]);
    for (const [at, table] of [
      [SREGS.gdt, into.vrs_gdtr],
      [SREGS.idt, into.vrs_idtr],
    ] as const) {
      table.vsi_base = get(AREA.sregs + at + DTABLE.base);
      table.vsi_limit = view.getUint16(AREA.sregs + at + DTABLE.limit, true);
    }
  }
  if (mask & VM_RWREGS_MSRS) {
    into.vrs_msrs[VCPU_MSRS.EFER] = get(AREA.sregs + SREGS.efer);
    const values = handle.getMsrs(MSR_INDICES);
    for (const [i, [, index]] of MSRS.entries()) into.vrs_msrs[index] = values[i];
    into.vrs_msrs[VCPU_MSRS.MISC_ENABLE] = kept.miscEnable;
  }
  if (mask & VM_RWREGS_DRS) {
    handle.get('debugregs');
    for (const [at, index] of DEBUG) into.vrs_drs[index] = get(AREA.debugregs + at);
  }
}

/** Loads the register classes in `mask`; false, with nothing changed, for an impossible state. */
export function writeRegisters(
  handle: VcpuHandle,
  kept: KeptRegisters,
  from: VcpuRegState,
  mask: number,
): boolean {
  if (!writeSystemRegisters(handle, from, mask)) return false;
  if (mask & VM_RWREGS_CRS) kept.xcr0 = from.vrs_crs[VCPU_CRS.XCR0];
  if (mask & VM_RWREGS_MSRS) {
    kept.miscEnable = from.vrs_msrs[VCPU_MSRS.MISC_ENABLE];
    handle.setMsrs(MSRS.map(([index, i]): MsrValue => [index, from.vrs_msrs[i]]));
  }
  if (mask & VM_RWREGS_GPRS) {
    for (const [name, index] of GENERAL) handle.setRegister(name, from.vrs_gprs[index]);
    handle.put('regs');
  }
  if (mask & VM_RWREGS_DRS) {
    handle.get('debugregs');
    for (const [at, index] of DEBUG) {
      handle.view.setBigUint64(AREA.debugregs + at, from.vrs_drs[index], true);
    }
    handle.put('debugregs');
  }
  return true;
}

/** Segments, control registers and EFER, which KVM takes and judges together. */
function writeSystemRegisters(handle: VcpuHandle, from: VcpuRegState, mask: number): boolean {
  if (!(mask & (VM_RWREGS_SREGS | VM_RWREGS_CRS | VM_RWREGS_MSRS))) return true;
  const { view } = handle;
  const get = (at: number): bigint => view.getBigUint64(AREA.sregs + at, true);
  const set = (at: number, value: bigint): void => view.setBigUint64(AREA.sregs + at, value, true);
  handle.get('sregs');
  if (mask & VM_RWREGS_CRS) for (const [at, index] of CONTROL) set(at, from.vrs_crs[index]);
  if (mask & VM_RWREGS_MSRS) set(SREGS.efer, from.vrs_msrs[VCPU_MSRS.EFER]);
  const cr0 = get(SREGS.cr0) | CR0_ET;
  const efer = get(SREGS.efer);
  if (!isControlStatePossible(cr0, get(SREGS.cr4), efer)) return false;
  // LMA follows from LME and PG.
  const isLong = (efer & EFER_LME) !== 0n && (cr0 & CR0_PG) !== 0n;
  set(SREGS.efer, isLong ? efer | EFER_LMA : efer & ~EFER_LMA);
  set(SREGS.cr0, cr0);
  if (mask & VM_RWREGS_SREGS) {
    for (const [at, index] of SEGMENTS) {
      storeSegment(view, AREA.sregs + at, from.vrs_sregs[index]);
    }
    for (const [at, table] of [
      [SREGS.gdt, from.vrs_gdtr],
      [SREGS.idt, from.vrs_idtr],
    ] as const) {
      set(at + DTABLE.base, table.vsi_base);
      view.setUint16(AREA.sregs + at + DTABLE.limit, table.vsi_limit, true);
    }
  }
  for (let i = 0; i < 4; i++) set(SREGS.interrupt_bitmap + 8 * i, 0n);
  // There is no local APIC, and CPUID shows one as long as its base says that it is on.
  set(SREGS.apic_base, 0n);
  return handle.put('sregs');
}
