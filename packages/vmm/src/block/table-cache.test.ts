import { expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { TableCache } from './table-cache.ts';

const BYTES = 2048;

function cacheOf(tablesMax: number): { cache: TableCache; file: MemoryFile; reads: number[] } {
  const file = new MemoryFile(Uint8Array.from({ length: BYTES * 8 }, (_, at) => at / BYTES));
  const reads: number[] = [];
  const read = file.read.bind(file);
  file.read = (offset, into) => {
    reads.push(offset / BYTES);
    return read(offset, into);
  };
  return { cache: new TableCache(file, BYTES, tablesMax), file, reads };
}

test('load() reads a table once, also for two who ask at the same time', async () => {
  const { cache, reads } = cacheOf(4);
  const [one, two] = await Promise.all([cache.load(BYTES), cache.load(BYTES)]);
  expect(one).toBe(two);
  expect(cache.peek(BYTES)).toBe(one);
  expect(one.bytes[0]).toBe(1);
  expect(reads).toEqual([1]);
});

test('load() forgets what was used least recently, but nothing that has changed', async () => {
  const { cache, reads } = cacheOf(2);
  const first = await cache.load(0);
  cache.touch(first, 0, 8);
  await cache.load(BYTES);
  await cache.load(2 * BYTES);
  await cache.load(3 * BYTES);
  expect(cache.peek(0)).toBe(first);
  await cache.load(BYTES);
  expect(reads).toEqual([0, 1, 2, 3, 1]);
});

test('write() writes the sectors that have changed', async () => {
  const { cache, file } = cacheOf(4);
  const table = await cache.load(BYTES);
  table.bytes.fill(0xff);
  cache.touch(table, 600, 8);
  cache.touch(table, 1020, 8);
  expect(cache.dirty).toEqual([table]);
  await cache.write(table);
  expect(cache.dirty).toEqual([]);
  const changed = [...file.bytes.entries()].filter(([, byte]) => byte === 0xff).map(([at]) => at);
  expect([changed[0], changed.at(-1)]).toEqual([BYTES + 512, BYTES + 1535]);
});

test('create() starts with zeroes or a copy, and all of it is to be written', async () => {
  const { cache, file } = cacheOf(4);
  const copy = cache.create(9 * BYTES, await cache.load(5 * BYTES));
  await cache.write(copy);
  await cache.write(cache.create(8 * BYTES));
  expect(file.bytes.length).toBe(10 * BYTES);
  expect(file.bytes[8 * BYTES]).toBe(0);
  expect(file.bytes.subarray(9 * BYTES).every((byte) => byte === 5)).toBe(true);
});

test('drop() forgets changes too', async () => {
  const { cache } = cacheOf(4);
  cache.create(0);
  cache.drop(0);
  expect(cache.dirty).toEqual([]);
  expect(cache.peek(0)).toBe(undefined);
});
