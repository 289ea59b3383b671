// Images that somebody has tampered with: whatever bytes they have, opening them and working with
// them ends soon, in a result or a VmmError, and the header is not what a guest can write to.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VmmError } from '../../src/base/errors.ts';
import type { Disk } from '../../src/block/disk.ts';
import { Random } from '../silicon/random.ts';
import { MemoryFile } from './memory-file.ts';
import { openImage } from './open-image.ts';
import { memoryFolder, NO_QEMU_IMG, qemuImg, qemuIo, same } from './qemu-img.ts';
import { seedOf } from './seed.ts';

const SIZE = 1 << 20;
const ROUNDS = 1500;
const TIMEOUT = { timeout: 300_000 };

let folder: string;
let images: Uint8Array[];
beforeAll(() => {
  folder = memoryFolder();
  if (!NO_QEMU_IMG) images = [makeImage(4096), makeImage(512), makeImage(65536)];
});
afterAll(() => rmSync(folder, { recursive: true }));

/** An image with everything: data, zeroes, a snapshot, compressed clusters. */
function makeImage(clusterBytes: number): Uint8Array {
  const path = join(folder, `start${clusterBytes}.qcow2`);
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterBytes}`, path, String(SIZE));
  qemuIo(path, 'write -P 0x11 0 300k', `write -c -P 0x33 512k ${clusterBytes}`);
  qemuImg('snapshot', '-c', 'one', path);
  qemuIo(path, 'write -z 100k 64k', 'write -P 0x22 400k 3k');
  return new Uint8Array(readFileSync(path));
}

const INTERESTING = [
  0n,
  1n,
  0xffff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0x4000_0000_0000_0000n,
  0x8000_0000_0000_0000n | 4096n,
  0x00ff_ffff_ffff_fe00n,
  0x7fff_ffff_ffff_0000n,
  0x8000_0000_0000_0001n,
  1n << 53n,
];

/** Changes an image here and there: header fields, table entries, or any bytes. */
function tamper(image: Uint8Array, random: Random): Uint8Array {
  const bytes = new Uint8Array(image);
  const view = new DataView(bytes.buffer);
  const clusterBytes = 2 ** view.getUint32(20);
  const tables = [40, 48].map((at) => Number(view.getBigUint64(at)));
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const choice = random.below(4);
    const clusters = Math.floor(bytes.length / clusterBytes);
    const cluster = BigInt(random.below(clusters) * clusterBytes);
    const value = random.percent(50)
      ? INTERESTING[random.below(INTERESTING.length)]!
      : cluster | (random.percent(70) ? 1n << 63n : 0n);
    if (choice === 0) {
      view.setBigUint64(random.below(14) * 8, value);
    } else if (choice === 1) {
      const at = 4 * random.below(28);
      view.setUint32(at, random.percent(50) ? random.below(64) : random.next());
    } else if (choice === 2) {
      const table = tables[random.below(2)]!;
      const first = Number(view.getBigUint64(table) & 0x00ff_ffff_ffff_fe00n);
      const at = random.percent(50) ? table : first;
      if (at + 512 <= bytes.length) view.setBigUint64(at + 8 * random.below(64), value);
    } else {
      bytes[random.below(bytes.length)] = random.below(256);
    }
  }
  // Some of them want a repair, too.
  if (random.percent(30)) bytes[79]! |= 1;
  return bytes;
}

async function work(disk: Disk, random: Random): Promise<void> {
  const end = Math.min(disk.sectors * 512, 1 << 21);
  const attempt = async (operation: () => Promise<void> | undefined): Promise<void> => {
    try {
      await operation();
    } catch (error) {
      expect(error).toBeInstanceOf(VmmError);
    }
  };
  for (let step = 0; step < 8; step++) {
    const offset = random.below(end / 512) * 512;
    const length = Math.min(512 * (1 + random.below(200)), end - offset);
    await attempt(async () => void disk.readNow?.(offset, [new Uint8Array(length)]));
    await attempt(() => disk.read(offset, [new Uint8Array(length)]));
    if (disk.readOnly) continue;
    await attempt(async () => void disk.writeNow?.(offset, [new Uint8Array(length).fill(0x77)]));
    await attempt(() => disk.write(offset, [new Uint8Array(length).fill(0x77)]));
    if (step % 3 === 0) await attempt(() => disk.discard(offset, length));
    if (step % 3 === 1) await attempt(() => disk.writeZeroes?.(offset, length, true));
    await attempt(() => disk.flush());
  }
  await attempt(() => disk.close());
}

test.skipIf(NO_QEMU_IMG)(
  'images with random changes are refused or worked with',
  TIMEOUT,
  async () => {
    const random = new Random(seedOf('hostile images'));
    const ends = { refused: 0, opened: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = tamper(images[round % images.length]!, random);
      const file = new MemoryFile(bytes, random.percent(30));
      let disk: Disk;
      try {
        disk = await openImage(file);
      } catch (error) {
        expect(error).toBeInstanceOf(VmmError);
        expect((error as VmmError).message).toMatch(/^Disk test\.qcow2 [\x20-\x7e]+\.$/);
        ends.refused++;
        continue;
      }
      ends.opened++;
      const name = file.bytes.slice(8, 20);
      await work(disk, random);
      expect([...file.bytes.slice(8, 20)], 'the reference to a backing file').toEqual([...name]);
    }
    expect(ends.refused).toBeGreaterThan(ROUNDS / 20);
    expect(ends.opened).toBeGreaterThan(ROUNDS / 20);
  },
);

test.skipIf(NO_QEMU_IMG)('images that end early are refused or worked with', async () => {
  const random = new Random(seedOf('cut images'));
  for (let round = 0; round < 100; round++) {
    const image = images[round % images.length]!;
    const file = new MemoryFile(image.subarray(0, random.below(image.length)), random.percent(50));
    try {
      await work(await openImage(file), random);
    } catch (error) {
      expect(error).toBeInstanceOf(VmmError);
    }
  }
});

test.skipIf(NO_QEMU_IMG)('a guest cannot write to a table that it is shown as data', async () => {
  for (const target of [0n, 40n, 48n]) {
    const bytes = new Uint8Array(images[0]!);
    const view = new DataView(bytes.buffer);
    const host = target === 0n ? 0n : view.getBigUint64(Number(target));
    const l2 = Number(view.getBigUint64(Number(view.getBigUint64(40))) & 0xff_ffff_ffff_fe00n);
    // A zero cluster that says it has a place, for 0 would be none.
    view.setBigUint64(l2, host | (1n << 63n) | (host === 0n ? 1n : 0n));
    const file = new MemoryFile(bytes);
    const disk = await openImage(file);
    const before = file.bytes.slice(Number(host), Number(host) + 4096);
    const write = disk.write(0, [new Uint8Array(512).fill(0xff)]);
    if (host === 0n) await write;
    else await expect(write).rejects.toThrow('is corrupt: the table at');
    expect(file.bytes.slice(Number(host), Number(host) + 4096)).toEqual(before);
  }
});

test.skipIf(NO_QEMU_IMG)('a table that counts as free stops what would allocate it', async () => {
  const bytes = new Uint8Array(images[0]!);
  const view = new DataView(bytes.buffer);
  const block = Number(view.getBigUint64(Number(view.getBigUint64(48))));
  bytes.fill(0, block, block + 4096);
  const file = new MemoryFile(bytes);
  const disk = await openImage(file);
  await expect(disk.write(900 << 10, [new Uint8Array(512)])).rejects.toThrow(
    'Disk test.qcow2 is corrupt: cluster 0 holds a table and counts as free. Repair it with',
  );
  expect(same(file.bytes, bytes)).toBe(true);
});
