import { platform } from 'node:process';
import { expect, test } from 'vitest';
import { curveTable, judge, memoryOf, parseMemory, type Sample } from './memory-curve.ts';

/** A sample every 10 seconds. */
const curve = (rss: readonly number[]): Sample[] =>
  rss.map((rssMiB, index) => ({
    seconds: index * 10,
    rssMiB,
    peakMiB: Math.max(...rss.slice(0, index + 1)),
    pssMiB: undefined,
    rounds: index >> 1,
  }));

test('judge() calls flat what rises in the first half only', () => {
  const verdict = judge(curve([100, 300, 400, 390, 395, 400, 398, 399]));
  expect(verdict).toMatchObject({ flat: true, firstMiB: 400, secondMiB: 400, limitMiB: 456 });
  expect(verdict.growthMiBPerMinute).toBeCloseTo(6 * slopeOf([395, 400, 398, 399]), 9);
});

/** Least squares in another form, for points one apart: (n Σxy - Σx Σy) / (n Σx² - (Σx)²). */
function slopeOf(values: readonly number[]): number {
  let [x, y, xy, xx] = [0, 0, 0, 0];
  for (const [index, value] of values.entries()) {
    x += index;
    y += value;
    xy += index * value;
    xx += index * index;
  }
  return (values.length * xy - x * y) / (values.length * xx - x * x);
}

test('judge() allows a tenth and 16 MiB more, and nothing above', () => {
  const first = [200, 200, 200, 200];
  expect(judge(curve([...first, 200, 236, 200, 200])).flat).toBe(true);
  expect(judge(curve([...first, 200, 236.1, 200, 200])).flat).toBe(false);
});

test('judge() finds a steady leak', () => {
  const leak = Array.from({ length: 60 }, (_, minute) => 300 + 5 * minute);
  const verdict = judge(curve(leak));
  expect(verdict.flat).toBe(false);
  expect(verdict.growthMiBPerMinute).toBeCloseTo(30, 6);
});

test('judge() leaves out what was before the load', () => {
  const samples = curve([10, 20, 30, 40, 50, 60, 300, 301, 302, 303, 304, 305]);
  expect(judge(samples).flat).toBe(false);
  expect(judge(samples, 60)).toMatchObject({ flat: true, firstMiB: 302, secondMiB: 305 });
  expect(judge(samples, 200).flat).toBeUndefined();
});

test('judge() says nothing of few samples', () => {
  expect(judge([]).flat).toBeUndefined();
  expect(judge(curve([100])).flat).toBeUndefined();
  expect(judge(curve([100, 900, 100, 900, 900])).flat).toBeUndefined();
  expect(judge(curve([100, 100, 100, 900, 900, 900])).flat).toBe(false);
});

test('curveTable() has a row for each minute, and at most 30', () => {
  expect(curveTable(curve([100, 110, 120, 130, 140, 150, 160, 170]))).toBe(
    'minute  RSS MiB  PSS MiB  peak MiB  rounds\n' +
      '     0    150.0        -     150.0       2\n' +
      '     1    170.0        -     170.0       3\n',
  );
  const hours = curve(new Array<number>(6 * 60 * 5).fill(100));
  const rows = curveTable(hours).trim().split('\n').slice(1);
  expect(rows).toHaveLength(30);
  expect(rows[1]).toMatch(/^ +10 +100\.0 /);
});

test('parseMemory() reads what proc_pid_status(5) and proc_pid_smaps(5) describe', () => {
  const status = 'Name:\tnode\nVmPeak:\t 9999 kB\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n';
  const rollup = '55d0-7ffd ---p 00000000 00:00 0  [rollup]\nRss:  2048 kB\nPss:  1024 kB\n';
  expect(parseMemory(status, rollup)).toEqual({ rssMiB: 2, peakMiB: 4, pssMiB: 1 });
  expect(parseMemory(status, undefined)).toEqual({ rssMiB: 2, peakMiB: 4, pssMiB: undefined });
  expect(parseMemory('Name:\tnode\nState:\tZ (zombie)\n', undefined)).toBeUndefined();
});

// Only Linux has /proc/PID/status.
test.skipIf(platform !== 'linux')('memoryOf() agrees with Node about this process', () => {
  const memory = memoryOf(process.pid)!;
  const rssMiB = process.memoryUsage.rss() / 2 ** 20;
  expect(Math.abs(memory.rssMiB - rssMiB)).toBeLessThan(16);
  expect(memory.peakMiB).toBeGreaterThanOrEqual(memory.rssMiB - 16);
});

test('memoryOf() a process that is not there is undefined', () => {
  expect(memoryOf(2 ** 22 + 1)).toBeUndefined();
});
