// `npm run bench`: the speed of the processor. One guest program of many items runs under our
// engine, under QEMU's TCG and on the host, in turns; docs/benchmark.md says how to read what comes
// out.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { parseSettings, type Settings, USAGE } from './bench/arguments.ts';
import { type Contender, needsAvx, prepareContender, versionOf } from './bench/contenders.ts';
import { type BenchGuest, prepareBenchGuest } from './bench/guest-program.ts';
import { type Checked, type ItemResult, mismatches, unchecked } from './bench/results.ts';
import { BOOT, type Order, type Run, runContender } from './bench/run-contender.ts';
import { BASELINE, formatTable, means, type Row, rowsOf, type Turn } from './bench/table.ts';

/** Both clocks follow the same seconds: a guest whose clock is further off than this is told of. */
const DRIFT_MAX = 0.02;
/** Shorter than this, the delays of the console tell more than the clocks. */
const DRIFT_SECONDS_MIN = 2;

/** A share of waiting that is worth a word. */
const WAITED_TOLD = 0.05;

type RunInRound = Run & Turn;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function orderFor(settings: Settings, contender: Contender, only = settings.only): Order {
  const items = only.filter((name) => name !== BOOT);
  const boot = contender !== 'native' && (only.length === 0 || only.includes(BOOT));
  return {
    permille: settings.permille[contender],
    items,
    append: settings.append,
    boot,
    bootOnly: boot && only.length > 0 && items.length === 0,
  };
}

/** What a contender is to do: what wants AVX in a machine of its own, where it is one. */
function ordersFor(settings: Settings, guest: BenchGuest, contender: Contender): Order[] {
  const { only } = settings;
  if (contender === 'native') return [orderFor(settings, contender)];
  const avx = (only.length === 0 ? guest.items : only).filter(needsAvx);
  const others = only.filter((name) => !needsAvx(name));
  const orders: Order[] = [];
  if (only.length === 0 || others.length > 0) orders.push(orderFor(settings, contender, others));
  if (avx.length > 0) orders.push(orderFor(settings, contender, avx));
  return orders;
}

/** Two runs of a contender as one. */
function together(first: Run, second: Run): Run {
  return {
    ...first,
    items: [...first.items, ...second.items],
    failures: [...first.failures, ...second.failures],
    guestNs: first.guestNs + second.guestNs,
    hostNs: first.hostNs + second.hostNs,
  };
}

/** The host has nothing to boot. */
function hasNothing(settings: Settings, contender: Contender): boolean {
  return contender === 'native' && settings.only.length > 0 && settings.only.every(isBoot);
}

const isBoot = (name: string): boolean => name === BOOT;

async function turn(
  settings: Settings,
  guest: BenchGuest,
  contender: Contender,
  round: number,
): Promise<RunInRound> {
  const beginMs = performance.now();
  const tell = ({ name, warm, cold }: ItemResult): void => {
    if (!settings.verbose) return;
    const first = cold === undefined ? '' : `, first ${(cold.ns / 1e6).toFixed(1)} ms`;
    say(`  ${contender} ${name}: ${(warm.ns / 1e6).toFixed(1)} ms${first}`);
  };
  const runs: Run[] = [];
  for (const order of ordersFor(settings, guest, contender)) {
    runs.push(await runContender(contender, guest, order, tell));
  }
  const run = runs.reduce(together);
  const seconds = (performance.now() - beginMs) / 1000;
  const share = contender === 'native' ? 0 : (run.shares?.waited ?? 0);
  const waited = share < WAITED_TOLD ? '' : `, ${percent(share)} waiting for a processor`;
  say(`round ${round}: ${contender}: ${run.items.length} items, ${seconds.toFixed(1)} s${waited}`);
  for (const failure of run.failures) say(failure);
  const drift = run.guestNs / run.hostNs - 1;
  if (run.hostNs > DRIFT_SECONDS_MIN * 1e9 && Math.abs(drift) > DRIFT_MAX) {
    say(`The clock of ${contender} is off by ${percent(drift)}.`);
  }
  return { ...run, round };
}

