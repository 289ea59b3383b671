import { expect, test } from 'vitest';
import { type Sample, sampleProcess, sharesOf } from './processor-share.ts';

const MS = 1e6;

function sample(atMs: number, times: Record<string, readonly [number, number]>): Sample {
  const threads = Object.entries(times).map(
    ([id, [ran, waited]]) => [id, { ranNs: ran * MS, waitedNs: waited * MS }] as const,
  );
  return { atMs, threads: new Map(threads) };
}

test('sharesOf() are of the busiest thread between the samples', () => {
  const before = sample(0, { 1: [900, 900], 2: [0, 0] });
  const after = sample(100, { 1: [910, 975], 2: [55, 40] });
  const shares = sharesOf(before, after, 100 * MS)!;
  expect(shares.ran).toBeCloseTo(0.55, 12);
  expect(shares.waited).toBeCloseTo(0.4, 12);
});

test('sharesOf() count a thread that began in between from nothing', () => {
  const shares = sharesOf(sample(0, {}), sample(100, { 7: [70, 25] }), 100 * MS)!;
  expect(shares.waited).toBeCloseTo(0.25, 12);
});

test('sharesOf() never exceed the whole', () => {
  const shares = sharesOf(sample(0, {}), sample(100, { 7: [90, 30] }), 100 * MS)!;
  expect(shares.waited).toBeCloseTo(0.25, 12);
});

test('sharesOf() are not known when the samples are of another time', () => {
  const [before, after] = [sample(0, {}), sample(100, { 1: [50, 50] })];
  expect(sharesOf(before, after, 91 * MS)).toBeDefined();
  expect(sharesOf(before, after, 89 * MS)).toBeUndefined();
  expect(sharesOf(before, after, 112 * MS)).toBeUndefined();
});

test('sharesOf() are not known of a host that does not count, or of no time', () => {
  expect(sharesOf(sample(0, {}), sample(100, {}), 100 * MS)).toBeUndefined();
  expect(sharesOf(sample(5, { 1: [0, 0] }), sample(5, { 1: [9, 9] }), 0)).toBeUndefined();
});

test('sampleProcess() of a process that there is not has no threads', () => {
  expect(sampleProcess(undefined).threads.size).toBe(0);
});

test('sampleProcess() counts what the process has run, as getrusage(2) does', ({ skip }) => {
  const ranNs = (): number =>
    [...sampleProcess(process.pid).threads.values()].reduce((sum, { ranNs }) => sum + ranNs, 0);
  if (ranNs() === 0) skip('This host does not count what threads run.');
  const start = ranNs();
  const usage = process.cpuUsage();
  const used = (): number => {
    const { user, system } = process.cpuUsage(usage);
    return user + system;
  };
  while (used() < 100_000);
  expect(ranNs() - start).toBeGreaterThan(50 * MS);
});
