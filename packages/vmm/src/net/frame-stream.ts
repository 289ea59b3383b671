// Frames on a stream of bytes, as switches of two processes exchange them. Before each frame are
// ten bytes in network byte order: its length in 4, and what it lacks (Unfinished) in three times
// 2. The other end runs somebody's guest, so that nothing it sends is believed.

import { get16, get32, put16, put32 } from './bytes.ts';
import { ETHERNET_BYTES } from './ethernet.ts';
import type { Unfinished } from './link.ts';
import { LARGE_FRAME_BYTES_MAX } from './switch.ts';

const HEADER_BYTES = 10;
const CHECKSUM_START = 4;
const CHECKSUM_OFFSET = 6;
const SEGMENT_BYTES = 8;

/** The most that a frame takes in the stream. */
export const STREAM_FRAME_BYTES_MAX: number = HEADER_BYTES + LARGE_FRAME_BYTES_MAX;

/** How much `frame` takes in the stream. */
export function streamBytesOf(frame: Uint8Array): number {
  return HEADER_BYTES + frame.length;
}

/** Writes a frame at `at`, where there is room for it; returns where it ends. */
export function writeStreamFrame(
  to: Uint8Array,
  at: number,
  frame: Uint8Array,
  unfinished: Unfinished | undefined,
): number {
  put32(to, at, frame.length);
  put16(to, at + CHECKSUM_START, unfinished?.checksumStart ?? 0);
  put16(to, at + CHECKSUM_OFFSET, unfinished?.checksumOffset ?? 0);
  put16(to, at + SEGMENT_BYTES, unfinished?.segmentBytes ?? 0);
  to.set(frame, at + HEADER_BYTES);
  return at + HEADER_BYTES + frame.length;
}

/** Takes a stream apart, wherever it was cut. */
export class FrameStream {
  private readonly emit: (frame: Uint8Array, unfinished: Unfinished | undefined) => void;
  /** The beginning of a frame whose rest has not come. */
  private readonly kept = new Uint8Array(STREAM_FRAME_BYTES_MAX);
  private keptBytes = 0;
  private readonly unfinished = { checksumStart: 0, checksumOffset: 0, segmentBytes: 0 };

  /** `emit` gets each frame and what it lacks, both valid during the call. */
  constructor(emit: (frame: Uint8Array, unfinished: Unfinished | undefined) => void) {
    this.emit = emit;
  }

  /** Takes the next bytes; false when they are no frames, after which nothing more can be taken. */
  take(bytes: Uint8Array): boolean {
    let at = 0;
    while (this.keptBytes > 0) {
      // First its header, then the rest that this speaks of.
      const isWhole = this.keptBytes >= HEADER_BYTES;
      const length = isWhole ? this.lengthAt(this.kept, 0) : HEADER_BYTES;
      if (length < 0) return false;
      const count = Math.min(length - this.keptBytes, bytes.length - at);
      this.kept.set(bytes.subarray(at, at + count), this.keptBytes);
      at += count;
      this.keptBytes += count;
      if (this.keptBytes < length) return true;
      if (!isWhole) continue;
      this.keptBytes = 0;
      this.emitAt(this.kept, 0, length);
    }
    while (at + HEADER_BYTES <= bytes.length) {
      const length = this.lengthAt(bytes, at);
      if (length < 0) return false;
      if (at + length > bytes.length) break;
      this.emitAt(bytes, at, length);
      at += length;
    }
    this.kept.set(bytes.subarray(at));
    this.keptBytes = bytes.length - at;
    return true;
  }

  /** The length of what begins at `at`, header included; -1 when it can be no frame. */
  private lengthAt(bytes: Uint8Array, at: number): number {
    const length = get32(bytes, at);
    return length < ETHERNET_BYTES || length > LARGE_FRAME_BYTES_MAX ? -1 : HEADER_BYTES + length;
  }

  private emitAt(bytes: Uint8Array, at: number, length: number): void {
    const { unfinished } = this;
    const frame = bytes.subarray(at + HEADER_BYTES, at + length);
    unfinished.checksumStart = get16(bytes, at + CHECKSUM_START);
    unfinished.checksumOffset = get16(bytes, at + CHECKSUM_OFFSET);
    unfinished.segmentBytes = get16(bytes, at + SEGMENT_BYTES);
    this.emit(frame, unfinished.checksumStart === 0 ? undefined : unfinished);
  }
}
