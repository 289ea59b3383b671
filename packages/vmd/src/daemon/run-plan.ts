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
import type {
  BootDevice,
  DiskConfig,
  Forward,
  InterfaceConfig,
  Prefix,
  SwitchConfig,
  VmConfig,
} from '../conf/configuration.ts';

/** Where local interfaces have their addresses from. */
export interface LocalPrefixes {
  readonly prefix: Prefix;
  /** Null without IPv6. */
  readonly prefix6: Prefix | null;
}

/** A network interface. What is plugged into nothing has its cable unplugged. */
export interface PlanInterface {
  /** Six octets in hexadecimal. */
  readonly lladdr: string;
  /** The guest may send from no other address. */
  readonly isLocked: boolean;
  /** It is a local interface, with a gateway of its own. */
  readonly isLocal: boolean;
  /** The switch of vmd's that it is in. */
  readonly switch: string | null;
  /** The interface of the host that is to be at its other end. */
  readonly tap: PlanTap | null;
}

/** A tap(4) interface. */
export interface PlanTap {
  /** Null for one that is free. */
  readonly name: string | null;
  /** The host's bridge that is the switch. */
  readonly bridge: string | null;
  /** The machine is not to run without it. */
  readonly isRequired: boolean;
}

/** What a vm is planned for. */
export interface Surroundings {
  readonly local: LocalPrefixes;
  /** The switches of the configuration, by name. */
  readonly switches: ReadonlyMap<string, SwitchConfig>;
  /** Whether the host has a bridge of this name. */
  readonly isHostBridge: (name: string) => boolean;
  /** An address for interface `index` of a vm that has none of its own. */
  readonly makeLladdr: (index: number) => string;
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
  surroundings: Surroundings,
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
    interfaces: config.interfaces.map((it, index) => planInterface(it, index, surroundings)),
    local: surroundings.local,
    forwards: config.forwards,
    engine: config.engine ?? ENGINE_DEFAULT,
    jit: config.jit ?? JIT_DEFAULT,
    cpu: config.cpu ?? CPU_DEFAULT,
    // As in vmd(8): what is booted from a device for once is an installation, done when it reboots.
    noReboot: override.bootDevice !== undefined,
  };
  return { plan, warnings: networkWarnings(config, plan, surroundings.switches) };
}

function planDisk({ path, format }: DiskConfig): RunDisk {
  return { path, ...(format !== 'auto' && { format }), readOnly: false };
}

/**
 * A switch is the host's bridge of the name that its `interface` says, where there is one. Else it
 * is vmd's own, and the name has no meaning. What is in no switch and not local gets a tap, if the
 * host lets vmd have one.
 */
function planInterface(
  it: InterfaceConfig,
  index: number,
  { switches, isHostBridge, makeLladdr }: Surroundings,
): PlanInterface {
  const found = it.switch === null ? undefined : switches.get(it.switch);
  const isIn = it.up && found?.up === true;
  const bridge = isIn && isHostBridge(found.interface) ? found.interface : null;
  const isAlone = !it.local && it.switch === null;
  const hasTap = it.up && (it.tap !== null || bridge !== null || isAlone);
  return {
    lladdr: it.lladdr ?? makeLladdr(index),
    isLocked: it.locked || found?.locked === true,
    isLocal: it.local && it.up,
    switch: isIn && bridge === null ? found.name : null,
    tap: hasTap ? { name: it.tap, bridge, isRequired: it.tap !== null || bridge !== null } : null,
  };
}

/** What is said of interfaces, which a machine can do without. */
function networkWarnings(
  { name, interfaces }: VmConfig,
  plan: VmPlan,
  switches: Surroundings['switches'],
): string[] {
  const warnings: string[] = [];
  const say = (what: string): void => void warnings.push(`vm "${name}": ${what}`);
  for (const missing of new Set(interfaces.map((it) => it.switch))) {
    if (missing === null) continue;
    const found = switches.get(missing);
    if (found === undefined) say(`there is no switch "${missing}".`);
    else if (!found.up) say(`switch "${missing}" is down.`);
  }
  for (const key of ['group', 'rdomain'] as const) {
    if (interfaces.every((it) => it[key] === null)) continue;
    const hasTaps = plan.interfaces.some(({ tap }) => tap !== null);
    const reason = hasTaps ? 'Linux has no such thing' : 'no interface of the host is its';
    say(`${key} has no effect, as ${reason}.`);
  }
  return warnings;
}
