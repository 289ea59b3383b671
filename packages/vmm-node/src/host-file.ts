// A file or a block device of the host as the store of a disk image. Reads and writes go straight
// between the file and the caller's buffers, guest memory as a rule: Node 20 and 26 both accept
// views of shared memory in readv and writev, and a copy in between measured no faster.

import { readFileSync, readvSync, type Stats, writevSync } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { type BlockFile, VmmError } from 'vmm';
import { reasonOf } from './errors.ts';
import { openLocked } from './file-lock.ts';
import { HolePunch } from './hole-punch.ts';
import { Pace } from './pace.ts';

/** IOV_MAX of Linux: more parts in one readv or writev are an error. */
const PARTS_MAX = 1024;
/** What sysfs counts the size of a block device in. */
const SYSFS_SECTOR_BYTES = 512;

/** An open file, which the host locks until it is closed. */
export class HostFile implements BlockFile {
  readonly name: string;
  readonly readOnly: boolean;
  private readonly handle: FileHandle;
  /** The size of a block device, which fstat(2) does not tell. */
  private readonly deviceBytes: number | undefined;
  private readonly holes = new HolePunch();
  private readonly readPace: Pace;
  private readonly writePace: Pace;

  /** `deviceBytes` is the size of a block device, undefined for a file. */
  constructor(name: string, handle: FileHandle, readOnly: boolean, deviceBytes?: number) {
    this.name = name;
    this.handle = handle;
    this.readOnly = readOnly;
    this.deviceBytes = deviceBytes;
    const nowMs = (): number => performance.now();
    this.readPace = new Pace(nowMs);
    this.writePace = new Pace(nowMs);
  }

  async size(): Promise<number> {
    return this.deviceBytes ?? (await this.attempt('read', () => this.handle.stat())).size;
  }

  /** What the file lacks reads as zero. */
  async read(offset: number, into: Uint8Array[]): Promise<void> {
    await this.transfer('read', offset, into, async (parts, position) => {
      const { bytesRead } = await this.handle.readv(parts, position);
      if (bytesRead > 0) return bytesRead;
      for (const part of parts) part.fill(0);
      return byteLength(parts);
    });
  }

  async write(offset: number, from: Uint8Array[]): Promise<void> {
    await this.transfer('write', offset, from, async (parts, position) => {
      const { bytesWritten } = await this.handle.writev(parts, position);
      if (bytesWritten > 0) return bytesWritten;
      throw new VmmError('EIO', `Disk ${this.name} takes no more data.`);
    });
  }

  /** Only what the kernel does in one call; the rest, as at the end of the file, is for read(). */
  readNow(offset: number, into: Uint8Array[]): boolean {
    return this.atOnce('read', this.readPace, into, () => readvSync(this.handle.fd, into, offset));
  }

  writeNow(offset: number, from: Uint8Array[]): boolean {
    return this.atOnce('write', this.writePace, from, () =>
      writevSync(this.handle.fd, from, offset),
    );
  }

  async flush(): Promise<void> {
    await this.attempt('write', () => this.handle.datasync());
  }

  async setSize(bytes: number): Promise<void> {
    await this.attempt('write', () => this.handle.truncate(bytes));
  }

  /** Gives the storage back where that is possible. */
  async discard(offset: number, length: number): Promise<void> {
    await this.holes.punch(this.handle.fd, offset, length);
  }

  makeHole(offset: number, length: number): Promise<boolean> {
    return this.holes.punch(this.handle.fd, offset, length);
  }

  /** Closes the file and gives up its lock. */
  async close(): Promise<void> {
    await this.handle.close();
  }

  /** Repeats `operation`, which may stop short, until all parts are done. */
  private async transfer(
    what: 'read' | 'write',
    offset: number,
    parts: readonly Uint8Array[],
    operation: (parts: Uint8Array[], position: number) => Promise<number>,
  ): Promise<void> {
    let rest = parts.filter((part) => part.length > 0);
    let position = offset;
    while (rest.length > 0) {
      const some = rest.length > PARTS_MAX ? rest.slice(0, PARTS_MAX) : rest;
      const done = await this.attempt(what, () => operation(some, position));
      position += done;
      rest = dropBytes(rest, done);
    }
  }

  /** True when `operation` has moved all of the parts. */
  private atOnce(
    what: 'read' | 'write',
    pace: Pace,
    parts: readonly Uint8Array[],
    operation: () => number,
  ): boolean {
    if (parts.length > PARTS_MAX) return false;
    const bytes = byteLength(parts);
    let done = -1;
    try {
      return pace.run(bytes, () => (done = operation())) && done === bytes;
    } catch (cause) {
      throw this.refusal(what, cause);
    }
  }

  private refusal(what: 'read' | 'write', cause: unknown): VmmError {
    const { code, text } = reasonOf(cause);
    return new VmmError(code, `Cannot ${what} disk ${this.name}: ${text}.`, { cause });
  }

  private async attempt<T>(what: 'read' | 'write', operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (cause) {
      if (cause instanceof VmmError) throw cause;
      throw this.refusal(what, cause);
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
 * Opens the file or block device at `path` and locks it: alone, or with other readers. VmmError
 * says why it cannot be: it does not exist, is a directory, may not be opened, or is in use
 * (EBUSY).
 */
export async function openHostFile(path: string, readOnly: boolean): Promise<HostFile> {
  try {
    const deviceBytes = checkKind(path, await stat(path));
    return new HostFile(path, await openLocked(path, readOnly), readOnly, deviceBytes);
  } catch (cause) {
    if (cause instanceof VmmError) throw cause;
    const { code, text } = reasonOf(cause);
    throw new VmmError(code, `Cannot open disk ${path}: ${text}.`, { cause });
  }
}

/** The size of a block device; undefined for a file. */
function checkKind(path: string, stats: Stats): number | undefined {
  if (stats.isDirectory()) throw new VmmError('EISDIR', `Disk ${path} is a directory.`);
  if (stats.isBlockDevice()) return deviceSize(path, stats.rdev);
  if (stats.isFile()) return undefined;
  throw new VmmError('EINVAL', `Disk ${path} is neither a regular file nor a block device.`);
}

/** The size of a block device of Linux, as sysfs has it. */
function deviceSize(path: string, rdev: number): number {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00);
  try {
    const text = readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8');
    return Number(text) * SYSFS_SECTOR_BYTES;
  } catch (cause) {
    throw new VmmError('EIO', `Cannot find the size of block device ${path}.`, { cause });
  }
}
