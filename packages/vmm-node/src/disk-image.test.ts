// Disks in files: formats, chains and locks, the words for what goes wrong, and a writer that is
// killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createImage, openDisk } from 'vmm-node';
import {
  HAS_ZSTD,
  NO_QEMU_IMG,
  newFolder,
  qemuCheck,
  qemuContent,
  qemuImg,
  qemuIo,
  same,
} from '../../vmm/test/block/qemu-img.ts';
import { seedOf } from '../../vmm/test/block/seed.ts';
import { Random } from '../../vmm/test/silicon/random.ts';
import { bytesOf, DISK_BYTES, operationOf } from '../test/kill-operations.mjs';

const SECTOR = 512;
const KILLS = 12;

let folder: string;
beforeEach(() => {
  folder = newFolder();
});
afterEach(() => rmSync(folder, { recursive: true }));

async function contentOf(path: string): Promise<Uint8Array> {
  const disk = await openDisk({ path }, true);
  const bytes = new Uint8Array(disk.sectors * SECTOR);
  await disk.read(0, [bytes]);
  await disk.close();
  return bytes;
}

test.skipIf(NO_QEMU_IMG)('openDisk() finds the chain of an image from its own folder', async () => {
  mkdirSync(join(folder, 'images'));
  mkdirSync(join(folder, 'elsewhere'));
  const [raw, middle, top] = ['base.raw', 'images/middle', 'images/top'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  writeFileSync(raw, new Uint8Array(1 << 20).fill(1));
  qemuImg('create', '-q', '-f', 'qcow2', '-b', '../base.raw', '-F', 'raw', middle);
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'middle', '-F', 'qcow2', top);
  qemuIo(middle, 'write -P 2 64k 64k');
  qemuIo(top, 'write -P 3 100k 4k');
  expect(same(await contentOf(top), qemuContent(top))).toBe(true);
  // ".." is the parent of the folder, not of the link to it.
  symlinkSync('../images', join(folder, 'elsewhere', 'link'));
  const path = join(folder, 'elsewhere', 'link', 'top');
  expect(same(await contentOf(path), qemuContent(top))).toBe(true);
});

test('openDisk() locks an image, and shares those below it', async () => {
  const [base, one, two] = ['base', 'one', 'two'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const sizeBytes = 1 << 20;
  await createImage({ path: base, format: 'qcow2', sizeBytes });
  const backing = { name: 'base', format: 'qcow2' } as const;
  for (const path of [one, two]) {
    await createImage({ path, format: 'qcow2', sizeBytes, backing });
  }
  const disks = [await openDisk({ path: one }, false), await openDisk({ path: two }, false)];
  await expect(openDisk({ path: one }, true)).rejects.toThrow(`Disk ${one} is locked`);
  await expect(openDisk({ path: base }, false)).rejects.toThrow(`Disk ${base} is locked`);
  for (const disk of disks) await disk.close();
  await (await openDisk({ path: base }, false)).close();
});

test('openDisk() closes all it has opened when it fails', async () => {
  const path = join(folder, 'top');
  const backing = { name: 'none', format: 'raw' } as const;
  await createImage({ path, format: 'qcow2', sizeBytes: 1 << 20, backing });
  const refusal = `Cannot open disk ${folder}/none: there is no such file.`;
  await expect(openDisk({ path }, false)).rejects.toThrow(refusal);
  await expect(openDisk({ path }, false)).rejects.toThrow(refusal);
});

test.skipIf(NO_QEMU_IMG || !HAS_ZSTD)('openDisk() reads clusters compressed by zstd', async () => {
  const [raw, path] = [join(folder, 'raw'), join(folder, 'zstd')];
  const random = new Random(5);
  writeFileSync(
    raw,
    Uint8Array.from({ length: 1 << 20 }, (_, at) => random.below(1 + (at >> 16))),
  );
  qemuImg('convert', '-c', '-O', 'qcow2', '-o', 'compression_type=zstd', raw, path);
  expect(same(await contentOf(path), readFileSync(raw))).toBe(true);
});

test('createImage() makes no image over another, and leaves none unfinished', async () => {
  const path = join(folder, 'disk');
  await createImage({ path, format: 'raw', sizeBytes: 1 << 20 });
  await expect(createImage({ path, format: 'qcow2', sizeBytes: 1 << 20 })).rejects.toThrow(
    `Cannot create disk ${path}: it exists already.`,
  );
  const other = join(folder, 'other');
  await expect(createImage({ path: other, format: 'qcow2', sizeBytes: 100 })).rejects.toThrow();
  expect(() => readFileSync(other)).toThrow('ENOENT');
});

/** Runs the writer from operation `first` on, kills it after `lines`, and tells what it flushed. */
async function killedWriter(path: string, first: number, lines: number): Promise<number> {
  const program = fileURLToPath(new URL('../test/kill-writer.mjs', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [program, path, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
    if (seen.split('\n').length > lines) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => {
    child.once('close', (_, name) => resolve(name));
  });
  expect(signal, 'how the writer ended').toBe('SIGKILL');
  return Number(/(\d+)\n[^\n]*$/.exec(seen)![1]);
}

test.skipIf(NO_QEMU_IMG)(
  'a writer that is killed leaves no errors and all that it flushed',
  { timeout: 180_000 },
  async () => {
    const random = new Random(seedOf('killed writers'));
    const path = join(folder, 'disk.qcow2');
    await createImage({ path, format: 'qcow2', sizeBytes: DISK_BYTES });
    let model: Uint8Array = new Uint8Array(DISK_BYTES);
    let next = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const flushed = await killedWriter(path, next, 1 + random.below(12));
      // What comes after the flush may be there or not, up to where the writer can have been.
      const later: Set<number>[] = Array.from({ length: DISK_BYTES / SECTOR }, () => new Set());
      for (let number = next; number < flushed + 200; number++) {
        const operation = operationOf(number);
        const { offset, length, isZero } = operation;
        if (number < flushed) model.set(bytesOf(operation), offset);
        else
          for (let at = 0; at < length; at += SECTOR)
            later[(offset + at) / SECTOR]!.add(isZero ? 0 : number + 1);
      }
      const { errors, text } = qemuCheck(path);
      expect(errors, text).toBe(0);
      const content = qemuContent(path);
      const words = new DataView(content.buffer, content.byteOffset);
      const old = new DataView(model.buffer, model.byteOffset);
      for (let sector = 0; sector < later.length; sector++) {
        const word = words.getUint32(sector * SECTOR, true);
        if (word === old.getUint32(sector * SECTOR, true) || later[sector]!.has(word)) continue;
        expect.fail(`after ${flushed} operations sector ${sector} has ${word}`);
      }
      model = content;
      next = flushed + 200;
    }
  },
);
