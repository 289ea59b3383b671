// One end of a TCP connection: RFC 9293, with the checks of RFC 5961. The states of its figure 5
// follow from the two halves (sender.ts, receiver.ts): in FIN-WAIT the own FIN is queued and the
// peer's has not come, in CLOSE-WAIT it is the other way round. What it deliberately leaves out:
// urgent data (read as ordinary bytes), simultaneous open, timestamps, selective
// acknowledgments of the peer's (its own are sent, which is most of their use).
//
// Nothing is sent while segments are taken in: the caller says with `flush` when a batch of them
// has been, and one acknowledgment then does for all.

import type { ByteQueue } from './byte-queue.ts';
import { type ByteTaker, Receiver } from './receiver.ts';
import {
  ACK,
  advance,
  distance,
  FIN,
  PSH,
  RST,
  SYN,
  TcpHeader,
  type TcpSegment,
  WINDOW_SCALE_MAX,
} from './segment.ts';
import { type SegmentOutput, Sender } from './sender.ts';

/** Why a connection is over. */
export type CloseReason = 'finished' | 'reset' | 'refused' | 'timeout' | 'aborted';

/** What lies below: makes packets of segments. */
export interface TcpWire {
  /** Sends a segment with `count` bytes of `queue` from `offset` on. */
  transmit(header: TcpHeader, queue: ByteQueue, offset: number, count: number): void;
  /** The largest payload that `transmit` takes at once, for segments of `mss`. */
  largest(mss: number): number;
  /** True while what can wait should. */
  readonly full: boolean;
}

/** What lies above: has the bytes. */
export interface TcpUser extends ByteTaker {
  /** The peer sends no more. */
  peerFinished(): void;
  /** Bytes of the send queue have been acknowledged. */
  acknowledged(): void;
  /** Nothing more will happen. */
  over(reason: CloseReason): void;
}

/** What a connection is made with. */
export interface TcpOptions {
  readonly wire: TcpWire;
  readonly user: TcpUser;
  /** Random: RFC 6528. */
  readonly initialSequence: number;
  /** The largest payload that we take. */
  readonly mss: number;
  /** How many bytes may wait for the user. */
  readonly capacity: () => number;
}

/** Enough for a window of a megabyte. */
const WINDOW_SCALE = 5;
/**
 * RFC 9293 says twice a maximum segment lifetime, minutes on the Internet; on a virtual cable no
 * segment lives for a second.
 */
const TIME_WAIT_NS = 2e9;
/**
 * A guest that was switched off leaves connections that nobody will close. RFC 1122 allows no
 * probe earlier than two hours unless asked; here both ends are in the same house, and it costs
 * one frame.
 */
const KEEPALIVE_NS = 600e9;
const KEEPALIVE_PROBES_MAX = 5;
const KEEPALIVE_INTERVAL_NS = 15e9;
/** A peer that wants less would make us send little but headers. */
const MSS_MIN = 48;

/** A connection. */
export class TcpEndpoint implements SegmentOutput {
  private readonly wire: TcpWire;
  private readonly user: TcpUser;
  private readonly mss: number;
  private readonly capacity: () => number;
  private readonly sender: Sender;
  private readonly header = new TcpHeader();
  /** From the peer's SYN on. */
  private receiver: Receiver | undefined;
  private isPassive = false;
  private isEstablished = false;
  private isClosed = false;
  private peerEnded = false;
  private closedFirst = false;
  private peerScale = 0;
  private scales = true;
  private peerReadsSack = false;
  private challenge = false;
  private timeWaitNs = Infinity;
  private keepaliveNs = Infinity;
  private keepaliveProbes = 0;

  constructor(options: TcpOptions) {
    this.wire = options.wire;
    this.user = options.user;
    this.mss = options.mss;
    this.capacity = options.capacity;
    this.sender = new Sender(options.initialSequence, options.mss, this);
  }

  /** Opens a connection: sends a SYN. */
  connect(nowNs: number): void {
    this.sender.open(nowNs);
  }

  /** Answers a peer's SYN with our own. */
  accept(syn: TcpSegment, nowNs: number): void {
    this.isPassive = true;
    this.takeSyn(syn);
    this.sender.startWindow(syn);
    this.sender.open(nowNs);
  }

  /** Bytes to send, which the connection keeps. */
  write(bytes: Uint8Array, nowNs: number): void {
    if (this.isClosed) return;
    this.sender.queue.push(bytes);
    this.sender.send(nowNs);
  }

