// Prefixes against arithmetic on whole addresses, and RFC 5952's examples of how to write them.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePrefix4, parsePrefix6 } from './prefixes.ts';

const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);

test(`an IPv4 prefix has no bits after its length (seed ${SEED})`, () => {
  const few = fc.constantFrom(0, 1, 64, 128, 192, 255);
  fc.assert(
    fc.property(fc.tuple(few, few, few, few), fc.integer({ min: 1, max: 16 }), (octets, length) => {
      const address = octets.join('.');
      const value = octets.reduce<number>((sum, octet) => sum * 256 + octet, 0);
      const isGood = value % 2 ** (32 - length) === 0;
      const expected = isGood ? { address, length } : { reason: 'bad mask' };
      expect(parsePrefix4(`${address}/${length}`)).toEqual(expected);
    }),
    { seed: SEED },
  );
});

test(`an IPv6 prefix has no bits after its length (seed ${SEED})`, () => {
  const group = fc.constantFrom(0, 0, 1, 0x8000, 0xff00, 0xffff);
  const groups = fc.array(group, { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(groups, fc.integer({ min: 0, max: 64 }), (values, length) => {
      const text = values.map((value) => value.toString(16)).join(':');
      const value = values.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
      const isGood = value % 2n ** BigInt(128 - length) === 0n;
      expect('reason' in parsePrefix6(`${text}/${length}`)).toBe(!isGood);
    }),
    { seed: SEED },
  );
});

test.each([
  ['2001:db8::1:0:0:0/64', 'bad mask'],
  ['2001:0DB8:0:0:0:0:0:0/32', '2001:db8::'],
  ['2001:db8:0:1:0:0:0:0/64', '2001:db8:0:1::'],
  ['::ffff:0:0/0', 'bad mask'],
  ['::', '::'],
])('parsePrefix6(%j) is %s', (text, answer) => {
  const prefix = parsePrefix6(text);
  expect('reason' in prefix ? prefix.reason : prefix.address).toBe(answer);
});
