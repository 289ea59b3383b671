// The compiler against the interpreter: random programs of 64-bit code run on both, and must show
// the same registers, flags, vectors and count of instructions at every fault and at the end of
// every pass, and leave the same memory. The interpreter is held against processors elsewhere.
//
// Slices end at different instructions on the two; an interrupt comes at the end of each, and its
// handler must leave no other trace than a count.

import { describe, expect, test } from 'vitest';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';
import { type LockstepEvent, LockstepMachine, type LockstepRun } from './lockstep/machine.ts';
import { buildProgram, type Program } from './lockstep/program.ts';

function engine(jit: JitMode): SoftEngine {
  return new SoftEngine({
    clock: { now: () => 0, wallMs: () => 0 },
    entropy: { fill: (bytes) => void bytes.fill(7) },
    codeBytes: 4 << 20,
    jit,
  });
}

const interpreter = engine('off');

/** The first event that differs, with what led there; undefined when all are the same. */
function difference(expected: readonly LockstepEvent[], actual: readonly LockstepEvent[]) {
  const count = Math.max(expected.length, actual.length);
  for (let i = 0; i < count; i++) {
    if (JSON.stringify(expected[i]) === JSON.stringify(actual[i])) continue;
    return { index: i, before: expected[i - 1], expected: expected[i], actual: actual[i] };
  }
  return undefined;
}

interface Comparison {
  readonly seeds: readonly number[];
  readonly passes: number;
  readonly fuel: number;
  readonly heatLimit?: number;
  readonly modifiesItself?: boolean;
}

/** Runs programs on both engines; answers what the compiler's runs were like. */
function compare(compiler: SoftEngine, comparison: Comparison): LockstepRun[] {
  const { passes, fuel, heatLimit, modifiesItself = false } = comparison;
  return comparison.seeds.map((seed) => {
    const program: Program = buildProgram({ seed, blocks: 6 + (seed % 32), fuel, modifiesItself });
    const expected = new LockstepMachine(interpreter, program, { passes }).run();
    const options = heatLimit === undefined ? { passes } : { passes, heatLimit };
    const actual = new LockstepMachine(compiler, program, options).run();
    const first = difference(expected.events, actual.events);
    expect(first, `program ${seed}`).toBeUndefined();
    const at = expected.memory.findIndex((byte, i) => byte !== actual.memory[i]);
    // The slices of compiled code end a little later.
    const { interrupts } = expected;
    expect(actual.interrupts).toBeGreaterThanOrEqual(interrupts - 1 - Math.ceil(interrupts / 8));
    expect(at, `program ${seed}: memory differs at 0x${at.toString(16)}`).toBe(-1);
    return actual;
  });
}

const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i);

const sum = (runs: readonly LockstepRun[], value: (run: LockstepRun) => number): number =>
  runs.reduce((total, run) => total + value(run), 0);

const regionsOf = ({ statistics }: LockstepRun): number => statistics.jit?.regions ?? 0;
const faultsOf = ({ events }: LockstepRun): number =>
  events.filter(({ what }) => what !== 'pass').length;

describe('compiled code does what the interpreter does', () => {
  test('when every block is compiled at once', () => {
    const runs = compare(engine('always'), { seeds: range(1000, 40), passes: 12, fuel: 60 });
    expect(sum(runs, regionsOf)).toBeGreaterThan(800);
    expect(sum(runs, faultsOf)).toBeGreaterThan(500);
  });

  test('when regions have several blocks, compiled between passes', () => {
    const comparison = { seeds: range(2000, 100), passes: 20, fuel: 60, heatLimit: 4 };
    const runs = compare(engine('on'), comparison);
    expect(sum(runs, regionsOf)).toBeGreaterThan(1000);
    expect(sum(runs, faultsOf)).toBeGreaterThan(500);
  });

  test('when it writes into itself', () => {
    const comparison = { seeds: range(3000, 40), passes: 12, fuel: 60, modifiesItself: true };
    const runs = compare(engine('always'), { ...comparison, heatLimit: 3 });
    expect(sum(runs, (run) => run.statistics.jit?.dropped ?? 0)).toBeGreaterThan(200);
  });

  test('over many slices, with an interrupt at the end of each', () => {
    const runs = compare(engine('on'), { seeds: range(4000, 24), passes: 3, fuel: 50_000 });
    expect(sum(runs, (run) => run.interrupts)).toBeGreaterThan(50);
    expect(sum(runs, regionsOf)).toBeGreaterThan(50);
  });
});
