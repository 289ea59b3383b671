// Crashes at the interface: a disk loses any part of what it was not told to flush, at any moment
// of random work. What is left must be an image in which qemu-img finds no errors (leaks it may
// find), and in which each sector has what was flushed last, or something that was written to it
// later.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Qcow2Disk } from '../../src/block/qcow2.ts';
import { Random } from '../silicon/random.ts';
import { CrashFile } from './crash-file.ts';
import { MemoryFile } from './memory-file.ts';
import { contentOf, openImage } from './open-image.ts';
import {
  memoryFolder,
  NO_QEMU_IMG,
  qemuContent,
  qemuImg,
  qemuIo,
  qemuLooksAt,
  same,
} from './qemu-img.ts';
import { seedOf } from './seed.ts';

const ROUNDS = 60;
const ASKERS = 4;
/** How often what is left is opened again, which takes some time. */
const REOPENED_MAX = 12;
/** Of a thousand events, how many are crashes; more at first, when tables are made. */
const CRASHES_PER_MILLE = 60;
const CRASHES_PER_MILLE_AT_FIRST = 500;
const FIRST_ROUNDS = 4;

let folder: string;
beforeAll(() => {
  folder = memoryFolder();
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Written {
  /** The word that the sector is full of; undefined for anything, after a discard. */
  readonly stamp: number | undefined;
  isDone: boolean;
}

/** What each sector may hold, the oldest first. */
class Allowed {
  readonly sectors: Written[][];

  constructor(content: Uint8Array) {
    const view = new DataView(content.buffer, content.byteOffset);
    this.sectors = Array.from({ length: content.length / 512 }, (_, sector) => [
      { stamp: view.getUint32(sector * 512), isDone: true },
    ]);
  }

  add(first: number, count: number, stamp: number | undefined): Written[] {
    return Array.from({ length: count }, (_, index) => {
      const written = { stamp, isDone: false };
      this.sectors[first + index]!.push(written);
      return written;
    });
  }

  /** What a flush that begins now makes stable; to be called when it has ended. */
  flushing(): () => void {
    const last = this.sectors.map((list) => list.findLast(({ isDone }) => isDone)!);
    return () => {
      for (const [sector, list] of this.sectors.entries()) {
        const index = list.indexOf(last[sector]!);
        if (index > 0) list.splice(0, index);
      }
    };
  }

  /** The first sector that holds what it must not. */
  wrongSector(content: Uint8Array): string | undefined {
    const view = new DataView(content.buffer, content.byteOffset);
    for (const [sector, list] of this.sectors.entries()) {
      if (list.some(({ stamp }) => stamp === undefined)) continue;
      const word = view.getUint32(sector * 512);
      const whole = content.subarray(sector * 512, sector * 512 + 512);
      const uniform = whole.every((byte, at) => byte === whole[at % 4]);
      if (uniform && list.some(({ stamp }) => stamp === word)) continue;
      return `sector ${sector} has ${word}, not ${list.map(({ stamp }) => stamp)}`;
    }
    return undefined;
  }
}

class Worker {
  private readonly random: Random;
  private readonly disk: Qcow2Disk;
  private readonly allowed: Allowed;
  private stamps = 0;

  constructor(random: Random, disk: Qcow2Disk, allowed: Allowed) {
    this.random = random;
    this.disk = disk;
    this.allowed = allowed;
  }

  async step(within: number): Promise<void> {
    const part = this.allowed.sectors.length / ASKERS;
    const first = within * part + this.random.below(part);
    const most = (within + 1) * part - first;
    const count = 1 + this.random.below(Math.min(most, this.random.percent(80) ? 12 : 64));
    const [offset, length] = [first * 512, count * 512];
    const choice = this.random.below(100);
    if (choice < 60) {
      const stamp = ++this.stamps;
      const bytes = new Uint8Array(length);
      const view = new DataView(bytes.buffer);
      for (let at = 0; at < length; at += 4) view.setUint32(at, stamp);
      const written = this.allowed.add(first, count, stamp);
      const now = this.random.percent(50) && this.disk.writeNow(offset, [bytes]);
      if (!now) await this.disk.write(offset, [bytes]);
      for (const sector of written) sector.isDone = true;
    } else if (choice < 72) {
      const written = this.allowed.add(first, count, 0);
      await this.disk.writeZeroes(offset, length, this.random.percent(70));
      for (const sector of written) sector.isDone = true;
    } else if (choice < 85) {
      const written = this.allowed.add(first, count, undefined);
      await this.disk.discard(offset, length);
      for (const sector of written) sector.isDone = true;
    } else {
      const done = this.allowed.flushing();
      await this.disk.flush();
      done();
    }
  }
}

interface Kind {
  readonly options: string;
  readonly snapshot?: boolean;
  readonly sizeKb: number;
  /** How much of the disk has been written already. */
  readonly filledKb: number;
}

const KINDS: readonly Kind[] = [
  { options: 'compat=1.1,cluster_size=512', sizeKb: 256, filledKb: 100 },
  {
    options: 'compat=1.1,cluster_size=512,refcount_bits=64',
    snapshot: true,
    sizeKb: 256,
    filledKb: 64,
  },
  // Its refcount table has room for 2 MB and has to move.
  { options: 'compat=1.1,cluster_size=512,refcount_bits=64', sizeKb: 3072, filledKb: 1975 },
  {
    options: 'compat=1.1,cluster_size=2048,refcount_bits=8',
    snapshot: true,
    sizeKb: 256,
    filledKb: 128,
  },
  { options: 'compat=0.10,cluster_size=1024', snapshot: true, sizeKb: 256, filledKb: 200 },
  { options: 'compat=1.1,cluster_size=65536', sizeKb: 256, filledKb: 128 },
];

/** An image with data in its beginning, and other data in its backing file. */
function makeImage({ options, snapshot, sizeKb, filledKb }: Kind): Uint8Array {
  writeFileSync(join(folder, 'base.raw'), new Uint8Array(sizeKb * 1024).fill(0xaa));
  const path = join(folder, 'start.qcow2');
  const base = ['-b', 'base.raw', '-F', 'raw'];
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, ...base, path);
  qemuIo(path, `write -P 0x55 0 ${filledKb}k`);
  if (snapshot) qemuImg('snapshot', '-c', 'one', path);
  return readFileSync(path);
}

/** Whoever writes next puts the image in order: no leaks are left, and no content is changed. */
async function expectOrder(
  left: Uint8Array,
  base: Uint8Array,
  content: Uint8Array,
  { options }: Kind,
): Promise<void> {
  const file = new MemoryFile(left);
  await (await openImage(file, base)).close();
  const after = qemuLooksAt(folder, file.bytes);
  const leaks = options.includes('compat=0.10') ? after.leaks : 0;
  expect([after.errors, after.leaks], after.text).toEqual([0, leaks]);
  expect(same(after.content, content)).toBe(true);
}

test.skipIf(NO_QEMU_IMG).each(KINDS)(
  'what a crash leaves of $sizeKb KB, $options, has no errors and all that was flushed',
  { timeout: 300_000 },
  async (kind) => {
    const random = new Random(seedOf(kind.options));
    const image = makeImage(kind);
    const base = readFileSync(join(folder, 'base.raw'));
    const file = new CrashFile(image, random);
    const disk = await openImage(file as unknown as MemoryFile, base);
    const allowed = new Allowed(await contentOf(disk));
    const worker = new Worker(random, disk, allowed);
    let checks: Promise<void>[] = [];
    let crashes = 0;
    let reopened = 0;
    let chances = CRASHES_PER_MILLE_AT_FIRST;
    file.onEvent = () => {
      if (random.below(1000) >= chances) return;
      crashes++;
      // Now, before anything else happens; the sets of what is allowed go on changing.
      const then = allowed.sectors.map((list) => [...list]);
      checks.push(
        file.afterCrash().then(async (left) => {
          const { errors, content, text } = qemuLooksAt(folder, left);
          expect(errors, text).toBe(0);
          const state = Object.assign(Object.create(Allowed.prototype) as Allowed, {
            sectors: then,
          });
          expect(state.wrongSector(content)).toBe(undefined);
          if (++reopened <= REOPENED_MAX) await expectOrder(left, base, content, kind);
        }),
      );
    };
    for (let round = 0; round < ROUNDS; round++) {
      if (round === FIRST_ROUNDS) chances = CRASHES_PER_MILLE;
      await Promise.all(Array.from({ length: ASKERS }, (_, within) => worker.step(within)));
      await Promise.all(checks.splice(0));
    }
    checks = [];
    file.onEvent = () => {};
    await disk.close();
    expect(crashes).toBeGreaterThan(5);
    const left = await file.afterCrash();
    const tableOffset = (bytes: Uint8Array): string =>
      Buffer.from(bytes.subarray(48, 56)).toString('hex');
    expect(tableOffset(left) !== tableOffset(image)).toBe(kind.sizeKb > 2048);
    const { errors, content, text } = qemuLooksAt(folder, left);
    expect(errors, text).toBe(0);
    expect(allowed.wrongSector(content)).toBe(undefined);
    if (kind.snapshot) {
      const path = join(folder, 'after.qcow2');
      writeFileSync(path, left);
      qemuImg('snapshot', '-a', 'one', path);
      writeFileSync(join(folder, 'start.qcow2'), image);
      expect(same(qemuContent(path), qemuContent(join(folder, 'start.qcow2')))).toBe(true);
    }
  },
);
