import { beforeEach, expect, test } from 'vitest';
import { descriptor, gate, SystemFixture } from '../../test/system/fixture.ts';
import { RCX, RDX, RSP, S, SS, TR } from './state.ts';

const CS = 1;
const DS = 3;
const GDT = 0x2000;
const TSS = 0x3000;
const TABLES = 0x10000;
const R11 = 11;

const KERNEL_CODE = 0x08;
const KERNEL_DATA = 0x10;
const USER_CODE = 0x18;
const USER_DATA = 0x20;
const CODE16 = 0x28;
const CONFORMING = 0x30;
const GATE = 0x38;
const USER_CODE32 = 0x48;

let x: SystemFixture;

function useGdt(long: boolean): void {
  const code = long ? 0xa : 0xc;
  x.useGdt(GDT, [
    0n,
    descriptor(0, 0xfffff, 0x9a, code),
    descriptor(0, 0xfffff, 0x92, 0xc),
    descriptor(0, 0xfffff, 0xfa, code),
    descriptor(0, 0xfffff, 0xf2, 0xc),
    descriptor(0x400, 0xffff, 0x9a, 0),
    descriptor(0, 0xfffff, 0x9e, code),
    0n,
    0n,
    descriptor(0, 0xfffff, 0xfa, 0xc),
  ]);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 0xff, ar: 0x8b });
}

function start(long: boolean, cpl: 0 | 3): void {
  useGdt(long);
  const dpl = cpl << 5;
  const code = { base: 0, limit: 0xffffffff, selector: cpl ? USER_CODE | 3 : KERNEL_CODE };
  if (long) x.enterLongMode(TABLES, { ...code, ar: 0xa09b | dpl });
  else x.setSegment(CS, { ...code, ar: 0xc09b | dpl });
  const selector = cpl ? USER_DATA | 3 : KERNEL_DATA;
  x.setSegment(SS, { selector, base: 0, limit: 0xffffffff, ar: 0xc093 | dpl });
  x.setSegment(DS, { selector: KERNEL_DATA, base: 0, limit: 0xffffffff, ar: 0xc093 });
  x.set32(S.cpl, cpl);
  x.set64(S.rip, 0x1234n);
  x.setGpr(RSP, 0x8000);
  x.set64(S.flagResult, 1n);
  x.call('updateModes');
}

const jump = (selector: number, offset: bigint, size = 4) =>
  x.call('far.jump', selector, offset, size, 0n);
const where = () => [x.segment(CS).selector, x.get64(S.rip), x.get32(S.cpl), x.get32(S.codeMode)];

beforeEach(() => {
  x = new SystemFixture();
});

test('jump() loads CS, sets its accessed bit, and changes the code size', () => {
  start(false, 0);
  expect(jump(CODE16, 0x1234n, 2)).toBe(0);
  expect(where()).toEqual([CODE16, 0x1234n, 0, 2]);
  expect(x.segment(CS)).toMatchObject({ base: 0x400, limit: 0xffff, ar: 0x9b });
  expect(x.read(GDT + CODE16 + 5, 1)).toBe(0x9bn);
});

test.each([
  ['a null selector', 3, [13, 0]],
  ['data', KERNEL_DATA, [13, KERNEL_DATA]],
  ['a selector beyond the GDT', 0x200, [13, 0x200]],
  ['a selector of an LDT that is not there', 0x0c, [13, 0x0c]],
  ['code of another ring', USER_CODE, [13, USER_CODE]],
  ['code with an RPL above CPL', KERNEL_CODE | 1, [13, KERNEL_CODE]],
])('jump() to %s raises #GP', (_what, selector, fault) => {
  start(false, 0);
  expect(jump(selector, 0n)).toBe(1);
  expect(x.takeFault()).toEqual(fault);
  expect(where()).toEqual([KERNEL_CODE, 0x1234n, 0, 4]);
});

test('jump() to absent code raises #NP, beyond the limit #GP(0)', () => {
  start(false, 0);
  x.write(GDT + CODE16 + 5, 1, 0x1a);
  expect(jump(CODE16, 0n)).toBe(1);
  expect(x.takeFault()).toEqual([11, CODE16]);
  x.write(GDT + CODE16 + 5, 1, 0x9a);
  expect(jump(CODE16, 0x10000n)).toBe(1);
  expect(x.takeFault()).toEqual([13, 0]);
  expect(where()).toEqual([KERNEL_CODE, 0x1234n, 0, 4]);
});

