// The oracle is GNU cpio(1): it lists and unpacks what the writer made.
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CpioEntry, cpioArchive } from './cpio.ts';

const CONTENT = Uint8Array.from({ length: 70_001 }, (_, index) => index * 31);
const FILES: CpioEntry[] = [
  { kind: 'directory', path: 'bin', mode: 0o755 },
  { kind: 'file', path: 'bin/busybox', mode: 0o4755, data: CONTENT },
  { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
  { kind: 'directory', path: 'etc', mode: 0o700 },
  { kind: 'directory', path: 'etc/deep', mode: 0o1777 },
  { kind: 'file', path: 'etc/deep/empty', mode: 0o600, data: new Uint8Array(0) },
  { kind: 'file', path: 'etc/naïve name', mode: 0o644, data: new Uint8Array([1]) },
];
const DEVICES: CpioEntry[] = [
  { kind: 'directory', path: 'dev', mode: 0o755 },
  { kind: 'device', path: 'dev/console', mode: 0o600, device: 'char', major: 5, minor: 1 },
  { kind: 'device', path: 'dev/vda', mode: 0o660, device: 'block', major: 254, minor: 300 },
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cpio-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function cpio(args: string[], input: Uint8Array): string {
  const env = { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  const stdio: 'pipe'[] = ['pipe', 'pipe', 'pipe'];
  return execFileSync('cpio', args, { input, cwd: folder, env, stdio, encoding: 'utf8' });
}

test('cpioArchive() is listed by GNU cpio with types, modes, sizes and device numbers', () => {
  const archive = cpioArchive([...FILES, ...DEVICES], 86_400);
  const lines = cpio(['-itvn', '--quiet'], archive).trimEnd().split('\n');
  expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual([
    'drwxr-xr-x 2 0 0 0 Jan 2 1970 bin',
    '-rwsr-xr-x 1 0 0 70001 Jan 2 1970 bin/busybox',
    'lrwxrwxrwx 1 0 0 7 Jan 2 1970 bin/sh -> busybox',
    'drwx------ 2 0 0 0 Jan 2 1970 etc',
    'drwxrwxrwt 2 0 0 0 Jan 2 1970 etc/deep',
    '-rw------- 1 0 0 0 Jan 2 1970 etc/deep/empty',
    expect.stringMatching(/^-rw-r--r-- 1 0 0 1 Jan 2 1970 etc\/na.+ve name$/),
    'drwxr-xr-x 2 0 0 0 Jan 2 1970 dev',
    'crw------- 1 0 0 5, 1 Jan 2 1970 dev/console',
    'brw-rw---- 1 0 0 254, 300 Jan 2 1970 dev/vda',
  ]);
});

test('cpioArchive() is unpacked by GNU cpio byte for byte', () => {
  cpio(['-id', '--quiet', '--no-preserve-owner'], cpioArchive(FILES));
  for (const entry of FILES) {
    const path = join(folder, entry.path);
    const stat = lstatSync(path);
    if (entry.kind === 'symlink') expect(readlinkSync(path)).toBe(entry.target);
    else if (entry.kind !== 'device') expect(stat.mode & 0o777).toBe(entry.mode & 0o777);
    if (entry.kind === 'file') expect(Buffer.compare(readFileSync(path), entry.data)).toBe(0);
  }
});

test('cpioArchive() gives the same bytes each time, in whole blocks', () => {
  const archive = cpioArchive(FILES);
  expect(Buffer.compare(archive, cpioArchive(FILES))).toBe(0);
  expect(archive.length % 512).toBe(0);
});

test.each([
  ['', 'is not a plain relative path'],
  ['/bin', 'is not a plain relative path'],
  ['bin/../sh', 'is not a plain relative path'],
  ['a\0b', 'is not a plain relative path'],
  ['lib/x', 'comes before its directory lib'],
  ['TRAILER!!!', 'ends an archive'],
])('cpioArchive() refuses the path %j', (path, message) => {
  const entry: CpioEntry = { kind: 'directory', path, mode: 0o755 };
  expect(() => cpioArchive([entry])).toThrow(message);
});

test('cpioArchive() refuses a path given twice', () => {
  expect(() => cpioArchive([FILES[0]!, FILES[0]!])).toThrow('Archive path bin is given twice.');
});
