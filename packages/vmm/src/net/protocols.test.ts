// Headers against the examples of their RFCs, and packets written down by their figures, with
// checksums that a few lines of Python computed.
import { expect, test } from 'vitest';
import { formatIp, inPrefix, parseIp, parsePrefix } from './address.ts';
import { ARP_FRAME_BYTES, ARP_REPLY, ARP_REQUEST, parseArp, writeArp } from './arp.ts';
import { checksumOf, foldSum, sumWords } from './checksum.ts';
import { dnsFailure, dnsKind } from './dns.ts';
import { formatMac } from './ethernet.ts';
import { IpPacket } from './ip-packet.ts';
import { parseIpv4, writeIpv4 } from './ipv4.ts';
import { parseIpv6 } from './ipv6.ts';
import { linkLocalAddress } from './ndp.ts';
import { parseTcp, TcpHeader, TcpSegment, writeTcp } from './tcp/segment.ts';
import { udpPayloadBytes } from './udp.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array((text.match(/[0-9a-f]{2}/g) ?? []).map((byte) => Number.parseInt(byte, 16)));

test('the checksum is that of the example in RFC 1071, section 3', () => {
  const bytes = hex('00 01 f2 03 f4 f5 f6 f7');
  expect(foldSum(sumWords(bytes, 0, 8))).toBe(0xddf2);
  expect(checksumOf(sumWords(bytes, 0, 8))).toBe(0x220d);
  // The last byte is the upper half of a word.
  expect(foldSum(sumWords(hex('00 01 f2'), 0, 3))).toBe(0xf201);
});

test('sums agree with adding word by word, at every length and offset', () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i * 151 + 77) & 0xff);
  for (let from = 0; from < 8; from++) {
    for (let to = from; to <= 64; to++) {
      let sum = 0n;
      for (let at = from; at < to; at += 2) {
        sum += BigInt((bytes[at] << 8) | (at + 1 < to ? bytes[at + 1] : 0));
      }
      while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
      expect(foldSum(sumWords(bytes, from, to))).toBe(Number(sum));
    }
  }
});

test.each([
  ['192.0.2.1', [192, 0, 2, 1]],
  ['::', new Array(16).fill(0)],
  ['::1', [...new Array(15).fill(0), 1]],
  // RFC 4291, section 2.2.
  [
    '2001:db8::8:800:200c:417a',
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 8, 8, 0, 0x20, 0xc, 0x41, 0x7a],
  ],
])('the address %s is read and written', (text, bytes) => {
  expect([...parseIp(text)!]).toEqual(bytes);
  expect(formatIp(new Uint8Array(bytes))).toBe(text);
});

test('addresses are written as RFC 5952, section 4, wants them', () => {
  const cases = [
    ['2001:0db8:0:0:0:0:0:0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::FFFF:192.0.2.1', '::ffff:c000:201'],
  ];
  for (const [text, canonical] of cases) expect(formatIp(parseIp(text)!)).toBe(canonical);
});

test('what is no address is none', () => {
  const words = '1.2.3 1.2.3.4.5 256.1.1.1 01.2.3.4 :: :1 1: 1::2::3 1:2:3:4:5:6:7:8:9 12345:: x';
  for (const word of words.split(' ').filter((it) => it !== '::')) {
    expect(parseIp(word), word).toBeUndefined();
  }
  for (const word of ['10.0.0.0', '10.0.0.0/33', '::/129', '/8']) {
    expect(parsePrefix(word), word).toBeUndefined();
  }
});

test('a prefix has the addresses that begin with its bits', () => {
  const prefix = parsePrefix('100.64.0.0/10')!;
  const has = (text: string): boolean => inPrefix(parseIp(text)!, 0, prefix);
  expect(['100.64.0.0', '100.127.255.255'].map(has)).toEqual([true, true]);
  expect(['100.63.255.255', '100.128.0.0', '101.64.0.0'].map(has)).toEqual([false, false, false]);
});

/** Who has 192.0.2.1, asks 192.0.2.2. */
const ARP = hex(`ff ff ff ff ff ff 02 00 00 00 00 0a 08 06 00 01 08 00 06 04 00 01
  02 00 00 00 00 0a c0 00 02 02 00 00 00 00 00 00 c0 00 02 01`);

test('an ARP request is understood, and answered as RFC 826 says', () => {
  const request = parseArp(ARP)!;
  expect(request.operation).toBe(ARP_REQUEST);
  expect(formatMac(request.senderMac)).toBe('02:00:00:00:00:0a');
  expect(formatIp(request.targetIp)).toBe('192.0.2.1');
  const reply = new Uint8Array(ARP_FRAME_BYTES);
  const me = { mac: hex('02 00 00 00 00 0b'), ip: parseIp('192.0.2.1')! };
  writeArp(reply, ARP_REPLY, me, { mac: request.senderMac, ip: request.senderIp });
  expect(reply).toEqual(
    hex(`02 00 00 00 00 0a 02 00 00 00 00 0b 08 06 00 01 08 00 06 04 00 02
      02 00 00 00 00 0b c0 00 02 01 02 00 00 00 00 0a c0 00 02 02`),
  );
  expect(parseArp(ARP.subarray(0, 41))).toBeUndefined();
});

