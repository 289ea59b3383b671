// Buffers in pieces: what a disk reads into or writes from. The pieces are views, never copies.

/** The bytes that the parts have together. */
export function byteLength(parts: readonly Uint8Array[]): number {
  let length = 0;
  for (const part of parts) length += part.length;
  return length;
}

/** Views of `length` bytes of the parts from byte `offset` on. */
export function sliceParts(parts: Uint8Array[], offset: number, length: number): Uint8Array[] {
  if (parts.length === 1) {
    const [only] = parts;
    return offset === 0 && length === only!.length
      ? parts
      : [only!.subarray(offset, offset + length)];
  }
  const slice: Uint8Array[] = [];
  let skip = offset;
  let left = length;
  for (const part of parts) {
    if (left === 0) break;
    if (skip >= part.length) {
      skip -= part.length;
      continue;
    }
    const taken = part.subarray(skip, skip + left);
    slice.push(taken);
    left -= taken.length;
    skip = 0;
  }
  return slice;
}

/** Makes all of the parts zero. */
export function clearParts(parts: readonly Uint8Array[]): void {
  for (const part of parts) part.fill(0);
}

/** Copies `from` into the parts, which have as many bytes. */
export function fillParts(parts: readonly Uint8Array[], from: Uint8Array): void {
  let at = 0;
  for (const part of parts) {
    part.set(from.subarray(at, at + part.length));
    at += part.length;
  }
}

/**
 * Resolves when all of the operations have ended, and rejects then if one of them has failed: until
 * the last has ended, the buffers are in use.
 */
export async function allEnded(operations: readonly Promise<void>[]): Promise<void> {
  if (operations.length === 1) return operations[0];
  const results = await Promise.allSettled(operations);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
