// The resolver at the gateway's address: passes queries to the host's, one after the other until
// one answers. Queries over TCP are connections to the host's first resolver, which need nothing
// here. Each query has a socket and an identifier of its own, as RFC 5452 wants against forged
// answers.

import type { Entropy } from '../base/clock.ts';
import type { Endpoint } from './address.ts';
import { get16 } from './bytes.ts';
import { DNS_PORT, dnsFailure, dnsId, dnsKind, setDnsId } from './dns.ts';
import type { DatagramSocket, HostNetwork } from './host-network.ts';
import { type IpOutput, type Path, pathOf } from './ip-output.ts';
import type { IpPacket } from './ip-packet.ts';
import type { Timed, Timers } from './timers.ts';
import { UDP_BYTES } from './udp.ts';
import { sendUdp } from './udp-nat.ts';

/** Each has a file descriptor; a guest that asks more at once has to ask again. */
export const DNS_QUERIES_MAX = 64;
/** Guests ask again after five seconds: by then the second resolver should have been asked. */
const SERVER_TIMEOUT_NS = 2e9;
/** RFC 1035 has 512 bytes; this leaves room for EDNS and whatever else a question may have. */
const QUERY_BYTES_MAX = 4096;

/** One query that waits for an answer. */
class Query implements Timed {
  readonly path: Path;
  readonly port: number;
  readonly message: Uint8Array;
  readonly guestId: number;
  readonly servers: readonly Endpoint[];
  deadlineNs = 0;
  server = 0;
  socket: DatagramSocket | undefined;
  private readonly onTimeout: (query: Query) => void;

  constructor(
    packet: IpPacket,
    message: Uint8Array,
    servers: readonly Endpoint[],
    onTimeout: (query: Query) => void,
  ) {
    this.path = pathOf(packet);
    this.port = get16(packet.frame, packet.payload);
    this.message = message;
    this.guestId = dnsId(message);
    this.servers = servers;
    this.onTimeout = onTimeout;
  }

  expire(): void {
    this.onTimeout(this);
  }
}

/** Forwards the queries of one guest. */
export class DnsForwarder {
  private readonly output: IpOutput;
  private readonly timers: Timers;
  private readonly entropy: Entropy;
  private readonly host: HostNetwork;
  private readonly queries = new Set<Query>();
  private readonly random = new Uint8Array(2);

  constructor(output: IpOutput, timers: Timers, entropy: Entropy, host: HostNetwork) {
    this.output = output;
    this.timers = timers;
    this.entropy = entropy;
    this.host = host;
  }

  /** How many queries wait. */
  get size(): number {
    return this.queries.size;
  }

  /** Takes a packet to the gateway's port of DNS. */
  receive(packet: IpPacket, payloadBytes: number): void {
    const at = packet.payload + UDP_BYTES;
    const message = packet.frame.slice(at, at + payloadBytes);
    if (payloadBytes > QUERY_BYTES_MAX || dnsKind(message) !== 'query') return;
    if (this.queries.size >= DNS_QUERIES_MAX) return;
    const query = new Query(packet, message, this.host.nameservers(), (it) => this.failed(it));
    this.queries.add(query);
    this.ask(query);
  }

  /** Forgets all queries. */
  close(): void {
    for (const query of [...this.queries]) this.end(query);
  }

  private ask(query: Query): void {
    const server = query.servers[query.server];
    if (server === undefined) {
      this.end(query);
      setDnsId(query.message, query.guestId);
      this.answer(query, dnsFailure(query.message));
      return;
    }
    this.entropy.fill(this.random);
    const id = get16(this.random, 0);
    setDnsId(query.message, id);
    query.socket = this.host.openUdp(server, {
      received: (bytes) => this.received(query, id, bytes),
      failed: () => this.failed(query),
    });
    query.socket.send(query.message);
    query.deadlineNs = this.timers.clock.now() + SERVER_TIMEOUT_NS;
    this.timers.add(query);
  }

  private received(query: Query, id: number, bytes: Uint8Array): void {
    if (!this.queries.has(query) || dnsKind(bytes) !== 'response' || dnsId(bytes) !== id) return;
    this.end(query);
    const answer = bytes.slice();
    setDnsId(answer, query.guestId);
    this.answer(query, answer);
  }

  private failed(query: Query): void {
    if (!this.queries.has(query)) return;
    query.socket?.close();
    query.socket = undefined;
    query.server++;
    this.ask(query);
  }

  private answer(query: Query, message: Uint8Array): void {
    sendUdp(this.output, query.path, DNS_PORT, query.port, message);
  }

  private end(query: Query): void {
    this.queries.delete(query);
    this.timers.delete(query);
    query.socket?.close();
    query.socket = undefined;
  }
}
