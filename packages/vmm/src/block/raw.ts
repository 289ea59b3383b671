// A raw image: byte n of the disk is byte n of the file. A file whose size is no multiple of 512 is
// a disk of the next full sector, padded with zeroes.

import { VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import { type Disk, type DiskFormat, SECTOR_BYTES } from './disk.ts';

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

  close(): Promise<void> {
    return this.file.close();
  }
}
