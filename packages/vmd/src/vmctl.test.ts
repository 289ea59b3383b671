// The program itself, as built: exit status and the sentence on standard error.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { RUN_OPTIONS } from './run-options.ts';

const PROGRAM = fileURLToPath(new URL('../bin/vmctl.js', import.meta.url));

function vmctl(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8', timeout: 30_000 });
}

test('vmctl without a command, or with an unknown one, prints its usage', () => {
  for (const args of [[], ['nonsense'], ['-v']]) {
    const { status, stdout, stderr } = vmctl(...args);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vmctl: (missing command|unknown argument: nonsense)\nusage: vmctl /);
    expect(stderr).toContain('vmctl run [-vL] [-m size] [-b kernel]');
  }
});

test.each([
  [['run'], 'vmctl: There is no kernel to run: name one with -b.\n'],
  [['ru', '-b', '/none'], 'vmctl: Cannot open kernel /none: there is no such file.\n'],
  [['run', '--bogus'], 'vmctl: unknown option: --bogus\n'],
  [['completion', 'tcsh'], 'vmctl: unknown shell: tcsh (one of: bash, zsh, fish)\n'],
  [['completion'], 'vmctl: missing argument: shell\n'],
  [['-x', 'run'], 'vmctl: unknown option: -x\n'],
])('vmctl %j exits with 1 and one sentence', (args, message) => {
  const { status, stderr } = vmctl(...args);
  expect(stderr).toBe(message);
  expect(status).toBe(1);
});

test('vmctl run says which engine it takes when that is asked with -e auto, or with -v', () => {
  const run = (...options: string[]): string => {
    const { status, stderr } = vmctl('run', '-m', '16M', '-b', PROGRAM, ...options);
    expect(status).toBe(1);
    return stderr;
  };
  const line = /^vmctl: engine (soft|kvm): .*[^.]\nvmctl: .*kernel.*\n$/;
  expect(run('-e', 'auto')).toMatch(line);
  expect(run('-v')).toMatch(line);
  expect(run('-v', '-e', 'soft')).toMatch(/^vmctl: [^\n]*kernel[^\n]*\n$/);
  expect(run()).toMatch(/^vmctl: [^\n]*kernel[^\n]*\n$/);
});

test('vmctl completion prints a script on standard output', () => {
  const { status, stdout, stderr } = vmctl('completion', 'bash');
  expect(stdout).toMatch(/^# vmctl completion for bash[\s\S]*\ncomplete -F _vmctl vmctl\n$/);
  expect([status, stderr]).toEqual([0, '']);
});

test('vmctl(8) documents every option of run, and no other', () => {
  const page = readFileSync(new URL('../../../docs/man/vmctl.8', import.meta.url), 'utf8');
  const described = page.slice(page.indexOf('.It Xo Cm run'), page.indexOf('.Sh EXIT STATUS'));
  const flags = (pattern: RegExp): string[] =>
    [...described.matchAll(pattern)].map((match) => match[1]!.replace(/^-/, '')).sort();
  const names = RUN_OPTIONS.map(({ name }) => name).sort();
  expect(flags(/^\.Op Fl (\S+)/gm)).toEqual(names);
  expect(flags(/^\.It Fl (\S+)/gm)).toEqual(names);
});
