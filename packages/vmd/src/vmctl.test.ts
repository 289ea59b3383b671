// The program itself, as built: exit status and the sentence on standard error.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

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
    expect(stderr).toContain('vmctl run [-v] [-m size] [-b kernel]');
  }
});

test.each([
  [['run'], 'vmctl: There is no kernel to run: name one with -b.\n'],
  [['ru', '-b', '/none'], 'vmctl: Cannot open kernel /none: there is no such file.\n'],
  [['run', '--bogus'], 'vmctl: unknown option: --bogus\n'],
  [['-x', 'run'], 'vmctl: unknown option: -x\n'],
])('vmctl %j exits with 1 and one sentence', (args, message) => {
  const { status, stderr } = vmctl(...args);
  expect(stderr).toBe(message);
  expect(status).toBe(1);
});
