// The structures of the vmm(4) ioctls, <machine/vmmvar.h> as of September 2021 (releases 6.7 to
// 7.2): as TypeScript types with the same member names, and as layout tables in the order of the C
// declarations. Two members are objects here and pointers in the binary form: vrp_exit and
// vip_info.

import type { StructLayout } from './layout.ts';
import { struct, union } from './layout.ts';
import {
  VMM_MAX_DISKS_PER_VM,
  VMM_MAX_KERNEL_PATH,
  VMM_MAX_MEM_RANGES,
  VMM_MAX_NAME_LEN,
  VMM_MAX_NICS_PER_VM,
  VMM_MAX_PATH_CDROM,
  VMM_MAX_PATH_DISK,
  VMM_MAX_VCPUS_PER_VM,
} from './limits.ts';
import type { VcpuRegState, VcpuSegmentInfo } from './registers.ts';
import {
  VCPU_REGS_NCRS,
  VCPU_REGS_NDRS,
  VCPU_REGS_NGPRS,
  VCPU_REGS_NMSRS,
  VCPU_REGS_NSREGS,
} from './registers.ts';

/** A piece of guest memory; everything in bytes and page aligned. */
export interface VmMemRange {
  /** Guest-physical address. */
  vmr_gpa: bigint;
  /** Where it lies in the caller's address space. */
  vmr_va: bigint;
  vmr_size: bigint;
}

/** CREATE. What is optional here is vmd(8)'s and ignored by the monitor. */
export interface VmCreateParams {
  vcp_nmemranges: bigint;
  vcp_ncpus: bigint;
  vcp_ndisks?: bigint;
  vcp_nnics?: bigint;
  vcp_memranges: VmMemRange[];
  vcp_disks?: string[];
  vcp_cdrom?: string;
  /** Cut to 63 bytes. Need not be unique. */
  vcp_name: string;
  vcp_kernel?: string;
  vcp_macs?: Uint8Array[];
  /** Out: the id of the new VM. */
  vcp_id: number;
}

/** vei_dir: which way the data goes. */
export const VEI_DIR_OUT = 0;
export const VEI_DIR_IN = 1;
/** vei_encoding: where the instruction has the port number. */
export const VEI_ENCODING_DX = 0;
export const VEI_ENCODING_IMMEDIATE = 1;

/** An I/O exit. */
export interface VmExitInout {
  /** 1, 2 or 4 bytes. */
  vei_size: number;
  vei_dir: number;
  vei_rep: number;
  vei_string: number;
  vei_encoding: number;
  vei_port: number;
  /** OUT: what the guest wrote. IN: the answer, for the next RUN. */
  vei_data: number;
}

/** vee_fault_type: the access was to a page whose protection forbids it. */
export const VEE_FAULT_PROTECT = 0;

/** vee_fault_type, extension (the number is a later release's): no range backs the address. */
export const VEE_FAULT_MMIO_ASSIST = 2;

/** A protection exit. */
export interface VmExitEptviolation {
  vee_fault_type: number;
}

/** Extension, not in the binary form: an access to memory that no range backs. */
export interface VmExitMmio {
  gpa: number;
  /** 1, 2, 4 or 8 bytes. */
  sizeBytes: number;
  isWrite: boolean;
  /** Write: what the guest stored. Read: the answer, for the next RUN. Low and high 32 bits. */
  dataLow: number;
  dataHigh: number;
}

/** What RUN says about the exit, and what the caller answers. */
export interface VmExit {
  vei: VmExitInout;
  vee: VmExitEptviolation;
  /**
   * All registers. Filling it costs more than all else in an exit, so that typed callers who have
   * no use for it leave it undefined and RUN then neither fills nor reads it.
   */
  vrs: VcpuRegState | undefined;
  /** The privilege level that the guest ran at, 0..3; only filled together with vrs. */
  cpl: number;
  /** Extension; filled for MMIO exits. */
  mmio: VmExitMmio;
}

/** An exit record with nothing in it and no room for registers. */
export function emptyExit(): VmExit {
  return {
    vei: {
      vei_size: 0,
      vei_dir: 0,
      vei_rep: 0,
      vei_string: 0,
      vei_encoding: 0,
      vei_port: 0,
      vei_data: 0,
    },
    vee: { vee_fault_type: 0 },
    vrs: undefined,
    cpl: 0,
    mmio: { gpa: 0, sizeBytes: 0, isWrite: false, dataLow: 0, dataHigh: 0 },
  };
}

/** RUN. */
export interface VmRunParams {
  vrp_vm_id: number;
  vrp_vcpu_id: number;
  /** Non-zero: take the answer to the last exit from vrp_exit. */
  vrp_continue: number;
  /** The vector to inject, or {@link VRP_IRQ_NONE}. */
  vrp_irq: number;
  vrp_exit: VmExit;
  /** Out: VMX_EXIT_*, or VM_EXIT_NONE. */
  vrp_exit_reason: number;
  /** Out: 1 when the next RUN can inject vrp_irq. */
  vrp_irqready: number;
}

