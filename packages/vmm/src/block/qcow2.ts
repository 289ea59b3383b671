// A disk in a qcow2 image ("QCOW2 image format", docs/interop/qcow2 of QEMU; versions 2 and 3),
// over a backing disk if it has one. Requests to different places run side by side. Those that
// would meet are ordered by locks on ranges of clusters: reading, and writing to a cluster that is
// ours alone, share a range; giving clusters a new place, or none, takes it alone. Changes of
// tables take turns.
//
// A cluster is written to its new place before a table refers to it. So what a table refers to is
// always complete, in memory and on disk; qcow2-tables.ts sees to the order in which tables change
// on disk.

import type { BlockFile } from './block-file.ts';
import { type Disk, type DiskFormat, SECTOR_BYTES } from './disk.ts';
import { Mutex, RangeLocks } from './locks.ts';
import { allEnded, byteLength, clearParts, fillParts, sliceParts } from './parts.ts';
import { bitmapClusters } from './qcow2-bitmaps.ts';
import { CompressedClusters, type Decompressors } from './qcow2-compressed.ts';
import { type Mapping, readMapping } from './qcow2-entry.ts';
import {
  AT_AUTOCLEAR,
  clusterBytesOf,
  HEADER_BYTES_MAX,
  INCOMPAT_CORRUPT,
  INCOMPAT_DIRTY,
  isQcow2,
  parseHeader,
  type Qcow2Header,
  refusal,
} from './qcow2-header.ts';
import { repair } from './qcow2-repair.ts';
import { Qcow2Tables } from './qcow2-tables.ts';
import type { Table } from './table-cache.ts';

/** An image's first cluster, read and understood. */
export interface Qcow2Start {
  readonly header: Qcow2Header;
  readonly first: Uint8Array;
}

const UNMAPPED: Mapping = { kind: 'none', host: 0, copied: false, length: 0 };

/** A piece of a request: bytes of the disk that are in one place. */
interface Extent {
  readonly kind: 'data' | 'zero' | 'backing' | 'compressed';
  readonly offset: number;
  length: number;
  /** For data: where in the file the first byte lies. */
  readonly host: number;
  readonly mapping: Mapping;
}

/** Where a piece of a request is written in the file; `at` counts in the request. */
interface Place {
  readonly host: number;
  readonly at: number;
  length: number;
}

/** Clusters that a request writes to, adjacent on the disk and in the file. */
interface Piece {
  /** The number of the first cluster on the disk. */
  readonly first: number;
  count: number;
  /** Where the first cluster lies in the file. */
  readonly host: number;
  /** What the clusters were; empty when they stay where they are. */
  readonly old: Mapping[];
  /** True when the clusters in the file are new. */
  readonly allocated: boolean;
  /** True when the clusters in the file read as zeroes. */
  readonly virgin: boolean;
}

/** Reads the header of an image. VmmError says what is wrong with it. */
export async function readStart(file: BlockFile): Promise<Qcow2Start> {
  const head = new Uint8Array(HEADER_BYTES_MAX);
  await file.read(0, [head]);
  if (!isQcow2(head)) throw refusal(file.name, 'is no qcow2 image');
  const first = new Uint8Array(clusterBytesOf(head, file.name));
  await file.read(0, [first]);
  return { header: parseHeader(first, file.name), first };
}

/** A disk in a qcow2 image. */
export class Qcow2Disk implements Disk {
  readonly format: DiskFormat = 'qcow2';
  readonly sectors: number;
  readonly readOnly: boolean;
  private readonly tables: Qcow2Tables;
  private readonly file: BlockFile;
  private readonly backing: Disk | undefined;
  private readonly backingBytes: number;
  private readonly compressed: CompressedClusters;
  private readonly clusterBytes: number;
  private readonly locks = new RangeLocks();
  private readonly mutex = new Mutex();

