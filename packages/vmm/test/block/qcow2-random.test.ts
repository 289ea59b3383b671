// Random operations on images of many kinds that qemu-img has made, against a plain array, and the
// images against qemu-img in the end: its check must find neither errors nor leaks, and its reading
// must give the array.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Qcow2Disk } from '../../src/block/qcow2.ts';
import { Random } from '../silicon/random.ts';
import { MemoryFile } from './memory-file.ts';
import { contentOf, cut, openImage } from './open-image.ts';
import { memoryFolder, NO_QEMU_IMG, qemuImg, qemuIo, qemuLooksAt, same } from './qemu-img.ts';
import { seedOf } from './seed.ts';

const SIZE = 3 << 20;
const BACKING_SIZE = (1 << 20) + 512 * 77;
const ROUNDS = 120;

let folder: string;
beforeAll(() => {
  folder = memoryFolder();
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Kind {
  readonly options: string;
  readonly backing?: boolean;
  readonly compressed?: boolean;
  readonly snapshots?: boolean;
}

const KINDS: readonly Kind[] = [
  { options: 'compat=1.1' },
  { options: 'compat=0.10,cluster_size=4096' },
  { options: 'compat=1.1,cluster_size=512', backing: true },
  { options: 'compat=0.10,cluster_size=1024', backing: true, compressed: true },
  { options: 'compat=1.1,cluster_size=512,refcount_bits=64' },
  { options: 'compat=1.1,cluster_size=2048,refcount_bits=1', backing: true },
  { options: 'compat=1.1,cluster_size=4096,refcount_bits=4', backing: true, snapshots: true },
  { options: 'compat=1.1,cluster_size=1024,refcount_bits=8', compressed: true, snapshots: true },
  { options: 'compat=1.1,cluster_size=512,refcount_bits=2,lazy_refcounts=on' },
  { options: 'compat=1.1,cluster_size=65536,refcount_bits=32', backing: true, snapshots: true },
  { options: 'compat=1.1,cluster_size=2M', backing: true },
  { options: 'compat=1.1,cluster_size=8192,preallocation=metadata' },
  { options: 'compat=1.1,cluster_size=8192,preallocation=falloc' },
];

/** Makes an image of the kind, and what is on its disk. */
function makeImage(kind: Kind, random: Random): { image: Uint8Array; model: Uint8Array } {
  const path = join(folder, 'start.qcow2');
  const model = new Uint8Array(SIZE);
  const backing = ['-F', 'raw', '-b', 'base.raw'];
  if (kind.backing) model.set(readFileSync(join(folder, 'base.raw')));
  if (kind.compressed) {
    // Text compresses, and has clusters of all lengths.
    for (let at = 0; at < SIZE / 2; at++) model[at] = 97 + random.below(1 + (at >> 16));
    const raw = join(folder, 'start.raw');
    writeFileSync(raw, model);
    const below = kind.backing ? ['-B', 'base.raw', '-F', 'raw'] : [];
    qemuImg('convert', '-c', '-O', 'qcow2', '-o', kind.options, ...below, raw, path);
  } else {
    const below = kind.backing ? backing : [];
    qemuImg('create', '-q', '-f', 'qcow2', '-o', kind.options, ...below, path, String(SIZE));
    qemuIo(path, 'write -P 0x11 100k 300k', 'write -z 200k 64k', 'write -P 0x22 2M 3k');
    model.fill(0x11, 100 << 10, 400 << 10);
    model.fill(0, 200 << 10, 264 << 10);
    model.fill(0x22, 2 << 20, (2 << 20) + 3072);
  }
  return { image: readFileSync(path), model };
}

/** Takes a snapshot in an image that is not open. */
function snapshot(image: Uint8Array, name: string): Uint8Array {
  const path = join(folder, 'snapshot.qcow2');
  writeFileSync(path, image);
  qemuImg('snapshot', '-c', name, path);
  return readFileSync(path);
}

class Exerciser {
  private readonly random: Random;
  private readonly model: Uint8Array;
  disk: Qcow2Disk;

  constructor(random: Random, model: Uint8Array, disk: Qcow2Disk) {
    this.random = random;
    this.model = model;
    this.disk = disk;
  }

  /** A range of sectors, mostly short; `within` gives each of several askers its own part. */
  private range(within: number, of: number): [offset: number, length: number] {
    const sectors = SIZE / 512 / of;
    const first = this.random.below(sectors);
    const most = this.random.percent(80) ? 40 : 2000;
    const count = Math.min(1 + this.random.below(most), sectors - first);
    return [(within * sectors + first) * 512, count * 512];
  }

  /** One operation, in one of `of` parts of the disk, of which each has one operation at a time. */
  async step(within: number, of: number): Promise<void> {
    const [offset, length] = this.range(within, of);
    const choice = this.random.below(100);
    if (choice < 45) {
      const bytes = new Uint8Array(length).fill(this.random.below(256));
      bytes[0] = this.random.below(256);
      bytes[length - 1] = this.random.below(256);
      this.model.set(bytes, offset);
      const parts = cut(bytes, this.random.below(length), 100);
      const now = this.random.percent(50) && this.disk.writeNow(offset, parts);
      if (!now) await this.disk.write(offset, parts);
    } else if (choice < 70) {
      const bytes = new Uint8Array(length).fill(0xee);
      const expected = this.model.slice(offset, offset + length);
      const parts = cut(bytes, this.random.below(length));
      const now = this.random.percent(50) && this.disk.readNow(offset, parts);
      if (!now) await this.disk.read(offset, parts);
      expect(same(bytes, expected), `read of ${length} at ${offset}`).toBe(true);
    } else if (choice < 80) {
      await this.disk.discard(offset, length);
      // The content is unspecified, but from now on it is what it is.
      const bytes = new Uint8Array(length);
      await this.disk.read(offset, [bytes]);
      this.model.set(bytes, offset);
    } else if (choice < 92) {
      this.model.fill(0, offset, offset + length);
      await this.disk.writeZeroes(offset, length, this.random.percent(50));
    } else {
      await this.disk.flush();
    }
  }
}

test.skipIf(NO_QEMU_IMG).each(KINDS)(
  'random operations on %j agree with qemu-img',
  async (kind) => {
    const seed = seedOf(kind.options);
    const random = new Random(seed);
    const base = new Uint8Array(BACKING_SIZE);
    for (let at = 0; at < BACKING_SIZE; at += 512) base.fill(random.below(256), at, at + 512);
    writeFileSync(join(folder, 'base.raw'), base);
    const { image, model } = makeImage(kind, random);
    const below = kind.backing ? base : undefined;
    const isQuick = (): boolean => random.percent(80);
    let file = Object.assign(new MemoryFile(image), { isQuick });
    const exerciser = new Exerciser(random, model, await openImage(file, below));
    expect(same(await contentOf(exerciser.disk), model), 'what qemu-img wrote').toBe(true);
    for (let round = 0; round < ROUNDS; round++) {
      const of = [1, 4, 16][random.below(3)]!;
      await Promise.all(Array.from({ length: of }, (_, within) => exerciser.step(within, of)));
      if (round % 40 === 20) {
        await exerciser.disk.close();
        expect(file.isClosed).toBe(true);
        if (kind.snapshots) {
          file = Object.assign(new MemoryFile(snapshot(file.bytes, `s${round}`)), { isQuick });
        }
        exerciser.disk = await openImage(file, below);
      }
    }
    await exerciser.disk.close();
    const { errors, leaks, content, text } = qemuLooksAt(folder, file.bytes);
    expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
    expect(same(content, model), 'what qemu-img reads').toBe(true);
  },
);
