// A stream whose beginning is read once to see what it is, and then a second time to pass it on.

/** Bytes that are kept until they are replayed. */
export class RecordedSource implements AsyncIterable<Uint8Array> {
  private readonly pieces: AsyncIterator<Uint8Array>;
  private readonly kept: Uint8Array[] = [];

  constructor(source: AsyncIterable<Uint8Array>) {
    this.pieces = source[Symbol.asyncIterator]();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        const result = await this.pieces.next();
        if (result.done !== true) this.kept.push(result.value);
        return result;
      },
    };
  }

  /** Everything from the beginning, once. */
  async *replay(): AsyncGenerator<Uint8Array> {
    yield* this.kept.splice(0);
    for (;;) {
      const { done, value } = await this.pieces.next();
      if (done === true) return;
      yield value;
    }
  }
}
