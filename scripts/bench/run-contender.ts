// One run of a contender: from starting its process to the last item, read off its console.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { FIRST_LINE } from '../guest.ts';
import { type Contender, type Job, startContender } from './contenders.ts';
import type { BenchGuest } from './guest-program.ts';
import { type ItemResult, parseLine, parseStatistics } from './results.ts';

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
  /** What "vmctl run -v" reports. */
  readonly statistics: Readonly<Record<string, string>>;
}

/** An item that takes longer than this has hung. */
const SILENCE_SECONDS_MAX = 240;
/** From the last line to the end of the process. */
const END_SECONDS_MAX = 30;
const STDERR_LINES_SHOWN = 5;

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
  const beginMs = performance.now();
  const child = startContender(contender, guest, order);
  const reader = new ConsoleReader(contender, order, onItem, beginMs);
  const silence = setTimeout(() => {
    reader.fail(`nothing for ${SILENCE_SECONDS_MAX} seconds`);
    child.kill('SIGKILL');
  }, SILENCE_SECONDS_MAX * 1000);
  let stderr = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  const lines = createInterface({ input: child.stdout! });
  let endTimer: NodeJS.Timeout | undefined;
  lines.on('line', (text) => {
    silence.refresh();
    reader.read(text.trimEnd());
    if (!reader.done || endTimer !== undefined) return;
    endTimer = setTimeout(() => child.kill('SIGKILL'), order.bootOnly ? 0 : END_SECONDS_MAX * 1000);
  });
  const status = await endOf(child);
  clearTimeout(silence);
  clearTimeout(endTimer);
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

/** Follows the guest's console. */
class ConsoleReader {
  /** Nothing more is to come. */
  done = false;
  private readonly contender: Contender;
  private readonly order: Order;
  private readonly onItem: (item: ItemResult) => void;
  private readonly beginMs: number;
  private readonly items: ItemResult[] = [];
  private readonly failures: string[] = [];
  private current = 'the boot';
  private itemsBeginMs = 0;
  private guestNs = 0;
  private hostNs = 0;

  constructor(
    contender: Contender,
    order: Order,
    onItem: (item: ItemResult) => void,
    beginMs: number,
  ) {
    this.contender = contender;
    this.order = order;
    this.onItem = onItem;
    this.beginMs = beginMs;
  }

  read(text: string): void {
    const nowMs = performance.now();
    if (text === FIRST_LINE) this.booted(nowMs);
    const line = parseLine(text);
    switch (line?.kind) {
      case 'begin':
        this.itemsBeginMs = nowMs;
        break;
      case 'start':
        this.current = line.name;
        break;
      case 'item':
        this.add(line.result);
        break;
      case 'failed':
        this.fail(line.reason);
        break;
      case 'end':
        this.guestNs = line.ns;
        this.hostNs = Math.round((nowMs - this.itemsBeginMs) * 1e6);
        this.done = true;
        break;
    }
  }

  fail(reason: string): void {
    this.failures.push(`${this.contender} failed in ${this.current}: ${reason}.`);
  }

  outcome(): Omit<Run, 'statistics'> {
    const { contender, items, failures, guestNs, hostNs } = this;
    return { contender, permille: this.order.permille, items, failures, guestNs, hostNs };
  }

  private booted(nowMs: number): void {
    if (this.order.boot) {
      const warm = { work: 1, ns: Math.round((nowMs - this.beginMs) * 1e6) };
      this.add({ name: BOOT, unit: 'boot', warm, sum: '' });
    }
    if (this.order.bootOnly) this.done = true;
  }

  private add(item: ItemResult): void {
    this.items.push(item);
    this.onItem(item);
  }
}
