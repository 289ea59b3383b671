// The console of a virtual machine that runs under vmd(8): between the machine's serial port and
// the connection of whoever looks at it, which is at most one, as cu(1) has its line alone. What
// the guest writes while nobody looks is kept, the last of it, for whoever comes next.
//
// A guest waits for its reader, so that nothing is lost of what it writes fast; but not for one
// who has stopped reading, such as a program that was suspended. The reader then misses something.

import type { Socket } from 'node:net';
import type { RunConsole } from 'vmm-node/options';
import { bytesFrame, FrameReader, messageFrame, REQUEST_BYTES_MAX } from '../control/frame.ts';
import type { Reply } from '../control/protocol.ts';

/** The recent past: some screenfuls, or all that a kernel says when it boots. */
export const KEPT_BYTES: number = 128 * 1024;
/** The guest waits for a reader who is this far behind. */
const BEHIND_BYTES_MAX = KEPT_BYTES / 2;
/** Not longer than this, until the reader has caught up. */
const PATIENCE_MS = 1000;
const PIECE_BYTES = 16 * 1024;
/** What is typed and not taken yet: reading stops beyond it. */
const TYPED_BYTES_MAX = 64 * 1024;
/** How long the last output may take at the end. */
const FINISH_MS_MAX = 2000;

interface Reader {
  readonly socket: Socket;
  readonly id: number;
  flows: boolean;
  /** It did not read for a while: the guest does not wait for it. */
  stalled: boolean;
}

/** The console of one machine. */
export class ConsoleHub implements RunConsole {
  readonly input: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => this.typed() };
  private readonly kept = new Uint8Array(KEPT_BYTES);
  /** Bytes that the guest wrote, and of these those that were shown or are lost. */
  private written = 0;
  private shown = 0;
  private reader: Reader | undefined;
  private readonly queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private wakeInput: () => void = () => {};
  private wakeOutput: () => void = () => {};

  /** Makes a connection the console, after `replies`; refuses when there is one already. */
  attach(socket: Socket, id: number, replies: readonly Reply[]): void {
    socket.on('error', () => socket.destroy());
    if (this.reader !== undefined) {
      const message = `The console of vm ${id} is in use.`;
      const inUse: Reply = { type: 'error', code: 'EBUSY', message };
      for (const reply of [...replies, inUse]) socket.write(messageFrame(reply));
      socket.end();
      return;
    }
    for (const reply of replies) socket.write(messageFrame(reply));
    socket.write(messageFrame({ type: 'console', id, open: true } satisfies Reply));
    const reader: Reader = { socket, id, flows: true, stalled: false };
    this.reader = reader;
    const frames = new FrameReader(REQUEST_BYTES_MAX);
    socket.on('data', (chunk: Uint8Array) => this.receive(reader, frames, chunk));
    socket.on('drain', () => {
      reader.flows = true;
      this.show();
    });
    socket.on('close', () => this.detach(reader));
    socket.on('end', () => socket.destroy());
    socket.resume();
    this.show();
  }

  output(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      const start = this.written % KEPT_BYTES;
      const count = Math.min(bytes.length - at, KEPT_BYTES - start);
      this.kept.set(bytes.subarray(at, at + count), start);
      this.written += count;
      at += count;
    }
    this.show();
    return !this.isBehind();
  }

  /** Resolves when the reader has caught up, has gone, or does not seem to read. */
  drained(): Promise<void> {
    if (!this.isBehind()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        if (this.reader !== undefined) this.reader.stalled = true;
        resolve();
      }, PATIENCE_MS);
      this.wakeOutput = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The machine has ended: shows what is left, and lets the reader go. */
  async finish(): Promise<void> {
    const { reader } = this;
    if (reader === undefined) return;
    const gone = new Promise<void>((resolve) => reader.socket.once('close', () => resolve()));
    const timer = setTimeout(() => reader.socket.destroy(), FINISH_MS_MAX);
    while (this.shown < this.written && this.reader === reader) {
      this.show();
      if (this.shown < this.written) await this.nextDrain(reader);
    }
    reader.socket.end(
      messageFrame({ type: 'console', id: reader.id, open: false } satisfies Reply),
    );
    await gone;
    clearTimeout(timer);
  }

  private nextDrain({ socket }: Reader): Promise<void> {
    return new Promise((resolve) => {
      socket.once('drain', () => resolve());
      socket.once('close', () => resolve());
    });
  }

  private isBehind(): boolean {
    const { reader } = this;
    if (reader === undefined || reader.stalled) return false;
    return this.written - this.shown > BEHIND_BYTES_MAX;
  }

  /** Writes what the reader takes at once. */
  private show(): void {
    const { reader } = this;
    if (reader === undefined) return;
    this.shown = Math.max(this.shown, this.written - KEPT_BYTES);
    while (reader.flows && this.shown < this.written) {
      const start = this.shown % KEPT_BYTES;
      const length = Math.min(this.written - this.shown, KEPT_BYTES - start, PIECE_BYTES);
      reader.flows = reader.socket.write(bytesFrame(this.kept.subarray(start, start + length)));
      this.shown += length;
    }
    if (this.shown === this.written) reader.stalled = false;
    if (!this.isBehind()) this.wakeOutput();
  }

  private receive(reader: Reader, frames: FrameReader, chunk: Uint8Array): void {
    try {
      for (const { kind, payload } of frames.push(chunk)) {
        if (kind !== 'bytes' || payload.length === 0) continue;
        this.queue.push(payload);
        this.queuedBytes += payload.length;
      }
    } catch {
      reader.socket.destroy();
      return;
    }
    if (this.queuedBytes > TYPED_BYTES_MAX) reader.socket.pause();
    this.wakeInput();
  }

  private detach(reader: Reader): void {
    if (this.reader === reader) this.reader = undefined;
    this.wakeOutput();
  }

  private async *typed(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = this.queue.shift();
      if (bytes !== undefined) {
        this.queuedBytes -= bytes.length;
        if (this.queuedBytes <= TYPED_BYTES_MAX) this.reader?.socket.resume();
        yield bytes;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.wakeInput = resolve;
      });
    }
  }
}
