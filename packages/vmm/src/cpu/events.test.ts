import { beforeEach, expect, test } from 'vitest';
import { descriptor, gate, SystemFixture } from '../../test/system/fixture.ts';
import { EVENT, EXIT, RSP, S, SS, TR } from './state.ts';

const CS = 1;
const IDT = 0x1000;
const GDT = 0x2000;
const TSS = 0x3000;
const TABLES = 0x10000;
const CODE64 = 0xa09b;

/** Selectors of the GDT below. */
const KERNEL_CODE = 0x08;
const KERNEL_DATA = 0x10;
const USER_CODE = 0x18;
const USER_DATA = 0x20;
const CONFORMING = 0x28;
const ABSENT_CODE = 0x30;
const KERNEL_CODE16 = 0x38;

let x: SystemFixture;

function useGdt(long: boolean): void {
  const code = long ? 0xa : 0xc;
  x.useGdt(GDT, [
    0n,
    descriptor(0, 0xfffff, 0x9b, code),
    descriptor(0, 0xfffff, 0x93, 0xc),
    descriptor(0, 0xfffff, 0xfb, code),
    descriptor(0, 0xfffff, 0xf3, 0xc),
    descriptor(0, 0xfffff, 0x9f, code),
    descriptor(0, 0xfffff, 0x1b, code),
    descriptor(0, 0xffff, 0x9b, 0),
  ]);
  x.set64(S.idtrBase, BigInt(IDT));
  x.set32(S.idtrLimit, 0xfff);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 0xff, ar: 0x8b });
}

function setGate(vector: number, selector: number, offset: number, access: number, ist = 0): void {
  const long = (x.get32(S.efer) & 0x400) !== 0;
  const at = IDT + vector * (long ? 16 : 8);
  x.write(at, 8, gate(selector, offset, access, ist));
  if (long) x.write(at + 8, 8, 0n);
}

/** 64-bit mode, in the ring given, with a flat stack and RIP 0x1234. */
function longMode(cpl: 0 | 3): void {
  useGdt(true);
  const dpl = cpl << 5;
  x.enterLongMode(TABLES, {
    selector: cpl ? USER_CODE | 3 : KERNEL_CODE,
    base: 0,
    limit: 0xffffffff,
    ar: CODE64 | dpl,
  });
  const data = cpl ? USER_DATA | 3 : KERNEL_DATA;
  x.setSegment(SS, { selector: data, base: 0, limit: 0xffffffff, ar: 0xc093 | dpl });
  ready(cpl);
}

/** 32-bit protected mode without paging. */
function protectedMode(cpl: 0 | 3): void {
  useGdt(false);
  const dpl = cpl << 5;
  x.setSegment(CS, {
    selector: cpl ? USER_CODE | 3 : KERNEL_CODE,
    base: 0,
    limit: 0xffffffff,
    ar: 0xc09b | dpl,
  });
  x.setSegment(SS, {
    selector: cpl ? USER_DATA | 3 : KERNEL_DATA,
    base: 0,
    limit: 0xffffffff,
    ar: 0xc093 | dpl,
  });
  ready(cpl);
}

function ready(cpl: 0 | 3): void {
  x.set32(S.cpl, cpl);
  x.set64(S.rip, 0x1234n);
  x.set64(S.eventRip, 0x1234n);
  x.setGpr(RSP, 0x8008);
  x.set32(S.eflags, 0x202);
  // The result and carry words that give status flags: none set but PF = 0.
  x.set64(S.flagResult, 1n);
  x.set64(S.flagCarry, 0n);
  x.call('updateModes');
}

const deliver = (vector: number, kind: number, code?: number): number =>
  x.call('deliver', vector, kind, code === undefined ? 0 : 1, code ?? 0) as number;

beforeEach(() => {
  x = new SystemFixture();
});

test('deliver() in 64-bit mode aligns the stack and pushes SS to RIP and the error code', () => {
  longMode(0);
  setGate(14, KERNEL_CODE, 0x5000, 0x8e);
  expect(deliver(14, EVENT.exception, 3)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x5000n);
  expect(x.gpr(RSP)).toBe(0x8000n - 48n);
  // RF (bit 16) is set in the image, since this is a fault.
  expect(x.words(0x8000 - 48, 8, 6)).toEqual([3n, 0x1234n, 0x08n, 0x10202n, 0x8008n, 0x10n]);
  expect(x.get32(S.eflags)).toBe(2);
  expect(x.segment(SS).selector).toBe(KERNEL_DATA);
});

