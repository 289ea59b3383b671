import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRing, byteRingBytes } from './byte-ring.ts';

const CAPACITY = 8;

function ends(): { writer: ByteRing; reader: ByteRing; words: Int32Array } {
  const buffer = new SharedArrayBuffer(16 + byteRingBytes(CAPACITY));
  const ring = (): ByteRing => new ByteRing(buffer, 16, CAPACITY);
  return { writer: ring(), reader: ring(), words: new Int32Array(buffer, 16, 2) };
}

test('what is written is read in order, whatever the pieces', () => {
  const step = fc.record({ write: fc.uint8Array({ maxLength: 12 }), read: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, wraps) => {
      const { writer, reader, words } = ends();
      // The counters run over 2^32 like any other value.
      if (wraps) words.fill(-3);
      const waiting: number[] = [];
      for (const { write, read } of steps) {
        const written = writer.write(write);
        expect(written).toBe(Math.min(write.length, CAPACITY - waiting.length));
        waiting.push(...write.subarray(0, written));
        const bytes = reader.peek().subarray(0, read);
        expect([...bytes]).toEqual(waiting.splice(0, bytes.length));
        reader.advance(bytes.length);
        expect(reader.used).toBe(waiting.length);
        expect(writer.free).toBe(CAPACITY - waiting.length);
      }
    }),
  );
});

test('push() adds one byte', () => {
  const { writer, reader } = ends();
  for (const byte of [1, 2, 3]) writer.push(byte);
  expect([...reader.peek()]).toEqual([1, 2, 3]);
});

test('peek() shows the bytes up to the end of the memory first, then the others', () => {
  const { writer, reader } = ends();
  writer.write(new Uint8Array(6));
  reader.advance(6);
  writer.write(new Uint8Array([1, 2, 3, 4]));
  expect([...reader.peek()]).toEqual([1, 2]);
  reader.advance(2);
  expect([...reader.peek()]).toEqual([3, 4]);
});