  /** No more bytes come. */
  finish(nowNs: number): void {
    if (this.isClosed) return;
    this.sender.finish();
    this.sender.send(nowNs);
  }

  /** Ends the connection at once; the peer gets a RST. */
  abort(): void {
    if (this.isClosed) return;
    const known = this.receiver !== undefined;
    if (known || this.sender.sequence !== this.sender.initial) {
      this.control(known ? RST | ACK : RST);
    }
    this.close('aborted');
  }

  /** The user has dealt with `count` bytes that it received. */
  consumed(count: number): void {
    if (this.receiver?.consumed(count) && !this.isClosed) this.acknowledgeNow();
  }

  /** How many bytes wait to be sent or acknowledged. */
  get queuedBytes(): number {
    return this.sender.queue.length;
  }

  /** True when both sides are done and only late segments are waited for. */
  get isWaiting(): boolean {
    return this.timeWaitNs !== Infinity;
  }

  /** When {@link expire} is due. */
  get deadlineNs(): number {
    if (this.isClosed) return Infinity;
    const { deadlineNs } = this.sender;
    const ackNs = this.receiver?.ackDeadlineNs ?? Infinity;
    return Math.min(deadlineNs, ackNs, this.timeWaitNs, this.keepaliveNs);
  }

  /** Does what is due. */
  expire(nowNs: number): void {
    if (this.isClosed) return;
    if (nowNs >= this.timeWaitNs) this.close('finished');
    else if (!this.sender.expire(nowNs)) this.giveUp();
    else if (nowNs >= this.keepaliveNs) this.keepAlive(nowNs);
    else if (this.receiver && nowNs >= this.receiver.ackDeadlineNs) this.acknowledgeNow();
  }

  /**
   * Sends what a batch of segments calls for: data, and an acknowledgment if that did not bring
   * it.
   */
  flush(nowNs: number): void {
    if (this.isClosed) return;
    this.sender.send(nowNs);
    if (this.challenge || this.receiver?.ackNow) this.acknowledgeNow();
  }

  /** Takes a segment of the peer's: RFC 9293, section 3.10.7. */
  receive(segment: TcpSegment, nowNs: number): void {
    if (this.isClosed) return;
    if (this.receiver === undefined) this.receiveInSynSent(segment, nowNs);
    else this.receiveSynchronized(this.receiver, segment, nowNs);
  }

  private receiveInSynSent(segment: TcpSegment, nowNs: number): void {
    const { flags } = segment;
    const acks = (flags & ACK) !== 0;
    const isOurs = acks && distance(segment.acknowledgment, advance(this.sender.initial, 1)) === 0;
    if ((flags & RST) !== 0) {
      if (isOurs) this.close('refused');
      return;
    }
    if (acks && !isOurs) {
      this.header.sequence = segment.acknowledgment;
      this.plain(RST);
    } else if (isOurs && (flags & SYN) !== 0) {
      this.takeSyn(segment);
      this.sender.startWindow(segment);
      this.sender.acknowledge(segment.acknowledgment, false, segment.window, nowNs);
      this.receiver!.ackNow = true;
      this.establish(nowNs);
    }
  }

  private receiveSynchronized(receiver: Receiver, segment: TcpSegment, nowNs: number): void {
    const { flags } = segment;
    this.keepaliveProbes = 0;
    if (this.isEstablished) this.keepaliveNs = nowNs + KEEPALIVE_NS;
    if (!receiver.accepts(segment)) {
      if ((flags & RST) === 0) this.challenge = true;
      return;
    }
    if ((flags & RST) !== 0) {
      // RFC 5961, section 3.2: only the exact number resets, others are asked for it.
      if (segment.sequence !== receiver.next) this.challenge = true;
      else this.close(this.isEstablished ? 'reset' : 'refused');
      return;
    }
    if ((flags & SYN) !== 0) {
      this.challenge = true;
      return;
    }
    if ((flags & ACK) === 0) return;
    if (!this.takeAck(segment, nowNs)) return;
    if (segment.sequenceLength > 0) receiver.take(segment, nowNs);
    if (this.isClosed) return;
    if (receiver.isFinished && !this.peerEnded) {
      this.peerEnded = true;
      this.closedFirst = this.sender.hasSentFin;
      this.user.peerFinished();
    }
    this.endIfDone(nowNs);
  }

