// "vmctl create" as built: what it says, what it makes in the eyes of qemu-img, and what it leaves
// behind when it fails.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  NO_QEMU_IMG,
  newFolder,
  qemuCheck,
  qemuContent,
  qemuImg,
  same,
} from '../../vmm/test/block/qemu-img.ts';
import { Random } from '../../vmm/test/silicon/random.ts';

const PROGRAM = fileURLToPath(new URL('../bin/vmctl.js', import.meta.url));
const MB = 1 << 20;

let folder: string;
beforeEach(() => {
  folder = newFolder();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs "vmctl create" in the folder; what it said. */
function create(words: string): { status: number | null; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [PROGRAM, 'create', ...words.split(' ')],
    { cwd: folder, encoding: 'utf8', timeout: 60_000 },
  );
  expect(stdout).toBe('');
  return { status, stderr };
}

interface Info {
  readonly format: string;
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
}

function info(name: string): Info {
  return JSON.parse(qemuImg('info', '--output=json', join(folder, name))) as Info;
}

test.skipIf(NO_QEMU_IMG).each([
  ['disk.qcow2', 'qcow2', 'disk.qcow2'],
  ['disk.QCOW2', 'qcow2', 'disk.QCOW2'],
  ['disk.raw', 'raw', 'disk.raw'],
  ['disk.img', 'raw', 'disk.img'],
  ['disk', 'raw', 'disk'],
  ['qcow2:disk.raw', 'qcow2', 'disk.raw'],
  ['raw:disk.qcow2', 'raw', 'disk.qcow2'],
])('vmctl create -s 3M %s makes a %s image', (word, format, name) => {
  const result = create(`-s 3M ${word}`);
  expect(result).toEqual({ status: 0, stderr: `vmctl: ${format} imagefile created\n` });
  expect(info(name)).toMatchObject({ format, 'virtual-size': 3 * MB });
  expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  if (format === 'raw') expect(statSync(join(folder, name)).blocks).toBe(0);
});

test.skipIf(NO_QEMU_IMG)('vmctl create -b makes an image that finds its base', () => {
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'base.raw'), new Uint8Array(MB + 512).fill(7));
  expect(create('-b base.raw sub/one.qcow2')).toEqual({
    status: 0,
    stderr: 'vmctl: qcow2 imagefile created\n',
  });
  expect(info('sub/one.qcow2')).toMatchObject({
    'virtual-size': MB + 512,
    'backing-filename': '../base.raw',
    'backing-filename-format': 'raw',
  });
  expect(create('-b sub/one.qcow2 -s 2M two.qcow2')).toEqual({
    status: 1,
    stderr: 'vmctl: base size does not match requested size\n',
  });
  expect(create('-b sub/one.qcow2 two.qcow2').status).toBe(0);
  expect(info('two.qcow2')['backing-filename']).toBe('sub/one.qcow2');
  expect(same(qemuContent(join(folder, 'two.qcow2')), new Uint8Array(MB + 512).fill(7))).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('vmctl create -i copies, both ways, rounded up to megabytes', () => {
  const random = new Random(1);
  const content = new Uint8Array(5 * MB + 1024);
  for (let at = 0; at < content.length; at += 4096) {
    if (random.percent(30)) content.fill(random.below(256), at, at + 4096);
  }
  writeFileSync(join(folder, 'in.raw'), content);
  const padded = new Uint8Array(6 * MB);
  padded.set(content);
  expect(create('-i in.raw copy.qcow2')).toEqual({
    status: 0,
    stderr: 'vmctl: destination size rounded to 6 megabytes\nvmctl: qcow2 imagefile created\n',
  });
  const { errors, leaks, text } = qemuCheck(join(folder, 'copy.qcow2'));
  expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  expect(same(qemuContent(join(folder, 'copy.qcow2')), padded)).toBe(true);
  expect(create('-i copy.qcow2 -s 8M back.raw').stderr).toBe('vmctl: raw imagefile created\n');
  const back = readFileSync(join(folder, 'back.raw'));
  expect(back.length).toBe(8 * MB);
  expect(same(back.subarray(0, padded.length), padded)).toBe(true);
  expect(statSync(join(folder, 'back.raw')).blocks * 512).toBeLessThan(6 * MB);
});

test.each([
  ['-s 1023K disk', 'size must be at least one megabyte'],
  ['-s lots disk', 'invalid size: lots'],
  ['-s 1M', 'missing argument: disk'],
  ['-s 1M -b a -i b disk.qcow2', 'conflicting -b and -i arguments'],
  ['-b a disk.raw', 'base images require qcow2 disk format'],
  ['-b none disk.qcow2', 'Cannot open disk none: there is no such file.'],
  ['-i none disk.qcow2', 'Cannot open disk none: there is no such file.'],
  ['-s 1M no/disk', 'Cannot create disk no/disk: there is no such file.'],
  ['-i two -s 1M disk', 'size cannot be smaller than input disk size'],
  ['-i qcow2:two disk', 'Disk two is no qcow2 image.'],
])('vmctl create %s is refused: %s', (words, reason) => {
  writeFileSync(join(folder, 'two'), '');
  truncateSync(join(folder, 'two'), 2 * MB);
  expect(create(words)).toEqual({ status: 1, stderr: `vmctl: ${reason}\n` });
  expect(readdirSync(folder)).toEqual(['two']);
});

test('vmctl create says what lacks, and its usage', () => {
  const { status, stderr } = create('disk.qcow2');
  expect(status).toBe(1);
  expect(stderr).toMatch(/^vmctl: could not create disk\.qcow2: missing size argument\nusage: /);
  expect(stderr).toContain('vmctl create [-b base | -i disk] [-s size] disk\n');
});

test('vmctl create overwrites nothing', () => {
  writeFileSync(join(folder, 'disk'), 'precious');
  expect(create('-s 1.5M disk').stderr).toBe(
    'vmctl: size rounded to 1 megabytes\nvmctl: Cannot create disk disk: it exists already.\n',
  );
  expect(readFileSync(join(folder, 'disk'), 'utf8')).toBe('precious');
});

test.skipIf(NO_QEMU_IMG)('vmctl create -i removes its copy when the source is corrupt', () => {
  const path = join(folder, 'in.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '4M');
  const image = new Uint8Array(readFileSync(path));
  const view = new DataView(image.buffer);
  view.setBigUint64(Number(view.getBigUint64(40)), 0x123n << 9n);
  writeFileSync(path, image);
  const { status, stderr } = create('-i in.qcow2 out.raw');
  expect(status).toBe(1);
  expect(stderr).toBe('vmctl: Disk in.qcow2 is corrupt: entry 0 of its L1 table is none.\n');
  expect(existsSync(join(folder, 'out.raw'))).toBe(false);
});

test('vmctl create -i removes its copy when it is told to end', async () => {
  writeFileSync(join(folder, 'in.raw'), '');
  truncateSync(join(folder, 'in.raw'), 2 ** 42);
  const args = [PROGRAM, 'create', '-i', 'in.raw', 'out.qcow2'];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', (status) => resolve(status)));
  // The copy takes hours; it has begun when the file is there.
  while (!existsSync(join(folder, 'out.qcow2'))) await new Promise(setImmediate);
  child.kill('SIGTERM');
  expect(await ended).toBe(143);
  expect(readdirSync(folder)).toEqual(['in.raw']);
});
