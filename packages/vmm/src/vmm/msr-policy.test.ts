import { expect, test } from 'vitest';
import {
  archCapabilitiesHigh,
  archCapabilitiesLow,
  filterMiscEnable,
  isPatValid,
  patResetHigh,
  patResetLow,
  readUnknownMsr,
  writeUnknownMsr,
} from './msr-policy.ts';

test('isPatValid() accepts the memory types of SDM 3A table 12-10 and no others', () => {
  expect(isPatValid(patResetLow, patResetHigh)).toBe(true);
  for (const type of [0, 1, 4, 5, 6, 7]) expect(isPatValid(type << 24, type)).toBe(true);
  for (const type of [2, 3, 8, 0x86]) {
    expect(isPatValid(type << 8, 0)).toBe(false);
    expect(isPatValid(0, type << 16)).toBe(false);
  }
});

test('unknown registers fault when read and swallow what is written', () => {
  expect(readUnknownMsr(0x8b)).toBe('zero');
  expect(readUnknownMsr(0x17)).toBe('zero');
  expect(readUnknownMsr(0xfe)).toBe('fault'); // IA32_MTRRCAP
  expect(readUnknownMsr(0x1b)).toBe('fault'); // IA32_APIC_BASE
  expect(writeUnknownMsr(0x2ff)).toBe('ignore');
  expect(writeUnknownMsr(0x9b)).toBe('fault');
});

test('filterMiscEnable() drops thermal control, speed step and xTPR', () => {
  expect(filterMiscEnable(0xffffffff)).toBe(0xff7efff7);
});

test('IA32_ARCH_CAPABILITIES has the NO bits of SDM 4 table 2-2, and no others', () => {
  expect(archCapabilitiesLow).toBe(0x0d10e17b);
  expect(archCapabilitiesHigh).toBe(0x40000000);
});
