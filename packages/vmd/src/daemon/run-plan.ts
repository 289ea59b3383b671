// What a virtual machine's process is told to run: the configuration as far as there is hardware
// for it. What there is none for yet is refused, or left out with a warning.

import type { CpuModel, JitMode } from 'vmm';
import { VmmError } from 'vmm/errors';
import {
  CPU_DEFAULT,
  ENGINE_DEFAULT,
  type EngineName,
  JIT_DEFAULT,
  type RunDisk,
} from 'vmm-node/options';
import type { BootDevice, DiskConfig, Forward, Prefix, VmConfig } from '../conf/configuration.ts';

/** Where local interfaces have their addresses from. */
export interface LocalPrefixes {
  readonly prefix: Prefix;
  /** Null without IPv6. */
  readonly prefix6: Prefix | null;
}

/** A network interface. */
export interface PlanInterface {
  /** Six octets in hexadecimal; null for random ones. */
  readonly lladdr: string | null;
  /** It is a local interface that is up; else its cable is unplugged. */
  readonly isPlugged: boolean;
}

/** What the process needs to know to run its machine; plain data. */
export interface VmPlan {
  /** Its number at vmd, by which its addresses differ from those of others. */
  readonly id: number;
  readonly name: string;
  readonly memoryBytes: number;
  /** The kernel or firmware; null for the firmware that is installed. */
  readonly boot: string | null;
  readonly bootDevice: BootDevice;
  readonly cdrom: string | null;
  readonly initrd: string | null;
  readonly cmdline: string | null;
  readonly disks: readonly RunDisk[];
  readonly interfaces: readonly PlanInterface[];
  readonly local: LocalPrefixes;
  readonly forwards: readonly Forward[];
  readonly engine: EngineName;
  readonly jit: JitMode;
  readonly cpu: CpuModel;
  /** A reset ends the machine. */
  readonly noReboot: boolean;
}

/** For one start, in place of what the configuration says. */
export interface BootOverride {
  readonly boot?: string | undefined;
  readonly bootDevice?: BootDevice | undefined;
  readonly initrd?: string | undefined;
  readonly cmdline?: string | undefined;
}

/**
 * The plan for a vm of the number `id`, and what is left out of it, a sentence each. ENODEV for a
 * vm that cannot do without something that the machine does not have.
 */
export function planOf(
  id: number,
  config: VmConfig,
  override: BootOverride,
  local: LocalPrefixes,
): { readonly plan: VmPlan; readonly warnings: readonly string[] } {
  const { name } = config;
  const boot = override.boot ?? config.boot;
  const bootDevice = override.bootDevice ?? config.bootDevice;
  if (config.sev !== 'none') {
    throw new VmmError('ENODEV', `vm "${name}" asks for ${config.sev}, which no engine has.`);
  }
  const plan: VmPlan = {
    id,
    name,
    memoryBytes: config.memoryBytes,
    boot,
    bootDevice,
    cdrom: config.cdrom,
    initrd: override.initrd ?? config.initrd,
    cmdline: override.cmdline ?? config.cmdline,
    disks: config.disks.map(planDisk),
    interfaces: config.interfaces.map(({ lladdr, local, up }) => ({
      lladdr,
      isPlugged: local && up,
    })),
    local,
    forwards: config.forwards,
    engine: config.engine ?? ENGINE_DEFAULT,
    jit: config.jit ?? JIT_DEFAULT,
    cpu: config.cpu ?? CPU_DEFAULT,
    // As in vmd(8): what is booted from a device for once is an installation, done when it reboots.
    noReboot: override.bootDevice !== undefined,
  };
  return { plan, warnings: networkWarnings(config) };
}

function planDisk({ path, format }: DiskConfig): RunDisk {
  return { path, ...(format !== 'auto' && { format }), readOnly: false };
}

/** What is said of interfaces, which a machine can do without. */
function networkWarnings({ name, interfaces }: VmConfig): string[] {
  const warnings: string[] = [];
  if (interfaces.some(({ local }) => !local)) {
    warnings.push(`vm "${name}": only its local interfaces are plugged into anything yet.`);
  }
  if (interfaces.some((it) => it.local && it.switch !== null)) {
    warnings.push(
      `vm "${name}": its local interfaces are not in a switch, for there are none yet.`,
    );
  }
  return warnings;
}
