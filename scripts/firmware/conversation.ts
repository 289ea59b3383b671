// A talk with a guest over its serial console: wait for what it says, type an answer. The machine
// is the real "vmctl run", as a user starts it.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../root.ts';

/** Escape sequences of terminals (ECMA-48, 5.4) and "reset", which boot loaders write a lot of. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const ESCAPES = /\x1b\[[0-9;?]*[@-~]|\x1bc/g;

/** What was said since the last thing that was waited for, of which a failure shows the end. */
const SHOWN_CHARS = 2000;

const KEYS_AT_ONCE = 8;
const ECHO_SECONDS_MAX = 60;

/** How it ended. */
export interface VmctlEnd {
  readonly status: number | null;
  /** What vmctl itself said. */
  readonly errors: string;
}

/** A running machine and what it says. */
export class Conversation {
  private readonly child: ChildProcess;
  private readonly ended: Promise<VmctlEnd>;
  private raw = '';
  private heard = '';
  private isOver = false;
  private onNews: () => void = () => {};

  /** Starts `vmctl run` with these words besides the engine. */
  constructor(words: readonly string[]) {
    const program = join(root(), 'packages/vmd/bin/vmctl.js');
    const args = [program, 'run', '-e', 'soft', ...words];
    this.child = spawn(process.execPath, args, { stdio: 'pipe' });
    // A machine that has ended reads no more; that it has is told by its status.
    this.child.stdin!.on('error', () => {});
    let errors = '';
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    this.child.stdout!.setEncoding('latin1').on('data', (text: string) => {
      this.raw += text;
      this.hear();
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (status) => {
        this.isOver = true;
        this.onNews();
        resolve({ status, errors });
      });
    });
  }

  /** A sequence that is not complete yet stays where it is. */
  private hear(): void {
    const cut = this.raw.lastIndexOf('\x1b');
    const whole = cut >= 0 && this.raw.length - cut < 12 ? this.raw.slice(0, cut) : this.raw;
    const rest = this.raw.slice(whole.length);
    const isComplete = rest.replace(ESCAPES, '') !== rest;
    this.heard += (isComplete ? this.raw : whole).replace(ESCAPES, '').replaceAll('\r', '');
    this.raw = isComplete ? '' : rest;
    this.onNews();
  }

  /**
   * Waits until the guest has said `what`, and returns its match; what was said up to its end is
   * not looked at again. Rejects, with what was said, when it has not after `seconds`, or the
   * machine ends without having said it.
   */
  async expect(what: string | RegExp, seconds: number): Promise<RegExpExecArray> {
    const pattern = typeof what === 'string' ? new RegExp(literal(what)) : what;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.onNews();
    }, seconds * 1000);
    try {
      for (;;) {
        const match = pattern.exec(this.heard);
        if (match !== null) {
          this.heard = this.heard.slice(match.index + match[0].length);
          return match;
        }
        if (isLate || this.isOver) {
          const why = isLate ? `in ${seconds} s` : 'before its end';
          const said = this.heard.slice(-SHOWN_CHARS);
          throw new Error(`The guest did not say ${pattern} ${why}, but:\n${said}`);
        }
        await new Promise<void>((resolve) => {
          this.onNews = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Types `text`; Enter is `\r`. */
  type(text: string): void {
    this.child.stdin!.write(text);
  }

  /**
   * Types `line`, a few characters at a time, each when those before have been echoed, as a BIOS
   * has room for 15 keys; and Enter. A line may break anywhere.
   */
  async enter(line: string): Promise<void> {
    for (let at = 0; at < line.length; at += KEYS_AT_ONCE) {
      const keys = line.slice(at, at + KEYS_AT_ONCE);
      this.type(keys);
      await this.expect(new RegExp([...keys].map(literal).join('\\s*')), ECHO_SECONDS_MAX);
    }
    this.type('\r');
  }

  /** Waits for the machine to end by itself. */
  end(): Promise<VmctlEnd> {
    return this.ended;
  }

  /** Ends the machine, which is not an error. */
  async leave(): Promise<void> {
    if (!this.isOver) this.child.kill('SIGTERM');
    await this.ended;
  }
}

/** `text` as a pattern. */
const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
