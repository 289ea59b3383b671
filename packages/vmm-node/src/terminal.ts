// The user's terminal as the far end of a guest's serial line: raw mode, so that every key reaches
// the guest, Ctrl-C too; the escape that leaves; and the terminal's own mode back on every way out.
// Pipes and files work in its place: nothing is then switched, and the end of input is only that.

import type { ReadStream, WriteStream } from 'node:tty';
import type { RunConsole } from './run-options.ts';
import { EscapeFilter } from './terminal-escape.ts';

/** Input that the guest has not taken; beyond this much, reading stops for a while. */
const QUEUE_BYTES_MAX = 64 * 1024;

/** `escape`: the user asks to leave; `closed`: nobody can see the output any more. */
export type LeaveReason = 'escape' | 'closed';

/** The process's standard input and output as a guest's console. */
export class Terminal implements RunConsole {
  readonly input: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => this.iterator() };
  private readonly stdin: ReadStream;
  private readonly stdout: WriteStream;
  private readonly leave: (why: LeaveReason) => void;
  private readonly escape: EscapeFilter;
  private readonly suspend: (() => void) | undefined;
  private readonly queue: Uint8Array[] = [];
  private queueBytes = 0;
  private ended = false;
  private wake: () => void = () => {};

  /**
   * `leave` is called when the user asks to leave, or when nobody can see the output any more;
   * `suspend` when the user asks for that, which is no command without it. What is typed after the
   * escape is the guest's again, if the caller does not close.
   */
  constructor(
    stdin: ReadStream,
    stdout: WriteStream,
    leave: (why: LeaveReason) => void,
    suspend?: () => void,
  ) {
    this.escape = new EscapeFilter(suspend !== undefined);
    this.suspend = suspend;
    this.stdin = stdin;
    this.stdout = stdout;
    this.leave = leave;
  }

  /** Takes over the terminal. */
  open(): void {
    this.stdin.on('data', this.onData);
    this.stdin.on('end', this.onEnd);
    this.stdin.on('error', this.onEnd);
    this.stdout.on('error', () => this.leave('closed'));
    // A shell that stopped and resumed the process has set its own mode in between.
    process.on('SIGCONT', this.setRaw);
    process.on('exit', this.close);
    this.setRaw();
    this.stdin.ref?.();
    this.stdin.resume();
  }

  /** Gives the terminal back in the mode it had. May be called again. */
  readonly close = (): void => {
    process.off('SIGCONT', this.setRaw);
    process.off('exit', this.close);
    this.stdin.off('data', this.onData);
    if (this.stdin.isTTY) this.stdin.setRawMode(false);
    this.stdin.pause();
    // A paused pipe would still keep the process alive; a file has nothing to let go.
    this.stdin.unref?.();
    this.onEnd();
  };

  output(bytes: Uint8Array): boolean {
    // The stream keeps what it cannot write at once, and the caller's bytes do not last.
    return this.stdout.write(bytes.slice());
  }

  drained(): Promise<void> {
    if (!this.stdout.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.stdout.off('drain', done);
        this.stdout.off('error', done);
        resolve();
      };
      this.stdout.on('drain', done);
      this.stdout.on('error', done);
    });
  }

  private readonly setRaw = (): void => {
    if (this.stdin.isTTY) this.stdin.setRawMode(true);
  };

  /** Runs as soon as input comes, also while the guest takes none: leaving must always work. */
  private readonly onData = (chunk: Uint8Array): void => {
    const { bytes, leave, suspend } = this.escape.push(chunk);
    if (bytes.length > 0) {
      this.queue.push(bytes);
      this.queueBytes += bytes.length;
      if (this.queueBytes > QUEUE_BYTES_MAX) this.stdin.pause();
      this.wake();
    }
    if (suspend) this.suspend?.();
    if (leave) this.leave('escape');
  };

  private readonly onEnd = (): void => {
    this.ended = true;
    this.wake();
  };

  private async *iterator(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = this.queue.shift();
      if (bytes !== undefined) {
        this.queueBytes -= bytes.length;
        if (this.queueBytes <= QUEUE_BYTES_MAX && !this.ended) this.stdin.resume();
        yield bytes;
      } else if (this.ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }
}
