// What the writer that is killed does: the same for both sides, by number.

export const DISK_BYTES = 8 << 20;
const SECTOR = 512;
const PARTS = 4;
const PART_SECTORS = DISK_BYTES / SECTOR / PARTS;

/** Operation `number`: where it writes, in the quarter of the disk that four in a row share out. */
export function operationOf(number) {
  // Multipliers of Knuth's multiplicative hash, The Art of Computer Programming 3, 6.4.
  const hash = Math.imul(number + 1, 2654435761) >>> 0;
  const first = hash % PART_SECTORS;
  const count = Math.min(1 + ((hash >>> 8) % 200), PART_SECTORS - first);
  const offset = ((number % PARTS) * PART_SECTORS + first) * SECTOR;
  return { number, offset, length: count * SECTOR, isZero: number % 7 === 3 };
}

/** The bytes that an operation writes: its number in each word, or zeroes. */
export function bytesOf({ number, length, isZero }) {
  return new Uint8Array(new Uint32Array(length / 4).fill(isZero ? 0 : number + 1).buffer);
}
