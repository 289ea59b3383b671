// vmd(8)'s guest layout; the end addresses are those of its memory ranges.
import { expect, test } from 'vitest';
import { memoryMap } from './memory-map.ts';

const MB = 0x10_0000;

test('memoryMap() gives a small machine 636 KiB and the rest from 1 MiB', () => {
  expect(memoryMap(512 * MB)).toEqual([
    { base: 0, sizeBytes: 636 * 1024, type: 1 },
    { base: 0x9f000, sizeBytes: 0x61000, type: 2 },
    { base: MB, sizeBytes: 511 * MB, type: 1 },
  ]);
});

test('memoryMap() ends low memory at the PCI window and goes on at 4 GiB', () => {
  expect(memoryMap(4096 * MB).slice(2)).toEqual([
    { base: MB, sizeBytes: 0xf000_0000 - MB, type: 1 },
    { base: 0x1_0000_0000, sizeBytes: 0x1000_0000, type: 1 },
  ]);
  expect(memoryMap(0xf000_0000)).toHaveLength(3);
});
