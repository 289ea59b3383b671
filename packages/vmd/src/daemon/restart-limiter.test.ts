import { expect, test } from 'vitest';
import { RestartLimiter } from './restart-limiter.ts';

/** Which of the restarts, so many milliseconds one after the other, are allowed. */
function restarts(...intervalsMs: number[]): boolean[] {
  let nowMs = 1000;
  const limiter = new RestartLimiter(nowMs);
  return intervalsMs.map((interval) => limiter.allows((nowMs += interval)));
}

test('three quick restarts are allowed, and not the fourth', () => {
  expect(restarts(5999, 10, 0, 5999)).toEqual([true, true, true, false]);
});

test('one that is not quick starts the count anew', () => {
  expect(restarts(10, 10, 10, 6000, 10, 10, 10, 10)).toEqual([...Array(7).fill(true), false]);
});

test('slow ones are always allowed', () => {
  expect(restarts(...Array<number>(20).fill(6000))).toEqual(Array(20).fill(true));
});
