// The program itself, as built: what it prints on standard error, and its exit status.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../bin/vmd.js', import.meta.url));
const USAGE = 'usage: vmd [-dnv] [-D macro=value] [-f file] [-s socket] [--on-demand]\n';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vmd-test-'));
  writeFileSync(join(folder, 'disk.img'), '');
  symlinkSync('disk.img', join(folder, 'link.img'));
  writeFileSync(join(folder, 'good.conf'), 'vm "a" {\n\tdisk $disk\n\towner root\n}\n');
  writeFileSync(
    join(folder, 'bad.conf'),
    'vm "a" {\n\tdisk "none"\n\tbogus\n}\ninclude "bad.conf"\n',
  );
  writeFileSync(join(folder, 'latin1.conf'), Buffer.from('# caf\xe9\n', 'latin1'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function vmd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const options = { encoding: 'utf8', timeout: 30_000, cwd: folder } as const;
  return spawnSync(process.execPath, [PROGRAM, ...args], options);
}

test('vmd -n says "configuration OK", and what it has found if asked', () => {
  const quiet = vmd('-n', '-f', 'good.conf', '-D', 'disk=link.img');
  expect(quiet).toMatchObject({ status: 0, stdout: '', stderr: 'configuration OK\n' });
  const { status, stderr } = vmd('-nvf', 'good.conf', '-Ddisk=disk.img');
  expect(stderr).toBe('good.conf:4: vm "a" registered (enabled)\nconfiguration OK\n');
  expect(status).toBe(0);
});

test('vmd -n tells all mistakes by file and line, and exits with 1', () => {
  const { status, stderr, stdout } = vmd('-n', '-f', 'bad.conf');
  expect(stderr).toBe(
    'bad.conf:2: failed to parse disks: none: there is no such file\n' +
      'bad.conf:3: syntax error: expected an option of a vm, found "bogus"\n' +
      'bad.conf:5: failed to include file bad.conf: it includes itself\n',
  );
  expect([status, stdout]).toEqual([1, '']);
});

test.each([
  [['-n', '-f', 'none.conf'], 'failed to open none.conf: there is no such file\n'],
  [['-n', '-f', '.'], 'failed to open .: it is a directory\n'],
  [['-n', '-f', 'latin1.conf'], 'failed to open latin1.conf: it is not a text in UTF-8\n'],
  [['-n', '-D', 'a'], `vmd: could not parse macro definition a\n${USAGE}`],
  [['-n', '-D', '=a'], `vmd: could not parse macro definition =a\n${USAGE}`],
  [['-n', 'file'], `vmd: too many arguments: file\n${USAGE}`],
  [['-x'], `vmd: unknown option: -x\n${USAGE}`],
  [
    ['-d', '-f', 'good.conf', '-D', 'disk=none', '-s', 'vmd.sock'],
    'good.conf:2: failed to parse disks: none: there is no such file\n',
  ],
])('vmd %j exits with 1 and says why', (args, message) => {
  const { status, stderr } = vmd(...args);
  expect(stderr).toBe(message);
  expect(status).toBe(1);
});

test('of several definitions of a macro the first holds', () => {
  const { stderr } = vmd('-n', '-f', 'good.conf', '-D', 'disk=disk.img', '-D', 'disk=none');
  expect(stderr).toBe('configuration OK\n');
});

test('vmd(8) documents every option of the usage, and no other', () => {
  const page = readFileSync(new URL('../../../docs/man/vmd.8', import.meta.url), 'utf8');
  const described = [...page.matchAll(/^\.It Fl (\S+)/gm)].map(([, name]) => name);
  const used = [...USAGE.replace('-dnv', '-d -n -v').matchAll(/ ?\[?(?<!-)-(-?[\w-]+)/g)].map(
    ([, name]) => name,
  );
  expect(described.sort()).toEqual(used.sort());
});
