// What a configuration of vm.conf(5) says, checked and with its defaults filled in. Plain data: it
// can be printed, compared and sent.

import type { CpuModel, JitMode } from 'vmm';
import type { EngineName } from 'vmm-node';

/** An owner of a socket, a vm, or a vm's instances. */
export interface Owner {
  readonly uid: number;
  /** A group whose members have the owner's rights too; null for none. */
  readonly gid: number | null;
}

/** A network prefix: bits beyond `length` are zero. */
export interface Prefix {
  readonly address: string;
  readonly length: number;
}

/** The global settings. */
export interface GlobalConfig {
  /** "local prefix": from here come the addresses of local interfaces. */
  readonly localPrefix: Prefix;
  /** "local inet6": null when it is not there, its prefix null when one is to be made up. */
  readonly localInet6: { readonly prefix: Prefix | null } | null;
  readonly socketOwner: { readonly uid: number; readonly gid: number };
  /** "staggered start": null for as many as there are processors, every 30 seconds. */
  readonly staggeredStart: { readonly parallel: number; readonly delaySeconds: number } | null;
  readonly agentx: { readonly context: string; readonly path: string } | null;
}

/** A virtual switch. Disabled ones are not in a configuration. */
export interface SwitchConfig {
  readonly name: string;
  /** The interface of the host that is the switch. */
  readonly interface: string;
  readonly group: string | null;
  /** Frames whose source is not their interface's own address are dropped. */
  readonly locked: boolean;
  readonly rdomain: number | null;
  readonly up: boolean;
}

/** A network interface of a vm. */
export interface InterfaceConfig {
  /** The tap(4) interface; null for the next that is free. */
  readonly tap: string | null;
  /** Addresses come from the local prefix, by DHCP. */
  readonly local: boolean;
  readonly switch: string | null;
  readonly group: string | null;
  /** The link layer address, six octets; null to make one up. */
  readonly lladdr: string | null;
  readonly locked: boolean;
  readonly rdomain: number | null;
  readonly up: boolean;
}

/** The format of a disk image; "auto" to look at it. */
export type DiskFormat = 'auto' | 'raw' | 'qcow2';

/** A disk of a vm. */
export interface DiskConfig {
  /** Absolute, symbolic links resolved. */
  readonly path: string;
  readonly format: DiskFormat;
}

/** What a vm boots from. */
export type BootDevice = 'auto' | 'cdrom' | 'disk' | 'net';

/** What users may set in the instances of a vm. */
export const INSTANCE_OPTIONS = [
  'boot',
  'memory',
  'interface',
  'disk',
  'cdrom',
  'instance',
] as const;
/** One of {@link INSTANCE_OPTIONS}. */
export type InstanceOption = (typeof INSTANCE_OPTIONS)[number];

/** "allow instance". */
export interface InstancePermissions {
  readonly options: readonly InstanceOption[];
  /** Who may create instances; null for root alone. */
  readonly owner: Owner | null;
}

/** An extension: a port of the host whose connections reach the vm. */
export interface Forward {
  readonly protocol: 'tcp' | 'udp';
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A virtual machine. */
export interface VmConfig {
  readonly name: string;
  /** The vm that this one is an instance of. */
  readonly parent: string | null;
  /** It is started with vmd(8). */
  readonly enabled: boolean;
  readonly owner: Owner;
  readonly allow: InstancePermissions;
  /** Whole megabytes. */
  readonly memoryBytes: number;
  /** The kernel or firmware, absolute and symbolic links resolved; null for the BIOS of vmd(8). */
  readonly boot: string | null;
  readonly bootDevice: BootDevice;
  /** Absolute. */
  readonly cdrom: string | null;
  readonly disks: readonly DiskConfig[];
  readonly interfaces: readonly InterfaceConfig[];
  /** Memory encryption of AMD's processors that is asked for. */
  readonly sev: 'none' | 'sev' | 'seves';
  /** An extension: a file to load beside the kernel. */
  readonly initrd: string | null;
  /** An extension: the kernel's command line. */
  readonly cmdline: string | null;
  /** An extension: the engine that executes the vm; null for the default. */
  readonly engine: EngineName | null;
  /** An extension: when guest code is compiled; null for the default. */
  readonly jit: JitMode | null;
  /** An extension: which processor the soft engine is; null for the default. */
  readonly cpu: CpuModel | null;
  /** An extension. */
  readonly forwards: readonly Forward[];
}

/** All of it, in the order of the file. */
export interface Configuration {
  readonly global: GlobalConfig;
  readonly switches: readonly SwitchConfig[];
  readonly vms: readonly VmConfig[];
}
