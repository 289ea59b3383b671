// The metadata of a qcow2 image: L1 table, L2 tables and refcounts, changed in memory and written
// down by commit() in an order which leaves the image consistent wherever a crash ends it, whatever
// writes since the last flush the disk has kept and whatever it has lost:
//
//   1. refcount blocks, new L2 tables, a refcount table that has moved: nothing on disk refers to
//      what is new in them, and a refcount too high is a leak, not an error;
//   2. after a flush: what refers to these refcount blocks, the refcount table or the header;
//   3. after a flush: L2 tables that the disk knows, and the L1 table. From now on the guest's new
//      data is there. After one more flush commit() has ended.
//
// Clusters that the guest has given up are referred to on disk until 3. They count as used until
// then, so that nobody writes to them. Their lower refcounts are a part of the next commit's first
// step: a crash may leak clusters, and never does worse.
//
// Before the first of these steps the header gets its dirty bit, which says that refcounts are not
// to be trusted, and close() takes it away again. So whoever opens the image for writing after a
// crash, we or QEMU, counts references anew (qcow2-repair.ts) and has the leaks back. Version 2 of
// the format has no such bit: its leaks stay until somebody runs qemu-img check -r leaks.

import { VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import { allEnded } from './parts.ts';
import { COPIED, ENTRY_BYTES, l1Offset, writeEntry } from './qcow2-entry.ts';
import {
  AT_INCOMPATIBLE,
  HEADER_BYTES_MAX,
  INCOMPAT_DIRTY,
  type Qcow2Header,
  refusal,
} from './qcow2-header.ts';
import { type ClusterRun, type NewRun, Refcounts } from './qcow2-refcounts.ts';
import { type Table, TableCache } from './table-cache.ts';

/** What the cached L2 tables may take: those of 128 GiB, with clusters of 64 KiB. */
const CACHE_BYTES = 16 << 20;
const SECTOR = 512;
/** Runs of clusters given up before they must be written down, to bound the list. */
const RELEASES_MAX = 1 << 16;

/** L1, L2 and refcounts of an image. Changes are for one task at a time; see {@link Mutex}. */
export class Qcow2Tables {
  readonly file: BlockFile;
  readonly header: Qcow2Header;
  readonly clusterBytes: number;
  /** How many clusters an L2 table maps. */
  readonly l2Entries: number;
  /** The entries of the L1 table as they are stored. */
  readonly l1: DataView;
  /** Missing when the image is only read. */
  readonly refcounts: Refcounts | undefined;
  private readonly l1Bytes: Uint8Array;
  private readonly l2Cache: TableCache;
  /** L2 tables that the L1 table on disk does not refer to yet. */
  private readonly newTables = new Set<Table>();
  private readonly changedL1Sectors = new Set<number>();
  private readonly releases: ClusterRun[] = [];
  private readonly headerBytes: Uint8Array;
  /** True while the header on disk has the dirty bit. */
  private isMarked: boolean;
  /** Why nothing more can be written: stable storage is in an unknown state. */
  private failure: unknown;

  private constructor(
    file: BlockFile,
    header: Qcow2Header,
    l1Bytes: Uint8Array,
    headerBytes: Uint8Array,
    refcounts: Refcounts | undefined,
  ) {
    this.file = file;
    this.header = header;
    this.clusterBytes = 2 ** header.clusterBits;
    this.l2Entries = this.clusterBytes / ENTRY_BYTES;
    this.l1Bytes = l1Bytes;
    this.l1 = new DataView(l1Bytes.buffer);
    this.headerBytes = headerBytes;
    this.refcounts = refcounts;
    this.isMarked = (header.incompatible & INCOMPAT_DIRTY) !== 0n;
    this.l2Cache = new TableCache(file, this.clusterBytes, CACHE_BYTES / this.clusterBytes);
  }

  /** Reads the tables of an image whose first cluster is `first`. */
  static async open(
    file: BlockFile,
    header: Qcow2Header,
    first: Uint8Array,
    readOnly: boolean,
  ): Promise<Qcow2Tables> {
    const l1Bytes = new Uint8Array(header.l1Entries * ENTRY_BYTES);
    await file.read(header.l1Offset, [l1Bytes]);
    const refcounts = readOnly ? undefined : await Refcounts.open(file, header);
    const headerBytes = first.slice(0, HEADER_BYTES_MAX);
    const tables = new Qcow2Tables(file, header, l1Bytes, headerBytes, refcounts);
    if (refcounts !== undefined) tables.claimTables(refcounts);
    return tables;
  }

  /**
   * The L2 table for a cluster of the disk, if it is in memory; undefined also if there is none.
   */
  peekL2(cluster: number): Table | undefined {
    const offset = this.l2Offset(Math.floor(cluster / this.l2Entries));
    return offset === 0 ? undefined : this.l2Cache.peek(offset);
  }

  /** The L2 table for a cluster of the disk; undefined if there is none. */
  async loadL2(cluster: number): Promise<Table | undefined> {
    const index = Math.floor(cluster / this.l2Entries);
    for (;;) {
      const offset = this.l2Offset(index);
      if (offset === 0) return undefined;
      const table = await this.l2Cache.load(offset);
      // While it was read, a copy may have taken its place.
      if (this.l2Offset(index) === offset) return table;
    }
  }

  /** The L2 table for a cluster of the disk, made or copied if it may not be changed as it is. */
  async changeableL2(cluster: number): Promise<Table> {
    const index = Math.floor(cluster / this.l2Entries);
    const old = await this.loadL2(cluster);
    if (old !== undefined && (this.l1.getUint32(index * ENTRY_BYTES) & COPIED) !== 0) return old;
    const run = await this.writableRefcounts.allocate(1);
    const offset = run.first * this.clusterBytes;
    const table = this.l2Cache.create(offset, old);
    this.newTables.add(table);
    this.writableRefcounts.metadata.add(run.first);
    writeEntry(this.l1, index, offset);
    this.changedL1Sectors.add(Math.floor((index * ENTRY_BYTES) / SECTOR));
    if (old !== undefined) {
      const oldCluster = old.offset / this.clusterBytes;
      this.writableRefcounts.metadata.delete(oldCluster);
      this.releases.push({ first: oldCluster, count: 1 });
    }
    return table;
  }

  /** Maps a cluster of the disk to `host`, nobody else's, or to none; see {@link writeEntry}. */
  setEntry(table: Table, cluster: number, host: number, zero: boolean): void {
    const index = cluster % this.l2Entries;
    writeEntry(table.view, index, host, zero);
    this.l2Cache.touch(table, index * ENTRY_BYTES, ENTRY_BYTES);
  }

  /** Allocates 1 to `max` clusters that follow each other. */
  allocate(max: number): Promise<NewRun> {
    return this.writableRefcounts.allocate(max);
  }

  /** Gives clusters up that the disk may still refer to: they are free after the next commit. */
  release(run: ClusterRun): void {
    const last = this.releases.at(-1);
    if (last !== undefined && last.first + last.count === run.first) {
      this.releases[this.releases.length - 1] = { ...last, count: last.count + run.count };
    } else {
      this.releases.push(run);
    }
  }

  /** Gives clusters back that nothing has ever referred to. */
  async unallocate(run: ClusterRun): Promise<void> {
    await this.writableRefcounts.release(run);
  }

  /** True when a table lies in the cluster of the file: an image that maps it there is corrupt. */
  holdsTable(hostCluster: number): boolean {
    return this.writableRefcounts.metadata.has(hostCluster);
  }

  /** True when the next change should wait for a commit, as memory is bounded. */
  get isFull(): boolean {
    return (
      this.l2Cache.isFull || this.writableRefcounts.isFull || this.releases.length >= RELEASES_MAX
    );
  }

  /** Rejects with what has made stable storage unknown, if that has happened. */
  refuseIfFailed(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /**
   * Makes stable what has been changed and what has been written. When the file cannot be flushed,
   * nobody knows what it holds: this and everything later is refused.
   */
  async commit(): Promise<void> {
    this.refuseIfFailed();
    const refcounts = this.writableRefcounts;
    if (refcounts.isDirty) await this.mark(true);
    const fresh = this.l2Cache.dirty.filter((table) => this.newTables.has(table));
    await allEnded([refcounts.writeBlocks(), ...fresh.map((table) => this.l2Cache.write(table))]);
    await this.flush();
    if (refcounts.tableIsDirty) {
      this.releases.push(...(await refcounts.writeTable(this.headerBytes)));
      await this.flush();
    }
    const known = this.l2Cache.dirty;
    if (known.length > 0 || this.changedL1Sectors.size > 0) {
      await allEnded([this.writeL1(), ...known.map((table) => this.l2Cache.write(table))]);
      await this.flush();
      this.newTables.clear();
    }
    for (const run of this.releases.splice(0)) await this.free(run);
  }

  /** Commits, writes down what became free by that, and says that all is in order. */
  async close(): Promise<void> {
    await this.commit();
    if (this.writableRefcounts.isDirty) await this.commit();
    await this.mark(false);
  }

  /** Changes 8 bytes of the header, and makes that stable. Everything before must be. */
  async writeHeaderField(at: number, value: bigint): Promise<void> {
    new DataView(this.headerBytes.buffer).setBigUint64(at, value);
    await this.file.write(0, [this.headerBytes]);
    await this.flush();
  }

  /** Sets or clears the mark that an entry is the only reference; for repairs. */
  markCopied(table: Table | undefined, index: number, copied: boolean): void {
    const view = table?.view ?? this.l1;
    const high = view.getUint32(index * ENTRY_BYTES);
    const marked = (copied ? high | COPIED : high & ~COPIED) >>> 0;
    if (marked === high) return;
    view.setUint32(index * ENTRY_BYTES, marked);
    if (table !== undefined) this.l2Cache.touch(table, index * ENTRY_BYTES, ENTRY_BYTES);
    else this.changedL1Sectors.add(Math.floor((index * ENTRY_BYTES) / SECTOR));
  }

  /** Sets or clears the dirty bit on disk. */
  private async mark(isDirty: boolean): Promise<void> {
    if (this.header.version < 3 || isDirty === this.isMarked) return;
    const others = this.header.incompatible & ~INCOMPAT_DIRTY;
    await this.writeHeaderField(AT_INCOMPATIBLE, isDirty ? others | INCOMPAT_DIRTY : others);
    this.isMarked = isDirty;
  }

  private get writableRefcounts(): Refcounts {
    if (this.refcounts !== undefined) return this.refcounts;
    throw refusal(this.file.name, 'is open for reading only', 'EPERM');
  }

  private l2Offset(index: number): number {
    const offset = l1Offset(this.l1, index, this.clusterBytes);
    if (offset !== undefined) return offset;
    throw refusal(this.file.name, `is corrupt: entry ${index} of its L1 table is none`, 'EIO');
  }

  private claimTables(refcounts: Refcounts): void {
    const { l1Offset: offset, l1Entries } = this.header;
    refcounts.claim(offset, Math.ceil((l1Entries * ENTRY_BYTES) / this.clusterBytes));
    for (let index = 0; index < l1Entries; index++) {
      const l2 = this.l2Offset(index);
      if (l2 !== 0) refcounts.claim(l2, 1);
    }
  }

  private async writeL1(): Promise<void> {
    const sectors = [...this.changedL1Sectors];
    const write = (sector: number): Promise<void> => {
      const part = this.l1Bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      return this.file.write(this.header.l1Offset + sector * SECTOR, [part]);
    };
    await allEnded(sectors.map(write));
    this.changedL1Sectors.clear();
  }

  private async free(run: ClusterRun): Promise<void> {
    const free = await this.writableRefcounts.release(run);
    for (const cluster of free) this.l2Cache.drop(cluster * this.clusterBytes);
    for (let first = 0; first < free.length; ) {
      let next = first + 1;
      while (free[next] === free[first]! + next - first) next++;
      const bytes = (next - first) * this.clusterBytes;
      await this.file.discard(free[first]! * this.clusterBytes, bytes);
      first = next;
    }
  }

  private async flush(): Promise<void> {
    try {
      await this.file.flush();
    } catch (cause) {
      const text = `Disk ${this.file.name} takes no more data, as it could not be flushed.`;
      this.failure = new VmmError('EIO', text, { cause });
      throw this.failure;
    }
  }
}
