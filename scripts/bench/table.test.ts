// Expected numbers are worked out by hand.
import { expect, test } from 'vitest';
import type { ItemResult } from './results.ts';
import {
  formatRate,
  formatRatio,
  formatTable,
  geometricMean,
  means,
  median,
  rowsOf,
  type Turn,
} from './table.ts';

const pass = (work: number, ns: number) => ({ work, ns });

function item(name: string, warm: ItemResult['warm'], cold?: ItemResult['warm']): ItemResult {
  return { name, unit: 'loop', warm, ...(cold && { cold }), sum: '0' };
}

const turn = (contender: string, round: number, ...items: ItemResult[]): Turn => {
  return { contender, round, items };
};

/** One second of one contender does 100, 200 and 400 loops; of QEMU 100 each time, then 200. */
const TURNS = [
  turn('jit', 1, item('alu', pass(100, 1e9), pass(10, 1e9))),
  turn('qemu', 1, item('alu', pass(100, 1e9), pass(10, 5e8))),
  turn('qemu', 2, item('alu', pass(100, 1e9), pass(10, 5e8))),
  turn('jit', 2, item('alu', pass(200, 1e9), pass(10, 1e9))),
  turn('jit', 3, item('alu', pass(400, 1e9), pass(10, 1e9))),
  turn('qemu', 3, item('alu', pass(200, 1e9), pass(10, 5e8))),
];

test('median() of an even number of values is the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('geometricMean() of a ratio and its inverse is 1', () => {
  expect(geometricMean([0.25, 4])).toBeCloseTo(1, 12);
  expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
});

test('rowsOf() pairs the rounds: a ratio is the median of ratios, not of times', () => {
  const [row] = rowsOf(TURNS, ['jit', 'qemu']);
  expect(row!.rates).toEqual({ jit: 200, qemu: 100 });
  expect(row!.warm).toEqual({ jit: { median: 2, least: 1, most: 2 } });
  expect(row!.cold).toEqual({ jit: { median: 0.5, least: 0.5, most: 0.5 } });
});

test('rowsOf() compares only rounds that both ran in', () => {
  const turns = [...TURNS, turn('interp', 3, item('alu', pass(50, 1e9)))];
  const [row] = rowsOf(turns, ['interp', 'jit', 'qemu']);
  expect(row!.warm.interp).toEqual({ median: 0.25, least: 0.25, most: 0.25 });
  expect(row!.cold.interp).toBeUndefined();
});

test('rowsOf() does not count time in which the guest waited for a processor', () => {
  const turns = [
    turn('jit', 1, item('alu', { ...pass(100, 4e9), shares: { ran: 0.2, waited: 0.75 } })),
  ];
  expect(rowsOf(turns, ['jit'])[0]!.rates.jit).toBe(100);
});

test('rowsOf() keeps the order of the turn that has most items', () => {
  const turns = [
    turn('native', 1, item('alu', pass(1, 1))),
    turn('qemu', 1, item('boot', pass(1, 1)), item('alu', pass(1, 1))),
  ];
  expect(rowsOf(turns, ['native', 'qemu']).map(({ name }) => name)).toEqual(['boot', 'alu']);
});

test('means() takes the rows that have a ratio', () => {
  const rows = rowsOf(
    [
      turn('jit', 1, item('alu', pass(2, 1e9)), item('sort', pass(8, 1e9)), item('x', pass(1, 1))),
      turn('qemu', 1, item('alu', pass(1, 1e9)), item('sort', pass(1, 1e9))),
    ],
    ['jit', 'qemu'],
  );
  expect(means(rows, 'jit').warm).toBeCloseTo(4, 12);
  expect(means(rows, 'jit').cold).toBeNaN();
});

test.each([
  [999.6e6, '1.00G'],
  [123_456, '123k'],
  [12_345, '12.3k'],
  [9.996, '10.0 '],
  [0.21, '210m'],
  [undefined, '-'],
])('formatRate(%s) is %s', (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});

test('formatRatio() gives small ratios a digit more', () => {
  expect([0.0512, 0.512, 12.3456, Number.NaN].map(formatRatio)).toEqual([
    '0.051',
    '0.51',
    '12.35',
    '-',
  ]);
});

test('formatTable() aligns the columns, and gives a range when there are rounds', () => {
  const rows = rowsOf(TURNS, ['jit', 'qemu']);
  expect(formatTable(rows, ['jit', 'qemu'])).toBe(
    [
      'item            per second   jit  qemu  jit/qemu  range  cold',
      'alu             loop        200   100       2.00   ±25%  0.50',
      'geometric mean                              2.00         0.50',
      '',
    ].join('\n'),
  );
});

test('formatTable() compares ours with an earlier benchmark, item by item', () => {
  const now = rowsOf(
    [turn('jit', 1, item('alu', pass(6, 1e9)), item('new', pass(5, 1e9)))],
    ['jit'],
  );
  const before = rowsOf([turn('jit', 1, item('alu', pass(4, 1e9)))], ['jit']);
  expect(formatTable(now, ['jit'], before)).toBe(
    [
      'item            per second    jit  jit/before',
      'alu             loop        6.00         1.50',
      'new             loop        5.00            -',
      'geometric mean                           1.50',
      '',
    ].join('\n'),
  );
});
