// Puts the guest's fragmented datagrams together: RFC 791, section 3.2, and RFC 8200, section 4.5.
// Fragments that overlap end their datagram, as RFC 5722 wants, and so do those behind its end.

import { ETHERNET_BYTES } from './ethernet.ts';
import { IpPacket } from './ip-packet.ts';

/** A datagram is at most 64 KiB, so that this is a megabyte. */
const DATAGRAMS_MAX = 16;
/** RFC 8200; RFC 1122 has at least as much. */
const TIMEOUT_NS = 60e9;
/** What leaves room for a header in the largest packet. */
const DATAGRAM_BYTES_MAX = 65515;

/** A datagram that is not complete. */
interface Datagram {
  readonly startedNs: number;
  readonly pieces: { readonly offset: number; readonly bytes: Uint8Array }[];
  /** The frame up to the payload, from the first fragment. */
  head: Uint8Array | undefined;
  /** Bytes of payload altogether; known from the last fragment. */
  total: number;
  received: number;
  /** Where the furthest piece ends. */
  reach: number;
}

/** The fragments of one guest. */
export class Fragments {
  private readonly datagrams = new Map<string, Datagram>();
  private readonly whole = new IpPacket();

  /** How many datagrams are incomplete. */
  get size(): number {
    return this.datagrams.size;
  }

  /** Takes a fragment, and returns the whole packet when it was the last that was missing. */
  add(packet: IpPacket, nowNs: number): IpPacket | undefined {
    const { frame, payload, end, fragmentOffset: offset, moreFragments } = packet;
    const bytes = frame.slice(payload, end);
    const from = frame.subarray(packet.source, packet.source + packet.addressBytes * 2);
    const key = `${packet.protocol} ${packet.identification} ${from.join('.')}`;
    const datagram = this.find(key, nowNs);
    const last = offset + bytes.length;
    const overlaps = datagram.pieces.some(
      (piece) => offset < piece.offset + piece.bytes.length && piece.offset < last,
    );
    const isOdd = moreFragments && bytes.length % 8 !== 0;
    if (overlaps || isOdd || bytes.length === 0 || last > DATAGRAM_BYTES_MAX) {
      this.datagrams.delete(key);
      return undefined;
    }
    datagram.pieces.push({ offset, bytes });
    datagram.received += bytes.length;
    datagram.reach = Math.max(datagram.reach, last);
    if (!moreFragments) datagram.total = last;
    if (datagram.total >= 0 && datagram.reach > datagram.total) {
      this.datagrams.delete(key);
      return undefined;
    }
    if (offset === 0) datagram.head = frame.slice(0, payload);
    if (datagram.received !== datagram.total || datagram.head === undefined) return undefined;
    this.datagrams.delete(key);
    return this.join(packet, datagram, datagram.head);
  }

  private find(key: string, nowNs: number): Datagram {
    for (const [name, { startedNs }] of this.datagrams) {
      const isOld = nowNs - startedNs > TIMEOUT_NS;
      const isTooMuch = this.datagrams.size >= DATAGRAMS_MAX && !this.datagrams.has(key);
      if (isOld || isTooMuch) this.datagrams.delete(name);
      else break;
    }
    let datagram = this.datagrams.get(key);
    if (datagram === undefined) {
      datagram = {
        startedNs: nowNs,
        pieces: [],
        head: undefined,
        total: -1,
        received: 0,
        reach: 0,
      };
      this.datagrams.set(key, datagram);
    }
    return datagram;
  }

  private join(last: IpPacket, datagram: Datagram, head: Uint8Array): IpPacket {
    const frame = new Uint8Array(head.length + datagram.total);
    frame.set(head);
    for (const { offset, bytes } of datagram.pieces) frame.set(bytes, head.length + offset);
    const { whole } = this;
    whole.frame = frame;
    whole.version = last.version;
    whole.addressBytes = last.addressBytes;
    whole.start = ETHERNET_BYTES;
    whole.source = last.source;
    whole.destination = last.destination;
    whole.protocol = last.protocol;
    whole.hopLimit = last.hopLimit;
    whole.payload = head.length;
    whole.end = frame.length;
    whole.fragmentOffset = 0;
    whole.moreFragments = false;
    return whole;
  }
}
