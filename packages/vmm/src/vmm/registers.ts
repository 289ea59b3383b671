// The register state of a vCPU as vmm(4) exchanges it: <machine/vmmvar.h>'s struct vcpu_reg_state
// with the index order of the 6.7 to 7.2 releases (a later release reordered the general and the
// segment registers, so indices are used by name only). Segment attributes have the VMX
// access-rights format, SDM 3C 25.4.1, table 25-2. 64-bit registers are bigint: this is the cold
// face; the processor keeps its own.

/** Indices into {@link VcpuRegState.vrs_gprs}; in <machine/vmmvar.h>, VCPU_REGS_RAX and so on. */
export const VCPU_REGS = {
  RAX: 0,
  RBX: 1,
  RCX: 2,
  RDX: 3,
  RSI: 4,
  RDI: 5,
  R8: 6,
  R9: 7,
  R10: 8,
  R11: 9,
  R12: 10,
  R13: 11,
  R14: 12,
  R15: 13,
  RSP: 14,
  RBP: 15,
  RIP: 16,
  RFLAGS: 17,
} as const;

/** Indices into {@link VcpuRegState.vrs_crs}. */
export const VCPU_CRS = {
  CR0: 0,
  CR2: 1,
  CR3: 2,
  CR4: 3,
  CR8: 4,
  XCR0: 5,
  PDPTE0: 6,
  PDPTE1: 7,
  PDPTE2: 8,
  PDPTE3: 9,
} as const;

/** Indices into {@link VcpuRegState.vrs_msrs}. */
export const VCPU_MSRS = {
  EFER: 0,
  STAR: 1,
  LSTAR: 2,
  CSTAR: 3,
  SFMASK: 4,
  KGSBASE: 5,
  MISC_ENABLE: 6,
} as const;

/** Indices into {@link VcpuRegState.vrs_drs}. */
export const VCPU_DRS = { DR0: 0, DR1: 1, DR2: 2, DR3: 3, DR6: 4, DR7: 5 } as const;

/** Indices into {@link VcpuRegState.vrs_sregs}. */
export const VCPU_SREGS = { CS: 0, DS: 1, ES: 2, FS: 3, GS: 4, SS: 5, LDTR: 6, TR: 7 } as const;

/** How many registers each class of {@link VcpuRegState} has. */
export const VCPU_REGS_NGPRS = 18;
export const VCPU_REGS_NCRS = 10;
export const VCPU_REGS_NMSRS = 7;
export const VCPU_REGS_NDRS = 6;
export const VCPU_REGS_NSREGS = 8;

/** Register classes of READREGS and WRITEREGS; GDTR and IDTR ride with the segment registers. */
export const VM_RWREGS_GPRS = 0x1;
export const VM_RWREGS_SREGS = 0x2;
export const VM_RWREGS_CRS = 0x4;
export const VM_RWREGS_MSRS = 0x8;
export const VM_RWREGS_DRS = 0x10;
export const VM_RWREGS_ALL = 0x1f;

/** One segment or descriptor-table register, hidden part included. */
export interface VcpuSegmentInfo {
  /** The selector, 16 bits. Unused in GDTR and IDTR. */
  vsi_sel: number;
  /** The limit in bytes, 32 bits, as the processor uses it (granularity already applied). */
  vsi_limit: number;
  /** Access rights: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  vsi_ar: number;
  /** The linear base address. */
  vsi_base: bigint;
}

/** Every register that vmm(4) knows of one vCPU. */
export interface VcpuRegState {
  vrs_gprs: BigUint64Array;
  vrs_crs: BigUint64Array;
  vrs_msrs: BigUint64Array;
  vrs_drs: BigUint64Array;
  vrs_sregs: VcpuSegmentInfo[];
  vrs_gdtr: VcpuSegmentInfo;
  vrs_idtr: VcpuSegmentInfo;
}

const emptySegment = (): VcpuSegmentInfo => ({
  vsi_sel: 0,
  vsi_limit: 0,
  vsi_ar: 0,
  vsi_base: 0n,
});

