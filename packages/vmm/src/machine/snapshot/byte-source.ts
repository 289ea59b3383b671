// Bytes that arrive in pieces of any size, read in pieces of the reader's.

import { damaged } from './section.ts';

/** Reads from a stream of bytes. */
export class ByteSource {
  private readonly pieces: AsyncIterator<Uint8Array>;
  private piece = new Uint8Array(0);
  private at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.pieces = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes, in memory of their own. EINVAL when the stream ends before. */
  async read(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let have = 0;
    while (have < length) {
      if (this.at === this.piece.length && !(await this.advance())) {
        throw damaged('it ends too early');
      }
      const part = this.piece.subarray(this.at, this.at + length - have);
      bytes.set(part, have);
      have += part.length;
      this.at += part.length;
    }
    return bytes;
  }

  /** Whether nothing follows. */
  async isAtEnd(): Promise<boolean> {
    while (this.at === this.piece.length) {
      if (!(await this.advance())) return true;
    }
    return false;
  }

  private async advance(): Promise<boolean> {
    const { done, value } = await this.pieces.next();
    if (done === true) return false;
    this.piece = value as Uint8Array<ArrayBuffer>;
    this.at = 0;
    return true;
  }
}
