import { expect, test } from 'vitest';
import { type Sample, sampleProcess, waitedShare } from './processor-share.ts';

const MS = 1e6;

function sample(atMs: number, times: Record<string, readonly [number, number]>): Sample {
  const threads = Object.entries(times).map(
    ([id, [ran, waited]]) => [id, { ranNs: ran * MS, waitedNs: waited * MS }] as const,
  );
  return { atMs, threads: new Map(threads) };
}

test('waitedShare() is of the busiest thread between the samples', () => {
  const before = sample(0, { 1: [900, 900], 2: [0, 0] });
  const after = sample(100, { 1: [910, 985], 2: [60, 40] });
  expect(waitedShare(before, after)).toBeCloseTo(0.4, 12);
});

test('waitedShare() counts a thread that began in between from nothing', () => {
  expect(waitedShare(sample(0, {}), sample(100, { 7: [75, 25] }))).toBeCloseTo(0.25, 12);
});

test('waitedShare() of a host that does not count, or of no time, is 0', () => {
  expect(waitedShare(sample(0, {}), sample(100, {}))).toBe(0);
  expect(waitedShare(sample(5, { 1: [0, 0] }), sample(5, { 1: [9, 9] }))).toBe(0);
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
