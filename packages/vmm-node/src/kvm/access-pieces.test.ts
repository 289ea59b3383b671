import { expect, test } from 'vitest';
import { AccessPieces } from './access-pieces.ts';

function all(pieces: AccessPieces): [offset: number, size: number, remaining: number][] {
  const list: [number, number, number][] = [];
  while (pieces.next()) list.push([pieces.offset, pieces.size, pieces.remaining]);
  return list;
}

test('elements come one by one', () => {
  const pieces = new AccessPieces();
  pieces.startElements(4096, 2, 3);
  expect(all(pieces)).toEqual([
    [4096, 2, 2],
    [4098, 2, 1],
    [4100, 2, 0],
  ]);
  pieces.startElements(4096, 4, 1);
  expect(all(pieces)).toEqual([[4096, 4, 0]]);
});

test('bytes come in sizes that an access can have', () => {
  const pieces = new AccessPieces();
  const sizes = (bytes: number): number[] => {
    pieces.startBytes(40, bytes);
    return all(pieces).map(([, size]) => size);
  };
  expect([1, 2, 3, 4, 5, 6, 7, 8].map(sizes)).toEqual([
    [1],
    [2],
    [2, 1],
    [4],
    [4, 1],
    [4, 2],
    [4, 2, 1],
    [8],
  ]);
});

test('clear() leaves nothing to come', () => {
  const pieces = new AccessPieces();
  pieces.startElements(0, 1, 9);
  pieces.next();
  pieces.clear();
  expect(pieces.next()).toBe(false);
});
