// Against real files, and against flock(1) as the other program that uses a disk.
import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostFile, openHostFile } from './host-file.ts';

let folder: string;
let path: string;
const opened: HostFile[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'host-file-'));
  path = join(folder, 'disk');
  writeFileSync(
    path,
    Uint8Array.from({ length: 8192 }, (_, index) => index / 16),
  );
});
afterEach(async () => {
  for (const block of opened.splice(0)) await block.close();
  rmSync(folder, { recursive: true });
});

async function open(readOnly = false): Promise<HostFile> {
  const block = await openHostFile(path, readOnly);
  opened.push(block);
  return block;
}

/** Views of shared memory, as guest memory is. */
function shared(...lengths: number[]): Uint8Array[] {
  const buffer = new SharedArrayBuffer(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  return lengths.map((length) => new Uint8Array(buffer, (at += length) - length, length));
}

test('HostFile.read() scatters the bytes at an offset over shared memory', async () => {
  const disk = await open();
  expect(await disk.size()).toBe(8192);
  const parts = shared(512, 16, 1008);
  await disk.read(1024, parts);
  const expected = readFileSync(path).subarray(1024, 1024 + 1536);
  expect(Buffer.compare(Buffer.concat(parts), expected)).toBe(0);
});

test('HostFile.write() gathers shared memory, and flush() resolves', async () => {
  const disk = await open();
  const parts = shared(512, 512);
  parts[0]!.fill(0xaa);
  parts[1]!.fill(0xbb);
  await disk.write(4096, parts);
  await disk.flush();
  const file = readFileSync(path);
  expect(file[4095]).toBe(255);
  expect(file.subarray(4096, 4608).every((byte) => byte === 0xaa)).toBe(true);
  expect(file.subarray(4608, 5120).every((byte) => byte === 0xbb)).toBe(true);
  expect(file[5120]).toBe(64);
});

test('HostFile.read() takes more parts than one system call does', async () => {
  truncateSync(path, 2000 * 512);
  const disk = await open();
  await disk.write(0, [new Uint8Array(2000 * 512).fill(7)]);
  const parts = shared(...new Array(2000).fill(512));
  await disk.read(0, parts);
  expect(parts.every((part) => part.every((byte) => byte === 7))).toBe(true);
});

test('HostFile.read() reads zeroes where the file has ended', async () => {
  truncateSync(path, 1000);
  const disk = await open();
  expect(await disk.size()).toBe(1000);
  const parts = shared(512);
  parts[0]!.fill(0xff);
  await disk.read(512, parts);
  expect(parts[0]!.subarray(0, 488)).toEqual(new Uint8Array(readFileSync(path).subarray(512)));
  expect([...parts[0]!.subarray(488)]).toEqual(new Array(24).fill(0));
});

test('HostFile.setSize() extends the file with zeroes and cuts it off', async () => {
  const disk = await open();
  await disk.setSize(9000);
  expect(readFileSync(path).subarray(8192)).toEqual(Buffer.alloc(808));
  await disk.setSize(100);
  expect(await disk.size()).toBe(100);
});

test('openHostFile() gives a disk to one writer or to many readers', async () => {
  const writer = await open();
  const refusal = `Disk ${path} is locked: another virtual machine or program uses it.`;
  await expect(open()).rejects.toThrow(refusal);
  await expect(open(true)).rejects.toThrow(refusal);
  opened.splice(opened.indexOf(writer), 1);
  await writer.close();
  await open(true);
  await open(true);
  await expect(open()).rejects.toThrow(refusal);
});

test('openHostFile() sees the lock of another program, until that ends', async () => {
  const other = spawn('flock', ['--no-fork', path, 'sh', '-c', 'echo locked; exec sleep 1000']);
  await new Promise((resolve) => other.stdout.once('data', resolve));
  await expect(open()).rejects.toThrow('is locked');
  const gone = new Promise((resolve) => other.once('exit', resolve));
  other.kill();
  await gone;
  await open();
});

test('openHostFile() refuses what is no disk, in a sentence', async () => {
  await expect(openHostFile(join(folder, 'none'), false)).rejects.toThrow(
    `Cannot open disk ${folder}/none: there is no such file.`,
  );
  await expect(openHostFile(folder, false)).rejects.toThrow(`Disk ${folder} is a directory.`);
  await expect(openHostFile('/dev/null', false)).rejects.toThrow('neither a regular file nor');
  mkdirSync(join(folder, 'sub'));
  await expect(openHostFile(`${path}/sub`, false)).rejects.toThrow('not a directory');
});

const HAS_KOFFI = ((): boolean => {
  try {
    return createRequire(import.meta.url)('koffi') !== undefined;
  } catch {
    return false;
  }
})();

test.skipIf(!HAS_KOFFI || process.platform !== 'linux')(
  'HostFile.discard() and makeHole() give storage back, and the range reads zeroes',
  async () => {
    writeFileSync(path, new Uint8Array(4 << 20).fill(0x55));
    const disk = await open();
    await disk.flush();
    const before = statSync(path).blocks;
    await disk.discard(1 << 20, 1 << 20);
    expect(await disk.makeHole(2 << 20, 1 << 20)).toBe(true);
    const { blocks, size } = statSync(path);
    expect([before - blocks, size]).toEqual([(2 << 20) / 512, 4 << 20]);
    const content = readFileSync(path);
    const sum = (from: number, to: number): number =>
      content.subarray(from, to).reduce((all, byte) => all + byte, 0);
    expect([sum(1 << 20, 3 << 20), sum(0, 1 << 20)]).toEqual([0, 0x55 << 20]);
  },
);

test('HostFile.readNow() and writeNow() move whole requests, or leave them to others', async () => {
  const disk = await open();
  const [a, b] = shared(512, 1024) as [Uint8Array, Uint8Array];
  a.fill(0xaa);
  expect(disk.writeNow(512, [a, b])).toBe(true);
  const into = shared(1536);
  expect(disk.readNow(512, into)).toBe(true);
  expect(Buffer.compare(into[0]!, Buffer.concat([a, b]))).toBe(0);
  // The end of the file is for read(), which makes zeroes of what is not there.
  expect(disk.readNow(8192 - 512, into)).toBe(false);
  expect(disk.readNow(0, [new Uint8Array(8 << 20)])).toBe(false);
});

const NO_QEMU_IO = spawnSync('qemu-io', ['--version']).status !== 0;

test.skipIf(!HAS_KOFFI || NO_QEMU_IO || process.platform !== 'linux')(
  'an image is ours or QEMU’s, and readers share it',
  async () => {
    const qemuWrites = (): string => {
      const words = ['-f', 'raw', '-c', 'write 0 512', path];
      return spawnSync('qemu-io', words, { encoding: 'utf8' }).stderr;
    };
    const qemuReads = (): number | null => spawnSync('qemu-img', ['info', path]).status;
    const writer = await openHostFile(path, false);
    expect(qemuWrites()).toMatch('Is another process using the image');
    await writer.close();
    const reader = await openHostFile(path, true);
    expect(qemuReads()).toBe(0);
    expect(qemuWrites()).toMatch('Is another process using the image');
    await reader.close();
    expect(qemuWrites()).toBe('');
    // It says what it has written when it has the image.
    const qemu = spawn('qemu-io', ['-f', 'raw', path], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = new Promise((resolve) => qemu.once('close', resolve));
    qemu.stdin.write('write 0 512\n');
    await new Promise((resolve) => qemu.stdout.once('data', resolve));
    for (const readOnly of [false, true]) {
      await expect(openHostFile(path, readOnly)).rejects.toThrow(
        `Disk ${path} is locked: another virtual machine or program uses it.`,
      );
    }
    qemu.stdin.end();
    await ended;
    await (await openHostFile(path, false)).close();
  },
);
