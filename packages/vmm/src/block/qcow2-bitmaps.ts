// The persistent bitmaps of a qcow2 image (section "Bitmaps"), as far as clusters are concerned.
// They say what has changed on the disk since some time; who does not keep them up to date must say
// so in the header before writing. Nobody can use them then, and their clusters are given up.

import type { BlockFile } from './block-file.ts';
import { ENTRY_BYTES, l1Offset } from './qcow2-entry.ts';
import { AUTOCLEAR_BITMAPS, type Qcow2Header } from './qcow2-header.ts';
import type { ClusterRun } from './qcow2-refcounts.ts';

const DIRECTORY_ENTRY_BYTES = 24;
/** QEMU's limits: 65535 bitmaps, with entries of up to 1096 bytes. */
const DIRECTORY_BYTES_MAX = 65535 * 1096;

/**
 * The clusters of the bitmaps that the header says are up to date. What is no bitmap is left out:
 * the worst is that its clusters are never used again.
 */
export async function bitmapClusters(file: BlockFile, header: Qcow2Header): Promise<ClusterRun[]> {
  const { bitmaps, autoclear } = header;
  if (bitmaps === undefined || (autoclear & AUTOCLEAR_BITMAPS) === 0n) return [];
  const clusterBytes = 2 ** header.clusterBits;
  const fileBytes = await file.size();
  const runs: ClusterRun[] = [];
  const add = (offset: number, bytes: number): boolean => {
    if (offset === 0 || offset % clusterBytes !== 0 || offset + bytes > fileBytes) return false;
    runs.push({ first: offset / clusterBytes, count: Math.ceil(bytes / clusterBytes) });
    return true;
  };
  if (bitmaps.bytes > DIRECTORY_BYTES_MAX || !add(bitmaps.offset, bitmaps.bytes)) return [];
  const directory = new DataView(new ArrayBuffer(bitmaps.bytes));
  await file.read(bitmaps.offset, [new Uint8Array(directory.buffer)]);
  for (let at = 0, left = bitmaps.count; left > 0; left--) {
    if (at + DIRECTORY_ENTRY_BYTES > bitmaps.bytes) break;
    const offset = Number(directory.getBigUint64(at));
    const tableBytes = directory.getUint32(at + 8) * ENTRY_BYTES;
    const texts = directory.getUint16(at + 18) + directory.getUint32(at + 20);
    at += Math.ceil((DIRECTORY_ENTRY_BYTES + texts) / 8) * 8;
    if (!add(offset, tableBytes)) continue;
    const table = new DataView(new ArrayBuffer(tableBytes));
    await file.read(offset, [new Uint8Array(table.buffer)]);
    for (let entry = 0; entry < tableBytes / ENTRY_BYTES; entry++) {
      add(l1Offset(table, entry, clusterBytes) ?? 0, clusterBytes);
    }
  }
  return runs;
}
