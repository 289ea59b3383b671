// A run of the soak test: the guest under `vmctl run`, asked for one round after another, watched,
// and its process measured.

import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { COMMAND_LINE } from '../guest.ts';
import { startVmctl } from '../vmctl-process.ts';
import type { SoakArguments } from './arguments.ts';
import { type ConsoleEvent, ConsoleWatcher } from './console-watcher.ts';
import { memoryOf, type Sample } from './memory-curve.ts';
import { type Expected, type Oracle, OUTPUTS, roundRequest, roundSeed } from './oracle.ts';
import { DISK_HALF_BYTES, type SoakGuest } from './soak-guest.ts';

/** What became of a run. */
export interface Outcome {
  readonly rounds: number;
  /** Sentences, or lines of the console; none when all was well. */
  readonly failures: readonly string[];
  readonly samples: readonly Sample[];
  /** Of the whole run, since the start of vmctl. */
  readonly seconds: number;
  /** When the guest had booted and touched its memory; undefined when it never had. */
  readonly readySeconds: number | undefined;
  /** Ended early because the user wanted so. */
  readonly interrupted: boolean;
}

/** Each load reports its end; the longest takes minutes where everything is compiled first. */
const SILENCE_SECONDS_MAX = 600;
/** After a complaint the kernel writes registers and a stack; then it is over. */
const AFTERMATH_MS = 5000;
/** As many lines of a wrong output as the guest shows, and no more, are shown of the right one. */
const LINES_MAX = 20;
/** The machine ends by itself if this program cannot end it. */
const GRACE_SECONDS = 1800;

/** Runs the test to its end; `say` gets lines for the user. Never throws for the guest's sake. */
export function converse(
  soakGuest: SoakGuest,
  disk: string,
  oracle: Oracle,
  options: SoakArguments,
  say: (line: string) => void,
): Promise<Outcome> {
  return new Conversation(soakGuest, disk, oracle, options, say).done;
}

class Conversation {
  readonly done: Promise<Outcome>;
  readonly #child: ChildProcess;
  readonly #disk: string;
  readonly #oracle: Oracle;
  readonly #options: SoakArguments;
  readonly #say: (line: string) => void;
  readonly #watcher = new ConsoleWatcher();
  readonly #samples: Sample[] = [];
  readonly #failures: string[] = [];
  readonly #begin = performance.now();
  readonly #sampler: NodeJS.Timeout;
  #silence: NodeJS.Timeout | undefined;
  #aftermath: NodeJS.Timeout | undefined;
  #readySeconds: number | undefined;
  #rounds = 0;
  #expected: Expected | undefined;
  readonly #wrongOutputs = new Set<string>();
  #diskSum: string | undefined;
  #isOff = false;
  #interrupted = false;

