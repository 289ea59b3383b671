// The Internet checksum: RFC 1071. Sums are kept unfolded while parts are added, since they are
// sums of at most 64 KiB and so of 31 bits.

/**
 * Adds the 16-bit words of `bytes` from `from` to `to` to `initial`; an odd byte at the end is the
 * upper half of a word. At most 64 KiB.
 */
export function sumWords(bytes: Uint8Array, from: number, to: number, initial = 0): number {
  let upper = 0;
  let lower = 0;
  let at = from;
  // Two sums without a shift in the loop, four words at a time: twice the speed of one.
  for (const last = to - 7; at < last; at += 8) {
    upper += bytes[at] + bytes[at + 2] + bytes[at + 4] + bytes[at + 6];
    lower += bytes[at + 1] + bytes[at + 3] + bytes[at + 5] + bytes[at + 7];
  }
  for (; at + 1 < to; at += 2) {
    upper += bytes[at];
    lower += bytes[at + 1];
  }
  if (at < to) upper += bytes[at];
  return initial + upper * 256 + lower;
}

/** Folds a sum to 16 bits, with end-around carry. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** The checksum field for a sum: its complement. 0xffff or 0 as they come. */
export function checksumOf(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}
