// One TCP connection of the guest's and one of the host's, tied together: bytes of one go to the
// other, a FIN becomes a FIN, a reset a reset. Neither side may get ahead of the other by more than
// a bounded number of bytes: the guest's by its receive window, the host's by not being read.

import type { FlowKey } from './flow-table.ts';
import type { HostStream, NetworkFailure, StreamEvents } from './host-network.ts';
import { frameOf } from './ip-frame.ts';
import type { IpOutput } from './ip-output.ts';
import type { IpPacket } from './ip-packet.ts';
import { type CloseReason, TcpEndpoint, type TcpUser } from './tcp/endpoint.ts';
import type { TcpSegment } from './tcp/segment.ts';
import { GuestWire, type TcpPath } from './tcp-wire.ts';
import type { Timed } from './timers.ts';

/** What flows share. */
export interface FlowContext {
  readonly output: IpOutput;
  now(): number;
  /** Bytes that may wait in each direction of one flow. */
  capacity(): number;
  /** A random sequence number. */
  initialSequence(): number;
  /** Puts bytes of the guest's, valid during the call, together with others of the batch. */
  collect(flow: TcpFlow, bytes: Uint8Array): void;
  /** Gives the flow what was collected for it. */
  handOut(flow: TcpFlow): void;
  /** The flow's deadline may have come closer. */
  moved(flow: TcpFlow): void;
  /** The card is full: the flow is to be flushed when it is not. */
  blocked(flow: TcpFlow): void;
  /** The host has connected: the guest's SYN, a frame, is to be read once more for `answer`. */
  connected(flow: TcpFlow, syn: Uint8Array): void;
  /** The host could not connect. */
  refused(syn: Uint8Array, reason: NetworkFailure): void;
  /** The guest's side is over: its addresses and ports are free. */
  released(flow: TcpFlow): void;
  /** The host's side is over too. */
  forgotten(flow: TcpFlow): void;
}

/** A connection through the gateway. */
export class TcpFlow implements TcpUser, StreamEvents, Timed {
  readonly key: FlowKey;
  readonly endpoint: TcpEndpoint;
  /** In the gateway's list of those to flush. */
  isTouched = false;
  private readonly context: FlowContext;
  private stream: HostStream | undefined;
  /** The frame of the guest's SYN, until the host has connected. */
  private syn: Uint8Array | undefined;
  private isOver = false;
  private isPaused = false;
  private streamEnded = false;
  private streamClosed = false;

  constructor(context: FlowContext, key: FlowKey, path: TcpPath) {
    this.context = context;
    this.key = key;
    const wire = new GuestWire(context.output, path, () => context.blocked(this));
    this.endpoint = new TcpEndpoint({
      wire,
      user: this,
      initialSequence: context.initialSequence(),
      mss: wire.mss,
      capacity: () => context.capacity(),
    });
  }

  /** The guest wants this connection: `connect` asks the host for it. */
  open(packet: IpPacket, connect: (events: StreamEvents) => HostStream): void {
    this.syn = frameOf(packet);
    this.stream = connect(this);
  }

  /** The host has this connection, and the guest is asked to take it. */
  offer(stream: HostStream): void {
    this.stream = stream;
    this.endpoint.connect(this.context.now());
    this.context.moved(this);
    stream.resume();
  }

  /** The host has connected: answers the guest's SYN. */
  answer(syn: TcpSegment): void {
    this.syn = undefined;
    this.endpoint.accept(syn, this.context.now());
    this.context.moved(this);
  }

  /** Whether the guest still waits for the host to connect. */
  get isConnecting(): boolean {
    return this.syn !== undefined;
  }

  get deadlineNs(): number {
    return this.endpoint.deadlineNs;
  }

  expire(nowNs: number): void {
    this.endpoint.expire(nowNs);
  }

  /** A segment of the guest's; {@link flush} follows. */
  receive(segment: TcpSegment): void {
    this.endpoint.receive(segment, this.context.now());
  }

  /** The end of a batch of segments, or room at the card. */
  flush(): void {
    if (this.isOver) return;
    this.endpoint.flush(this.context.now());
    this.context.moved(this);
  }

  /** Bytes of the guest's that were collected, for the host's side to keep. */
  deliver(bytes: Uint8Array): void {
    if (!this.streamClosed) this.stream?.write(bytes);
  }

  /** Ends both sides at once. */
  abort(): void {
    if (this.isConnecting) this.over('aborted');
    else this.endpoint.abort();
  }

  // The guest's side, as its endpoint tells.

  peerSent(bytes: Uint8Array): void {
    this.context.collect(this, bytes);
  }

  peerFinished(): void {
    this.context.handOut(this);
    this.stream?.end();
  }

  acknowledged(): void {
    if (!this.isPaused || this.endpoint.queuedBytes > this.context.capacity() / 2) return;
    this.isPaused = false;
    this.stream?.resume();
  }

  over(reason: CloseReason): void {
    if (this.isOver) return;
    this.isOver = true;
    this.syn = undefined;
    this.context.handOut(this);
    if (reason !== 'finished') this.stream?.abort();
    this.context.released(this);
    if (this.streamClosed) this.context.forgotten(this);
  }

  // The host's side.

  connected(): void {
    if (this.syn !== undefined) this.context.connected(this, this.syn);
  }

  received(bytes: Uint8Array): void {
    if (this.isOver) return;
    this.endpoint.write(bytes, this.context.now());
    if (!this.isPaused && this.endpoint.queuedBytes >= this.context.capacity()) {
      this.isPaused = true;
      this.stream?.pause();
    }
    this.context.moved(this);
  }

  written(count: number): void {
    this.endpoint.consumed(count);
  }

  ended(): void {
    this.streamEnded = true;
    this.endpoint.finish(this.context.now());
    this.context.moved(this);
  }

  failed(reason: NetworkFailure): void {
    const { syn } = this;
    if (syn !== undefined) {
      this.context.refused(syn, reason);
      this.over('aborted');
    } else {
      this.endpoint.abort();
    }
  }

  closed(): void {
    this.streamClosed = true;
    // Without an end it was cut off, though nobody said so.
    if (!this.streamEnded && !this.isOver) this.abort();
    if (this.isOver) this.context.forgotten(this);
  }
}