/** A register state that is all zero: no state a processor can run from, but one to fill. */
export function emptyRegState(): VcpuRegState {
  return {
    vrs_gprs: new BigUint64Array(VCPU_REGS_NGPRS),
    vrs_crs: new BigUint64Array(VCPU_REGS_NCRS),
    vrs_msrs: new BigUint64Array(VCPU_REGS_NMSRS),
    vrs_drs: new BigUint64Array(VCPU_REGS_NDRS),
    vrs_sregs: Array.from({ length: VCPU_REGS_NSREGS }, emptySegment),
    vrs_gdtr: emptySegment(),
    vrs_idtr: emptySegment(),
  };
}

function copySegment(into: VcpuSegmentInfo, from: VcpuSegmentInfo): void {
  into.vsi_sel = from.vsi_sel;
  into.vsi_limit = from.vsi_limit;
  into.vsi_ar = from.vsi_ar;
  into.vsi_base = from.vsi_base;
}

/** Copies the classes in `mask` (VM_RWREGS_*) and leaves the others of `into` as they are. */
export function copyRegState(into: VcpuRegState, from: VcpuRegState, mask: number): void {
  if (mask & VM_RWREGS_GPRS) into.vrs_gprs.set(from.vrs_gprs);
  if (mask & VM_RWREGS_CRS) into.vrs_crs.set(from.vrs_crs);
  if (mask & VM_RWREGS_MSRS) into.vrs_msrs.set(from.vrs_msrs);
  if (mask & VM_RWREGS_DRS) into.vrs_drs.set(from.vrs_drs);
  if (mask & VM_RWREGS_SREGS) {
    for (let i = 0; i < VCPU_REGS_NSREGS; i++) copySegment(into.vrs_sregs[i], from.vrs_sregs[i]);
    copySegment(into.vrs_gdtr, from.vrs_gdtr);
    copySegment(into.vrs_idtr, from.vrs_idtr);
  }
}

const segment = (sel: number, limit: number, ar: number, base: bigint): VcpuSegmentInfo => ({
  vsi_sel: sel,
  vsi_limit: limit,
  vsi_ar: ar,
  vsi_base: base,
});

/**
 * The state of a processor after RESET, SDM 3A table 10-1: real mode, about to execute the
 * instruction at physical 0xfffffff0. RDX has the family and model of `signature` (CPUID.1:EAX).
 */
export function powerOnState(signature: number): VcpuRegState {
  const state = emptyRegState();
  state.vrs_gprs[VCPU_REGS.RIP] = 0xfff0n;
  state.vrs_gprs[VCPU_REGS.RFLAGS] = 2n;
  state.vrs_gprs[VCPU_REGS.RDX] = BigInt(signature);
  state.vrs_crs[VCPU_CRS.CR0] = 0x60000010n; // CD, NW, ET
  state.vrs_crs[VCPU_CRS.XCR0] = 1n;
  state.vrs_drs[VCPU_DRS.DR6] = 0xffff0ff0n;
  state.vrs_drs[VCPU_DRS.DR7] = 0x400n;
  for (const index of [VCPU_SREGS.DS, VCPU_SREGS.ES, VCPU_SREGS.FS, VCPU_SREGS.GS, VCPU_SREGS.SS]) {
    state.vrs_sregs[index] = segment(0, 0xffff, 0x93, 0n);
  }
  state.vrs_sregs[VCPU_SREGS.CS] = segment(0xf000, 0xffff, 0x9b, 0xffff0000n);
  state.vrs_sregs[VCPU_SREGS.LDTR] = segment(0, 0xffff, 0x82, 0n);
  state.vrs_sregs[VCPU_SREGS.TR] = segment(0, 0xffff, 0x8b, 0n);
  state.vrs_gdtr = segment(0, 0xffff, 0, 0n);
  state.vrs_idtr = segment(0, 0xffff, 0, 0n);
  return state;
}
