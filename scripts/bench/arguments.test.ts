import { expect, test } from 'vitest';
import { parseSettings } from './arguments.ts';

test('parseSettings() of nothing runs all items, the interpreter once with a tenth', () => {
  const settings = parseSettings([]);
  expect(settings.only).toEqual([]);
  expect(settings.contenders).toEqual(['native', 'qemu', 'jit', 'interp']);
  expect(settings.rounds).toMatchObject({ native: 3, qemu: 3, jit: 3, interp: 1 });
  expect(settings.permille).toMatchObject({ native: 1000, jit: 1000, interp: 100 });
});

test('parseSettings() takes values for all, and for a contender', () => {
  const words = '--rounds 5 --rounds interp=2 --scale 0.25 --scale qemu=.5 --only a,b';
  const settings = parseSettings(`${words} --contenders jit,qemu`.split(' '));
  expect(settings.rounds).toMatchObject({ jit: 5, qemu: 5, interp: 2 });
  expect(settings.permille).toMatchObject({ jit: 250, qemu: 500, interp: 100 });
  expect(settings.only).toEqual(['a', 'b']);
  expect(settings.contenders).toEqual(['jit', 'qemu']);
});

test.each([
  ['--contenders bochs', /^There is no contender bochs; there are native, qemu, /],
  ['--rounds 0', /^The value 0 of --rounds is no number for it\.$/],
  ['--rounds jit=x', /^The value x of --rounds is no number for it\.$/],
  ['--scale bochs=1', /^There is no contender bochs/],
  ['--scale 0', /^The value 0 of --scale/],
  ['--scale 1e9', /^The value 1e9 of --scale/],
  ['--fast', /^Unknown option '--fast'\.$/],
  ['alu', /^Unexpected argument 'alu'\.$/],
])('parseSettings() refuses "%s"', (words, message) => {
  expect(() => parseSettings(words.split(' '))).toThrow(message);
});
