// A new qcow2 image: version 3, clusters of 64 KiB, refcounts of 16 bits, nothing allocated. The
// header is written last, so that what is not complete is no image.

import type { BlockFile } from './block-file.ts';
import { type DiskFormat, SECTOR_BYTES } from './disk.ts';

import { EXTENSION_BACKING_FORMAT, l1EntriesFor, QCOW2_MAGIC, refusal } from './qcow2-header.ts';

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const REFCOUNT_ORDER = 4;
const HEADER_BYTES = 104;
const NAME_BYTES_MAX = 1023;
/** As far as an L1 table of 32 MiB reaches: 2 PiB. */
const SIZE_MAX = 2 ** 51;

/** What a new image is laid over. */
export interface NewBacking {
  /** The path, as the image is to have it: relative to its own folder, or absolute. */
  readonly name: string;
  readonly format: DiskFormat;
}

/**
 * Writes an image of a disk of `sizeBytes`, a multiple of 512, into the empty `file`. EINVAL if
 * there is no such image.
 */
export async function createQcow2(
  file: BlockFile,
  sizeBytes: number,
  backing?: NewBacking,
): Promise<void> {
  if (sizeBytes <= 0 || sizeBytes > SIZE_MAX || sizeBytes % SECTOR_BYTES !== 0) {
    throw refusal(file.name, `cannot have ${sizeBytes} bytes`);
  }
  const name = new TextEncoder().encode(backing?.name ?? '');
  if (name.length > NAME_BYTES_MAX) {
    throw refusal(
      file.name,
      `cannot name its base, whose path has more than ${NAME_BYTES_MAX} bytes`,
    );
  }
  // In this order: header, refcount table, refcount block, L1 table.
  const l1Entries = l1EntriesFor(sizeBytes, CLUSTER_BITS);
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER_BYTES);
  const clusters = 3 + l1Clusters;
  await file.setSize(clusters * CLUSTER_BYTES);
  const table = new DataView(new ArrayBuffer(8));
  table.setBigUint64(0, BigInt(2 * CLUSTER_BYTES));
  await file.write(CLUSTER_BYTES, [new Uint8Array(table.buffer)]);
  const block = new DataView(new ArrayBuffer(clusters * 2));
  for (let cluster = 0; cluster < clusters; cluster++) block.setUint16(cluster * 2, 1);
  await file.write(2 * CLUSTER_BYTES, [new Uint8Array(block.buffer)]);
  await file.flush();

  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  header.setUint32(0, QCOW2_MAGIC);
  header.setUint32(4, 3);
  header.setUint32(20, CLUSTER_BITS);
  header.setBigUint64(24, BigInt(sizeBytes));
  header.setUint32(36, l1Entries);
  header.setBigUint64(40, BigInt(3 * CLUSTER_BYTES));
  header.setBigUint64(48, BigInt(CLUSTER_BYTES));
  header.setUint32(56, 1);
  header.setUint32(96, REFCOUNT_ORDER);
  header.setUint32(100, HEADER_BYTES);
  const parts = [new Uint8Array(header.buffer), ...extensionsFor(backing)];
  if (backing !== undefined) {
    header.setBigUint64(8, BigInt(parts.reduce((sum, part) => sum + part.length, 0)));
    header.setUint32(16, name.length);
    parts.push(name);
  }
  await file.write(0, parts);
  await file.flush();
}

function extensionsFor(backing: NewBacking | undefined): Uint8Array[] {
  const end = new Uint8Array(8);
  if (backing === undefined) return [end];
  const format = new TextEncoder().encode(backing.format);
  const extension = new Uint8Array(8 + Math.ceil(format.length / 8) * 8);
  const view = new DataView(extension.buffer);
  view.setUint32(0, EXTENSION_BACKING_FORMAT);
  view.setUint32(4, format.length);
  extension.set(format, 8);
  return [extension, end];
}
