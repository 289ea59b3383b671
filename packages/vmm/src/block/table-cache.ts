// Tables of an image, a cluster each, kept in memory: L2 tables and refcount blocks. The cache is
// bounded. What has changed cannot leave it before it is written, which is for its owner to do, in
// an order that keeps the image consistent; the owner writes before too much has changed.

import type { BlockFile } from './block-file.ts';

/** Changes are written down in units that a disk writes as a whole. */
const WRITE_BYTES = 512;

/** A table in memory. */
export interface Table {
  /** Where it lies in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The bytes that have changed, from and up to; none when both are 0. */
  dirtyFrom: number;
  dirtyTo: number;
}

/** A bounded cache of tables. */
export class TableCache {
  private readonly file: BlockFile;
  private readonly tableBytes: number;
  private readonly tablesMax: number;
  /** The least recently used one first. */
  private readonly tables = new Map<number, Table>();
  private readonly loading = new Map<number, Promise<Table>>();
  private readonly changed = new Set<Table>();

  /** Tables of `tableBytes` from `file`, at most `tablesMax` (> 1) of them unless all changed. */
  constructor(file: BlockFile, tableBytes: number, tablesMax: number) {
    this.file = file;
    this.tableBytes = tableBytes;
    this.tablesMax = tablesMax;
  }

  /** True when so much has changed that it should be written. */
  get isFull(): boolean {
    return this.changed.size >= this.tablesMax / 2;
  }

  /** The tables that have changed. */
  get dirty(): readonly Table[] {
    return [...this.changed];
  }

  /** The table at `offset`, if it is in memory. */
  peek(offset: number): Table | undefined {
    const table = this.tables.get(offset);
    if (table !== undefined) {
      this.tables.delete(offset);
      this.tables.set(offset, table);
    }
    return table;
  }

  /** The table at `offset`, read if need be. */
  async load(offset: number): Promise<Table> {
    const table = this.peek(offset);
    if (table !== undefined) return table;
    const other = this.loading.get(offset);
    if (other !== undefined) return other;
    const reading = this.read(offset);
    this.loading.set(offset, reading);
    try {
      return await reading;
    } finally {
      this.loading.delete(offset);
    }
  }

  /** A new table for `offset`, with the content of `from` or zeroes. */
  create(offset: number, from?: Table): Table {
    const table = this.tableOf(offset, from?.bytes.slice() ?? new Uint8Array(this.tableBytes));
    this.drop(offset);
    this.insert(table);
    this.touch(table, 0, this.tableBytes);
    return table;
  }

  /** Says that `length` bytes of a table have changed from byte `at` on. */
  touch(table: Table, at: number, length: number): void {
    const clean = table.dirtyTo === 0;
    table.dirtyFrom = clean ? at : Math.min(table.dirtyFrom, at);
    table.dirtyTo = Math.max(table.dirtyTo, at + length);
    this.changed.add(table);
  }

  /** Writes what has changed in a table, which must not change until this is done. */
  async write(table: Table): Promise<void> {
    const from = Math.floor(table.dirtyFrom / WRITE_BYTES) * WRITE_BYTES;
    const to = Math.ceil(table.dirtyTo / WRITE_BYTES) * WRITE_BYTES;
    await this.file.write(table.offset + from, [table.bytes.subarray(from, to)]);
    table.dirtyFrom = 0;
    table.dirtyTo = 0;
    this.changed.delete(table);
    this.evict();
  }

  /** Forgets the table at `offset`, changes and all: its cluster is free. */
  drop(offset: number): void {
    const table = this.tables.get(offset);
    if (table === undefined) return;
    this.tables.delete(offset);
    this.changed.delete(table);
  }

  private async read(offset: number): Promise<Table> {
    const table = this.tableOf(offset, new Uint8Array(this.tableBytes));
    await this.file.read(offset, [table.bytes]);
    const created = this.tables.get(offset);
    if (created !== undefined) return created;
    this.insert(table);
    return table;
  }

  private tableOf(offset: number, bytes: Uint8Array): Table {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { offset, bytes, view, dirtyFrom: 0, dirtyTo: 0 };
  }

  private insert(table: Table): void {
    this.tables.set(table.offset, table);
    this.evict();
  }

  private evict(): void {
    if (this.tables.size <= this.tablesMax) return;
    for (const table of this.tables.values()) {
      if (this.changed.has(table)) continue;
      this.tables.delete(table.offset);
      if (this.tables.size <= this.tablesMax) return;
    }
  }
}
