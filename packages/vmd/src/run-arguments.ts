// The arguments of "vmctl run": from words to a machine that makes sense, or a refusal in one
// sentence. Kernel and initrd are read here; disks are opened by the machine itself, which locks
// them.

import { freemem } from 'node:os';
import { type BootDevice, type CpuModel, type JitMode, parseImageReference } from 'vmm';
import { VmmError } from 'vmm/errors';
import {
  BOOT_DEVICES,
  CPU_DEFAULT,
  CPU_MODELS,
  ENGINE_DEFAULT,
  ENGINES,
  type EngineName,
  JIT_DEFAULT,
  JIT_MODES,
  type RunDisk,
  type RunOptions,
} from 'vmm-node/options';
import { DISKS_MAX, MEMORY_DEFAULT_BYTES, NAME_BYTES_MAX, VM_NAME_PATTERN } from './conf/limits.ts';
import { firmwarePath } from './firmware-file.ts';
import type { Parsed } from './getopt.ts';
import { parseNetwork } from './network-arguments.ts';
import { readKernel, readModules } from './read-images.ts';
import { scanScaled } from './scan-scaled.ts';

/** What the command line says of a run; the rest of {@link RunOptions} is the terminal's. */
export type RunArguments = Omit<RunOptions, 'console' | 'stop'>;

const MB = 1024 * 1024;
const MEMORY_MIN = 16 * MB;
/** The longest delay of a timer in Node, 2^31 - 1 milliseconds, in whole seconds. */
const SECONDS_MAX = 2_147_483;

const COMMAND_LINE_DEFAULT = 'console=ttyS0';
const NAME_DEFAULT = 'vm';

/**
 * Checks the parsed words of "vmctl run" and reads the files they name. VmmError says what is
 * wrong.
 */
export function runArguments(parsed: Parsed, warn: (text: string) => void): RunArguments {
  const values = (name: string): string[] =>
    parsed.options.filter((option) => option.name === name).map(({ value }) => value);
  const value = (name: string): string | undefined => values(name)[0];
  const has = (name: string): boolean => value(name) !== undefined;

  const name = parseName(parsed.operands[0]);
  const engine = parseEngine(value('e'));
  const jit = parseJit(value('jit'));
  const cpu = parseCpu(value('cpu'));
  const timeoutMs = parseTimeout(value('t'));
  const memoryBytes = parseMemory(value('m'), warn);
  const disks = parseDisks(values('d'));
  const network = parseNetwork(has, values('p'));
  const cdrom = value('r');
  const bootDevice = parseBootDevice(value('B'));
  const named = value('b');
  if (named === undefined && disks.length === 0 && cdrom === undefined) {
    throw new VmmError(
      'EINVAL',
      'There is nothing to boot: name a kernel with -b, a disk with -d, or a CD-ROM with -r.',
    );
  }
  const kernelPath = named ?? firmwarePath();
  return {
    name,
    memoryBytes,
    kernel: readKernel(kernelPath, memoryBytes),
    kernelPath,
    modules: readModules(value('I'), memoryBytes),
    commandLine: value('a') ?? COMMAND_LINE_DEFAULT,
    disks,
    ...(cdrom === undefined ? {} : { cdrom }),
    bootDevice,
    interfaces: [network === undefined ? {} : { network }],
    engine,
    jit,
    cpu,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    exitPort: has('exit-port'),
    noReboot: has('no-reboot'),
    verbose: has('v'),
  };
}

/** The operand or option of "vmctl run" of this name. EINVAL for what it cannot be. */
export function parseName(word: string | undefined): string {
  if (word === undefined) return NAME_DEFAULT;
  if (word.length > NAME_BYTES_MAX) throw new VmmError('EINVAL', 'vm name too long');
  if (VM_NAME_PATTERN.test(word)) return word;
  throw new VmmError('EINVAL', `invalid VM name: ${word}`);
}

/** The operand of -B, and a suspended machine's. EINVAL for what it cannot be. */
export function parseBootDevice(word: string | undefined): BootDevice {
  if (word === undefined) return 'auto';
  const device = BOOT_DEVICES.find((candidate) => candidate === word);
  if (device !== undefined) return device;
  throw new VmmError('EINVAL', `unknown boot device ${word} (one of: ${BOOT_DEVICES.join(', ')})`);
}

/** The operand or option of "vmctl run" of this name. EINVAL for what it cannot be. */
export function parseJit(word: string | undefined): JitMode {
  if (word === undefined) return JIT_DEFAULT;
  const mode = JIT_MODES.find((candidate) => candidate === word);
  if (mode !== undefined) return mode;
  throw new VmmError('EINVAL', `unknown mode: ${word} (--jit is one of: ${JIT_MODES.join(', ')})`);
}

function parseCpu(word: string | undefined): CpuModel {
  if (word === undefined) return CPU_DEFAULT;
  const model = CPU_MODELS.find((candidate) => candidate === word);
  if (model !== undefined) return model;
  throw new VmmError(
    'EINVAL',
    `unknown model: ${word} (--cpu is one of: ${CPU_MODELS.join(', ')})`,
  );
}

/** The operand or option of "vmctl run" of this name. EINVAL for what it cannot be. */
export function parseEngine(word: string | undefined): EngineName {
  if (word === undefined) return ENGINE_DEFAULT;
  const engine = ENGINES.find((candidate) => candidate === word);
  if (engine !== undefined) return engine;
  throw new VmmError('EINVAL', `unknown engine: ${word} (there is: ${ENGINES.join(', ')})`);
}

/** The operand or option of "vmctl run" of this name. EINVAL for what it cannot be. */
export function parseTimeout(word: string | undefined): number | undefined {
  if (word === undefined) return undefined;
  const seconds = /^(\d+\.?\d*|\.\d+)$/.test(word) ? Number(word) : 0;
  if (seconds > 0 && seconds <= SECONDS_MAX) return Math.max(1, Math.round(seconds * 1000));
  throw new VmmError('EINVAL', `invalid number of seconds: ${word}`);
}

function parseMemory(word: string | undefined, warn: (text: string) => void): number {
  let bytes = MEMORY_DEFAULT_BYTES;
  if (word !== undefined) {
    const exact = scanScaled(word, 'memory size');
    if (exact < MEMORY_MIN) {
      throw new VmmError(
        'EINVAL',
        `A memory of ${word} is too small: at least ${MEMORY_MIN / MB}M is needed.`,
      );
    }
    bytes = Math.floor(exact / MB) * MB;
    if (bytes !== exact) warn(`memory size rounded to ${bytes / MB} megabytes`);
  }
  const available = availableMemory();
  if (bytes > available) {
    throw new VmmError(
      'ENOMEM',
      `A memory of ${bytes / MB}M is more than this host can give: it has ` +
        `${Math.floor(available / MB)}M available.`,
    );
  }
  return bytes;
}

/** What the host, or the container this runs in, has left; Node before 22 knows only the host. */
function availableMemory(): number {
  return process.availableMemory?.() ?? freemem();
}

function parseDisks(paths: readonly string[]): RunDisk[] {
  if (paths.length > DISKS_MAX) {
    throw new VmmError('EINVAL', `too many disks: a virtual machine has at most ${DISKS_MAX}`);
  }
  return paths.map((path) => ({ ...parseImageReference(path), readOnly: false }));
}
