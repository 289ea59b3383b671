// Starting a guest by the real "vmctl run", as a user does.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Guest } from './guest.ts';
import { root } from './root.ts';

/** Enough for Debian's cloud kernel and its initramfs. */
export const MEMORY_MB = 256;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What few callers want to be otherwise. */
export interface Special {
  /** The size of the machine's memory, as vmctl(8) takes it. */
  readonly memory?: string;
  /** What these scripts show and measure is the soft engine, also where there is KVM. */
  readonly engine?: string;
  /** Keeps the terminal's SIGINT from vmctl: it gets a session of its own. */
  readonly detached?: boolean;
  /** The Node to run it on; that of this process unless given. */
  readonly node?: string;
}

/**
 * Starts `vmctl run` with a guest, the disk image `disk`, a command line, and more options.
 * Signals to this process are the child's until it ends; a terminal sends SIGINT to both by itself.
 */
export function startVmctl(
  guest: Guest,
  disk: string,
  commandLine: string,
  options: readonly string[],
  stdio: StdioOptions,
  special: Special = {},
): ChildProcess {
  const { memory = `${MEMORY_MB}M`, engine = 'soft', detached = false } = special;
  const { node = process.execPath } = special;
  const words = ['-e', engine, '-m', memory, '-b', guest.kernel, '-I', guest.initrd, '-d', disk];
  const program = join(root(), 'packages/vmd/bin/vmctl.js');
  const args = [program, 'run', ...words, '-a', commandLine, ...options, 'guest'];
  const child = spawn(node, args, { stdio, detached });
  const pass = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGINT') child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  child.once('exit', () => {
    for (const signal of SIGNALS) process.off(signal, pass);
  });
  return child;
}
