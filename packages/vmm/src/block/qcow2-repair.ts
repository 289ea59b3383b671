// Putting a qcow2 image in order whose last writer did not close it (the dirty bit). We leave leaks
// at worst; another may have counted on "lazy refcounts", so that those on disk may be anything.
// They are counted anew from what refers to clusters: the tables themselves, the active state, the
// snapshots. Until all is stable the dirty bit stays, and a crash means only to begin again.
//
// What refers to places outside the file, or to tables as if they were data, is beyond this and
// refused: qemu-img can decide there what to give up.

import type { BlockFile } from './block-file.ts';
import { ENTRY_BYTES, l1Offset, readMapping } from './qcow2-entry.ts';
import { type Qcow2Header, refusal } from './qcow2-header.ts';
import type { Refcounts } from './qcow2-refcounts.ts';
import { readSnapshots } from './qcow2-snapshots.ts';
import type { Qcow2Tables } from './qcow2-tables.ts';

/** Clusters of the largest file that is repaired: 4 TiB with clusters of 64 KiB. */
const CLUSTERS_MAX = 1 << 26;
const REFERENCES_MAX = 0xffff;

/** How often each cluster of a file is referred to. */
class References {
  readonly counts: Uint16Array;
  private readonly file: BlockFile;
  private readonly header: Qcow2Header;
  private readonly clusterBytes: number;

  constructor(file: BlockFile, fileBytes: number, header: Qcow2Header) {
    this.file = file;
    this.header = header;
    this.clusterBytes = 2 ** header.clusterBits;
    const clusters = Math.ceil(fileBytes / this.clusterBytes);
    if (clusters > CLUSTERS_MAX) throw this.beyondRepair('it is too large');
    this.counts = new Uint16Array(clusters);
  }

  /** Counts a reference to each cluster that has one of the bytes. */
  add(offset: number, length: number): void {
    if (length === 0) return;
    const first = Math.floor(offset / this.clusterBytes);
    const last = Math.floor((offset + length - 1) / this.clusterBytes);
    if (last >= this.counts.length) throw this.beyondRepair('it refers beyond the end of its file');
    for (let cluster = first; cluster <= last; cluster++) {
      if (++this.counts[cluster]! === REFERENCES_MAX) {
        throw this.beyondRepair(`cluster ${cluster} is referred to too often`);
      }
    }
  }

  /** Counts an L1 table and all that it leads to. */
  async addL1(offset: number, entries: number): Promise<void> {
    this.add(offset, entries * ENTRY_BYTES);
    const bytes = new Uint8Array(entries * ENTRY_BYTES);
    await this.file.read(offset, [bytes]);
    const l1 = new DataView(bytes.buffer);
    for (let index = 0; index < entries; index++) {
      const l2 = l1Offset(l1, index, this.clusterBytes);
      if (l2 === undefined) throw this.beyondRepair(`entry ${index} of an L1 table is none`);
      if (l2 !== 0) await this.addL2(l2);
    }
  }

  /** The refusal of a repair that could lose data. */
  beyondRepair(what: string): Error {
    const text = `was not closed in order and is beyond repair here, as ${what}`;
    return refusal(this.file.name, `${text}; use qemu-img check`, 'EIO');
  }

  private async addL2(offset: number): Promise<void> {
    this.add(offset, this.clusterBytes);
    const bytes = new Uint8Array(this.clusterBytes);
    await this.file.read(offset, [bytes]);
    const l2 = new DataView(bytes.buffer);
    const { clusterBits, version } = this.header;
    for (let index = 0; index < this.clusterBytes / ENTRY_BYTES; index++) {
      const { kind, host, length } = readMapping(l2, index, clusterBits, version);
      if (kind === 'invalid') throw this.beyondRepair(`entry ${index} of an L2 table is none`);
      if (host !== 0) this.add(host, kind === 'compressed' ? length : this.clusterBytes);
    }
  }
}

/** Makes the refcounts of an image that has the dirty bit right, and takes the bit away. */
export async function repair(tables: Qcow2Tables): Promise<void> {
  const { file, header, clusterBytes } = tables;
  const refcounts = tables.refcounts!;
  const references = new References(file, await file.size(), header);
  references.add(0, clusterBytes);
  references.add(header.refcountTableOffset, header.refcountTableClusters * clusterBytes);
  for (const offset of refcounts.blockOffsets) references.add(offset, clusterBytes);
  await references.addL1(header.l1Offset, header.l1Entries);
  const snapshots = await readSnapshots(file, header);
  references.add(header.snapshotsOffset, snapshots.bytes);
  for (const { offset, entries } of snapshots.l1Tables) await references.addL1(offset, entries);
  checkShared(refcounts, references, header);
  await writeCounts(tables, refcounts, references);
  await markEntries(tables, references);
  await tables.close();
}

/** Tables are referred to once; L2 tables more often, by snapshots. */
function checkShared(refcounts: Refcounts, references: References, header: Qcow2Header): void {
  for (const cluster of refcounts.metadata) {
    const count = references.counts[cluster] ?? 0;
    if (count === 1 || (count > 1 && header.snapshots > 0)) continue;
    throw references.beyondRepair(`the table in cluster ${cluster} is also something else`);
  }
}

/** Writes all refcounts, making the blocks that lack behind the end of the file. */
async function writeCounts(
  tables: Qcow2Tables,
  refcounts: Refcounts,
  { counts }: References,
): Promise<void> {
  const added = new Set<number>();
  let end = counts.length;
  const add = (upTo: number): void => {
    for (; end < upTo; end++) added.add(end);
  };
  if (end > refcounts.clustersMax) add(refcounts.growTable(end));
  const { clustersPerBlock } = refcounts;
  for (let cluster = 0; cluster < end; cluster++) {
    if (refcounts.covers(cluster)) {
      cluster = (Math.floor(cluster / clustersPerBlock) + 1) * clustersPerBlock - 1;
    } else if (cluster >= counts.length || counts[cluster] !== 0) {
      if (end >= refcounts.clustersMax) add(refcounts.growTable(end));
      if (refcounts.covers(cluster)) continue;
      refcounts.addBlock(Math.floor(cluster / clustersPerBlock), end);
      add(end + 1);
    }
  }
  for (let index = 0; index * clustersPerBlock < refcounts.clustersMax; index++) {
    await refcounts.replace(index, (cluster) => counts[cluster] ?? (added.has(cluster) ? 1 : 0));
    if (tables.isFull) await tables.commit();
  }
}

/** Marks the entries of the active tables that are the only reference, and no others. */
async function markEntries(tables: Qcow2Tables, { counts }: References): Promise<void> {
  const { header, clusterBytes, l2Entries, l1 } = tables;
  const isOnly = (offset: number): boolean => counts[offset / clusterBytes] === 1;
  for (let index = 0; index < header.l1Entries; index++) {
    const offset = l1Offset(l1, index, clusterBytes);
    const table = await tables.loadL2(index * l2Entries);
    tables.markCopied(undefined, index, table !== undefined && isOnly(offset!));
    if (table === undefined) continue;
    for (let entry = 0; entry < l2Entries; entry++) {
      const { kind, host } = readMapping(table.view, entry, header.clusterBits, header.version);
      const placed = host !== 0 && kind !== 'compressed';
      tables.markCopied(table, entry, placed && isOnly(host));
    }
    if (tables.isFull) await tables.commit();
  }
}
