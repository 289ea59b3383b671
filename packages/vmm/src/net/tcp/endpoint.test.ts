// What Linux cannot be made to do on demand: timers, closed windows, segments out of order, forged
// ones. The peer is written by hand, segment by segment, after the sections of the RFCs that the
// tests name, on a clock that they own.
import { expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import type { ByteQueue } from './byte-queue.ts';
import { type CloseReason, TcpEndpoint } from './endpoint.ts';
import { ACK, FIN, RST, SYN, type TcpHeader, TcpSegment } from './segment.ts';

const MSS = 1000;
const MS = 1e6;
/** The sequence numbers wrap in the middle of things. */
const OURS = 0xffff_ff00;
const THEIRS = 0xffff_fff0;

interface Sent {
  readonly sequence: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly text: string;
  readonly sack: readonly number[];
}

/** An endpoint, and the peer's pen. */
class Bench {
  readonly clock = new VirtualClock();
  readonly sent: Sent[] = [];
  readonly got: string[] = [];
  reason: CloseReason | undefined;
  ended = false;
  capacity = 4000;
  readonly endpoint: TcpEndpoint;
  /** The next of the peer's sequence numbers, and of ours. */
  their = (THEIRS + 1) >>> 0;
  our = (OURS + 1) >>> 0;

  constructor() {
    this.endpoint = new TcpEndpoint({
      wire: {
        transmit: (header, queue, offset, count) => this.take(header, queue, offset, count),
        largest: (mss) => mss,
        full: false,
      },
      user: {
        peerSent: (bytes) => void this.got.push(new TextDecoder().decode(bytes)),
        peerFinished: () => void (this.ended = true),
        acknowledged: () => {},
        over: (reason) => void (this.reason = reason),
      },
      initialSequence: OURS,
      mss: MSS,
      capacity: () => this.capacity,
    });
  }

  /** A connection that the peer has opened, with a window of `window` bytes. */
  static open(window = 65535): Bench {
    const bench = new Bench();
    const syn = bench.segment({ sequence: THEIRS, flags: SYN, window });
    syn.windowScale = 0;
    syn.sackPermitted = true;
    bench.endpoint.accept(syn, bench.now);
    bench.say({ window });
    bench.sent.length = 0;
    return bench;
  }

  get now(): number {
    return this.clock.now();
  }

  segment(fields: {
    sequence?: number;
    ack?: number;
    flags?: number;
    window?: number;
    text?: string;
  }): TcpSegment {
    const segment = new TcpSegment();
    segment.sequence = fields.sequence ?? this.their;
    segment.acknowledgment = fields.ack ?? this.our;
    segment.flags = fields.flags ?? ACK;
    segment.window = fields.window ?? 65535;
    segment.mss = MSS;
    segment.frame = new TextEncoder().encode(fields.text ?? '');
    segment.end = segment.frame.length;
    return segment;
  }

  /** A segment of the peer's, and the end of its batch. */
  say(fields: Parameters<Bench['segment']>[0]): void {
    this.endpoint.receive(this.segment(fields), this.now);
    this.endpoint.flush(this.now);
  }

  write(text: string): void {
    this.endpoint.write(new TextEncoder().encode(text), this.now);
  }

  /** Moves the clock to the next deadline, and returns how far that was, in milliseconds. */
  expire(): number {
    const ns = this.endpoint.deadlineNs - this.now;
    this.clock.advance(ns);
    this.endpoint.expire(this.now);
    return Math.round(ns / MS);
  }

  private take(header: TcpHeader, queue: ByteQueue, offset: number, count: number): void {
    const bytes = new Uint8Array(count);
    if (count > 0) queue.copy(offset, count, bytes, 0);
    this.sent.push({
      sequence: header.sequence,
      ack: header.acknowledgment,
      flags: header.flags,
      window: header.window,
      text: new TextDecoder().decode(bytes),
      sack: [...header.sackBlocks],
    });
  }
}

const at = (base: number, offset: number): number => (base + offset) >>> 0;

test('a SYN is answered with a SYN, again when the answer was lost (RFC 9293, 3.10.7.4)', () => {
  const bench = new Bench();
  bench.endpoint.accept(bench.segment({ sequence: THEIRS, flags: SYN }), bench.now);
  expect(bench.sent).toMatchObject([{ sequence: OURS, ack: bench.their, flags: SYN | ACK }]);
  bench.say({ sequence: THEIRS, flags: SYN });
  expect(bench.sent).toHaveLength(2);
  expect(bench.sent[1]).toEqual(bench.sent[0]);
  // RFC 6298, section 2.1: a second at first.
  expect(bench.expire()).toBe(1000);
  expect(bench.sent).toHaveLength(3);
  expect(bench.expire()).toBe(2000);
});

test('a SYN that nobody answers is given up after seven times', () => {
  const bench = new Bench();
  bench.endpoint.connect(bench.now);
  const waits = [];
  while (bench.reason === undefined) waits.push(bench.expire());
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000]);
  expect(bench.reason).toBe('timeout');
});

