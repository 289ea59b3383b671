// Chains of images, in a file system that is a map.
import { expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { contentOf } from '../../test/block/open-image.ts';
import { DECOMPRESSORS } from '../../test/block/qemu-img.ts';
import { VmmError } from '../base/errors.ts';
import { DiskOpener, type ImageFiles, parseImageReference } from './open-disk.ts';
import { createQcow2, type NewBacking } from './qcow2-create.ts';

class Files implements ImageFiles {
  readonly files = new Map<string, MemoryFile>();
  readonly opened: [path: string, readOnly: boolean][] = [];

  async open(path: string, readOnly: boolean): Promise<MemoryFile> {
    this.opened.push([path, readOnly]);
    const file = new MemoryFile(this.files.get(path)!.bytes, readOnly);
    this.files.set(path, file);
    return file;
  }

  async identify(path: string): Promise<string> {
    if (this.files.has(path)) return path;
    throw new VmmError('ENOENT', `Cannot open disk ${path}: there is no such file.`);
  }

  resolve(path: string, name: string): string {
    return name.startsWith('/') ? name : path.replace(/[^/]*$/, name);
  }

  raw(path: string, fill: number): void {
    this.files.set(path, new MemoryFile(new Uint8Array(65536 * 4).fill(fill)));
  }

  async qcow2(path: string, name?: string, format: NewBacking['format'] = 'qcow2'): Promise<void> {
    const file = new MemoryFile();
    await createQcow2(file, 65536 * 4, name === undefined ? undefined : { name, format });
    this.files.set(path, file);
  }

  opener(): DiskOpener {
    return new DiskOpener(this, DECOMPRESSORS);
  }
}

test('parseImageReference() knows the prefixes of vmctl', () => {
  expect(parseImageReference('qcow2:a:b')).toEqual({ path: 'a:b', format: 'qcow2' });
  expect(parseImageReference('raw:/a')).toEqual({ path: '/a', format: 'raw' });
  expect(parseImageReference('vmdk:/a')).toEqual({ path: 'vmdk:/a' });
});

test('open() lays images over each other, writing to the first alone', async () => {
  const files = new Files();
  files.raw('/base/raw', 1);
  await files.qcow2('/base/middle', 'raw', 'raw');
  await files.qcow2('/top', 'base/middle');
  const middle = await files.opener().open({ path: '/base/middle' }, false);
  await middle.write(65536, [new Uint8Array(65536).fill(2)]);
  await middle.close();
  files.opened.length = 0;
  const top = await files.opener().open({ path: '/top' }, false);
  expect(files.opened).toEqual([
    ['/top', false],
    ['/base/middle', true],
    ['/base/raw', true],
  ]);
  await top.write(65536 * 2 + 512, [new Uint8Array(512).fill(3)]);
  const content = await contentOf(top);
  expect([0, 65536, 65536 * 2, 65536 * 2 + 512, 65536 * 2 + 1024].map((at) => content[at])).toEqual(
    [1, 2, 1, 3, 1],
  );
  await top.close();
  expect([...files.files.values()].every(({ isClosed }) => isClosed)).toBe(true);
});

test('open() decides the format by the content, unless it is told', async () => {
  const files = new Files();
  files.raw('/raw', 1);
  await files.qcow2('/image');
  const open = async (path: string, format?: 'raw' | 'qcow2'): Promise<string> =>
    (await files.opener().open({ path, ...(format && { format }) }, true)).format;
  expect(await open('/raw')).toBe('raw');
  expect(await open('/image')).toBe('qcow2');
  expect(await open('/image', 'raw')).toBe('raw');
  await expect(open('/raw', 'qcow2')).rejects.toThrow('is no qcow2 image.');
});

test('open() refuses chains without an end, and closes what it has opened', async () => {
  const files = new Files();
  await files.qcow2('/self', 'self');
  await files.qcow2('/a', 'b');
  await files.qcow2('/b', 'c');
  await files.qcow2('/c', 'a');
  for (let index = 0; index < 100; index++) await files.qcow2(`/${index}`, String(index + 1));
  const open = (path: string): Promise<unknown> => files.opener().open({ path }, false);
  await expect(open('/self')).rejects.toThrow('Disk /self is its own backing file, by 1 steps.');
  await expect(open('/a')).rejects.toThrow('Disk /a is its own backing file, by 3 steps.');
  await expect(open('/0')).rejects.toThrow('Disk /64 lies below 64 others, which is too many.');
  for (const [path] of files.opened) expect(files.files.get(path)!.isClosed).toBe(true);
});

test('open() refuses bases that are no local images', async () => {
  const files = new Files();
  const open = (path: string): Promise<unknown> => files.opener().open({ path }, false);
  await files.qcow2('/json', 'json:{"driver":"nbd"}');
  await files.qcow2('/nbd', 'nbd://host/\x1b[2J');
  await files.qcow2('/vmdk', 'raw', 'vmdk' as 'raw');
  await files.qcow2('/missing', 'none');
  await expect(open('/json')).rejects.toThrow('the base of disk /json: it is not a local file.');
  await expect(open('/nbd')).rejects.toThrow('Cannot open nbd://host/?[2J, the base of disk /nbd');
  await expect(open('/vmdk')).rejects.toThrow('its format vmdk is not supported.');
  await expect(open('/missing')).rejects.toThrow('Cannot open disk /none: there is no such file.');
});
