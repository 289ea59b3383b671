// From RFC 1071, RFC 791 and RFC 9293: what comes out must have the right checksums by the
// definition, and be the segment that went in.
import { expect, test } from 'vitest';
import { FrameFinisher, finishChecksum, isLarge, isSound } from './finish-frame.ts';

const hex = (text: string): number[] =>
  (text.match(/[0-9a-f]{2}/g) ?? []).map((byte) => Number.parseInt(byte, 16));
const MACS = '02 00 00 00 00 02 02 00 00 00 00 01';
const V4 = `${MACS} 08 00 45 00 00 00 ff ff 40 00 40 06 00 00 0a 00 00 01 0a 00 00 02`;
const V6 = `${MACS} 86 dd 60 00 00 00 00 00 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02`;
/** With CWR, ACK, PSH and FIN, an option, and a sequence number that wraps. */
const TCP = '9c 40 00 50 ff ff ff f0 00 00 00 01 60 99 ff ff 00 00 00 00 02 04 05 b4';

function segment(headers: string, payload: number): { frame: Uint8Array; payloadAt: number } {
  const bytes = hex(`${headers} ${TCP}`);
  const data = Array.from({ length: payload }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
  return { frame: Uint8Array.from([...bytes, ...data]), payloadAt: bytes.length };
}

/** The one's complement sum of 16-bit words, one after the other. */
function sum(...parts: Uint8Array[]): number {
  let total = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) {
      total += (part[at] << 8) | (part[at + 1] ?? 0);
      if (total > 0xffff) total -= 0xffff;
    }
  }
  return total;
}

const be = (value: number): Uint8Array =>
  new Uint8Array([value >> 24, value >> 16, value >> 8, value]);

test.each([
  [4, V4, 34, 1460],
  [6, V6, 54, 1440],
])(
  'a large segment of IPv%d becomes segments that say what it said',
  (version, headers, tcp, mss) => {
    const { frame, payloadAt } = segment(headers, 5 * mss - 7);
    const unfinished = { checksumStart: tcp, checksumOffset: 16, segmentBytes: mss };
    expect([isSound(frame, unfinished), isLarge(frame, unfinished)]).toEqual([true, true]);
    const pieces: Uint8Array[] = [];
    new FrameFinisher().finish(frame, unfinished, (piece) => pieces.push(piece.slice()));
    expect(pieces.length).toBe(5);
    const payload = pieces.flatMap((piece) => [...piece.subarray(payloadAt)]);
    expect(payload).toEqual([...frame.subarray(payloadAt)]);
    for (const [index, piece] of pieces.entries()) {
      const view = new DataView(piece.buffer);
      expect(view.getUint32(tcp + 4)).toBe((0xffff_fff0 + index * mss) % 2 ** 32);
      expect(piece[tcp + 13]).toBe([0x90, 0x10, 0x10, 0x10, 0x19][index]);
      const addresses = version === 4 ? piece.subarray(26, 34) : piece.subarray(22, 54);
      const length = be(piece.length - tcp);
      expect(sum(addresses, be(6), length, piece.subarray(tcp))).toBe(0xffff);
      if (version === 4) {
        expect(view.getUint16(16)).toBe(piece.length - 14);
        expect(view.getUint16(18)).toBe((0xffff + index) & 0xffff);
        expect(sum(piece.subarray(14, 34))).toBe(0xffff);
      } else {
        expect(view.getUint16(18)).toBe(piece.length - 54);
      }
    }
  },
);

test('a frame that only lacks its checksum gets it over what is in its place', () => {
  const { frame } = segment(V4, 11);
  const addresses = frame.subarray(26, 34);
  const pseudo = sum(addresses, be(6), be(frame.length - 34));
  frame.set(be(pseudo).subarray(2), 34 + 16);
  finishChecksum(frame, { checksumStart: 34, checksumOffset: 16, segmentBytes: 0 });
  expect(sum(addresses, be(6), be(frame.length - 34), frame.subarray(34))).toBe(0xffff);
});

test('what makes no sense is not sound', () => {
  const { frame } = segment(V4, 3000);
  const good = { checksumStart: 34, checksumOffset: 16, segmentBytes: 1460 };
  const change = (at: number, value: number): Uint8Array => {
    const copy = frame.slice();
    copy[at] = value;
    return copy;
  };
  expect(isSound(frame, good)).toBe(true);
  for (const wrong of [
    { checksumStart: 13 },
    { checksumStart: 35 },
    { checksumStart: 65535 },
    { checksumOffset: 6 },
    { checksumOffset: 65535 },
    { segmentBytes: 1 },
  ]) {
    expect(isSound(frame, { ...good, ...wrong }), JSON.stringify(wrong)).toBe(false);
  }
  // UDP, another version, a short data offset, one beyond the end, ARP.
  for (const [at, value] of [
    [23, 17],
    [14, 0x65],
    [46, 0x40],
    [13, 6],
  ]) {
    expect(isSound(change(at, value), good), `${at}`).toBe(false);
  }
  expect(isSound(frame.subarray(0, 56), good)).toBe(false);
});
