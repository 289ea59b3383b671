import { expect, test } from 'vitest';
import { statisticsText } from './run-statistics.ts';

const lines = (text: string): string[] =>
  text.split('\n').map((line) => line.replace(/ {2,}/, ': '));

const STATISTICS = {
  instructions: 300_000_000,
  seconds: 5,
  idleSeconds: 3,
  tlbMisses: 12,
  gaps: { counts: [900, 80, 7, 0, 0, 1, 0], longestNs: 23_450_000 },
  exits: { io: 3, hlt: 40 },
  faults: { '#PF': 7 },
};

const GAPS = [
  'gap < 1 ms: 900',
  'gap < 2 ms: 80',
  'gap < 5 ms: 7',
  'gap < 10 ms: 0',
  'gap < 20 ms: 0',
  'gap < 50 ms: 1',
  'gap longer: 0',
  'gap longest: 23.4 ms',
];

test('statisticsText() reckons MIPS over the time the processor was not halted', () => {
  expect(lines(statisticsText(STATISTICS))).toEqual([
    'instructions: 300000000',
    'seconds: 5.000 (3.000 idle)',
    'MIPS: 150.0',
    'TLB misses: 12',
    ...GAPS,
    'exit hlt: 40',
    'exit io: 3',
    'fault #PF: 7',
    '',
  ]);
});

test('statisticsText() says what the compiler did, and its share of the instructions', () => {
  const compiler = {
    executed: 240_000_000,
    regions: 320,
    modules: 20,
    dropped: 4,
    instructions: 9000,
    bytes: 1_234_567,
    milliseconds: 41.7,
    flushes: 2,
    invalidations: 310,
  };
  expect(lines(statisticsText({ ...STATISTICS, compiler })).slice(3, 9)).toEqual([
    'compiled: 240000000 executed (80.0 %)',
    'regions: 320 in 20 modules, 4 dropped',
    'evictions: 2 of all code, 310 of a page that was written',
    'compiler input: 9000 instructions',
    'compiler output: 1234567 bytes',
    "compiler ms: 42 of the processor's thread",
  ]);
});

test('statisticsText() says where slices ended', () => {
  const hottest = [
    { address: '0xffffffff81a3f2c0', slices: 500, compiled: 500 },
    { address: '0x401000', slices: 25, compiled: 5 },
  ];
  const text = lines(statisticsText({ ...STATISTICS, slices: 1000, hottest }));
  expect(text).toContain('hot 0xffffffff81a3f2c0: 50.0 % of 1000 slices, 100 % of them compiled');
  expect(text).toContain('hot 0x401000: 2.5 % of 1000 slices, 20 % of them compiled');
});
