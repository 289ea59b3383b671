// The compiler against the interpreter: random programs run on both, and must show the same
// registers, flags, vectors and count of instructions at every fault and at the end of every pass,
// and leave the same memory. The interpreter is held against processors elsewhere.
// `npm run lockstep` is the same for long runs.
//
// Slices end at different instructions on the two; an interrupt comes at the end of each, and its
// handler must leave no other trace than a count.

import { describe, expect, test } from 'vitest';
import type { SoftEngine } from '../src/vmm/soft-engine.ts';
import {
  type Contender,
  compareProgram,
  dropsOf,
  faultsOf,
  quietEngine,
  regionsOf,
} from './lockstep/compare.ts';
import type { LockstepRun } from './lockstep/machine.ts';
import { compareNarrowProgram } from './lockstep/narrow-compare.ts';

const interpreter = { name: 'off', engine: quietEngine('off') };

interface Programs {
  readonly seeds: readonly number[];
  readonly passes: number;
  readonly fuel: number;
  readonly heatLimit?: number;
  readonly modifiesItself?: boolean;
  readonly extras?: boolean;
  readonly memoryOffset?: number;
}

/** Runs programs on both engines; answers what the compiler's runs were like. */
function compare(engine: SoftEngine, programs: Programs): LockstepRun[] {
  const { seeds, passes, fuel, modifiesItself = false, extras = false, ...how } = programs;
  const compiler = { name: 'compiler', engine, ...how };
  return seeds.map((seed) => {
    const options = { seed, blocks: 6 + (seed % 32), fuel, modifiesItself, extras };
    const { expected, actual, difference } = compareProgram(interpreter, compiler, options, passes);
    expect(difference, `program ${seed}`).toBeUndefined();
    // The slices of compiled code end a little later, perhaps where interrupts are disabled.
    const { interrupts } = expected;
    const least = interrupts - 1 - Math.ceil(interrupts / 8);
    if (!extras) expect(actual.interrupts).toBeGreaterThanOrEqual(least);
    return actual;
  });
}

const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

const sum = (runs: readonly LockstepRun[], value: (run: LockstepRun) => number): number =>
  runs.reduce((total, run) => total + value(run), 0);

/** Whether 2.3 GiB of address space can be had; no more of it than the guest touches is used. */
function hasRoomBeyond2Gib(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 37_000, maximum: 40_000, shared: true }) !== undefined;
  } catch {
    return false;
  }
}

describe('compiled code does what the interpreter does', () => {
  test('when every block is compiled at once', () => {
    const runs = compare(quietEngine('always'), { seeds: range(1000, 40), passes: 12, fuel: 60 });
    expect(sum(runs, regionsOf)).toBeGreaterThan(800);
    expect(sum(runs, faultsOf)).toBeGreaterThan(500);
  });

  test('when regions have several blocks, compiled between passes', () => {
    const programs = { seeds: range(2000, 100), passes: 20, fuel: 60, heatLimit: 4 };
    const runs = compare(quietEngine('on'), programs);
    expect(sum(runs, regionsOf)).toBeGreaterThan(1000);
    expect(sum(runs, faultsOf)).toBeGreaterThan(500);
  });

  test('when it writes into itself', () => {
    const programs = { seeds: range(3000, 40), passes: 12, fuel: 60, modifiesItself: true };
    const runs = compare(quietEngine('always'), { ...programs, heatLimit: 3 });
    expect(sum(runs, dropsOf)).toBeGreaterThan(200);
  });

  test('over many slices, with an interrupt at the end of each', () => {
    const runs = compare(quietEngine('on'), { seeds: range(4000, 36), passes: 3, fuel: 50_000 });
    expect(sum(runs, (run) => run.interrupts)).toBeGreaterThan(50);
    expect(sum(runs, regionsOf)).toBeGreaterThan(30);
  });

  test('when it works on system state, is mapped elsewhere, and is written from outside', () => {
    const programs = { seeds: range(5000, 60), passes: 16, fuel: 80, extras: true };
    const runs = compare(quietEngine('on'), { ...programs, heatLimit: 3, modifiesItself: true });
    expect(sum(runs, regionsOf)).toBeGreaterThan(1000);
    expect(sum(runs, faultsOf)).toBeGreaterThan(500);
    expect(sum(runs, dropsOf)).toBeGreaterThan(200);
  });

  test('when there is so little room for decoded code that all is dropped now and then', () => {
    const programs = { seeds: range(6000, 24), passes: 12, fuel: 60, extras: true };
    const runs = compare(quietEngine('always', 80 << 10), programs);
    expect(sum(runs, ({ statistics }) => statistics.codeFlushes)).toBeGreaterThan(50);
    expect(sum(runs, dropsOf)).toBeGreaterThan(500);
  });

  describe.each([
    [32, 4],
    [16, 2],
  ] as const)('in %i-bit code, with segments of all kinds,', (_, mode) => {
    const compareNarrow = (contender: Contender, seeds: readonly number[]): LockstepRun[] =>
      seeds.map((seed) => {
        const flags = { modifiesItself: seed % 3 !== 0, extras: seed % 5 !== 0 };
        const options = { seed, blocks: 6 + (seed % 40), fuel: 80, ...flags };
        const { actual, difference } = compareNarrowProgram(
          interpreter,
          contender,
          options,
          mode,
          12,
        );
        expect(difference, `program ${seed}`).toBeUndefined();
        return actual;
      });

    test('when every block is compiled at once', () => {
      const contender = { name: 'compiler', engine: quietEngine('always') };
      const runs = compareNarrow(contender, range(10_000, 16));
      expect(sum(runs, regionsOf)).toBeGreaterThan(300);
      expect(sum(runs, faultsOf)).toBeGreaterThan(200);
      expect(sum(runs, ({ statistics }) => statistics.compiled)).toBeGreaterThan(10_000);
    });

    test('when regions have several blocks, compiled between passes', () => {
      const contender = { name: 'compiler', engine: quietEngine('on'), heatLimit: 4 };
      const runs = compareNarrow(contender, range(11_000, 30));
      expect(sum(runs, regionsOf)).toBeGreaterThan(200);
      expect(sum(runs, faultsOf)).toBeGreaterThan(500);
    });
  });

  // Such a block names a record and a code page that other code has got by then, and the place in
  // memory of the page that it was on.
  test('when blocks wait to be compiled while all code is dropped', () => {
    const programs = { seeds: [8056], passes: 12, fuel: 60, heatLimit: 4, extras: true };
    compare(quietEngine('on', 80 << 10), programs);
  });

  // As in a guest with so much memory: addresses of WebAssembly's are negative numbers up there.
  describe.skipIf(!hasRoomBeyond2Gib())('beyond 2 GiB (skipped where there is no room)', () => {
    test.each([
      ['with all of the guest there', 0x9000_0000],
      ['with the border between code and data', 0x8000_0000 - 0x4_0000],
      ['with the border before the code', 0x8000_0000 - 0x1_0000],
    ])('%s', (_, memoryOffset) => {
      const programs = { passes: 12, fuel: 60, extras: true, modifiesItself: true, memoryOffset };
      const always = compare(quietEngine('always'), { ...programs, seeds: range(7000, 4) });
      expect(sum(always, regionsOf)).toBeGreaterThan(100);
      const hot = { ...programs, seeds: range(7100, 4), heatLimit: 3 };
      expect(sum(compare(quietEngine('on'), hot), regionsOf)).toBeGreaterThan(20);
    });
  });
});
