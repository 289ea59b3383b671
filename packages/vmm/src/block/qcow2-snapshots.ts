// The snapshot table of a qcow2 image (section "Snapshots"), as far as clusters are concerned:
// where the L1 table of each snapshot lies. Snapshots are kept, not made or gone back to.

import type { BlockFile } from './block-file.ts';
import { type Qcow2Header, refusal } from './qcow2-header.ts';

const ENTRY_HEAD_BYTES = 40;
/** QEMU's limit of a snapshot table: 64 MiB, 1024 bytes a snapshot. */
const BYTES_PER_SNAPSHOT_MAX = 1024;
const L1_ENTRIES_MAX = (32 << 20) / 8;

/** The L1 table of a snapshot. */
export interface SnapshotL1 {
  readonly offset: number;
  readonly entries: number;
}

/** A snapshot table: its length, and what it leads to. */
export interface SnapshotTable {
  readonly bytes: number;
  readonly l1Tables: readonly SnapshotL1[];
}

/** Reads the snapshot table. EIO if it is none. */
export async function readSnapshots(file: BlockFile, header: Qcow2Header): Promise<SnapshotTable> {
  if (header.snapshots === 0) return { bytes: 0, l1Tables: [] };
  const room = Math.min(header.snapshots * BYTES_PER_SNAPSHOT_MAX, await file.size());
  const bytes = new Uint8Array(room);
  await file.read(header.snapshotsOffset, [bytes]);
  const view = new DataView(bytes.buffer);
  const l1Tables: SnapshotL1[] = [];
  let at = 0;
  for (let index = 0; index < header.snapshots; index++) {
    if (at + ENTRY_HEAD_BYTES > room) throw corrupt(file, index);
    const offset = view.getBigUint64(at);
    const entries = view.getUint32(at + 8);
    if (offset > BigInt(Number.MAX_SAFE_INTEGER) || entries > L1_ENTRIES_MAX) {
      throw corrupt(file, index);
    }
    if (entries > 0) l1Tables.push({ offset: Number(offset), entries });
    const texts = view.getUint16(at + 12) + view.getUint16(at + 14);
    at += ENTRY_HEAD_BYTES + Math.ceil((view.getUint32(at + 36) + texts) / 8) * 8;
  }
  if (at > room) throw corrupt(file, header.snapshots - 1);
  return { bytes: at, l1Tables };
}

function corrupt(file: BlockFile, index: number): Error {
  return refusal(file.name, `is corrupt: its snapshot ${index} is none`, 'EIO');
}
