// Programs run by the interpreter and by the compiler, and what differs.

import type { JitMode } from '../../src/cpu/jit/jit.ts';
import { SoftEngine } from '../../src/vmm/soft-engine.ts';
import {
  type LockstepEvent,
  LockstepMachine,
  type LockstepOptions,
  type LockstepRun,
} from './machine.ts';
import { buildProgram, type ProgramOptions } from './program.ts';

/** Bytes for decoded code, unless a test wants less. */
const CODE_BYTES = 4 << 20;

/** A soft engine without time and chance. */
export function quietEngine(jit: JitMode, codeBytes: number = CODE_BYTES): SoftEngine {
  return new SoftEngine({
    clock: { now: () => 0, wallMs: () => 0 },
    entropy: { fill: (bytes) => void bytes.fill(7) },
    codeBytes,
    jit,
  });
}

/** An engine, and how programs run on it. */
export interface Contender {
  readonly name: string;
  readonly engine: SoftEngine;
  readonly heatLimit?: number;
  /** See {@link LockstepOptions}. */
  readonly memoryOffset?: number;
}

/** How one run of a program went on two engines. */
export interface Comparison {
  readonly expected: LockstepRun;
  readonly actual: LockstepRun;
  /** The first difference in words, if there is any. */
  readonly difference: string | undefined;
}

/** The first event that differs, with the one before it. */
function eventDifference(
  expected: readonly LockstepEvent[],
  actual: readonly LockstepEvent[],
): string | undefined {
  const count = Math.max(expected.length, actual.length);
  for (let i = 0; i < count; i++) {
    if (JSON.stringify(expected[i]) === JSON.stringify(actual[i])) continue;
    const event = { index: i, before: expected[i - 1], expected: expected[i], actual: actual[i] };
    return `event ${JSON.stringify(event, undefined, 1)}`;
  }
  return undefined;
}

function memoryDifference(expected: Uint8Array, actual: Uint8Array): string | undefined {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  if (at < 0) return undefined;
  const bytes = [expected, actual].map((memory) => memory[at].toString(16)).join(' is ');
  return `memory at 0x${at.toString(16)}: ${bytes}`;
}

/** What differs between two runs of a program, if anything does. */
export const differenceOf = (expected: LockstepRun, actual: LockstepRun): string | undefined =>
  eventDifference(expected.events, actual.events) ??
  memoryDifference(expected.memory, actual.memory);

/** Runs one program on one engine. */
export function runProgram(
  { engine, heatLimit, memoryOffset }: Contender,
  options: ProgramOptions,
  passes: number,
): LockstepRun {
  const how: LockstepOptions = {
    passes,
    ...(heatLimit === undefined ? {} : { heatLimit }),
    ...(memoryOffset === undefined ? {} : { memoryOffset }),
  };
  return new LockstepMachine(engine, buildProgram(options), how).run();
}

/** Runs one program on two engines. */
export function compareProgram(
  reference: Contender,
  contender: Contender,
  options: ProgramOptions,
  passes: number,
): Comparison {
  const expected = runProgram(reference, options, passes);
  const actual = runProgram(contender, options, passes);
  return { expected, actual, difference: differenceOf(expected, actual) };
}

/** Regions that a run has compiled. */
export const regionsOf = ({ statistics }: LockstepRun): number => statistics.jit?.regions ?? 0;
/** Regions of it that were dropped. */
export const dropsOf = ({ statistics }: LockstepRun): number => statistics.jit?.dropped ?? 0;
/** Faults of a run. */
export const faultsOf = ({ events }: LockstepRun): number =>
  events.filter(({ what }) => what !== 'pass').length;
