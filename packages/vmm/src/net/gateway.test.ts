// What the gateway does without a kernel to ask: who may reach what, and what ends by itself.
// Packets are put together by the codecs, which have tests of their own.
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { formatIp, parseIp } from './address.ts';
import { DNS_QUERIES_MAX } from './dns-forwarder.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { makePath } from './ip-output.ts';
import { IpPacket } from './ip-packet.ts';
import { parseIpv4, writeIpv4 } from './ipv4.ts';
import { gatewayMac, LOCAL_PREFIX, localInterface } from './local-interface.ts';
import { defaultPolicy } from './policy.ts';
import { sealTcp, TcpHeader, writeTcp } from './tcp/segment.ts';
import { TCP_FLOWS_MAX } from './tcp-nat.ts';
import { EchoHost, TestAlarm, TestCard } from './test-host.ts';
import { writeUdp } from './udp.ts';
import { UDP_FLOWS_MAX } from './udp-nat.ts';

const MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);
const { gateway, guest } = localInterface(LOCAL_PREFIX, 1, 0);
const SECOND = 1e9;

/** A guest's hands on a gateway. */
class Bench {
  readonly alarm: TestAlarm;
  readonly host = new EchoHost();
  readonly card = new TestCard();
  readonly gateway: Gateway;

  constructor(options: Partial<GatewayOptions> = {}) {
    const clock = new VirtualClock();
    this.alarm = new TestAlarm(clock);
    let random = 1;
    this.gateway = new Gateway({
      clock,
      alarm: this.alarm,
      entropy: { fill: (bytes) => bytes.set(Array.from(bytes, () => random++)) },
      guestMac: MAC,
      guest,
      gateway,
      prefixLength: 31,
      host: this.host,
      ...options,
    });
    this.gateway.attach(this.card);
  }

  udp(to: string, port: number, from: number, bytes: Uint8Array = new Uint8Array(1)): void {
    this.send(17, to, 8 + bytes.length, (frame, sum) => {
      frame.set(bytes, 42);
      writeUdp(frame, 34, from, port, bytes.length, sum + 17);
    });
  }

  syn(to: string, port: number, from: number): void {
    this.send(6, to, 32, (frame, sum) => {
      const header = new TcpHeader();
      header.flags = 2;
      header.mss = 1460;
      writeTcp(frame, 34, from, port, header);
      sealTcp(frame, 34, 32, sum + 6);
    });
    this.gateway.flush();
  }

  /** What came: protocol and sender, and the type and code of ICMP or the flags of TCP. */
  received(): string[] {
    return this.card.frames.splice(0).map((frame) => {
      const packet = new IpPacket();
      expect(parseIpv4(frame, 14, packet)).toBe(true);
      const { protocol, payload, sourceAddress } = packet;
      const what = protocol === 1 ? `${frame[payload]}.${frame[payload + 1]}` : frame[payload + 13];
      const name = { 1: 'icmp', 6: 'tcp', 17: 'udp' }[protocol];
      return `${name}${protocol === 17 ? '' : ` ${what}`} from ${formatIp(sourceAddress)}`;
    });
  }

  private send(
    protocol: number,
    to: string,
    payloadBytes: number,
    write: (frame: Uint8Array, sum: number) => void,
  ): void {
    const frame = new Uint8Array(34 + payloadBytes);
    const address = parseIp(to)!;
    frame.set(gatewayMac(MAC));
    frame.set(MAC, 6);
    frame.set([8, 0], 12);
    const fields = { protocol, payloadBytes, identification: 0, fragment: 0 };
    writeIpv4(frame, 14, fields, guest, address);
    write(frame, makePath(MAC, guest, address).sum);
    this.gateway.send(frame, undefined);
  }
}

test('the default policy keeps back what is the host’s own', () => {
  const kept = `127.0.0.1 127.255.255.255 0.0.0.0 169.254.169.254 224.0.0.1 255.255.255.255 :: ::1
    ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 fe80::1 ff02::1`.split(/\s+/);
  const open = '8.8.8.8 10.0.0.1 192.168.1.1 100.64.2.2 2001:db8::1 fd00::1'.split(' ');
  for (const text of kept) expect(defaultPolicy(parseIp(text)!), text).toBe(false);
  for (const text of open) expect(defaultPolicy(parseIp(text)!), text).toBe(true);
});

test('what may not be reached is prohibited, by the gateway, and nothing is opened', () => {
  const bench = new Bench();
  bench.udp('169.254.169.254', 80, 1000);
  bench.syn('127.0.0.1', 80, 1000);
  const answer = 'icmp 3.13 from 100.64.1.2';
  expect(bench.received()).toEqual([answer, answer]);
  expect(bench.host.destinations).toEqual([]);
});

