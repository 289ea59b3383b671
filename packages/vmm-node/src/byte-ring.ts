// A queue of bytes between two threads: one writes, one reads, neither waits here. Two words say how
// much was written and read since the beginning, modulo 2^32; whoever owns a word is the only one who
// stores it.

/** Words of {@link ByteRing} before its bytes. */
const WRITTEN = 0;
const READ = 1;
const HEADER_WORDS = 2;

/** The bytes of shared memory that a ring for `capacity` bytes takes. */
export function byteRingBytes(capacity: number): number {
  return 4 * HEADER_WORDS + capacity;
}

/** One end of a ring; both ends are made on the same memory. */
export class ByteRing {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly mask: number;

  /** `capacity` is a power of two. The memory is zero when the first end is made. */
  constructor(buffer: SharedArrayBuffer, offset: number, capacity: number) {
    this.words = new Int32Array(buffer, offset, HEADER_WORDS);
    this.bytes = new Uint8Array(buffer, offset + 4 * HEADER_WORDS, capacity);
    this.mask = capacity - 1;
  }

  /** How many bytes wait to be read. */
  get used(): number {
    return (Atomics.load(this.words, WRITTEN) - Atomics.load(this.words, READ)) >>> 0;
  }

  /** How many bytes can be written. */
  get free(): number {
    return this.bytes.length - this.used;
  }

  /** Writes one byte. Only with room for it. */
  push(byte: number): void {
    const at = this.words[WRITTEN];
    this.bytes[at & this.mask] = byte;
    Atomics.store(this.words, WRITTEN, at + 1);
  }

  /** Writes what there is room for; returns how many bytes that was. */
  write(from: Uint8Array): number {
    const at = this.words[WRITTEN];
    const count = Math.min(from.length, this.free);
    const start = at & this.mask;
    const head = Math.min(count, this.bytes.length - start);
    this.bytes.set(from.subarray(0, head), start);
    this.bytes.set(from.subarray(head, count), 0);
    Atomics.store(this.words, WRITTEN, at + count);
    return count;
  }

  /** The bytes to be read next, in place, as far as they lie in one piece. */
  peek(): Uint8Array {
    const start = this.words[READ] & this.mask;
    return this.bytes.subarray(start, Math.min(start + this.used, this.bytes.length));
  }

  /** Says that the first `count` bytes of {@link peek} are done with. */
  advance(count: number): void {
    Atomics.store(this.words, READ, this.words[READ] + count);
  }
}
