import { expect, test } from 'vitest';
import { isPvclockValid, pvclockMultiplier, writePvclock } from './pvclock.ts';

/** The guest's side, as Linux's documentation of struct pvclock_vcpu_time_info computes it. */
function guestTime(view: DataView, at: number, tsc: bigint): bigint {
  const stamp = view.getBigUint64(at + 8, true);
  const time = view.getBigUint64(at + 16, true);
  const multiplier = BigInt(view.getUint32(at + 24, true));
  const shift = BigInt(view.getInt8(at + 28));
  return time + ((((tsc - stamp) << shift) * multiplier) >> 32n);
}

test('writePvclock() gives the guest the time, at any counter frequency', () => {
  const view = new DataView(new ArrayBuffer(64));
  for (const tscHz of [1e9, 2.5e9, 24e6]) {
    const moment = {
      tscLow: 0xfffffff0,
      tscHigh: 2,
      systemTimeNs: 5_000_000_000_123,
      multiplier: pvclockMultiplier(tscHz),
    };
    writePvclock(view, 32, 0, moment);
    const stamp = 0x2_ffff_fff0n;
    expect(guestTime(view, 32, stamp)).toBe(5_000_000_000_123n);
    const later = guestTime(view, 32, stamp + BigInt(tscHz)) - 5_000_000_000_123n;
    expect(Math.abs(Number(later) - 1e9)).toBeLessThan(1e9 / 2 ** 14);
  }
  expect(view.getUint8(32 + 29)).toBe(1);
  expect(pvclockMultiplier(0)).toBe(0);
});

test('writePvclock() steps the version from even to even, and wraps', () => {
  const view = new DataView(new ArrayBuffer(32));
  const moment = { tscLow: 0, tscHigh: 0, systemTimeNs: 0, multiplier: 1 };
  expect(writePvclock(view, 0, 0, moment)).toBe(2);
  expect(writePvclock(view, 0, 7, moment)).toBe(8);
  expect(writePvclock(view, 0, 0xfffffffe, moment)).toBe(0);
  expect(view.getUint32(0, true)).toBe(0);
});

test('isPvclockValid() wants the record in memory and in one page', () => {
  const ranges = [
    { gpa: 0, offset: 0, sizeBytes: 0xa0000 },
    { gpa: 0x100000, offset: 0xa0000, sizeBytes: 0x100000 },
  ];
  expect(isPvclockValid(ranges, 0x1fe1n)).toBe(true);
  expect(isPvclockValid(ranges, 0x1ff1n)).toBe(false);
  expect(isPvclockValid(ranges, 0xa0001n)).toBe(false);
  expect(isPvclockValid(ranges, 0x100001n)).toBe(true);
  expect(isPvclockValid(ranges, 0x200001n)).toBe(false);
  expect(isPvclockValid(ranges, (1n << 64n) - 1n)).toBe(false);
});
