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

/** The processor that a machine shows its guest. */
type Processor = 'v2' | 'v3';

/**
 * True for items that want AVX2 and FMA. They run in a machine of their own, since C libraries do
 * all else in another way, too, where these are.
 */
export const needsAvx = (item: string): boolean => item.startsWith('avx');

const QEMU = 'qemu-system-x86_64';

/** The C library must choose among the instructions that the machines have too. */
const TUNABLES = ['AVX512F', 'AVX512VL', 'AVX512BW', 'AVX2', 'AVX', 'FMA', 'ERMS', 'FSRM'];

/** Starts the guest, or the guest's program, of a contender. */
export function startContender(name: Contender, guest: BenchGuest, job: Job): ChildProcess {
  const only = job.items.length === 0 ? '' : ` only=${job.items.join(',')}`;
  const commandLine =
    `${COMMAND_LINE} panic=-1 scale=${job.permille}${only} ${job.append}`.trimEnd();
  const cpu = job.items.some(needsAvx) ? 'v3' : 'v2';
  switch (name) {
    case 'native':
      return startNative(guest, job);
    case 'qemu':
      return startQemu(guest, commandLine, 'pipe', { cpu });
    case 'jit':
      return startEngine(guest, commandLine, 'on', cpu);
    case 'interp':
      return startEngine(guest, commandLine, 'off', cpu);
    case 'jit-node20':
      return startEngine(guest, commandLine, 'on', cpu, node20());
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
  cpu: Processor,
  node?: string,
): ChildProcess {
  const options = ['-v', '--no-reboot', `--jit=${jit}`, `--cpu=${cpu}`];
  return startVmctl(guest, guest.disk, commandLine, options, ['ignore', 'pipe', 'pipe'], { node });
}

/** QEMU's models of x86-64-v2, and of x86-64-v3: its Haswell has TSX, which TCG has not. */
const MODELS: Readonly<Record<Processor, string>> = { v2: 'Nehalem', v3: 'Haswell-noTSX' };

/** What a machine of QEMU's is besides the guest's: its model, its disk's format, more options. */
interface QemuOptions {
  readonly cpu?: Processor;
  readonly format?: 'raw' | 'qcow2';
  readonly more?: readonly string[];
}

/** A machine as near to ours as QEMU's `pc` comes. */
export function startQemu(
  guest: Guest,
  commandLine: string,
  stderr: 'pipe' | 'inherit',
  { cpu = 'v2', format = 'raw', more = [] }: QemuOptions = {},
): ChildProcess {
  const machine = `-accel tcg -machine pc -cpu ${MODELS[cpu]} -display none -nodefaults`;
  const disk = `file=${guest.disk},format=${format},if=none,id=disk`;
  const devices = '-device virtio-blk-pci,drive=disk -device virtio-rng-pci';
  return spawn(
    QEMU,
    [
      ...`${machine} -serial stdio -no-reboot -m ${MEMORY_MB}`.split(' '),
      ...['-drive', disk, ...devices.split(' ')],
      ...['-kernel', guest.kernel, '-initrd', guest.initrd, '-append', commandLine],
      ...more,
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
