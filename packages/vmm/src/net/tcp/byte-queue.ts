// Bytes on their way out: added at the end in pieces, dropped at the front when acknowledged, and
// read at any offset in between, as retransmission needs. The pieces are kept as they came.

/** A queue of bytes. */
export class ByteQueue {
  private pieces: Uint8Array[] = [];
  /** The first piece that is still there, and how much of it is gone. */
  private head = 0;
  private skip = 0;
  private size = 0;
  // Where the last read ended, since most begin there: a piece, and the offset of its beginning.
  private lastPiece = 0;
  private lastOffset = 0;

  /** How many bytes there are. */
  get length(): number {
    return this.size;
  }

  /** Adds bytes, which the queue keeps. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.size += bytes.length;
  }

  /** Drops `count` bytes at the front; at most {@link length}. */
  drop(count: number): void {
    this.size -= count;
    this.skip += count;
    while (this.head < this.pieces.length && this.skip >= this.pieces[this.head].length) {
      this.skip -= this.pieces[this.head].length;
      // Let go of the bytes at once; the array itself is shortened now and then.
      this.pieces[this.head++] = EMPTY;
    }
    if (this.head > 64 || this.head === this.pieces.length) {
      this.pieces = this.pieces.slice(this.head);
      this.head = 0;
    }
    this.lastPiece = this.head;
    this.lastOffset = -this.skip;
  }

  /** Copies `count` bytes from `offset` on to `to` at `at`; all of them are there. */
  copy(offset: number, count: number, to: Uint8Array, at: number): void {
    if (offset < this.lastOffset) {
      this.lastPiece = this.head;
      this.lastOffset = -this.skip;
    }
    let begins = this.lastOffset;
    let index = this.lastPiece;
    while (offset >= begins + this.pieces[index].length) begins += this.pieces[index++].length;
    this.lastPiece = index;
    this.lastOffset = begins;
    let from = offset - begins;
    let done = 0;
    while (done < count) {
      const piece = this.pieces[index++];
      const part = Math.min(count - done, piece.length - from);
      to.set(part === piece.length ? piece : piece.subarray(from, from + part), at + done);
      done += part;
      from = 0;
    }
  }

  /** Drops all. */
  clear(): void {
    this.pieces = [];
    this.head = 0;
    this.skip = 0;
    this.size = 0;
    this.lastPiece = 0;
    this.lastOffset = 0;
  }
}

const EMPTY = new Uint8Array(0);
