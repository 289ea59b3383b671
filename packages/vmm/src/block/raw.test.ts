import { expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { RawDisk } from './raw.ts';

test('RawDisk is the file, padded to whole sectors', async () => {
  const file = new MemoryFile(Uint8Array.from({ length: 1000 }, (_, at) => at));
  const disk = await RawDisk.open(file);
  expect([disk.sectors, disk.readOnly]).toEqual([2, false]);
  const bytes = new Uint8Array(512).fill(0xee);
  await disk.read(512, [bytes.subarray(0, 100), bytes.subarray(100)]);
  expect(bytes).toEqual(Uint8Array.from({ length: 512 }, (_, at) => (at < 488 ? 512 + at : 0)));
  await disk.write(512, [bytes.fill(1)]);
  expect(file.bytes.length).toBe(1024);
  await disk.close();
  expect(file.isClosed).toBe(true);
});

test('RawDisk.open() refuses an empty file', async () => {
  await expect(RawDisk.open(new MemoryFile())).rejects.toThrow('Disk test.qcow2 is empty.');
});

test('writeZeroes() makes a hole where it may, and writes zeroes where it must', async () => {
  const holes: [number, number][] = [];
  const file = Object.assign(new MemoryFile(new Uint8Array(4096).fill(7)), {
    makeHole: async (offset: number, length: number) => holes.push([offset, length]) === 1,
  });
  const disk = await RawDisk.open(file);
  await disk.writeZeroes(512, 512, true);
  expect(holes).toEqual([[512, 512]]);
  expect(file.bytes[512]).toBe(7);
  await disk.writeZeroes(1024, 512, true);
  await disk.writeZeroes(2048, 512, false);
  expect(holes.length).toBe(2);
  const zero = Array.from({ length: 8 }, (_, sector) => file.bytes[sector * 512] === 0);
  expect(zero).toEqual([false, false, true, false, true, false, false, false]);
});
