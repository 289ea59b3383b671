// A raw image: byte n of the disk is byte n of the file. A file whose size is no multiple of 512 is
// a disk of the next full sector, padded with zeroes.

import { VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import { type Disk, type DiskFormat, SECTOR_BYTES } from './disk.ts';

/** Zeroes are written in pieces of this size. */
const ZEROES_BYTES = 1 << 20;

/** A disk in a raw image. */
export class RawDisk implements Disk {
  readonly format: DiskFormat = 'raw';
  readonly sectors: number;
  readonly readOnly: boolean;
  private readonly file: BlockFile;

  private constructor(file: BlockFile, sizeBytes: number) {
    this.file = file;
    this.sectors = Math.ceil(sizeBytes / SECTOR_BYTES);
    this.readOnly = file.readOnly;
  }

  /** The disk that `file` is; EINVAL if it is empty. The disk closes the file. */
  static async open(file: BlockFile): Promise<RawDisk> {
    const sizeBytes = await file.size();
    if (sizeBytes === 0) throw new VmmError('EINVAL', `Disk ${file.name} is empty.`);
    return new RawDisk(file, sizeBytes);
  }

  read(offset: number, into: Uint8Array[]): Promise<void> {
    return this.file.read(offset, into);
  }

  write(offset: number, from: Uint8Array[]): Promise<void> {
    return this.file.write(offset, from);
  }

  readNow(offset: number, into: Uint8Array[]): boolean {
    return this.file.readNow?.(offset, into) ?? false;
  }

  writeNow(offset: number, from: Uint8Array[]): boolean {
    return this.file.writeNow?.(offset, from) ?? false;
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.file.flush();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.file.discard(offset, length);
  }

  /** Zeroes are written where the storage is to be kept, or cannot be given back. */
  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    if (mayUnmap && (await this.file.makeHole?.(offset, length))) return;
    const zeroes = new Uint8Array(Math.min(length, ZEROES_BYTES));
    for (let done = 0; done < length; done += zeroes.length) {
      await this.file.write(offset + done, [zeroes.subarray(0, length - done)]);
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
