// The paravirtual clock that guests enable with the MSR KVM_SYSTEM_TIME: a 32-byte record in guest
// memory that gives the time since the VM's start at a value of the time-stamp counter, and the
// rate to go on from there. Linux, Documentation/virt/kvm/x86/msr.rst; OpenBSD, pvclock(4). The
// engine updates the record before it enters the guest.
//
//   u32 version, u32 padding, u64 tsc_timestamp, u64 system_time,
//   u32 tsc_to_system_mul, s8 tsc_shift, u8 flags, u8 padding[2]
//
// The guest computes ns = system_time + (((tsc - tsc_timestamp) << shift) * mul >> 32), and retries
// when the version is odd or has changed meanwhile.

import type { EngineMemoryRange } from './engine.ts';
import { PAGE_SIZE } from './limits.ts';
import { covers } from './memory-ranges.ts';

/** Size of the record in bytes. */
export const PVCLOCK_RECORD_BYTES = 32;
/** KVM_SYSTEM_TIME: the clock is on. */
export const PVCLOCK_ENABLE = 1;
/** Flag: the counter never goes back, not even between vCPUs. */
const PVCLOCK_TSC_STABLE = 1;
const ADDRESS_MASK = ~0xfn;
const SHIFT = 12;

/** Where the record is, for a value of the MSR. */
export const pvclockAddress = (value: bigint): bigint => value & ADDRESS_MASK;

/** True when the record lies in memory and in one page; the MSR takes nothing else. */
export function isPvclockValid(ranges: readonly EngineMemoryRange[], value: bigint): boolean {
  const address = pvclockAddress(value);
  if (address > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  const gpa = Number(address);
  if ((gpa % PAGE_SIZE) + PVCLOCK_RECORD_BYTES > PAGE_SIZE) return false;
  return covers(ranges, gpa, PVCLOCK_RECORD_BYTES);
}

/** The multiplier for a counter of `tscHz` with the shift that the record has; 0 if unknown. */
export function pvclockMultiplier(tscHz: number): number {
  return tscHz > 0 ? Math.floor((1e9 * 2 ** (32 - SHIFT)) / tscHz) >>> 0 : 0;
}

/** A moment, as the record tells it. */
export interface PvclockMoment {
  /** The time-stamp counter, in two unsigned halves. */
  readonly tscLow: number;
  readonly tscHigh: number;
  /** Nanoseconds since the VM's start, up to 2^53. */
  readonly systemTimeNs: number;
  /** {@link pvclockMultiplier}. */
  readonly multiplier: number;
}

/**
 * Writes the record at byte `at`, and answers its new version, which is even. `version` is the one
 * before. The version is odd while the rest changes, for guests with another vCPU to see.
 */
export function writePvclock(
  view: DataView,
  at: number,
  version: number,
  moment: PvclockMoment,
): number {
  const { tscLow, tscHigh, systemTimeNs, multiplier } = moment;
  const odd = ((version & ~1) + 1) >>> 0;
  view.setUint32(at, odd, true);
  view.setUint32(at + 4, 0, true);
  view.setUint32(at + 8, tscLow, true);
  view.setUint32(at + 12, tscHigh, true);
  view.setUint32(at + 16, systemTimeNs % 2 ** 32, true);
  view.setUint32(at + 20, systemTimeNs / 2 ** 32, true);
  view.setUint32(at + 24, multiplier, true);
  view.setInt8(at + 28, SHIFT);
  view.setUint8(at + 29, PVCLOCK_TSC_STABLE);
  view.setUint16(at + 30, 0, true);
  const even = (odd + 1) >>> 0;
  view.setUint32(at, even, true);
  return even;
}