  constructor(
    { guest, disk: content }: SoakGuest,
    disk: string,
    oracle: Oracle,
    options: SoakArguments,
    say: (line: string) => void,
  ) {
    this.#disk = disk;
    this.#oracle = oracle;
    this.#options = options;
    this.#say = say;
    writeFileSync(disk, content);
    if (options.log !== undefined) writeFileSync(options.log, '');
    const limit = String(Math.ceil(options.minutes * 60 + GRACE_SECONDS));
    this.#child = startVmctl(
      guest,
      disk,
      `${COMMAND_LINE} panic=-1`,
      ['-v', `--jit=${options.jit}`, '-t', limit, '--no-reboot'],
      ['pipe', 'pipe', 'inherit'],
      { memory: options.memory, detached: true },
    );
    // A machine that has ended reads no more; that it has is told by its status.
    this.#child.stdin!.on('error', () => {});
    this.#child.stdout!.setEncoding('utf8');
    this.#child.stdout!.on('data', (text: string) => {
      if (options.log !== undefined) appendFileSync(options.log, text);
      this.#expectNoise();
      for (const event of this.#watcher.push(text)) this.#take(event);
    });
    this.#sampler = setInterval(() => this.#sample(), options.every * 1000);
    this.#expectNoise();
    process.on('SIGINT', this.#interrupt);
    this.done = new Promise((resolve) => {
      this.#child.once('close', (status, signal) => resolve(this.#end(status, signal)));
    });
  }

  #seconds(): number {
    return (performance.now() - this.#begin) / 1000;
  }

  #take(event: ConsoleEvent): void {
    switch (event.kind) {
      case 'ready':
        this.#readySeconds = this.#seconds();
        this.#say(`The guest is ready after ${this.#readySeconds.toFixed(1)} s.`);
        this.#next();
        break;
      case 'round':
        this.#takeRound(event);
        break;
      case 'mismatch':
        this.#fail(event.line);
        break;
      case 'instead':
        this.#say(event.line);
        this.#wrongOutputs.add(event.output);
        break;
      case 'complaint':
        this.#complain(event.line);
        break;
      case 'off':
        this.#isOff = true;
    }
  }

  #takeRound({ round, ok, uptime, disk }: ConsoleEvent & { kind: 'round' }): void {
    if (round !== this.#rounds + 1) this.#fail(`The guest reports round ${round} out of turn.`);
    this.#rounds = round;
    if (disk !== undefined) this.#diskSum = disk;
    const rss = memoryOf(this.#child.pid!)?.rssMiB.toFixed(0) ?? '?';
    const verdict = ok ? 'ok' : 'failed';
    this.#say(
      `round ${round}: ${verdict}, guest uptime ${uptime.toFixed(1)} s, ` +
        `${this.#seconds().toFixed(1)} s here, RSS ${rss} MiB`,
    );
    if (!ok) this.#showExpected();
    this.#next();
  }

  /** Asks for the next round, or for the end. */
  #next(): void {
    const over = this.#seconds() >= (this.#readySeconds ?? 0) + this.#options.minutes * 60;
    if (over || this.#interrupted || this.#failures.length > 0) {
      this.#child.stdin!.write('stop\n');
      return;
    }
    const round = this.#rounds + 1;
    const seed = roundSeed(this.#options.seed, round);
    this.#expected = this.#oracle.expect(seed);
    const request = roundRequest(round, seed, this.#options.loads, this.#expected);
    this.#child.stdin!.write(`${request}\n`);
  }

  #fail(text: string): void {
    this.#failures.push(text);
    this.#say(text);
  }

  /** The first complaint ends the run, as soon as the lines that explain it are there. */
  #complain(line: string): void {
    this.#failures.push(line);
    this.#aftermath ??= setTimeout(() => this.#child.kill('SIGTERM'), AFTERMATH_MS);
  }

  #showExpected(): void {
    for (const name of OUTPUTS) {
      if (!this.#wrongOutputs.has(name)) continue;
      const lines = this.#expected![name].trimEnd().split('\n').slice(0, LINES_MAX);
      for (const line of lines) this.#say(`expected ${name}: ${line}`);
    }
  }

  #expectNoise(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#fail(`The console has been silent for ${SILENCE_SECONDS_MAX} s.`);
      this.#child.kill('SIGTERM');
    }, SILENCE_SECONDS_MAX * 1000);
  }

  #sample(): void {
    const memory = memoryOf(this.#child.pid!);
    if (memory === undefined) return;
    this.#samples.push({ seconds: this.#seconds(), rounds: this.#rounds, ...memory });
  }

  readonly #interrupt = (): void => {
    if (this.#interrupted) {
      this.#child.kill('SIGTERM');
      return;
    }
    this.#interrupted = true;
    this.#say('Interrupted: the guest ends after this round; once more ends it at once.');
  };

  #end(status: number | null, signal: NodeJS.Signals | null): Outcome {
    for (const event of this.#watcher.end()) this.#take(event);
    clearInterval(this.#sampler);
    clearTimeout(this.#silence);
    clearTimeout(this.#aftermath);
    process.off('SIGINT', this.#interrupt);
    if (!this.#isOff || status !== 0) {
      this.#failures.push(
        `vmctl ended with ${status === null ? signal : `status ${status}`}` +
          `${this.#isOff ? '' : ' before the guest was switched off'}.`,
      );
      for (const line of this.#watcher.recent) this.#say(`console: ${line}`);
    } else {
      this.#checkDisk();
    }
    return {
      rounds: this.#rounds,
      failures: this.#failures,
      samples: this.#samples,
      seconds: this.#seconds(),
      readySeconds: this.#readySeconds,
      interrupted: this.#interrupted,
    };
  }

  /** What the guest wrote must be in the file. */
  #checkDisk(): void {
    if (this.#diskSum === undefined) return;
    const half = readFileSync(this.#disk).subarray(DISK_HALF_BYTES);
    const sum = createHash('md5').update(half).digest('hex');
    if (sum === this.#diskSum) return;
    this.#fail(`The disk's file has MD5 ${sum}, and the guest saw ${this.#diskSum}.`);
  }
}