test('jump() to conforming code keeps the ring', () => {
  start(false, 3);
  expect(jump(CONFORMING | 3, 0x40n)).toBe(0);
  expect(where()).toEqual([CONFORMING | 3, 0x40n, 3, 4]);
});

test('jump() between 64-bit and compatibility code changes the bases in effect', () => {
  start(true, 0);
  x.setSegment(DS, { selector: KERNEL_DATA, base: 0x700, limit: 0xffff, ar: 0x93 });
  x.call('updateModes');
  expect([x.get32(S.codeMode), x.segment(DS).base]).toEqual([8, 0]);
  expect(jump(CODE16, 0x10n)).toBe(0);
  expect([x.get32(S.codeMode), x.segment(DS).base, x.segment(CS).base]).toEqual([2, 0x700, 0x400]);
  expect(jump(KERNEL_CODE, 0x8000000000n)).toBe(0);
  expect([x.get32(S.codeMode), x.segment(DS).base]).toEqual([8, 0]);
});

test('jump() with an 8-byte operand checks canonicality in 64-bit code', () => {
  start(true, 0);
  expect(jump(KERNEL_CODE, 0x800000000000n, 8)).toBe(1);
  expect(x.takeFault()).toEqual([13, 0]);
  expect(jump(KERNEL_CODE, 0xffff800000000000n, 8)).toBe(0);
  expect(x.get64(S.rip)).toBe(0xffff800000000000n);
});

test('call() pushes CS and the return address in the operand size; ret() goes back', () => {
  start(false, 0);
  expect(x.call('far.call', CODE16, 0x50n, 4, 0x1239n)).toBe(0);
  expect(x.words(0x7ff8, 4, 2)).toEqual([0x1239n, BigInt(KERNEL_CODE)]);
  expect(where()).toEqual([CODE16, 0x50n, 0, 2]);
  expect(x.call('back.ret', 4, 12)).toBe(0);
  expect(where()).toEqual([KERNEL_CODE, 0x1239n, 0, 4]);
  expect(x.gpr(RSP)).toBe(0x800cn);
});

test('call() through a 32-bit gate switches stacks and copies parameters; ret() drops them', () => {
  start(false, 3);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x5678, 0xec, 2));
  x.write(TSS + 4, 4, 0x9000);
  x.write(TSS + 8, 2, KERNEL_DATA);
  x.write(0x8000, 8, 0x2222222211111111n);
  expect(x.call('far.call', GATE | 3, 0n, 4, 0x1239n)).toBe(0);
  expect(where()).toEqual([KERNEL_CODE, 0x5678n, 0, 4]);
  expect(x.gpr(RSP)).toBe(0x9000n - 24n);
  expect(x.words(0x9000 - 24, 4, 6)).toEqual([
    0x1239n,
    0x1bn,
    0x11111111n,
    0x22222222n,
    0x8000n,
    0x23n,
  ]);
  expect(x.call('back.ret', 4, 8)).toBe(0);
  expect(where()).toEqual([USER_CODE | 3, 0x1239n, 3, 4]);
  expect(x.gpr(RSP)).toBe(0x8008n);
  // DS was the kernel's: it is taken away.
  expect(x.segment(DS)).toMatchObject({ selector: 0 });
  expect(x.segment(DS).ar & 0x10000).toBe(0x10000);
});

test('call() through a 16-bit gate pushes words', () => {
  start(false, 0);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x15678, 0x84, 0));
  expect(x.call('far.call', GATE, 0n, 4, 0x1239n)).toBe(0);
  expect(where()).toEqual([KERNEL_CODE, 0x5678n, 0, 4]);
  expect(x.words(0x7ffc, 2, 2)).toEqual([0x1239n, BigInt(KERNEL_CODE)]);
});

test('call() through a 64-bit gate takes RSP0 and a null SS', () => {
  start(true, 3);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x56789abc, 0xec));
  x.write(GDT + GATE + 8, 8, 0x7fn);
  x.write(TSS + 4, 8, 0x9000n);
  expect(x.call('far.call', GATE | 3, 0n, 4, 0x1239n)).toBe(0);
  expect(where()).toEqual([KERNEL_CODE, 0x7f56789abcn, 0, 8]);
  expect(x.words(0x9000 - 32, 8, 4)).toEqual([0x1239n, 0x1bn, 0x8000n, 0x23n]);
  expect(x.segment(SS).selector).toBe(0);
  expect(x.call('back.ret', 8, 0)).toBe(0);
  expect(where()).toEqual([USER_CODE | 3, 0x1239n, 3, 8]);
});

