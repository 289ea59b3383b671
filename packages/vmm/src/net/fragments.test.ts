// Fragments that no host sends, of which a datagram's end may come first (RFC 791, section 3.2).
import { expect, test } from 'vitest';
import { Fragments } from './fragments.ts';
import { IpPacket } from './ip-packet.ts';

/** A fragment: `length` bytes for `offset`, the last one unless `more`. */
function fragment(offset: number, length: number, more: boolean): IpPacket {
  const packet = new IpPacket();
  packet.frame = new Uint8Array(34 + length).fill(offset, 34);
  packet.source = 26;
  packet.payload = 34;
  packet.end = 34 + length;
  packet.protocol = 17;
  packet.fragmentOffset = offset;
  packet.moreFragments = more;
  return packet;
}

test('a datagram is whole when all its fragments are there, in any order', () => {
  const fragments = new Fragments();
  expect(fragments.add(fragment(16, 5, false), 0)).toBeUndefined();
  expect(fragments.add(fragment(0, 8, true), 0)).toBeUndefined();
  const whole = fragments.add(fragment(8, 8, true), 0);
  expect([...whole!.frame.subarray(34)]).toEqual([
    ...new Array(8).fill(0),
    ...new Array(8).fill(8),
    ...new Array(5).fill(16),
  ]);
  expect(fragments.size).toBe(0);
});

test('a fragment behind the last one ends the datagram, whichever comes first', () => {
  for (const isLastFirst of [true, false]) {
    const fragments = new Fragments();
    const behind = fragment(64, 8, true);
    const last = fragment(8, 8, false);
    for (const one of isLastFirst ? [last, behind] : [behind, last]) fragments.add(one, 0);
    expect(fragments.size).toBe(0);
    // As many bytes as the last fragment says there are.
    expect(fragments.add(fragment(0, 8, true), 0)).toBeUndefined();
  }
});
