// The limits and defaults of vm.conf(5), each with the constant of vmd(8) that it is. vmctl(8) has
// the same, so they are here once.

const MB = 1024 * 1024;

/** VM_NAME_MAX is 64 with the terminating zero; of a vm, its parent and a switch. */
export const NAME_BYTES_MAX = 63;
/**
 * What a vm may be called. The manual wants a letter first; vmd(8) itself refuses only dot, dash
 * and underscore there, so a name such as "1st" is good.
 */
export const VM_NAME_PATTERN: RegExp = /^[a-z0-9][a-z0-9._-]*$/i;
/** VM_MAX_DISKS_PER_VM. */
export const DISKS_MAX = 4;
/** VM_MAX_NICS_PER_VM. */
export const INTERFACES_MAX = 4;
/** VM_DEFAULT_MEMORY. */
export const MEMORY_DEFAULT_BYTES: number = 512 * MB;
/** Memory is counted in megabytes. */
export const MEMORY_UNIT_BYTES: number = MB;
/** VMM_MAX_VM_MEM_SIZE since OpenBSD 7.3; an engine or a host may have less to give. */
export const MEMORY_MAX_BYTES: number = 128 * 1024 * MB;
/** PATH_MAX of OpenBSD is 1024 with the terminating zero. */
export const PATH_BYTES_MAX = 1023;
/** IF_NAMESIZE is 16 with the terminating zero; of interfaces and their groups. */
export const INTERFACE_NAME_BYTES_MAX = 15;
/** RT_TABLEID_MAX. */
export const RDOMAIN_MAX = 255;
/** SNMP-VIEW-BASED-ACM-MIB: vacmContextName has 0 to 32 octets. */
export const AGENTX_CONTEXT_BYTES_MAX = 32;
/** sun_path of OpenBSD has 104 bytes with the terminating zero. */
export const AGENTX_PATH_BYTES_MAX = 103;
/** AGENTX_MASTER_PATH. */
export const AGENTX_PATH_DEFAULT = '/var/agentx/master';
/** VMD_DHCP_PREFIX: shared address space, RFC 6598. */
export const LOCAL_PREFIX_DEFAULT = { address: '100.64.0.0', length: 10 } as const;
/** The lower 16 bits of a local address are the number of the vm and of its interface. */
export const LOCAL_PREFIX_LENGTH_MAX = 16;
/** A subnet has 64 bits for its hosts, RFC 4291 2.5.4. */
export const LOCAL_INET6_PREFIX_LENGTH_MAX = 64;
/** What fits time_t and int on every system that vmd(8) runs on. */
export const STAGGERED_MAX = 0x7fff_ffff;
/** uid_t has 32 bits, and its last value means "no user" to chown(2). */
export const UID_MAX = 0xffff_fffe;

/** An extension: Linux's COMMAND_LINE_SIZE for x86 is 2048 with the terminating zero. */
export const COMMAND_LINE_BYTES_MAX = 2047;
/** An extension: as many listening sockets as a vm may keep open on the host. */
export const FORWARDS_MAX = 64;

/** The buffer of vmd(8)'s scanner holds strings of this many characters. */
export const STRING_LENGTH_MAX = 8094;
/** Included files, counted each time: what includes itself twice doubles, and must end. */
export const INCLUDES_MAX = 1024;
