// The arguments of `npm run soak`.

import { parseArgs } from 'node:util';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';

/** What a soak test shall do. */
export interface SoakArguments {
  /** No round begins when the guest has been under load for so long. */
  readonly minutes: number;
  /** vmctl's --jit. */
  readonly jit: string;
  /** vmctl's -m. */
  readonly memory: string;
  /** What all seeds of all rounds derive from. */
  readonly seed: number;
  /** The loads of each round, in their order. */
  readonly loads: readonly string[];
  /** Seconds between two samples of the memory. */
  readonly every: number;
  /** Where the curve goes as JSON. */
  readonly json?: string;
  /** Where all of the console goes. */
  readonly log?: string;
}

/** How the script is called. */
export const USAGE =
  'usage: npm run soak [-- --minutes N --jit=off|on|always --memory SIZE --seed N\n' +
  '                        --loads NAME,... --every SECONDS --json FILE --log FILE]';

/** The loads of a round unless it is said otherwise; each is a function in guest/loads.sh. */
export const LOADS: readonly string[] = 'tcc gzip sums sort awk loop tar find forks disk'.split(
  ' ',
);
/** Runs when named: its packages are ten times as large as all others together. */
export const GCC = 'gcc';

/** Seeds are states of the minimal standard generator (see oracle.ts): less than 2^31 - 1. */
export const SEED_MAX = 2 ** 31 - 2;
const MINUTES_DEFAULT = 10;
const MINUTES_MAX = 10_000;
const EVERY_DEFAULT = 5;
const JIT_MODES = ['off', 'on', 'always'];
const MEMORY_DEFAULT = '256M';

/** Reads the words after the script's name. VmmError EINVAL says which of them is wrong. */
export function soakArguments(words: readonly string[], seedDefault: number): SoakArguments {
  const value = { type: 'string' } as const;
  const options = {
    minutes: value,
    jit: value,
    memory: value,
    seed: value,
    loads: value,
    every: value,
    json: value,
    log: value,
  };
  let values: Partial<Record<keyof typeof options, string>>;
  try {
    ({ values } = parseArgs({ args: [...words], options }));
  } catch (cause) {
    throw new VmmError('EINVAL', `${(cause as Error).message}\n${USAGE}`, { cause });
  }
  const jit = values.jit ?? JIT_MODES[0]!;
  if (!JIT_MODES.includes(jit)) {
    throw new VmmError('EINVAL', `unknown mode: ${jit} (--jit is one of: ${JIT_MODES.join(', ')})`);
  }
  const seed = number('seed', values.seed, seedDefault, 1, SEED_MAX);
  if (!Number.isInteger(seed)) throw new VmmError('EINVAL', `invalid seed: ${values.seed}`);
  return {
    minutes: number('minutes', values.minutes, MINUTES_DEFAULT, 0.1, MINUTES_MAX),
    jit,
    memory: values.memory ?? MEMORY_DEFAULT,
    seed,
    loads: parseLoads(values.loads),
    every: number('every', values.every, EVERY_DEFAULT, 0.1, 3600),
    ...(values.json === undefined ? {} : { json: values.json }),
    ...(values.log === undefined ? {} : { log: values.log }),
  };
}

function number(
  name: string,
  word: string | undefined,
  otherwise: number,
  min: number,
  max: number,
): number {
  if (word === undefined) return otherwise;
  const value = /^\d+(\.\d+)?$/.test(word) ? Number(word) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new VmmError('EINVAL', `invalid --${name}: ${word} (from ${min} to ${max})`);
}

function parseLoads(word: string | undefined): readonly string[] {
  if (word === undefined) return LOADS;
  const names = word.split(',');
  const unknown = names.find((name) => name !== GCC && !LOADS.includes(name));
  if (unknown === undefined) return names;
  const known = [...LOADS, GCC].join(', ');
  throw new VmmError('EINVAL', `unknown load: ${unknown} (there are: ${known})`);
}
