// The Address Resolution Protocol, RFC 826, for IPv4 on Ethernet: who has an address, and who
// answers.

import { copyBytes, get16, put16 } from './bytes.ts';
import { ETHERNET_BYTES, ETHERTYPE_ARP, ETHERTYPE_IPV4, writeEthernet } from './ethernet.ts';

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const HARDWARE_ETHERNET = 1;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;
const ARP_BYTES = 28;

/** The length of a frame that {@link writeArp} makes. */
export const ARP_FRAME_BYTES: number = ETHERNET_BYTES + ARP_BYTES;

/** What an ARP packet says; the addresses are places in its frame. */
export interface ArpPacket {
  readonly operation: number;
  readonly senderMac: Uint8Array;
  readonly senderIp: Uint8Array;
  readonly targetIp: Uint8Array;
}

/** The ARP packet of a frame, or undefined when it is none for IPv4 on Ethernet. */
export function parseArp(frame: Uint8Array): ArpPacket | undefined {
  const at = ETHERNET_BYTES;
  if (frame.length < ARP_FRAME_BYTES) return undefined;
  const isOurs =
    get16(frame, at) === HARDWARE_ETHERNET &&
    get16(frame, at + 2) === ETHERTYPE_IPV4 &&
    get16(frame, at + 4) === 0x0604;
  if (!isOurs) return undefined;
  return {
    operation: get16(frame, at + OPERATION),
    senderMac: frame.subarray(at + SENDER_MAC, at + SENDER_IP),
    senderIp: frame.subarray(at + SENDER_IP, at + TARGET_MAC),
    targetIp: frame.subarray(at + TARGET_IP, at + ARP_BYTES),
  };
}

/** Makes an ARP frame in `frame`, {@link ARP_FRAME_BYTES} long. */
export function writeArp(
  frame: Uint8Array,
  operation: number,
  sender: { readonly mac: Uint8Array; readonly ip: Uint8Array },
  target: { readonly mac: Uint8Array; readonly ip: Uint8Array },
): void {
  const at = ETHERNET_BYTES;
  writeEthernet(frame, target.mac, sender.mac, ETHERTYPE_ARP);
  put16(frame, at, HARDWARE_ETHERNET);
  put16(frame, at + 2, ETHERTYPE_IPV4);
  put16(frame, at + 4, 0x0604);
  put16(frame, at + OPERATION, operation);
  copyBytes(frame, at + SENDER_MAC, sender.mac, 0, 6);
  copyBytes(frame, at + SENDER_IP, sender.ip, 0, 4);
  copyBytes(frame, at + TARGET_MAC, target.mac, 0, 6);
  copyBytes(frame, at + TARGET_IP, target.ip, 0, 4);
}
