// CPUID as a guest sees it: SDM 2A, CPUID, tables 3-8 and following, for the software processor,
// with the policy of vmm(4): no local APIC, MTRRs, MONITOR, VMX, PCID or power management;
// OpenBSD's own hypervisor leaf, and KVM's at 0x40000100 so that guests find the paravirtual clock.
//
// The tables name every bit that is set, and a bit that is set works. Two departures from vmm(4):
// RDTSCP is offered, since this processor has it; and so are IA32_ARCH_CAPABILITIES and IBRS, which
// tell guests that nothing here executes speculatively, so that they leave out their
// countermeasures. Cache sizes are those of the processor that the model number names: programs
// tune themselves by them, and get sensible block sizes, although nothing is cached here.

import {
  XSAVE_AVX_BYTES,
  XSAVE_AVX_OFFSET,
  XSAVE_BASE_BYTES,
  XSAVE_BYTES,
  XSTATE,
} from '../cpu/xstate.ts';
import { type CpuModel, modelXcr0 } from './cpu-model.ts';

/** The four registers that CPUID loads, unsigned. */
export interface CpuidResult {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** What CPUID depends on besides the leaf. */
export interface CpuidContext {
  /** The number of the vCPU, 0..255. */
  readonly vcpuId: number;
  /** CR4.OSXSAVE. */
  readonly osxsave: boolean;
  readonly model: CpuModel;
  /** XCR0, of which leaf 0DH gives the area's size. */
  readonly xcr0: number;
  /** Ticks of the time-stamp counter in a second. */
  readonly tscHz: number;
  /** IA32_MISC_ENABLE.LIMIT_CPUID_MAXVAL: the highest basic leaf is 2. */
  readonly limitCpuid: boolean;
}

/**
 * Family 6, model 44, stepping 2: the last x86-64-v2 generation, whatever the model has besides.
 */
export const cpuSignature = 0x000206c2;
const brandOf = (model: CpuModel): string => `vmm(4) soft x86-64-${model} processor`;
const VENDOR = 'GenuineIntel';

/** CPUID.1:ECX, bit numbers. OSXSAVE is not listed: it follows CR4. */
export const FEATURES_1_ECX = {
  SSE3: 0,
  PCLMULQDQ: 1,
  SSSE3: 9,
  CMPXCHG16B: 13,
  SSE4_1: 19,
  SSE4_2: 20,
  POPCNT: 23,
  AESNI: 25,
  XSAVE: 26,
  RDRAND: 30,
  HYPERVISOR: 31,
} as const;
const OSXSAVE = 27;
/** Those of x86-64-v3 there. */
const V3_1_ECX = { FMA: 12, MOVBE: 22, AVX: 28, F16C: 29 } as const;

/** CPUID.1:EDX. */
export const FEATURES_1_EDX = {
  FPU: 0,
  VME: 1,
  DE: 2,
  PSE: 3,
  TSC: 4,
  MSR: 5,
  PAE: 6,
  CX8: 8,
  SEP: 11,
  PGE: 13,
  CMOV: 15,
  PAT: 16,
  PSE36: 17,
  CLFSH: 19,
  MMX: 23,
  FXSR: 24,
  SSE: 25,
  SSE2: 26,
} as const;

/** CPUID.(7,0):EBX. */
export const FEATURES_7_EBX = {
  FSGSBASE: 0,
  /** The x87 data pointer is only kept of instructions that raise an unmasked exception. */
  FDP_EXCPTN_ONLY: 6,
  SMEP: 7,
  ERMS: 9,
  /** FCS and FDS are always stored as 0. */
  FCS_FDS_DEPRECATED: 13,
  RDSEED: 18,
  SMAP: 20,
  CLFLUSHOPT: 23,
} as const;

/** Those of x86-64-v3 there. */
const V3_7_EBX = { BMI1: 3, AVX2: 5, BMI2: 8 } as const;

/** CPUID.(7,0):ECX. */
export const FEATURES_7_ECX = { UMIP: 2 } as const;

/** CPUID.(7,0):EDX. IBRS_IBPB stands for the MSRs IA32_SPEC_CTRL (bit 0) and IA32_PRED_CMD. */
export const FEATURES_7_EDX = { IBRS_IBPB: 26, ARCH_CAPABILITIES: 29 } as const;

/**
 * CPUID.(7,2):EDX. BHI_CTRL is bit 10 of IA32_SPEC_CTRL, BHI_DIS_S. There is nothing to disable here,
 * but kernels that find the bit leave the software loops out that they would else run at every
 * system call, whatever IA32_ARCH_CAPABILITIES says.
 */
export const FEATURES_7_2_EDX = { BHI_CTRL: 4 } as const;

/** CPUID.(0DH,1):EAX. */
export const FEATURES_D_EAX = { XSAVEOPT: 0, XSAVEC: 1, XGETBV_ECX_1: 2 } as const;

/** CPUID.80000001H:ECX. */
export const FEATURES_EXT_ECX = { LAHF_SAHF: 0 } as const;
/** That of x86-64-v3 there: LZCNT. */
const V3_EXT_ECX = { ABM: 5 } as const;

/** CPUID.80000001H:EDX. SYSCALL is reported in every mode, as kernels expect to find it. */
export const FEATURES_EXT_EDX = {
  SYSCALL: 11,
  NX: 20,
  PAGE1GB: 26,
  RDTSCP: 27,
  LM: 29,
} as const;

/** CPUID.80000007H:EDX. */
export const FEATURES_POWER_EDX = { INVARIANT_TSC: 8 } as const;

/** CPUID.40000101H:EAX, KVM's paravirtual features. */
export const FEATURES_KVM = { NOP_IO_DELAY: 1, CLOCKSOURCE2: 3, CLOCKSOURCE_STABLE: 24 } as const;

/** Of guest-physical and of linear addresses. */
export const PHYSICAL_ADDRESS_BITS = 40;
export const LINEAR_ADDRESS_BITS = 48;

const BASIC_LEAF_MAX = 0x15;
const EXTENDED_LEAF_MAX = 0x80000008;
const HYPERVISOR_LEAF = 0x40000000;
const HYPERVISOR_LEAF_END = 0x50000000;
const KVM_LEAF = 0x40000100;
const CLFLUSH_LINE_BYTES = 64;

const bits = (features: Record<string, number>): number =>
  Object.values(features).reduce((word, bit) => word | (1 << bit), 0) >>> 0;

/** The bits of every model, and with them those of `v3`. */
const level = (model: CpuModel, base: Record<string, number>, v3: Record<string, number>): number =>
  bits(model === 'v3' ? { ...base, ...v3 } : base);

const result = (eax: number, ebx: number, ecx: number, edx: number): CpuidResult => ({
  eax: eax >>> 0,
  ebx: ebx >>> 0,
  ecx: ecx >>> 0,
  edx: edx >>> 0,
});

const NOTHING = result(0, 0, 0, 0);

/** Four characters of `text` as the processor stores them in a register. */
const word = (text: string, at: number): number =>
  [0, 1, 2, 3].reduce((sum, i) => sum | ((text.charCodeAt(at + i) || 0) << (8 * i)), 0);

interface Cache {
  readonly type: 1 | 2 | 3;
  readonly level: number;
  readonly ways: number;
  readonly sets: number;
}

/** Data, instruction, unified: 32 KiB, 32 KiB, 256 KiB, 8 MiB, in lines of 64 bytes. */
const CACHES: readonly Cache[] = [
  { type: 1, level: 1, ways: 8, sets: 64 },
  { type: 2, level: 1, ways: 4, sets: 128 },
  { type: 3, level: 2, ways: 8, sets: 512 },
  { type: 3, level: 3, ways: 16, sets: 8192 },
];
const SELF_INITIALIZING = 1 << 8;

function cacheParameters(subleaf: number): CpuidResult {
  const cache = CACHES[subleaf];
  if (!cache) return NOTHING;
  const eax = cache.type | (cache.level << 5) | SELF_INITIALIZING;
  const ebx = ((cache.ways - 1) << 22) | (CLFLUSH_LINE_BYTES - 1);
  return result(eax, ebx, cache.sets - 1, 0);
}

function versionAndFeatures(context: CpuidContext): CpuidResult {
  const ebx = (context.vcpuId << 24) | ((CLFLUSH_LINE_BYTES / 8) << 8);
  const features = level(context.model, FEATURES_1_ECX, V3_1_ECX);
  const ecx = features | (context.osxsave ? 1 << OSXSAVE : 0);
  return result(cpuSignature, ebx, ecx, bits(FEATURES_1_EDX));
}

/** XSAVE's components: x87 and SSE, which need no place of their own, and AVX, which has one. */
function xsaveLeaf(subleaf: number, { model, xcr0 }: CpuidContext): CpuidResult {
  const components = modelXcr0(model);
  const bytesOf = (bitmap: number): number =>
    (bitmap & XSTATE.avx) === 0 ? XSAVE_BASE_BYTES : XSAVE_BYTES;
  switch (subleaf) {
    case 0:
      return result(components, bytesOf(xcr0), bytesOf(components), 0);
    case 1:
      return result(bits(FEATURES_D_EAX), bytesOf(xcr0), 0, 0);
    case 2:
      if ((components & XSTATE.avx) === 0) return NOTHING;
      return result(XSAVE_AVX_BYTES, XSAVE_AVX_OFFSET, 0, 0);
    default:
      return NOTHING;
  }
}

function basicLeaf(leaf: number, subleaf: number, context: CpuidContext): CpuidResult {
  switch (leaf) {
    case 0x00: {
      const leafMax = context.limitCpuid ? 2 : BASIC_LEAF_MAX;
      return result(leafMax, word(VENDOR, 0), word(VENDOR, 8), word(VENDOR, 4));
    }
    case 0x01:
      return versionAndFeatures(context);
    case 0x02:
      // Descriptor 0xff: "use leaf 4". AL is always 1.
      return result(0xff01, 0, 0, 0);
    case 0x04:
      return cacheParameters(subleaf);
    case 0x07:
      if (subleaf === 2) return result(0, 0, 0, bits(FEATURES_7_2_EDX));
      if (subleaf !== 0) return NOTHING;
      return result(
        2,
        level(context.model, FEATURES_7_EBX, V3_7_EBX),
        bits(FEATURES_7_ECX),
        bits(FEATURES_7_EDX),
      );
    case 0x0d:
      return xsaveLeaf(subleaf, context);
    case 0x15:
      // The counter runs at 100 times a crystal's rate, as vmm(4) has it.
      return result(1, 100, Math.floor(context.tscHz / 100), 0);
    default:
      return NOTHING;
  }
}

function hypervisorLeaf(leaf: number): CpuidResult {
  const { CLOCKSOURCE2, CLOCKSOURCE_STABLE } = FEATURES_KVM;
  const signature = leaf === HYPERVISOR_LEAF ? 'OpenBSDVMM58' : 'KVMKVMKVM\0\0\0';
  const words = [word(signature, 0), word(signature, 4), word(signature, 8)] as const;
  switch (leaf) {
    case HYPERVISOR_LEAF:
      return result(0, ...words);
    case HYPERVISOR_LEAF + 1:
      return result(bits({ CLOCKSOURCE2, CLOCKSOURCE_STABLE }), 0, 0, 0);
    case KVM_LEAF:
      return result(KVM_LEAF + 1, ...words);
    case KVM_LEAF + 1:
      return result(bits(FEATURES_KVM), 0, 0, 0);
    default:
      // Guests look for other signatures at every multiple of 0x100: show them none.
      return NOTHING;
  }
}

function extendedLeaf(leaf: number, { model }: CpuidContext): CpuidResult {
  switch (leaf) {
    case 0x80000000:
      return result(EXTENDED_LEAF_MAX, 0, 0, 0);
    case 0x80000001:
      return result(0, 0, level(model, FEATURES_EXT_ECX, V3_EXT_ECX), bits(FEATURES_EXT_EDX));
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
      const at = 16 * (leaf - 0x80000002);
      const part = brandOf(model).slice(at, at + 16);
      return result(word(part, 0), word(part, 4), word(part, 8), word(part, 12));
    }
    case 0x80000006:
      // 256 KiB, 8 ways, 64-byte lines: the second level of CACHES.
      return result(0, 0, (256 << 16) | (6 << 12) | CLFLUSH_LINE_BYTES, 0);
    case 0x80000007:
      return result(0, 0, 0, bits(FEATURES_POWER_EDX));
    case 0x80000008:
      return result(PHYSICAL_ADDRESS_BITS | (LINEAR_ADDRESS_BITS << 8), 0, 0, 0);
    default:
      return NOTHING;
  }
}

