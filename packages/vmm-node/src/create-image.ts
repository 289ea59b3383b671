// New disk images in files of the host.

import { open, unlink } from 'node:fs/promises';
import { createQcow2, type DiskFormat, type NewBacking, VmmError } from 'vmm';
import { reasonOf } from './errors.ts';
import { HostFile } from './host-file.ts';

/** A disk is its owner's alone. */
const MODE = 0o600;

/** An image to make. */
export interface NewImage {
  /** Where; nothing may be there. */
  readonly path: string;
  readonly format: DiskFormat;
  /** The size of the disk, a multiple of 512. */
  readonly sizeBytes: number;
  /** What it is laid over; only for qcow2. */
  readonly backing?: NewBacking;
}

/**
 * Makes an image of a disk that is all zeroes, or all its base's. VmmError says why that cannot be,
 * and nothing is left then; an existing file is never touched (EEXIST).
 */
export async function createImage({ path, format, sizeBytes, backing }: NewImage): Promise<void> {
  let file: HostFile;
  try {
    file = new HostFile(path, await open(path, 'wx+', MODE), false);
  } catch (cause) {
    const { code, text } = reasonOf(cause);
    throw new VmmError(code, `Cannot create disk ${path}: ${text}.`, { cause });
  }
  try {
    if (format === 'qcow2') await createQcow2(file, sizeBytes, backing);
    else await file.setSize(sizeBytes);
    await file.flush();
  } catch (error) {
    await unlink(path);
    throw error;
  } finally {
    await file.close();
  }
}
