// The sending half of a connection: RFC 9293, sections 3.7 and 3.8. Bytes wait in a queue until
// they are acknowledged; what of them may go is bounded by the peer's window and by the
// congestion window. SYN and FIN take a place in the sequence before and behind them.
//
// Data goes as soon as it may: it comes in pieces that a host's connection delivered, so that
// waiting for more (Nagle's algorithm) would only add to the wait that was. Lost segments are
// sent again from the first one on; there are no selective acknowledgments.

import { ByteQueue } from './byte-queue.ts';
import { Congestion } from './congestion.ts';
import { RetransmissionTimeout } from './retransmission-timeout.ts';
import { advance, distance, type TcpSegment } from './segment.ts';

/** Sends one segment. */
export interface SegmentOutput {
  /** `count` bytes of `queue` from `offset` on, with sequence number `sequence`. */
  data(sequence: number, queue: ByteQueue, offset: number, count: number, fin: boolean): void;
  /** The SYN. */
  syn(): void;
  /** The largest payload of one call, a multiple of `mss` when above it. */
  largest(mss: number): number;
  /** True while nothing should be sent that can wait. */
  readonly full: boolean;
}

/** RFC 1122, section 4.2.3.5, wants at least 100 s: these timeouts double up to a minute each. */
const TIMEOUTS_MAX = 9;
/** A SYN gives up sooner (there, 180 s): who waits for it is a person. */
const SYN_TIMEOUTS_MAX = 6;

/** What an acknowledgment did. */
export type AckResult = 'new' | 'old' | 'unsent';

/** Sends the bytes of one connection. */
export class Sender {
  readonly queue: ByteQueue = new ByteQueue();
  readonly initial: number;
  private readonly output: SegmentOutput;
  private readonly timeout = new RetransmissionTimeout();
  private congestion: Congestion;
  private mss: number;
  // Sequence numbers: the oldest unacknowledged, the next to send, one beyond the highest sent.
  private oldest: number;
  private next: number;
  private highest: number;
  private synSent = false;
  private synAcked = false;
  private finQueued = false;
  private finAcked = false;
  // The peer's window in bytes, and the segment that last changed it (RFC 9293, 3.10.7.4).
  private window = 0;
  private windowSequence = 0;
  private windowAck = 0;
  /** Where recovery from a loss ends. */
  private recoverUntil: number;
  private timedFrom = -1;
  private timedAtNs = 0;
  private timerNs = Infinity;
  private timeouts = 0;

  constructor(initial: number, mss: number, output: SegmentOutput) {
    this.initial = initial;
    this.output = output;
    this.mss = mss;
    this.congestion = new Congestion(mss);
    this.oldest = initial;
    this.next = initial;
    this.highest = initial;
    this.recoverUntil = initial;
  }

  /** When {@link expire} is due. */
  get deadlineNs(): number {
    return this.timerNs;
  }

  /** The sequence number of a segment that carries nothing. */
  get sequence(): number {
    return this.next;
  }

  /** Whether the FIN has been sent. */
  get hasSentFin(): boolean {
    return this.finAcked || distance(this.highest, this.oldest) > this.queue.length;
  }

  /** Whether all bytes and the FIN are acknowledged. */
  get isFinished(): boolean {
    return this.finAcked;
  }

  /** The peer's MSS, known from its SYN. */
  setMss(mss: number): void {
    this.mss = mss;
    this.congestion = new Congestion(mss);
  }

  /** Sends the SYN. */
  open(nowNs: number): void {
    this.synSent = true;
    this.next = advance(this.initial, 1);
    this.highest = this.next;
    this.output.syn();
    this.startTimer(nowNs);
  }

  /** No bytes come after those in the queue. */
  finish(): void {
    this.finQueued = true;
  }

  /** Takes the peer's window from a segment that is not older than the one before; bytes. */
  updateWindow(segment: TcpSegment, window: number): void {
    const newer = distance(segment.sequence, this.windowSequence);
    const newerAck = distance(segment.acknowledgment, this.windowAck);
    if (newer < 0 || (newer === 0 && newerAck < 0)) return;
    if (this.window === 0 && window > 0) {
      // What ran was the timer of probes, which may be slow by now.
      this.timerNs = Infinity;
      this.timeout.progress();
    }
    this.window = window;
    this.windowSequence = segment.sequence;
    this.windowAck = segment.acknowledgment;
  }

  /** The first window, from the peer's SYN. */
  startWindow(segment: TcpSegment): void {
    this.window = segment.window;
    this.windowSequence = segment.sequence;
    this.windowAck = segment.acknowledgment;
  }

