// Expectations follow scan_scaled(3): powers of 1024, either case, fractions only scaled.
import { expect, test } from 'vitest';
import { scanScaled } from './scan-scaled.ts';

test.each([
  ['512M', 512 * 2 ** 20],
  ['1G', 2 ** 30],
  ['1g', 2 ** 30],
  ['0', 0],
  ['64', 64],
  ['64B', 64],
  ['10k', 10240],
  ['1.5G', 1.5 * 2 ** 30],
  ['.5K', 512],
  ['2.T', 2 ** 41],
  ['0.1G', 107374182],
  [' +3M', 3 * 2 ** 20],
  ['1P', 2 ** 50],
])('scanScaled(%j) is %d bytes', (text, bytes) => {
  expect(scanScaled(text, 'size')).toBe(bytes);
});

test.each(['', ' ', 'M', '.', '-1G', '1GB', '1 G', '1.2.3K', '0x10', '1e3', '12Q', '512M ', '９'])(
  'scanScaled(%j) is refused',
  (text) => {
    expect(() => scanScaled(text, 'memory size')).toThrow(`invalid memory size: ${text}`);
  },
);

test('scanScaled() refuses what is too large to be exact', () => {
  expect(() => scanScaled('8E', 'size')).toThrow('8E is too large');
  expect(() => scanScaled('9'.repeat(400), 'size')).toThrow('is too large');
});