test('deliver() from ring 3 in 64-bit mode takes RSP0 and a null SS', () => {
  longMode(3);
  setGate(0x80, KERNEL_CODE, 0x5000, 0xef);
  x.write(TSS + 4, 8, 0x9000n);
  expect(deliver(0x80, EVENT.external)).toBe(0);
  expect(x.get32(S.cpl)).toBe(0);
  expect(x.gpr(RSP)).toBe(0x9000n - 40n);
  expect(x.words(0x9000 - 40, 8, 5)).toEqual([0x1234n, 0x1bn, 0x202n, 0x8008n, 0x23n]);
  expect(x.segment(SS)).toMatchObject({ selector: 0, ar: 0x10000 });
  expect(x.segment(CS)).toMatchObject({ selector: KERNEL_CODE, ar: CODE64 });
  // A trap gate leaves IF as it is.
  expect(x.get32(S.eflags)).toBe(0x202);
});

test('deliver() takes the interrupt stack of the gate, also without a change of ring', () => {
  longMode(0);
  setGate(2, KERNEL_CODE, 0x5000, 0x8e, 3);
  x.write(TSS + 36 + 16, 8, 0xa00cn);
  expect(deliver(2, EVENT.external)).toBe(0);
  expect(x.gpr(RSP)).toBe(0xa000n - 40n);
  expect(x.segment(SS).selector).toBe(KERNEL_DATA);
});

test('deliver() to a conforming segment stays in the ring it comes from', () => {
  longMode(3);
  setGate(6, CONFORMING, 0x5000, 0x8e);
  expect(deliver(6, EVENT.exception)).toBe(0);
  expect(x.get32(S.cpl)).toBe(3);
  expect(x.segment(CS).selector).toBe(CONFORMING | 3);
});

test.each([
  ['beyond the IDT', 0xff, () => x.set32(S.idtrLimit, 0xfef), [13, 0xff * 8 + 3]],
  ['of the wrong type', 0x81, () => setGate(0x81, KERNEL_CODE, 0, 0x8c), [13, 0x81 * 8 + 3]],
  ['not present', 0x81, () => setGate(0x81, KERNEL_CODE, 0, 0x0e), [11, 0x81 * 8 + 3]],
  ['to a null selector', 0x81, () => setGate(0x81, 0, 0, 0x8e), [13, 1]],
  ['to a data segment', 0x81, () => setGate(0x81, KERNEL_DATA, 0, 0x8e), [13, 0x11]],
  ['to an absent segment', 0x81, () => setGate(0x81, ABSENT_CODE, 0, 0x8e), [11, 0x31]],
  ['to 16-bit code', 0x81, () => setGate(0x81, KERNEL_CODE16, 0, 0x8e), [13, 0x39]],
])('deliver() of a gate %s delivers the exception of 6.13', (_what, vector, prepare, expected) => {
  longMode(0);
  prepare();
  for (const handler of [11, 13]) setGate(handler, KERNEL_CODE, 0x6000 + handler, 0x8e);
  expect(deliver(vector, EVENT.external)).toBe(0);
  expect(x.get64(S.rip)).toBe(BigInt(0x6000 + expected[0]));
  expect(x.read(Number(x.gpr(RSP)), 8)).toBe(BigInt(expected[1]));
});

test('interrupt() checks the privilege of the gate, and faults without EXT', () => {
  longMode(3);
  setGate(0x80, KERNEL_CODE, 0x5000, 0x8e);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(1);
  expect(x.takeFault()).toEqual([13, 0x80 * 8 + 2]);
  setGate(0x80, KERNEL_CODE, 0x5000, 0xee);
  x.write(TSS + 4, 8, 0x9000n);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x5000n);
  // INT n is not a fault: RF is pushed as it is.
  expect(x.read(0x9000 - 24, 8)).toBe(0x202n);
});

test('deliver() makes a double fault of two contributory exceptions', () => {
  longMode(0);
  setGate(13, KERNEL_CODE, 0x5000, 0x0e);
  setGate(8, KERNEL_CODE, 0x7000, 0x8e, 1);
  x.write(TSS + 36, 8, 0xb000n);
  expect(deliver(13, EVENT.exception, 0)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x7000n);
  expect(x.words(0xb000 - 48, 8, 2)).toEqual([0n, 0x1234n]);
});

