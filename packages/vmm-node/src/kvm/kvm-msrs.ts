// Model-specific registers. KVM would give the guest those of its own idea of a processor; a filter
// has it keep the ones that vmm(4)'s guests have, and hand every other access to the engine, which
// answers by the same policy as the soft engine. Linux, Documentation/virt/kvm/api.rst, 4.97.

import { filterMiscEnable, MSR, readUnknownMsr, writeUnknownMsr } from 'vmm';
import type { HostCalls } from './host-calls.ts';
import { KVM_CAP, KVM_CONSTANT, KVM_REQUEST } from './ioctl-numbers.ts';
import type { KeptRegisters } from './kvm-registers.ts';
import { ENABLE_CAP, MSR_FILTER, MSR_FILTER_RANGE, RUN, RUN_MSR, SIZE } from './struct-layouts.ts';
import type { MsrValue } from './vcpu-handle.ts';

/** IA32_FLUSH_CMD, SDM vol. 4: where the host's processor needs it, its guests do. */
const FLUSH_CMD = 0x10b;

/** What KVM keeps, to be read and written. */
const KEPT = [
  MSR.TSC,
  MSR.SPEC_CTRL,
  MSR.PRED_CMD,
  FLUSH_CMD,
  MSR.SYSENTER_CS,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.PAT,
  MSR.KVM_WALL_CLOCK,
  MSR.EFER,
  MSR.STAR,
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.SFMASK,
  MSR.FSBASE,
  MSR.GSBASE,
  MSR.KERNELGSBASE,
  MSR.TSC_AUX,
] as const;
/** To be read only: a write goes where writes of unknown registers go. */
const READABLE = [MSR.ARCH_CAPABILITIES] as const;

/** What RESET leaves in the registers that no register class has, SDM vol. 3A, table 10-1. */
export const RESET_MSRS: readonly MsrValue[] = [
  [MSR.SYSENTER_CS, 0n],
  [MSR.SYSENTER_ESP, 0n],
  [MSR.SYSENTER_EIP, 0n],
  [MSR.PAT, 0x0007_0406_0007_0406n],
  [MSR.KVM_SYSTEM_TIME, 0n],
  [MSR.TSC_AUX, 0n],
  // Last, since not every host's processor has it.
  [MSR.SPEC_CTRL, 0n],
];

/** The registers of the filter's ranges: a bitmap each. */
const RANGES = [
  { base: 0, count: 0x400 },
  { base: MSR.KVM_WALL_CLOCK, count: 8 },
  { base: MSR.EFER, count: 0x100 },
] as const;
const BITMAPS_AT = 512;
const BITMAP_BYTES = 256;
const AREA_BYTES = 4096;

/** Sets the filter of a new virtual machine; false when this Linux has none. */
export function filterMsrs(calls: HostCalls, vmFd: number): boolean {
  const memory = calls.allocate(AREA_BYTES);
  const { view, address } = memory;
  view.setUint32(ENABLE_CAP.cap, KVM_CAP.KVM_CAP_X86_USER_SPACE_MSR, true);
  view.setBigUint64(ENABLE_CAP.args, BigInt(KVM_CONSTANT.KVM_MSR_EXIT_REASON_FILTER), true);
  const enabled = calls.ioctl(vmFd, KVM_REQUEST.KVM_ENABLE_CAP, address) === 0;
  memory.bytes.fill(0);
  const { KVM_MSR_FILTER_READ: read, KVM_MSR_FILTER_WRITE: write } = KVM_CONSTANT;
  view.setUint32(MSR_FILTER.flags, KVM_CONSTANT.KVM_MSR_FILTER_DEFAULT_DENY, true);
  let next = 0;
  for (const { base, count } of RANGES) {
    for (const [flags, indices] of [
      [read, [...KEPT, ...READABLE]],
      [write, KEPT],
    ] as const) {
      const bitmap = BITMAPS_AT + next * BITMAP_BYTES;
      for (const index of indices) {
        const bit = index - base;
        if (bit < 0 || bit >= count) continue;
        view.setUint8(bitmap + (bit >> 3), view.getUint8(bitmap + (bit >> 3)) | (1 << (bit & 7)));
      }
      const at = MSR_FILTER.ranges + next * SIZE.kvm_msr_filter_range;
      view.setUint32(at + MSR_FILTER_RANGE.flags, flags, true);
      view.setUint32(at + MSR_FILTER_RANGE.nmsrs, count, true);
      view.setUint32(at + MSR_FILTER_RANGE.base, base, true);
      view.setBigUint64(at + MSR_FILTER_RANGE.bitmap, BigInt(address + bitmap), true);
      next++;
    }
  }
  const filtered = calls.ioctl(vmFd, KVM_REQUEST.KVM_X86_SET_MSR_FILTER, address) === 0;
  calls.unmap(memory);
  return enabled && filtered;
}

/** Answers RDMSR of a register that KVM does not keep; `run` is a struct kvm_run. */
export function answerReadMsr(run: DataView, kept: KeptRegisters, pvclockGpa: bigint): void {
  const index = run.getUint32(RUN.msr + RUN_MSR.index, true);
  let value = 0n;
  let isFault = false;
  if (index === MSR.MISC_ENABLE) value = kept.miscEnable;
  else if (index === MSR.KVM_SYSTEM_TIME) value = pvclockGpa;
  else isFault = readUnknownMsr(index) === 'fault';
  run.setBigUint64(RUN.msr + RUN_MSR.data, value, true);
  run.setUint8(RUN.msr + RUN_MSR.error, isFault ? 1 : 0);
}

/** Answers WRMSR of one; `setPvclock` is false for a place where no clock can be. */
export function answerWriteMsr(
  run: DataView,
  kept: KeptRegisters,
  setPvclock: (value: bigint) => boolean,
): void {
  const index = run.getUint32(RUN.msr + RUN_MSR.index, true);
  const value = run.getBigUint64(RUN.msr + RUN_MSR.data, true);
  let isFault = false;
  if (index === MSR.MISC_ENABLE) {
    const low = filterMiscEnable(Number(BigInt.asIntN(32, value)));
    kept.miscEnable = ((value >> 32n) << 32n) | BigInt(low);
  } else if (index === MSR.KVM_SYSTEM_TIME) {
    isFault = !setPvclock(value);
  } else {
    isFault = writeUnknownMsr(index) === 'fault';
  }
  run.setUint8(RUN.msr + RUN_MSR.error, isFault ? 1 : 0);
}
