// Flows found by what is in a packet: the two addresses, which lie next to each other in the IP
// header, and the two ports, the first four bytes of the payload in UDP and TCP. The lookup
// compares bytes in the frame, so that no key is made for a packet.

import { copyBytes, put16, sameBytes } from './bytes.ts';
import type { IpPacket } from './ip-packet.ts';

const PORT_BYTES = 4;
const BUCKETS = 1024;

/** The addresses and ports of packets from the guest: source and destination, then the ports. */
export type FlowKey = Uint8Array;

interface Entry<Flow> {
  readonly key: FlowKey;
  readonly flow: Flow;
}

/** The key of a packet whose payload begins with two ports. */
export function keyOf(packet: IpPacket): FlowKey {
  const addresses = packet.addressBytes * 2;
  const key = new Uint8Array(addresses + PORT_BYTES);
  copyBytes(key, 0, packet.frame, packet.source, addresses);
  copyBytes(key, addresses, packet.frame, packet.payload, PORT_BYTES);
  return key;
}

/** The key of what the guest sends from `guest` at `guestPort` to `peer` at `peerPort`. */
export function makeKey(
  guest: Uint8Array,
  guestPort: number,
  peer: Uint8Array,
  peerPort: number,
): FlowKey {
  const key = new Uint8Array(guest.length * 2 + PORT_BYTES);
  key.set(guest);
  key.set(peer, guest.length);
  put16(key, guest.length * 2, guestPort);
  put16(key, guest.length * 2 + 2, peerPort);
  return key;
}

function hash(seed: number, bytes: Uint8Array, at: number, length: number): number {
  let value = seed;
  for (let i = 0; i < length; i++) value = Math.imul(value ^ bytes[at + i], 0x0100_0193);
  return value;
}

/** Flows by key, at most `limit`. */
export class FlowTable<Flow> {
  readonly limit: number;
  private readonly seed: number;
  private readonly buckets: Entry<Flow>[][] = Array.from({ length: BUCKETS }, () => []);
  private readonly all = new Set<Flow>();

  /** `seed` is a random number, so that a guest cannot choose keys that fall together. */
  constructor(limit: number, seed: number) {
    this.limit = limit;
    this.seed = seed | 0;
  }

  get size(): number {
    return this.all.size;
  }

  /** In order of their making. */
  flows(): IterableIterator<Flow> {
    return this.all.values();
  }

  /** The flow that a packet belongs to. */
  find(packet: IpPacket): Flow | undefined {
    const { frame, source, payload } = packet;
    const addresses = packet.addressBytes * 2;
    let value = hash(this.seed, frame, source, addresses);
    value = hash(value, frame, payload, PORT_BYTES);
    const bucket = this.buckets[this.indexOf(value)];
    for (let i = 0; i < bucket.length; i++) {
      const { key, flow } = bucket[i];
      if (key.length !== addresses + PORT_BYTES) continue;
      if (!sameBytes(key, addresses, frame, payload, PORT_BYTES)) continue;
      if (sameBytes(key, 0, frame, source, addresses)) return flow;
    }
    return undefined;
  }

  /** Whether there is a flow with this key. */
  has(key: FlowKey): boolean {
    return this.bucketOf(key).some((entry) => same(entry.key, key));
  }

  /** Adds a flow; the caller has seen to it that there is room, and none with this key. */
  add(key: FlowKey, flow: Flow): void {
    this.bucketOf(key).push({ key, flow });
    this.all.add(flow);
  }

  delete(key: FlowKey, flow: Flow): void {
    const bucket = this.bucketOf(key);
    const index = bucket.findIndex((entry) => entry.flow === flow);
    if (index >= 0) bucket.splice(index, 1);
    this.all.delete(flow);
  }

  private bucketOf(key: FlowKey): Entry<Flow>[] {
    return this.buckets[this.indexOf(hash(this.seed, key, 0, key.length))];
  }

  private indexOf(value: number): number {
    return (value ^ (value >>> 16)) & (BUCKETS - 1);
  }
}

function same(a: FlowKey, b: FlowKey): boolean {
  return a.length === b.length && sameBytes(a, 0, b, 0, a.length);
}
