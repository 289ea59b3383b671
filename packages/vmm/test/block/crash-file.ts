// A disk that forgets: it keeps what was written before the last flush, and of what came later any
// part, sector by sector, in no order. Writes take a while, and the bytes that they write are those
// that the buffers have at any time meanwhile.

import type { BlockFile } from '../../src/block/block-file.ts';
import type { Random } from '../silicon/random.ts';
import { MemoryFile } from './memory-file.ts';

const SECTOR = 512;

interface Pending {
  readonly offset: number;
  bytes: Uint8Array;
  isDone: boolean;
}

export class CrashFile implements BlockFile {
  readonly name: string = 'crash.qcow2';
  readonly readOnly: boolean = false;
  /** Called whenever something has been written or flushed: the moments to crash at. */
  onEvent: () => void = () => {};
  private readonly random: Random;
  /** What a reader sees. */
  private readonly now: MemoryFile;
  /** What is safe. */
  private readonly stable: MemoryFile;
  private pending: Pending[] = [];

  constructor(image: Uint8Array, random: Random) {
    this.random = random;
    this.now = new MemoryFile(image);
    this.stable = new MemoryFile(image);
  }

  size(): Promise<number> {
    return this.now.size();
  }

  read(offset: number, into: Uint8Array[]): Promise<void> {
    return this.now.read(offset, into);
  }

  async write(offset: number, from: Uint8Array[]): Promise<void> {
    const early = this.random.percent(50);
    const pending = { offset, bytes: gather(from), isDone: false };
    this.pending.push(pending);
    await this.delay();
    if (!early) pending.bytes = gather(from);
    await this.now.write(offset, [pending.bytes]);
    pending.isDone = true;
    this.onEvent();
  }

  readNow(offset: number, into: Uint8Array[]): boolean {
    return this.now.readNow(offset, into);
  }

  writeNow(offset: number, from: Uint8Array[]): boolean {
    this.pending.push({ offset, bytes: gather(from), isDone: true });
    this.now.writeNow(offset, from);
    return true;
  }

  async flush(): Promise<void> {
    const covered = new Set(this.pending.filter(({ isDone }) => isDone));
    await this.delay();
    for (const { offset, bytes } of covered) await this.stable.write(offset, [bytes]);
    this.pending = this.pending.filter((write) => !covered.has(write));
    this.onEvent();
  }

  setSize(): Promise<void> {
    throw new Error('qcow2 images only grow by being written');
  }

  async discard(): Promise<void> {}
  async close(): Promise<void> {}

  /** What may be left after a crash now. */
  async afterCrash(): Promise<Uint8Array> {
    const left = new MemoryFile(this.stable.bytes);
    const chances = [0, 10, 50, 90, 100][this.random.below(5)]!;
    const bySector = this.random.percent(50);
    for (const { offset, bytes } of this.pending) {
      const step = bySector ? SECTOR : bytes.length;
      for (let at = 0; at < bytes.length; at += step) {
        if (!this.random.percent(chances)) continue;
        await left.write(offset + at, [bytes.subarray(at, at + step)]);
      }
    }
    return left.bytes;
  }

  private async delay(): Promise<void> {
    for (let turns = this.random.below(6); turns > 0; turns--) await Promise.resolve();
  }
}

function gather(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
