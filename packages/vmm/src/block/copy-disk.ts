// Copying a disk to a new one, of whatever formats. What is zero is not written, so that it takes
// no room in the copy.

import { type Disk, SECTOR_BYTES } from './disk.ts';

const CHUNK_BYTES = 1 << 20;
/** What is looked at for zeroes, and written or not: a cluster of our own qcow2 images. */
const BLOCK_BYTES = 1 << 16;
/** Chunks that are read or written at once. */
const CHUNKS_IN_FLIGHT = 4;

/**
 * Copies `from` to the beginning of `to`, which is all zeroes and at least as large, and flushes
 * it. `progress` is told how many bytes are done.
 */
export async function copyDisk(
  from: Disk,
  to: Disk,
  progress: (doneBytes: number) => void,
): Promise<void> {
  const sizeBytes = from.sectors * SECTOR_BYTES;
  let next = 0;
  let done = 0;
  let failed = false;
  const copy = async (): Promise<void> => {
    const buffer = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes));
    while (next < sizeBytes && !failed) {
      const offset = next;
      next += CHUNK_BYTES;
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, sizeBytes - offset));
      await from.read(offset, [chunk]);
      await writeNonZero(to, offset, chunk);
      done += chunk.length;
      progress(done);
    }
  };
  const copies = Array.from({ length: CHUNKS_IN_FLIGHT }, () =>
    copy().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  const results = await Promise.allSettled(copies);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await to.flush();
}

/** Writes the blocks of a chunk that are not zero, adjacent ones together. */
async function writeNonZero(to: Disk, offset: number, chunk: Uint8Array): Promise<void> {
  let start = 0;
  const writeUpTo = async (end: number): Promise<void> => {
    if (end > start) await to.write(offset + start, [chunk.subarray(start, end)]);
  };
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    if (!isZero(chunk.subarray(at, at + BLOCK_BYTES))) continue;
    await writeUpTo(at);
    start = at + BLOCK_BYTES;
  }
  await writeUpTo(chunk.length);
}

/** True when all bytes, a multiple of 4 of them at a multiple of 4, are zero. */
function isZero(bytes: Uint8Array): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  return true;
}
