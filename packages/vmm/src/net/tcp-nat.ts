// TCP through the gateway: finds the connection that a segment belongs to, makes those that the
// guest or a forwarded port asks for, and keeps all of them together within bounds.

import type { Entropy } from '../base/clock.ts';
import type { Endpoint } from './address.ts';
import { get32 } from './bytes.ts';
import { type FlowKey, FlowTable, keyOf, makeKey } from './flow-table.ts';
import type { HostNetwork, HostStream, NetworkFailure, StreamEvents } from './host-network.ts';
import type { Unreachable } from './icmp.ts';
import { parseFrame } from './ip-frame.ts';
import { type IpOutput, makePath, PAYLOAD_AT, type Path, pathOf } from './ip-output.ts';
import { IpPacket, PROTOCOL_TCP } from './ip-packet.ts';
import {
  ACK,
  advance,
  parseTcp,
  RST,
  SYN,
  sealTcp,
  TCP_BYTES,
  TcpHeader,
  TcpSegment,
  writeTcp,
} from './tcp/segment.ts';
import { type FlowContext, TcpFlow } from './tcp-flow.ts';
import type { Timers } from './timers.ts';

/** A file descriptor of the host's each; the usual limit of a process is 1024 or more. */
export const TCP_FLOWS_MAX = 512;
/** What may wait in one direction of all connections together, unless each has the minimum. */
const BUFFERED_BYTES_MAX = 32 << 20;
/** Enough for a gigabit and 8 ms, more than a guest and its gateway are apart. */
const FLOW_BYTES_MAX = 1 << 20;
/** Below this a window is no more than a large frame. */
const FLOW_BYTES_MIN = 1 << 16;
/** A write to the host is at most so large, and mostly so large in a bulk transfer. */
const COLLECTED_BYTES = 1 << 16;
/** RFC 6335, section 6: ports that nobody is assigned. */
const EPHEMERAL_FIRST = 49152;

/** What TCP needs of the gateway around it. */
export interface TcpNatOptions {
  readonly output: IpOutput;
  readonly timers: Timers;
  readonly entropy: Entropy;
  readonly host: HostNetwork;
  /** Answers a packet with an ICMP error. */
  readonly unreachable: (packet: IpPacket, reason: Unreachable) => void;
}

/** The TCP connections of one guest. */
export class TcpNat implements FlowContext {
  readonly output: IpOutput;
  private readonly options: TcpNatOptions;
  private readonly flows: FlowTable<TcpFlow>;
  /** Those with a guest's or a host's side left. */
  private readonly live = new Set<TcpFlow>();
  private readonly touched: TcpFlow[] = [];
  private readonly waiting = new Set<TcpFlow>();
  private readonly segment = new TcpSegment();
  private readonly header = new TcpHeader();
  private readonly random = new Uint8Array(4);
  private readonly collected = new Uint8Array(COLLECTED_BYTES);
  private collectedBytes = 0;
  private collectedFor: TcpFlow | undefined;

  constructor(options: TcpNatOptions) {
    this.options = options;
    this.output = options.output;
    this.flows = new FlowTable(TCP_FLOWS_MAX, this.initialSequence());
  }

  /** How many connections there are. */
  get size(): number {
    return this.live.size;
  }

  /**
   * Takes a packet. A SYN for a new connection goes to what `route` says: an endpoint of the
   * host's, or why there is none.
   */
  receive(
    packet: IpPacket,
    checksummed: boolean,
    route: (packet: IpPacket, port: number) => Endpoint | Unreachable,
  ): void {
    const { segment } = this;
    if (!parseTcp(packet, checksummed, segment)) return;
    let flow = this.flows.find(packet);
    const isOpening = (segment.flags & (SYN | ACK | RST)) === SYN;
    // RFC 9293, section 3.6.1: the addresses and ports are wanted again.
    if (isOpening && flow?.endpoint.isWaiting) {
      flow.over('finished');
      flow = undefined;
    }
    if (flow === undefined) {
      if (isOpening) this.open(packet, route);
      else this.reset(packet, segment);
    } else if (flow.isConnecting) {
      if ((segment.flags & RST) !== 0) flow.abort();
    } else {
      flow.receive(segment);
      this.touch(flow);
    }
  }

  /**
   * Connects the guest's `to` with a connection of the host's; undefined when there are too many.
   */
  offer(to: Endpoint, from: Path, stream: HostStream): StreamEvents | undefined {
    const peerPort = this.freePort(to, from);
    if (peerPort === undefined || !this.makeRoom()) return undefined;
    const key = makeKey(to.address, to.port, from.peer, peerPort);
    const flow = this.add(key, { ...from, guestPort: to.port, peerPort });
    flow.offer(stream);
    return flow;
  }

  /** The end of a batch of packets: hands on what they brought, and acknowledges. */
  flush(): void {
    if (this.collectedFor !== undefined) this.handOut(this.collectedFor);
    for (const flow of this.touched) {
      flow.isTouched = false;
      flow.flush();
    }
    this.touched.length = 0;
  }

  /** The card has room again. */
  resume(): void {
    const flows = [...this.waiting];
    this.waiting.clear();
    for (const flow of flows) flow.flush();
  }

