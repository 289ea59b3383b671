// The receiving half of a connection: RFC 9293, sections 3.8.6 and 3.10.7.4. Bytes in order go to
// the application at once; how many it has not dealt with yet is what the window is made of.

import { Reassembly } from './reassembly.ts';
import { advance, distance, FIN, type TcpSegment } from './segment.ts';

/**
 * An acknowledgment waits for a second segment or for an answer to ride on, but not long (RFC 1122,
 * 4.2.3.2, has a limit of 500 ms): a guest that sends small writes waits as long.
 */
const DELAYED_ACK_NS = 10e6;

/** Takes the bytes in order. */
export interface ByteTaker {
  /** `bytes` are valid during the call. */
  peerSent(bytes: Uint8Array): void;
}

/** Receives the bytes of one connection. */
export class Receiver {
  /** The next sequence number in order. */
  next: number;
  /** The shift of the window field, once that is agreed on. */
  scale = 0;
  /** An acknowledgment is to be sent at the end of the batch. */
  ackNow = false;
  /** When an acknowledgment is to be sent at the latest. */
  ackDeadlineNs: number = Infinity;
  private readonly mss: number;
  private readonly capacity: () => number;
  private readonly taker: ByteTaker;
  private readonly reassembly = new Reassembly();
  /** One beyond the last byte that the peer was told it may send. */
  private edge: number;
  private acked: number;
  private pending = 0;
  private finAt = -1;
  private finished = false;

  /** `capacity` says how many bytes may wait for the application; `sequence` is of the SYN. */
  constructor(sequence: number, mss: number, capacity: () => number, taker: ByteTaker) {
    this.next = advance(sequence, 1);
    this.edge = this.next;
    this.acked = sequence;
    this.mss = mss;
    this.capacity = capacity;
    this.taker = taker;
  }

  /** Whether the peer's FIN has come, and all before it. */
  get isFinished(): boolean {
    return this.finished;
  }

  /** The window field of a segment to be sent, which promises it; unscaled in a SYN. */
  promiseWindow(scale: number = this.scale): number {
    const free = Math.max(0, this.capacity() - this.pending);
    const most = 0xffff << scale;
    // What was promised stays so (RFC 9293, 3.8.6).
    const window = Math.min(Math.max(free, distance(this.edge, this.next)), most) >>> scale;
    const edge = advance(this.next, window << scale);
    if (distance(edge, this.edge) > 0) this.edge = edge;
    this.acked = this.next;
    this.ackNow = false;
    this.ackDeadlineNs = Infinity;
    return window;
  }

  /** The first check of a segment: whether it says anything within the window. */
  accepts(segment: TcpSegment): boolean {
    const length = segment.sequenceLength;
    const start = distance(segment.sequence, this.next);
    const window = distance(this.edge, this.next);
    if (length === 0) return start === 0 || (start > 0 && start < window);
    return start < window && start + length > 0;
  }

  /** Takes the segment's bytes and FIN, as far as they are new and within the window. */
  take(segment: TcpSegment, nowNs: number): void {
    if (this.finished) {
      this.ackNow = true;
      return;
    }
    const { frame, sequence, payload } = segment;
    const length = segment.payloadBytes;
    const known = Math.min(length, Math.max(0, distance(this.next, sequence)));
    const most = Math.min(length, distance(this.edge, sequence));
    if ((segment.flags & FIN) !== 0 && most === length) this.finAt = advance(sequence, length);
    if (known < most) {
      const bytes = frame.subarray(payload + known, payload + most);
      this.arrange(advance(sequence, known), bytes, nowNs);
    } else {
      this.ackNow = true;
    }
    if (this.finAt >= 0 && this.next === this.finAt) this.finish();
  }

  /** The application has dealt with `count` bytes. True when the peer should know. */
  consumed(count: number): boolean {
    this.pending -= count;
    const capacity = this.capacity();
    const gain = capacity - this.pending - distance(this.edge, this.next);
    // Silly windows again (RFC 9293, 3.8.6.2.2).
    return !this.finished && gain >= Math.min(capacity / 2, 2 * this.mss);
  }

  /** Says which bytes beyond a gap have come; see {@link Reassembly.describe}. */
  describeGaps(blocks: number[]): void {
    this.reassembly.describe(blocks);
  }

  /** Drops what waits for its turn. */
  clear(): void {
    this.reassembly.clear();
    this.ackDeadlineNs = Infinity;
    this.ackNow = false;
  }

  private arrange(sequence: number, bytes: Uint8Array, nowNs: number): void {
    if (sequence !== this.next) {
      this.reassembly.insert(sequence, bytes);
      this.ackNow = true;
    } else {
      this.deliver(bytes);
      // Filling a gap is news to the sender (RFC 5681, section 4.2).
      if (!this.reassembly.isEmpty) this.ackNow = true;
      for (;;) {
        const more = this.reassembly.take(this.next);
        if (more === undefined) break;
        this.deliver(more);
      }
      if (distance(this.next, this.acked) >= 2 * this.mss) this.ackNow = true;
      else if (this.ackDeadlineNs === Infinity) this.ackDeadlineNs = nowNs + DELAYED_ACK_NS;
    }
  }

  private deliver(bytes: Uint8Array): void {
    this.next = advance(this.next, bytes.length);
    this.pending += bytes.length;
    this.taker.peerSent(bytes);
  }

  private finish(): void {
    this.next = advance(this.next, 1);
    this.finished = true;
    this.ackNow = true;
    this.reassembly.clear();
  }
}
