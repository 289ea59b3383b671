// Model-specific registers as vmm(4) treats them: which the guest has, what the others answer. SDM
// 4 has the numbers and bits. RDMSR of a register that is not here is #GP; WRMSR of one is ignored,
// which vmm(4) decided for guests that program what they do not look for. There are no MTRRs.

/** The registers that a guest can use, and the few that the policy names. */
export const MSR = {
  TSC: 0x10,
  PLATFORM_ID: 0x17,
  SPEC_CTRL: 0x48,
  PRED_CMD: 0x49,
  BIOS_SIGN: 0x8b,
  SMM_MONITOR_CTL: 0x9b,
  ARCH_CAPABILITIES: 0x10a,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1a0,
  PAT: 0x277,
  KVM_WALL_CLOCK: 0x4b564d00,
  KVM_SYSTEM_TIME: 0x4b564d01,
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  SFMASK: 0xc0000084,
  FSBASE: 0xc0000100,
  GSBASE: 0xc0000101,
  KERNELGSBASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const;

/** Bits of IA32_ARCH_CAPABILITIES: this processor executes nothing speculatively. */
export const ARCH_CAPABILITIES = {
  RDCL_NO: 0,
  IBRS_ALL: 1,
  SKIP_L1DFL_VMENTRY: 3,
  SSB_NO: 4,
  MDS_NO: 5,
  IF_PSCHANGE_MC_NO: 6,
  TAA_NO: 8,
  SBDR_SSDP_NO: 13,
  FBSDP_NO: 14,
  PSDP_NO: 15,
  BHI_NO: 20,
  PBRSB_NO: 24,
  GDS_NO: 26,
  RFDS_NO: 27,
  ITS_NO: 62,
} as const;

const bits = (numbers: Record<string, number>, from: number): number =>
  Object.values(numbers)
    .filter((bit) => bit >= from && bit < from + 32)
    .reduce((word, bit) => word | (1 << (bit - from)), 0) >>> 0;

/** What RDMSR IA32_ARCH_CAPABILITIES gives, in two halves. */
export const archCapabilitiesLow: number = bits(ARCH_CAPABILITIES, 0);
export const archCapabilitiesHigh: number = bits(ARCH_CAPABILITIES, 32);

/** Bits of IA32_MISC_ENABLE, all in the low half except XD_DISABLE (34). */
export const MISC_ENABLE = {
  FAST_STRINGS: 0x00000001,
  TCC: 0x00000008,
  BTS_UNAVAILABLE: 0x00000800,
  PEBS_UNAVAILABLE: 0x00001000,
  EIST: 0x00010000,
  LIMIT_CPUID_MAXVAL: 0x00400000,
  XTPR_DISABLE: 0x00800000,
} as const;

/** IA32_MISC_ENABLE at power-on: fast strings; no branch trace, no event sampling. */
export const miscEnableReset: number =
  MISC_ENABLE.FAST_STRINGS | MISC_ENABLE.BTS_UNAVAILABLE | MISC_ENABLE.PEBS_UNAVAILABLE;

/** What a write of `low` leaves in the low half: without the thermal and frequency controls. */
export const filterMiscEnable = (low: number): number =>
  (low & ~(MISC_ENABLE.TCC | MISC_ENABLE.EIST | MISC_ENABLE.XTPR_DISABLE)) >>> 0;

/** IA32_PAT at power-on, SDM 3A 12.12.4: WB, WT, UC-, UC, twice. */
export const patResetLow = 0x00070406;
export const patResetHigh = 0x00070406;

/** Memory types that IA32_PAT can name, SDM 3A 12.12.2: UC 0, WC 1, WT 4, WP 5, WB 6, UC- 7. */
const PAT_TYPES = (1 << 0) | (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7);

/** True when every byte of the two halves is a memory type; another value is #GP. */
export function isPatValid(low: number, high: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    for (const half of [low, high]) {
      const type = (half >>> shift) & 0xff;
      if (type > 7 || (PAT_TYPES & (1 << type)) === 0) return false;
    }
  }
  return true;
}

/** What RDMSR does with a register that the processor does not have. */
export function readUnknownMsr(index: number): 'zero' | 'fault' {
  return index === MSR.BIOS_SIGN || index === MSR.PLATFORM_ID ? 'zero' : 'fault';
}

/** What WRMSR does with a register that the processor does not have. */
export function writeUnknownMsr(index: number): 'ignore' | 'fault' {
  return index === MSR.SMM_MONITOR_CTL ? 'fault' : 'ignore';
}