  private constructor(
    tables: Qcow2Tables,
    compressed: CompressedClusters,
    backing: Disk | undefined,
  ) {
    this.tables = tables;
    this.file = tables.file;
    this.sectors = Math.ceil(tables.header.sizeBytes / SECTOR_BYTES);
    this.readOnly = tables.refcounts === undefined;
    this.backing = backing;
    this.backingBytes = (backing?.sectors ?? 0) * SECTOR_BYTES;
    this.compressed = compressed;
    this.clusterBytes = tables.clusterBytes;
  }

  /**
   * The disk of an image that starts with `start`, over `backing` if its header names one; both are
   * closed with it. An image that its last writer left in disorder is put in order, unless
   * `file` is read-only. VmmError says why there is no disk.
   */
  static async open(
    file: BlockFile,
    { header, first }: Qcow2Start,
    backing: Disk | undefined,
    decompressors: Decompressors,
  ): Promise<Qcow2Disk> {
    const { readOnly } = file;
    if (!readOnly && (header.incompatible & INCOMPAT_CORRUPT) !== 0n) {
      throw refusal(file.name, 'is marked as corrupt; repair it with qemu-img check', 'EIO');
    }
    const { compression } = header;
    const compressed = new CompressedClusters(file, first.length, compression, decompressors);
    const tables = await Qcow2Tables.open(file, header, first, readOnly);
    if (!readOnly) {
      const isDirty = (header.incompatible & INCOMPAT_DIRTY) !== 0n;
      if (isDirty) await repair(tables);
      // What these features describe, such as bitmaps, is not kept up to date here. A repair has
      // given up the clusters of bitmaps already.
      if (header.autoclear !== 0n) {
        const useless = isDirty ? [] : await bitmapClusters(file, header);
        await tables.writeHeaderField(AT_AUTOCLEAR, 0n);
        for (const run of useless) tables.release(run);
      }
    }
    return new Qcow2Disk(tables, compressed, backing);
  }

  /**
   * Where nobody has the clusters alone, what is there can be seen at once if it is in memory where
   * the clusters are. Nothing else happens meanwhile, so that no lock is needed.
   */
  readNow(offset: number, into: Uint8Array[]): boolean {
    const length = byteLength(into);
    if (length === 0) return true;
    const [first, last] = this.clustersOf(offset, length);
    if (this.locks.isTaken(first, last)) return false;
    const extents = this.extentsNow(offset, length);
    if (extents === undefined) return false;
    for (const extent of extents) {
      const part = sliceParts(into, extent.offset - offset, extent.length);
      if (!this.readExtentNow(extent, part)) return false;
    }
    return true;
  }

  /** Writes at once to clusters that are ours alone. */
  writeNow(offset: number, from: Uint8Array[]): boolean {
    const length = byteLength(from);
    this.refuseWriting();
    if (length === 0) return true;
    const [first, last] = this.clustersOf(offset, length);
    if (this.file.writeNow === undefined || this.locks.isTaken(first, last)) return false;
    const places: Place[] = [];
    for (let cluster = first; cluster <= last; cluster++) {
      const table = this.tables.peekL2(cluster);
      const mapping = this.mappingIn(table, cluster);
      if (!this.addPlace(places, cluster, offset, length, mapping)) return false;
    }
    for (const { host, at, length: bytes } of places) {
      if (!this.file.writeNow(host, sliceParts(from, at, bytes))) return false;
    }
    return true;
  }

  async read(offset: number, into: Uint8Array[]): Promise<void> {
    const length = byteLength(into);
    if (length === 0) return;
    const [first, last] = this.clustersOf(offset, length);
    const asked = this.locks.acquire(first, last, false);
    const hold = asked instanceof Promise ? await asked : asked;
    try {
      // Not through readHeld(): each step of waiting counts where the file is in memory.
      const extents = this.extentsNow(offset, length) ?? (await this.extentsOf(offset, length));
      await this.readExtents(extents, offset, into);
    } finally {
      this.locks.release(hold);
    }
  }

