// UDP, RFC 768.

import { get16, put16 } from './bytes.ts';
import { checksumOf, foldSum, sumWords } from './checksum.ts';
import type { IpPacket } from './ip-packet.ts';

export const UDP_BYTES = 8;
export const UDP_CHECKSUM = 6;
const LENGTH = 4;

/** The sum of the pseudo header's addresses; the caller adds protocol and length. */
export function addressSum(packet: IpPacket): number {
  return sumWords(packet.frame, packet.source, packet.source + packet.addressBytes * 2);
}

/**
 * The length of the UDP payload of `packet`, or -1 when header or checksum are no good.
 * `checksummed` is false when the checksum is not there yet, as between virtual cards.
 */
export function udpPayloadBytes(packet: IpPacket, checksummed: boolean): number {
  const { frame, payload, end } = packet;
  if (end - payload < UDP_BYTES) return -1;
  const length = get16(frame, payload + LENGTH);
  if (length < UDP_BYTES || payload + length > end) return -1;
  // None was made; IPv6 forbids that (RFC 8200, section 8.1).
  const isAbsent = get16(frame, payload + UDP_CHECKSUM) === 0;
  if (checksummed && isAbsent && packet.version === 6) return -1;
  if (checksummed && !isAbsent) {
    const pseudo = addressSum(packet) + packet.protocol + length;
    if (foldSum(sumWords(frame, payload, payload + length, pseudo)) !== 0xffff) return -1;
  }
  return length - UDP_BYTES;
}

/**
 * Writes the header before a payload that is in place; `pseudoSum` is of addresses and protocol.
 */
export function writeUdp(
  bytes: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  payloadBytes: number,
  pseudoSum: number,
): void {
  const length = UDP_BYTES + payloadBytes;
  put16(bytes, at, sourcePort);
  put16(bytes, at + 2, destinationPort);
  put16(bytes, at + LENGTH, length);
  put16(bytes, at + UDP_CHECKSUM, 0);
  const checksum = checksumOf(sumWords(bytes, at, at + length, pseudoSum + length));
  // A checksum of 0 is sent as its other form: 0 means that there is none.
  put16(bytes, at + UDP_CHECKSUM, checksum === 0 ? 0xffff : checksum);
}