async function allTurns(settings: Settings, guest: BenchGuest): Promise<RunInRound[]> {
  const runs: RunInRound[] = [];
  const rounds = Math.max(...settings.contenders.map((name) => settings.rounds[name]));
  for (let round = 1; round <= rounds; round++) {
    // Who comes first changes, so that nobody always follows the same one.
    const shift = (round - 1) % settings.contenders.length;
    const order = [...settings.contenders.slice(shift), ...settings.contenders.slice(0, shift)];
    for (const contender of order) {
      if (round > settings.rounds[contender] || hasNothing(settings, contender)) continue;
      runs.push(await turn(settings, guest, contender, round));
      // After each turn, so that nothing is lost when somebody ends this early.
      save(settings, runs);
    }
  }
  return runs;
}

/** What the host computes at scales at which only one contender has run. */
async function referenceRuns(
  settings: Settings,
  guest: BenchGuest,
  runs: readonly Checked[],
): Promise<Checked[]> {
  if (hasNothing(settings, 'native')) return [];
  const references: Checked[] = [];
  for (const permille of unchecked(runs)) {
    const order = { ...orderFor(settings, 'native'), permille };
    references.push(await runContender('native', guest, order, () => {}));
  }
  return references;
}

/** The rows of an earlier benchmark; EINVAL when the file is none. */
function rowsBefore(path: string | undefined): Row[] {
  if (path === undefined) return [];
  try {
    const { rows } = JSON.parse(readFileSync(path, 'utf8')) as { rows?: Row[] };
    if (Array.isArray(rows)) return rows;
  } catch (cause) {
    throw new VmmError('EINVAL', `Cannot read ${path}: ${(cause as Error).message}.`, { cause });
  }
  throw new VmmError('EINVAL', `Cannot read ${path}: it has no results of a benchmark.`);
}

function report(settings: Settings, runs: readonly RunInRound[], before: readonly Row[]): void {
  const rows = rowsOf(runs, settings.contenders);
  process.stdout.write(`\n${formatTable(rows, settings.contenders, before)}`);
  for (const { contender, round, statistics } of runs) {
    for (const [label, text] of Object.entries(statistics)) {
      if (/longest|gap/.test(label)) {
        process.stdout.write(`${contender}, round ${round}: ${label} ${text}\n`);
      }
    }
  }
}

/** Keeps all that is known so far, as --json asks for. */
function save(settings: Settings, runs: readonly RunInRound[]): void {
  if (settings.json === undefined) return;
  const rows = rowsOf(runs, settings.contenders);
  const contenders = settings.contenders.map((name) => {
    return { name, version: versionOf(name), means: means(rows, name) };
  });
  const host = { processor: cpus()[0]?.model, count: cpus().length };
  const all = { host, baseline: BASELINE, contenders, rows, runs };
  writeFileSync(settings.json, `${JSON.stringify(all, null, 1)}\n`);
}

/** Refuses items that there are not. */
function checkItems(only: readonly string[], items: readonly string[]): void {
  for (const name of only) {
    if (isBoot(name) || items.includes(name)) continue;
    throw new VmmError('EINVAL', `There is no item ${name}; --list lists them.`);
  }
}

/** Runs everything and reports; the exit status. */
async function measure(settings: Settings, guest: BenchGuest): Promise<number> {
  const before = rowsBefore(settings.against);
  const runs = await allTurns(settings, guest);
  const sentences = mismatches([...runs, ...(await referenceRuns(settings, guest, runs))]);
  report(settings, runs, before);
  for (const sentence of sentences) say(sentence);
  return sentences.length === 0 && runs.every(({ failures }) => failures.length === 0) ? 0 : 1;
}

async function main(words: readonly string[]): Promise<number> {
  const settings = parseSettings(words);
  const tell = (text: string): void => say(`${text} ...`);
  const guest = prepareBenchGuest(tell);
  if (settings.list) {
    process.stdout.write([BOOT, ...guest.items].map((name) => `${name}\n`).join(''));
    return 0;
  }
  checkItems(settings.only, guest.items);
  for (const contender of settings.contenders) prepareContender(contender, tell);
  // A copy of its own, as a disk belongs to one machine at a time.
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  const disk = join(folder, 'disk.img');
  copyFileSync(guest.disk, disk);
  return measure(settings, { ...guest, disk });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Error)) throw error;
  say(error.name === 'VmmError' ? error.message : `Cannot measure: ${error.message}`);
  if (error instanceof VmmError && error.code === 'EINVAL') say(USAGE.trimEnd());
  process.exitCode = 1;
}