  async write(offset: number, from: Uint8Array[]): Promise<void> {
    const length = byteLength(from);
    this.refuseWriting();
    if (length === 0) return;
    const [first, last] = this.clustersOf(offset, length);
    const shared = await this.locks.acquire(first, last, false);
    try {
      if (await this.overwrite(offset, length, from)) return;
    } finally {
      this.locks.release(shared);
    }
    const alone = await this.locks.acquire(first, last, true);
    try {
      await this.writeAlone(offset, length, from);
    } finally {
      this.locks.release(alone);
    }
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.mutex.run(() => this.tables.commit());
  }

  async discard(offset: number, length: number): Promise<void> {
    this.refuseWriting();
    const [from, to] = this.wholeClusters(offset, length);
    await this.unmap(from, to, true, false);
  }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    this.refuseWriting();
    const [from, to] = this.wholeClusters(offset, length);
    const end = offset + length;
    if (from >= to) {
      await this.writeZeroBytes(offset, end);
      return;
    }
    await this.writeZeroBytes(offset, from * this.clusterBytes);
    await this.writeZeroBytes(to * this.clusterBytes, end);
    const left = await this.unmap(from, to, mayUnmap, true);
    for (const cluster of left) {
      const start = cluster * this.clusterBytes;
      await this.writeZeroBytes(start, Math.min(start + this.clusterBytes, end));
    }
  }

  async close(): Promise<void> {
    const hold = await this.locks.acquire(0, Infinity, true);
    try {
      if (!this.readOnly) await this.mutex.run(() => this.tables.close());
    } finally {
      this.locks.release(hold);
      await allEnded([this.file.close(), this.backing?.close() ?? Promise.resolve()]);
    }
  }

  private refuseWriting(): void {
    if (this.readOnly) throw refusal(this.file.name, 'is open for reading only', 'EPERM');
    this.tables.refuseIfFailed();
  }

  private clustersOf(offset: number, length: number): [first: number, last: number] {
    const last = offset + length - 1;
    return [Math.floor(offset / this.clusterBytes), Math.floor(last / this.clusterBytes)];
  }

  /** The clusters that lie in a range wholly, from and up to; the last of the disk may be cut. */
  private wholeClusters(offset: number, length: number): [from: number, to: number] {
    const end = offset + length;
    const atEnd = end >= this.tables.header.sizeBytes;
    const to = end / this.clusterBytes;
    return [Math.ceil(offset / this.clusterBytes), atEnd ? Math.ceil(to) : Math.floor(to)];
  }

  private async mappingOf(cluster: number): Promise<Mapping> {
    return this.mappingIn(
      this.tables.peekL2(cluster) ?? (await this.tables.loadL2(cluster)),
      cluster,
    );
  }

  private mappingIn(table: Table | undefined, cluster: number): Mapping {
    if (table === undefined) return UNMAPPED;
    const { clusterBits, version } = this.tables.header;
    const mapping = readMapping(table.view, cluster % this.tables.l2Entries, clusterBits, version);
    if (mapping.kind !== 'invalid') return mapping;
    throw refusal(this.file.name, `is corrupt: it has no place for cluster ${cluster}`, 'EIO');
  }

  /** Where the bytes of a range are, if that can be said at once, without reading tables. */
  private extentsNow(offset: number, length: number): Extent[] | undefined {
    const extents: Extent[] = [];
    const end = offset + length;
    let cluster = Math.floor(offset / this.clusterBytes);
    for (let at = offset; at < end; cluster++) {
      const table = this.tables.peekL2(cluster);
      if (table === undefined) return undefined;
      at = this.addExtent(extents, at, end, cluster, this.mappingIn(table, cluster));
    }
    return extents;
  }

  /** Where the bytes of a range are, whoever holds it. */
  private async extentsOf(offset: number, length: number): Promise<Extent[]> {
    const extents: Extent[] = [];
    const end = offset + length;
    let cluster = Math.floor(offset / this.clusterBytes);
    for (let at = offset; at < end; cluster++) {
      at = this.addExtent(extents, at, end, cluster, await this.mappingOf(cluster));
    }
    return extents;
  }

  /** Adds what lies in a cluster from `at` on, up to `end` at most; where that ends. */
  private addExtent(
    extents: Extent[],
    at: number,
    end: number,
    cluster: number,
    mapping: Mapping,
  ): number {
    const start = cluster * this.clusterBytes;
    const next = Math.min(start + this.clusterBytes, end);
    const kind = mapping.kind === 'none' ? this.unmappedKind(at) : (mapping.kind as Extent['kind']);
    const host = mapping.host + at - start;
    const last = extents.at(-1);
    if (last?.kind === kind && this.continues(last, host)) last.length += next - at;
    else extents.push({ kind, offset: at, length: next - at, host, mapping });
    return next;
  }

  private continues(last: Extent, host: number): boolean {
    if (last.kind === 'data') return last.host + last.length === host;
    return last.kind !== 'compressed';
  }

  private unmappedKind(offset: number): 'zero' | 'backing' {
    return offset < this.backingBytes ? 'backing' : 'zero';
  }

  /** Reads a range, whoever holds it. */
  private async readHeld(offset: number, length: number, into: Uint8Array[]): Promise<void> {
    await this.readExtents(await this.extentsOf(offset, length), offset, into);
  }

  private readExtents(extents: Extent[], offset: number, into: Uint8Array[]): Promise<void> {
    if (extents.length === 1) return this.readExtent(extents[0]!, into);
    const reads = extents.map((extent) =>
      this.readExtent(extent, sliceParts(into, extent.offset - offset, extent.length)),
    );
    return allEnded(reads);
  }

  private readExtentNow(extent: Extent, into: Uint8Array[]): boolean {
    switch (extent.kind) {
      case 'data':
        return this.file.readNow?.(extent.host, into) ?? false;
      case 'zero':
        clearParts(into);
        return true;
      case 'backing': {
        const there = Math.min(extent.length, this.backingBytes - extent.offset);
        if (!this.backing!.readNow?.(extent.offset, sliceParts(into, 0, there))) return false;
        clearParts(sliceParts(into, there, extent.length - there));
        return true;
      }
      case 'compressed':
        return false;
    }
  }

  private readExtent(extent: Extent, into: Uint8Array[]): Promise<void> {
    switch (extent.kind) {
      case 'data':
        return this.file.read(extent.host, into);
      case 'zero':
        clearParts(into);
        return Promise.resolve();
      case 'backing':
        return this.readBacking(extent.offset, extent.length, into);
      case 'compressed':
        return this.readCompressed(extent, into);
    }
  }

  private async readCompressed(extent: Extent, into: Uint8Array[]): Promise<void> {
    const cluster = await this.compressed.read(extent.mapping);
    const start = extent.offset % this.clusterBytes;
    fillParts(into, cluster.subarray(start, start + extent.length));
  }

  private async readBacking(offset: number, length: number, into: Uint8Array[]): Promise<void> {
    const there = Math.min(length, this.backingBytes - offset);
    if (there < length) clearParts(sliceParts(into, there, length - there));
    await this.backing!.read(offset, sliceParts(into, 0, there));
  }

  /** Writes to clusters that are ours alone; false when some are not, and nothing is written. */
  private async overwrite(offset: number, length: number, from: Uint8Array[]): Promise<boolean> {
    const [first, last] = this.clustersOf(offset, length);
    const places: Place[] = [];
    for (let cluster = first; cluster <= last; cluster++) {
      const mapping = await this.mappingOf(cluster);
      if (!this.addPlace(places, cluster, offset, length, mapping)) return false;
    }
    await allEnded(
      places.map((place) => this.file.write(place.host, sliceParts(from, place.at, place.length))),
    );
    return true;
  }

  /**
   * Adds where the part of a request that falls on a cluster is to be written; false when the
   * cluster is not ours alone.
   */
  private addPlace(
    places: Place[],
    cluster: number,
    offset: number,
    length: number,
    mapping: Mapping,
  ): boolean {
    if (mapping.kind !== 'data' || !mapping.copied) return false;
    this.refuseTable(mapping.host);
    const start = Math.max(offset, cluster * this.clusterBytes);
    const end = Math.min(offset + length, (cluster + 1) * this.clusterBytes);
    const host = mapping.host + (start % this.clusterBytes);
    const before = places.at(-1);
    if (before !== undefined && before.host + before.length === host) before.length += end - start;
    else places.push({ host, at: start - offset, length: end - start });
    return true;
  }

  /** A corrupt image may show its own tables to the guest, but not let it change them. */
  private refuseTable(host: number): void {
    if (!this.tables.holdsTable(host / this.clusterBytes)) return;
    const place = `0x${host.toString(16)}`;
    throw refusal(this.file.name, `is corrupt: the table at ${place} is also data`, 'EIO');
  }

  /**
   * Writes to clusters that nobody else uses meanwhile, giving new places to those that need it.
   */
  private async writeAlone(offset: number, length: number, from: Uint8Array[]): Promise<void> {
    const [first, last] = this.clustersOf(offset, length);
    const pieces: Piece[] = [];
    try {
      await this.mutex.run(() => this.place(first, last, pieces));
      await allEnded(pieces.map((piece) => this.writePiece(piece, offset, length, from)));
    } catch (error) {
      await this.mutex.run(() => this.giveBack(pieces));
      throw error;
    }
    await this.mutex.run(() => this.link(pieces));
  }

  private async giveBack(pieces: readonly Piece[]): Promise<void> {
    for (const { host, count, allocated } of pieces) {
      if (allocated) await this.tables.unallocate({ first: host / this.clusterBytes, count });
    }
  }

  /** Finds a place in the file for each of the clusters, and puts it into `pieces`. */
  private async place(first: number, last: number, pieces: Piece[]): Promise<void> {
    if (this.tables.isFull) await this.tables.commit();
    let cluster = first;
    while (cluster <= last) {
      const mapping = await this.mappingOf(cluster);
      if (mapping.copied && mapping.host !== 0) {
        this.refuseTable(mapping.host);
        const old = mapping.kind === 'data' ? [] : [mapping];
        const { host } = mapping;
        pieces.push({ first: cluster, count: 1, host, old, allocated: false, virgin: false });
        cluster++;
        continue;
      }
      const old = [mapping];
      while (cluster + old.length <= last) {
        const next = await this.mappingOf(cluster + old.length);
        if (next.copied && next.host !== 0) break;
        old.push(next);
      }
      const end = cluster + old.length;
      while (cluster < end) {
        const run = await this.tables.allocate(end - cluster);
        const host = run.first * this.clusterBytes;
        const taken = old.splice(0, run.count);
        const { count, virgin } = run;
        pieces.push({ first: cluster, count, host, old: taken, allocated: true, virgin });
        cluster += count;
      }
    }
  }

  /** Writes the part of a request that falls on a piece, and around it what was there before. */
  private async writePiece(
    piece: Piece,
    offset: number,
    length: number,
    from: Uint8Array[],
  ): Promise<void> {
    const begin = piece.first * this.clusterBytes;
    const end = begin + piece.count * this.clusterBytes;
    const start = Math.max(begin, offset);
    const stop = Math.min(end, offset + length);
    const parts = sliceParts(from, start - offset, stop - start);
    if (piece.old.length === 0) return this.file.write(piece.host + start - begin, parts);
    const head = await this.oldBytes(piece, begin, start);
    const tail = await this.oldBytes(piece, stop, end);
    const host = head === undefined ? piece.host + start - begin : piece.host;
    const whole = head === undefined ? parts : [head, ...parts];
    return this.file.write(host, tail === undefined ? whole : [...whole, tail]);
  }

  /**
   * What a piece's clusters hold from one offset up to another; undefined if it need not be
   * written.
   */
  private async oldBytes(piece: Piece, from: number, to: number): Promise<Uint8Array | undefined> {
    if (from === to) return undefined;
    const extents = await this.extentsOf(from, to - from);
    if (piece.virgin && extents.every(({ kind }) => kind === 'zero')) return undefined;
    const bytes = new Uint8Array(to - from);
    await this.readHeld(from, to - from, [bytes]);
    return bytes;
  }

  /** Lets the tables refer to the clusters where they have been written. */
  private async link(pieces: readonly Piece[]): Promise<void> {
    for (const { first, host, old, allocated } of pieces) {
      for (const [index, mapping] of old.entries()) {
        const cluster = first + index;
        const table = await this.tables.changeableL2(cluster);
        this.tables.setEntry(table, cluster, host + index * this.clusterBytes, false);
        if (allocated) this.releasePlace(mapping);
      }
    }
  }

  /** Gives up the place that a cluster had. */
  private releasePlace({ kind, host, length }: Mapping): void {
    if (host === 0) return;
    const first = Math.floor(host / this.clusterBytes);
    if (kind === 'compressed') {
      const last = Math.floor((host + length - 1) / this.clusterBytes);
      this.compressed.forget(host);
      this.tables.release({ first, count: last - first + 1 });
    } else {
      this.tables.release({ first, count: 1 });
    }
  }

  private async writeZeroBytes(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += this.clusterBytes) {
      const length = Math.min(this.clusterBytes, to - at);
      const [first, last] = this.clustersOf(at, length);
      const hold = await this.locks.acquire(first, last, false);
      let isZero: boolean;
      try {
        isZero = (await this.extentsOf(at, length)).every(({ kind }) => kind === 'zero');
      } finally {
        this.locks.release(hold);
      }
      if (!isZero) await this.write(at, [new Uint8Array(length)]);
    }
  }

  /**
   * Takes the places of clusters away, or, for `zero`, makes them read zeroes, keeping their places
   * unless `giveUp`. Returns those for which only writing zeroes does it.
   */
  private async unmap(from: number, to: number, giveUp: boolean, zero: boolean): Promise<number[]> {
    const left: number[] = [];
    const { l2Entries } = this.tables;
    for (let first = from; first < to; ) {
      const end = Math.min(to, (Math.floor(first / l2Entries) + 1) * l2Entries);
      const hold = await this.locks.acquire(first, end - 1, true);
      try {
        const start = first;
        await this.mutex.run(() => this.unmapIn(start, end, giveUp, zero, left));
      } finally {
        this.locks.release(hold);
      }
      first = end;
    }
    return left;
  }

  /** Does {@link unmap} for clusters of one L2 table. */
  private async unmapIn(
    from: number,
    to: number,
    giveUp: boolean,
    zero: boolean,
    left: number[],
  ): Promise<void> {
    if (this.tables.isFull) await this.tables.commit();
    const zeroes = this.tables.header.version >= 3;
    const known = await this.tables.loadL2(from);
    if (known === undefined && (!zero || from * this.clusterBytes >= this.backingBytes)) return;
    for (let cluster = from; cluster < to; cluster++) {
      const mapping = await this.mappingOf(cluster);
      const hidden = this.unmappedKind(cluster * this.clusterBytes) === 'backing';
      if (mapping.kind === 'none' && !(zero && hidden)) continue;
      if (mapping.kind === 'zero' && (mapping.host === 0 || !giveUp)) continue;
      const keeps = !giveUp && mapping.copied && mapping.kind === 'data';
      if (!zeroes && (hidden || keeps)) {
        if (zero) left.push(cluster);
        continue;
      }
      const table = await this.tables.changeableL2(cluster);
      if (keeps) {
        this.tables.setEntry(table, cluster, mapping.host, true);
      } else {
        this.tables.setEntry(table, cluster, 0, hidden);
        this.releasePlace(mapping);
      }
    }
  }
}
