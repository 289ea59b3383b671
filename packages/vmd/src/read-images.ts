// Kernels, and the files that are loaded beside them: read whole before a machine starts. A kernel
// may be compressed by gzip(1), as OpenBSD's installation kernels are.

import { existsSync, readFileSync, type Stats, statSync } from 'node:fs';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
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

/**
 * The bytes of a kernel, uncompressed, that fits into memory; VmmError says why it cannot be had.
 */
export function readKernel(path: string, memoryBytes: number): Uint8Array {
  const bytes = readImage('kernel', path, memoryBytes);
  // RFC 1952, 2.3.1: the two bytes by which gzip's format is known.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: memoryBytes });
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      throw new VmmError(
        'ENOMEM',
        `File ${basename(path)} is, decompressed, larger than the virtual machine's memory of ` +
          `${memoryBytes / MB} MB.`,
      );
    }
    throw new VmmError('ENOEXEC', `Cannot decompress kernel ${path}: ${message}.`, { cause });
  }
}

/** The bytes of a regular file that fits into memory; VmmError names it as `what`. */
function readImage(what: 'kernel' | 'initrd', path: string, memoryBytes: number): Uint8Array {
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
