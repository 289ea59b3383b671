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