  /**
   * Takes an acknowledgment. One whose segment `isBare`, and has the same `window` as before, can
   * mean a loss (RFC 5681, section 2).
   */
  acknowledge(ack: number, isBare: boolean, window: number, nowNs: number): AckResult {
    if (distance(ack, this.highest) > 0) return 'unsent';
    const count = distance(ack, this.oldest);
    if (count <= 0) {
      // A peer that answers probes may keep its window shut for as long as it likes.
      if (count === 0 && window === 0) this.timeouts = 0;
      const inFlight = distance(this.highest, this.oldest);
      const isDuplicate = count === 0 && isBare && window === this.window;
      if (isDuplicate && window > 0 && inFlight > 0) this.duplicate(inFlight, nowNs);
      return 'old';
    }
    const wasLimited = distance(this.next, this.oldest) + this.mss > this.congestion.window;
    this.advanceTo(ack, count);
    if (this.timedFrom >= 0 && distance(ack, this.timedFrom) > 0) {
      this.timeout.sample(nowNs - this.timedAtNs);
      this.timedFrom = -1;
    }
    this.timeout.progress();
    this.timeouts = 0;
    this.timerNs = Infinity;
    if (this.oldest !== this.highest) this.startTimer(nowNs);
    if (!this.congestion.isRecovering) this.congestion.acknowledged(count, wasLimited);
    else if (distance(ack, this.recoverUntil) >= 0) {
      this.congestion.recovered(distance(this.highest, this.oldest));
    } else {
      this.congestion.partial(count);
      this.resendOldest(nowNs);
    }
    return 'new';
  }

  /** Sends what may be sent. */
  send(nowNs: number): void {
    if (!this.synAcked) return;
    const { queue, output } = this;
    while (!this.finAcked) {
      const offset = distance(this.next, this.oldest);
      const waiting = queue.length - offset;
      // The FIN has been sent, in this round of sending.
      if (waiting < 0) break;
      const room = Math.min(this.window, this.congestion.window) - offset;
      let count = Math.min(waiting, room, output.largest(this.mss));
      if (count <= 0) {
        const justFin = waiting === 0 && this.finQueued;
        if (!justFin) {
          // Nothing is on its way that would bring a window: probe for it (RFC 9293, 3.8.6.1).
          if (waiting > 0 && offset === 0 && this.timerNs === Infinity) this.startTimer(nowNs);
          break;
        }
        count = 0;
      } else if (output.full) {
        break;
      } else if (count < waiting && count > this.mss) {
        count -= count % this.mss;
      } else if (count < waiting && count < this.mss && offset > 0) {
        // Avoids silly windows (RFC 9293, 3.8.6.2.1): what is on its way will open it.
        break;
      }
      this.sendNext(offset, count, nowNs);
    }
  }

  /** The timer ran out. False when the connection is to be given up. */
  expire(nowNs: number): boolean {
    if (nowNs < this.timerNs) return true;
    this.timerNs = Infinity;
    const isProbe = this.synAcked && this.window === 0;
    const limit = this.synAcked ? TIMEOUTS_MAX : SYN_TIMEOUTS_MAX;
    if (++this.timeouts > limit) return false;
    this.timeout.backOff();
    this.timedFrom = -1;
    if (!this.synAcked) {
      this.output.syn();
    } else if (isProbe) {
      this.probe();
    } else {
      this.congestion.timedOut(distance(this.highest, this.oldest));
      this.recoverUntil = this.highest;
      this.next = this.oldest;
      this.send(nowNs);
    }
    this.startTimer(nowNs);
    return true;
  }

  /** Drops what waits; nothing more is sent. */
  clear(): void {
    this.queue.clear();
    this.timerNs = Infinity;
  }

  private sendNext(offset: number, count: number, nowNs: number): void {
    const { queue } = this;
    const fin = this.finQueued && offset + count === queue.length;
    const isNew = this.next === this.highest;
    this.output.data(this.next, queue, offset, count, fin);
    if (isNew && this.timedFrom < 0) {
      this.timedFrom = this.next;
      this.timedAtNs = nowNs;
    }
    this.next = advance(this.next, count + (fin ? 1 : 0));
    if (distance(this.next, this.highest) > 0) this.highest = this.next;
    if (this.timerNs === Infinity) this.startTimer(nowNs);
  }

  private advanceTo(ack: number, count: number): void {
    let bytes = count;
    if (this.synSent && !this.synAcked) {
      this.synAcked = true;
      bytes--;
    }
    if (bytes > this.queue.length) {
      bytes = this.queue.length;
      this.finAcked = true;
    }
    this.queue.drop(bytes);
    this.oldest = ack;
    if (distance(this.oldest, this.next) > 0) this.next = this.oldest;
  }

  private duplicate(inFlight: number, nowNs: number): void {
    // After a timeout, duplicates are answers to what was sent twice (RFC 6582, section 4).
    const isOld = distance(this.oldest, this.recoverUntil) < 0 && !this.congestion.isRecovering;
    if (isOld || !this.congestion.duplicate(inFlight)) return;
    this.recoverUntil = this.highest;
    this.resendOldest(nowNs);
  }

  /** Sends the first segment once more. */
  private resendOldest(nowNs: number): void {
    const count = Math.min(this.mss, this.queue.length, distance(this.highest, this.oldest));
    const fin = this.finQueued && count === this.queue.length;
    this.timedFrom = -1;
    this.output.data(this.oldest, this.queue, 0, count, fin);
    this.startTimer(nowNs);
  }

  /** Sends one byte beyond the window, or what else is unacknowledged. */
  private probe(): void {
    const count = Math.min(1, this.queue.length);
    const fin = count === 0 && this.finQueued;
    this.output.data(this.oldest, this.queue, 0, count, fin);
    const end = advance(this.oldest, count + (fin ? 1 : 0));
    if (distance(end, this.highest) > 0) this.highest = end;
  }

  private startTimer(nowNs: number): void {
    this.timerNs = nowNs + this.timeout.valueNs;
  }
}
