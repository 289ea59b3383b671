// The guest program on the host: its answers against those of Node's own libraries.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { type BenchGuest, prepareBenchGuest } from './guest-program.ts';
import { type ItemResult, parseLine } from './results.ts';

let guest: BenchGuest | undefined;
let why = '';

beforeAll(() => {
  const missing = ['gcc', 'apt-get'].filter((program) => {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (process.platform !== 'linux' || process.arch !== 'x64') why = 'This is no Linux on x86-64.';
  else if (missing.length > 0) why = `There is no ${missing.join(', ')}.`;
  else guest = prepareBenchGuest(() => {});
}, 300_000);

/** Runs items with a thousandth of their work. */
function runItems({ tools }: BenchGuest, ...items: string[]): ItemResult[] {
  const args = ['-s', '1', '-t', tools, ...items];
  const text = execFileSync(join(tools, 'bench'), args, { encoding: 'utf8' });
  return text.split('\n').flatMap((line) => {
    const parsed = parseLine(line);
    return parsed?.kind === 'item' ? parsed.result : [];
  });
}

const WORD = (1n << 64n) - 1n;

/** FNV-1a by words, as bench.h has it. */
const mix = (sum: bigint, value: bigint): bigint => ((sum ^ value) * 0x100000001b3n) & WORD;
const mixBytes = (bytes: Iterable<number>): bigint =>
  [...bytes].reduce((sum, byte) => mix(sum, BigInt(byte)), 0n);
/** The sum of an item both of whose passes have this result. */
const sumOf = (result: bigint): string =>
  mix(mix(0xcbf29ce484222325n, result), result).toString(16).padStart(16, '0');

test('every item runs, and tells work and time of both passes', ({ skip }) => {
  if (guest === undefined) return skip(why);
  const results = runItems(guest);
  expect(results.map(({ name }) => name)).toEqual(guest.items);
  for (const { name, cold, warm } of results) {
    expect(cold!.work, name).toBeGreaterThan(0);
    expect(warm.work, name).toBeGreaterThan(0);
    expect(warm.ns, name).toBeGreaterThan(0);
  }
});

test('the item sha256sum gives the hash of its file', ({ skip }) => {
  if (guest === undefined) return skip(why);
  const [result] = runItems(guest, 'sha256sum');
  const hash = createHash('sha256').update(readFileSync(join(guest.tools, 'busybox')));
  const output = Buffer.from(`${hash.digest('hex')}  -\n`);
  expect(result!.sum).toBe(sumOf(mix(0n, mixBytes(output))));
});

test('the item crc32-table gives the CRC of its block', ({ skip }) => {
  if (guest === undefined) return skip(why);
  const [result] = runItems(guest, 'crc32-table');
  let state = 1n;
  const block = Uint8Array.from({ length: result!.cold!.work }, () => {
    state ^= (state << 13n) & WORD;
    state ^= state >> 7n;
    state ^= (state << 17n) & WORD;
    return Number((state >> 32n) & 0xffn);
  });
  expect(result!.sum).toBe(sumOf(BigInt(crc32(block))));
});
