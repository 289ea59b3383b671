// `npm run suspend [-- --trips N --seconds N --seed N --modes off,on,always]`: a guest that
// computes, counts and writes its disk is suspended to a file at random moments, and goes on in
// another process, that executes in another mode; its results, its clock and its disk must be
// right.

import { parseArgs } from 'node:util';
import { MODES, type Mode, Traveller } from './suspend/traveller.ts';

const TRIPS_DEFAULT = 60;
const DELAY_MS_MAX = 1500;
const SEED_MAX = 2 ** 31 - 2;
const MB = 1024 * 1024;

interface Arguments {
  readonly trips: number;
  readonly seconds: number;
  readonly seed: number;
  readonly modes: readonly Mode[];
}

function parse(words: string[]): Arguments {
  const value = { type: 'string' } as const;
  const options = { trips: value, seconds: value, seed: value, modes: value };
  const { values } = parseArgs({ args: words, options });
  const whole = (name: 'trips' | 'seconds' | 'seed', otherwise: number): number => {
    const word = values[name];
    if (word === undefined) return otherwise;
    if (!/^[1-9]\d{0,9}$/.test(word)) throw new Error(`--${name} wants a number, not ${word}`);
    return Number(word);
  };
  const modes = (values.modes ?? MODES.join(',')).split(',');
  const known = modes.map((word) => MODES.find((mode) => mode === word));
  if (known.includes(undefined)) throw new Error(`--modes has some of ${MODES.join(', ')}`);
  return {
    trips: whole('trips', TRIPS_DEFAULT),
    seconds: whole('seconds', 3600),
    seed: whole('seed', 1 + Math.floor(Math.random() * SEED_MAX)),
    modes: known as Mode[],
  };
}

/** The minimal standard generator: numbers from 0 to 1. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % (2 ** 31 - 1);
    return state / (2 ** 31 - 1);
  };
}

async function main({ trips, seconds, seed, modes }: Arguments): Promise<void> {
  process.stdout.write(`suspend: ${trips} trips, modes ${modes.join(',')}, seed ${seed}\n`);
  const random = generator(seed);
  const untilMs = performance.now() + seconds * 1000;
  const traveller = await Traveller.start(modes[0]!);
  let done = 0;
  try {
    while (done < trips && (done === 0 || performance.now() < untilMs)) {
      await new Promise((resolve) => setTimeout(resolve, random() * DELAY_MS_MAX));
      done++;
      const mode = modes[done % modes.length]!;
      const { fileBytes, sendMs, receiveMs } = await traveller.travel(mode);
      await traveller.works();
      process.stdout.write(
        `${done}: to ${mode}, ${(fileBytes / MB).toFixed(1)} MB, ` +
          `sent in ${sendMs.toFixed(0)} ms, received in ${receiveMs.toFixed(0)} ms\n`,
      );
    }
    await traveller.finish();
    process.stdout.write(`suspend: ok: ${done} trips, seed ${seed}\n`);
  } catch (error) {
    process.stderr.write(`${traveller.evidence}\n`);
    throw new Error(`suspend: FAILED on trip ${done}, seed ${seed}: ${(error as Error).message}`);
  } finally {
    await traveller.dispose();
  }
}

try {
  await main(parse(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
