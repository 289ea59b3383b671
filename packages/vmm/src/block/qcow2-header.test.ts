// Headers that qemu-img has written, read as `qemu-img info` reads them, and what is refused.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { NO_QEMU_IMG, newFolder, qemuImg } from '../../test/block/qemu-img.ts';
import { readStart } from './qcow2.ts';
import type { Qcow2Header } from './qcow2-header.ts';

let folder: string;
let path: string;
beforeAll(() => {
  folder = newFolder();
  path = join(folder, 'disk.qcow2');
  writeFileSync(join(folder, 'base.raw'), new Uint8Array(1 << 20));
});
afterAll(() => rmSync(folder, { recursive: true }));

function create(options: string, ...more: string[]): Uint8Array {
  rmSync(path, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, ...more);
  return new Uint8Array(readFileSync(path));
}

async function header(image: Uint8Array): Promise<Qcow2Header> {
  return (await readStart(new MemoryFile(image))).header;
}

interface Info {
  readonly 'virtual-size': number;
  readonly 'cluster-size': number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly 'format-specific': { readonly data: Record<string, unknown> };
}

test
  .skipIf(NO_QEMU_IMG)
  .each([
    'compat=0.10',
    'compat=0.10,cluster_size=512',
    'compat=1.1,cluster_size=2M,refcount_bits=1',
    'compat=1.1,cluster_size=4k,refcount_bits=64,lazy_refcounts=on',
    'compat=1.1,compression_type=zstd',
    'compat=1.1,backing_file=base.raw,backing_fmt=raw',
  ])('parseHeader() agrees with qemu-img info about %s', async (options) => {
  const image = create(options, path, '5M');
  const info = JSON.parse(qemuImg('info', '--output=json', path)) as Info;
  const { data } = info['format-specific'];
  const parsed = await header(image);
  expect(parsed.sizeBytes).toBe(info['virtual-size']);
  expect(2 ** parsed.clusterBits).toBe(info['cluster-size']);
  expect(parsed.version).toBe(data.compat === '0.10' ? 2 : 3);
  expect(2 ** parsed.refcountOrder).toBe(data['refcount-bits']);
  expect(parsed.compression).toBe(data['compression-type'] === 'zstd' ? 'zstd' : 'deflate');
  expect(parsed.backing?.name).toBe(info['backing-filename']);
  expect(parsed.backing?.format).toBe(info['backing-filename-format']);
});

test.skipIf(NO_QEMU_IMG).each([
  ['encrypt.format=aes,encrypt.key-secret=s', 'is encrypted', '--object', 'secret,id=s,data=x'],
  ['extended_l2=on', 'has extended L2 entries (subclusters), which are not supported'],
  ['data_file=data.raw', 'has its data in an external file, which is not supported'],
])('parseHeader() refuses %s by name', async (options, reason, ...more) => {
  const absolute = options.replace('data.raw', join(folder, 'data.raw'));
  await expect(header(create(absolute, ...more, path, '5M'))).rejects.toThrow(reason);
});

test.skipIf(NO_QEMU_IMG)(
  'parseHeader() refuses unknown features by the name they have',
  async () => {
    const image = create('compat=1.1', path, '5M');
    image[72] = 0x80;
    await expect(header(image)).rejects.toThrow('needs the feature without a name (bit 63)');
    // The table begins behind the header and the extension's own 8 bytes: rename the corrupt bit.
    const view = new DataView(image.buffer);
    let at = view.getUint32(100);
    while (view.getUint32(at) !== 0x6803_f857) at += 8 + Math.ceil(view.getUint32(at + 4) / 8) * 8;
    image[at + 9] = 63;
    image.set(new TextEncoder().encode('a \x1b[31mfeature\0'), at + 10);
    await expect(header(image)).rejects.toThrow('needs the feature "a ?[31mfeature" (bit 63)');
  },
);

test.skipIf(NO_QEMU_IMG).each([
  [0, 0, 'is no qcow2 image'],
  [4, 1, 'has version 1 of the qcow2 format: only 2 and 3 are known'],
  [20, 8, 'has clusters of 2^8 bytes'],
  [20, 22, 'has clusters of 2^22 bytes'],
  [24, 0x7fff_ffff, 'for the size'],
  [28, 0, 'is empty'],
  [36, 0, 'L1 table of 0 entries is too small'],
  [36, 0x1000_0000, 'more than 32 MB'],
  [44, 512, 'L1 table is not aligned'],
  [52, 0, 'refcount table is not aligned'],
  [56, 1000, 'has a refcount table of 1000 clusters, over 8 MB'],
  [60, 70_000, 'has 70000 snapshots'],
  [96, 7, 'has refcounts of 2^7 bits'],
  [100, 80, 'has a header of 80 bytes'],
])('parseHeader() refuses %i: %i', async (at, value, reason) => {
  const image = create('compat=1.1', path, '5M');
  const view = new DataView(image.buffer);
  view.setUint32(at, value);
  await expect(header(image)).rejects.toThrow(reason);
});

test('parseHeader() takes an image of OpenBSD, its base named behind the header', async () => {
  const image = new Uint8Array(1 << 16);
  const view = new DataView(image.buffer);
  const fields: [number, number][] = [
    [0, 0x5146_49fb],
    [4, 3],
    [12, 104],
    [16, 10],
    [20, 16],
    [28, 1 << 20],
    [36, 1],
    [44, 1 << 16],
    [52, 1 << 17],
    [56, 1],
    [96, 4],
    [100, 104],
  ];
  for (const [at, value] of fields) view.setUint32(at, value);
  image.set(new TextEncoder().encode('base.qcow2'), 104);
  expect((await header(image)).backing).toEqual({ name: 'base.qcow2' });
});
