// A machine that goes through the control socket, in the machine's own process: out to "vmctl
// send", in from "vmctl receive". vmd(8) passes the connection on, as it does with a console, and
// carries nothing itself.
//
// Out: a message that it begins, the file in frames of bytes, "ok"; the client has all of it safe
// when it sends an empty frame of bytes, and is told of the machine's end at the end. In: the same
// message, frames of bytes from the client, an empty one as the end; then what became of it.

import type { Socket } from 'node:net';
import type { SnapshotPiece } from 'vmm';
import { VmmError } from 'vmm/errors';
import { bytesFrameHeader, type Frame, FrameReader, messageFrame } from '../control/frame.ts';
import { errorReply, type Reply } from '../control/protocol.ts';

/** Of a frame; the reader of the other side has it as a whole. */
export const TRANSFER_BYTES_MAX: number = 256 * 1024;
/** Frames that came and are not used yet: reading stops beyond this many. */
const QUEUE_LENGTH_MAX = 16;

/** One connection that carries a machine. */
export class VmTransfer {
  private readonly socket: Socket;
  private readonly id: number;
  private readonly name: string;
  private readonly frames: Frame[] = [];
  private failure: unknown;
  private isClosed = false;
  private wake: () => void = () => {};

  constructor(socket: Socket, id: number, name: string) {
    this.socket = socket;
    this.id = id;
    this.name = name;
    const reader = new FrameReader(TRANSFER_BYTES_MAX);
    socket.on('data', (chunk: Uint8Array) => {
      try {
        this.frames.push(...reader.push(chunk));
      } catch (error) {
        this.failure = error;
        socket.destroy();
      }
      if (this.frames.length > QUEUE_LENGTH_MAX) socket.pause();
      this.wake();
    });
    socket.on('error', () => socket.destroy());
    for (const event of ['end', 'close', 'drain'] as const) {
      socket.on(event, () => {
        this.isClosed ||= event !== 'drain';
        this.wake();
      });
    }
    socket.resume();
  }

  /** Says that the file begins, in either direction. */
  begin(memoryBytes: number): void {
    this.reply({ type: 'transfer', id: this.id, memoryBytes });
  }

  /** Sends the pieces; resolves when the client has all of them safe. EIO when it has gone. */
  async send(pieces: Iterable<SnapshotPiece>): Promise<void> {
    for (const { bytes } of pieces) {
      for (let at = 0; at < bytes.length; at += TRANSFER_BYTES_MAX) {
        const part = bytes.subarray(at, at + TRANSFER_BYTES_MAX);
        await this.write(bytesFrameHeader(part.length), part);
      }
    }
    await this.write(messageFrame({ type: 'ok' } satisfies Reply));
    const frame = await this.next();
    if (frame.kind !== 'bytes' || frame.payload.length > 0) {
      throw new VmmError('EINVAL', 'the client did not say that it has the machine');
    }
  }

  /** What the client sends, to the end. EIO when it goes before. */
  async *received(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { kind, payload } = await this.next();
      if (kind !== 'bytes') throw new VmmError('EINVAL', 'a machine is sent in frames of bytes');
      if (payload.length === 0) return;
      yield payload;
    }
  }

  /** Says that it is done, and closes. */
  finish(event: 'sent' | 'received'): void {
    const { id, name } = this;
    this.close({ type: 'vm', event, id, name, warnings: [] });
  }

  /** Says why not, and closes. */
  fail(error: VmmError): void {
    this.close(errorReply(error));
  }

  private close(reply: Reply): void {
    this.reply(reply);
    this.socket.end();
    // What else comes is not kept.
    this.socket.removeAllListeners('data');
    this.socket.resume();
  }

  private reply(reply: Reply): void {
    if (!this.socket.destroyed) this.socket.write(messageFrame(reply));
  }

  /** Writes parts of a frame, and waits until there is room for the next. */
  private async write(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.isClosed) throw this.gone();
    const { socket } = this;
    socket.cork();
    for (const part of parts) socket.write(part);
    socket.uncork();
    while (socket.writableNeedDrain) {
      await this.woken();
      if (this.isClosed) throw this.gone();
    }
  }

  private async next(): Promise<Frame> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) {
        if (this.frames.length <= QUEUE_LENGTH_MAX) this.socket.resume();
        return frame;
      }
      if (this.failure !== undefined) throw this.failure;
      if (this.isClosed) throw this.gone();
      await this.woken();
    }
  }

  private woken(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  private gone(): VmmError {
    return new VmmError('EIO', 'The client has gone before it had all of the machine.');
  }
}
