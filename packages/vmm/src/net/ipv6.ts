// IPv6 headers, RFC 8200. Extension headers of the guest's are skipped where that is safe (hop by
// hop, destination options, routing that is used up) and fragments are told apart; none are sent.

import { copyBytes, get16, get32, put16, put32 } from './bytes.ts';
import type { IpPacket } from './ip-packet.ts';
import { HOP_LIMIT_DEFAULT } from './ipv4.ts';

export const IPV6_BYTES = 40;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
/** No sender needs more; a limit on what one packet can make us do. */
const EXTENSIONS_MAX = 8;

/** Reads the packet at `at` of `frame` into `packet`; false when its headers are no good. */
export function parseIpv6(frame: Uint8Array, at: number, packet: IpPacket): boolean {
  if (frame.length < at + IPV6_BYTES || frame[at] >> 4 !== 6) return false;
  const end = at + IPV6_BYTES + get16(frame, at + PAYLOAD_LENGTH);
  if (frame.length < end) return false;
  packet.frame = frame;
  packet.version = 6;
  packet.addressBytes = 16;
  packet.start = at;
  packet.source = at + IPV6_SOURCE;
  packet.destination = at + IPV6_DESTINATION;
  packet.hopLimit = frame[at + HOP_LIMIT];
  packet.end = end;
  packet.fragmentOffset = 0;
  packet.moreFragments = false;
  packet.identification = 0;
  return skipExtensions(packet, frame[at + NEXT_HEADER], at + IPV6_BYTES);
}

function skipExtensions(packet: IpPacket, first: number, start: number): boolean {
  const { frame, end } = packet;
  let next = first;
  let at = start;
  for (let count = 0; count <= EXTENSIONS_MAX; count++) {
    if (next === FRAGMENT) {
      if (at + 8 > end) return false;
      const word = get16(frame, at + 2);
      packet.fragmentOffset = word & 0xfff8;
      packet.moreFragments = (word & 1) !== 0;
      packet.identification = get32(frame, at + 4);
      next = frame[at];
      at += 8;
      if (packet.fragmentOffset === 0) continue;
    } else if (next === HOP_BY_HOP || next === DESTINATION_OPTIONS || next === ROUTING) {
      if (at + 8 > end) return false;
      if (next === ROUTING && frame[at + 3] !== 0) return false;
      next = frame[at];
      at += 8 + frame[at + 1] * 8;
      if (at > end) return false;
      continue;
    }
    packet.protocol = next;
    packet.payload = at;
    return true;
  }
  return false;
}

/** Writes a header of {@link IPV6_BYTES} at `at`. */
export function writeIpv6(
  frame: Uint8Array,
  at: number,
  protocol: number,
  payloadBytes: number,
  source: Uint8Array,
  destination: Uint8Array,
  hopLimit: number = HOP_LIMIT_DEFAULT,
): void {
  put32(frame, at, 0x6000_0000);
  put16(frame, at + PAYLOAD_LENGTH, payloadBytes);
  frame[at + NEXT_HEADER] = protocol;
  frame[at + HOP_LIMIT] = hopLimit;
  copyBytes(frame, at + IPV6_SOURCE, source, 0, 16);
  copyBytes(frame, at + IPV6_DESTINATION, destination, 0, 16);
}
