// What a suspended machine is, as the options of "vmctl start" say it: for a machine that vmd(8)
// does not know by its configuration.

import type { MachineSummary, SavedValue } from 'vmm';
import { loadHost } from 'vmm-node/saved-host';
import type { DiskFormat } from '../conf/configuration.ts';
import type { StartOptions } from '../control/protocol.ts';

const FORMATS: readonly DiskFormat[] = ['raw', 'qcow2'];

/** The options of a machine with this section of the host's, if its file has one. */
export function receiveOptions(
  { memoryBytes }: MachineSummary,
  saved: SavedValue | undefined,
): StartOptions {
  if (saved === undefined) return { memoryBytes };
  const { kernel, modules, commandLine, disks, interfaces } = loadHost(saved);
  const initrd = modules.join(',');
  return {
    memoryBytes,
    ...(kernel !== '' && { boot: kernel }),
    ...(initrd.startsWith('/') && { initrd }),
    ...(commandLine !== '' && { cmdline: commandLine }),
    disks: disks.map(({ path, format }) => {
      return { path, format: FORMATS.find((known) => known === format) ?? 'auto' };
    }),
    interfaceCount: interfaces.length,
    local: interfaces[0]?.network.length === 1,
  };
}