/**
 * What CPUID answers to `leaf` (EAX) and `subleaf` (ECX), both unsigned. A leaf that does not exist
 * gets the answer of the highest basic leaf, as on Intel's processors.
 */
export function cpuid(leaf: number, subleaf: number, context: CpuidContext): CpuidResult {
  const leafMax = context.limitCpuid ? 2 : BASIC_LEAF_MAX;
  if (leaf <= leafMax) return basicLeaf(leaf, subleaf, context);
  if (leaf >= HYPERVISOR_LEAF && leaf < HYPERVISOR_LEAF_END) return hypervisorLeaf(leaf);
  if (leaf >= 0x80000000 && leaf <= EXTENDED_LEAF_MAX) return extendedLeaf(leaf, context);
  return basicLeaf(leafMax, subleaf, context);
}

/**
 * What CPUID says that the processor can do, in words of 32 bits: leaf 1 ECX and EDX; leaf 7 EBX,
 * ECX and EDX; leaf 0DH EAX, and of subleaf 1; leaf 80000001H ECX and EDX. New words come last.
 */
export function cpuidFeatures(model: CpuModel): readonly number[] {
  const context = { vcpuId: 0, osxsave: false, tscHz: 0, limitCpuid: false, model, xcr0: 0 };
  const basic = cpuid(1, 0, context);
  const extended = cpuid(7, 0, context);
  const xsave = cpuid(0x0d, 0, context);
  const xsaveMore = cpuid(0x0d, 1, context);
  const long = cpuid(0x80000001, 0, context);
  return [
    basic.ecx,
    basic.edx,
    extended.ebx,
    extended.ecx,
    extended.edx,
    xsave.eax,
    xsaveMore.eax,
    long.ecx,
    long.edx,
  ].map((word) => word >>> 0);
}