/** vrp_irq: nothing to inject. */
export const VRP_IRQ_NONE = 0xffff;

/** Parameters for RUN, to be used again and again: nothing to inject, nothing to continue. */
export function runParams(vmId: number, vcpuId = 0): VmRunParams {
  return {
    vrp_vm_id: vmId,
    vrp_vcpu_id: vcpuId,
    vrp_continue: 0,
    vrp_irq: VRP_IRQ_NONE,
    vrp_exit: emptyExit(),
    vrp_exit_reason: 0,
    vrp_irqready: 0,
  };
}

/** One VM, as INFO tells. */
export interface VmInfoResult {
  /** In megabytes. */
  vir_memory_size: bigint;
  /** Memory that the guest has touched, in bytes. */
  vir_used_size: bigint;
  vir_ncpus: bigint;
  vir_vcpu_state: Uint8Array;
  vir_creator_pid: number;
  vir_id: number;
  vir_name: string;
}

/** TERM. */
export interface VmTerminateParams {
  vtp_vm_id: number;
}

/** RESETCPU. */
export interface VmResetcpuParams {
  vrp_vm_id: number;
  vrp_vcpu_id: number;
  vrp_init_state: VcpuRegState;
}

/** INTR. */
export interface VmIntrParams {
  vip_vm_id: number;
  vip_vcpu_id: number;
  /** The level of the interrupt line, not a vector: 0 or not. */
  vip_intr: number;
}

/** READREGS and WRITEREGS. */
export interface VmRwregsParams {
  vrwp_vm_id: number;
  vrwp_vcpu_id: number;
  /** VM_RWREGS_*. */
  vrwp_mask: bigint;
  vrwp_regs: VcpuRegState;
}

/** vpp_mask. */
export const VM_RWVMPARAMS_PVCLOCK_SYSTEM_GPA = 0x1;
export const VM_RWVMPARAMS_PVCLOCK_VERSION = 0x2;
export const VM_RWVMPARAMS_ALL = 0x3;

/** READVMPARAMS and WRITEVMPARAMS. */
export interface VmRwvmparamsParams {
  vpp_vm_id: number;
  vpp_vcpu_id: number;
  vpp_mask: number;
  vpp_pvclock_system_gpa: bigint;
  vpp_pvclock_version: number;
}

/** MPROTECT_EPT. */
export interface VmMprotectEptParams {
  vmep_vm_id: number;
  vmep_vcpu_id: number;
  vmep_sgpa: bigint;
  vmep_size: bigint;
  /** PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4. */
  vmep_prot: number;
}

/** The members of INFO's argument; `vip_info` is where the results go. */
export interface VmInfoParamsBinary {
  /** In: the room at vip_info, in bytes. Out: the room needed. */
  vip_size: bigint;
  vip_info_ct: bigint;
  vip_info: bigint;
}

/** RUN's argument in its binary form: vrp_exit is an address. */
export type VmRunParamsBinary = Omit<VmRunParams, 'vrp_exit'> & { vrp_exit: bigint };

/** `struct vm_exit` in its binary form: no extensions. */
export type VmExitBinary = Omit<VmExit, 'vrs' | 'mmio'> & { vrs: VcpuRegState };

export const VCPU_SEGMENT_INFO: StructLayout<VcpuSegmentInfo> = struct('vcpu_segment_info', [
  ['vsi_sel', 'u16'],
  ['vsi_limit', 'u32'],
  ['vsi_ar', 'u32'],
  ['vsi_base', 'u64'],
]);

export const VM_EXIT_INOUT: StructLayout<VmExitInout> = struct('vm_exit_inout', [
  ['vei_size', 'u8'],
  ['vei_dir', 'u8'],
  ['vei_rep', 'u8'],
  ['vei_string', 'u8'],
  ['vei_encoding', 'u8'],
  ['vei_port', 'u16'],
  ['vei_data', 'u32'],
]);

export const VM_EXIT_EPTVIOLATION: StructLayout<VmExitEptviolation> = struct(
  'vm_exit_eptviolation',
  [['vee_fault_type', 'u8']],
);

export const VCPU_REG_STATE: StructLayout<VcpuRegState> = struct('vcpu_reg_state', [
  ['vrs_gprs', 'u64', VCPU_REGS_NGPRS],
  ['vrs_crs', 'u64', VCPU_REGS_NCRS],
  ['vrs_msrs', 'u64', VCPU_REGS_NMSRS],
  ['vrs_drs', 'u64', VCPU_REGS_NDRS],
  ['vrs_sregs', VCPU_SEGMENT_INFO, VCPU_REGS_NSREGS],
  ['vrs_gdtr', VCPU_SEGMENT_INFO],
  ['vrs_idtr', VCPU_SEGMENT_INFO],
]);

