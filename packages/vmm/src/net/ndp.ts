// Neighbor Discovery for IPv6, RFC 4861: what a router says to the one host on its link.
// Solicitations are read, advertisements written; resolvers are announced as RFC 8106 has it.

import type { IpAddress } from './address.ts';
import { copyBytes, put16, put32, sameBytes } from './bytes.ts';
import { ICMP_BYTES } from './icmp.ts';
import type { IpPacket } from './ip-packet.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;

const OPTION_SOURCE_LINK_ADDRESS = 1;
const OPTION_TARGET_LINK_ADDRESS = 2;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_RESOLVERS = 25;
const FLAG_ROUTER_SOLICITED_OVERRIDE = 0xe000_0000;
/** On link, and for autonomous configuration. */
const PREFIX_FLAGS = 0xc0;
const INFINITE = 0xffff_ffff;
/** Messages of this protocol never cross a router, which would have counted down (section 6.1). */
const HOP_LIMIT = 255;

/** The prefix of addresses that are good on one link only. */
const LINK_LOCAL = new Uint8Array([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
/** All nodes on the link. */
export const ALL_NODES: IpAddress = new Uint8Array([
  0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
]);

/** The address that an interface gives itself: RFC 4291, appendix A. */
export function linkLocalAddress(mac: Uint8Array): IpAddress {
  const address = new Uint8Array(16);
  address.set(LINK_LOCAL);
  address.set([mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]], 8);
  return address;
}

/** Whether a packet is a message of this protocol from this link. */
export function isNdp(packet: IpPacket): boolean {
  const type = packet.frame[packet.payload];
  const isOne = type >= ROUTER_SOLICITATION && type <= NEIGHBOR_ADVERTISEMENT;
  return isOne && packet.hopLimit === HOP_LIMIT && packet.end - packet.payload >= ICMP_BYTES;
}

/** Whether a neighbor solicitation asks for `address`. */
export function solicits(packet: IpPacket, address: IpAddress): boolean {
  const at = packet.payload + ICMP_BYTES;
  return packet.end - at >= 16 && sameBytes(packet.frame, at, address, 0, 16);
}

/** Writes the answer to a solicitation, without checksum; returns its length. */
export function writeNeighborAdvertisement(
  bytes: Uint8Array,
  at: number,
  target: IpAddress,
  mac: Uint8Array,
): number {
  put32(bytes, at, NEIGHBOR_ADVERTISEMENT << 24);
  put32(bytes, at + 4, FLAG_ROUTER_SOLICITED_OVERRIDE);
  copyBytes(bytes, at + 8, target, 0, 16);
  writeLinkAddress(bytes, at + 24, OPTION_TARGET_LINK_ADDRESS, mac);
  return 32;
}

/** What a router tells. */
export interface RouterSettings {
  readonly mac: Uint8Array;
  readonly mtu: number;
  /** The first 64 bits of this. */
  readonly prefix: IpAddress;
  readonly resolver: IpAddress;
  /** Seconds, at most 65535. */
  readonly lifetimeSeconds: number;
}

/** Writes a router advertisement, without checksum; returns its length. */
export function writeRouterAdvertisement(
  bytes: Uint8Array,
  at: number,
  settings: RouterSettings,
): number {
  bytes.fill(0, at, at + 88);
  bytes[at] = ROUTER_ADVERTISEMENT;
  bytes[at + 4] = 64;
  put16(bytes, at + 6, settings.lifetimeSeconds);
  writeLinkAddress(bytes, at + 16, OPTION_SOURCE_LINK_ADDRESS, settings.mac);
  put16(bytes, at + 24, (OPTION_MTU << 8) | 1);
  put32(bytes, at + 28, settings.mtu);
  const prefix = at + 32;
  put16(bytes, prefix, (OPTION_PREFIX << 8) | 4);
  bytes[prefix + 2] = 64;
  bytes[prefix + 3] = PREFIX_FLAGS;
  put32(bytes, prefix + 4, INFINITE);
  put32(bytes, prefix + 8, INFINITE);
  copyBytes(bytes, prefix + 16, settings.prefix, 0, 8);
  const resolvers = at + 64;
  put16(bytes, resolvers, (OPTION_RESOLVERS << 8) | 3);
  put32(bytes, resolvers + 4, INFINITE);
  copyBytes(bytes, resolvers + 8, settings.resolver, 0, 16);
  return 88;
}

function writeLinkAddress(bytes: Uint8Array, at: number, option: number, mac: Uint8Array): void {
  put16(bytes, at, (option << 8) | 1);
  copyBytes(bytes, at + 2, mac, 0, 6);
}
