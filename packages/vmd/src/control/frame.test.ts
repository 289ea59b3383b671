import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesFrame, FrameReader, messageFrame, parseMessage } from './frame.ts';

test('a frame is a length, a kind and a payload', () => {
  expect([...bytesFrame(new Uint8Array([7, 8]))]).toEqual([0, 0, 0, 2, 1, 7, 8]);
  expect([...messageFrame({})]).toEqual([0, 0, 0, 2, 0, 0x7b, 0x7d]);
});

test('FrameReader puts frames together, however they are cut', () => {
  const frames = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ kind: 'bytes' as const, bytes })),
      fc.json().map((json) => ({ kind: 'message' as const, bytes: Buffer.from(json) })),
    ),
    { maxLength: 10 },
  );
  fc.assert(
    fc.property(frames, fc.infiniteStream(fc.integer({ min: 1, max: 50 })), (sent, cuts) => {
      const stream = Buffer.concat(
        sent.map(({ kind, bytes }) =>
          kind === 'bytes' ? bytesFrame(bytes) : messageFrame(JSON.parse(bytes.toString())),
        ),
      );
      const reader = new FrameReader(1 << 20);
      const seen = [];
      for (let at = 0; at < stream.length; ) {
        const length = cuts.next().value;
        seen.push(...reader.push(stream.subarray(at, at + length)));
        at += length;
      }
      expect(seen.map(({ kind }) => kind)).toEqual(sent.map(({ kind }) => kind));
      for (const [index, { kind, payload }] of seen.entries()) {
        const { bytes } = sent[index]!;
        if (kind === 'bytes') expect([...payload]).toEqual([...bytes]);
        else expect(parseMessage(payload)).toEqual(JSON.parse(bytes.toString()));
      }
      expect(reader.pendingBytes).toBe(0);
    }),
  );
});

test('FrameReader refuses a long frame by its header alone, and unknown kinds', () => {
  const header = (length: number, kind: number): Uint8Array => {
    const bytes = Buffer.alloc(5);
    bytes.writeUInt32BE(length);
    bytes[4] = kind;
    return bytes;
  };
  expect(() => new FrameReader(100).push(header(101, 0))).toThrow('a frame is too long');
  expect(new FrameReader(100).push(header(100, 0))).toEqual([]);
  expect(() => new FrameReader(100).push(header(1, 2))).toThrow('unknown kind');
});

test('parseMessage() refuses what is not JSON in UTF-8', () => {
  expect(() => parseMessage(Buffer.from('{'))).toThrow('not JSON');
  expect(() => parseMessage(new Uint8Array([0x22, 0xff, 0x22]))).toThrow('UTF-8');
});
