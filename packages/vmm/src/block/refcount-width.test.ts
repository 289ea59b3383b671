// The oracle is the format's text, written down as bits: entries below a byte begin with the least
// significant bit, larger ones are big-endian.
import { expect, test } from 'vitest';
import { Random } from '../../test/silicon/random.ts';
import { refcountWidth } from './refcount-width.ts';

const BYTES = 16;

/** Entry `index` of a block, by the text. */
function entryOf(bytes: Uint8Array, index: number, bits: number): bigint {
  if (bits < 8) {
    const text = [...bytes].map((byte) => byte.toString(2).padStart(8, '0').split('').reverse());
    const digits = text.flat().slice(index * bits, (index + 1) * bits);
    return BigInt(`0b${digits.reverse().join('')}`);
  }
  const part = bytes.subarray((index * bits) / 8, ((index + 1) * bits) / 8);
  return [...part].reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

test.each([0, 1, 2, 3, 4, 5, 6])('refcountWidth(%i) reads and writes entries', (order) => {
  const width = refcountWidth(order);
  expect(width.bits).toBe(2 ** order);
  const random = new Random(order);
  const bytes = Uint8Array.from({ length: BYTES }, () => random.below(256));
  // Values that a double holds.
  for (let at = 0; order === 6 && at < BYTES; at += 8) bytes.fill(0, at, at + 2);
  const view = new DataView(bytes.buffer);
  const count = (BYTES * 8) / width.bits;
  const entries = (): bigint[] =>
    Array.from({ length: count }, (_, index) => entryOf(bytes, index, width.bits));
  const read = Array.from({ length: count }, (_, index) => BigInt(width.get(view, index)));
  expect(read).toEqual(entries());
  for (let index = 0; index < count; index++) {
    const expected = entries();
    for (const value of [width.max, 0, 1]) {
      width.set(view, index, value);
      expected[index] = BigInt(value);
      expect(entries()).toEqual(expected);
    }
  }
});
