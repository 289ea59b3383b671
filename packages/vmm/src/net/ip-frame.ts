// Frames that were kept, to be looked at once more.

import { ETHERNET_BYTES } from './ethernet.ts';
import type { IpPacket } from './ip-packet.ts';
import { parseIpv4 } from './ipv4.ts';
import { parseIpv6 } from './ipv6.ts';

/** The frame of a packet, copied. */
export function frameOf(packet: IpPacket): Uint8Array {
  return packet.frame.slice(packet.start - ETHERNET_BYTES, packet.end);
}

/** Reads the packet of either version that is in `frame`; false when it is none. */
export function parseFrame(frame: Uint8Array, packet: IpPacket): boolean {
  const parse = frame[ETHERNET_BYTES] >> 4 === 4 ? parseIpv4 : parseIpv6;
  return parse(frame, ETHERNET_BYTES, packet);
}
