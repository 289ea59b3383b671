import { expect, test } from 'vitest';
import { HotSpots } from './hot-spots.ts';

test('HotSpots counts slices by where they end, and how many were compiled', () => {
  const spots = new HotSpots();
  for (let i = 0; i < 5; i++) spots.note(0x81a3f2c0 | 0, 0xffffffff | 0, i > 0);
  for (let i = 0; i < 3; i++) spots.note(0x401000, 0, true);
  spots.note(0x12345678, 0x7fff, false);
  expect(spots.slices).toBe(9);
  expect(spots.hottest(2)).toEqual([
    { address: '0xffffffff81a3f2c0', slices: 5, compiled: 4 },
    { address: '0x401000', slices: 3, compiled: 3 },
  ]);
  expect(spots.hottest(9).map(({ address }) => address)).toContain('0x7fff12345678');
});

test('HotSpots keeps the frequent ones of any number of addresses', () => {
  const spots = new HotSpots();
  for (let i = 0; i < 100_000; i++) {
    spots.note(i, 1, true);
    if (i % 100 === 0) spots.note(7, 0, true);
  }
  expect(spots.hottest(1)).toEqual([{ address: '0x7', slices: 1000, compiled: 1000 }]);
  expect(spots.hottest(Number.POSITIVE_INFINITY).length).toBeLessThanOrEqual(8192);
});
