import { expect, test } from 'vitest';
import { fmtScaled } from './fmt-scaled.ts';

// By hand after fmt_scaled(3): one digit after the point below 100, rounded to the nearest.
test.each([
  [0, '0B'],
  [1, '1B'],
  [1023, '1023B'],
  [1024, '1.0K'],
  [1536, '1.5K'],
  [99 * 1024, '99.0K'],
  [100 * 1024, '100K'],
  [100 * 1024 + 512, '101K'],
  [1024 * 1024 - 1, '1024K'],
  [1024 * 1024, '1.0M'],
  [512 * 1024 * 1024, '512M'],
  [Math.round(88.1 * 1024 * 1024), '88.1M'],
  [3 * 2 ** 30, '3.0G'],
  [128 * 2 ** 30, '128G'],
  [2 ** 50, '1.0P'],
])('fmtScaled(%d) is %s', (bytes, text) => {
  expect(fmtScaled(bytes)).toBe(text);
});
