// Frames that no sane guest sends, into gateway and switch: nothing throws, nothing grows without
// bound, and what comes out is well-formed.
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { get16 } from './bytes.ts';
import { DNS_QUERIES_MAX } from './dns-forwarder.ts';
import { Gateway } from './gateway.ts';
import { IpPacket } from './ip-packet.ts';
import { parseIpv4 } from './ipv4.ts';
import { parseIpv6 } from './ipv6.ts';
import type { Unfinished } from './link.ts';
import { LOCAL_PREFIX, localInterface } from './local-interface.ts';
import { Switch } from './switch.ts';
import { parseTcp, TcpSegment } from './tcp/segment.ts';
import { TCP_FLOWS_MAX } from './tcp-nat.ts';
import { EchoHost, TestAlarm, TestCard } from './test-host.ts';
import { udpPayloadBytes } from './udp.ts';
import { UDP_FLOWS_MAX } from './udp-nat.ts';

const FRAMES = 30_000;
const UNFINISHED = { checksumStart: 34, checksumOffset: 16, segmentBytes: 0 };
const GUEST_MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);

/** Numbers below `below`, the same for the same seed: xorshift. */
function numbers(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const hex = (text: string): number[] =>
  (text.match(/[0-9a-f]{2}/g) ?? []).map((byte) => Number.parseInt(byte, 16));

const ETHERNET = 'fe e1 bb d1 12 35 fe e1 bb d1 12 34';
const V4 = '64 40 01 03 64 40 01 02';
const V6 = `fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 09
  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01`;
/** What mutation begins with. Checksums are not in them: the gateway is told that they are not. */
const SEEDS = [
  `ff ff ff ff ff ff fe e1 bb d1 12 34 08 06 00 01 08 00 06 04 00 01 fe e1 bb d1 12 34 64 40 01 03
   00 00 00 00 00 00 64 40 01 02`,
  // TCP: a SYN with options, an acknowledgment with data, a FIN, a RST.
  ...['a0 02', '50 18', '50 11', '50 04'].map(
    (flags) => `${ETHERNET} 08 00 45 00 00 3c 00 00 40 00 40 06 00 00 ${V4} 9c 40 00 50
      00 00 00 01 00 00 00 01 ${flags} ff ff 00 00 00 00 02 04 05 b4 01 03 03 07 04 02 08 0a 00 00
      00 00 00 00 00 00`,
  ),
  // UDP to DNS and elsewhere, DHCP's port, a fragment, an echo request.
  ...['00 35', '30 39', '00 43'].map(
    (port) => `${ETHERNET} 08 00 45 00 00 2d 00 00 40 00 40 11 00 00 ${V4} 00 44 ${port} 00 19
      00 00 12 34 01 00 00 01 00 00 00 00 00 00 01 61 00 00 01 00 01`,
  ),
  `${ETHERNET} 08 00 45 00 00 24 00 07 20 00 40 11 00 00 ${V4} 00 44 30 39 00 19 00 00 00 00 00 00
   00 00 00 00`,
  `${ETHERNET} 08 00 45 00 00 24 00 07 00 00 40 01 00 00 ${V4} 08 00 f7 ff 00 00 00 00 00 00 00 00`,
  // IPv6: TCP, a neighbor solicitation, a fragment, hop by hop options.
  `${ETHERNET} 86 dd 60 00 00 00 00 14 06 40 ${V6} 9c 40 00 50 00 00 00 01 00 00 00 00 50 02 ff ff
   00 00 00 00`,
  `33 33 ff 00 00 01 fe e1 bb d1 12 34 86 dd 60 00 00 00 00 18 3a ff ${V6} 87 00 00 00 00 00 00 00
   fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01`,
  `${ETHERNET} 86 dd 60 00 00 00 00 18 2c 40 ${V6} 11 00 00 01 00 00 00 07 00 44 30 39 00 18 00 00
   00 00 00 00 00 00 00 00`,
  `${ETHERNET} 86 dd 60 00 00 00 00 10 00 40 ${V6} 11 00 05 02 00 00 01 00 00 44 30 39 00 08 00 00`,
].map(hex);

/** What a frame lacks: often what makes sense, and often not. */
function unfinishedOf(number: (below: number) => number, length: number): Unfinished | undefined {
  if (number(3) === 0) return undefined;
  return {
    checksumStart: number(2) === 0 ? [34, 54][number(2)] : number(length + 20),
    checksumOffset: number(2) === 0 ? 16 : number(100),
    segmentBytes: [0, number(100), 1460, 0xffff][number(4)],
  };
}

/** One frame: random bytes, or a seed with some of its bytes changed, cut, or made longer. */
function frameOf(number: (below: number) => number): Uint8Array {
  if (number(20) === 0) return Uint8Array.from({ length: number(200) }, () => number(256));
  const bytes = [...SEEDS[number(SEEDS.length)]];
  for (let count = number(6); count > 0; count--) bytes[number(bytes.length)] = number(256);
  if (number(8) === 0) bytes.length = number(bytes.length);
  if (number(8) === 0) bytes.push(...Array.from({ length: number(1400) }, () => number(256)));
  const frame = Uint8Array.from(bytes);
  // Mostly a header that is right, and lengths that fit, so that what is behind it is reached.
  if (get16(frame, 12) === 0x0800 && frame.length > 34 && number(8) !== 0) fixIpv4(frame, number);
  return frame;
}

function fixIpv4(frame: Uint8Array, number: (below: number) => number): void {
  frame[16] = (frame.length - 14) >> 8;
  frame[17] = frame.length - 14;
  if (number(2) === 0) frame[35] = number(256);
  const header = (frame[14] & 15) * 4;
  if (14 + header > frame.length) return;
  frame[24] = 0;
  frame[25] = 0;
  let sum = 0;
  for (let at = 14; at < 14 + header; at += 2) sum += (frame[at] << 8) | frame[at + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  frame[24] = ~sum >> 8;
  frame[25] = ~sum;
}

/** What a guest would find wrong with a frame. */
function complaint(frame: Uint8Array): string | undefined {
  if (frame.length > 1514) return `${frame.length} bytes`;
  const type = get16(frame, 12);
  if (type === 0x0806) return frame.length === 42 ? undefined : 'ARP of another length';
  const packet = new IpPacket();
  const isIp = type === 0x0800 ? parseIpv4(frame, 14, packet) : parseIpv6(frame, 14, packet);
  if (!isIp) return 'a bad IP header';
  if (packet.end !== frame.length) return 'a length that does not fit';
  if (packet.moreFragments || packet.fragmentOffset > 0) return undefined;
  const isTcp = packet.protocol === 6;
  if (isTcp && !parseTcp(packet, true, new TcpSegment())) return 'a bad TCP segment';
  if (packet.protocol === 17 && udpPayloadBytes(packet, true) < 0) return 'a bad UDP datagram';
  return undefined;
}

test('a gateway survives frames of all kinds, and answers with good ones', () => {
  const seed = (Math.random() * 2 ** 32) >>> 0;
  process.stdout.write(`gateway fuzz seed ${seed}\n`);
  const number = numbers(seed);
  const clock = new VirtualClock();
  const alarm = new TestAlarm(clock);
  const host = new EchoHost();
  const card = new TestCard();
  const { gateway, guest } = localInterface(LOCAL_PREFIX, 1, 0);
  const it = new Gateway({
    clock,
    alarm,
    entropy: { fill: (bytes) => bytes.set(Array.from(bytes, () => number(256))) },
    guestMac: GUEST_MAC,
    guest,
    gateway,
    prefixLength: 31,
    gateway6: Uint8Array.from(hex('fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01')),
    host,
    hostLoopback: true,
    // Addresses that come out of mutation are mostly reachable ones.
    policy: () => true,
  });
  it.attach(card);
  for (let i = 0; i < FRAMES; i++) {
    it.send(frameOf(number), number(16) === 0 ? undefined : UNFINISHED);
    if (number(4) === 0) it.flush();
    if (number(8) === 0) host.run();
    if (number(50) === 0) alarm.advance(number(1000) * 1e6);
    if (number(200) === 0) card.full = !card.full;
    if (!card.full) it.resume();
    for (const frame of card.frames.splice(0)) expect(complaint(frame)).toBeUndefined();
  }
  // The flows were there, and not more of them than there may be.
  expect(host.mostStreams).toBeGreaterThan(10);
  expect(host.mostSockets).toBeGreaterThan(10);
  expect(host.mostStreams).toBeLessThanOrEqual(TCP_FLOWS_MAX);
  expect(host.mostSockets).toBeLessThanOrEqual(UDP_FLOWS_MAX + DNS_QUERIES_MAX);
  expect(it.sizes.fragments).toBeLessThanOrEqual(16);
  it.close();
  host.run();
  expect(it.sizes).toMatchObject({ tcp: 0, udp: 0, dns: 0 });
  expect([host.streams, host.sockets]).toEqual([0, 0]);
});

test('a switch survives frames of all kinds, and learns no more than it may', () => {
  const seed = (Math.random() * 2 ** 32) >>> 0;
  process.stdout.write(`switch fuzz seed ${seed}\n`);
  const number = numbers(seed);
  const it = new Switch({ clock: new VirtualClock() });
  const ports = [it.connect(), it.connect(), it.connect({ lockedMac: GUEST_MAC })];
  const cards = ports.map((port) => {
    const card = new TestCard();
    port.attach(card);
    return card;
  });
  for (let i = 0; i < FRAMES; i++) {
    const frame = frameOf(number);
    if (frame.length > 12 && number(2) === 0) frame[6 + number(6)] = number(256);
    ports[number(3)].send(frame, unfinishedOf(number, frame.length));
    for (const card of cards) card.frames.length = 0;
  }
  expect(it.size).toBeGreaterThan(100);
  expect(it.size).toBeLessThanOrEqual(1024);
});
