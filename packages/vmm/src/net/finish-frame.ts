// What a card offloads, done in software, for a receiver that cannot do with unfinished frames:
// checksums (RFC 1071), and segments of TCP cut to size (RFC 9293, section 3.7.1) as Linux's
// generic segmentation offload cuts them.

import { get16, get32, put16, put32 } from './bytes.ts';
import { checksumOf, sumWords } from './checksum.ts';
import { ETHER_TYPE, ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from './ethernet.ts';
import { PROTOCOL_TCP } from './ip-packet.ts';
import { IPV4_BYTES, IPV4_SOURCE } from './ipv4.ts';
import { IPV6_BYTES, IPV6_SOURCE } from './ipv6.ts';
import type { Unfinished } from './link.ts';

/** The least payload that anybody's segments have: Linux's TCP_MIN_SND_MSS. */
const SEGMENT_BYTES_MIN = 48;

const IPV4_TOTAL_LENGTH = 2;
const IPV4_IDENTIFICATION = 4;
const IPV4_PROTOCOL = 9;
const IPV4_CHECKSUM = 10;
const IPV6_PAYLOAD_LENGTH = 4;

const TCP_BYTES = 20;
const TCP_SEQUENCE = 4;
const TCP_DATA_OFFSET = 12;
const TCP_FLAGS = 13;
const TCP_CHECKSUM = 16;
/** Of one segment only: the last, or the first. */
const TCP_FIN_PSH = 0x09;
const TCP_CWR = 0x80;

/** The IP version of a frame by its type, 4 or 6; 0 for what is neither. */
export function ipVersionOf(frame: Uint8Array): number {
  const type = get16(frame, ETHER_TYPE);
  if (type === ETHERTYPE_IPV4) return 4;
  return type === ETHERTYPE_IPV6 ? 6 : 0;
}

/** Where the payload of a TCP segment that is to be cut begins. */
function payloadOf(frame: Uint8Array, { checksumStart }: Unfinished): number {
  return checksumStart + (frame[checksumStart + TCP_DATA_OFFSET] >> 4) * 4;
}

/** Whether the frame is larger than its segments. */
export function isLarge(frame: Uint8Array, unfinished: Unfinished): boolean {
  const { segmentBytes } = unfinished;
  return segmentBytes > 0 && frame.length - payloadOf(frame, unfinished) > segmentBytes;
}

/**
 * Whether `unfinished` makes sense for a frame: its checksum lies in it, and a segment is one of
 * TCP directly in IP. Who sends it may be anybody's guest.
 */
export function isSound(frame: Uint8Array, unfinished: Unfinished): boolean {
  const { checksumStart: start, checksumOffset, segmentBytes } = unfinished;
  if (start < ETHERNET_BYTES || start + checksumOffset + 2 > frame.length) return false;
  if (segmentBytes === 0) return true;
  if (segmentBytes < SEGMENT_BYTES_MIN || checksumOffset !== TCP_CHECKSUM) return false;
  if (start + TCP_BYTES > frame.length || payloadOf(frame, unfinished) > frame.length) return false;
  if (payloadOf(frame, unfinished) < start + TCP_BYTES) return false;
  const version = ipVersionOf(frame);
  const ip = ETHERNET_BYTES;
  if (version === 4) {
    const headerBytes = (frame[ip] & 15) * 4;
    return (
      frame[ip] >> 4 === 4 &&
      headerBytes >= IPV4_BYTES &&
      start === ip + headerBytes &&
      frame[ip + IPV4_PROTOCOL] === PROTOCOL_TCP
    );
  }
  // Extension headers may lie between.
  return version === 6 && frame[ip] >> 4 === 6 && start >= ip + IPV6_BYTES;
}

/** Puts the checksum of a sound frame in its place. */
export function finishChecksum(frame: Uint8Array, unfinished: Unfinished): void {
  const { checksumStart, checksumOffset } = unfinished;
  const sum = checksumOf(sumWords(frame, checksumStart, frame.length));
  // UDP sends 0 as 0xffff (RFC 768), which is the same number to everybody else.
  put16(frame, checksumStart + checksumOffset, sum === 0 ? 0xffff : sum);
}

/** Finishes frames; the one that it hands out lives in its buffer, during the call. */
export class FrameFinisher {
  private readonly buffer = new Uint8Array(ETHERNET_BYTES + 4 + 0xffff);

  /** Gives `frame`, which is sound, to `emit`: finished, and in pieces if it is large. */
  finish(frame: Uint8Array, unfinished: Unfinished, emit: (finished: Uint8Array) => void): void {
    if (frame.length > this.buffer.length) return;
    if (isLarge(frame, unfinished)) {
      this.cut(frame, unfinished, emit);
      return;
    }
    this.buffer.set(frame);
    const copy = this.buffer.subarray(0, frame.length);
    finishChecksum(copy, unfinished);
    emit(copy);
  }

  private cut(
    frame: Uint8Array,
    unfinished: Unfinished,
    emit: (finished: Uint8Array) => void,
  ): void {
    const { segmentBytes } = unfinished;
    const headers = payloadOf(frame, unfinished);
    for (let at = headers, index = 0; at < frame.length; at += segmentBytes, index++) {
      const end = Math.min(at + segmentBytes, frame.length);
      const piece = this.buffer.subarray(0, headers + end - at);
      piece.set(frame.subarray(0, headers));
      piece.set(frame.subarray(at, end), headers);
      this.adjust(piece, unfinished, at - headers, index, end === frame.length);
      emit(piece);
    }
  }

  /** Makes the headers those of segment `index`, whose payload was at `offset`. */
  private adjust(
    piece: Uint8Array,
    unfinished: Unfinished,
    offset: number,
    index: number,
    isLast: boolean,
  ): void {
    const ip = ETHERNET_BYTES;
    const tcp = unfinished.checksumStart;
    put32(piece, tcp + TCP_SEQUENCE, get32(piece, tcp + TCP_SEQUENCE) + offset);
    if (!isLast) piece[tcp + TCP_FLAGS] &= ~TCP_FIN_PSH;
    if (index > 0) piece[tcp + TCP_FLAGS] &= ~TCP_CWR;
    const tcpBytes = piece.length - tcp;
    let addresses: number;
    if (piece[ip] >> 4 === 4) {
      put16(piece, ip + IPV4_TOTAL_LENGTH, piece.length - ip);
      put16(piece, ip + IPV4_IDENTIFICATION, get16(piece, ip + IPV4_IDENTIFICATION) + index);
      put16(piece, ip + IPV4_CHECKSUM, 0);
      put16(piece, ip + IPV4_CHECKSUM, checksumOf(sumWords(piece, ip, tcp)));
      addresses = sumWords(piece, ip + IPV4_SOURCE, ip + IPV4_SOURCE + 8);
    } else {
      put16(piece, ip + IPV6_PAYLOAD_LENGTH, piece.length - ip - IPV6_BYTES);
      addresses = sumWords(piece, ip + IPV6_SOURCE, ip + IPV6_SOURCE + 32);
    }
    put16(piece, tcp + TCP_CHECKSUM, 0);
    const sum = sumWords(piece, tcp, piece.length, addresses + PROTOCOL_TCP + tcpBytes);
    put16(piece, tcp + TCP_CHECKSUM, checksumOf(sum));
  }
}
