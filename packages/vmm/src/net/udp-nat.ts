// UDP through the gateway. Each pair of endpoints that the guest uses is a flow with a socket of
// its own on the host, connected to the peer: so that nobody else's datagrams get in, and a host
// that refuses is noticed. (RFC 4787 would have one socket for all peers of a port; programs that
// find each other through a third party need that, and a guest behind this gateway cannot be
// found.) Flows end when nothing has passed for a while, or to make room for others.

import type { Endpoint } from './address.ts';
import { get16 } from './bytes.ts';
import { ETHERNET_BYTES, MTU_DEFAULT } from './ethernet.ts';
import { type FlowKey, FlowTable, keyOf, makeKey } from './flow-table.ts';
import type { DatagramSocket, HostNetwork, NetworkFailure } from './host-network.ts';
import type { Unreachable } from './icmp.ts';
import { frameOf, parseFrame } from './ip-frame.ts';
import { type IpOutput, PAYLOAD_AT, type Path, pathOf } from './ip-output.ts';
import { IpPacket, PROTOCOL_UDP } from './ip-packet.ts';
import type { Timed, Timers } from './timers.ts';
import { UDP_BYTES, writeUdp } from './udp.ts';

/** A file descriptor of the host's each. */
export const UDP_FLOWS_MAX = 256;
/** RFC 4787, section 4.3: at least two minutes, once both sides have spoken. */
const TIMEOUT_NS = 180e9;
/** As in most gateways for a question that nobody has answered yet. */
const TIMEOUT_UNANSWERED_NS = 30e9;
const EPHEMERAL_FIRST = 49152;
/** Larger datagrams, of fragments, are not kept for an error message. */
const FRAME_BYTES_MAX = ETHERNET_BYTES + MTU_DEFAULT;

/** Sends a datagram to the guest; too large ones are dropped. */
export function sendUdp(
  output: IpOutput,
  path: Path,
  peerPort: number,
  guestPort: number,
  bytes: Uint8Array,
): void {
  const length = UDP_BYTES + bytes.length;
  if (length > output.datagramBytesMax(path.version)) return;
  output.buffer.set(bytes, PAYLOAD_AT + UDP_BYTES);
  const sum = path.sum + PROTOCOL_UDP;
  writeUdp(output.buffer, PAYLOAD_AT, peerPort, guestPort, bytes.length, sum);
  output.send(path, PROTOCOL_UDP, length);
}

/** One pair of endpoints. */
class UdpFlow implements Timed {
  readonly key: FlowKey;
  readonly path: Path;
  readonly guestPort: number;
  readonly peerPort: number;
  socket: DatagramSocket | undefined;
  deadlineNs = 0;
  isAnswered = false;
  /** The frame of the first datagram, until it is answered: it is quoted when it was refused. */
  first: Uint8Array | undefined;
  private readonly end: (flow: UdpFlow) => void;

  constructor(
    key: FlowKey,
    path: Path,
    guestPort: number,
    peerPort: number,
    end: (flow: UdpFlow) => void,
  ) {
    this.key = key;
    this.path = path;
    this.guestPort = guestPort;
    this.peerPort = peerPort;
    this.end = end;
  }

  used(nowNs: number): void {
    this.deadlineNs = nowNs + (this.isAnswered ? TIMEOUT_NS : TIMEOUT_UNANSWERED_NS);
  }

  expire(): void {
    this.end(this);
  }
}

/** What UDP needs of the gateway around it. */
export interface UdpNatOptions {
  readonly output: IpOutput;
  readonly timers: Timers;
  readonly host: HostNetwork;
  /** A random number for the table. */
  readonly seed: number;
  /** Answers a packet with an ICMP error. */
  readonly unreachable: (packet: IpPacket, reason: Unreachable) => void;
}

/** The UDP flows of one guest. */
export class UdpNat {
  private readonly options: UdpNatOptions;
  private readonly flows: FlowTable<UdpFlow>;
  private nextPort = EPHEMERAL_FIRST;

