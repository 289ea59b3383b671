// Compressed by gzip(1) itself; the rest of what can be wrong with a file is in vmctl.test.ts.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readKernel, readModules } from './read-images.ts';

const MB = 1024 * 1024;
const KERNEL = Uint8Array.from({ length: 100_000 }, (_, index) => (index * index) >> 3);

let folder: string;
let compressed: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'read-images-'));
  writeFileSync(join(folder, 'kernel'), KERNEL);
  execFileSync('gzip', ['-k', 'kernel'], { cwd: folder });
  compressed = join(folder, 'kernel.gz');
});
afterAll(() => rmSync(folder, { recursive: true }));

test('readKernel() gives a kernel as it is, and decompresses one of gzip', () => {
  expect(Buffer.compare(readKernel(join(folder, 'kernel'), MB), KERNEL)).toBe(0);
  expect(Buffer.compare(readKernel(compressed, MB), KERNEL)).toBe(0);
});

test('readKernel() refuses a compressed kernel that is cut or damaged', () => {
  const bytes = readFileSync(compressed);
  const path = join(folder, 'bad.gz');
  writeFileSync(path, bytes.subarray(0, bytes.length - 100));
  expect(() => readKernel(path, MB)).toThrow(`Cannot decompress kernel ${path}: unexpected end`);
  bytes[bytes.length - 5]! ^= 1; // the length that the trailer tells
  writeFileSync(path, bytes);
  expect(() => readKernel(path, MB)).toThrow(`Cannot decompress kernel ${path}: incorrect`);
});

test('readKernel() unpacks no more than the machine has memory', () => {
  const path = join(folder, 'zeros');
  writeFileSync(path, new Uint8Array(17 * MB));
  execFileSync('gzip', [path]);
  expect(() => readKernel(`${path}.gz`, 16 * MB)).toThrow(
    "File zeros.gz is, decompressed, larger than the virtual machine's memory of 16 MB.",
  );
});

test('readModules() leaves modules compressed: the guest unpacks them', () => {
  const [module] = readModules(`${compressed} with words`, MB);
  expect(module!.commandLine).toBe(`${compressed} with words`);
  expect(Buffer.compare(module!.bytes, readFileSync(compressed))).toBe(0);
});
