// Kernels, and the files that are loaded beside them: read whole before a machine starts.

import { existsSync, readFileSync, type Stats, statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Errno, VmmError } from 'vmm/errors';
import { reasonOf } from 'vmm-node/errors';
import type { RunModule } from 'vmm-node/options';

const MB = 1024 * 1024;

/**
 * A Multiboot kernel takes its modules as QEMU's -initrd writes them: files separated by commas,
 * each with arguments after a space. A file whose whole name is `word` comes first. None when it is
 * undefined.
 */
export function readModules(word: string | undefined, memoryBytes: number): RunModule[] {
  if (word === undefined) return [];
  const texts = existsSync(word) ? [word] : word.split(',');
  return texts.map((text) => {
    const path = existsSync(text) ? text : text.split(' ')[0]!;
    return { commandLine: text, bytes: readImage('initrd', path, memoryBytes) };
  });
}

/** The bytes of a regular file that fits into memory; VmmError names it as `what`. */
export function readImage(
  what: 'kernel' | 'initrd',
  path: string,
  memoryBytes: number,
): Uint8Array {
  const refuse = (code: Errno, reason: string, cause?: unknown): VmmError =>
    new VmmError(code, `Cannot open ${what} ${path}: ${reason}.`, { cause });
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (cause) {
    const { code, text } = reasonOf(cause);
    throw refuse(code, text, cause);
  }
  if (stats.isDirectory()) throw refuse('EISDIR', 'it is a directory');
  if (!stats.isFile()) throw refuse('EINVAL', 'it is not a regular file');
  if (stats.size > memoryBytes) {
    throw new VmmError(
      'ENOMEM',
      `File ${basename(path)} has ${Math.ceil(stats.size / MB)} MB, more than the virtual ` +
        `machine's memory of ${memoryBytes / MB} MB.`,
    );
  }
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code, text } = reasonOf(cause);
    throw refuse(code, text, cause);
  }
}
