// The limits of vmm(4) of the 6.7 to 7.2 releases (<machine/vmmvar.h>), and two of ours.

/** Memory ranges that a VM can be made of. */
export const VMM_MAX_MEM_RANGES = 16;
/** Guest-physical addresses are below this many megabytes: 32 GiB. */
export const VMM_MAX_VM_MEM_SIZE_MB = 32768;
/** Length of the state array of INFO. CREATE accepts one vCPU per VM all the same. */
export const VMM_MAX_VCPUS_PER_VM = 64;
/** vCPUs on the host. Without a cap, a caller could take all of the host's memory with VMs. */
export const VMM_MAX_VCPUS = 512;
/** Of a VM's name in bytes, including the final NUL. */
export const VMM_MAX_NAME_LEN = 64;
/** Disks, interfaces and path lengths that CREATE carries for vmd(8); the monitor ignores them. */
export const VMM_MAX_DISKS_PER_VM = 4;
export const VMM_MAX_NICS_PER_VM = 4;
export const VMM_MAX_PATH_DISK = 128;
export const VMM_MAX_PATH_CDROM = 128;
export const VMM_MAX_KERNEL_PATH = 128;

/**
 * The guest-physical window that PCI memory BARs live in; RAM neither begins nor ends in it. The
 * 4 MiB above it, up to 4 GiB, are firmware's.
 */
export const VMM_PCI_MMIO_BAR_BASE = 0xf0000000;
export const VMM_PCI_MMIO_BAR_END = 0xffbfffff;

/** The unit of guest memory. */
export const PAGE_SIZE = 4096;

/**
 * How long TERM waits for a thread that is inside RUN, in milliseconds. A slice takes about one;
 * a thread that has not come back after a thousand was ended from outside and never will.
 */
export const TERM_WAIT_MS_MAX = 1000;
