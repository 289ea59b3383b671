// Segments that came before their time, until what is missing comes. They are copied, kept in order
// without overlaps, and lie within the receive window, which bounds their bytes; their number is
// bounded too, as small ones cost more than their bytes.

import { advance, distance, SACK_BLOCKS_MAX } from './segment.ts';

/**
 * A window's worth of full segments, and more. What is beyond is dropped; the sender sends it
 * again.
 */
const PIECES_MAX = 1024;

interface Piece {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** The pieces beyond a gap. */
export class Reassembly {
  private readonly pieces: Piece[] = [];
  /** Where the last insertion began. */
  private latest = 0;

  get isEmpty(): boolean {
    return this.pieces.length === 0;
  }

  /** Keeps a copy of what is new in `bytes`. */
  insert(sequence: number, bytes: Uint8Array): void {
    this.latest = sequence;
    let start = sequence;
    let left = bytes;
    let index = 0;
    while (left.length > 0 && this.pieces.length < PIECES_MAX) {
      const piece = this.pieces[index];
      if (piece === undefined) {
        this.pieces.push({ sequence: start, bytes: left.slice() });
        return;
      }
      const end = advance(piece.sequence, piece.bytes.length);
      const gap = distance(piece.sequence, start);
      if (gap > 0) {
        const part = left.slice(0, gap);
        this.pieces.splice(index++, 0, { sequence: start, bytes: part });
        start = advance(start, part.length);
        left = left.subarray(part.length);
      }
      const covered = Math.min(left.length, Math.max(0, distance(end, start)));
      start = advance(start, covered);
      left = left.subarray(covered);
      index++;
    }
  }

  /** Takes the bytes that follow on `sequence`, if they are there. */
  take(sequence: number): Uint8Array | undefined {
    while (this.pieces.length > 0) {
      const { sequence: start, bytes } = this.pieces[0];
      const ahead = distance(sequence, start);
      if (ahead < 0) return undefined;
      this.pieces.shift();
      if (ahead < bytes.length) return bytes.subarray(ahead);
    }
    return undefined;
  }

  /**
   * Puts the blocks of a selective acknowledgment into `blocks`: the one that grew last comes first
   * (RFC 2018, section 4).
   */
  describe(blocks: number[]): void {
    blocks.length = 0;
    for (let index = 0; index < this.pieces.length; ) {
      const start = this.pieces[index].sequence;
      let end = start;
      for (; this.pieces[index]?.sequence === end; index++) {
        end = advance(end, this.pieces[index].bytes.length);
      }
      const grew = distance(this.latest, start) >= 0 && distance(this.latest, end) < 0;
      if (grew) blocks.unshift(start, end);
      else if (blocks.length < SACK_BLOCKS_MAX * 2) blocks.push(start, end);
    }
    blocks.length = Math.min(blocks.length, SACK_BLOCKS_MAX * 2);
  }

  /** Drops all. */
  clear(): void {
    this.pieces.length = 0;
  }
}
