// Magic numbers come from the formats' own tools where they are installed everywhere.
import { readFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { VmmError } from '../../base/errors.ts';
import { detectKernel } from './detect.ts';

function refusalOf(bytes: Uint8Array): string {
  try {
    return detectKernel({ name: 'file', bytes });
  } catch (error) {
    expect(error).toBeInstanceOf(VmmError);
    expect((error as VmmError).code).toBe('ENOEXEC');
    return (error as VmmError).message;
  }
}

function filled(length: number, at: number, bytes: number[]): Uint8Array {
  const file = new Uint8Array(length);
  file.set(bytes, at);
  return file;
}

test('detectKernel() says what an image is instead of a kernel', () => {
  expect(refusalOf(new Uint8Array(0))).toBe('File file is not a kernel: it is empty.');
  expect(refusalOf(gzipSync('kernel'))).toMatch(/compressed with gzip/);
  if (zstdCompressSync !== undefined) {
    expect(refusalOf(zstdCompressSync('kernel'))).toMatch(/compressed with zstd/);
  }
  expect(refusalOf(filled(100, 56, [0x41, 0x52, 0x4d, 0x64]))).toMatch(/for arm64/);
  expect(refusalOf(filled(4096, 510, [0x55, 0xaa]))).toMatch(/may be a disk image/);
  expect(refusalOf(new TextEncoder().encode('#!/bin/sh\n'))).toMatch(/is not a kernel/);
  const elf = filled(100, 0, [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  expect(refusalOf(elf)).toMatch(/another processor/);
  elf[18] = 62;
  expect(refusalOf(elf)).toMatch(/is a program, a library or an object file/);
  expect(refusalOf(readFileSync('/bin/true'))).toMatch(/is a program, a library or an object/);
});

test('detectKernel() answers any bytes with a kind or a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(refusalOf(bytes)).toMatch(
        /^(linux|multiboot2?|pvh|openbsd|(File|ELF file|Kernel) file .*)$/,
      );
    }),
    { numRuns: 300 },
  );
});