  /** Ends all connections. */
  close(): void {
    for (const flow of [...this.live]) flow.abort();
  }

  // What flows share.

  now(): number {
    return this.options.timers.clock.now();
  }

  capacity(): number {
    const share = BUFFERED_BYTES_MAX / Math.max(1, this.live.size);
    return Math.max(FLOW_BYTES_MIN, Math.min(FLOW_BYTES_MAX, Math.floor(share)));
  }

  initialSequence(): number {
    this.options.entropy.fill(this.random);
    return get32(this.random, 0);
  }

  collect(flow: TcpFlow, bytes: Uint8Array): void {
    const isFull = this.collectedBytes + bytes.length > COLLECTED_BYTES;
    if (this.collectedFor !== undefined && (isFull || this.collectedFor !== flow)) {
      this.handOut(this.collectedFor);
    }
    this.collectedFor = flow;
    this.collected.set(bytes, this.collectedBytes);
    this.collectedBytes += bytes.length;
  }

  handOut(flow: TcpFlow): void {
    if (this.collectedFor !== flow) return;
    const bytes = this.collected.slice(0, this.collectedBytes);
    this.collectedFor = undefined;
    this.collectedBytes = 0;
    flow.deliver(bytes);
  }

  moved(flow: TcpFlow): void {
    this.options.timers.moved(flow);
  }

  blocked(flow: TcpFlow): void {
    this.waiting.add(flow);
  }

  connected(flow: TcpFlow, syn: Uint8Array): void {
    const packet = new IpPacket();
    const { segment } = this;
    if (parseFrame(syn, packet) && parseTcp(packet, false, segment)) flow.answer(segment);
  }

  refused(syn: Uint8Array, reason: NetworkFailure): void {
    const packet = new IpPacket();
    const { segment } = this;
    if (!parseFrame(syn, packet) || !parseTcp(packet, false, segment)) return;
    if (reason === 'unreachable' || reason === 'timeout') {
      this.options.unreachable(packet, 'host');
    } else {
      this.reset(packet, segment);
    }
  }

  released(flow: TcpFlow): void {
    this.flows.delete(flow.key, flow);
    this.waiting.delete(flow);
    this.options.timers.delete(flow);
  }

  forgotten(flow: TcpFlow): void {
    this.live.delete(flow);
  }

  private open(
    packet: IpPacket,
    route: (packet: IpPacket, port: number) => Endpoint | Unreachable,
  ): void {
    const { guestPort, peerPort } = {
      guestPort: this.segment.sourcePort,
      peerPort: this.segment.destinationPort,
    };
    const to = route(packet, peerPort);
    if (to === 'port' || (typeof to !== 'string' && !this.makeRoom())) {
      this.reset(packet, this.segment);
    } else if (typeof to === 'string') {
      this.options.unreachable(packet, to);
    } else {
      const flow = this.add(keyOf(packet), { ...pathOf(packet), guestPort, peerPort });
      flow.open(packet, (events) => this.options.host.connectTcp(to, events));
    }
  }

  private add(key: FlowKey, path: Path & { guestPort: number; peerPort: number }): TcpFlow {
    const flow = new TcpFlow(this, key, path);
    this.live.add(flow);
    this.flows.add(key, flow);
    this.options.timers.add(flow);
    return flow;
  }

  /** Whether one more connection may be; ends one that is as good as over if need be. */
  private makeRoom(): boolean {
    if (this.live.size < TCP_FLOWS_MAX) return true;
    for (const flow of this.live) {
      if (!flow.endpoint.isWaiting) continue;
      flow.over('finished');
      if (this.live.size < TCP_FLOWS_MAX) return true;
    }
    return false;
  }

  private freePort(to: Endpoint, from: Path): number | undefined {
    const count = 0x10000 - EPHEMERAL_FIRST;
    const first = this.initialSequence() % count;
    // There are more ports than connections.
    for (let i = 0; i <= TCP_FLOWS_MAX; i++) {
      const port = EPHEMERAL_FIRST + ((first + i) % count);
      if (!this.flows.has(makeKey(to.address, to.port, from.peer, port))) return port;
    }
    return undefined;
  }

  private touch(flow: TcpFlow): void {
    if (flow.isTouched) return;
    flow.isTouched = true;
    this.touched.push(flow);
  }

  /** Answers a segment that belongs to no connection: RFC 9293, section 3.10.7.1. */
  private reset(packet: IpPacket, segment: TcpSegment): void {
    if ((segment.flags & RST) !== 0) return;
    const { header, output } = this;
    const acks = (segment.flags & ACK) !== 0;
    header.sequence = acks ? segment.acknowledgment : 0;
    header.acknowledgment = acks ? 0 : advance(segment.sequence, segment.sequenceLength);
    header.flags = acks ? RST : RST | ACK;
    header.window = 0;
    const path = makePath(
      packet.frame.slice(packet.start - 8, packet.start - 2),
      packet.sourceAddress,
      packet.destinationAddress,
    );
    writeTcp(output.buffer, PAYLOAD_AT, segment.destinationPort, segment.sourcePort, header);
    sealTcp(output.buffer, PAYLOAD_AT, TCP_BYTES, path.sum + PROTOCOL_TCP);
    output.send(path, PROTOCOL_TCP, TCP_BYTES);
  }
}