test('a SYN of ours is refused by a RST that acknowledges it, and by no other', () => {
  const bench = new Bench();
  bench.endpoint.connect(bench.now);
  bench.say({ flags: RST | ACK, ack: at(OURS, 5) });
  expect(bench.reason).toBeUndefined();
  bench.say({ flags: RST | ACK });
  expect(bench.reason).toBe('refused');
});

test('bytes go within the window, and each is sent again until it is acknowledged', () => {
  const bench = Bench.open(2500);
  bench.write('a'.repeat(1000) + 'b'.repeat(1000) + 'c'.repeat(1000));
  // The last 500 of the window would be a silly segment (3.8.6.2.1).
  expect(bench.sent.map(({ text }) => text[0] + text.length)).toEqual(['a1000', 'b1000']);
  expect(bench.expire()).toBe(1000);
  expect(bench.sent[2]).toEqual(bench.sent[0]);
  bench.say({ ack: at(bench.our, 2000), window: 2500 });
  expect(bench.sent[3]).toMatchObject({ sequence: at(bench.our, 2000), text: 'c'.repeat(1000) });
  bench.say({ ack: at(bench.our, 3000) });
  expect(bench.endpoint.queuedBytes).toBe(0);
});

test('retransmission backs off, up to a minute, and gives up (RFC 6298, 5.5)', () => {
  const bench = Bench.open();
  bench.write('x');
  const waits = [];
  while (bench.reason === undefined) waits.push(bench.expire());
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000]);
  expect(bench.reason).toBe('timeout');
  expect(bench.sent.at(-1)).toMatchObject({ flags: RST | ACK });
});

test('the timeout follows the round trip, but not that of what was sent twice (RFC 6298)', () => {
  const bench = Bench.open();
  bench.write('x');
  bench.clock.advance(400 * MS);
  bench.say({ ack: at(bench.our, 1) });
  bench.write('y');
  // SRTT + 4 RTTVAR = 400 + 4 * 200.
  expect(bench.expire()).toBe(1200);
  bench.clock.advance(5000 * MS);
  bench.say({ ack: at(bench.our, 2) });
  bench.write('z');
  expect(bench.expire()).toBe(1200);
});

test('a shut window is probed, for as long as the peer answers (3.8.6.1)', () => {
  const bench = Bench.open(0);
  bench.write('hello');
  expect(bench.sent).toEqual([]);
  for (let i = 0; i < 40; i++) {
    bench.expire();
    expect(bench.sent.at(-1)).toMatchObject({ sequence: bench.our, text: 'h' });
    bench.say({ window: 0 });
  }
  expect(bench.reason).toBeUndefined();
  bench.sent.length = 0;
  bench.say({ window: 100 });
  expect(bench.sent).toMatchObject([{ sequence: bench.our, text: 'hello' }]);
});

test('three duplicates resend the first segment at once (RFC 5681, 3.2; RFC 6582)', () => {
  const bench = Bench.open();
  for (let i = 0; i < 10; i++) bench.write(String(i).repeat(1000));
  bench.sent.length = 0;
  for (let i = 0; i < 2; i++) bench.say({});
  expect(bench.sent).toEqual([]);
  bench.say({});
  expect(bench.sent).toMatchObject([{ sequence: bench.our, text: '0'.repeat(1000) }]);
  // A partial acknowledgment: the next hole.
  bench.say({ ack: at(bench.our, 4000) });
  expect(bench.sent[1]).toMatchObject({ sequence: at(bench.our, 4000), text: '4'.repeat(1000) });
  bench.say({ ack: at(bench.our, 10000) });
  expect(bench.endpoint.queuedBytes).toBe(0);
});

test('bytes out of order wait, are reported, and are delivered once (RFC 2018)', () => {
  const bench = Bench.open();
  const say = (offset: number, text: string): void =>
    bench.say({ sequence: at(bench.their, offset), text });
  say(2, 'cd');
  say(6, 'gh');
  say(3, 'de');
  const { their } = bench;
  expect(bench.sent.map(({ ack, sack }) => [ack, ...sack])).toEqual([
    [their, at(their, 2), at(their, 4)],
    [their, at(their, 6), at(their, 8), at(their, 2), at(their, 4)],
    [their, at(their, 2), at(their, 5), at(their, 6), at(their, 8)],
  ]);
  expect(bench.got).toEqual([]);
  say(0, 'abc');
  say(1, 'bcdefghi');
  expect(bench.got.join('')).toBe('abcdefghi');
  expect(bench.sent.at(-1)).toMatchObject({ sack: [] });
});

