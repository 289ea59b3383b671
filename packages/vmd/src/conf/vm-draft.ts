// A vm as a file says it, where what is not said is undefined: an instance takes that from its
// parent, any other vm from the defaults.

import { VmmError } from 'vmm/errors';
import type {
  BootDevice,
  DiskConfig,
  Forward,
  InstanceOption,
  InterfaceConfig,
  Owner,
  VmConfig,
} from './configuration.ts';
import { MEMORY_DEFAULT_BYTES, VM_NAME_PATTERN } from './limits.ts';
import { INTERFACE_DEFAULT } from './parse-interface.ts';

/** What the block of a vm says. */
export interface VmDraft {
  readonly name: string;
  readonly parent: string | null;
  enabled: boolean;
  owner?: Owner;
  /** The options of "allow instance"; undefined when it is not there. */
  allowOptions?: Set<InstanceOption>;
  allowOwner?: Owner;
  memoryBytes?: number;
  boot?: string;
  bootDevice?: BootDevice;
  cdrom?: string;
  readonly disks: DiskConfig[];
  readonly interfaces: InterfaceConfig[];
  /** "interfaces": how many there are at least. */
  interfaceCount?: number;
  sev?: 'sev' | 'seves';
  initrd?: string;
  cmdline?: string;
  engine?: NonNullable<VmConfig['engine']>;
  jit?: NonNullable<VmConfig['jit']>;
  cpu?: NonNullable<VmConfig['cpu']>;
  readonly forwards: Forward[];
}

/** A vm about which nothing is said yet. */
export function emptyDraft(name: string, parent: string | null): VmDraft {
  return { name, parent, enabled: true, disks: [], interfaces: [], forwards: [] };
}

/** Whether the block gives the vm anything, if only memory; vmd(8) refuses one that does not. */
function hasDevices(draft: VmDraft): boolean {
  const { memoryBytes, boot, cdrom, disks, interfaces, interfaceCount } = draft;
  const settings = [memoryBytes, boot, cdrom, interfaceCount];
  return disks.length + interfaces.length > 0 || settings.some((setting) => setting !== undefined);
}

/** What vmd(8) checks when it registers `vm`, which came of `draft`; EINVAL for what it refuses. */
export function checkVm(vm: VmConfig, draft: VmDraft): void {
  if (!hasDevices(draft)) throw new VmmError('EINVAL', 'invalid configuration, no devices');
  if (!VM_NAME_PATTERN.test(vm.name)) throw new VmmError('EINVAL', 'invalid VM name');
  if (vm.boot === null && vm.cdrom === null && vm.disks.length === 0) {
    throw new VmmError('EINVAL', 'no kernel or disk/cdrom specified');
  }
  if (vm.forwards.length > 0 && !vm.interfaces.some(({ local }) => local)) {
    throw new VmmError('EINVAL', 'forward needs a local interface');
  }
}

/** The draft with its defaults. */
export function completeVm(draft: VmDraft): VmConfig {
  return {
    name: draft.name,
    parent: draft.parent,
    enabled: draft.enabled,
    owner: draft.owner ?? { uid: 0, gid: null },
    allow: { options: [...(draft.allowOptions ?? [])], owner: draft.allowOwner ?? null },
    memoryBytes: draft.memoryBytes ?? MEMORY_DEFAULT_BYTES,
    boot: draft.boot ?? null,
    bootDevice: draft.bootDevice ?? 'auto',
    cdrom: draft.cdrom ?? null,
    disks: draft.disks,
    interfaces: padInterfaces(draft.interfaces, draft.interfaceCount ?? 0),
    sev: draft.sev ?? 'none',
    initrd: draft.initrd ?? null,
    cmdline: draft.cmdline ?? null,
    engine: draft.engine ?? null,
    jit: draft.jit ?? null,
    cpu: draft.cpu ?? null,
    forwards: draft.forwards,
  };
}

/** `interfaces`, and default ones so that there are `count` at least. */
export function padInterfaces(
  interfaces: readonly InterfaceConfig[],
  count: number,
): InterfaceConfig[] {
  const missing = Math.max(0, count - interfaces.length);
  return [...interfaces, ...Array<InterfaceConfig>(missing).fill(INTERFACE_DEFAULT)];
}
