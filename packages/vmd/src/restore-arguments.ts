// The arguments of "vmctl run --restore": what the machine is, its file says.

import { restoredModel, SnapshotReader } from 'vmm';
import { VmmError } from 'vmm/errors';
import { loadHost, readSuspendFile, restoredNetwork } from 'vmm-node';
import type { RunDisk } from 'vmm-node/options';
import type { Parsed } from './getopt.ts';
import { readKernel, readModules } from './read-images.ts';
import {
  parseBootDevice,
  parseEngine,
  parseJit,
  parseName,
  parseTimeout,
  type RunArguments,
} from './run-arguments.ts';

/** The options that go with --restore; the others describe a machine that is made anew. */
const OPTIONS: readonly string[] = ['restore', 'suspend', 'v', 'e', 't', 'jit', 'no-reboot'];

/**
 * Reads the beginning of the file `path`, for a machine to go on from there. VmmError when it is no
 * suspended machine, when it does not say where its disks are, or when `parsed` says more.
 */
export async function restoreArguments(path: string, parsed: Parsed): Promise<RunArguments> {
  const values = new Map(parsed.options.map(({ name, value }) => [name, value]));
  const other = [...values.keys()].find((name) => !OPTIONS.includes(name));
  if (other !== undefined) {
    const option = other.length === 1 ? `-${other}` : `--${other}`;
    throw new VmmError(
      'EINVAL',
      `${option} is not for a machine that is restored: it has its own.`,
    );
  }
  const timeoutMs = parseTimeout(values.get('t'));
  const restore = await SnapshotReader.open(readSuspendFile(path));
  const { memoryBytes, name } = restore.machine;
  const section = await restore.host();
  if (section === undefined) {
    throw new VmmError('EINVAL', `${path} does not say which disks and interfaces it had.`);
  }
  const host = loadHost(section);
  return {
    name: parsed.operands[0] === undefined ? name : parseName(parsed.operands[0]),
    memoryBytes,
    ...kernelOf(host.kernel, host.modules, memoryBytes, host.noReboot || values.has('no-reboot')),
    kernelPath: host.kernel,
    commandLine: host.commandLine,
    disks: host.disks.map(diskOf),
    ...(host.cdrom[0] !== undefined && { cdrom: host.cdrom[0] }),
    bootDevice: parseBootDevice(host.bootDevice === 'auto' ? undefined : host.bootDevice),
    interfaces: host.interfaces.map((it) => {
      const network = restoredNetwork(it);
      return { mac: it.mac, ...(network && { network }) };
    }),
    engine: parseEngine(values.get('e')),
    jit: parseJit(values.get('jit')),
    cpu: restoredModel(restore.machine),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    exitPort: host.exitPort,
    verbose: values.has('v'),
    restore,
  };
}

/** Without its kernel a machine goes on, and ends when it is reset. */
function kernelOf(
  path: string,
  modules: readonly string[],
  memoryBytes: number,
  noReboot: boolean,
): Pick<RunArguments, 'kernel' | 'modules' | 'noReboot'> {
  try {
    const kernel = readKernel(path, memoryBytes);
    const words = modules.length === 0 ? undefined : modules.join(',');
    return { kernel, modules: readModules(words, memoryBytes), noReboot };
  } catch (error) {
    if (!(error instanceof VmmError)) throw error;
    return { kernel: new Uint8Array(0), modules: [], noReboot: true };
  }
}

function diskOf({ path, format, readOnly }: ReturnType<typeof loadHost>['disks'][number]): RunDisk {
  if (format === 'raw' || format === 'qcow2') return { path, format, readOnly };
  return { path, readOnly };
}
