import { expect, test } from 'vitest';
import { LOADS, soakArguments } from './arguments.ts';

test('soakArguments() of nothing is ten minutes of all loads, interpreted', () => {
  expect(soakArguments([], 7)).toEqual({
    minutes: 10,
    jit: 'off',
    memory: '256M',
    seed: 7,
    loads: LOADS,
    every: 5,
  });
});

test('soakArguments() reads every option', () => {
  const words = '--minutes 0.5 --jit=on --memory 1G --seed 9 --loads tcc,gcc --every 1';
  expect(soakArguments([...words.split(' '), '--json', 'c', '--log=l'], 7)).toEqual({
    minutes: 0.5,
    jit: 'on',
    memory: '1G',
    seed: 9,
    loads: ['tcc', 'gcc'],
    every: 1,
    json: 'c',
    log: 'l',
  });
});

test.each([
  ['--minutes 0', 'invalid --minutes: 0 (from 0.1 to 10000)'],
  ['--minutes 5m', 'invalid --minutes: 5m (from 0.1 to 10000)'],
  ['--jit=fast', 'unknown mode: fast (--jit is one of: off, on, always)'],
  ['--seed 0', 'invalid --seed: 0 (from 1 to 2147483646)'],
  ['--seed 1.5', 'invalid seed: 1.5'],
  ['--loads tcc,x', 'unknown load: x (there are: '],
  ['--hours 1', "Unknown option '--hours'"],
  ['twice', 'Unexpected argument'],
])('soakArguments() refuses %s', (words, message) => {
  expect(() => soakArguments(words.split(' '), 7)).toThrow(message);
});
