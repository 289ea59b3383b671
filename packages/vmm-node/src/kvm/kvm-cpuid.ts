// CPUID on KVM: the table of the soft engine (vmm/cpuid.ts), bit by bit without what the host's
// processor or its KVM does not have, so that a bit that is set works. Guests see the same
// processor on either engine, but for what concerns speculation: the soft processor has none and
// says so, and here the host's own bits are shown, for the guest to defend itself with.
//
// LIMIT_CPUID_MAXVAL is not modelled: KVM takes the table once.

import { type CpuidResult, cpuid } from 'vmm';
import type { HostCalls } from './host-calls.ts';
import { KVM_CONSTANT, KVM_REQUEST } from './ioctl-numbers.ts';
import { CPUID, CPUID_ENTRY, SIZE } from './struct-layouts.ts';
import type { VcpuHandle } from './vcpu-handle.ts';

/** CPUID.(7,0):EDX: MD_CLEAR, IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD. */
const SPECULATION_7_0_EDX = (1 << 10) | (1 << 26) | (1 << 27) | (1 << 28) | (1 << 29) | (1 << 31);
/** CPUID.(7,2):EDX: PSFD, IPRED_CTRL, RRSBA_CTRL, BHI_CTRL, MCDT_NO. */
const SPECULATION_7_2_EDX = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 4) | (1 << 5);
/** CPUID.1:ECX: says that a hypervisor is there; a host that is none does not have it. */
const HYPERVISOR = 1 << 31;

/** Leaf and highest subleaf, of the leaves that have any. */
const SUBLEAVES: Readonly<Record<number, number>> = { 4: 4, 7: 2 };
const BASIC_LEAF_MAX = 0x15;
const HYPERVISOR_LEAVES = [0x4000_0000, 0x4000_0001, 0x4000_0100, 0x4000_0101] as const;
const EXTENDED_LEAF_BASE = 0x8000_0000;
const EXTENDED_LEAF_MAX = 0x8000_0008;
/** KVM itself shows its features at its usual place. */
const KVM_FEATURES_LEAF = 0x4000_0001;
const ENTRIES_MAX = 256;
const AREA_BYTES = 16384;
const BRAND_LEAVES = [0x8000_0002, 0x8000_0003, 0x8000_0004] as const;
const BRAND = 'vmm(4) kvm x86-64-v2 processor';

/** What KVM can show a guest of a leaf; undefined for one that it does not know. */
export type SupportedLeaf = (leaf: number, subleaf: number) => CpuidResult | undefined;

/** Asks KVM_GET_SUPPORTED_CPUID. */
export function supportedCpuid(calls: HostCalls, kvmFd: number): SupportedLeaf {
  const memory = calls.allocate(AREA_BYTES);
  const { view } = memory;
  view.setUint32(CPUID.nent, ENTRIES_MAX, true);
  const leaves = new Map<string, CpuidResult>();
  if (calls.ioctl(kvmFd, KVM_REQUEST.KVM_GET_SUPPORTED_CPUID, memory.address) === 0) {
    for (let i = 0; i < view.getUint32(CPUID.nent, true); i++) {
      const at = CPUID.entries + i * SIZE.kvm_cpuid_entry2;
      const word = (field: keyof typeof CPUID_ENTRY): number =>
        view.getUint32(at + CPUID_ENTRY[field], true);
      const registers = { eax: word('eax'), ebx: word('ebx'), ecx: word('ecx'), edx: word('edx') };
      leaves.set(`${word('function')} ${word('index')}`, registers);
    }
  }
  calls.unmap(memory);
  return (leaf, subleaf) => leaves.get(`${leaf} ${subleaf}`);
}

const NOTHING: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** Four characters of the brand string as a register has them. */
function brandWord(at: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= (BRAND.charCodeAt(at + i) || 0) << (8 * i);
  return word >>> 0;
}

/** KVM adds what follows the guest's registers by itself. AVX is not passed on. */
const SHOWN = { osxsave: false, limitCpuid: false, model: 'v2', xcr0: 3 } as const;