  constructor(options: UdpNatOptions) {
    this.options = options;
    this.flows = new FlowTable(UDP_FLOWS_MAX, options.seed);
  }

  /** How many flows there are. */
  get size(): number {
    return this.flows.size;
  }

  /**
   * Takes a packet with `payloadBytes` of UDP payload; the first of a flow goes to what `route`
   * says.
   */
  receive(
    packet: IpPacket,
    payloadBytes: number,
    route: (packet: IpPacket, port: number) => Endpoint | Unreachable,
  ): void {
    let flow = this.flows.find(packet);
    if (flow === undefined) {
      const to = route(packet, get16(packet.frame, packet.payload + 2));
      if (typeof to === 'string') {
        this.options.unreachable(packet, to);
        return;
      }
      flow = this.open(packet, to);
    }
    flow.used(this.options.timers.clock.now());
    const at = packet.payload + UDP_BYTES;
    flow.socket?.send(packet.frame.subarray(at, at + payloadBytes));
  }

  /**
   * Opens a flow from a peer to the guest's `to`, as one of a forwarded port; `socket` takes what
   * the guest answers. Returns what sends to the guest, false once the flow has ended.
   */
  offer(to: Endpoint, from: Path, socket: DatagramSocket): (bytes: Uint8Array) => boolean {
    let key: FlowKey;
    let port: number;
    do {
      port = this.nextPort;
      this.nextPort = port === 0xffff ? EPHEMERAL_FIRST : port + 1;
      key = makeKey(to.address, to.port, from.peer, port);
    } while (this.flows.has(key));
    const flow = this.add(key, from, to.port, port);
    flow.socket = socket;
    flow.used(this.options.timers.clock.now());
    this.options.timers.add(flow);
    return (bytes) => {
      if (flow.socket === undefined) return false;
      this.deliver(flow, bytes);
      return true;
    };
  }

  /** Ends all flows. */
  close(): void {
    for (const flow of [...this.flows.flows()]) this.end(flow);
  }

  private open(packet: IpPacket, to: Endpoint): UdpFlow {
    const { frame, payload } = packet;
    const ports = [get16(frame, payload), get16(frame, payload + 2)];
    const flow = this.add(keyOf(packet), pathOf(packet), ports[0], ports[1]);
    if (packet.end <= FRAME_BYTES_MAX) flow.first = frameOf(packet);
    flow.socket = this.options.host.openUdp(to, {
      received: (bytes) => this.deliver(flow, bytes),
      failed: (reason) => this.failed(flow, reason),
    });
    flow.used(this.options.timers.clock.now());
    this.options.timers.add(flow);
    return flow;
  }

  private add(key: FlowKey, path: Path, guestPort: number, peerPort: number): UdpFlow {
    if (this.flows.size >= UDP_FLOWS_MAX) this.endOldest();
    const flow = new UdpFlow(key, path, guestPort, peerPort, (it) => this.end(it));
    this.flows.add(key, flow);
    return flow;
  }

  private deliver(flow: UdpFlow, bytes: Uint8Array): void {
    if (flow.socket === undefined) return;
    flow.isAnswered = true;
    flow.first = undefined;
    flow.used(this.options.timers.clock.now());
    sendUdp(this.options.output, flow.path, flow.peerPort, flow.guestPort, bytes);
  }

  private failed(flow: UdpFlow, reason: NetworkFailure): void {
    const { first } = flow;
    this.end(flow);
    const packet = new IpPacket();
    if (first === undefined || !parseFrame(first, packet)) return;
    this.options.unreachable(packet, reason === 'refused' ? 'port' : 'host');
  }

  private endOldest(): void {
    let oldest: UdpFlow | undefined;
    for (const flow of this.flows.flows()) {
      if (oldest === undefined || flow.deadlineNs < oldest.deadlineNs) oldest = flow;
    }
    if (oldest !== undefined) this.end(oldest);
  }

  private end(flow: UdpFlow): void {
    this.flows.delete(flow.key, flow);
    this.options.timers.delete(flow);
    flow.socket?.close();
    flow.socket = undefined;
  }
}
