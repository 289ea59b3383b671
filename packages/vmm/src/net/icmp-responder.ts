// ICMP at the gateway: answers echo requests to itself, has the host's ping(8) ask for others, and
// tells the guest of what cannot be reached.

import type { IpAddress } from './address.ts';
import { checksumOf, sumWords } from './checksum.ts';
import type { HostNetwork } from './host-network.ts';
import {
  ICMP_BYTES,
  ICMP_CHECKSUM,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  sealIcmp,
  type Unreachable,
  writeUnreachable,
} from './icmp.ts';
import { type IpOutput, makePath, PAYLOAD_AT, type Path, pathOf } from './ip-output.ts';
import { type IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from './ip-packet.ts';
import { addressSum } from './udp.ts';

/** Each is a process of the host's, for as long as the answer takes. */
export const PINGS_MAX = 16;

/** Answers in the gateway's name. */
export class IcmpResponder {
  private readonly output: IpOutput;
  private readonly host: HostNetwork | undefined;
  private readonly ownAddress: (version: number) => IpAddress | undefined;
  private pings = 0;

  /** `ownAddress` is the gateway's, of either version. */
  constructor(
    output: IpOutput,
    host: HostNetwork | undefined,
    ownAddress: (version: number) => IpAddress | undefined,
  ) {
    this.output = output;
    this.host = host;
    this.ownAddress = ownAddress;
  }

  /** Whether the packet is an echo request whose checksum is right. */
  isEcho(packet: IpPacket): boolean {
    const { frame, payload, end, version } = packet;
    const length = end - payload;
    if (length < ICMP_BYTES) return false;
    const pseudo = version === 4 ? 0 : addressSum(packet) + PROTOCOL_ICMPV6 + length;
    if (checksumOf(sumWords(frame, payload, end, pseudo)) !== 0) return false;
    return frame[payload] === (version === 4 ? ICMP_ECHO : ICMPV6_ECHO) && frame[payload + 1] === 0;
  }

  /** Answers an echo request. */
  reply(packet: IpPacket): void {
    this.sendReply(pathOf(packet), packet.frame.subarray(packet.payload, packet.end));
  }

  /** Answers an echo request if the host gets an answer from `address`. */
  ping(packet: IpPacket, address: IpAddress): void {
    if (this.host === undefined || this.pings >= PINGS_MAX) return;
    const path = pathOf(packet);
    const message = packet.frame.slice(packet.payload, packet.end);
    this.pings++;
    void this.host.ping(address.slice(), message.length - ICMP_BYTES).then((isAlive) => {
      this.pings--;
      if (isAlive) this.sendReply(path, message);
    });
  }

  /** Tells the sender of `packet` that it does not get there. */
  unreachable(packet: IpPacket, reason: Unreachable): void {
    const { output } = this;
    const back = pathOf(packet);
    // A closed port is the destination's to tell; that there is no way to it, the router's.
    const from = reason === 'port' ? back.peer : (this.ownAddress(packet.version) ?? back.peer);
    const path = makePath(back.guestMac, back.guest, from);
    const quoted = packet.frame.subarray(packet.start, packet.end);
    const length = writeUnreachable(output.buffer, PAYLOAD_AT, packet.version, reason, quoted);
    this.send(path, length);
  }

  private sendReply(path: Path, message: Uint8Array): void {
    const { buffer } = this.output;
    buffer.set(message, PAYLOAD_AT);
    buffer[PAYLOAD_AT] = path.version === 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
    buffer[PAYLOAD_AT + ICMP_CHECKSUM] = 0;
    this.send(path, message.length);
  }

  private send(path: Path, length: number): void {
    const isV4 = path.version === 4;
    const protocol = isV4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
    const pseudo = isV4 ? 0 : path.sum + PROTOCOL_ICMPV6 + length;
    sealIcmp(this.output.buffer, PAYLOAD_AT, length, pseudo);
    this.output.send(path, protocol, length);
  }
}
