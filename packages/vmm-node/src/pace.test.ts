import { expect, test } from 'vitest';
import { Pace } from './pace.ts';

/** How many of `count` operations of `bytes` run at once when each takes `ms`. */
function atOnce(pace: (ms: number) => boolean, ms: number, count: number): number {
  let ran = 0;
  for (let i = 0; i < count; i++) if (pace(ms)) ran++;
  return ran;
}

function paceOf(bytes: number): (ms: number) => boolean {
  let now = 0;
  const pace = new Pace(() => now);
  return (ms) => pace.run(bytes, () => void (now += ms));
}

test('what is quick runs at once, always', () => {
  expect(atOnce(paceOf(4096), 0.002, 1000)).toBe(1000);
});

test('what is slow runs at once ever more rarely', () => {
  const run = paceOf(4096);
  expect(atOnce(run, 10, 100)).toBeLessThanOrEqual(5);
  expect(atOnce(run, 10, 10_000)).toBeLessThanOrEqual(20);
});

test('what was slow once, and is not any more, soon runs at once again', () => {
  const run = paceOf(4096);
  atOnce(run, 10, 1);
  expect(atOnce(run, 0.002, 1000)).toBe(992);
  atOnce(run, 10, 1);
  expect(atOnce(run, 0.002, 1000)).toBe(992);
});

test('large operations never run at once, and more bytes may take longer', () => {
  expect(atOnce(paceOf(1 << 20), 0, 10)).toBe(0);
  expect(atOnce(paceOf(128 << 10), 0.1, 10)).toBe(10);
  expect(atOnce(paceOf(4096), 0.1, 9)).toBe(1);
});
