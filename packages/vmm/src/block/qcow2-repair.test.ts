// Images that qemu-io has left in the middle of its work, with lazy refcounts: the dirty bit is
// set, and the refcounts are not what they should be.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { contentOf, openImage } from '../../test/block/open-image.ts';
import {
  NO_QEMU_IMG,
  newFolder,
  qemuCheck,
  qemuImg,
  qemuIo,
  qemuLooksAt,
  same,
} from '../../test/block/qemu-img.ts';

const SIZE = 4 << 20;

let folder: string;
let path: string;
beforeAll(() => {
  folder = newFolder();
  path = join(folder, 'disk.qcow2');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** An image whose writer died, and what had been flushed to its disk. */
function abandoned(options: string, snapshot: boolean): { image: Uint8Array; model: Uint8Array } {
  rmSync(path, { force: true });
  const lazy = `${options},lazy_refcounts=on`;
  qemuImg('create', '-q', '-f', 'qcow2', '-o', lazy, path, String(SIZE));
  qemuIo(path, 'write -P 0x11 0 1M');
  if (snapshot) qemuImg('snapshot', '-c', 'one', path);
  const work = [
    'write -P 0x22 512k 1M',
    'write -P 0x33 3M 5k',
    'write -z 64k 64k',
    'flush',
    'abort',
  ];
  spawnSync('qemu-io', [...work.flatMap((command) => ['-c', command]), path]);
  const model = new Uint8Array(SIZE).fill(0x11, 0, 1 << 20);
  model.fill(0x22, 512 << 10, 1536 << 10);
  model.fill(0x33, 3 << 20, (3 << 20) + 5120);
  model.fill(0, 64 << 10, 128 << 10);
  return { image: new Uint8Array(readFileSync(path)), model };
}

test.skipIf(NO_QEMU_IMG).each([
  ['cluster_size=65536', false],
  ['cluster_size=65536', true],
  ['cluster_size=512', true],
  ['cluster_size=512,refcount_bits=64', false],
  ['cluster_size=1024,refcount_bits=1', false],
] as const)('an image with %s (snapshot: %s) is put in order', async (options, snapshot) => {
  const { image, model } = abandoned(options, snapshot);
  expect(image[79]! & 1, 'the dirty bit').toBe(1);
  // With small clusters QEMU has had to write some of them down.
  if (options === 'cluster_size=65536') expect(qemuCheck(path).errors).toBeGreaterThan(0);
  const file = new MemoryFile(image);
  const disk = await openImage(file);
  expect(file.bytes[79]).toBe(0);
  const repaired = qemuLooksAt(folder, file.bytes);
  expect({ errors: repaired.errors, leaks: repaired.leaks }, repaired.text).toEqual({
    errors: 0,
    leaks: 0,
  });
  expect(same(repaired.content, model)).toBe(true);
  await disk.write(2 << 20, [new Uint8Array(100 << 10).fill(0x55)]);
  await disk.write(0, [new Uint8Array(100 << 10).fill(0x55)]);
  await disk.close();
  const after = qemuLooksAt(folder, file.bytes);
  expect({ errors: after.errors, leaks: after.leaks }, after.text).toEqual({ errors: 0, leaks: 0 });
  if (!snapshot) return;
  writeFileSync(path, file.bytes);
  qemuImg('snapshot', '-a', 'one', path);
  const old = new Uint8Array(SIZE).fill(0x11, 0, 1 << 20);
  expect(same(qemuLooksAt(folder, readFileSync(path)).content, old)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('an image in disorder is read as it is', async () => {
  const { image, model } = abandoned('cluster_size=65536', false);
  const file = new MemoryFile(image, true);
  expect(same(await contentOf(await openImage(file)), model)).toBe(true);
  expect(same(file.bytes, image)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('an image that refers to nowhere is left alone', async () => {
  const { image } = abandoned('cluster_size=65536', false);
  const view = new DataView(image.buffer);
  const l2 = Number(view.getBigUint64(Number(view.getBigUint64(40))) & 0xff_ffff_ffff_fe00n);
  view.setBigUint64(l2 + 8, 0x8000_0000_7000_0000n);
  const file = new MemoryFile(image);
  await expect(openImage(file)).rejects.toThrow(
    'is beyond repair here, as it refers beyond the end of its file; use qemu-img check',
  );
  expect(same(file.bytes, image)).toBe(true);
});