test('the window shrinks by what the user has not taken, and opens when it has', () => {
  const bench = Bench.open();
  for (let i = 0; i < 6; i++)
    bench.say({ sequence: at(bench.their, i * 1000), text: 'x'.repeat(1000) });
  // Of 4000 bytes, and what was promised before.
  expect(bench.got.length).toBe(4);
  expect(bench.sent.at(-1)).toMatchObject({ ack: at(bench.their, 4000), window: 0 });
  bench.sent.length = 0;
  bench.endpoint.consumed(1000);
  expect(bench.sent).toEqual([]);
  bench.endpoint.consumed(1000);
  expect(bench.sent).toMatchObject([{ flags: ACK, window: 2000 >> 5 }]);
});

test('an acknowledgment waits for a second segment, or 10 ms (RFC 9293, 3.8.6.3)', () => {
  const bench = Bench.open();
  bench.say({ text: 'x' });
  expect(bench.sent).toEqual([]);
  expect(bench.expire()).toBe(10);
  expect(bench.sent).toMatchObject([{ flags: ACK, ack: at(bench.their, 1) }]);
  bench.say({ sequence: at(bench.their, 1), text: 'y' });
  bench.write('answer');
  expect(bench.sent).toMatchObject([{}, { ack: at(bench.their, 2), text: 'answer' }]);
  expect(bench.endpoint.deadlineNs - bench.now).toBeGreaterThan(100 * MS);
});

test('a RST must be exact, others and a SYN are challenged (RFC 5961, 3.2 and 4.2)', () => {
  const bench = Bench.open();
  bench.say({ sequence: at(bench.their, 10), flags: RST });
  bench.say({ flags: SYN });
  expect(bench.reason).toBeUndefined();
  expect(bench.sent).toMatchObject([{ flags: ACK }, { flags: ACK }]);
  bench.say({ sequence: at(bench.their, 100_000), flags: RST });
  expect(bench.sent).toHaveLength(2);
  bench.say({ flags: RST });
  expect(bench.reason).toBe('reset');
});

test('an acknowledgment of what was not sent is answered, and nothing else of it taken', () => {
  const bench = Bench.open();
  bench.say({ ack: at(bench.our, 1), text: 'x' });
  expect(bench.got).toEqual([]);
  expect(bench.sent).toMatchObject([{ flags: ACK }]);
});

test('who closes first waits, and answers a FIN that comes again (3.6)', () => {
  const bench = Bench.open();
  bench.write('bye');
  bench.endpoint.finish(bench.now);
  expect(bench.sent.at(-1)).toMatchObject({ flags: FIN | ACK });
  bench.say({ ack: at(bench.our, 4) });
  bench.say({ ack: at(bench.our, 4), text: 'late' });
  const fin = { sequence: at(bench.their, 4), ack: at(bench.our, 4), flags: FIN | ACK };
  bench.say(fin);
  expect(bench.got).toEqual(['late']);
  expect(bench.endpoint.isWaiting).toBe(true);
  const sent = bench.sent.length;
  bench.say(fin);
  expect(bench.sent.length).toBe(sent + 1);
  expect(bench.reason).toBeUndefined();
  bench.expire();
  expect(bench.reason).toBe('finished');
});

test('who closes last is done with the last acknowledgment', () => {
  const bench = Bench.open();
  bench.say({ flags: FIN | ACK });
  expect(bench.ended).toBe(true);
  bench.endpoint.finish(bench.now);
  expect(bench.expire()).toBe(1000);
  bench.say({ sequence: at(bench.their, 1), ack: at(bench.our, 1) });
  expect(bench.reason).toBe('finished');
});

test('a FIN beyond a gap waits for what is missing', () => {
  const bench = Bench.open();
  bench.say({ sequence: at(bench.their, 3), text: 'def', flags: FIN | ACK });
  expect(bench.ended).toBe(false);
  bench.say({ text: 'abc' });
  expect(bench.got.join('')).toBe('abcdef');
  expect(bench.ended).toBe(true);
});

test('a peer that has gone is noticed by keep-alives (RFC 9293, 3.8.4)', () => {
  const bench = Bench.open();
  expect(bench.expire()).toBe(600_000);
  expect(bench.sent).toMatchObject([{ sequence: at(bench.our, -1), flags: ACK, text: '' }]);
  bench.say({});
  expect(bench.expire()).toBe(600_000);
  while (bench.reason === undefined) bench.expire();
  expect(bench.reason).toBe('timeout');
  expect(bench.now / 1e9).toBeLessThan(1400);
});