  /** The acknowledgment in a segment; false when the rest of it is not to be looked at. */
  private takeAck(segment: TcpSegment, nowNs: number): boolean {
    const { sender } = this;
    const window = segment.window << this.peerScale;
    const isBare = segment.sequenceLength === 0;
    const result = sender.acknowledge(segment.acknowledgment, isBare, window, nowNs);
    if (result === 'unsent') {
      if (this.isEstablished) {
        this.challenge = true;
      } else {
        this.header.sequence = segment.acknowledgment;
        this.plain(RST);
      }
      return false;
    }
    if (!this.isEstablished) {
      if (result === 'old') return false;
      this.establish(nowNs);
    }
    sender.updateWindow(segment, window);
    if (result === 'new') this.user.acknowledged();
    return !this.isClosed;
  }

  private takeSyn(segment: TcpSegment): void {
    this.receiver = new Receiver(segment.sequence, this.mss, this.capacity, this.user);
    this.scales = segment.windowScale >= 0;
    this.peerReadsSack = segment.sackPermitted;
    this.peerScale = Math.min(Math.max(segment.windowScale, 0), WINDOW_SCALE_MAX);
    this.sender.setMss(Math.max(MSS_MIN, Math.min(segment.mss, this.mss)));
  }

  private establish(nowNs: number): void {
    this.isEstablished = true;
    this.receiver!.scale = this.scales ? WINDOW_SCALE : 0;
    this.keepaliveNs = nowNs + KEEPALIVE_NS;
  }

  private endIfDone(nowNs: number): void {
    if (!this.peerEnded || !this.sender.isFinished) return;
    if (!this.closedFirst) {
      this.close('finished');
      return;
    }
    // Our last acknowledgment may be lost: the peer's FIN would come again.
    this.keepaliveNs = Infinity;
    this.timeWaitNs = nowNs + TIME_WAIT_NS;
  }

  private keepAlive(nowNs: number): void {
    if (++this.keepaliveProbes > KEEPALIVE_PROBES_MAX) {
      this.giveUp();
      return;
    }
    this.keepaliveNs = nowNs + KEEPALIVE_INTERVAL_NS;
    this.header.sequence = advance(this.sender.sequence, -1);
    this.plain(ACK);
  }

  private giveUp(): void {
    this.control(this.receiver === undefined ? RST : RST | ACK);
    this.close('timeout');
  }

  private close(reason: CloseReason): void {
    this.isClosed = true;
    this.sender.clear();
    this.receiver?.clear();
    this.user.over(reason);
  }

  private acknowledgeNow(): void {
    this.challenge = false;
    if (this.isEstablished) this.control(ACK);
    else if (this.isPassive) this.syn();
  }

  /** A segment without data at the current place. */
  private control(flags: number): void {
    this.header.sequence = this.sender.sequence;
    this.plain(flags);
  }

  private plain(flags: number): void {
    this.emit(flags, 0, 0);
  }

  /** Sends the header as far as it is filled in, with the acknowledgment due. */
  private emit(flags: number, offset: number, count: number): void {
    const { header, receiver } = this;
    header.flags = flags;
    header.acknowledgment = (flags & ACK) !== 0 ? receiver!.next : 0;
    header.sackBlocks.length = 0;
    if (this.peerReadsSack && count === 0 && (flags & RST) === 0) {
      receiver!.describeGaps(header.sackBlocks);
    }
    const scale = (flags & SYN) !== 0 ? 0 : receiver?.scale;
    header.window = receiver === undefined ? this.firstWindow() : receiver.promiseWindow(scale);
    this.wire.transmit(header, this.sender.queue, offset, count);
  }

  private firstWindow(): number {
    return Math.min(this.capacity(), 0xffff);
  }

  // What the sender sends through.

  data(sequence: number, _queue: ByteQueue, offset: number, count: number, fin: boolean): void {
    this.header.sequence = sequence;
    const isLast = offset + count === this.sender.queue.length;
    this.emit(ACK | (fin ? FIN : 0) | (count > 0 && isLast ? PSH : 0), offset, count);
  }

  syn(): void {
    const { header } = this;
    header.sequence = this.sender.initial;
    header.mss = this.mss;
    header.windowScale = this.scales ? WINDOW_SCALE : -1;
    this.emit(this.isPassive ? SYN | ACK : SYN, 0, 0);
  }

  largest(mss: number): number {
    return this.wire.largest(mss);
  }

  get full(): boolean {
    return this.wire.full;
  }
}
