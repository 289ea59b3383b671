// POSIX.1-2017, 12.2 "Utility Syntax Guidelines", and getopt_long(3).
import { expect, test } from 'vitest';
import { getopt } from './getopt.ts';

const OPTIONS = [
  { name: 'v' },
  { name: 'c' },
  { name: 'm', argument: 'size' },
  { name: 'd', argument: 'disk', repeats: true },
  { name: 'exit-port' },
  { name: 'port', argument: 'number' },
];

function parse(line: string): string {
  const { options, operands } = getopt(line.split(' ').filter(Boolean), OPTIONS);
  const found = options.map(({ name, value }) => (value === '' ? name : `${name}=${value}`));
  return [...found, '|', ...operands].join(' ');
}

test.each([
  ['-v -c', 'v c |'],
  ['-vc', 'v c |'],
  ['-m512M', 'm=512M |'],
  ['-m 512M', 'm=512M |'],
  ['-vm512M name', 'v m=512M | name'],
  ['-m -v', 'm=-v |'],
  ['-d a -d b', 'd=a d=b |'],
  ['--exit-port', 'exit-port |'],
  ['--port 5 --port=6', 'more than once'],
  ['--port=a=b', 'port=a=b |'],
  ['-v -- -c', 'v | -c'],
  ['name -v', '| name -v'],
  ['- -v', '| - -v'],
  ['', '|'],
])('getopt() reads "%s" as %j', (line, expected) => {
  if (expected.includes('|')) expect(parse(line)).toBe(expected);
  else expect(() => parse(line)).toThrow(expected);
});

test.each([
  ['-x', 'unknown option: -x'],
  ['-vx', 'unknown option: -x'],
  ['--exit', 'unknown option: --exit'],
  ['--v', 'unknown option: --v'],
  ['-m', 'option requires an argument: -m'],
  ['--port', 'option requires an argument: --port'],
  ['--exit-port=1', 'option takes no argument: --exit-port'],
  ['-v -v', 'option given more than once: -v'],
])('getopt() refuses "%s"', (line, message) => {
  expect(() => parse(line)).toThrow(message);
});
