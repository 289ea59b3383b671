// A stream may be cut anywhere, and its other end is not trusted.
import { expect, test } from 'vitest';
import {
  FrameStream,
  STREAM_FRAME_BYTES_MAX,
  streamBytesOf,
  writeStreamFrame,
} from './frame-stream.ts';
import type { Unfinished } from './link.ts';

const LARGE = { checksumStart: 34, checksumOffset: 16, segmentBytes: 1460 };
const FRAMES: [Uint8Array, Unfinished | undefined][] = [
  [new Uint8Array(14).fill(1), undefined],
  [new Uint8Array(6000).fill(2), LARGE],
  [new Uint8Array(1514).fill(3), { checksumStart: 54, checksumOffset: 6, segmentBytes: 0 }],
];

function stream(): Uint8Array {
  const bytes = new Uint8Array(FRAMES.reduce((sum, [frame]) => sum + streamBytesOf(frame), 0));
  let at = 0;
  for (const [frame, unfinished] of FRAMES) at = writeStreamFrame(bytes, at, frame, unfinished);
  expect(at).toBe(bytes.length);
  return bytes;
}

test.each([1, 3, 9, 10, 11, 24, 6009, 6034, 1e6])('a stream in pieces of %d bytes', (size) => {
  const bytes = stream();
  const got: [Uint8Array, Unfinished | undefined][] = [];
  const reader = new FrameStream((frame, unfinished) => {
    got.push([frame.slice(), unfinished && { ...unfinished }]);
  });
  for (let at = 0; at < bytes.length; at += size) {
    expect(reader.take(bytes.subarray(at, at + size))).toBe(true);
  }
  expect(got).toEqual(FRAMES);
});

test('a length that no frame has is the end of the stream', () => {
  const emitted: Uint8Array[] = [];
  for (const length of [0, 13, STREAM_FRAME_BYTES_MAX, 0xffff_ffff]) {
    const header = new Uint8Array(10);
    new DataView(header.buffer).setUint32(0, length);
    const whole = new FrameStream((frame) => emitted.push(frame));
    expect(whole.take(header)).toBe(false);
    const split = new FrameStream((frame) => emitted.push(frame));
    expect(split.take(header.subarray(0, 4))).toBe(true);
    expect(split.take(header.subarray(4))).toBe(false);
  }
  expect(emitted).toEqual([]);
});