test('an IPv4 header with a wrong checksum, length or version is refused', () => {
  const header = hex('45 00 00 14 00 00 40 00 40 11 b8 c0 c0 a8 00 01 c0 a8 00 c7');
  const packet = new IpPacket();
  expect(parseIpv4(header, 0, packet)).toBe(true);
  expect(packet).toMatchObject({ protocol: 17, hopLimit: 64, payload: 20, end: 20 });
  const written = new Uint8Array(20);
  const fields = { protocol: 17, payloadBytes: 0, identification: 0, fragment: 0x4000 };
  writeIpv4(written, 0, fields, packet.sourceAddress, packet.destinationAddress);
  expect(written).toEqual(header);
  for (const at of [0, 3, 8, 11]) {
    const bad = header.slice();
    bad[at] ^= 0x11;
    expect(parseIpv4(bad, 0, packet)).toBe(false);
  }
  expect(parseIpv4(header.subarray(0, 19), 0, packet)).toBe(false);
});

test('IPv6 extension headers are skipped, within bounds', () => {
  const packet = new IpPacket();
  const address = '20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01';
  const base = `60 00 00 00 00 18 00 40 ${address} ${address}`;
  const hopByHop = '3c 00 05 02 00 00 01 00';
  const destination = '11 00 01 04 00 00 00 00';
  const udp = '00 01 00 02 00 08 00 00';
  const whole = hex(base + hopByHop + destination + udp);
  expect(parseIpv6(whole, 0, packet)).toBe(true);
  expect(packet).toMatchObject({ protocol: 17, payload: 56, end: 64, hopLimit: 64 });
  // Longer than the packet.
  whole[41] = 9;
  expect(parseIpv6(whole, 0, packet)).toBe(false);
});

test('a link-local address is made of the hardware address (RFC 4291, appendix A)', () => {
  // RFC 2464, section 4, has 34-56-78-9A-BC-DE as an example.
  expect(formatIp(linkLocalAddress(hex('34 56 78 9a bc de')))).toBe('fe80::3656:78ff:fe9a:bcde');
});

/** "hello" from port 40000 of 192.0.2.1 to port 53 of 192.0.2.2. */
const UDP = hex(`45 00 00 21 00 01 00 00 40 11 f6 c7 c0 00 02 01 c0 00 02 02
  9c 40 00 35 00 0d 9b 88 68 65 6c 6c 6f`);

test('a UDP datagram is checked, unless it has no checksum or is not finished', () => {
  const packet = new IpPacket();
  const check = (bytes: Uint8Array, checksummed = true): number => {
    expect(parseIpv4(bytes, 0, packet)).toBe(true);
    return udpPayloadBytes(packet, checksummed);
  };
  expect(check(UDP)).toBe(5);
  const bad = UDP.slice();
  bad[27] ^= 1;
  expect(check(bad)).toBe(-1);
  expect(check(bad, false)).toBe(5);
  bad.fill(0, 26, 28);
  expect(check(bad)).toBe(5);
  const long = UDP.slice();
  long[25] = 14;
  expect(check(long)).toBe(-1);
});

test('a SYN has its options, in the form of RFC 9293, 7323 and 2018', () => {
  const header = new TcpHeader();
  header.sequence = 0x01020304;
  header.flags = 2;
  header.window = 0xffff;
  header.mss = 1460;
  header.windowScale = 5;
  const bytes = new Uint8Array(32);
  writeTcp(bytes, 0, 80, 40000, header);
  expect(bytes).toEqual(
    hex(`00 50 9c 40 01 02 03 04 00 00 00 00 80 02 ff ff 00 00 00 00
      02 04 05 b4 01 01 04 02 01 03 03 05`),
  );
  const packet = new IpPacket();
  packet.frame = bytes;
  packet.end = 32;
  const segment = new TcpSegment();
  expect(parseTcp(packet, false, segment)).toBe(true);
  expect(segment).toMatchObject({ mss: 1460, windowScale: 5, sackPermitted: true, payload: 32 });
  // An option that is longer than the header ends the options, not the segment.
  bytes[21] = 40;
  expect(parseTcp(packet, false, segment)).toBe(true);
  expect(segment).toMatchObject({ mss: 536, windowScale: -1 });
  bytes[12] = 0x40;
  expect(parseTcp(packet, false, segment)).toBe(false);
});

test('a failure of the resolver repeats the question (RFC 1035, section 4.1)', () => {
  // www.example, type A, recursion desired, with an EDNS record at the end.
  const query = hex(`12 34 01 20 00 01 00 00 00 00 00 01 03 77 77 77 07 65 78 61 6d 70 6c 65 00
    00 01 00 01 00 00 29 10 00 00 00 00 00 00 00`);
  expect(dnsKind(query)).toBe('query');
  const answer = dnsFailure(query);
  expect(answer).toEqual(
    hex(`12 34 81 82 00 01 00 00 00 00 00 00 03 77 77 77 07 65 78 61 6d 70 6c 65 00
      00 01 00 01`),
  );
  expect(dnsKind(answer)).toBe('response');
  expect(dnsKind(query.subarray(0, 11))).toBeUndefined();
});
