// `npm run soak`: a long run of the whole machine under mixed load. Debian's kernel compiles and
// runs C programs, packs, sorts, forks and writes its disk, round after round; what it computes is
// compared with results that the host has found by itself, its kernel must not complain, and the
// memory of the process must come to rest.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SEED_MAX, type SoakArguments, soakArguments } from './soak/arguments.ts';
import { converse, type Outcome } from './soak/conversation.ts';
import { curveTable, judge, type Verdict } from './soak/memory-curve.ts';
import { makeOracle } from './soak/oracle.ts';
import { prepareSoakGuest } from './soak/soak-guest.ts';

/** As a shell reports a process that SIGINT ended. */
const STATUS_INTERRUPTED = 130;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

async function main(words: readonly string[]): Promise<number> {
  const options = soakArguments(words, 1 + Math.floor(Math.random() * SEED_MAX));
  const guest = prepareSoakGuest(options.loads, (text) => say(`${text} ...`));
  const folder = mkdtempSync(join(tmpdir(), 'soak-'));
  try {
    const oracle = makeOracle(folder);
    const { minutes, jit, memory, seed, loads } = options;
    say(
      `Soaking for ${minutes} minutes: --jit=${jit} --memory ${memory} --seed ${seed} ` +
        `--loads ${loads.join(',')}`,
    );
    const outcome = await converse(guest, join(folder, 'disk.img'), oracle, options, say);
    return report(options, outcome);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function report(options: SoakArguments, outcome: Outcome): number {
  const { rounds, failures, samples, seconds, readySeconds, interrupted } = outcome;
  const verdict = judge(samples, readySeconds);
  process.stdout.write(curveTable(samples));
  if (options.json !== undefined) {
    const content = { ...options, ...outcome, verdict };
    writeFileSync(options.json, `${JSON.stringify(content, null, 2)}\n`);
  }
  const wrong: string[] = [...failures];
  if (verdict.flat === false) wrong.push('its memory grows');
  if (verdict.flat === undefined && !interrupted) wrong.push('too short to judge its memory');
  if (rounds === 0 && !interrupted) wrong.push('no round ended');
  const result = wrong.length === 0 ? 'ok' : `FAILED (${wrong[0]})`;
  say(
    `soak: ${result}: ${rounds} rounds in ${(seconds / 60).toFixed(1)} minutes, ` +
      `jit ${options.jit}, seed ${options.seed}; ${memoryText(verdict)}`,
  );
  if (wrong.length > 0) return 1;
  return interrupted ? STATUS_INTERRUPTED : 0;
}

function memoryText(verdict: Verdict): string {
  const { flat, firstMiB, secondMiB, limitMiB, growthMiBPerMinute } = verdict;
  const judgement = flat === undefined ? 'not judged' : flat ? 'flat' : 'not flat';
  return (
    `memory ${judgement}: at most ${firstMiB.toFixed(0)} MiB in the first half, ` +
    `${secondMiB.toFixed(0)} MiB in the second (limit ${limitMiB.toFixed(0)}), ` +
    `growing there by ${growthMiBPerMinute.toFixed(1)} MiB a minute`
  );
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Error) || error.name !== 'VmmError') throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
