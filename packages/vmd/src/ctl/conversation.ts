// vmctl(8)'s side of the control socket: connects, asks, and checks what is answered.

import { createConnection, type Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import {
  bytesFrame,
  type Frame,
  FrameReader,
  messageFrame,
  parseMessage,
  REPLY_BYTES_MAX,
} from '../control/frame.ts';
import { envelope, type Reply, type Request, reply as replyCheck } from '../control/protocol.ts';
import { checkSocket } from '../control/socket-place.ts';

/** Frames that came and are not used yet: reading stops beyond this many. */
const QUEUE_LENGTH_MAX = 16;

/** Nobody listens at a socket. */
export class NoDaemonError extends VmmError {
  constructor(path: string, reason: string) {
    super('ENOENT', `connect: ${path}: ${reason}`);
  }
}

/** Something that vmd never says. */
function unexpected(cause?: unknown): VmmError {
  return new VmmError('EIO', 'unexpected response received from vmd', { cause });
}

/** One connection. */
export class Conversation {
  private readonly socket: Socket;
  private readonly frames: Frame[] = [];
  private ended = false;
  private failure: unknown;
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader(REPLY_BYTES_MAX);
    socket.on('data', (chunk: Uint8Array) => {
      try {
        this.frames.push(...reader.push(chunk));
      } catch (error) {
        this.failure = unexpected(error);
        socket.destroy();
      }
      if (this.frames.length > QUEUE_LENGTH_MAX) socket.pause();
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  /** Connects as the user `uid`. NoDaemonError when nobody listens at `path`. */
  static open(path: string, uid: number): Promise<Conversation> {
    checkSocket(path, uid);
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('error', (error: NodeJS.ErrnoException) => {
        const { code = '' } = error;
        if (code === 'ENOENT' || code === 'ECONNREFUSED') {
          reject(new NoDaemonError(path, 'no vmd is running there'));
        } else {
          const reason = code === 'EACCES' ? 'permission denied' : error.message;
          reject(new VmmError('EACCES', `connect: ${path}: ${reason}`, { cause: error }));
        }
      });
      socket.once('connect', () => resolve(new Conversation(socket)));
    });
  }

  /** Asks; once for a connection. */
  ask(request: Request): void {
    this.socket.write(messageFrame(envelope(request)));
  }

  /** Sends bytes to a console; false asks the caller to wait for {@link drained}. */
  type(bytes: Uint8Array): boolean {
    return this.socket.write(bytesFrame(bytes));
  }

  /** Resolves when what was typed has been taken, or never will be. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      const { socket } = this;
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  /** The next frame; undefined at the end. */
  async nextFrame(): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) {
        if (this.frames.length <= QUEUE_LENGTH_MAX) this.socket.resume();
        return frame;
      }
      if (this.failure !== undefined) throw this.failure;
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** The next answer; what vmd refuses is thrown. */
  async next(): Promise<Reply> {
    const frame = await this.nextFrame();
    if (frame?.kind !== 'message') throw unexpected();
    return replyOf(frame);
  }

  /** The other side has gone. */
  get isClosed(): boolean {
    return this.ended;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The answer in a frame; what vmd refuses is thrown. */
export function replyOf({ payload }: Frame): Reply {
  let reply: Reply;
  try {
    reply = replyCheck(parseMessage(payload), 'reply');
  } catch (error) {
    throw unexpected(error);
  }
  if (reply.type === 'error') throw new VmmError(reply.code, reply.message);
  return reply;
}

/** The answer as one of the kind that is due. */
export function expect<T extends Reply['type']>(
  reply: Reply,
  type: T,
): Extract<Reply, { readonly type: T }> {
  if (reply.type !== type) throw unexpected();
  return reply as Extract<Reply, { readonly type: T }>;
}
