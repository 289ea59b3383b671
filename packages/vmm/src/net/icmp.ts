// ICMP for IPv4, RFC 792, and the messages of ICMPv6, RFC 4443, that have the same shape: echo, and
// errors, which quote the packet that they are about.

import { put16, put32 } from './bytes.ts';
import { checksumOf, sumWords } from './checksum.ts';

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_ECHO = 8;

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_ECHO = 128;
export const ICMPV6_ECHO_REPLY = 129;

/** Type, code, checksum, and four bytes that depend on the type. */
export const ICMP_BYTES = 8;
export const ICMP_CHECKSUM = 2;
export const ICMP_IDENTIFIER = 4;

/** Why a packet does not get there. */
export type Unreachable = 'network' | 'host' | 'port' | 'prohibited';

/** The codes of ICMP (RFC 792, RFC 1812) and ICMPv6 (RFC 4443, section 3.1) for each reason. */
const CODES: Readonly<Record<Unreachable, readonly [v4: number, v6: number]>> = {
  network: [0, 0],
  host: [1, 3],
  port: [3, 4],
  prohibited: [13, 1],
};

/** RFC 1812, section 4.3.2.3: as much of the packet as fits in 576 bytes. */
const QUOTE_BYTES_MAX = 576 - 20 - ICMP_BYTES;
/** RFC 4443, section 2.4: as much as fits in the minimum MTU. */
const QUOTE_BYTES_MAX_IPV6 = 1280 - 40 - ICMP_BYTES;

/**
 * Writes "destination unreachable" about `packet` at `at`, without checksum; returns its length.
 */
export function writeUnreachable(
  bytes: Uint8Array,
  at: number,
  version: number,
  reason: Unreachable,
  packet: Uint8Array,
): number {
  const quoteMax = version === 4 ? QUOTE_BYTES_MAX : QUOTE_BYTES_MAX_IPV6;
  const quote = packet.subarray(0, quoteMax);
  bytes[at] = version === 4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
  bytes[at + 1] = CODES[reason][version === 4 ? 0 : 1];
  put16(bytes, at + ICMP_CHECKSUM, 0);
  put32(bytes, at + ICMP_IDENTIFIER, 0);
  bytes.set(quote, at + ICMP_BYTES);
  return ICMP_BYTES + quote.length;
}

/**
 * Fills in the checksum of a message; `pseudoSum` is that of the pseudo header, which only ICMPv6
 * has.
 */
export function sealIcmp(bytes: Uint8Array, at: number, length: number, pseudoSum: number): void {
  put16(bytes, at + ICMP_CHECKSUM, 0);
  put16(bytes, at + ICMP_CHECKSUM, checksumOf(sumWords(bytes, at, at + length, pseudoSum)));
}