test('call() to a gate checks its privilege, type and presence', () => {
  start(true, 3);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x5678, 0x8c));
  const attempt = () => {
    x.call('far.call', GATE | 3, 0n, 4, 0x1239n);
    return x.takeFault();
  };
  expect(attempt()).toEqual([13, GATE]);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x5678, 0x6c));
  expect(attempt()).toEqual([11, GATE]);
  // A 16-bit gate does not exist in IA-32e mode, nor a second half with a type.
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x5678, 0xe4));
  expect(attempt()).toEqual([13, GATE]);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE, 0x5678, 0xec));
  x.write(GDT + GATE + 8, 8, 0x100000000000n);
  expect(attempt()).toEqual([13, GATE]);
});

test('jump() through a gate goes to code of the same ring only', () => {
  start(false, 0);
  x.write(GDT + GATE, 8, gate(KERNEL_CODE | 3, 0x5678, 0x8c));
  expect(jump(GATE, 0n)).toBe(0);
  expect(where()).toEqual([KERNEL_CODE, 0x5678n, 0, 4]);
  x.write(GDT + GATE, 8, gate(USER_CODE, 0x5678, 0x8c));
  expect(jump(GATE, 0n)).toBe(1);
  expect(x.takeFault()).toEqual([13, USER_CODE]);
});

function pushFrame(size: 4 | 8, ...values: (number | bigint)[]): void {
  const rsp = 0x8000 - size * values.length;
  for (const [i, value] of values.entries()) x.write(rsp + size * i, size, value);
  x.setGpr(RSP, rsp);
}

test('iret() to ring 3 loads SS, RSP and the flags that ring 0 may change', () => {
  start(true, 0);
  pushFrame(8, 0x4000, USER_CODE | 3, 0x3246n, 0x7ffff000, USER_DATA | 3);
  expect(x.call('back.iret', 8)).toBe(0);
  expect(where()).toEqual([USER_CODE | 3, 0x4000n, 3, 8]);
  expect([x.gpr(RSP), x.segment(SS).selector]).toEqual([0x7ffff000n, USER_DATA | 3]);
  expect(x.call('modes.packFlags')).toBe(0x3246);
});

test('iret() to compatibility code cuts RIP and uses 32-bit stacks', () => {
  start(true, 0);
  pushFrame(8, 0x4000, USER_CODE32 | 3, 0x202, 0xffffe000, USER_DATA | 3);
  expect(x.call('back.iret', 8)).toBe(0);
  expect(where()).toEqual([USER_CODE32 | 3, 0x4000n, 3, 4]);
  expect(x.get32(S.stackSize)).toBe(4);
});

test('iret() in ring 3 keeps IOPL, and IF unless IOPL allows it', () => {
  start(true, 3);
  x.set32(S.eflags, 0x202);
  pushFrame(8, 0x4000, USER_CODE | 3, 0x3000, 0x7000, USER_DATA | 3);
  expect(x.call('back.iret', 8)).toBe(0);
  expect(x.call('modes.packFlags')).toBe(0x202);
});

test.each([
  ['an inner ring', KERNEL_CODE, USER_DATA | 3, [13, KERNEL_CODE]],
  ['a null CS', 0, USER_DATA | 3, [13, 0]],
  ['ring 3 with a null SS', USER_CODE | 3, 3, [13, 0]],
  ['ring 3 with an SS of ring 0', USER_CODE | 3, KERNEL_DATA | 3, [13, KERNEL_DATA]],
  ['ring 3 with code in SS', USER_CODE | 3, USER_CODE | 3, [13, USER_CODE]],
])('iret() to %s raises #GP and changes nothing', (_what, cs, ss, fault) => {
  start(true, cs === KERNEL_CODE ? 3 : 0);
  const before = where();
  pushFrame(8, 0x4000, cs, 0x246, 0x7000, ss);
  const rsp = x.gpr(RSP);
  expect(x.call('back.iret', 8)).toBe(1);
  expect(x.takeFault()).toEqual(fault);
  expect([where(), x.gpr(RSP)]).toEqual([before, rsp]);
});

test('iret() to the same ring in 64-bit mode takes RSP and a null SS from the stack', () => {
  start(true, 0);
  pushFrame(8, 0x4000, KERNEL_CODE, 0x2, 0x6008, 0);
  expect(x.call('back.iret', 8)).toBe(0);
  expect([x.gpr(RSP), x.segment(SS).selector]).toEqual([0x6008n, 0]);
});

