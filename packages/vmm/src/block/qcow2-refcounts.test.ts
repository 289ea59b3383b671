// Growth beyond the refcount table that an image has, which takes megabytes with the smallest
// clusters, and the use of what has become free.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { openImage } from '../../test/block/open-image.ts';
import { NO_QEMU_IMG, newFolder, qemuImg, qemuLooksAt, same } from '../../test/block/qemu-img.ts';

let folder: string;
beforeAll(() => {
  folder = newFolder();
});
afterAll(() => rmSync(folder, { recursive: true }));

function create(options: string, sizeBytes: number): Uint8Array {
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, String(sizeBytes));
  return new Uint8Array(readFileSync(path));
}

test.skipIf(NO_QEMU_IMG).each([
  ['cluster_size=512,refcount_bits=64', 5 << 20],
  ['cluster_size=512,refcount_bits=16', 17 << 20],
])('the refcount table of an image with %s grows', async (options, sizeBytes) => {
  const file = new MemoryFile(create(options, sizeBytes));
  const tableClusters = (): number => new DataView(file.bytes.buffer).getUint32(56);
  const before = tableClusters();
  const disk = await openImage(file);
  const model = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 1 << 16) {
    model.fill(1 + (at >> 16), at, at + (1 << 16));
    await disk.write(at, [model.subarray(at, at + (1 << 16))]);
    if (at % (1 << 20) === 0) await disk.flush();
  }
  await disk.close();
  expect(tableClusters()).toBeGreaterThan(before);
  const { errors, leaks, content, text } = qemuLooksAt(folder, file.bytes);
  expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  expect(same(content, model)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('clusters that were given up are used again, after a flush', async () => {
  const file = new MemoryFile(create('cluster_size=4096', 8 << 20));
  const disk = await openImage(file);
  const data = new Uint8Array(2 << 20).fill(0x42);
  await disk.write(0, [data]);
  await disk.flush();
  const full = file.bytes.length;
  for (let round = 0; round < 5; round++) {
    await disk.discard(0, data.length);
    await disk.flush();
    await disk.write(4 << 20, [data]);
    await disk.discard(4 << 20, data.length);
    await disk.flush();
    await disk.write(0, [data]);
  }
  // Only the second L2 table, which may be in the way of data, has come.
  expect(file.bytes.length).toBeLessThan(full + 8192);
  await disk.close();
  const { errors, leaks, text } = qemuLooksAt(folder, file.bytes);
  expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
});

test.skipIf(NO_QEMU_IMG)('nothing is left in a cluster of what it held before', async () => {
  const file = new MemoryFile(create('cluster_size=4096', 8 << 20));
  const disk = await openImage(file);
  await disk.write(0, [new Uint8Array(4096).fill(0x42)]);
  await disk.discard(0, 4096);
  await disk.flush();
  await disk.write(4 << 20, [new Uint8Array(512).fill(0x43)]);
  const bytes = new Uint8Array(4096);
  await disk.read(4 << 20, [bytes]);
  expect(bytes.subarray(512).every((byte) => byte === 0)).toBe(true);
});
