import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageSet, pageSetBytes } from './page-set.ts';

const PAGE = 4096;
const ADDRESSES = 3000 * PAGE;

function taken(set: PageSet): number[] {
  const pages: number[] = [];
  set.take((address) => pages.push(address / PAGE));
  return pages;
}

function emptySet(): PageSet {
  return new PageSet(new SharedArrayBuffer(8 + pageSetBytes(ADDRESSES)), 8, ADDRESSES);
}

test('take() gives every page of what was added, once, and empties the set', () => {
  const range = fc.record({
    at: fc.nat(ADDRESSES - 1),
    length: fc.integer({ min: 1, max: 40000 }),
  });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
      const set = emptySet();
      const expected = new Set<number>();
      for (const { at, length } of ranges) {
        const end = Math.min(at + length, ADDRESSES);
        set.add(at, end - at);
        for (let byte = at; byte < end; byte = (Math.floor(byte / PAGE) + 1) * PAGE) {
          expected.add(Math.floor(byte / PAGE));
        }
      }
      expect(taken(set)).toEqual([...expected].sort((a, b) => a - b));
      expect(taken(set)).toEqual([]);
    }),
  );
});

test('take() loses no page that is added meanwhile', () => {
  const set = emptySet();
  set.add(0, 1);
  set.add(2999 * PAGE, 1);
  const first: number[] = [];
  set.take((address) => {
    first.push(address / PAGE);
    if (address === 0) set.add(0, 2 * PAGE);
  });
  expect([...first, ...taken(set)].sort((a, b) => a - b)).toEqual([0, 0, 1, 2999]);
});

test('the set reaches addresses beyond 4 GiB', () => {
  const bytes = 2 ** 32 + 64 * PAGE;
  const set = new PageSet(new SharedArrayBuffer(pageSetBytes(bytes)), 0, bytes);
  set.add(2 ** 32 + 63 * PAGE, PAGE);
  expect(taken(set)).toEqual([2 ** 20 + 63]);
});
