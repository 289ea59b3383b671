// One run of a contender: from starting its process to the last item, read off its console.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { FIRST_LINE } from '../guest.ts';
import { type Contender, type Job, startContender } from './contenders.ts';
import type { BenchGuest } from './guest-program.ts';
import { type Sample, type Shares, sampleProcess, sharesOf } from './processor-share.ts';
import { type ItemResult, type Pass, parseLine, parseStatistics } from './results.ts';

/** The item that is the boot: from the start of the process to the first line of /init. */
export const BOOT = 'boot';

/** What came of a run. */
export interface Run {
  readonly contender: Contender;
  readonly permille: number;
  readonly items: readonly ItemResult[];
  /** Sentences about what went wrong. */
  readonly failures: readonly string[];
  /** The time of all items by the guest's clock, and by the host's. */
  readonly guestNs: number;
  readonly hostNs: number;
  /** How the guest spent that time on the host; absent when that is not known. */
  readonly shares?: Shares;
  /** What "vmctl run -v" reports. */
  readonly statistics: Readonly<Record<string, string>>;
}

/** An item that takes longer than this has hung. */
const SILENCE_SECONDS_MAX = 240;
/** From the last line to the end of the process. */
const END_SECONDS_MAX = 30;
const STDERR_LINES_SHOWN = 5;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The job, and whether the boot is wanted. */
export interface Order extends Job {
  readonly boot: boolean;
  /** Only the boot is. */
  readonly bootOnly: boolean;
}

/** Runs a contender once; `onItem` is told of each result when it comes. */
export async function runContender(
  contender: Contender,
  guest: BenchGuest,
  order: Order,
  onItem: (item: ItemResult) => void,
): Promise<Run> {
  const child = startContender(contender, guest, order);
  const reader = new ConsoleReader(contender, order, onItem, () => sampleProcess(child.pid));
  const kill = (): void => void child.kill('SIGKILL');
  const stop = (): never => {
    kill();
    process.exit(1);
  };
  for (const signal of SIGNALS) process.once(signal, stop);
  const silence = setTimeout(() => {
    reader.fail(`nothing for ${SILENCE_SECONDS_MAX} seconds`);
    kill();
  }, SILENCE_SECONDS_MAX * 1000);
  let stderr = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  let ending: NodeJS.Timeout | undefined;
  createInterface({ input: child.stdout! }).on('line', (text) => {
    silence.refresh();
    reader.read(text.trimEnd());
    if (reader.done) ending ??= setTimeout(kill, order.bootOnly ? 0 : END_SECONDS_MAX * 1000);
  });
  const status = await endOf(child);
  clearTimeout(silence);
  clearTimeout(ending);
  for (const signal of SIGNALS) process.off(signal, stop);
  if (!reader.done) {
    const tail = stderr.trim().split('\n').slice(-STDERR_LINES_SHOWN).join('\n');
    reader.fail(`the process ended early (${status}) ${tail}`.trim());
  }
  return { ...reader.outcome(), statistics: parseStatistics(stderr) };
}

/** Waits until a process is gone and its output read, and says how it ended. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? `status ${code}`));
  });
}

function withShares(pass: Pass, before: Sample, after: Sample): Pass {
  const shares = sharesOf(before, after, pass.ns);
  return shares === undefined ? pass : { ...pass, shares };
}

/** Follows the guest's console. */
class ConsoleReader {
  /** Nothing more is to come. */
  done = false;
  private readonly contender: Contender;
  private readonly order: Order;
  private readonly onItem: (item: ItemResult) => void;
  private readonly sample: () => Sample;
  private readonly start: Sample;
  private readonly items: ItemResult[] = [];
  private readonly failures: string[] = [];
  private current = 'the boot';
  /** At the beginnings of the current item's passes. */
  private readonly passes = new Map<string, Sample>();
  private itemsStart: Sample;
  private guestNs = 0;
  private hostNs = 0;
  private shares: Shares | undefined;

  constructor(
    contender: Contender,
    order: Order,
    onItem: (item: ItemResult) => void,
    sample: () => Sample,
  ) {
    this.contender = contender;
    this.order = order;
    this.onItem = onItem;
    this.sample = sample;
    this.start = sample();
    this.itemsStart = this.start;
  }

  read(text: string): void {
    if (text === FIRST_LINE) this.booted();
    const line = parseLine(text);
    switch (line?.kind) {
      case 'begin':
        this.itemsStart = this.sample();
        break;
      case 'start':
        this.current = line.name;
        this.passes.clear();
        break;
      case 'pass':
        this.passes.set(line.name, this.sample());
        break;
      case 'item':
        this.add(this.itemWithShares(line.result));
        break;
      case 'failed':
        this.fail(line.reason);
        break;
      case 'end':
        this.end(line.ns);
        break;
    }
  }

  fail(reason: string): void {
    this.failures.push(`${this.contender} failed in ${this.current}: ${reason}.`);
  }

  outcome(): Omit<Run, 'statistics'> {
    const { contender, items, failures, guestNs, hostNs, shares } = this;
    const { permille } = this.order;
    const known = shares === undefined ? {} : { shares };
    return { contender, permille, items, failures, guestNs, hostNs, ...known };
  }

  private booted(): void {
    if (this.order.boot) {
      const now = this.sample();
      const ns = Math.round((now.atMs - this.start.atMs) * 1e6);
      const warm = withShares({ work: 1, ns }, this.start, now);
      this.add({ name: BOOT, unit: 'boot', warm, sum: '' });
    }
    if (this.order.bootOnly) this.done = true;
  }

  /** On the host an item is a process of its own, whose waiting is not seen here. */
  private itemWithShares(item: ItemResult): ItemResult {
    const cold = this.passes.get('cold');
    const warm = this.passes.get('warm');
    if (this.contender === 'native' || cold === undefined || warm === undefined) return item;
    return {
      ...item,
      ...(item.cold && { cold: withShares(item.cold, cold, warm) }),
      warm: withShares(item.warm, warm, this.sample()),
    };
  }

  private end(guestNs: number): void {
    const now = this.sample();
    this.guestNs = guestNs;
    this.hostNs = Math.round((now.atMs - this.itemsStart.atMs) * 1e6);
    this.shares = sharesOf(this.itemsStart, now, guestNs);
    this.done = true;
  }

  private add(item: ItemResult): void {
    this.items.push(item);
    this.onItem(item);
  }
}