/** One leaf as the guest gets it. */
export function guestLeaf(
  leaf: number,
  subleaf: number,
  host: SupportedLeaf,
  context: { readonly vcpuId: number; readonly tscHz: number },
): CpuidResult {
  const policy = cpuid(leaf, subleaf, { ...context, ...SHOWN });
  const has = host(leaf, subleaf) ?? NOTHING;
  const both = (a: number, b: number): number => (a & b) >>> 0;
  switch (leaf) {
    case 0x01: {
      const ecx = both(policy.ecx, has.ecx | HYPERVISOR);
      return { ...policy, ecx, edx: both(policy.edx, has.edx) };
    }
    case 0x07: {
      const speculation = [SPECULATION_7_0_EDX, 0, SPECULATION_7_2_EDX][subleaf];
      const edx = both(has.edx, speculation);
      const { ebx, ecx } = policy;
      return { ...policy, ebx: both(ebx, has.ebx), ecx: both(ecx, has.ecx), edx };
    }
    case 0x4000_0101: {
      const features = host(KVM_FEATURES_LEAF, 0) ?? NOTHING;
      return { ...policy, eax: both(policy.eax, features.eax) };
    }
    case KVM_FEATURES_LEAF:
      return { ...policy, eax: both(policy.eax, has.eax) };
    case 0x8000_0001:
      return { ...policy, ecx: both(policy.ecx, has.ecx), edx: both(policy.edx, has.edx) };
    case 0x8000_0007:
      return { ...policy, edx: both(policy.edx, has.edx) };
    case 0x8000_0008: {
      const physicalBits = Math.min(policy.eax & 0xff, has.eax & 0xff || 0xff);
      return { ...policy, eax: (policy.eax & ~0xff) | physicalBits };
    }
  }
  const brand = BRAND_LEAVES.indexOf(leaf as (typeof BRAND_LEAVES)[number]);
  if (brand < 0) return policy;
  const [eax, ebx, ecx, edx] = [0, 4, 8, 12].map((at) => brandWord(16 * brand + at));
  return { eax, ebx, ecx, edx };
}

/** Every leaf that the guest can ask for. */
function* leaves(): Generator<[leaf: number, subleaf: number, hasSubleaves: boolean]> {
  for (let leaf = 0; leaf <= BASIC_LEAF_MAX; leaf++) {
    const last = SUBLEAVES[leaf];
    for (let subleaf = 0; subleaf <= (last ?? 0); subleaf++) {
      yield [leaf, subleaf, last !== undefined];
    }
  }
  for (const leaf of HYPERVISOR_LEAVES) yield [leaf, 0, false];
  for (let leaf = EXTENDED_LEAF_BASE; leaf <= EXTENDED_LEAF_MAX; leaf++) yield [leaf, 0, false];
}

/** Tells KVM what its vCPU's guest is to see; false when KVM refuses. */
export function setGuestCpuid(
  calls: HostCalls,
  handle: VcpuHandle,
  host: SupportedLeaf,
  context: { readonly vcpuId: number; readonly tscHz: number },
): boolean {
  const memory = calls.allocate(AREA_BYTES);
  const { view } = memory;
  let count = 0;
  for (const [leaf, subleaf, hasSubleaves] of leaves()) {
    const at = CPUID.entries + count++ * SIZE.kvm_cpuid_entry2;
    const flags = hasSubleaves ? KVM_CONSTANT.KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    const { eax, ebx, ecx, edx } = guestLeaf(leaf, subleaf, host, context);
    const fields = { function: leaf, index: subleaf, flags, eax, ebx, ecx, edx };
    for (const [field, value] of Object.entries(fields)) {
      view.setUint32(at + CPUID_ENTRY[field as keyof typeof CPUID_ENTRY], value, true);
    }
  }
  view.setUint32(CPUID.nent, count, true);
  const isTaken = handle.call(KVM_REQUEST.KVM_SET_CPUID2, memory.address) === 0;
  calls.unmap(memory);
  return isTaken;
}
