// A store of bytes in memory, for tests.

import { VmmError } from '../../src/base/errors.ts';
import type { BlockFile } from '../../src/block/block-file.ts';
import { byteLength } from '../../src/block/parts.ts';

export class MemoryFile implements BlockFile {
  readonly name: string = 'test.qcow2';
  readonly readOnly: boolean;
  isClosed = false;
  /** Says each time whether something is done at once when that is asked for. */
  isQuick: () => boolean = () => true;
  private store: Uint8Array;
  private length: number;

  constructor(bytes: Uint8Array = new Uint8Array(0), readOnly = false) {
    this.store = new Uint8Array(bytes);
    this.length = bytes.length;
    this.readOnly = readOnly;
  }

  /** What is in the file; a view. */
  get bytes(): Uint8Array {
    return this.store.subarray(0, this.length);
  }

  async size(): Promise<number> {
    return this.length;
  }

  readNow(offset: number, into: Uint8Array[]): boolean {
    const isQuick = this.isQuick();
    if (isQuick) this.copyFrom(offset, into);
    else for (const part of into) part.fill(0xdd);
    return isQuick;
  }

  writeNow(offset: number, from: Uint8Array[]): boolean {
    if (!this.isQuick()) return false;
    this.copyTo(offset, from);
    return true;
  }

  async read(offset: number, into: Uint8Array[]): Promise<void> {
    this.copyFrom(offset, into);
  }

  async write(offset: number, from: Uint8Array[]): Promise<void> {
    this.copyTo(offset, from);
  }

  private copyFrom(offset: number, into: Uint8Array[]): void {
    let at = offset;
    for (const part of into) {
      const there = this.bytes.subarray(at, at + part.length);
      part.set(there);
      part.fill(0, there.length);
      at += part.length;
    }
  }

  private copyTo(offset: number, from: Uint8Array[]): void {
    const end = offset + byteLength(from);
    // A hostile image may lead anywhere, and a file system has a limit too.
    if (end > 1 << 28) throw new VmmError('EFBIG', `a write up to ${end}`);
    if (end > this.length) this.grow(end);
    let at = offset;
    for (const part of from) {
      this.store.set(part, at);
      at += part.length;
    }
  }

  async flush(): Promise<void> {}

  async setSize(bytes: number): Promise<void> {
    if (bytes > this.length) this.grow(bytes);
    this.store.fill(0, bytes, this.length);
    this.length = bytes;
  }

  private grow(bytes: number): void {
    if (bytes > this.store.length) {
      const old = this.store;
      this.store = new Uint8Array(Math.max(bytes, old.length * 2));
      this.store.set(old);
    }
    this.length = bytes;
  }

  async discard(): Promise<void> {}

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