test('deliver() serves a page fault during a contributory exception, and not the reverse', () => {
  longMode(0);
  setGate(8, KERNEL_CODE, 0x7000, 0x8e);
  setGate(14, KERNEL_CODE, 0x7100, 0x8e);
  // A stack that is not mapped: #GP cannot push, and neither could #PF, but for its own stack.
  setGate(13, KERNEL_CODE, 0x5000, 0x8e, 2);
  x.write(TSS + 44, 8, 0x7f0000000000n);
  expect(deliver(13, EVENT.exception, 0)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x7100n);
  expect(x.get64(S.cr2)).toBe(0x7f0000000000n - 8n);
  setGate(14, KERNEL_CODE, 0x7100, 0x0e);
  expect(deliver(14, EVENT.exception, 0)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x7000n);
});

test('deliver() shuts the processor down when #DF cannot be delivered', () => {
  longMode(0);
  x.set32(S.idtrLimit, 0);
  expect(deliver(6, EVENT.exception)).not.toBe(0);
  expect(x.get32(S.exit)).toBe(EXIT.tripleFault);
  expect(x.get64(S.rip)).toBe(0x1234n);
});

test('deliver() raises #SS for an inner stack that is not canonical, with EXT', () => {
  longMode(3);
  setGate(0x80, KERNEL_CODE, 0x5000, 0x8e);
  setGate(12, KERNEL_CODE, 0x6000, 0x8e, 1);
  x.write(TSS + 4, 8, 0x8000000000000000n);
  x.write(TSS + 36, 8, 0xb000n);
  expect(deliver(0x80, EVENT.external)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x6000n);
  expect(x.read(0xb000 - 48, 8)).toBe(1n);
});

test('deliver() raises #TS for a TSS too short for the stack pointer', () => {
  longMode(3);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 10, ar: 0x8b });
  setGate(0x80, KERNEL_CODE, 0x5000, 0x8e);
  expect(x.call('interrupt', 0x80, EVENT.external)).toBe(1);
  expect(x.takeFault()).toEqual([10, 0x41]);
});

test('deliver() from compatibility mode saves the 32-bit state on a 64-bit stack', () => {
  longMode(3);
  x.setSegment(CS, { selector: 0x1b, base: 0x100, limit: 0xfffff, ar: 0xc0fb });
  x.setSegment(SS, { selector: 0x23, base: 0x200, limit: 0xfffff, ar: 0xc0f3 });
  x.call('updateModes');
  expect(x.get32(S.codeMode)).toBe(4);
  x.write(GDT + USER_CODE, 8, descriptor(0x100, 0xfffff, 0xfb, 0xc));
  setGate(14, KERNEL_CODE, 0x5000, 0x8e);
  x.write(TSS + 4, 8, 0x9000n);
  expect(deliver(14, EVENT.exception, 4)).toBe(0);
  expect(x.words(0x9000 - 48, 8, 6)).toEqual([4n, 0x1234n, 0x1bn, 0x10202n, 0x8008n, 0x23n]);
  expect([x.get32(S.codeMode), x.segment(CS).base]).toEqual([8, 0]);
  expect(x.call('back.iret', 8)).toBe(1);
  // The error code is still on the stack, and is no canonical return address: drop it first.
  x.takeFault();
  x.setGpr(RSP, 0x9000 - 40);
  expect(x.call('back.iret', 8)).toBe(0);
  expect([x.get32(S.codeMode), x.get64(S.rip), x.gpr(RSP)]).toEqual([4, 0x1234n, 0x8008n]);
  expect(x.segment(CS).base).toBe(0x100);
});

test('deliver() through a 32-bit gate pushes EFLAGS, CS, EIP and the code', () => {
  protectedMode(0);
  setGate(13, KERNEL_CODE, 0x12345, 0x8e);
  expect(deliver(13, EVENT.exception, 0x50)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x12345n);
  expect(x.gpr(RSP)).toBe(0x8008n - 16n);
  expect(x.words(0x8008 - 16, 4, 4)).toEqual([0x50n, 0x1234n, 0x08n, 0x10202n]);
});

test('deliver() through a 16-bit gate pushes words and jumps to a 16-bit offset', () => {
  protectedMode(0);
  x.write(IDT + 8 * 0x21, 8, gate(KERNEL_CODE16, 0x12345, 0x86));
  expect(deliver(0x21, EVENT.external)).toBe(0);
  expect(x.get64(S.rip)).toBe(0x2345n);
  expect(x.words(0x8008 - 6, 2, 3)).toEqual([0x1234n, 0x08n, 0x202n]);
  expect(x.get32(S.codeMode)).toBe(2);
});

