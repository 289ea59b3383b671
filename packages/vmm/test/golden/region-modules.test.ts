// Every instruction form of 64-bit code in a region of its own: its module must be one that
// WebAssembly accepts. What a guest executes must never make the host throw.

import { expect, test } from 'vitest';
import { encodingsOf, formsOf } from '../../src/isa/random-encodings.ts';
import { rows } from '../../src/isa/rows.ts';
import { Random } from '../silicon/random.ts';
import { regionModule } from './region-text.ts';

const SEED = 0x5eed;
const HLT = 0xf4;

/** Loops that count in ECX, and JECXZ: an address-size prefix on a branch. */
const isShortLoop = (code: Uint8Array): boolean =>
  code.includes(0x67) && code[code.length - 2] >= 0xe0 && code[code.length - 2] <= 0xe3;

const isValid = (code: Uint8Array): boolean => {
  const module = regionModule(Uint8Array.of(...code, HLT));
  return module === undefined || WebAssembly.validate(module);
};

const hex = (code: Uint8Array): string => Buffer.from(code).toString('hex');

test('every form of every instruction gives a valid module', () => {
  const random = new Random(SEED);
  const next = (): number => random.next();
  const invalid: string[] = [];
  let count = 0;
  for (const row of rows.filter(({ modes }) => modes !== 'not64')) {
    for (const form of formsOf(row, 8)) {
      for (const addrSize of [8, 4] as const) {
        const limits = { ...form, addrSize, lock: random.percent(50) };
        for (const code of encodingsOf(row, next, 8, limits)) {
          count++;
          if (!isValid(code) && !isShortLoop(code)) invalid.push(`${row.name}: ${hex(code)}`);
        }
      }
    }
  }
  expect(invalid).toEqual([]);
  expect(count).toBeGreaterThan(4000);
});

// They run on the state of the vCPU, and branch along the region's edges.
test('JECXZ and LOOP with an address-size prefix give a valid module', () => {
  expect(isValid(Uint8Array.of(0x67, 0xe3, 0x20))).toBe(true);
  expect(isValid(Uint8Array.of(0x67, 0xe2, 0x20))).toBe(true);
});
