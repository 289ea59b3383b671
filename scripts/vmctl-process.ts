// Starting a guest by the real "vmctl run", as a user does.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Guest } from './guest.ts';
import { root } from './root.ts';

/** Enough for Debian's cloud kernel and its initramfs. */
export const MEMORY_MB = 256;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Starts `vmctl run` with a guest, the disk image `disk`, a command line, and more options, on this
 * Node unless another is named.
 * Signals to this process are the child's until it ends; a terminal sends SIGINT to both by itself.
 */
export function startVmctl(
  guest: Guest,
  disk: string,
  commandLine: string,
  options: readonly string[],
  stdio: StdioOptions,
  node = process.execPath,
): ChildProcess {
  const words = ['-m', `${MEMORY_MB}M`, '-b', guest.kernel, '-I', guest.initrd, '-d', disk];
  const program = join(root(), 'packages/vmd/bin/vmctl.js');
  const args = [program, 'run', ...words, '-a', commandLine, ...options, 'guest'];
  const child = spawn(node, args, { stdio });
  const pass = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGINT') child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  child.once('exit', () => {
    for (const signal of SIGNALS) process.off(signal, pass);
  });
  return child;
}