test('iret() in IA-32e mode raises #GP while NT is set', () => {
  start(true, 0);
  x.set32(S.eflags, 0x4002);
  pushFrame(8, 0x4000, KERNEL_CODE, 0x2, 0x6008, 0);
  expect(x.call('back.iret', 8)).toBe(1);
  expect(x.takeFault()).toEqual([13, 0]);
});

test('iret() from ring 0 leaves data segments of ring 3 alone', () => {
  start(false, 0);
  x.setSegment(DS, { selector: USER_DATA | 3, base: 0, limit: 0xffffffff, ar: 0xc0f3 });
  pushFrame(4, 0x4000, USER_CODE | 3, 0x202, 0x7000, USER_DATA | 3);
  expect(x.call('back.iret', 4)).toBe(0);
  expect([where(), x.segment(DS).selector]).toEqual([
    [USER_CODE | 3, 0x4000n, 3, 4],
    USER_DATA | 3,
  ]);
  expect(x.segment(0).selector).toBe(0);
});

test('syscall() and sysret() go to ring 0 and back by STAR, LSTAR and SFMASK', () => {
  start(true, 3);
  x.set64(S.star, 0x0013000800000000n);
  x.set64(S.lstar, 0xffffffff81000000n);
  x.set64(S.sfmask, 0x47700n);
  x.set32(S.eflags, 0x40302);
  x.set64(S.flagResult, 0n);
  expect(x.call('fast.syscall', 0x1236n)).toBe(0);
  expect([x.gpr(RCX), x.gpr(R11)]).toEqual([0x1236n, 0x40346n]);
  expect(where()).toEqual([0x08, 0xffffffff81000000n, 0, 8]);
  expect(x.segment(SS)).toEqual({ selector: 0x10, base: 0, limit: 0xffffffff, ar: 0xc093 });
  expect(x.segment(CS)).toEqual({ selector: 0x08, base: 0, limit: 0xffffffff, ar: 0xa09b });
  expect(x.call('modes.packFlags')).toBe(0x46);
  expect(x.call('fast.sysret', 8)).toBe(0);
  expect(where()).toEqual([0x23, 0x1236n, 3, 8]);
  expect(x.segment(SS)).toEqual({ selector: 0x1b, base: 0, limit: 0xffffffff, ar: 0xc0f3 });
  expect(x.call('modes.packFlags')).toBe(0x40346);
});

test('sysret() to 32-bit code cuts RIP; to a non-canonical address it raises #GP in ring 0', () => {
  start(true, 0);
  x.set64(S.star, 0x0013000800000000n);
  x.setGpr(RCX, 0x800000001000n);
  x.setGpr(R11, 0x202);
  expect(x.call('fast.sysret', 8)).toBe(1);
  expect([x.takeFault(), x.get32(S.cpl)]).toEqual([[13, 0], 0]);
  expect(x.call('fast.sysret', 4)).toBe(0);
  expect(where()).toEqual([0x13, 0x1000n, 3, 4]);
});

test('syscall() is #UD without EFER.SCE', () => {
  start(true, 3);
  x.set64(S.efer, 0x500n);
  expect(x.call('fast.syscall', 0n)).toBe(1);
  expect(x.takeFault()).toEqual([6]);
});

test('sysenter() and sysexit() use the SYSENTER MSRs', () => {
  start(false, 3);
  expect([x.call('fast.sysenter'), x.takeFault()]).toEqual([1, [13, 0]]);
  x.set64(S.sysenterCs, BigInt(KERNEL_CODE));
  x.set64(S.sysenterEsp, 0x9000n);
  x.set64(S.sysenterEip, 0x5000n);
  x.set32(S.eflags, 0x202);
  expect(x.call('fast.sysenter')).toBe(0);
  expect([where(), x.gpr(RSP), x.get32(S.eflags)]).toEqual([[8, 0x5000n, 0, 4], 0x9000n, 2]);
  x.setGpr(RCX, 0x8000);
  x.setGpr(RDX, 0x1236);
  expect(x.call('fast.sysexit', 4)).toBe(0);
  expect([where(), x.gpr(RSP), x.segment(SS).selector]).toEqual([
    [0x1b, 0x1236n, 3, 4],
    0x8000n,
    0x23,
  ]);
});