test('deliver() from ring 3 takes SS0 and ESP0 of a 32-bit TSS', () => {
  protectedMode(3);
  setGate(0x80, KERNEL_CODE, 0x5000, 0xee);
  x.write(TSS + 4, 4, 0x9000);
  x.write(TSS + 8, 2, KERNEL_DATA);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(0);
  expect(x.words(0x9000 - 20, 4, 5)).toEqual([0x1234n, 0x1bn, 0x202n, 0x8008n, 0x23n]);
  expect(x.segment(SS)).toMatchObject({ selector: KERNEL_DATA, ar: 0xc093 });
  expect(x.get32(S.cpl)).toBe(0);
});

test('deliver() from ring 3 takes SS0 and SP0 of a 16-bit TSS', () => {
  protectedMode(3);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 43, ar: 0x83 });
  setGate(0x80, KERNEL_CODE, 0x5000, 0xee);
  x.write(TSS + 2, 2, 0x9000);
  x.write(TSS + 4, 2, KERNEL_DATA);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(0);
  expect(x.gpr(RSP)).toBe(0x9000n - 20n);
});

test.each([
  ['null', 0, [10, 0]],
  ['of another ring', USER_DATA | 3, [10, 0x20]],
  ['beyond the GDT', 0x100, [10, 0x100]],
  ['code', KERNEL_CODE, [10, 0x08]],
])('interrupt() raises #TS for an SS0 that is %s', (_what, ss0, expected) => {
  protectedMode(3);
  setGate(0x80, KERNEL_CODE, 0x5000, 0xee);
  x.write(TSS + 4, 4, 0x9000);
  x.write(TSS + 8, 2, ss0);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(1);
  expect(x.takeFault()).toEqual(expected);
  expect([x.get32(S.cpl), x.gpr(RSP), x.segment(SS).selector]).toEqual([3, 0x8008n, 0x23]);
});

test('interrupt() raises #SS with the selector when the inner stack has no room', () => {
  protectedMode(3);
  x.write(GDT + KERNEL_DATA, 8, descriptor(0, 0x7fff, 0x93, 0x4));
  setGate(0x80, KERNEL_CODE, 0x5000, 0xee);
  x.write(TSS + 4, 4, 0x9000);
  x.write(TSS + 8, 2, KERNEL_DATA);
  expect(x.call('interrupt', 0x80, EVENT.software)).toBe(1);
  expect(x.takeFault()).toEqual([12, KERNEL_DATA]);
});

test('deliver() in real-address mode goes through the vector table', () => {
  x.set64(S.cr0, 0x10n);
  x.setSegment(CS, { selector: 0xf000, base: 0xf0000, limit: 0xffff, ar: 0x93 });
  x.setSegment(SS, { selector: 0x100, base: 0x1000, limit: 0xffff, ar: 0x93 });
  ready(0);
  x.set64(S.idtrBase, 0n);
  x.set32(S.idtrLimit, 0x3ff);
  x.setGpr(RSP, 0xabcd0100);
  x.write(0x10 * 4, 4, 0x12340056);
  expect(x.call('interrupt', 0x10, EVENT.software)).toBe(0);
  expect([x.get64(S.rip), x.segment(CS).selector, x.segment(CS).base]).toEqual([
    0x56n,
    0x1234,
    0x12340,
  ]);
  expect(x.gpr(RSP)).toBe(0xabcd00fan);
  expect(x.words(0x10fa, 2, 3)).toEqual([0x1234n, 0xf000n, 0x202n]);
  expect(x.get32(S.eflags)).toBe(2);
  expect(x.call('back.iret', 2)).toBe(0);
  expect([x.get64(S.rip), x.segment(CS).base, x.get32(S.eflags)]).toEqual([
    0x1234n,
    0xf0000,
    0x202,
  ]);
});

test('deliver() of #DB clears DR7.GD and the shadow', () => {
  longMode(0);
  setGate(1, KERNEL_CODE, 0x5000, 0x8e);
  x.set64(S.dr + 56, 0x2400n);
  x.set32(S.shadow, 1);
  expect(deliver(1, EVENT.exception)).toBe(0);
  expect([x.get64(S.dr + 56), x.get32(S.shadow)]).toEqual([0x400n, 0]);
});
