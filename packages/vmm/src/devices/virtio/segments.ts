// The buffers of a descriptor chain: pieces of guest memory that together are one message. A driver
// may cut it anywhere (virtio 1.2, section 2.7.4), so that devices see only lengths and offsets.

/** A piece of guest memory: where it lies, and its bytes. */
export interface Segment {
  readonly gpa: number;
  readonly bytes: Uint8Array;
}

/** The bytes that the segments have together. */
export function lengthOf(segments: readonly Segment[]): number {
  let length = 0;
  for (const segment of segments) length += segment.bytes.length;
  return length;
}

/** The part of `segments` from `offset` on, `length` bytes long or less at the end. */
export function slice(segments: readonly Segment[], offset: number, length: number): Segment[] {
  const part: Segment[] = [];
  let skip = offset;
  let left = length;
  for (const { gpa, bytes } of segments) {
    if (left === 0) break;
    if (skip >= bytes.length) {
      skip -= bytes.length;
      continue;
    }
    const taken = Math.min(left, bytes.length - skip);
    part.push({ gpa: gpa + skip, bytes: bytes.subarray(skip, skip + taken) });
    left -= taken;
    skip = 0;
  }
  return part;
}

/** Copies the segments into a new array, in private memory. */
export function gather(segments: readonly Segment[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(lengthOf(segments));
  let at = 0;
  for (const { bytes } of segments) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

/** Copies as much of the segments as fits to the start of `to`; returns how much that was. */
export function gatherInto(segments: readonly Segment[], to: Uint8Array): number {
  let at = 0;
  for (const { bytes } of segments) {
    const part = Math.min(bytes.length, to.length - at);
    to.set(part === bytes.length ? bytes : bytes.subarray(0, part), at);
    at += part;
  }
  return at;
}

/** Copies `from` into the segments, as much as fits; returns how much that was. */
export function scatter(segments: readonly Segment[], from: Uint8Array): number {
  let at = 0;
  for (const { bytes } of segments) {
    const part = from.subarray(at, at + bytes.length);
    bytes.set(part);
    at += part.length;
    if (at === from.length) break;
  }
  return at;
}
