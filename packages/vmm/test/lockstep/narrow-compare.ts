// Programs of 16- and 32-bit code run by the interpreter and by the compiler.

import type { Comparison, Contender } from './compare.ts';
import { differenceOf } from './compare.ts';
import type { LockstepRun } from './machine.ts';
import { NarrowMachine } from './narrow-machine.ts';
import { buildNarrowProgram, type NarrowMode } from './narrow-program.ts';
import type { ProgramOptions } from './program.ts';

/** Runs one program on one engine. */
export const runNarrowProgram = (
  contender: Contender,
  options: ProgramOptions,
  mode: NarrowMode,
  passes: number,
): LockstepRun => new NarrowMachine(contender, buildNarrowProgram(options, mode), passes).run();

/** Runs one program on two engines. */
export function compareNarrowProgram(
  reference: Contender,
  contender: Contender,
  options: ProgramOptions,
  mode: NarrowMode,
  passes: number,
): Comparison {
  const expected = runNarrowProgram(reference, options, mode, passes);
  const actual = runNarrowProgram(contender, options, mode, passes);
  return { expected, actual, difference: differenceOf(expected, actual) };
}
