// A gateway between one guest and the host's network, without privileges on the host: to the
// guest a router, with DHCP and a resolver; to the host a program that opens sockets. Packets end
// here. What a guest's TCP connection carries goes over one of the host's, and datagrams likewise
// (tcp-nat.ts, udp-nat.ts).
//
// Without a host's network it is the host's end of vmd(8)'s local interface with nothing behind it:
// DHCP, ARP and echo are answered, all else is unreachable.
//
// Nothing that a guest sends makes it throw; what it does not understand, it drops.

import type { Clock, Entropy } from '../base/clock.ts';
import type { Endpoint, IpAddress } from './address.ts';
import { sameIp } from './address.ts';
import { ARP_FRAME_BYTES, ARP_REPLY, ARP_REQUEST, parseArp, writeArp } from './arp.ts';
import { get16, get32, sameBytes } from './bytes.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from './dhcp.ts';
import { DhcpServer } from './dhcp-server.ts';
import { DNS_PORT } from './dns.ts';
import { DnsForwarder } from './dns-forwarder.ts';
import {
  ETHER_TYPE,
  ETHERNET_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  isGroupMac,
  MAC_BROADCAST,
  MAC_BYTES,
  MTU_DEFAULT,
} from './ethernet.ts';
import { Fragments } from './fragments.ts';
import type { DatagramListener, HostNetwork } from './host-network.ts';
import type { Unreachable } from './icmp.ts';
import { IcmpResponder } from './icmp-responder.ts';
import { IpOutput, makePath } from './ip-output.ts';
import {
  IpPacket,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ip-packet.ts';
import { parseIpv4 } from './ipv4.ts';
import { parseIpv6 } from './ipv6.ts';
import type { FrameReceiver, Unfinished } from './link.ts';
import { gatewayMac } from './local-interface.ts';
import { isNdp } from './ndp.ts';
import { defaultPolicy, type Policy } from './policy.ts';
import { Router } from './router.ts';
import { TcpNat } from './tcp-nat.ts';
import { type Alarm, Timers } from './timers.ts';
import { udpPayloadBytes } from './udp.ts';
import { sendUdp, UdpNat } from './udp-nat.ts';

/** What a gateway is made with. */
export interface GatewayOptions {
  readonly clock: Clock;
  readonly alarm: Alarm;
  readonly entropy: Entropy;
  readonly guestMac: Uint8Array;
  /** The gateway's hardware address; {@link gatewayMac} unless given. */
  readonly mac?: Uint8Array;
  /** The two ends of the link (local-interface.ts), and the prefix that they share. */
  readonly guest: IpAddress;
  readonly gateway: IpAddress;
  readonly prefixLength: number;
  /** The gateway's IPv6 address, when there is IPv6; its first 64 bits are the link's prefix. */
  readonly gateway6?: IpAddress;
  /** What is behind the gateway; nothing when undefined. */
  readonly host?: HostNetwork;
  /** {@link defaultPolicy} unless given. */
  readonly policy?: Policy;
  /** Whether the gateway's address is the host's loopback address to the guest. */
  readonly hostLoopback?: boolean;
  /** What the guest is to be called. */
  readonly hostname?: string;
  /** The file that the guest finds it was booted from. */
  readonly bootFile?: string;
  readonly mtu?: number;
}

/** What reaches the host's network for the guest. */
interface Nat {
  readonly tcp: TcpNat;
  readonly udp: UdpNat;
  readonly dns: DnsForwarder;
  readonly host: HostNetwork;
}

const LOOPBACK: IpAddress = new Uint8Array([127, 0, 0, 1]);
const LOOPBACK_IPV6: IpAddress = new Uint8Array(16).fill(1, 15);
/** Class D and E addresses, the broadcast address among them, and multicast ones of IPv6. */
const GROUP_FIRST = 224;
const GROUP_IPV6 = 0xff;

/** The gateway of one guest: a network backend for its card. */
export class Gateway {
  /** It takes and gives TCP segments larger than frames, unfinished. */
  readonly offloads = true;
  /** It sums what it sends. */
  readonly checksumsHold = true;
  private readonly options: GatewayOptions;
  private readonly mac: Uint8Array;
  private readonly timers: Timers;
  private readonly output: IpOutput;
  private readonly dhcp: DhcpServer;
  private readonly icmp: IcmpResponder;
  private readonly router: Router | undefined;
  private readonly nat: Nat | undefined;
  private readonly policy: Policy;
  private readonly packet = new IpPacket();
  private readonly fragments = new Fragments();
  private readonly closers: (() => void)[] = [];
  private readonly route = (packet: IpPacket, port: number): Endpoint | Unreachable =>
    this.routeOf(packet, port);

  constructor(options: GatewayOptions) {
    const { guestMac, gateway6, host, entropy, mtu = MTU_DEFAULT } = options;
    this.options = options;
    this.mac = options.mac ?? gatewayMac(guestMac);
    this.timers = new Timers(options.clock, options.alarm);
    const output = new IpOutput(this.mac, mtu);
    this.output = output;
    this.policy = options.policy ?? defaultPolicy;
    this.dhcp = new DhcpServer({
      mac: guestMac,
      address: options.guest,
      server: options.gateway,
      prefixLength: options.prefixLength,
      mtu,
      hostname: options.hostname,
      bootFile: options.bootFile,
    });
    this.icmp = new IcmpResponder(output, host, (version) => this.ownAddress(version));
    if (gateway6 !== undefined) this.router = new Router(output, this.mac, gateway6);
    if (host !== undefined) this.nat = this.makeNat(host, entropy);
  }

  /** Plugs in the guest's card, or pulls it out. */
  attach(receiver: FrameReceiver | undefined): void {
    this.output.receiver = receiver;
    if (receiver === undefined || this.router === undefined) return;
    this.router.expire(this.timers.clock.now());
    this.timers.add(this.router);
  }

  /**
   * Takes a frame of the guest's, valid during the call; `unfinished` is what is missing in it.
   * True when it was for the gateway and nobody else: sent to its address, or a question that only
   * it may answer.
   */
  send(frame: Uint8Array, unfinished: Unfinished | undefined): boolean {
    if (frame.length < ETHERNET_BYTES) return false;
    const isGroup = isGroupMac(frame, 0);
    if (!isGroup && !sameBytes(frame, 0, this.mac, 0, MAC_BYTES)) return false;
    const checksummed = unfinished === undefined;
    const type = get16(frame, ETHER_TYPE);
    if (type === ETHERTYPE_ARP) return this.receiveArp(frame) || !isGroup;
    if (type === ETHERTYPE_IPV4) {
      if (!parseIpv4(frame, ETHERNET_BYTES, this.packet)) return !isGroup;
      return this.receiveIpv4(isGroup, checksummed) || !isGroup;
    }
    if (type === ETHERTYPE_IPV6 && this.router !== undefined) {
      if (!parseIpv6(frame, ETHERNET_BYTES, this.packet)) return !isGroup;
      this.receiveIpv6(this.router, isGroup, checksummed);
    }
    return !isGroup;
  }

  /** The end of a batch of frames. */
  flush(): void {
    this.nat?.tcp.flush();
  }

  /** The card has room again after it was full. */
  resume(): void {
    this.nat?.tcp.resume();
  }

  /**
   * Connections to `at` on the host become connections to the guest's port. Rejects with
   * VmmError.
   */
  async forwardTcp(at: Endpoint, guestPort: number): Promise<void> {
    const { nat, options } = this;
    if (nat === undefined) return;
    const to: Endpoint = { address: options.guest, port: guestPort };
    const path = makePath(options.guestMac, options.guest, options.gateway);
    const server = await nat.host.listenTcp(at, (stream) => nat.tcp.offer(to, path, stream));
    this.closers.push(() => server.close());
  }

  /** Datagrams to `at` on the host become datagrams to the guest's port. Rejects with VmmError. */
  async forwardUdp(at: Endpoint, guestPort: number): Promise<void> {
    const { nat, options } = this;
    if (nat === undefined) return;
    const to: Endpoint = { address: options.guest, port: guestPort };
    const path = makePath(options.guestMac, options.guest, options.gateway);
    // By peer; the table of flows bounds it.
    const senders = new Map<string, (bytes: Uint8Array) => boolean>();
    let listener: DatagramListener | undefined;
    listener = await nat.host.listenUdp(at, (from, bytes) => {
      const key = `${from.address.join('.')} ${from.port}`;
      if (senders.get(key)?.(bytes)) return;
      const send = nat.udp.offer(to, path, {
        send: (answer) => listener?.send(from, answer),
        close: () => senders.delete(key),
      });
      senders.set(key, send);
      send(bytes);
    });
    this.closers.push(() => listener?.close());
  }

  /** Ends everything: connections, flows, forwarded ports. */
  close(): void {
    for (const close of this.closers.splice(0)) close();
    if (this.router !== undefined) this.timers.delete(this.router);
    this.nat?.tcp.close();
    this.nat?.udp.close();
    this.nat?.dns.close();
  }

  /** How much there is at the moment, for tests and statistics. */
  get sizes(): { tcp: number; udp: number; dns: number; fragments: number } {
    const { nat } = this;
    return {
      tcp: nat?.tcp.size ?? 0,
      udp: nat?.udp.size ?? 0,
      dns: nat?.dns.size ?? 0,
      fragments: this.fragments.size,
    };
  }

  private makeNat(host: HostNetwork, entropy: Entropy): Nat {
    const { output, timers } = this;
    const seed = new Uint8Array(4);
    entropy.fill(seed);
    const unreachable = (packet: IpPacket, reason: Unreachable): void =>
      this.icmp.unreachable(packet, reason);
    return {
      host,
      tcp: new TcpNat({ output, timers, entropy, host, unreachable }),
      udp: new UdpNat({ output, timers, host, seed: get32(seed, 0), unreachable }),
      dns: new DnsForwarder(output, timers, entropy, host),
    };
  }

  /** True when it asks for the gateway. */
  private receiveArp(frame: Uint8Array): boolean {
    const arp = parseArp(frame);
    if (arp === undefined || arp.operation !== ARP_REQUEST) return false;
    if (!sameIp(arp.targetIp, this.options.gateway)) return false;
    const reply = new Uint8Array(ARP_FRAME_BYTES);
    const sender = { mac: this.mac, ip: this.options.gateway };
    writeArp(reply, ARP_REPLY, sender, { mac: arp.senderMac, ip: arp.senderIp });
    this.output.receiver?.receive(reply, undefined);
    return true;
  }

  /** True when it asks for an address. */
  private receiveIpv4(isGroup: boolean, checksummed: boolean): boolean {
    const packet = this.whole(this.packet);
    if (packet === undefined) return false;
    const { frame, source, destination } = packet;
    if (packet.protocol === PROTOCOL_UDP && this.isDhcp(packet, isGroup)) {
      this.receiveDhcp(packet, checksummed);
      return true;
    }
    // Nobody's address, a group's, or the gateway's own as the source: forged, or not for a router.
    if (isGroup || frame[destination] >= GROUP_FIRST) return false;
    if (frame[source] === 0 || frame[source] === 127 || frame[source] >= GROUP_FIRST) return false;
    if (sameBytes(frame, source, this.options.gateway, 0, 4)) return false;
    this.receivePacket(packet, checksummed);
    return false;
  }

  private receiveIpv6(router: Router, isGroup: boolean, checksummed: boolean): void {
    const packet = this.whole(this.packet);
    if (packet === undefined) return;
    const { frame, source, destination } = packet;
    if (packet.protocol === PROTOCOL_ICMPV6 && isNdp(packet)) {
      router.receive(packet, this.timers.clock.now());
      return;
    }
    if (isGroup || frame[destination] === GROUP_IPV6 || frame[source] === GROUP_IPV6) return;
    if (packet.sourceAddress.every((byte) => byte === 0)) return;
    if (router.owns(packet.sourceAddress)) return;
    this.receivePacket(packet, checksummed);
  }

  /** The packet, or the datagram that it is the last fragment of. */
  private whole(packet: IpPacket): IpPacket | undefined {
    if (!packet.moreFragments && packet.fragmentOffset === 0) return packet;
    return this.fragments.add(packet, this.timers.clock.now());
  }

  private receivePacket(packet: IpPacket, checksummed: boolean): void {
    const { nat } = this;
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        if (nat === undefined) this.refuse(packet);
        else nat.tcp.receive(packet, checksummed, this.route);
        return;
      case PROTOCOL_UDP:
        if (nat === undefined) this.refuse(packet);
        else this.receiveUdp(nat, packet, checksummed);
        return;
      case PROTOCOL_ICMP:
      case PROTOCOL_ICMPV6:
        this.receiveEcho(packet);
    }
  }

  private receiveUdp(nat: Nat, packet: IpPacket, checksummed: boolean): void {
    const payloadBytes = udpPayloadBytes(packet, checksummed);
    if (payloadBytes < 0) return;
    const port = get16(packet.frame, packet.payload + 2);
    if (port === DNS_PORT && this.isOwn(packet)) nat.dns.receive(packet, payloadBytes);
    else nat.udp.receive(packet, payloadBytes, this.route);
  }

  private receiveEcho(packet: IpPacket): void {
    const isRight = packet.protocol === (packet.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
    if (!isRight || !this.icmp.isEcho(packet)) return;
    if (this.isOwn(packet)) this.icmp.reply(packet);
    else if (this.nat === undefined) this.refuse(packet);
    else if (!this.policy(packet.destinationAddress)) this.icmp.unreachable(packet, 'prohibited');
    else this.icmp.ping(packet, packet.destinationAddress);
  }

  /** Where a guest's packet goes on the host. */
  private routeOf(packet: IpPacket, port: number): Endpoint | Unreachable {
    const isV4 = packet.version === 4;
    // Reserved (RFC 6335, section 6), and no host's sockets can connect to it.
    if (port === 0) return 'port';
    if (!this.isOwn(packet)) {
      const address = packet.destinationAddress.slice();
      return this.policy(address) ? { address, port } : 'prohibited';
    }
    // Over UDP there is more to do; see receiveUdp.
    if (port === DNS_PORT) return this.nat?.host.nameservers()[0] ?? 'port';
    if (this.options.hostLoopback !== true) return 'port';
    return { address: isV4 ? LOOPBACK : LOOPBACK_IPV6, port };
  }

  private refuse(packet: IpPacket): void {
    this.icmp.unreachable(packet, this.isOwn(packet) ? 'port' : 'prohibited');
  }

  /** Whether the packet is for the gateway itself. */
  private isOwn(packet: IpPacket): boolean {
    if (packet.version === 6) return this.router?.owns(packet.destinationAddress) === true;
    return sameBytes(packet.frame, packet.destination, this.options.gateway, 0, 4);
  }

  private ownAddress(version: number): IpAddress | undefined {
    return version === 4 ? this.options.gateway : this.options.gateway6;
  }

  private isDhcp(packet: IpPacket, isGroup: boolean): boolean {
    const { frame, payload, end } = packet;
    if (end - payload < 4 || get16(frame, payload + 2) !== DHCP_SERVER_PORT) return false;
    return isGroup || this.isOwn(packet);
  }

  private receiveDhcp(packet: IpPacket, checksummed: boolean): void {
    const payloadBytes = udpPayloadBytes(packet, checksummed);
    if (payloadBytes < 0 || get16(packet.frame, packet.payload) !== DHCP_CLIENT_PORT) return;
    const at = packet.payload + 8;
    const answer = this.dhcp.answer(packet.frame.subarray(at, at + payloadBytes));
    if (answer === undefined) return;
    const { guestMac, guest, gateway } = this.options;
    const path = answer.broadcast
      ? makePath(MAC_BROADCAST, MAC_BROADCAST.subarray(0, 4), gateway)
      : makePath(guestMac, guest, gateway);
    sendUdp(this.output, path, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, answer.message);
  }
}
