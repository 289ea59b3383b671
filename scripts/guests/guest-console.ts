// A guest's serial console in a test: a process whose output is the guest's, which is read until it
// shows what is waited for, and whose input is typed at.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../root.ts';

/** Escape sequences for colours and places (ECMA-48, 5.4), which would come between words. */
const ESCAPE = '\u001b';
const ESCAPES = new RegExp(`${ESCAPE}(\\[[0-9;?]*[A-Za-z]|[()][A-Z0-9])`, 'g');

/** A process that runs a guest. */
export class GuestConsole {
  private readonly child: ChildProcess;
  private seen = '';
  private pending = '';
  private ended = false;
  /** Up to where {@link waitFor} has looked. */
  private from = 0;
  private listener: (() => void) | undefined;
  private readonly closed: Promise<number | null>;

  constructor(program: string, words: readonly string[]) {
    this.child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.take(text);
        this.listener?.();
      });
    }
    this.closed = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      // Its output has been read to the end then, which it need not have when it has exited.
      this.child.once('close', (status) => {
        this.ended = true;
        resolve(status);
        this.listener?.();
      });
    });
    // A guest that is gone is found out by what waits for it.
    this.child.stdin!.on('error', () => {});
  }

  /** Starts `vmctl run` with these words, on the soft engine. */
  static vmctl(words: readonly string[]): GuestConsole {
    const program = join(root(), 'packages/vmd/bin/vmctl.js');
    return new GuestConsole(process.execPath, [program, 'run', '-e', 'soft', ...words]);
  }

  /** A sequence that is not complete waits for its rest. */
  private take(text: string): void {
    const all = (this.pending + text).replace(ESCAPES, '');
    const start = all.lastIndexOf(ESCAPE);
    const end = start < 0 || all.length - start > 20 ? all.length : start;
    this.seen += all.slice(0, end);
    this.pending = all.slice(end);
  }

  /**
   * Resolves with the match when the output, from the last one on, has it; rejects when it ends.
   */
  async waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.seen.slice(this.from));
      if (match !== null) {
        this.from += match.index + match[0].length;
        return match;
      }
      if (this.ended) {
        const status = await this.closed;
        throw new Error(`the guest ended (${status}) without ${pattern}:\n${this.tail}`);
      }
      await new Promise<void>((resolve) => {
        this.listener = resolve;
      });
    }
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Resolves with the exit status when the process has ended. */
  end(): Promise<number | null> {
    return this.closed;
  }

  /** Ends the process now; nothing when it has ended. */
  kill(): void {
    this.child.kill('SIGKILL');
  }

  /** The end of what the guest has written, for a report. */
  get tail(): string {
    return this.seen.slice(-3000);
  }
}
