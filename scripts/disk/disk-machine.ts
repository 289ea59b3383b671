// The guest of disk-guest.ts under `vmctl run`, with disks and a job.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { COMMAND_LINE, type Guest } from '../guest.ts';
import { startVmctl } from '../vmctl-process.ts';

/** A job that takes longer has hung. */
const JOB_SECONDS_MAX = 900;

/** A machine at work. */
export class DiskMachine {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  /** What is called at each line that a job begins with; the last is called "end". */
  readonly #onBegin: (name: string, pid: number) => void;
  #text = '';
  #line = '';
  #look: () => void = () => {};

  constructor(child: ChildProcess, onBegin: (name: string, pid: number) => void = () => {}) {
    this.#child = child;
    this.#onBegin = onBegin;
    this.#closed = once(child, 'close').finally(() => this.#look());
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
      this.#lines(text);
      this.#look();
    });
  }

  #lines(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop()!;
    for (const line of lines) {
      const name = /^disk: begin (\S+)/.exec(line)?.[1];
      if (name !== undefined) this.#onBegin(name, this.#child.pid!);
    }
  }

  /** Waits until the console has shown this; false when it does not within `timeoutMs`. */
  sees(pattern: RegExp, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      const end = (seen: boolean): void => {
        clearTimeout(timer);
        this.#look = () => {};
        resolve(seen);
      };
      this.#look = () => {
        const ended = this.#child.exitCode !== null || this.#child.signalCode !== null;
        if (pattern.test(this.#text)) end(true);
        else if (ended) end(false);
      };
      this.#look();
    });
  }

  /** Ends the process, which learns nothing of it; all that the console has shown. */
  async kill(): Promise<string> {
    this.#child.kill('SIGKILL');
    await this.#closed;
    return this.#text;
  }

  /** Waits until the guest has switched the machine off; all that the console has shown. */
  async end(): Promise<string> {
    await this.#closed;
    if (this.#child.exitCode === 0) return this.#text;
    throw new VmmError(
      'EIO',
      `the machine ended with status ${this.#child.exitCode}:\n${this.#text}`,
    );
  }
}

/** Starts the guest with disks and the words of a job on its command line. */
export function startDiskGuest(
  guest: Guest,
  disks: readonly string[],
  job: string,
  onBegin?: (name: string, pid: number) => void,
): DiskMachine {
  const [first, ...others] = disks;
  const options = ['--no-reboot', '-t', String(JOB_SECONDS_MAX)];
  const words = [...others.flatMap((path) => ['-d', path]), ...options];
  const line = diskCommandLine(job);
  const child = startVmctl(guest, first!, line, words, ['ignore', 'pipe', 'inherit']);
  return new DiskMachine(child, onBegin);
}

/** The kernel's command line for a job. */
export function diskCommandLine(job: string): string {
  return `${COMMAND_LINE} quiet panic=-1 ${job}`;
}

/**
 * Waits for a job on a machine that the guest cannot switch off, and ends that; what its console
 * has shown.
 */
export async function endOfJob(
  child: ChildProcess,
  onBegin: (name: string, pid: number) => void,
): Promise<string> {
  const machine = new DiskMachine(child, onBegin);
  await machine.sees(/^disk: done/m, JOB_SECONDS_MAX * 1000);
  return machine.kill();
}

/** Runs the guest until its job is done; all that its console has shown. */
export function runDiskGuest(guest: Guest, disks: readonly string[], job: string): Promise<string> {
  return startDiskGuest(guest, disks, job).end();
}
