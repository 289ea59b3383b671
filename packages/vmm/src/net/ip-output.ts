// Packets on their way to the guest. A protocol puts its header and payload into one buffer at a
// fixed place; the headers below it are written in front of that, and the frame is given to the
// card, which copies it. Packets too large for the link become fragments.

import { put16, put32 } from './bytes.ts';
import { sumWords } from './checksum.ts';
import { ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from './ethernet.ts';
import { type IpPacket, PROTOCOL_TCP } from './ip-packet.ts';
import {
  HOP_LIMIT_DEFAULT,
  IPV4_BYTES,
  IPV4_DONT_FRAGMENT,
  IPV4_MORE_FRAGMENTS,
  type Ipv4Fields,
  writeIpv4,
} from './ipv4.ts';
import { IPV6_BYTES, writeIpv6 } from './ipv6.ts';
import type { FrameReceiver, Unfinished } from './link.ts';

/** Where in the buffer the payload of IP begins: room for all headers, and aligned. */
export const PAYLOAD_AT = 64;
/** The largest IP packet. */
const PACKET_BYTES_MAX = 65535;
const IPV6_FRAGMENT = 44;
const IPV6_FRAGMENT_BYTES = 8;
/** RFC 9293, section 3.1: where TCP has its checksum. */
const TCP_CHECKSUM = 16;

/** From whom to whom: the host's side of a flow, and the guest's. */
export interface Path {
  readonly version: number;
  readonly guestMac: Uint8Array;
  readonly guest: Uint8Array;
  /** The address that the guest takes the host's side for. */
  readonly peer: Uint8Array;
  /** The sum of both addresses, for checksums. */
  readonly sum: number;
}

/** The path between two addresses. */
export function makePath(guestMac: Uint8Array, guest: Uint8Array, peer: Uint8Array): Path {
  const sum = sumWords(guest, 0, guest.length) + sumWords(peer, 0, peer.length);
  return { version: guest.length === 4 ? 4 : 6, guestMac, guest, peer, sum };
}

/** The way back of a packet from the guest. */
export function pathOf(packet: IpPacket): Path {
  const { frame } = packet;
  return makePath(
    frame.slice(6, 12),
    packet.sourceAddress.slice(),
    packet.destinationAddress.slice(),
  );
}

/** Makes frames for the guest. */
export class IpOutput {
  /** Payloads of IP are written here from {@link PAYLOAD_AT} on. */
  readonly buffer: Uint8Array = new Uint8Array(PAYLOAD_AT + PACKET_BYTES_MAX);
  readonly mtu: number;
  /** The guest's card, when it is there. */
  receiver: FrameReceiver | undefined;
  private readonly mac: Uint8Array;
  private readonly ipv4: Ipv4Fields = {
    protocol: 0,
    payloadBytes: 0,
    identification: 0,
    fragment: 0,
  };
  private identification = 0;
  private readonly unfinished = {
    checksumStart: 0,
    checksumOffset: TCP_CHECKSUM,
    segmentBytes: 0,
  } satisfies Unfinished;

  /** `mac` is the gateway's. */
  constructor(mac: Uint8Array, mtu: number) {
    this.mac = mac;
    this.mtu = mtu;
  }

  /** True while frames would wait or be dropped. */
  get full(): boolean {
    return this.receiver?.full === true;
  }

  /** The largest payload of a packet that is not fragmented. */
  payloadBytesMax(version: number): number {
    return this.mtu - (version === 4 ? IPV4_BYTES : IPV6_BYTES);
  }

  /** The largest payload of any packet. */
  datagramBytesMax(version: number): number {
    return version === 4 ? PACKET_BYTES_MAX - IPV4_BYTES : PACKET_BYTES_MAX;
  }

  /** Whether the guest takes TCP segments that are larger than frames, and unfinished. */
  takesLargeFrames(version: number): boolean {
    return this.receiver?.takesLargeFrames(version) === true;
  }

  /**
   * Sends `payloadBytes` from the buffer. With `segmentBytes` they are a TCP segment that is
   * {@link Unfinished}. The hop limit is IPv6's.
   */
  send(
    path: Path,
    protocol: number,
    payloadBytes: number,
    segmentBytes = 0,
    hopLimit: number = HOP_LIMIT_DEFAULT,
  ): void {
    const most = this.payloadBytesMax(path.version);
    if (payloadBytes > most && segmentBytes === 0) {
      this.identification++;
      // Fragments but the last have a multiple of eight bytes.
      const room = path.version === 4 ? most : most - IPV6_FRAGMENT_BYTES;
      const step = room - (room % 8);
      for (let offset = 0; offset < payloadBytes; offset += step) {
        const count = Math.min(step, payloadBytes - offset);
        this.sendFragment(path, protocol, offset, count, offset + count < payloadBytes);
      }
      return;
    }
    const at = PAYLOAD_AT - (path.version === 4 ? IPV4_BYTES : IPV6_BYTES);
    if (path.version === 4) {
      // What is never fragmented needs no identification (RFC 6864).
      const fragment = protocol === PROTOCOL_TCP ? IPV4_DONT_FRAGMENT : 0;
      this.writeIpv4(path, at, protocol, payloadBytes, fragment);
    } else {
      writeIpv6(this.buffer, at, protocol, payloadBytes, path.peer, path.guest, hopLimit);
    }
    this.deliver(path, at, PAYLOAD_AT + payloadBytes, segmentBytes);
  }

  /** Sends an Ethernet payload that is no flow's, `count` bytes from {@link PAYLOAD_AT} on. */
  sendRaw(guestMac: Uint8Array, type: number, count: number): void {
    const start = PAYLOAD_AT - ETHERNET_BYTES;
    const frame = this.buffer.subarray(start, PAYLOAD_AT + count);
    writeEthernet(frame, guestMac, this.mac, type);
    this.receiver?.receive(frame, undefined);
  }

  /** The headers overwrite the end of the fragment before, which is gone. */
  private sendFragment(
    path: Path,
    protocol: number,
    offset: number,
    count: number,
    more: boolean,
  ): void {
    const { buffer } = this;
    const payload = PAYLOAD_AT + offset;
    let at = payload - IPV4_BYTES;
    if (path.version === 4) {
      this.writeIpv4(path, at, protocol, count, (more ? IPV4_MORE_FRAGMENTS : 0) | (offset >> 3));
    } else {
      const extension = payload - IPV6_FRAGMENT_BYTES;
      at = extension - IPV6_BYTES;
      put16(buffer, extension, protocol << 8);
      put16(buffer, extension + 2, offset | (more ? 1 : 0));
      put32(buffer, extension + 4, this.identification);
      const bytes = IPV6_FRAGMENT_BYTES + count;
      writeIpv6(buffer, at, IPV6_FRAGMENT, bytes, path.peer, path.guest);
    }
    this.deliver(path, at, payload + count, 0);
  }

  private writeIpv4(
    path: Path,
    at: number,
    protocol: number,
    payloadBytes: number,
    fragment: number,
  ): void {
    const { ipv4 } = this;
    ipv4.protocol = protocol;
    ipv4.payloadBytes = payloadBytes;
    ipv4.identification = this.identification;
    ipv4.fragment = fragment;
    writeIpv4(this.buffer, at, ipv4, path.peer, path.guest);
  }

  private deliver(path: Path, packet: number, end: number, segmentBytes: number): void {
    const frame = this.buffer.subarray(packet - ETHERNET_BYTES, end);
    const type = path.version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    writeEthernet(frame, path.guestMac, this.mac, type);
    if (segmentBytes === 0) {
      this.receiver?.receive(frame, undefined);
      return;
    }
    const { unfinished } = this;
    unfinished.checksumStart = PAYLOAD_AT - packet + ETHERNET_BYTES;
    unfinished.segmentBytes = segmentBytes;
    this.receiver?.receive(frame, unfinished);
  }
}
