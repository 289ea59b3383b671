// What IPv4 and IPv6 have in common, as the protocols above them see it. One record is filled anew
// for each packet, so that nothing is allocated.

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** A received packet: places in the frame that it came in. */
export class IpPacket {
  frame: Uint8Array = new Uint8Array(0);
  /** 4 or 6. */
  version = 4;
  /** 4 or 16; the destination follows the source. */
  addressBytes = 4;
  /** Where the header begins. */
  start = 0;
  source = 0;
  destination = 0;
  /** Of the payload, beyond any extension headers. */
  protocol = 0;
  hopLimit = 0;
  payload = 0;
  /** Where the packet ends; the frame may be longer. */
  end = 0;
  /** Where in the datagram the payload belongs, in bytes, and whether more follows. */
  fragmentOffset = 0;
  moreFragments = false;
  /** What fragments of one datagram have in common. */
  identification = 0;

  /** The source address; valid as long as the frame. */
  get sourceAddress(): Uint8Array {
    return this.frame.subarray(this.source, this.source + this.addressBytes);
  }

  /** The destination address; valid as long as the frame. */
  get destinationAddress(): Uint8Array {
    return this.frame.subarray(this.destination, this.destination + this.addressBytes);
  }
}
