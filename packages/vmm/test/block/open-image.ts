// Images in memory as disks.

import type { Disk } from '../../src/block/disk.ts';
import { Qcow2Disk, readStart } from '../../src/block/qcow2.ts';
import { RawDisk } from '../../src/block/raw.ts';
import { MemoryFile } from './memory-file.ts';
import { DECOMPRESSORS } from './qemu-img.ts';

/** Opens the image in `file`, over a raw disk of `backing`. */
export async function openImage(
  file: MemoryFile,
  backing?: Uint8Array,
  decompressors = DECOMPRESSORS,
): Promise<Qcow2Disk> {
  const below = backing && (await RawDisk.open(new MemoryFile(backing, true)));
  return Qcow2Disk.open(file, await readStart(file), below, decompressors);
}

/** All that is on a disk. */
export async function contentOf(disk: Disk): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.sectors * 512);
  await disk.read(0, [bytes]);
  return bytes;
}

/** The bytes in pieces, as a driver may cut them. */
export function cut(bytes: Uint8Array, ...lengths: number[]): Uint8Array[] {
  let at = 0;
  const parts = lengths.map((length) => bytes.subarray(at, (at += length)));
  return [...parts, bytes.subarray(at)];
}
