import { expect, test } from 'vitest';
import { type ItemResult, mismatches, parseLine, parseStatistics, unchecked } from './results.ts';

test('parseLine() reads a result', () => {
  const line = 'bench: item sha256 unit=byte cold=65536,1200 warm=655360,9000 sum=00000000deadbeef';
  expect(parseLine(line)).toEqual({
    kind: 'item',
    result: {
      name: 'sha256',
      unit: 'byte',
      cold: { work: 65536, ns: 1200 },
      warm: { work: 655360, ns: 9000 },
      sum: '00000000deadbeef',
    },
  });
});

test.each([
  ['bench: begin', { kind: 'begin' }],
  ['bench: start crc32-sse42', { kind: 'start', name: 'crc32-sse42' }],
  ['bench: pass cold', { kind: 'pass', name: 'cold' }],
  ['bench: failed x87 signal 8', { kind: 'failed', name: 'x87', reason: 'signal 8' }],
  ['bench: end ns=123456789', { kind: 'end', ns: 123456789 }],
])('parseLine() reads "%s"', (text, line) => {
  expect(parseLine(text)).toEqual(line);
});

test.each([
  '[    0.030869] ACPI BIOS Error (bug)',
  'init: hello from the initramfs',
  '',
  'bench: item alu unit=loop cold=1,2 warm=3,4 sum=12',
  'bench: item alu unit=loop cold=1,2 warm=3,4 sum=00000000deadbeef[    7.1] random: crng',
  'x bench: begin',
])('parseLine() leaves "%s" alone', (text) => {
  expect(parseLine(text)).toBeUndefined();
});

test('parseStatistics() reads what "vmctl run -v" prints, whatever its rows', () => {
  const text =
    'vmctl: The run ended: halted.\n' +
    'instructions           1566718804\n' +
    'seconds                10.951 (0.025 idle)\n' +
    'exit interrupt window  111\n';
  expect(parseStatistics(text)).toEqual({
    instructions: '1566718804',
    seconds: '10.951 (0.025 idle)',
    'exit interrupt window': '111',
  });
});

const result = (name: string, sum: string): ItemResult => {
  return { name, unit: 'loop', warm: { work: 1, ns: 1 }, sum };
};

test('mismatches() names item, contenders and sums, and does not compare scales', () => {
  const runs = [
    { contender: 'native', permille: 1000, items: [result('alu', 'a'), result('sort', 'b')] },
    { contender: 'jit', permille: 1000, items: [result('alu', 'a'), result('sort', 'c')] },
    { contender: 'interp', permille: 100, items: [result('alu', 'd')] },
  ];
  expect(mismatches(runs)).toEqual(['Item sort: jit computes c, but native b.']);
});

test('mismatches() finds a contender that does not agree with itself', () => {
  const runs = ['a', 'b'].map((sum) => {
    return { contender: 'jit', permille: 1000, items: [result('alu', sum)] };
  });
  expect(mismatches(runs)).toEqual(['Item alu: jit computes b, but jit a.']);
});

test('unchecked() are the scales at which a contender is alone', () => {
  const run = (contender: string, permille: number) => ({ contender, permille, items: [] });
  const runs = [run('native', 1000), run('jit', 1000), run('interp', 100), run('interp', 100)];
  expect(unchecked(runs)).toEqual([100]);
});