export const VM_MEM_RANGE: StructLayout<VmMemRange> = struct('vm_mem_range', [
  ['vmr_gpa', 'u64'],
  ['vmr_va', 'u64'],
  ['vmr_size', 'u64'],
]);

export const VM_EXIT: StructLayout<VmExitBinary> = struct('vm_exit', [
  [
    '',
    union([
      ['vei', VM_EXIT_INOUT],
      ['vee', VM_EXIT_EPTVIOLATION],
    ]),
  ],
  ['vrs', VCPU_REG_STATE],
  ['cpl', 'i32'],
]);

export const VM_CREATE_PARAMS: StructLayout<Required<VmCreateParams>> = struct('vm_create_params', [
  ['vcp_nmemranges', 'u64'],
  ['vcp_ncpus', 'u64'],
  ['vcp_ndisks', 'u64'],
  ['vcp_nnics', 'u64'],
  ['vcp_memranges', VM_MEM_RANGE, VMM_MAX_MEM_RANGES],
  ['vcp_disks', 'char', VMM_MAX_DISKS_PER_VM, VMM_MAX_PATH_DISK],
  ['vcp_cdrom', 'char', VMM_MAX_PATH_CDROM],
  ['vcp_name', 'char', VMM_MAX_NAME_LEN],
  ['vcp_kernel', 'char', VMM_MAX_KERNEL_PATH],
  ['vcp_macs', 'u8', VMM_MAX_NICS_PER_VM, 6],
  ['vcp_id', 'u32'],
]);

export const VM_RUN_PARAMS: StructLayout<VmRunParamsBinary> = struct('vm_run_params', [
  ['vrp_vm_id', 'u32'],
  ['vrp_vcpu_id', 'u32'],
  ['vrp_continue', 'u8'],
  ['vrp_irq', 'u16'],
  ['vrp_exit', 'pointer'],
  ['vrp_exit_reason', 'u16'],
  ['vrp_irqready', 'u8'],
]);

export const VM_INFO_RESULT: StructLayout<VmInfoResult> = struct('vm_info_result', [
  ['vir_memory_size', 'u64'],
  ['vir_used_size', 'u64'],
  ['vir_ncpus', 'u64'],
  ['vir_vcpu_state', 'u8', VMM_MAX_VCPUS_PER_VM],
  ['vir_creator_pid', 'i32'],
  ['vir_id', 'u32'],
  ['vir_name', 'char', VMM_MAX_NAME_LEN],
]);

export const VM_INFO_PARAMS: StructLayout<VmInfoParamsBinary> = struct('vm_info_params', [
  ['vip_size', 'u64'],
  ['vip_info_ct', 'u64'],
  ['vip_info', 'pointer'],
]);

export const VM_TERMINATE_PARAMS: StructLayout<VmTerminateParams> = struct('vm_terminate_params', [
  ['vtp_vm_id', 'u32'],
]);

export const VM_RESETCPU_PARAMS: StructLayout<VmResetcpuParams> = struct('vm_resetcpu_params', [
  ['vrp_vm_id', 'u32'],
  ['vrp_vcpu_id', 'u32'],
  ['vrp_init_state', VCPU_REG_STATE],
]);

export const VM_INTR_PARAMS: StructLayout<VmIntrParams> = struct('vm_intr_params', [
  ['vip_vm_id', 'u32'],
  ['vip_vcpu_id', 'u32'],
  ['vip_intr', 'u16'],
]);

export const VM_RWREGS_PARAMS: StructLayout<VmRwregsParams> = struct('vm_rwregs_params', [
  ['vrwp_vm_id', 'u32'],
  ['vrwp_vcpu_id', 'u32'],
  ['vrwp_mask', 'u64'],
  ['vrwp_regs', VCPU_REG_STATE],
]);

export const VM_RWVMPARAMS_PARAMS: StructLayout<VmRwvmparamsParams> = struct(
  'vm_rwvmparams_params',
  [
    ['vpp_vm_id', 'u32'],
    ['vpp_vcpu_id', 'u32'],
    ['vpp_mask', 'u32'],
    ['vpp_pvclock_system_gpa', 'u64'],
    ['vpp_pvclock_version', 'u32'],
  ],
);

export const VM_MPROTECT_EPT_PARAMS: StructLayout<VmMprotectEptParams> = struct(
  'vm_mprotect_ept_params',
  [
    ['vmep_vm_id', 'u32'],
    ['vmep_vcpu_id', 'u32'],
    ['vmep_sgpa', 'u64'],
    ['vmep_size', 'u64'],
    ['vmep_prot', 'i32'],
  ],
);
