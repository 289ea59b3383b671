// What the loads of a round must print, found out without the machine under test: the C programs
// by the host's own compiler and processor, the rest in JavaScript.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { md5 } from '../guest.ts';
import { root } from '../root.ts';
import { SEED_MAX } from './arguments.ts';

/** The outputs of a round, as the guest must print them. */
export type Expected = Readonly<Record<(typeof OUTPUTS)[number], string>>;

/** The names of the outputs, in the order in which the guest's driver is told their sums. */
export const OUTPUTS = ['integer', 'float', 'system', 'sorted', 'awk', 'loop'] as const;

const PROGRAMS = ['integer', 'float', 'system'] as const;

/** Numbers that the loads "sort" and "awk" work on. */
const COUNT = 10_000;
const LOOPS = 5_000;

/** Gives the right outputs for a seed. */
export interface Oracle {
  expect(seed: number): Expected;
}

/**
 * Compiles the C programs with the host's gcc into `folder`, once for all seeds. ENOENT when there
 * is no gcc.
 */
export function makeOracle(folder: string): Oracle {
  for (const name of PROGRAMS) compile(name, join(folder, name));
  const run = (name: string, seed: number): string =>
    execFileSync(join(folder, name), [String(seed)], { encoding: 'utf8' });
  return {
    expect: (seed) => ({
      integer: run('integer', seed),
      float: run('float', seed),
      system: run('system', seed),
      sorted: sorted(seed),
      awk: awk(seed),
      loop: loop(seed),
    }),
  };
}

/** The seed of a round: the states of the minimal standard generator that `seed` leads to. */
export function roundSeed(seed: number, round: number): number {
  return ((seed * 16807 + round * 48271) % SEED_MAX) + 1;
}

/** The line that asks the guest's driver (guest/session.sh) for a round. */
export function roundRequest(
  round: number,
  seed: number,
  loads: readonly string[],
  expected: Expected,
): string {
  // Every other round runs its loads at once, for the sake of the scheduler and of memory.
  const mode = round % 2 === 1 ? 'apart' : 'together';
  const encoder = new TextEncoder();
  const sums = OUTPUTS.map((name) => md5(encoder.encode(expected[name])));
  return ['round', round, seed, mode, loads.join(','), ...sums].join(' ');
}

function compile(name: string, output: string): void {
  const source = join(root(), 'scripts/soak/guest', `${name}.c`);
  // No fused multiply-add, no folding of what depends on the rounding mode: exactly IEEE 754.
  const exact = ['-ffp-contract=off', '-frounding-math'];
  const seed = '-DSEED=strtoull(argv[1], 0, 0)';
  const words = ['-O2', '-w', ...exact, seed, '-o', output, source, '-lm', '-lpthread'];
  try {
    execFileSync('gcc', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (cause) {
    const missing = (cause as { code?: string }).code === 'ENOENT';
    const reason = missing ? 'there is no gcc on this host' : String(cause);
    throw new VmmError('ENOENT', `Cannot compile ${name}.c for its right results: ${reason}.`, {
      cause,
    });
  }
}

/** Park and Miller's minimal standard generator; its products are less than 2^53. */
function numbers(seed: number): number[] {
  const values: number[] = [];
  for (let x = seed; values.length < COUNT; ) values.push((x = (x * 16807) % 2147483647));
  return values;
}

function sorted(seed: number): string {
  const values = numbers(seed).sort((a, b) => a - b);
  return values.map((value) => `${value}\n`).join('');
}

function awk(seed: number): string {
  const last = new Array<number>(10).fill(0);
  let root = 0;
  let text = '';
  let matches = 0;
  for (const [index, value] of numbers(seed).entries()) {
    root += Math.sqrt(value) / (index + 1);
    last[value % 10]!++;
    text = `${value}${text}`.slice(0, 60);
    if (/(12|98)3*[4-7]/.test(String(value))) matches++;
  }
  // printf's %e has two digits of exponent at least.
  const exponent = root.toExponential(12).replace(/e([+-])(\d)$/, 'e$10$2');
  const counts = last.map((count, digit) => `${digit} ${count}\n`).join('');
  return `${exponent}\n${matches}\n${text}\n${counts}`;
}

function loop(seed: number): string {
  const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
  let x = BigInt(seed);
  let y = 0n;
  for (let i = 0; i < LOOPS; i++) {
    x = signed(x * 6364136223846793005n + 1442695040888963407n);
    y ^= x >> 17n;
  }
  return `${x} ${y}\n`;
}
