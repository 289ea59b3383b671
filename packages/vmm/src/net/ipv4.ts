// IPv4 headers, RFC 791. Options are skipped; source routes are not followed.

import { copyBytes, get16, put16 } from './bytes.ts';
import { checksumOf, foldSum, sumWords } from './checksum.ts';
import type { IpPacket } from './ip-packet.ts';

export const IPV4_BYTES = 20;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;

const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;

export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET_MASK = 0x1fff;

/** What hosts send (RFC 1700). */
export const HOP_LIMIT_DEFAULT = 64;

/** Reads the packet at `at` of `frame` into `packet`; false when its header is no good. */
export function parseIpv4(frame: Uint8Array, at: number, packet: IpPacket): boolean {
  if (frame.length < at + IPV4_BYTES) return false;
  const headerBytes = (frame[at] & 15) * 4;
  if (frame[at] >> 4 !== 4 || headerBytes < IPV4_BYTES) return false;
  const total = get16(frame, at + TOTAL_LENGTH);
  if (total < headerBytes || frame.length < at + total) return false;
  if (foldSum(sumWords(frame, at, at + headerBytes)) !== 0xffff) return false;
  const fragment = get16(frame, at + FRAGMENT);
  packet.frame = frame;
  packet.version = 4;
  packet.addressBytes = 4;
  packet.start = at;
  packet.source = at + IPV4_SOURCE;
  packet.destination = at + IPV4_DESTINATION;
  packet.protocol = frame[at + PROTOCOL];
  packet.hopLimit = frame[at + TTL];
  packet.payload = at + headerBytes;
  packet.end = at + total;
  packet.fragmentOffset = (fragment & FRAGMENT_OFFSET_MASK) * 8;
  packet.moreFragments = (fragment & IPV4_MORE_FRAGMENTS) !== 0;
  packet.identification = get16(frame, at + IDENTIFICATION);
  return true;
}

/** What {@link writeIpv4} writes besides addresses. */
export interface Ipv4Fields {
  protocol: number;
  /** Bytes after the header. */
  payloadBytes: number;
  identification: number;
  /** Flags, and the offset in units of 8 bytes. */
  fragment: number;
}

/** Writes a header of {@link IPV4_BYTES} at `at`, checksum included. */
export function writeIpv4(
  frame: Uint8Array,
  at: number,
  fields: Ipv4Fields,
  source: Uint8Array,
  destination: Uint8Array,
): void {
  put16(frame, at, 0x4500);
  put16(frame, at + TOTAL_LENGTH, IPV4_BYTES + fields.payloadBytes);
  put16(frame, at + IDENTIFICATION, fields.identification);
  put16(frame, at + FRAGMENT, fields.fragment);
  frame[at + TTL] = HOP_LIMIT_DEFAULT;
  frame[at + PROTOCOL] = fields.protocol;
  put16(frame, at + CHECKSUM, 0);
  copyBytes(frame, at + IPV4_SOURCE, source, 0, 4);
  copyBytes(frame, at + IPV4_DESTINATION, destination, 0, 4);
  put16(frame, at + CHECKSUM, checksumOf(sumWords(frame, at, at + IPV4_BYTES)));
}
