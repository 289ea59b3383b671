import { expect, test } from 'vitest';
import { statisticsText } from './run-command.ts';

test('statisticsText() reckons MIPS over the time the processor was not halted', () => {
  const text = statisticsText({
    instructions: 300_000_000,
    seconds: 5,
    idleSeconds: 3,
    tlbMisses: 12,
    exits: { io: 3, hlt: 40 },
    faults: { '#PF': 7 },
  });
  expect(text.split('\n').map((line) => line.replace(/ {2,}/, ': '))).toEqual([
    'instructions: 300000000',
    'seconds: 5.000 (3.000 idle)',
    'MIPS: 150.0',
    'TLB misses: 12',
    'exit hlt: 40',
    'exit io: 3',
    'fault #PF: 7',
    '',
  ]);
});
