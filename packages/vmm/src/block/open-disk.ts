// Opening a disk by the path of its image: which format it has, and the images below it. An image
// may name a backing file, that one another, and so on; all but the first are only read.

import { type Errno, VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import { DISK_FORMATS, type Disk, type DiskFormat } from './disk.ts';
import { Qcow2Disk, readStart } from './qcow2.ts';
import type { Decompressors } from './qcow2-compressed.ts';
import { type BackingReference, isQcow2, printable } from './qcow2-header.ts';
import { RawDisk } from './raw.ts';

/** More images than anybody lays over each other; each costs open files and time. */
const CHAIN_MAX = 64;
/** A backing file that is not a path: QEMU has "nbd://host", "json:{...}" and others. */
const PROTOCOL = /^[a-z][a-z0-9+.-]*:/i;

/** Where images are found. */
export interface ImageFiles {
  /** Opens an image, alone unless it is only to be read. VmmError says why it cannot be. */
  open(path: string, readOnly: boolean): Promise<BlockFile>;
  /** The same text for paths that lead to the same image. */
  identify(path: string): Promise<string>;
  /** The path of what the image at `path` calls `name`. */
  resolve(path: string, name: string): string;
}

/** An image to open. */
export interface ImageReference {
  readonly path: string;
  /** By default what the image begins with decides. */
  readonly format?: DiskFormat;
}

/** Splits `raw:path` and `qcow2:path` of vmctl(8); anything else is a path. */
export function parseImageReference(text: string): ImageReference {
  for (const format of DISK_FORMATS) {
    if (text.startsWith(`${format}:`)) return { path: text.slice(format.length + 1), format };
  }
  return { path: text };
}

/** Opens disks from `files`. */
export class DiskOpener {
  private readonly files: ImageFiles;
  private readonly decompressors: Decompressors;

  constructor(files: ImageFiles, decompressors: Decompressors) {
    this.files = files;
    this.decompressors = decompressors;
  }

  /**
   * Opens the disk, and what it is laid over. VmmError says in a sentence why it cannot be: there
   * is no such image, it is in use, corrupt, or has a feature that is not supported.
   */
  async open(image: ImageReference, readOnly: boolean): Promise<Disk> {
    return this.openAbove([], image, readOnly);
  }

  /** Opens an image whose backing chain begins with the images `above`. */
  private async openAbove(
    above: readonly string[],
    { path, format }: ImageReference,
    readOnly: boolean,
  ): Promise<Disk> {
    const identity = await this.files.identify(path);
    if (above.includes(identity)) {
      throw new VmmError(
        'EINVAL',
        `Disk ${path} is its own backing file, by ${above.length} steps.`,
      );
    }
    if (above.length >= CHAIN_MAX) {
      throw new VmmError(
        'EINVAL',
        `Disk ${path} lies below ${CHAIN_MAX} others, which is too many.`,
      );
    }
    const file = await this.files.open(path, readOnly);
    try {
      if ((format ?? (await probe(file))) === 'raw') return await RawDisk.open(file);
      const start = await readStart(file);
      const backing = await this.openBacking([...above, identity], path, start.header.backing);
      try {
        return await Qcow2Disk.open(file, start, backing, this.decompressors);
      } catch (error) {
        await backing?.close();
        throw error;
      }
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private async openBacking(
    above: readonly string[],
    path: string,
    reference: BackingReference | undefined,
  ): Promise<Disk | undefined> {
    if (reference === undefined) return undefined;
    const name = reference.name.replace(/^file:/, '');
    const refuse = (reason: string, code: Errno = 'EINVAL'): VmmError =>
      new VmmError(code, `Cannot open ${printable(name)}, the base of disk ${path}: ${reason}.`);
    if (PROTOCOL.test(name) || name.includes('\0')) throw refuse('it is not a local file');
    const format = DISK_FORMATS.find((known) => known === reference.format);
    if (format === undefined && reference.format !== undefined) {
      throw refuse(`its format ${printable(reference.format)} is not supported`);
    }
    const image = { path: this.files.resolve(path, name), ...(format && { format }) };
    return this.openAbove(above, image, true);
  }
}

/** The format of an image, by what it begins with. */
async function probe(file: BlockFile): Promise<DiskFormat> {
  const magic = new Uint8Array(4);
  await file.read(0, [magic]);
  return isQcow2(magic) ? 'qcow2' : 'raw';
}
