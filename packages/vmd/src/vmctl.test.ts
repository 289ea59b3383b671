// The program itself, as built: exit status and the sentence on standard error.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { START_OPTIONS } from './ctl/start-options.ts';
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
  [['run', '-B', 'tape'], 'vmctl: unknown boot device tape (one of: cdrom, disk, net)\n'],
  [['ru', '-b', '/none'], 'vmctl: Cannot open kernel /none: there is no such file.\n'],
  [['run', '--bogus'], 'vmctl: unknown option: --bogus\n'],
  [['completion', 'tcsh'], 'vmctl: unknown shell: tcsh (one of: bash, zsh, fish)\n'],
  [['completion'], 'vmctl: missing argument: shell\n'],
  [['-x', 'run'], 'vmctl: unknown option: -x\n'],
  [['-s', '/none/s', 'status'], 'vmctl: connect: /none/s: no vmd is running there\n'],
  [['wait', '0'], 'vmctl: invalid id: 0\n'],
  [['wait', '../x'], 'vmctl: invalid VM name: ../x\n'],
  [['start', 'a'.repeat(64)], 'vmctl: vm name too long\n'],
  [['start', '-B', 'tape', 'x'], 'vmctl: unknown boot device tape (one of: cdrom, disk, net)\n'],
  [['start', '-i', '5', 'x'], 'vmctl: too many network interfaces\n'],
  [['start', '-m', '1K', 'x'], 'vmctl: memory size must be at least one megabyte\n'],
  [['start', '-m', '12x', 'x'], 'vmctl: invalid memory size: 12x\n'],
  [['start', ...Array<string>(5).fill('-d/x'), 'x'], 'vmctl: too many disks\n'],
  [['start', '-t', '.', 'x'], 'vmctl: invalid template\n'],
  [['log', 'loud'], 'vmctl: unknown argument: loud\n'],
  [['reset', 'x'], 'vmctl: unknown argument: x\n'],
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

test.each([
  ['run', RUN_OPTIONS],
  ['start', START_OPTIONS],
])('vmctl(8) documents every option of %s, and no other', (command, options) => {
  const page = readFileSync(new URL('../../../docs/man/vmctl.8', import.meta.url), 'utf8');
  const [, described] = page.split(`.It Xo Cm ${command}\n`);
  const entry = described!.split(/^\.It (?:Xo )?Cm |^\.Sh /m)[0]!;
  const flags = (pattern: RegExp): string[] =>
    [...entry.matchAll(pattern)].map((match) => match[1]!.replace(/^-/, '')).sort();
  const names = options.map(({ name }) => name).sort();
  // Options without arguments may be in one cluster.
  const clusters = flags(/^\.Op Fl (\S+)/gm).flatMap((word) =>
    options.some(({ name }) => name === word) ? [word] : [...word],
  );
  expect(clusters.sort()).toEqual(names);
  expect(flags(/^\.It Fl (\S+)/gm)).toEqual(names);
});

test('the commands that talk to vmd load neither the library nor the engine', () => {
  const seen = new Set<string>();
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    // What is imported late is loaded only by the commands that need it.
    const text = readFileSync(url, 'utf8');
    for (const [, specifier] of text.matchAll(/^(?:import |export |\}).*?from '([^']+)';$/gm)) {
      expect(specifier).not.toMatch(/^vmm(-node)?$/);
      if (specifier!.startsWith('.')) visit(new URL(specifier!, url));
      else if (!specifier!.startsWith('node:')) visit(new URL(import.meta.resolve(specifier!)));
    }
  };
  visit(new URL('../dist/vmctl.js', import.meta.url));
  expect(seen.size).toBeGreaterThan(10);
});
