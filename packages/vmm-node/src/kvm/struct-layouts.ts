// Where the fields of KVM's structures lie, in bytes: <linux/kvm.h> and <asm/kvm.h> for x86-64.
// The test beside this file has the C compiler check every offset and size. Nested structures have
// their members' names joined by an underscore.

/** struct kvm_run, the page that the kernel and the engine share. */
export const RUN = {
  request_interrupt_window: 0,
  immediate_exit: 1,
  exit_reason: 8,
  ready_for_interrupt_injection: 12,
  if_flag: 13,
  cr8: 16,
  hw: 32,
  io: 32,
  internal: 32,
  mmio: 32,
  msr: 32,
  kvm_valid_regs: 288,
  kvm_dirty_regs: 296,
  s: 304,
} as const;

/** The members of kvm_run's union, from its beginning. */
export const RUN_IO = { direction: 0, size: 1, port: 2, count: 4, data_offset: 8 } as const;
export const RUN_MMIO = { phys_addr: 0, data: 8, len: 16, is_write: 20 } as const;
export const RUN_MSR = { error: 0, reason: 8, index: 12, data: 16 } as const;
export const RUN_EMULATION_FAILURE = {
  suberror: 0,
  flags: 8,
  insn_size: 16,
  insn_bytes: 17,
} as const;

/** struct kvm_regs: 64 bits each. */
export const REGS = {
  rax: 0,
  rbx: 8,
  rcx: 16,
  rdx: 24,
  rsi: 32,
  rdi: 40,
  rsp: 48,
  rbp: 56,
  r8: 64,
  r9: 72,
  r10: 80,
  r11: 88,
  r12: 96,
  r13: 104,
  r14: 112,
  r15: 120,
  rip: 128,
  rflags: 136,
} as const;

/** struct kvm_segment. */
export const SEGMENT = {
  base: 0,
  limit: 8,
  selector: 12,
  type: 14,
  present: 15,
  dpl: 16,
  db: 17,
  s: 18,
  l: 19,
  g: 20,
  avl: 21,
  unusable: 22,
} as const;

/** struct kvm_dtable. */
export const DTABLE = { base: 0, limit: 8 } as const;

/** struct kvm_sregs. */
export const SREGS = {
  cs: 0,
  ds: 24,
  es: 48,
  fs: 72,
  gs: 96,
  ss: 120,
  tr: 144,
  ldt: 168,
  gdt: 192,
  idt: 208,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apic_base: 272,
  interrupt_bitmap: 280,
} as const;

/** struct kvm_debugregs. */
export const DEBUGREGS = { db: 0, dr6: 32, dr7: 40, flags: 48 } as const;

/** struct kvm_fpu, as far as a reset sets it. */
export const FPU = { fcw: 128, ftwx: 132, mxcsr: 408 } as const;

/** struct kvm_vcpu_events, as far as the engine looks at it. */
export const EVENTS = {
  exception_injected: 0,
  exception_nr: 1,
  exception_has_error_code: 2,
  exception_pending: 3,
  exception_error_code: 4,
  interrupt_injected: 8,
  interrupt_shadow: 11,
  nmi_injected: 12,
  flags: 20,
} as const;

/** struct kvm_userspace_memory_region. */
export const REGION = {
  slot: 0,
  flags: 4,
  guest_phys_addr: 8,
  memory_size: 16,
  userspace_addr: 24,
} as const;

/** struct kvm_msrs: its header, and struct kvm_msr_entry. */
export const MSRS = { nmsrs: 0, entries: 8 } as const;
export const MSR_ENTRY = { index: 0, data: 8 } as const;

/** struct kvm_cpuid2: its header, and struct kvm_cpuid_entry2. */
export const CPUID = { nent: 0, entries: 8 } as const;
export const CPUID_ENTRY = {
  function: 0,
  index: 4,
  flags: 8,
  eax: 12,
  ebx: 16,
  ecx: 20,
  edx: 24,
} as const;

/** struct kvm_translation. */
export const TRANSLATION = { linear_address: 0, physical_address: 8, valid: 16 } as const;

/** struct kvm_enable_cap. */
export const ENABLE_CAP = { cap: 0, flags: 4, args: 8 } as const;

/** struct kvm_msr_filter, and struct kvm_msr_filter_range. */
export const MSR_FILTER = { flags: 0, ranges: 8 } as const;
export const MSR_FILTER_RANGE = { flags: 0, nmsrs: 4, base: 8, bitmap: 16 } as const;

/** Sizes in bytes, by the names of the structures. */
export const SIZE = {
  kvm_regs: 144,
  kvm_segment: 24,
  kvm_dtable: 16,
  kvm_sregs: 312,
  kvm_debugregs: 128,
  kvm_fpu: 416,
  kvm_vcpu_events: 64,
  kvm_userspace_memory_region: 32,
  kvm_msr_entry: 16,
  kvm_cpuid_entry2: 40,
  kvm_translation: 24,
  kvm_enable_cap: 104,
  kvm_msr_filter: 392,
  kvm_msr_filter_range: 24,
} as const;
