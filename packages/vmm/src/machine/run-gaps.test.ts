import { expect, test } from 'vitest';
import { GAP_CLASSES_MS, RunGaps } from './run-gaps.ts';

test('RunGaps counts a gap in the class whose end it does not reach, and keeps the longest', () => {
  const gaps = new RunGaps();
  for (const ns of [0, 999_999, 1_000_000, 4_999_999, 19e6, 50e6, 3e9]) gaps.count(ns);
  expect(GAP_CLASSES_MS).toEqual([1, 2, 5, 10, 20, 50]);
  expect(gaps.statistics).toEqual({ counts: [2, 1, 1, 0, 1, 0, 2], longestNs: 3e9 });
});
