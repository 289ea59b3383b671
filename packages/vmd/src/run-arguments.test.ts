// What a user can get wrong with "vmctl run", and what the command makes of the rest.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { getopt } from './getopt.ts';
import { type RunArguments, runArguments } from './run-arguments.ts';
import { RUN_OPTIONS } from './run-options.ts';

let folder: string;
const warnings: string[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'run-arguments-'));
  const files = { kernel: 'kernel', 'a.mod': 'AA', 'b.mod': 'BBB', 'x,y': 'comma', disk: 'disk' };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
});
afterAll(() => rmSync(folder, { recursive: true }));

function parse(...words: string[]): RunArguments {
  const here = words.map((word) => word.replaceAll('@', folder));
  warnings.length = 0;
  return runArguments(getopt(here, RUN_OPTIONS), (text) => warnings.push(text));
}

test('runArguments() has defaults for everything but the kernel', () => {
  const { kernel, ...rest } = parse('-b', '@/kernel');
  expect(new TextDecoder().decode(kernel)).toBe('kernel');
  expect(rest).toEqual({
    name: 'vm',
    memoryBytes: 512 * 2 ** 20,
    kernelPath: `${folder}/kernel`,
    modules: [],
    commandLine: 'console=ttyS0',
    disks: [],
    bootDevice: 'auto',
    interfaces: [{}],
    engine: 'auto',
    jit: 'on',
    cpu: 'v3',
    exitPort: false,
    noReboot: false,
    verbose: false,
  });
});

test('runArguments() takes every option', () => {
  const words = '-v -m 64M -b @/kernel -d @/disk -d @/a.mod -e soft -t 1.5 --exit-port --no-reboot';
  const run = parse(...words.split(' '), '-a', 'a b', 'web.1');
  expect(run).toMatchObject({
    name: 'web.1',
    memoryBytes: 64 * 2 ** 20,
    commandLine: 'a b',
    timeoutMs: 1500,
    exitPort: true,
    noReboot: true,
    verbose: true,
    disks: [
      { path: `${folder}/disk`, readOnly: false },
      { path: `${folder}/a.mod`, readOnly: false },
    ],
  });
});

test('runArguments() reads modules as QEMU does, and a name with a comma as itself', () => {
  const strings = (initrd: string): [string, string][] =>
    parse('-b', '@/kernel', '-I', initrd).modules.map(({ commandLine, bytes }) => [
      commandLine.replaceAll(folder, '@'),
      new TextDecoder().decode(bytes),
    ]);
  expect(strings('@/a.mod')).toEqual([['@/a.mod', 'AA']]);
  expect(strings('@/a.mod one two,@/b.mod')).toEqual([
    ['@/a.mod one two', 'AA'],
    ['@/b.mod', 'BBB'],
  ]);
  expect(strings('@/x,y')).toEqual([['@/x,y', 'comma']]);
});

test('runArguments() takes a CD-ROM and what to boot from', () => {
  expect(parse('-b', '@/kernel')).toMatchObject({ bootDevice: 'auto' });
  expect(parse('-b', '@/kernel', '-r', '/a.iso', '-B', 'cdrom')).toMatchObject({
    cdrom: '/a.iso',
    bootDevice: 'cdrom',
  });
});

test('runArguments() rounds memory down to megabytes and says so', () => {
  expect(parse('-b', '@/kernel', '-m', '20.7M').memoryBytes).toBe(20 * 2 ** 20);
  expect(warnings).toEqual(['memory size rounded to 20 megabytes']);
  expect(parse('-b', '@/kernel', '-m', '16M').memoryBytes).toBe(16 * 2 ** 20);
});

test.each([
  ['', 'There is nothing to boot: name a kernel with -b, a disk with -d, or a CD-ROM with -r.'],
  ['-b @/kernel -B tape', 'unknown boot device tape (one of: cdrom, disk, net)'],
  ['-b @/none', /^Cannot open kernel .*none: there is no such file\.$/],
  ['-b @', /^Cannot open kernel .*: it is a directory\.$/],
  ['-b @/kernel/x', /a part of its path is not a directory\.$/],
  ['-b /dev/null', /it is not a regular file\.$/],
  ['-b @/kernel -I @/none', /^Cannot open initrd .*none: there is no such file\.$/],
  ['-b @/kernel -m 15.9M', 'A memory of 15.9M is too small: at least 16M is needed.'],
  ['-b @/kernel -m 512', 'A memory of 512 is too small: at least 16M is needed.'],
  ['-b @/kernel -m lots', 'invalid memory size: lots'],
  ['-b @/kernel -m 4P', /^A memory of 4294967296M is more than this host can give: it has \d+M/],
  ['-b @/kernel --cpu v4', 'unknown model: v4 (--cpu is one of: v2, v3)'],
  ['-b @/kernel -e jit', 'unknown engine: jit (there is: auto, soft, kvm)'],
  ['-b @/kernel -t 0', 'invalid number of seconds: 0'],
  ['-b @/kernel -t 1e3', 'invalid number of seconds: 1e3'],
  ['-b @/kernel -t 2147484', 'invalid number of seconds: 2147484'],
  ['-b @/kernel -d a -d a -d a -d a -d a', 'too many disks'],
  ['-b @/kernel -x', 'unknown option: -x'],
  ['-b @/kernel -b @/kernel', 'option given more than once: -b'],
  ['-b @/kernel .hidden', 'invalid VM name: .hidden'],
  ['-b @/kernel ../x', 'invalid VM name: ../x'],
  [`-b @/kernel ${'n'.repeat(64)}`, 'vm name too long'],
])('runArguments() refuses "%s"', (line, message) => {
  expect(() => parse(...line.split(' ').filter(Boolean))).toThrow(message);
});
