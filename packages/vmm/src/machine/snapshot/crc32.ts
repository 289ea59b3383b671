// CRC-32 as of IEEE 802.3, gzip and PNG (RFC 1952, section 8): polynomial 0xedb88320 reflected,
// ones before and after. Sixteen bytes at a time by sixteen tables (Kounavis and Berry, "Novel
// Table Lookup-Based Algorithms for High-Performance CRC Generation"), read as words of 32 bits.

const POLYNOMIAL = 0xedb88320;
const SLICES = 16;

/** Table `n`, from 256 * n on: what a byte does to the sum when n zero bytes follow it. */
function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
    tables[byte] = value;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256];
    tables[at] = (before >>> 8) ^ tables[before & 0xff];
  }
  return tables;
}

const T = makeTables();

/** The CRC-32 of `bytes`, unsigned; `before` is that of the bytes before them. */
export function crc32(bytes: Uint8Array, before = 0): number {
  let sum = ~before;
  let at = 0;
  if (bytes.byteOffset % 4 === 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, (bytes.length >>> 4) << 2);
    sum = crcOfWords(words, sum);
    at = words.length * 4;
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ T[(sum ^ bytes[at]) & 0xff];
  return ~sum >>> 0;
}

function crcOfWords(words: Int32Array, before: number): number {
  let sum = before;
  for (let at = 0; at < words.length; at += 4) {
    const a = words[at] ^ sum;
    const b = words[at + 1];
    const c = words[at + 2];
    const d = words[at + 3];
    sum =
      T[3840 + (a & 0xff)] ^
      T[3584 + ((a >>> 8) & 0xff)] ^
      T[3328 + ((a >>> 16) & 0xff)] ^
      T[3072 + (a >>> 24)] ^
      T[2816 + (b & 0xff)] ^
      T[2560 + ((b >>> 8) & 0xff)] ^
      T[2304 + ((b >>> 16) & 0xff)] ^
      T[2048 + (b >>> 24)] ^
      T[1792 + (c & 0xff)] ^
      T[1536 + ((c >>> 8) & 0xff)] ^
      T[1280 + ((c >>> 16) & 0xff)] ^
      T[1024 + (c >>> 24)] ^
      T[768 + (d & 0xff)] ^
      T[512 + ((d >>> 8) & 0xff)] ^
      T[256 + ((d >>> 16) & 0xff)] ^
      T[d >>> 24];
  }
  return sum;
}
