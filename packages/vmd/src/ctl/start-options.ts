// The options of "vmctl start": vmctl(8)'s, and after them those of the extensions of vm.conf(5).

import { resolve } from 'node:path';
import { VmmError } from 'vmm/errors';
import { BOOT_DEVICES, CPU_MODELS, ENGINES, JIT_MODES } from 'vmm-node/options';
import type { DiskFormat } from '../conf/configuration.ts';
import {
  COMMAND_LINE_BYTES_MAX,
  DISKS_MAX,
  INTERFACES_MAX,
  MEMORY_MAX_BYTES,
  MEMORY_UNIT_BYTES,
  NAME_BYTES_MAX,
  PATH_BYTES_MAX,
  VM_NAME_PATTERN,
} from '../conf/limits.ts';
import type { StartOptions } from '../control/protocol.ts';
import type { Option, Parsed } from '../getopt.ts';
import { scanScaled } from '../scan-scaled.ts';

const DISK_FORMATS: readonly DiskFormat[] = ['raw', 'qcow2'];

/** The options of "vmctl start". */
export const START_OPTIONS: readonly Option[] = [
  { name: 'c' },
  { name: 'L' },
  { name: 'B', argument: 'device', choices: BOOT_DEVICES },
  { name: 'b', argument: 'path', choices: 'path' },
  { name: 'd', argument: 'disk', repeats: true, choices: 'path' },
  { name: 'i', argument: 'count' },
  { name: 'm', argument: 'size' },
  { name: 'n', argument: 'switch', repeats: true },
  { name: 'r', argument: 'path', choices: 'path' },
  { name: 't', argument: 'name' },
  { name: 'a', argument: 'cmdline' },
  { name: 'e', argument: 'engine', choices: ENGINES },
  { name: 'I', argument: 'initrd', choices: 'path' },
  { name: 'jit', argument: 'mode', choices: JIT_MODES },
  { name: 'cpu', argument: 'model', choices: CPU_MODELS },
];

/** What the parsed words of "vmctl start" say; EINVAL for what makes no sense. */
export function startOptions(parsed: Parsed, warn: (text: string) => void): StartOptions {
  const values = (name: string): string[] =>
    parsed.options.filter((option) => option.name === name).map(({ value }) => value);
  const read = <T>(name: string, parse: (word: string) => T): T | undefined => {
    const [word] = values(name);
    return word === undefined ? undefined : parse(word);
  };
  const disks = values('d').map(parseDisk);
  if (disks.length > DISKS_MAX) throw new VmmError('EINVAL', 'too many disks');
  const switches = values('n').map((word) => checkLength(word, NAME_BYTES_MAX, 'switch name'));
  if (switches.length > INTERFACES_MAX) {
    throw new VmmError('EINVAL', 'too many network interfaces');
  }
  const local = values('L').length > 0;
  return {
    memoryBytes: read('m', (word) => parseMemory(word, warn)),
    boot: read('b', (word) => filePath(word, 'kernel name')),
    bootDevice: read('B', (word) => choose(word, BOOT_DEVICES, `unknown boot device ${word}`)),
    cdrom: read('r', (word) => filePath(word, 'iso image name')),
    initrd: read('I', (word) => filePath(word, 'initrd name')),
    cmdline: read('a', (word) => checkLength(word, COMMAND_LINE_BYTES_MAX, 'cmdline')),
    engine: read('e', (word) => choose(word, ENGINES, `unknown engine: ${word}`)),
    jit: read('jit', (word) => choose(word, JIT_MODES, `unknown mode: ${word}`)),
    cpu: read('cpu', (word) => choose(word, CPU_MODELS, `unknown model: ${word}`)),
    template: read('t', parseTemplate),
    interfaceCount: read('i', parseCount),
    ...(disks.length > 0 && { disks }),
    ...(switches.length > 0 && { switches }),
    ...(local && { local }),
  };
}

function checkLength(word: string, bytesMax: number, what: string): string {
  if (Buffer.byteLength(word) <= bytesMax) return word;
  throw new VmmError('EINVAL', `${what} too long`);
}

/** vmd has another working directory. */
function filePath(word: string, what: string): string {
  if (word === '') throw new VmmError('EINVAL', `${what} is empty`);
  return checkLength(resolve(word), PATH_BYTES_MAX, what);
}

/** A path, after `raw:` or `qcow2:` if the format is to be known. */
function parseDisk(word: string): { readonly path: string; readonly format: DiskFormat } {
  const format = DISK_FORMATS.find((name) => word.startsWith(`${name}:`));
  const path = format === undefined ? word : word.slice(format.length + 1);
  return { path: filePath(path, 'disk path'), format: format ?? 'auto' };
}

function choose<T extends string>(word: string, words: readonly T[], complaint: string): T {
  const found = words.find((candidate) => candidate === word);
  if (found !== undefined) return found;
  throw new VmmError('EINVAL', `${complaint} (one of: ${words.join(', ')})`);
}

function parseTemplate(word: string): string {
  if (word.length > NAME_BYTES_MAX || !VM_NAME_PATTERN.test(word)) {
    throw new VmmError('EINVAL', 'invalid template');
  }
  return word;
}

function parseCount(word: string): number {
  const count = /^\d{1,3}$/.test(word) ? Number(word) : Number.NaN;
  if (Number.isNaN(count)) throw new VmmError('EINVAL', `invalid interface count: ${word}`);
  if (count > INTERFACES_MAX) throw new VmmError('EINVAL', 'too many network interfaces');
  return count;
}

function parseMemory(word: string, warn: (text: string) => void): number {
  const exact = scanScaled(word, 'memory size');
  if (exact < MEMORY_UNIT_BYTES) {
    throw new VmmError('EINVAL', 'memory size must be at least one megabyte');
  }
  if (exact > MEMORY_MAX_BYTES) throw new VmmError('EINVAL', `invalid memory size: ${word}`);
  const megabytes = Math.floor(exact / MEMORY_UNIT_BYTES);
  const bytes = megabytes * MEMORY_UNIT_BYTES;
  if (bytes !== exact) warn(`memory size rounded to ${megabytes} megabytes`);
  return bytes;
}
