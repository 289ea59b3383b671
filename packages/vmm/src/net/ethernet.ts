// Ethernet II frames as a virtual card passes them: no preamble, no frame check sequence, and no
// padding of short ones, which only a wire needs. Tagged frames (802.1Q) are nobody's here.

import { copyBytes, put16 } from './bytes.ts';

export const ETHERNET_BYTES = 14;
export const MAC_BYTES = 6;
export const ETHER_DESTINATION = 0;
export const ETHER_SOURCE = 6;
export const ETHER_TYPE = 12;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

/** The largest payload of a frame, unless a network says another. */
export const MTU_DEFAULT = 1500;

/** All stations. */
export const MAC_BROADCAST: Uint8Array = new Uint8Array(MAC_BYTES).fill(0xff);

/** Whether the address at `at` is a group's, broadcast included. */
export function isGroupMac(bytes: Uint8Array, at: number): boolean {
  return (bytes[at] & 1) !== 0;
}

/** Writes a frame's header at its start. */
export function writeEthernet(
  frame: Uint8Array,
  destination: Uint8Array,
  source: Uint8Array,
  type: number,
): void {
  copyBytes(frame, ETHER_DESTINATION, destination, 0, MAC_BYTES);
  copyBytes(frame, ETHER_SOURCE, source, 0, MAC_BYTES);
  put16(frame, ETHER_TYPE, type);
}

/** The text of an address, as `fe:e1:bb:d1:00:01`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
