// TCP segments on the wire: RFC 9293, section 3.1; options: maximum segment size (3.7.1), window
// scale (RFC 7323, section 2), selective acknowledgment (RFC 2018), which is sent but not read.
// Other options are skipped. Sequence numbers are unsigned here, and compared by their distance,
// which is signed.

import { get16, get32, put16, put32 } from '../bytes.ts';
import { checksumOf, foldSum, sumWords } from '../checksum.ts';
import type { IpPacket } from '../ip-packet.ts';
import { addressSum } from '../udp.ts';

export const TCP_BYTES = 20;
/** The header of a SYN: with its three options, and padding. */
export const TCP_SYN_BYTES = 32;
/** What fits beside other options (RFC 2018, section 3). */
export const SACK_BLOCKS_MAX = 3;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
/** Where in the header the checksum is. */
export const TCP_CHECKSUM = 16;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;

/** RFC 7323, section 2.3. */
export const WINDOW_SCALE_MAX = 14;
/** What a sender that does not say takes over IPv4; RFC 9293, section 3.7.1. */
export const MSS_DEFAULT = 536;

/** How far `a` is ahead of `b`; negative when it is behind. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

/** The sequence number `count` after `sequence`. */
export function advance(sequence: number, count: number): number {
  return (sequence + count) >>> 0;
}

/** A received segment: one record, filled anew for each. */
export class TcpSegment {
  sourcePort = 0;
  destinationPort = 0;
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As it stands in the header, unscaled. */
  window = 0;
  /** Of a SYN; {@link MSS_DEFAULT} when it does not say. */
  mss: number = MSS_DEFAULT;
  /** Of a SYN; -1 when it does not say. */
  windowScale = -1;
  /** Of a SYN: whether its sender reads selective acknowledgments. */
  sackPermitted = false;
  /** The payload is `frame` from `payload` to `end`. */
  frame: Uint8Array = new Uint8Array(0);
  payload = 0;
  end = 0;

  get payloadBytes(): number {
    return this.end - this.payload;
  }

  /** How much sequence space it takes: payload, SYN and FIN. */
  get sequenceLength(): number {
    const { flags } = this;
    return this.end - this.payload + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
  }
}

/** Reads the segment in `packet`; false when header or checksum are no good. */
export function parseTcp(packet: IpPacket, checksummed: boolean, segment: TcpSegment): boolean {
  const { frame, payload: at, end } = packet;
  if (end - at < TCP_BYTES) return false;
  const headerBytes = (frame[at + DATA_OFFSET] >> 4) * 4;
  if (headerBytes < TCP_BYTES || at + headerBytes > end) return false;
  if (checksummed) {
    const pseudo = addressSum(packet) + packet.protocol + (end - at);
    if (foldSum(sumWords(frame, at, end, pseudo)) !== 0xffff) return false;
  }
  segment.sourcePort = get16(frame, at);
  segment.destinationPort = get16(frame, at + 2);
  segment.sequence = get32(frame, at + SEQUENCE);
  segment.acknowledgment = get32(frame, at + ACKNOWLEDGMENT);
  segment.flags = frame[at + FLAGS];
  segment.window = get16(frame, at + WINDOW);
  segment.mss = MSS_DEFAULT;
  segment.windowScale = -1;
  segment.sackPermitted = false;
  segment.frame = frame;
  segment.payload = at + headerBytes;
  segment.end = end;
  if ((segment.flags & SYN) !== 0) parseOptions(segment, at + TCP_BYTES);
  return true;
}

function parseOptions(segment: TcpSegment, start: number): void {
  const { frame, payload: end } = segment;
  let at = start;
  while (at < end && frame[at] !== OPTION_END) {
    if (frame[at] === OPTION_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? frame[at + 1] : 0;
    if (length < 2 || at + length > end) return;
    if (frame[at] === OPTION_MSS && length === 4) segment.mss = get16(frame, at + 2);
    if (frame[at] === OPTION_SACK_PERMITTED) segment.sackPermitted = true;
    if (frame[at] === OPTION_WINDOW_SCALE && length === 3) {
      segment.windowScale = Math.min(frame[at + 2], WINDOW_SCALE_MAX);
    }
    at += length;
  }
}

/** The fields of a segment to send; one record, filled anew for each. */
export class TcpHeader {
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  /** As it is to stand in the header, already scaled. */
  window = 0;
  /** For a SYN: what we take; above 0. */
  mss = 0;
  /** For a SYN: our scale, or -1 to offer none. */
  windowScale = -1;
  /** For a segment without data: what has come beyond a gap, as pairs of sequence numbers. */
  readonly sackBlocks: number[] = [];
}

/** How long the header for `fields` is. */
export function tcpHeaderBytes(fields: TcpHeader): number {
  if ((fields.flags & SYN) !== 0) return TCP_SYN_BYTES;
  const { length } = fields.sackBlocks;
  return length === 0 ? TCP_BYTES : TCP_BYTES + 4 + length * 4;
}

/** Writes a header, its checksum 0. */
export function writeTcp(
  bytes: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  fields: TcpHeader,
): void {
  put16(bytes, at, sourcePort);
  put16(bytes, at + 2, destinationPort);
  put32(bytes, at + SEQUENCE, fields.sequence);
  put32(bytes, at + ACKNOWLEDGMENT, fields.acknowledgment);
  bytes[at + DATA_OFFSET] = (tcpHeaderBytes(fields) / 4) << 4;
  bytes[at + FLAGS] = fields.flags;
  put16(bytes, at + WINDOW, fields.window);
  put16(bytes, at + TCP_CHECKSUM, 0);
  put16(bytes, at + 18, 0);
  if ((fields.flags & SYN) !== 0) writeSynOptions(bytes, at + TCP_BYTES, fields);
  else if (fields.sackBlocks.length > 0) writeSack(bytes, at + TCP_BYTES, fields.sackBlocks);
}

function writeSynOptions(bytes: Uint8Array, at: number, fields: TcpHeader): void {
  put16(bytes, at, (OPTION_MSS << 8) | 4);
  put16(bytes, at + 2, fields.mss);
  put32(bytes, at + 4, 0x0101_0002 | (OPTION_SACK_PERMITTED << 8));
  const scales = fields.windowScale >= 0;
  put32(bytes, at + 8, scales ? 0x0103_0300 | fields.windowScale : 0x0101_0101);
}

function writeSack(bytes: Uint8Array, at: number, blocks: readonly number[]): void {
  put32(bytes, at, 0x0101_0000 | (OPTION_SACK << 8) | (2 + blocks.length * 4));
  for (let i = 0; i < blocks.length; i++) put32(bytes, at + 4 + i * 4, blocks[i]);
}

/** Fills in the checksum of `length` bytes; `pseudoSum` is of addresses and protocol. */
export function sealTcp(bytes: Uint8Array, at: number, length: number, pseudoSum: number): void {
  put16(bytes, at + TCP_CHECKSUM, checksumOf(sumWords(bytes, at, at + length, pseudoSum + length)));
}

/** Fills in the sum of the pseudo header alone, for who finishes the checksum. */
export function sealPartly(bytes: Uint8Array, at: number, length: number, pseudoSum: number): void {
  put16(bytes, at + TCP_CHECKSUM, foldSum(pseudoSum + length));
}
