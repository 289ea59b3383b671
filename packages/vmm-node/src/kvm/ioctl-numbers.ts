// The requests, capabilities and exit reasons of Linux's KVM that the engine uses: <linux/kvm.h>;
// Linux, Documentation/virt/kvm/api.rst. Numbers are those of x86-64. The test beside this file has
// the C compiler check every one of them.

/** ioctl(2) requests, by the names that <linux/kvm.h> gives them. */
export const KVM_REQUEST = {
  KVM_GET_API_VERSION: 0x0000_ae00,
  KVM_CREATE_VM: 0x0000_ae01,
  KVM_CHECK_EXTENSION: 0x0000_ae03,
  KVM_GET_VCPU_MMAP_SIZE: 0x0000_ae04,
  KVM_GET_SUPPORTED_CPUID: 0xc008_ae05,
  KVM_CREATE_VCPU: 0x0000_ae41,
  KVM_SET_USER_MEMORY_REGION: 0x4020_ae46,
  KVM_SET_TSS_ADDR: 0x0000_ae47,
  KVM_SET_IDENTITY_MAP_ADDR: 0x4008_ae48,
  KVM_RUN: 0x0000_ae80,
  KVM_GET_REGS: 0x8090_ae81,
  KVM_SET_REGS: 0x4090_ae82,
  KVM_GET_SREGS: 0x8138_ae83,
  KVM_SET_SREGS: 0x4138_ae84,
  KVM_TRANSLATE: 0xc018_ae85,
  KVM_INTERRUPT: 0x4004_ae86,
  KVM_GET_MSRS: 0xc008_ae88,
  KVM_SET_MSRS: 0x4008_ae89,
  KVM_SET_FPU: 0x41a0_ae8d,
  KVM_SET_CPUID2: 0x4008_ae90,
  KVM_GET_VCPU_EVENTS: 0x8040_ae9f,
  KVM_SET_VCPU_EVENTS: 0x4040_aea0,
  KVM_GET_DEBUGREGS: 0x8080_aea1,
  KVM_SET_DEBUGREGS: 0x4080_aea2,
  KVM_ENABLE_CAP: 0x4068_aea3,
  KVM_GET_TSC_KHZ: 0x0000_aea3,
  KVM_X86_SET_MSR_FILTER: 0x4188_aec6,
} as const;

/** Capabilities: arguments of KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. */
export const KVM_CAP = {
  KVM_CAP_VCPU_EVENTS: 41,
  KVM_CAP_DEBUGREGS: 50,
  KVM_CAP_GET_TSC_KHZ: 61,
  KVM_CAP_SYNC_REGS: 74,
  KVM_CAP_READONLY_MEM: 81,
  KVM_CAP_IMMEDIATE_EXIT: 136,
  KVM_CAP_X86_USER_SPACE_MSR: 188,
  KVM_CAP_X86_MSR_FILTER: 189,
  KVM_CAP_DISABLE_QUIRKS2: 213,
} as const;

/** Values of exit_reason. */
export const KVM_EXIT = {
  KVM_EXIT_IO: 2,
  KVM_EXIT_HLT: 5,
  KVM_EXIT_MMIO: 6,
  KVM_EXIT_IRQ_WINDOW_OPEN: 7,
  KVM_EXIT_SHUTDOWN: 8,
  KVM_EXIT_FAIL_ENTRY: 9,
  KVM_EXIT_INTR: 10,
  KVM_EXIT_INTERNAL_ERROR: 17,
  KVM_EXIT_X86_RDMSR: 29,
  KVM_EXIT_X86_WRMSR: 30,
} as const;

/** Flags and other constants of the structures. */
export const KVM_CONSTANT = {
  KVM_API_VERSION: 12,
  KVM_MEM_READONLY: 2,
  KVM_EXIT_IO_OUT: 1,
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: 1,
  KVM_SYNC_X86_REGS: 1,
  KVM_VCPUEVENT_VALID_SHADOW: 4,
  KVM_CPUID_FLAG_SIGNIFCANT_INDEX: 1,
  KVM_MSR_EXIT_REASON_FILTER: 4,
  KVM_MSR_FILTER_DEFAULT_DENY: 1,
  KVM_MSR_FILTER_READ: 1,
  KVM_MSR_FILTER_WRITE: 2,
  KVM_X86_QUIRK_OUT_7E_INC_RIP: 8,
} as const;

/** Quirks newer than the headers that the test may find: bits of KVM_CAP_DISABLE_QUIRKS2. */
export const QUIRK_FIX_HYPERCALL_INSN: number = 1 << 5;
export const QUIRK_MWAIT_NEVER_UD_FAULTS: number = 1 << 6;

/** errno values that KVM answers with: Linux, <asm-generic/errno-base.h>. */
export const ERRNO = {
  EPERM: 1,
  EINTR: 4,
  EAGAIN: 11,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
} as const;
