// What passes through the control socket: frames, each with a length and a kind before it. Most are
// messages in JSON; those of a console are plain bytes. Neither side trusts the other: a frame that
// is longer than the reader allows ends the conversation before it is read.

import { VmmError } from 'vmm/errors';

/** Length of the payload, 32 bits, and kind, 8 bits; big-endian. */
const HEADER_BYTES = 5;

/** The kind of a frame: a message in JSON, or bytes of a console. */
export type FrameKind = 'message' | 'bytes';
const KINDS: readonly FrameKind[] = ['message', 'bytes'];

/** A whole frame. */
export interface Frame {
  readonly kind: FrameKind;
  readonly payload: Uint8Array;
}

/** Of a request; the longest has four disks and a command line. */
export const REQUEST_BYTES_MAX: number = 64 * 1024;
/** Of an answer; the longest lists the virtual machines. */
export const REPLY_BYTES_MAX: number = 1024 * 1024;

function header(kind: FrameKind, length: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(KINDS.indexOf(kind), 4);
  return bytes;
}

function frame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  return Buffer.concat([header(kind, payload.length), payload]);
}

/** A frame with `message` in JSON. */
export function messageFrame(message: object): Uint8Array {
  return frame('message', Buffer.from(JSON.stringify(message)));
}

/** A frame with a copy of `bytes`. */
export function bytesFrame(bytes: Uint8Array): Uint8Array {
  return frame('bytes', bytes);
}

/** What comes before `length` bytes to make a frame with them, which need not be copied then. */
export function bytesFrameHeader(length: number): Uint8Array {
  return header('bytes', length);
}

/** The JSON value in the payload of a message; EINVAL when it is none. */
export function parseMessage(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new VmmError('EINVAL', 'a message is not JSON in UTF-8', { cause });
  }
}

/** Puts frames together, which may arrive in pieces of any size. */
export class FrameReader {
  private readonly payloadBytesMax: number;
  private pieces: Uint8Array[] = [];
  private byteCount = 0;
  /** So many bytes are needed for anything to be done. */
  private needed = HEADER_BYTES;

  constructor(payloadBytesMax: number) {
    this.payloadBytesMax = payloadBytesMax;
  }

  /** How many bytes of an unfinished frame there are. */
  get pendingBytes(): number {
    return this.byteCount;
  }

  /**
   * The frames that `chunk` completes. EINVAL for a kind that there is not, EFBIG for a frame that
   * is too long; the reader is of no use afterwards.
   */
  push(chunk: Uint8Array): Frame[] {
    this.pieces.push(chunk);
    this.byteCount += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.byteCount < this.needed) return frames;
      const head = this.joined();
      const length = head.readUInt32BE(0);
      const kind = KINDS[head.readUInt8(4)];
      if (kind === undefined) throw new VmmError('EINVAL', 'a frame has an unknown kind');
      if (length > this.payloadBytesMax) throw new VmmError('EFBIG', 'a frame is too long');
      const end = HEADER_BYTES + length;
      this.needed = end;
      if (this.byteCount < end) return frames;
      const all = this.joined();
      frames.push({ kind, payload: all.subarray(HEADER_BYTES, end) });
      this.pieces = [all.subarray(end)];
      this.byteCount -= end;
      this.needed = HEADER_BYTES;
    }
  }

  private joined(): Buffer {
    const [first] = this.pieces;
    if (this.pieces.length === 1 && Buffer.isBuffer(first)) return first;
    const all = Buffer.concat(this.pieces);
    this.pieces = [all];
    return all;
  }
}
