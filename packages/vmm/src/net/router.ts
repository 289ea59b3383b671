// The gateway as an IPv6 router on the guest's link: answers solicitations, and advertises itself
// when asked and now and then.

import { type IpAddress, sameIp } from './address.ts';
import { ETHER_SOURCE, MAC_BYTES } from './ethernet.ts';
import { sealIcmp } from './icmp.ts';
import { type IpOutput, makePath, PAYLOAD_AT, type Path } from './ip-output.ts';
import { type IpPacket, PROTOCOL_ICMPV6 } from './ip-packet.ts';
import {
  ALL_NODES,
  linkLocalAddress,
  NEIGHBOR_SOLICITATION,
  ROUTER_SOLICITATION,
  solicits,
  writeNeighborAdvertisement,
  writeRouterAdvertisement,
} from './ndp.ts';
import type { Timed } from './timers.ts';

/** RFC 4861, section 6.2.1: MaxRtrAdvInterval. */
const INTERVAL_NS = 600e9;
/** Three intervals, as there. */
const LIFETIME_SECONDS = 1800;
/** RFC 2464, section 7. */
const ALL_NODES_MAC = new Uint8Array([0x33, 0x33, 0, 0, 0, 1]);
const HOP_LIMIT = 255;

/** One router with one address besides its link-local one. */
export class Router implements Timed {
  deadlineNs: number = Infinity;
  readonly linkLocal: IpAddress;
  private readonly output: IpOutput;
  private readonly mac: Uint8Array;
  private readonly address: IpAddress;
  private readonly toAll: Path;

  /** `address` is the gateway's; its first 64 bits are the link's prefix. */
  constructor(output: IpOutput, mac: Uint8Array, address: IpAddress) {
    this.output = output;
    this.mac = mac;
    this.address = address;
    this.linkLocal = linkLocalAddress(mac);
    this.toAll = makePath(ALL_NODES_MAC, ALL_NODES, this.linkLocal);
  }

  /** Whether `address` is one of the router's. */
  owns(address: IpAddress): boolean {
    return sameIp(address, this.address) || sameIp(address, this.linkLocal);
  }

  /** Takes a message of Neighbor Discovery. */
  receive(packet: IpPacket, nowNs: number): void {
    const type = packet.frame[packet.payload];
    if (type === ROUTER_SOLICITATION) {
      this.expire(nowNs);
    } else if (type === NEIGHBOR_SOLICITATION) {
      for (const address of [this.address, this.linkLocal]) {
        if (solicits(packet, address)) this.advertise(packet, address);
      }
    }
  }

  /** Advertises itself to all. */
  expire(nowNs: number): void {
    this.deadlineNs = nowNs + INTERVAL_NS;
    const length = writeRouterAdvertisement(this.output.buffer, PAYLOAD_AT, {
      mac: this.mac,
      mtu: this.output.mtu,
      prefix: this.address,
      resolver: this.address,
      lifetimeSeconds: LIFETIME_SECONDS,
    });
    this.send(this.toAll, length);
  }

  private advertise(packet: IpPacket, target: IpAddress): void {
    const { frame } = packet;
    const mac = frame.slice(ETHER_SOURCE, ETHER_SOURCE + MAC_BYTES);
    // Who looks for somebody else with his address has none himself yet (RFC 4862, section 5.4.3).
    const isProbe = packet.sourceAddress.every((byte) => byte === 0);
    const to = isProbe ? ALL_NODES : packet.sourceAddress.slice();
    const length = writeNeighborAdvertisement(this.output.buffer, PAYLOAD_AT, target, this.mac);
    this.send(makePath(isProbe ? ALL_NODES_MAC : mac, to, target), length);
  }

  private send(path: Path, length: number): void {
    const pseudo = path.sum + PROTOCOL_ICMPV6 + length;
    sealIcmp(this.output.buffer, PAYLOAD_AT, length, pseudo);
    this.output.send(path, PROTOCOL_ICMPV6, length, 0, HOP_LIMIT);
  }
}
