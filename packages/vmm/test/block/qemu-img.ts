// QEMU's tools as the oracle for disk images, and folders to use them in.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { inflateRawSync } from 'node:zlib';
import type { Decompressors } from '../../src/block/qcow2-compressed.ts';

/** Linux's file system in memory. */
const SHARED_MEMORY = '/dev/shm';

/** True when there is no qemu-img: tests that need it are skipped. */
export const NO_QEMU_IMG: boolean = spawnSync('qemu-img', ['--version']).status !== 0;

/** Runs qemu-img and returns its output; throws when it fails. */
export function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs qemu-io commands on an image. */
export function qemuIo(path: string, ...commands: string[]): string {
  const args = commands.flatMap((command) => ['-c', command]);
  return execFileSync('qemu-io', ['-t', 'unsafe', '-f', 'qcow2', ...args, path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** What qemu-img check finds in an image. */
export interface Check {
  readonly errors: number;
  readonly leaks: number;
  readonly text: string;
}

/** Checks an image; `corruptions` and `check-errors` are errors. */
export function qemuCheck(path: string): Check {
  const { stdout, stderr } = spawnSync(
    'qemu-img',
    ['check', '-f', 'qcow2', '--output=json', path],
    {
      encoding: 'utf8',
    },
  );
  const text = `${stdout}${stderr}`;
  let found: Record<string, number>;
  try {
    found = JSON.parse(stdout) as Record<string, number>;
  } catch {
    return { errors: 1, leaks: 0, text };
  }
  const errors = (found.corruptions ?? 0) + (found['check-errors'] ?? 0);
  return { errors, leaks: found.leaks ?? 0, text };
}

/** What the disk of an image holds, by qemu-img. */
export function qemuContent(path: string, format = 'qcow2'): Uint8Array {
  const raw = `${path}.content`;
  // "unsafe" is without a flush, which may take seconds on a machine that does other work too.
  qemuImg('convert', '-t', 'unsafe', '-f', format, '-O', 'raw', path, raw);
  const bytes = readFileSync(raw);
  rmSync(raw);
  return new Uint8Array(bytes);
}

/** What the disk of an image in memory holds, by qemu-img, and what the check says. */
export function qemuLooksAt(folder: string, image: Uint8Array): Check & { content: Uint8Array } {
  const path = join(folder, 'looked-at.qcow2');
  writeFileSync(path, image);
  const check = qemuCheck(path);
  return { ...check, content: check.errors === 0 ? qemuContent(path) : new Uint8Array(0) };
}

export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'block-'));
}

/**
 * A folder in memory where there is one, for tests that have hundreds of small images checked:
 * flushing a busy machine's disk as often takes minutes.
 */
export function memoryFolder(): string {
  return existsSync(SHARED_MEMORY) ? mkdtempSync(join(SHARED_MEMORY, 'block-')) : newFolder();
}

/** True when the bytes are equal; vitest takes minutes to say so of megabytes. */
export function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** Decompression by zlib, in one go. */
export const DECOMPRESSORS: Decompressors = {
  deflate: async (data, length) => {
    const out = inflateRawSync(data, { maxOutputLength: length });
    if (out.length !== length) throw new Error('too short');
    return out;
  },
};

/** True when this Node knows Zstandard. */
export const HAS_ZSTD: boolean = 'zstdDecompressSync' in zlib;
