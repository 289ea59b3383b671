// What a disk does beyond reading and writing, which test/block has: marks in the header, requests
// that meet, failures of the file.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { contentOf, openImage } from '../../test/block/open-image.ts';
import {
  NO_QEMU_IMG,
  newFolder,
  qemuImg,
  qemuIo,
  qemuLooksAt,
  same,
} from '../../test/block/qemu-img.ts';
import { VmmError } from '../base/errors.ts';

const SIZE = 1 << 20;

let folder: string;
let path: string;
beforeAll(() => {
  folder = newFolder();
  path = join(folder, 'disk.qcow2');
});
afterAll(() => rmSync(folder, { recursive: true }));

function create(options = 'compat=1.1', ...commands: string[]): Uint8Array {
  rmSync(path, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, String(SIZE));
  if (commands.length > 0) qemuIo(path, ...commands);
  return new Uint8Array(readFileSync(path));
}

test.skipIf(NO_QEMU_IMG)('an image that is marked as corrupt is only read', async () => {
  const image = create('compat=1.1', 'write -P 7 0 64k');
  image[79]! |= 2;
  await expect(openImage(new MemoryFile(image))).rejects.toThrow('is marked as corrupt; repair it');
  const disk = await openImage(new MemoryFile(image, true));
  expect((await contentOf(disk))[0]).toBe(7);
  await expect(disk.write(0, [new Uint8Array(512)])).rejects.toThrow('is open for reading only');
  await expect(disk.discard(0, 512)).rejects.toThrow('is open for reading only');
  await disk.flush();
  await disk.close();
});

test.skipIf(NO_QEMU_IMG)(
  'bitmaps are not trusted any more after an image has been written',
  async () => {
    create();
    qemuImg('bitmap', '--add', path, 'backup');
    const image = new Uint8Array(readFileSync(path));
    expect(image[95]! & 1).toBe(1);
    const reader = new MemoryFile(image, true);
    await (await openImage(reader)).close();
    expect(same(reader.bytes, image)).toBe(true);
    const file = new MemoryFile(image);
    await (await openImage(file)).close();
    expect(file.bytes[95]).toBe(0);
    const { errors, leaks, text } = qemuLooksAt(folder, file.bytes);
    expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  },
);

test.skipIf(NO_QEMU_IMG)('opening and closing changes nothing', async () => {
  const image = create('compat=1.1', 'write -P 7 0 64k');
  const file = new MemoryFile(image);
  await (await openImage(file)).close();
  expect(same(file.bytes, image)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('requests that meet in a cluster all have their effect', async () => {
  const file = new MemoryFile(create());
  const disk = await openImage(file);
  const model = new Uint8Array(SIZE);
  const write = (at: number): Promise<void> => {
    model.fill(1 + (at % 251), at * 512, (at + 1) * 512);
    return disk.write(at * 512, [model.slice(at * 512, (at + 1) * 512)]);
  };
  // Every sector of the disk at once, from both ends, with flushes between.
  const half = SIZE / 1024;
  const writes = Array.from({ length: half }, (_, at) => [write(at), write(2 * half - 1 - at)]);
  await Promise.all([...writes.flat(), disk.flush(), disk.read(0, [new Uint8Array(SIZE)])]);
  expect(same(await contentOf(disk), model)).toBe(true);
  await disk.close();
  const { errors, leaks, content, text } = qemuLooksAt(folder, file.bytes);
  expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  expect(same(content, model)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('a write that fails leaves what was there, and no leak', async () => {
  const file = new MemoryFile(create('compat=1.1', 'write -P 7 0 64k'));
  const disk = await openImage(file);
  const { write } = file;
  file.write = async () => {
    throw new VmmError('ENOSPC', 'There is no space left.');
  };
  const bytes = new Uint8Array(4096).fill(8);
  await expect(disk.write(0, [bytes])).rejects.toThrow('no space left');
  await expect(disk.write(500_224, [bytes])).rejects.toThrow('no space left');
  expect((await contentOf(disk)).every((byte, at) => byte === (at < 65536 ? 7 : 0))).toBe(true);
  file.write = write;
  await disk.write(500_224, [bytes]);
  await disk.close();
  const { errors, leaks, content, text } = qemuLooksAt(folder, file.bytes);
  expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  expect(content[500_224]).toBe(8);
});

test.skipIf(NO_QEMU_IMG)('after a flush that failed nothing more is written', async () => {
  const file = new MemoryFile(create('compat=1.1', 'write -P 7 0 64k'));
  const disk = await openImage(file);
  const { flush } = file;
  file.flush = async () => {
    throw new VmmError('EIO', 'The disk is broken.');
  };
  await disk.write(500_224, [new Uint8Array(512)]);
  await expect(disk.flush()).rejects.toThrow('takes no more data, as it could not be flushed');
  file.flush = flush;
  const before = file.bytes.slice();
  await expect(disk.flush()).rejects.toThrow('takes no more data');
  await expect(disk.write(0, [new Uint8Array(512)])).rejects.toThrow('takes no more data');
  await expect(disk.close()).rejects.toThrow('takes no more data');
  expect(file.isClosed).toBe(true);
  expect(same(file.bytes, before)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('writeZeroes() keeps the place of a cluster when asked to', async () => {
  const file = new MemoryFile(create('compat=1.1', 'write -P 7 0 256k'));
  const disk = await openImage(file);
  await disk.writeZeroes(0, 65536, false);
  await disk.writeZeroes(65536, 65536, true);
  await disk.close();
  const { content } = qemuLooksAt(folder, file.bytes);
  expect(content.every((byte, at) => byte === (at >= 131072 && at < 262144 ? 7 : 0))).toBe(true);
  interface Extent {
    readonly start: number;
    readonly offset?: number;
  }
  const map = JSON.parse(
    qemuImg('map', '--output=json', join(folder, 'looked-at.qcow2')),
  ) as Extent[];
  expect(map.find(({ start }) => start === 0)?.offset).toBeGreaterThan(0);
  expect(map.find(({ start }) => start === 65536)?.offset).toBe(undefined);
});
