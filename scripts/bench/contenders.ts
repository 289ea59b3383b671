// What is compared: our engine, interpreted and compiled, QEMU's TCG, and the host itself. Each is
// a process whose standard output is the guest's console.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { installPackage, type Say } from '../debian.ts';
import { COMMAND_LINE, type Guest } from '../guest.ts';
import { MEMORY_MB, startVmctl } from '../vmctl-process.ts';
import type { BenchGuest } from './guest-program.ts';

/** The names of all contenders; those before the last one run unless others are asked for. */
export const CONTENDERS = ['native', 'qemu', 'jit', 'interp', 'jit-node20'] as const;

/** A name of {@link CONTENDERS}. */
export type Contender = (typeof CONTENDERS)[number];

/** What the guest program is to do. */
export interface Job {
  /** Thousandths of the full work. */
  readonly permille: number;
  /** The items, or none for all. */
  readonly items: readonly string[];
  /** More words for the kernel's command line. */
  readonly append: string;
}

const QEMU = 'qemu-system-x86_64';

/** The C library must choose among the instructions that the machines have too. */
const TUNABLES = ['AVX512F', 'AVX512VL', 'AVX512BW', 'AVX2', 'AVX', 'FMA', 'ERMS', 'FSRM'];

/** Starts the guest, or the guest's program, of a contender. */
export function startContender(name: Contender, guest: BenchGuest, job: Job): ChildProcess {
  const only = job.items.length === 0 ? '' : ` only=${job.items.join(',')}`;
  const commandLine =
    `${COMMAND_LINE} panic=-1 scale=${job.permille}${only} ${job.append}`.trimEnd();
  switch (name) {
    case 'native':
      return startNative(guest, job);
    case 'qemu':
      return startQemu(guest, commandLine, 'pipe');
    case 'jit':
      return startEngine(guest, commandLine, 'on');
    case 'interp':
      return startEngine(guest, commandLine, 'off');
    case 'jit-node20':
      return startEngine(guest, commandLine, 'on', node20());
  }
}

/** Makes sure that a contender can be started; VmmError when it cannot. */
export function prepareContender(name: Contender, say: Say): void {
  if (name === 'qemu' && !works(QEMU, '--version')) installPackage('qemu-system-x86', say);
  if (name === 'jit-node20' && !works(node20(), '--version')) {
    throw new VmmError('ENOENT', `There is no program ${node20()}: name one by VMM_NODE20.`);
  }
}

/** The versions of what is compared, for the record. */
export function versionOf(name: Contender): string {
  const say = (program: string): string =>
    (spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '').split('\n')[0]!;
  if (name === 'native') return 'the host';
  if (name === 'qemu') return say(QEMU);
  return `Node ${name === 'jit-node20' ? say(node20()) : process.version}`;
}

function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

function node20(): string {
  return process.env.VMM_NODE20 ?? '/usr/bin/node';
}

function startEngine(
  guest: Guest,
  commandLine: string,
  jit: 'on' | 'off',
  node?: string,
): ChildProcess {
  const options = ['-v', '--no-reboot', `--jit=${jit}`];
  return startVmctl(guest, guest.disk, commandLine, options, ['ignore', 'pipe', 'pipe'], { node });
}

/**
 * A machine as near to ours as QEMU's `pc` comes: its model Nehalem is x86-64-v2. `more` are words
 * for QEMU.
 */
export function startQemu(
  guest: Guest,
  commandLine: string,
  stderr: 'pipe' | 'inherit',
  more: readonly string[] = [],
): ChildProcess {
  const machine = '-accel tcg -machine pc -cpu Nehalem -display none -nodefaults -serial stdio';
  const disk = `file=${guest.disk},format=raw,if=none,id=disk`;
  const devices = '-device virtio-blk-pci,drive=disk -device virtio-rng-pci';
  return spawn(
    QEMU,
    [
      ...`${machine} -no-reboot -m ${MEMORY_MB}`.split(' '),
      ...['-drive', disk, ...devices.split(' ')],
      ...['-kernel', guest.kernel, '-initrd', guest.initrd, '-append', commandLine, ...more],
    ],
    { stdio: ['ignore', 'pipe', stderr] },
  );
}

function startNative(guest: BenchGuest, job: Job): ChildProcess {
  const args = ['-s', String(job.permille), '-t', guest.tools, ...job.items];
  const hwcaps = TUNABLES.map((name) => `-${name}`).join(',');
  return spawn(join(guest.tools, 'bench'), args, {
    env: { ...process.env, GLIBC_TUNABLES: `glibc.cpu.hwcaps=${hwcaps}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
