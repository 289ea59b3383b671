// Small guests of 16 and 32 bits on every engine that executes code, and on QEMU.

import { expect, test } from 'vitest';
import { softEngines } from './engines-under-test.ts';
import { Guest } from './guest-program.ts';
import { hasQemu, qemuReports } from './qemu-guest.ts';

/** A guest, and what the manual says that it reports. */
export interface GuestCase {
  readonly mode: 16 | 32;
  readonly source: string;
  /** Changes memory before the guest starts: handlers, tables. */
  readonly prepare?: (guest: Guest) => void;
  readonly reports: readonly number[];
  /** Why QEMU is not asked. */
  readonly notOnQemu?: string;
}

/** Makes a test of each engine, and one of QEMU, of a guest. */
export function testGuest(name: string, guestCase: GuestCase): void {
  const make = (engine: (typeof softEngines)[number]): Guest => {
    const guest = new Guest(engine.make(), guestCase.mode, guestCase.source);
    guest.reportExceptions(1, 6, 8, 10, 11, 12, 13, 14, 17);
    guestCase.prepare?.(guest);
    return guest;
  };
  for (const engine of softEngines) {
    test(`${name} (${engine.name})`, () => {
      expect(make(engine).reports()).toEqual(guestCase.reports);
    });
  }
  const unasked = guestCase.notOnQemu ?? (hasQemu ? undefined : 'QEMU is not installed');
  test.skipIf(unasked)(`${name} (QEMU${unasked ? `: ${unasked}` : ''})`, () => {
    expect(qemuReports(make(softEngines[0]))).toEqual(guestCase.reports);
  });
}
