// The refcounts of a qcow2 image ("Host cluster management"): which clusters of the file are free,
// in two levels of tables, and the allocation of free ones. Everything happens in memory; what must
// be written in which order is known to qcow2-tables.ts, the only one who asks for it.
//
// A new refcount block lies in the first cluster of those that it counts: they are all free, as
// there was no block. When the table is full, it moves to clusters that it did not cover before.

import { assert } from '../base/assert.ts';
import { VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import { allEnded } from './parts.ts';
import { AT_REFCOUNT_TABLE, type Qcow2Header } from './qcow2-header.ts';
import { type RefcountWidth, refcountWidth } from './refcount-width.ts';
import { type Table, TableCache } from './table-cache.ts';

/** What the cached refcount blocks may take: those of 256 GiB, with clusters of 64 KiB. */
const CACHE_BYTES = 8 << 20;
const ENTRY_BYTES = 8;
const SECTOR = 512;
/** Spare room in a table that has moved, so that it need not soon move again. */
const GROWTH = 1.5;

/** A run of clusters, by number: a cluster's number is its offset divided by its size. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** Clusters that have been allocated. */
export interface NewRun extends ClusterRun {
  /** True when they lie where the file has never had anything, and read as zeroes. */
  readonly virgin: boolean;
}

/** The refcounts of an image. */
export class Refcounts {
  readonly width: RefcountWidth;
  /** How many clusters a block counts. */
  readonly clustersPerBlock: number;
  /** The clusters that hold tables, which data must never be written to. */
  readonly metadata: Set<number> = new Set();
  private readonly file: BlockFile;
  private readonly clusterBytes: number;
  private readonly cache: TableCache;
  /** Offsets of the blocks, 0 for none. */
  private blocks: Float64Array;
  private tableOffset: number;
  /** Sectors of the table that have changed. */
  private readonly changedSectors = new Set<number>();
  /** True from the table's move until the header says so. */
  private moved = false;
  /** Where tables were that have moved. */
  private readonly retired: ClusterRun[] = [];
  /** No cluster before this one is free. */
  private hint = 0;
  /** From this cluster on, the file has never had anything. */
  private end: number;

  private constructor(file: BlockFile, fileBytes: number, header: Qcow2Header, table: DataView) {
    this.file = file;
    this.clusterBytes = 2 ** header.clusterBits;
    this.end = Math.ceil(fileBytes / this.clusterBytes);
    this.width = refcountWidth(header.refcountOrder);
    this.clustersPerBlock = (this.clusterBytes * 8) / this.width.bits;
    this.cache = new TableCache(file, this.clusterBytes, CACHE_BYTES / this.clusterBytes);
    this.tableOffset = header.refcountTableOffset;
    this.blocks = new Float64Array(table.byteLength / ENTRY_BYTES);
    for (let index = 0; index < this.blocks.length; index++) {
      const high = table.getUint32(index * ENTRY_BYTES);
      this.blocks[index] = high * 2 ** 32 + table.getUint32(index * ENTRY_BYTES + 4);
    }
  }

  /** Reads the table of an image. EIO if it cannot be one. */
  static async open(file: BlockFile, header: Qcow2Header): Promise<Refcounts> {
    const bytes = new Uint8Array(header.refcountTableClusters * 2 ** header.clusterBits);
    await file.read(header.refcountTableOffset, [bytes]);
    const table = new DataView(bytes.buffer);
    const refcounts = new Refcounts(file, await file.size(), header, table);
    refcounts.claim(0, 1);
    refcounts.claim(header.refcountTableOffset, header.refcountTableClusters);
    for (const offset of refcounts.blocks) if (offset !== 0) refcounts.claim(offset, 1);
    return refcounts;
  }

  /** How many clusters the table has room for. */
  get clustersMax(): number {
    return this.blocks.length * this.clustersPerBlock;
  }

  /** Where the refcount blocks lie. */
  get blockOffsets(): number[] {
    return [...this.blocks].filter((offset) => offset !== 0);
  }

  /** True when so much has changed that it should be written. */
  get isFull(): boolean {
    return this.cache.isFull;
  }

  /** True when blocks or the table have changed. */
  get isDirty(): boolean {
    return this.tableIsDirty || this.cache.dirty.length > 0;
  }

  /** True when {@link writeTable} has anything to do. */
  get tableIsDirty(): boolean {
    return this.moved || this.changedSectors.size > 0;
  }

  /** Marks `count` clusters from `offset` on as holding tables. EIO if they cannot. */
  claim(offset: number, count: number): void {
    if (offset % this.clusterBytes !== 0 || offset + count * this.clusterBytes > 2 ** 53) {
      throw this.corrupt(`a table of it lies at 0x${offset.toString(16)}`);
    }
    const first = offset / this.clusterBytes;
    for (let cluster = first; cluster < first + count; cluster++) {
      if (this.metadata.has(cluster)) throw this.corrupt(`two tables share cluster ${cluster}`);
      this.metadata.add(cluster);
    }
  }

  /** The refcount of a cluster. */
  async get(cluster: number): Promise<number> {
    const offset = this.blocks[Math.floor(cluster / this.clustersPerBlock)] ?? 0;
    if (offset === 0) return 0;
    const block = this.cache.peek(offset) ?? (await this.cache.load(offset));
    return this.width.get(block.view, cluster % this.clustersPerBlock);
  }

  /** Sets the refcount of a cluster, in whose range there must be a block. */
  async set(cluster: number, count: number): Promise<void> {
    const offset = this.blocks[Math.floor(cluster / this.clustersPerBlock)] ?? 0;
    assert(offset !== 0, 'the refcount of a cluster without a block');
    const block = this.cache.peek(offset) ?? (await this.cache.load(offset));
    this.setIn(block, cluster % this.clustersPerBlock, count);
    if (count === 0) this.hint = Math.min(this.hint, cluster);
  }

  /**
   * Takes one reference from each cluster of a run. Returns those that are free now. A refcount of
   * 0 stays, as it is an error of the image that is not ours to make worse.
   */
  async release({ first, count }: ClusterRun): Promise<number[]> {
    const free: number[] = [];
    for (let cluster = first; cluster < first + count; cluster++) {
      const references = await this.get(cluster);
      if (references > 0) await this.set(cluster, references - 1);
      if (references === 1) free.push(cluster);
    }
    return free;
  }

  /** Takes a run of 1 to `max` free clusters, which get the refcount 1. EIO on a corrupt image. */
  async allocate(max: number): Promise<NewRun> {
    for (;;) {
      const index = Math.floor(this.hint / this.clustersPerBlock);
      if (index >= this.blocks.length) this.growTable(this.hint);
      if (this.blocks[index] === 0) this.addBlock(index, index * this.clustersPerBlock);
      const block = await this.cache.load(this.blocks[index]!);
      const from = this.firstFree(block, this.hint % this.clustersPerBlock);
      const first = index * this.clustersPerBlock + from;
      let count = 0;
      while (count < max && this.isFree(block, from + count)) {
        this.refuseMetadata(first + count);
        this.setIn(block, from + count, 1);
        count++;
      }
      this.hint = first + count;
      if (count === 0) continue;
      const virgin = first >= this.end;
      this.end = Math.max(this.end, first + count);
      return { first, count, virgin };
    }
  }

  /** Makes a block for the `index`th range of clusters, in a free cluster. */
  addBlock(index: number, cluster: number): void {
    assert(this.blocks[index] === 0, 'a second refcount block');
    this.refuseMetadata(cluster);
    const offset = cluster * this.clusterBytes;
    this.blocks[index] = offset;
    this.changedSectors.add(Math.floor((index * ENTRY_BYTES) / SECTOR));
    this.metadata.add(cluster);
    this.end = Math.max(this.end, cluster + 1);
    const block = this.cache.create(offset);
    const inBlock = cluster - index * this.clustersPerBlock;
    if (inBlock >= 0 && inBlock < this.clustersPerBlock) this.setIn(block, inBlock, 1);
  }

  /** True when there is a block for this cluster. */
  covers(cluster: number): boolean {
    return (this.blocks[Math.floor(cluster / this.clustersPerBlock)] ?? 0) !== 0;
  }

  /**
   * Moves the table to free clusters from `start` on, which it does not cover, with room for more
   * than what it has. Blocks for these clusters lie behind it. The old table's clusters stay
   * allocated; {@link writeTable} returns them when they are not needed any more. Returns the
   * cluster after all that.
   */
  growTable(start: number): number {
    assert(start >= this.clustersMax, 'a refcount table that grows into what it covers');
    const firstIndex = Math.floor(start / this.clustersPerBlock);
    const perCluster = this.clusterBytes / ENTRY_BYTES;
    const wanted = Math.max(firstIndex + 2, Math.ceil(this.blocks.length * GROWTH));
    let clusters = Math.ceil(wanted / perCluster);
    let blocks = 0;
    for (;;) {
      const last = start + clusters + blocks - 1;
      const needed = Math.floor(last / this.clustersPerBlock) - firstIndex + 1;
      if (needed > blocks) blocks = needed;
      else if (firstIndex + blocks > clusters * perCluster) clusters++;
      else break;
    }
    this.retired.push({
      first: this.tableOffset / this.clusterBytes,
      count: (this.blocks.length * ENTRY_BYTES) / this.clusterBytes,
    });
    const grown = new Float64Array(clusters * perCluster);
    grown.set(this.blocks);
    this.blocks = grown;
    this.tableOffset = start * this.clusterBytes;
    this.moved = true;
    this.end = Math.max(this.end, start + clusters);
    for (let index = 0; index < blocks; index++) {
      this.addBlock(firstIndex + index, start + clusters + index);
    }
    for (let cluster = start; cluster < start + clusters + blocks; cluster++) {
      if (cluster < start + clusters) this.metadata.add(cluster);
      const block = this.cache.peek(this.blocks[Math.floor(cluster / this.clustersPerBlock)]!)!;
      this.setIn(block, cluster % this.clustersPerBlock, 1);
    }
    return start + clusters + blocks;
  }

  /** Gives each cluster that the `index`th block counts, if there is one, a new refcount. */
  async replace(index: number, countOf: (cluster: number) => number): Promise<void> {
    const offset = this.blocks[index]!;
    if (offset === 0) return;
    const block = await this.cache.load(offset);
    const first = index * this.clustersPerBlock;
    for (let at = 0; at < this.clustersPerBlock; at++) {
      const count = countOf(first + at);
      if (count > this.width.max) {
        throw this.corrupt(`cluster ${first + at} has more references than can be counted`);
      }
      if (this.width.get(block.view, at) !== count) this.setIn(block, at, count);
    }
  }

  /**
   * Writes the blocks that have changed, and the table if it has moved: nothing refers to it yet.
   */
  async writeBlocks(): Promise<void> {
    const writes = this.cache.dirty.map((block) => this.cache.write(block));
    if (this.moved) writes.push(this.file.write(this.tableOffset, [this.tableBytes()]));
    await allEnded(writes);
  }

  /**
   * Makes the table refer to the blocks it has, where it lies or, when it has moved, by the header,
   * whose first bytes are `header`. Returns the clusters that the table had before.
   */
  async writeTable(header: Uint8Array): Promise<ClusterRun[]> {
    const bytes = this.tableBytes();
    if (this.moved) {
      const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
      view.setBigUint64(AT_REFCOUNT_TABLE, BigInt(this.tableOffset));
      view.setUint32(AT_REFCOUNT_TABLE + 8, bytes.length / this.clusterBytes);
      await this.file.write(0, [header]);
      this.moved = false;
    } else {
      const writes = [...this.changedSectors].map((sector) => {
        const part = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
        return this.file.write(this.tableOffset + sector * SECTOR, [part]);
      });
      await allEnded(writes);
    }
    this.changedSectors.clear();
    const retired = this.retired.splice(0);
    for (const { first, count } of retired) {
      for (let cluster = first; cluster < first + count; cluster++) this.metadata.delete(cluster);
    }
    return retired;
  }

  private tableBytes(): Uint8Array {
    const view = new DataView(new ArrayBuffer(this.blocks.length * ENTRY_BYTES));
    for (const [index, offset] of this.blocks.entries()) {
      view.setUint32(index * ENTRY_BYTES, Math.floor(offset / 2 ** 32));
      view.setUint32(index * ENTRY_BYTES + 4, offset % 2 ** 32);
    }
    return new Uint8Array(view.buffer);
  }

  private setIn(block: Table, index: number, count: number): void {
    this.width.set(block.view, index, count);
    this.cache.touch(
      block,
      Math.floor((index * this.width.bits) / 8),
      Math.ceil(this.width.bits / 8),
    );
  }

  private isFree(block: Table, index: number): boolean {
    return index < this.clustersPerBlock && this.width.get(block.view, index) === 0;
  }

  /** The first free cluster in a block from `index` on; one past the last if there is none. */
  private firstFree(block: Table, index: number): number {
    let at = index;
    while (at < this.clustersPerBlock && this.width.get(block.view, at) !== 0) at++;
    return at;
  }

  /** A table that counts as free: writing on would destroy it. */
  private refuseMetadata(cluster: number): void {
    if (this.metadata.has(cluster)) {
      throw this.corrupt(`cluster ${cluster} holds a table and counts as free`);
    }
  }

  private corrupt(what: string): VmmError {
    const text = `Disk ${this.file.name} is corrupt: ${what}. Repair it with qemu-img check.`;
    return new VmmError('EIO', text);
  }
}
