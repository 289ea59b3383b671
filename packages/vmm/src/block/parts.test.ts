import { expect, test } from 'vitest';
import { allEnded, byteLength, clearParts, fillParts, sliceParts } from './parts.ts';

const parts = (): Uint8Array[] => [
  Uint8Array.of(1, 2, 3),
  new Uint8Array(0),
  Uint8Array.of(4),
  Uint8Array.of(5, 6),
];
const flat = (pieces: Uint8Array[]): number[] => pieces.flatMap((piece) => [...piece]);

test('sliceParts() gives views of any range', () => {
  for (let offset = 0; offset <= 6; offset++) {
    for (let length = 0; offset + length <= 6; length++) {
      const whole = parts();
      const slice = sliceParts(whole, offset, length);
      expect(flat(slice)).toEqual([1, 2, 3, 4, 5, 6].slice(offset, offset + length));
      clearParts(slice);
      expect(flat(whole).filter((byte) => byte === 0)).toHaveLength(length);
    }
  }
  expect(byteLength(parts())).toBe(6);
});

test('fillParts() scatters bytes', () => {
  const whole = parts();
  fillParts(whole, Uint8Array.of(9, 8, 7, 6, 5, 4));
  expect(whole.map((part) => [...part])).toEqual([[9, 8, 7], [], [6], [5, 4]]);
});

test('allEnded() waits for the last operation, and fails then with the first failure', async () => {
  let end = (): void => {};
  const last = new Promise<void>((resolve) => {
    end = resolve;
  });
  let ended = false;
  const all = allEnded([Promise.reject(new Error('one')), last]).finally(() => {
    ended = true;
  });
  const failure = expect(all).rejects.toThrow('one');
  await Promise.resolve();
  expect(ended).toBe(false);
  end();
  await failure;
});
