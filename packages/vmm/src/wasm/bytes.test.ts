// LEB128 is checked by decoding it with the grammar of the core specification (5.2.2) over bigints,
// which shares nothing with the writer's arithmetic on 32-bit halves.

import { expect, test } from 'vitest';
import { ByteWriter } from './bytes.ts';

/** The value of a LEB128 number, and how many bytes it takes. */
function decode(bytes: Uint8Array, signed: boolean): { value: bigint; length: number } {
  let value = 0n;
  for (const [index, byte] of bytes.entries()) {
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if ((byte & 0x80) !== 0) continue;
    const length = index + 1;
    return { value: signed ? BigInt.asIntN(7 * length, value) : value, length };
  }
  throw new Error('unterminated LEB128');
}

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(1);
  write(out);
  return out.take();
}

/** Every value near a place where the count of bits, and with it of bytes, changes. */
function edges(bits: number): bigint[] {
  return Array.from({ length: bits }, (_, bit) => 1n << BigInt(bit)).flatMap((power) => {
    return [power - 1n, power, power + 1n, -power - 1n, -power, -power + 1n];
  });
}

/** The least number of bytes for `value` as signed LEB128. */
function signedLength(value: bigint): number {
  let length = 1;
  while (BigInt.asIntN(7 * length, value) !== value) length++;
  return length;
}

test('uleb() writes unsigned LEB128, in the fewest bytes', () => {
  for (const edge of edges(32)) {
    const value = BigInt.asUintN(32, edge);
    const bytes = written((out) => out.uleb(Number(value)));
    const length = Math.max(1, Math.ceil(value.toString(2).length / 7));
    expect(decode(bytes, false)).toEqual({ value, length });
    expect(bytes.length).toBe(length);
  }
});

test('sleb32() writes signed LEB128, in the fewest bytes', () => {
  for (const edge of edges(32)) {
    const value = BigInt.asIntN(32, edge);
    const bytes = written((out) => out.sleb32(Number(value)));
    expect(decode(bytes, true)).toEqual({ value, length: signedLength(value) });
    expect(bytes.length).toBe(signedLength(value));
  }
});

test('sleb64() writes signed LEB128 of two halves, in the fewest bytes', () => {
  for (const edge of edges(64)) {
    const value = BigInt.asIntN(64, edge);
    const lo = Number(BigInt.asUintN(32, value));
    const hi = Number(BigInt.asIntN(32, value >> 32n));
    const bytes = written((out) => out.sleb64(lo, hi));
    expect(decode(bytes, true)).toEqual({ value, length: signedLength(value) });
    expect(bytes.length).toBe(signedLength(value));
  }
});

test('name() counts bytes of UTF-8, not characters', () => {
  const bytes = written((out) => out.name('aé€'));
  expect([...bytes]).toEqual([6, 0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac]);
});

test('f32() and f64() write IEEE 754, lowest byte first', () => {
  expect([...written((out) => out.f32(-2))]).toEqual([0, 0, 0, 0xc0]);
  expect([...written((out) => out.f64(1))]).toEqual([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
});

test('a writer grows, and append() and take() keep what was written', () => {
  const part = new ByteWriter(1);
  for (let value = 0; value < 300; value++) part.u8(value & 0xff);
  const whole = new ByteWriter(2);
  whole.append(part);
  whole.bytes([1, 2, 3]);
  whole.append(part);
  const taken = whole.take();
  whole.u8(9);
  const once = Array.from({ length: 300 }, (_, index) => index & 0xff);
  expect([...taken]).toEqual([...once, 1, 2, 3, ...once]);
  expect([...whole.view()]).toEqual([...taken, 9]);
});
