// Entries written down by hand after the section "Cluster mapping" of the format.
import { expect, test } from 'vitest';
import { l1Offset, readMapping, writeEntry } from './qcow2-entry.ts';

function table(...entries: bigint[]): DataView {
  const view = new DataView(new ArrayBuffer(entries.length * 8));
  for (const [index, entry] of entries.entries()) view.setBigUint64(index * 8, entry);
  return view;
}

test.each([
  ['nothing', 0n, 3, { kind: 'none' }],
  ['zeroes', 1n, 3, { kind: 'zero', host: 0 }],
  ['data of our own', 0x8000_0000_0005_0000n, 3, { kind: 'data', host: 0x5_0000, copied: true }],
  ['data that is shared', 0x0000_0012_3456_0000n, 2, { host: 0x12_3456_0000, copied: false }],
  ['zeroes with a place', 0x8000_0000_0007_0001n, 3, { kind: 'zero', host: 0x7_0000 }],
  ['zeroes in version 2', 1n, 2, { kind: 'invalid' }],
  ['a place that is not aligned', 0x8000_0000_0000_0200n, 3, { kind: 'invalid' }],
  ['the header as data', 0x8000_0000_0000_0000n, 3, { kind: 'invalid' }],
  ['a place beyond what a double holds', 0x0040_0000_0000_0000n, 3, { kind: 'invalid' }],
] as const)('readMapping() knows %s', (_, entry, version, expected) => {
  expect(readMapping(table(0n, entry), 1, 16, version)).toMatchObject(expected);
});

test('readMapping() takes a compressed cluster apart by the size of clusters', () => {
  // 62 - (16 - 8) = 54 bits of offset, then 8 of additional sectors.
  const with64k = (1n << 62n) | (3n << 54n) | 0x12_3456n;
  expect(readMapping(table(with64k), 0, 16, 3)).toMatchObject({
    kind: 'compressed',
    host: 0x12_3456,
    length: 4 * 512 - (0x12_3456 % 512),
  });
  // 62 - (9 - 8) = 61 bits, then 1.
  const with512 = (1n << 62n) | (1n << 61n) | 0x1000n;
  expect(readMapping(table(with512), 0, 9, 3)).toMatchObject({ host: 0x1000, length: 1024 });
  const nowhere = (1n << 62n) | (1n << 60n);
  expect(readMapping(table(nowhere), 0, 9, 3).kind).toBe('invalid');
});

test('writeEntry() writes what readMapping() and the format know', () => {
  const view = table(0n, 0n, 0n, 0n);
  writeEntry(view, 0, 0x12_3456_0000);
  writeEntry(view, 1, 0x5_0000, true);
  writeEntry(view, 2, 0, true);
  writeEntry(view, 3, 0);
  const words = [0, 1, 2, 3].map((index) => view.getBigUint64(index * 8));
  expect(words).toEqual([0x8000_0012_3456_0000n, 0x8000_0000_0005_0001n, 1n, 0n]);
});

test('l1Offset() refuses what is no table', () => {
  expect(l1Offset(table(0n, 0x8000_0000_0003_0000n), 1, 65536)).toBe(0x3_0000);
  expect(l1Offset(table(0x0020_0000_0000_0000n), 0, 65536)).toBe(undefined);
  expect(l1Offset(table(0x1000n), 0, 65536)).toBe(undefined);
});