test('the gateway’s ports are closed, unless they are to be the host’s loopback’s', () => {
  const closed = new Bench();
  closed.udp('100.64.1.2', 80, 1000);
  closed.syn('100.64.1.2', 80, 1000);
  expect(closed.received()).toEqual(['icmp 3.3 from 100.64.1.2', 'tcp 20 from 100.64.1.2']);
  const open = new Bench({ hostLoopback: true });
  open.udp('100.64.1.2', 80, 1000);
  open.syn('100.64.1.2', 80, 1000);
  expect(open.host.destinations.map(({ address }) => formatIp(address))).toEqual([
    '127.0.0.1',
    '127.0.0.1',
  ]);
});

test('port 0 is closed everywhere', () => {
  const bench = new Bench();
  bench.udp('192.0.2.1', 0, 1000);
  bench.syn('192.0.2.1', 0, 1000);
  expect(bench.received()).toEqual(['icmp 3.3 from 192.0.2.1', 'tcp 20 from 192.0.2.1']);
  expect(bench.host.destinations).toEqual([]);
});

test('without a host nothing is behind the gateway', () => {
  const bench = new Bench({ host: undefined });
  bench.udp('8.8.8.8', 53, 1000);
  bench.udp('100.64.1.2', 53, 1000);
  bench.syn('8.8.8.8', 80, 1000);
  expect(bench.received()).toEqual([
    'icmp 3.13 from 100.64.1.2',
    'icmp 3.3 from 100.64.1.2',
    'icmp 3.13 from 100.64.1.2',
  ]);
});

test('a SYN is answered when the host has connected, not before', () => {
  const bench = new Bench();
  bench.syn('192.0.2.1', 80, 1000);
  bench.syn('192.0.2.1', 80, 1000);
  expect(bench.received()).toEqual([]);
  expect(bench.host.streams).toBe(1);
  bench.host.run();
  // SYN and ACK.
  expect(bench.received()).toEqual(['tcp 18 from 192.0.2.1']);
});

test('there are so many connections and no more: another SYN is reset', () => {
  const bench = new Bench();
  for (let i = 0; i < TCP_FLOWS_MAX; i++) bench.syn('192.0.2.1', 80, 1000 + i);
  expect(bench.received()).toEqual([]);
  bench.syn('192.0.2.1', 80, 999);
  expect(bench.received()).toEqual(['tcp 20 from 192.0.2.1']);
  expect(bench.host.streams).toBe(TCP_FLOWS_MAX);
  bench.gateway.close();
  bench.host.run();
  expect(bench.host.streams).toBe(0);
});

test('a UDP flow ends 30 s after a question without answer, 180 s after an answer', () => {
  const bench = new Bench();
  bench.udp('192.0.2.1', 9, 1000);
  bench.udp('192.0.2.1', 9, 1001);
  bench.host.run();
  expect(bench.received()).toEqual(['udp from 192.0.2.1', 'udp from 192.0.2.1']);
  bench.udp('192.0.2.2', 9, 1000);
  bench.alarm.advance(31 * SECOND);
  expect(bench.gateway.sizes.udp).toBe(2);
  bench.alarm.advance(120 * SECOND);
  bench.udp('192.0.2.1', 9, 1000);
  bench.alarm.advance(60 * SECOND);
  expect(bench.gateway.sizes.udp).toBe(1);
  bench.alarm.advance(180 * SECOND);
  expect([bench.gateway.sizes.udp, bench.host.sockets]).toEqual([0, 0]);
});

test('a new UDP flow takes the place of the one that was silent for longest', () => {
  const bench = new Bench();
  for (let i = 0; i <= UDP_FLOWS_MAX; i++) {
    bench.udp('192.0.2.1', 9, 1000 + i);
    bench.alarm.advance(1e6);
  }
  expect([bench.gateway.sizes.udp, bench.host.sockets]).toEqual([UDP_FLOWS_MAX, UDP_FLOWS_MAX]);
  bench.udp('192.0.2.1', 9, 1000);
  expect(bench.host.destinations.length).toBe(UDP_FLOWS_MAX + 2);
});

test('queries go to the resolvers, so many at a time, and fail when nobody answers', () => {
  const bench = new Bench();
  const query = Uint8Array.from([0x12, 0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  for (let i = 0; i <= DNS_QUERIES_MAX; i++) bench.udp('100.64.1.2', 53, 1000 + i, query);
  expect(bench.gateway.sizes.dns).toBe(DNS_QUERIES_MAX);
  expect(bench.host.destinations.length).toBe(DNS_QUERIES_MAX);
  expect(formatIp(bench.host.destinations[0].address)).toBe('192.0.2.53');
  // The only one there is has two seconds.
  bench.alarm.advance(2.1 * SECOND);
  const frames = bench.card.frames.splice(0);
  expect(frames.length).toBe(DNS_QUERIES_MAX);
  // The identifier, and "server failure" with recursion desired and available.
  expect([...frames[0].subarray(42, 46)]).toEqual([0x12, 0x34, 0x81, 0x82]);
  expect([bench.gateway.sizes.dns, bench.host.sockets]).toEqual([0, 0]);
});
