// The compiler against the interpreter for as long as one likes:
//
//   npm run lockstep -- [--blocks N] [--seed S] [--seconds N]
//
// runs random programs (packages/vmm/test/lockstep) of 64-, 32- and 16-bit code until they have
// executed N blocks, 1000000 unless given, or for that many seconds, each with the compiler off, on
// with a low limit of heat, and for every block at once. The compiler's runs must show what the
// interpreter's shows. At the first difference it says how to see it again, and ends with status 1.
// The seed is printed.

import process from 'node:process';
import { parseArgs } from 'node:util';
import {
  type Contender,
  differenceOf,
  dropsOf,
  faultsOf,
  quietEngine,
  regionsOf,
  runProgram,
} from '../packages/vmm/test/lockstep/compare.ts';
import { EndlessProgram, type LockstepRun } from '../packages/vmm/test/lockstep/machine.ts';
import { runNarrowProgram } from '../packages/vmm/test/lockstep/narrow-compare.ts';
import type { NarrowMode } from '../packages/vmm/test/lockstep/narrow-program.ts';
import type { ProgramOptions } from '../packages/vmm/test/lockstep/program.ts';

const BLOCKS = 1_000_000;
const USAGE = 'usage: npm run lockstep -- [--blocks N] [--seed S] [--seconds N]';

interface Arguments {
  readonly blocks: number;
  readonly seconds: number;
  readonly seed: number;
}

function fail(text: string): never {
  console.error(text);
  process.exit(2);
}

function numberOf(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  fail(`--${name} takes a whole number, not "${text}".`);
}

function readArguments(): Arguments {
  const options = {
    blocks: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
  } as const;
  try {
    const { values } = parseArgs({ options });
    return {
      blocks: numberOf('blocks', values.blocks, BLOCKS),
      seconds: numberOf('seconds', values.seconds, Number.POSITIVE_INFINITY),
      seed: numberOf('seed', values.seed, Date.now() % 2 ** 31),
    };
  } catch (error) {
    fail(`${(error as Error).message}\n${USAGE}`);
  }
}

/** How a program is run: what its number makes of it. */
interface Plan {
  /** Undefined for 64-bit code. */
  readonly narrow: NarrowMode | undefined;
  readonly options: ProgramOptions;
  readonly passes: number;
  /** Room for decoded code is scarce. */
  readonly isTight: boolean;
}

/**
 * Every fourth program is 32-bit code, another fourth 16-bit code. Every sixteenth is a long one;
 * every eighth has little room.
 */
function planOf(seed: number): Plan {
  const narrow = seed % 4 === 1 ? 4 : seed % 4 === 2 ? 2 : undefined;
  const isLong = seed % 16 === 3;
  const options = {
    seed,
    blocks: 6 + (seed % 40),
    fuel: isLong ? 3000 : 300,
    modifiesItself: seed % 3 !== 0,
    extras: seed % 5 !== 0,
  };
  return { narrow, options, passes: isLong ? 6 : 10, isTight: seed % 8 === 5 };
}

const HEAT_LIMIT = 4;
const TIGHT_BYTES = 80 << 10;

const interpreter: Contender = { name: 'off', engine: quietEngine('off') };

const contendersWith = (codeBytes?: number): readonly Contender[] => [
  { name: 'on', engine: quietEngine('on', codeBytes), heatLimit: HEAT_LIMIT },
  { name: 'always', engine: quietEngine('always', codeBytes) },
];

/** What came of all programs. */
class Totals {
  private readonly begin = performance.now();
  programs = 0;
  blocks = 0;
  instructions = 0;
  compiled = 0;
  faults = 0;
  regions = 0;
  drops = 0;
  flushes = 0;
  /** Programs that have no end, and were left out. */
  endless = 0;

  get seconds(): number {
    return (performance.now() - this.begin) / 1000;
  }

  addExpected(run: LockstepRun): void {
    this.programs++;
    this.blocks += run.blocks;
    this.faults += faultsOf(run);
  }

  addActual(run: LockstepRun): void {
    this.instructions += run.statistics.instructions;
    this.compiled += run.statistics.compiled;
    this.regions += regionsOf(run);
    this.drops += dropsOf(run);
    this.flushes += run.statistics.codeFlushes;
  }

  toString(): string {
    const share = Math.round((100 * this.compiled) / Math.max(1, this.instructions));
    return (
      `${this.programs} programs (${this.endless} endless ones left out), ` +
      `${this.blocks} blocks in each mode, ${this.faults} faults, ` +
      `${this.regions} regions, ${this.drops} of them dropped, ${this.flushes} times all code ` +
      `dropped, ${share} % of the compilers' instructions compiled, ` +
      `${this.seconds.toFixed(1)} seconds`
    );
  }
}

const run = (contender: Contender, { narrow, options, passes }: Plan): LockstepRun =>
  narrow === undefined
    ? runProgram(contender, options, passes)
    : runNarrowProgram(contender, options, narrow, passes);

/** The interpreter's run; undefined of a program that has written itself into an endless loop. */
function reference(plan: Plan): LockstepRun | undefined {
  try {
    return run(interpreter, plan);
  } catch (error) {
    if (error instanceof EndlessProgram) return undefined;
    throw error;
  }
}

/** Runs one program in all modes; false when they differ. */
function check(plan: Plan, contenders: readonly Contender[], totals: Totals) {
  const { options } = plan;
  const expected = reference(plan);
  if (expected === undefined) {
    totals.endless++;
    return true;
  }
  totals.addExpected(expected);
  const attempt = (contender: Contender): string | undefined => {
    try {
      const actual = run(contender, plan);
      totals.addActual(actual);
      return differenceOf(expected, actual);
    } catch (error) {
      return String(error);
    }
  };
  for (const contender of contenders) {
    const difference = attempt(contender);
    if (difference === undefined) continue;
    console.log(`program ${options.seed}, compiler ${contender.name}: ${difference}`);
    console.log(`To see it again: npm run lockstep -- --blocks 1 --seed ${options.seed}`);
    return false;
  }
  return true;
}

function main(): number {
  const { blocks, seconds, seed } = readArguments();
  console.log(`seed ${seed}`);
  const roomy = contendersWith();
  const tight = contendersWith(TIGHT_BYTES);
  const totals = new Totals();
  let reported = 0;
  for (let i = 0; totals.blocks < blocks && totals.seconds < seconds; i++) {
    const plan = planOf(seed + i);
    if (!check(plan, plan.isTight ? tight : roomy, totals)) {
      console.log(`${totals}: a difference`);
      return 1;
    }
    if (totals.seconds - reported > 30) {
      reported = totals.seconds;
      console.log(`... ${totals}`);
    }
  }
  console.log(`${totals}: no difference`);
  return 0;
}

process.exitCode = main();
