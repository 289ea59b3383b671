// The state that a boot protocol asks for, as vmm(4)'s RESETCPU takes it: what the protocol does not
// name is as after RESET (SDM 3A table 10-1).

import { cpuSignature } from '../vmm/cpuid.ts';
import { miscEnableReset } from '../vmm/msr-policy.ts';
import {
  powerOnState,
  VCPU_CRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  type VcpuSegmentInfo,
} from '../vmm/registers.ts';
import type { BootSegment, BootState, BootTable, GprName, SegmentName } from './boot/boot-state.ts';

const upper = <Name extends string>(name: Name): Uppercase<Name> =>
  name.toUpperCase() as Uppercase<Name>;

function segmentInfo(segment: BootSegment): VcpuSegmentInfo {
  return {
    vsi_sel: segment.sel,
    vsi_limit: segment.limit,
    vsi_ar: segment.ar,
    vsi_base: BigInt(segment.base),
  };
}

function tableInfo(table: BootTable): VcpuSegmentInfo {
  return { vsi_sel: 0, vsi_limit: table.limit, vsi_ar: 0, vsi_base: BigInt(table.base) };
}

/** All registers of a vCPU that is about to execute the firmware's first instruction. */
export function resetRegisters(): VcpuRegState {
  const state = powerOnState(cpuSignature);
  // Without the fast strings bit Linux copies memory without REP MOVS.
  state.vrs_msrs[VCPU_MSRS.MISC_ENABLE] = BigInt(miscEnableReset);
  return state;
}

/** All registers of a vCPU that is about to execute the kernel's first instruction. */
export function bootRegisters(boot: BootState): VcpuRegState {
  const state = resetRegisters();
  for (const [name, value] of Object.entries(boot.gprs)) {
    state.vrs_gprs[VCPU_REGS[upper(name as GprName)]] = BigInt(value);
  }
  state.vrs_gprs[VCPU_REGS.RIP] = BigInt(boot.rip);
  state.vrs_gprs[VCPU_REGS.RFLAGS] = BigInt(boot.rflags);
  state.vrs_crs[VCPU_CRS.CR0] = BigInt(boot.cr0);
  state.vrs_crs[VCPU_CRS.CR3] = BigInt(boot.cr3);
  state.vrs_crs[VCPU_CRS.CR4] = BigInt(boot.cr4);
  state.vrs_msrs[VCPU_MSRS.EFER] = BigInt(boot.efer);
  for (const [name, segment] of Object.entries(boot.segments)) {
    state.vrs_sregs[VCPU_SREGS[upper(name as SegmentName)]] = segmentInfo(segment);
  }
  state.vrs_gdtr = tableInfo(boot.gdtr);
  state.vrs_idtr = tableInfo(boot.idtr);
  return state;
}
