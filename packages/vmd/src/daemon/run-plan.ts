// What a virtual machine's process is told to run: the configuration as far as there is hardware
// for it. What there is none for yet is refused, or left out with a warning.

import type { JitMode } from 'vmm';
import { VmmError } from 'vmm/errors';
import { ENGINES, type EngineName, JIT_MODES } from 'vmm-node/options';
import type { BootDevice, VmConfig } from '../conf/configuration.ts';
import {
  COMMAND_LINE_BYTES_MAX,
  DISKS_MAX,
  MEMORY_MAX_BYTES,
  MEMORY_UNIT_BYTES,
  NAME_BYTES_MAX,
  PATH_BYTES_MAX,
} from '../conf/limits.ts';
import {
  boolean,
  type Check,
  integer,
  list,
  nullable,
  oneOf,
  record,
  text,
} from '../control/schema.ts';

/** What the process needs to know to run its machine. */
export interface VmPlan {
  readonly name: string;
  readonly memoryBytes: number;
  readonly boot: string;
  readonly initrd: string | null;
  readonly cmdline: string | null;
  readonly disks: readonly { readonly path: string; readonly readOnly: boolean }[];
  readonly engine: EngineName;
  readonly jit: JitMode;
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

const path = text(PATH_BYTES_MAX, /^\//);

/** Checks a plan. */
export const vmPlan: Check<VmPlan> = record<VmPlan>({
  name: text(NAME_BYTES_MAX),
  memoryBytes: integer(MEMORY_UNIT_BYTES, MEMORY_MAX_BYTES),
  boot: path,
  initrd: nullable(path),
  cmdline: nullable(text(COMMAND_LINE_BYTES_MAX)),
  disks: list(record({ path, readOnly: boolean }), DISKS_MAX),
  engine: oneOf(ENGINES),
  jit: oneOf(JIT_MODES),
  noReboot: boolean,
});

/**
 * The plan for a vm, and what is left out of it, a sentence each. ENODEV for a vm that cannot do
 * without something that the machine does not have.
 */
export function planOf(
  config: VmConfig,
  override: BootOverride,
): { readonly plan: VmPlan; readonly warnings: readonly string[] } {
  const { name } = config;
  const boot = override.boot ?? config.boot;
  const bootDevice = override.bootDevice ?? config.bootDevice;
  if (boot === null) {
    throw new VmmError(
      'ENODEV',
      `vm "${name}" has no kernel, and there is no firmware yet that would boot it from a disk.`,
    );
  }
  if (config.sev !== 'none') {
    throw new VmmError('ENODEV', `vm "${name}" asks for ${config.sev}, which no engine has.`);
  }
  if (config.cdrom !== null) {
    throw new VmmError('ENODEV', `vm "${name}" has a cdrom, for which there is no drive yet.`);
  }
  if (bootDevice === 'net' || bootDevice === 'cdrom') {
    throw new VmmError('ENODEV', `vm "${name}" cannot boot from device ${bootDevice} yet.`);
  }
  const qcow2 = config.disks.find(({ format }) => format === 'qcow2');
  if (qcow2 !== undefined) {
    throw new VmmError('ENODEV', `Disk ${qcow2.path} is qcow2, which cannot be used yet.`);
  }
  const warnings =
    config.interfaces.length > 0 || config.forwards.length > 0
      ? [`vm "${name}": its network interfaces are not connected to anything yet.`]
      : [];
  const plan: VmPlan = {
    name,
    memoryBytes: config.memoryBytes,
    boot,
    initrd: override.initrd ?? config.initrd,
    cmdline: override.cmdline ?? config.cmdline,
    disks: config.disks.map((disk) => ({ path: disk.path, readOnly: false })),
    engine: config.engine ?? ENGINES[0],
    jit: config.jit ?? JIT_MODES[0],
    // As in vmd(8): what is booted from a device for once is an installation, done when it reboots.
    noReboot: override.bootDevice !== undefined,
  };
  return { plan, warnings };
}
