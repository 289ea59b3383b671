// The oracle's own oracle: the loads as the guest runs them, run by the host's shell, sort and awk.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../root.ts';
import { SEED_MAX } from './arguments.ts';
import { makeOracle, type Oracle, roundRequest, roundSeed } from './oracle.ts';

const has = (program: string): boolean => {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const hasGcc = has('gcc');

let folder: string;
let oracle: Oracle;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oracle-'));
  if (hasGcc) oracle = makeOracle(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What a load of guest/loads.sh complains about when the host runs it with these sums. */
function complaints(load: string, sums: Readonly<Record<string, string | number>>): string {
  const settings = Object.entries(sums).map(([name, value]) => `${name}=${value}`);
  const script = [
    'fail() { echo "FAIL $*"; }',
    `. ${join(root(), 'scripts/soak/guest/loads.sh')}`,
    ...settings,
    `load_${load}`,
  ].join('\n');
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' });
}

/** The words of the request, by their names. */
function sumsOf(seed: number): Record<string, string> {
  const words = roundRequest(1, seed, ['tcc'], oracle.expect(seed)).split(' ');
  const names = 'round number seed mode loads integer float system sorted awk loop'.split(' ');
  return Object.fromEntries(names.map((name, index) => [name, words[index]!]));
}

// The programs come from gcc; "loop" needs a shell with numbers of 64 bits, which all have.
test.skipIf(!hasGcc || !has('mawk'))("the host's own tools pass the loads, for any seed", () => {
  for (const seed of [1, 17, 48271, SEED_MAX]) {
    const sums = sumsOf(seed);
    for (const load of ['sort', 'awk', 'loop']) expect(complaints(load, sums)).toBe('');
  }
});

test.skipIf(!hasGcc)('a load that gets the sum of another seed says so, and what it has', () => {
  const sums = { ...sumsOf(18), seed: 17 };
  const text = complaints('loop', sums);
  expect(text).toMatch(/^FAIL the shell counts otherwise\nsoak: got loop: -?\d+ -?\d+\n$/);
});

test.skipIf(!hasGcc)('the C programs give one line for each part, which depend on the seed', () => {
  const [one, two] = [oracle.expect(1), oracle.expect(2)];
  for (const name of ['integer', 'float', 'system'] as const) {
    expect(one[name]).toMatch(/^(\w+ [0-9a-f]{16}\n){7,}$/);
    expect(one[name]).not.toBe(two[name]);
    expect(oracle.expect(1)[name]).toBe(one[name]);
  }
});

test('roundSeed() stays a state of the generator, and differs from round to round', () => {
  const seeds = [1, 2, SEED_MAX].flatMap((seed) =>
    Array.from({ length: 1000 }, (_, round) => roundSeed(seed, round + 1)),
  );
  expect(new Set(seeds).size).toBe(seeds.length);
  for (const seed of seeds) {
    expect(Number.isInteger(seed)).toBe(true);
    expect(seed).toBeGreaterThanOrEqual(1);
    expect(seed).toBeLessThanOrEqual(SEED_MAX);
  }
});
