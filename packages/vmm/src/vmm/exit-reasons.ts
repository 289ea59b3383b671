// vrp_exit_reason. vmm(4) passes the processor's own exit codes on, and callers must know them, so
// that a monitor has to choose a vendor: this one speaks Intel's, SDM 3D appendix C, table C-1.

/** An interrupt for the host: another thread asked this one to come back (INTR). */
export const VMX_EXIT_EXTINT = 1;
export const VMX_EXIT_TRIPLE_FAULT = 2;
/** The guest can take an interrupt now. */
export const VMX_EXIT_INT_WINDOW = 7;
export const VMX_EXIT_HLT = 12;
export const VMX_EXIT_IO = 30;
/** A page's protection forbids the access; or, with MMIO exits on, no range backs the address. */
export const VMX_EXIT_EPT_VIOLATION = 48;

/** The VM is being terminated: RUN it no more. */
export const VM_EXIT_TERMINATED = 0xfffe;
/** Nothing happened: the slice is over. RUN again. */
export const VM_EXIT_NONE = 0xffff;

/** States of a vCPU, the values of vir_vcpu_state. */
export const VCPU_STATE_STOPPED = 0;
export const VCPU_STATE_RUNNING = 1;
export const VCPU_STATE_REQTERM = 2;
export const VCPU_STATE_TERMINATED = 3;
export const VCPU_STATE_UNKNOWN = 4;
