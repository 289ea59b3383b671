import { expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { same } from '../../test/block/qemu-img.ts';
import { Random } from '../../test/silicon/random.ts';
import { copyDisk } from './copy-disk.ts';
import { RawDisk } from './raw.ts';

test('copyDisk() copies all that is not zero, and says how far it is', async () => {
  const random = new Random(3);
  const source = new Uint8Array((5 << 20) + 512);
  for (let at = 0; at < source.length; at += 4096) {
    if (random.percent(20)) source.fill(random.below(256), at, at + 4096);
  }
  source[source.length - 1] = 1;
  const target = new MemoryFile(new Uint8Array(6 << 20));
  const writes: [number, number][] = [];
  const write = target.write.bind(target);
  target.write = (offset, from) => {
    writes.push([offset, from[0]!.length]);
    return write(offset, from);
  };
  const done: number[] = [];
  const from = await RawDisk.open(new MemoryFile(source));
  await copyDisk(from, await RawDisk.open(target), (bytes) => done.push(bytes));
  expect(same(target.bytes.subarray(0, source.length), source)).toBe(true);
  for (const [offset, length] of writes) {
    for (let at = offset; at < offset + length; at += 65536) {
      expect(source.subarray(at, at + 65536).some((byte) => byte !== 0)).toBe(true);
    }
  }
  expect(done).toEqual([...done].sort((a, b) => a - b));
  expect(done.at(-1)).toBe(source.length);
});

test('copyDisk() ends with the failure of a write, when nothing is in flight', async () => {
  const target = new MemoryFile(new Uint8Array(8 << 20));
  let writing = 0;
  target.write = async () => {
    writing++;
    await Promise.resolve();
    writing--;
    throw new Error('no space');
  };
  const source = await RawDisk.open(new MemoryFile(new Uint8Array(8 << 20).fill(1)));
  await expect(copyDisk(source, await RawDisk.open(target), () => {})).rejects.toThrow('no space');
  expect(writing).toBe(0);
});
