// A disk kept in a raw image file or on a block device of the host: sector n lies at byte 512 n.
// Reads and writes go straight between the file and guest memory: Node 20 and 26 both accept views
// of shared memory in readv and writev, and a copy in between measured no faster. A file whose size
// is no multiple of 512 is a disk of the next full sector, padded with zeroes. Discarded ranges
// keep their storage, since Node cannot punch holes into files.

import type { Stats } from 'node:fs';
import { readFileSync } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { VmmError } from 'vmm';
import { reasonOf } from './errors.ts';
import { openLocked } from './file-lock.ts';

const SECTOR_BYTES = 512;
/** IOV_MAX of Linux: more parts in one readv or writev are an error. */
const PARTS_MAX = 1024;

/** A disk in a file. The image is locked from opening to closing. */
export class FileBlock {
  readonly sectors: number;
  readonly readOnly: boolean;
  private readonly file: FileHandle;

  constructor(file: FileHandle, sizeBytes: number, readOnly: boolean) {
    this.file = file;
    this.sectors = Math.ceil(sizeBytes / SECTOR_BYTES);
    this.readOnly = readOnly;
  }

  /** Reads from byte `offset` into the parts, in order; what the file lacks reads as zero. */
  async read(offset: number, into: Uint8Array[]): Promise<void> {
    await this.transfer(offset, into, async (parts, position) => {
      const { bytesRead } = await this.file.readv(parts, position);
      if (bytesRead > 0) return bytesRead;
      for (const part of parts) part.fill(0);
      return byteLength(parts);
    });
  }

  /** Writes the parts, one after the other, at byte `offset`. */
  async write(offset: number, from: Uint8Array[]): Promise<void> {
    await this.transfer(offset, from, async (parts, position) => {
      const { bytesWritten } = await this.file.writev(parts, position);
      if (bytesWritten > 0) return bytesWritten;
      throw new VmmError('EIO', 'The disk image takes no more data.');
    });
  }

  /** Resolves when all that was written is on stable storage. */
  async flush(): Promise<void> {
    if (!this.readOnly) await this.file.datasync();
  }

  /** Does nothing, as it may: the contents of a discarded range are unspecified. */
  async discard(): Promise<void> {}

  /** Closes the file and gives up its lock. */
  async close(): Promise<void> {
    await this.file.close();
  }

  /** Repeats `operation`, which may stop short, until all parts are done. */
  private async transfer(
    offset: number,
    parts: readonly Uint8Array[],
    operation: (parts: Uint8Array[], position: number) => Promise<number>,
  ): Promise<void> {
    let rest = parts.filter((part) => part.length > 0);
    let position = offset;
    while (rest.length > 0) {
      const done = await operation(rest.slice(0, PARTS_MAX), position);
      position += done;
      rest = dropBytes(rest, done);
    }
  }
}

function byteLength(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function dropBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0;
  let left = count;
  while (index < parts.length && left >= parts[index]!.length) {
    left -= parts[index]!.length;
    index++;
  }
  const rest = parts.slice(index);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}

/**
 * Opens the raw image or block device at `path` as a disk and locks it. VmmError says why it cannot
 * be: it does not exist, is a directory, is empty, may not be opened, or is in use (EBUSY).
 */
export async function openFileBlock(path: string, readOnly: boolean): Promise<FileBlock> {
  try {
    const size = diskSize(path, await stat(path));
    return new FileBlock(await openLocked(path, readOnly), size, readOnly);
  } catch (cause) {
    if (cause instanceof VmmError) throw cause;
    const { code, text } = reasonOf(cause);
    throw new VmmError(code, `Cannot open disk ${path}: ${text}.`, { cause });
  }
}

function diskSize(path: string, stats: Stats): number {
  if (stats.isDirectory()) throw new VmmError('EISDIR', `Disk ${path} is a directory.`);
  if (stats.isBlockDevice()) return deviceSize(path, stats.rdev);
  if (!stats.isFile()) {
    throw new VmmError('EINVAL', `Disk ${path} is neither a regular file nor a block device.`);
  }
  if (stats.size === 0) throw new VmmError('EINVAL', `Disk ${path} is empty.`);
  return stats.size;
}

/** The size of a block device of Linux, which sysfs counts in units of 512 bytes. */
function deviceSize(path: string, rdev: number): number {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00);
  try {
    const text = readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8');
    return Number(text) * SECTOR_BYTES;
  } catch (cause) {
    throw new VmmError('EIO', `Cannot find the size of block device ${path}.`, { cause });
  }
}
