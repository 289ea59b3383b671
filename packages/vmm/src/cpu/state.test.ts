import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { S } from './state.ts';

const BYTES: Readonly<Record<string, number>> = { i64: 8, i32: 4, u16: 2, v128: 16 };

/** Bytes of each field, as far as its comment begins with its type: "i64 × 4" is 32. */
function sizes(): Map<keyof typeof S, number> {
  const source = readFileSync(new URL('./state.ts', import.meta.url), 'utf8');
  const found = new Map<keyof typeof S, number>();
  const field = /\/\*\*\s*(?:\* )?(i64|i32|u16|v128)(?: × (\d+))?\b[^/]*?\*\/\s*(\w+): 0x/g;
  for (const [, type, count, name] of source.matchAll(field)) {
    found.set(name as keyof typeof S, BYTES[type] * Number(count ?? 1));
  }
  return found;
}

test('no field of the state begins inside another', () => {
  const known = sizes();
  expect(known.size).toBeGreaterThan(50);
  expect(known.get('dr')).toBe(64);
  const inside: string[] = [];
  for (const [name, offset] of Object.entries(S)) {
    const end = offset + (known.get(name as keyof typeof S) ?? 1);
    for (const [other, at] of Object.entries(S)) {
      if (other !== name && at >= offset && at < end) inside.push(`${other} in ${name}`);
    }
  }
  expect(inside).toEqual([]);
});
