import { beforeEach, expect, test } from 'vitest';
import { descriptor, SystemFixture } from '../../test/system/fixture.ts';
import { DS, ES, FS, LDTR, S, SS, TR } from './state.ts';

const GDT = 0x2000;
const LDT = 0x2800;
const TABLES = 0x10000;
const DATA = 0x10;
const USER_DATA = 0x18;
const CODE = 0x08;
const EXECUTE_ONLY = 0x20;
const CONFORMING = 0x28;
const ABSENT = 0x30;
const LDT_ENTRY = 0x38;
const TSS_ENTRY = 0x48;
const SMALL = 0x58;

let x: SystemFixture;

const load = (segment: number, selector: number) => x.call('segments.load', segment, selector);

beforeEach(() => {
  x = new SystemFixture();
  x.useGdt(GDT, [
    0n,
    descriptor(0, 0xfffff, 0x9a, 0xc),
    descriptor(0x12345678, 0xfffff, 0x92, 0xc),
    descriptor(0, 0xfffff, 0xf2, 0xc),
    descriptor(0, 0xfffff, 0x98, 0xc),
    descriptor(0, 0xfffff, 0x9e, 0xc),
    descriptor(0, 0xfffff, 0x12, 0xc),
    descriptor(LDT, 0x17, 0x82, 0),
    0n,
    descriptor(0x3000, 0x67, 0x89, 0),
    0n,
    descriptor(0x40, 0x1234, 0x92, 0x0),
  ]);
});

function enterRing3(): void {
  x.set32(S.cpl, 3);
  x.call('updateModes');
}

function longMode(): void {
  const cs = { selector: CODE, base: 0, limit: 0xffffffff, ar: 0xa09b };
  x.enterLongMode(TABLES, cs);
}

test('load() fills base, limit and rights, and sets the accessed bit', () => {
  expect(load(ES, DATA)).toBe(0);
  expect(x.segment(ES)).toEqual({
    selector: DATA,
    base: 0x12345678,
    limit: 0xffffffff,
    ar: 0xc093,
  });
  expect(x.read(GDT + DATA + 5, 1)).toBe(0x93n);
  expect(load(ES, SMALL)).toBe(0);
  expect(x.segment(ES)).toEqual({ selector: SMALL, base: 0x40, limit: 0x1234, ar: 0x93 });
  expect(x.get32(S.stackSize)).toBe(4);
});

test('load() of SS follows its B bit', () => {
  expect(load(SS, SMALL)).toBe(0);
  expect(x.get32(S.stackSize)).toBe(2);
});

test.each([
  ['execute-only code', ES, EXECUTE_ONLY, 0, [13, EXECUTE_ONLY]],
  ['a system segment', ES, LDT_ENTRY, 0, [13, LDT_ENTRY]],
  ['an absent segment', ES, ABSENT, 0, [11, ABSENT]],
  ['a selector beyond the table', ES, 0x60, 0, [13, 0x60]],
  ['data of an inner ring', ES, DATA, 3, [13, DATA]],
  ['data with an outer RPL', ES, DATA | 3, 0, [13, DATA]],
  ['a null SS', SS, 0, 0, [13, 0]],
  ['SS with another RPL', SS, DATA | 1, 0, [13, DATA]],
  ['SS of another ring', SS, USER_DATA, 0, [13, USER_DATA]],
  ['code in SS', SS, CODE, 0, [13, CODE]],
  ['an absent SS', SS, ABSENT, 0, [12, ABSENT]],
])('load() of %s faults and keeps the register', (_what, segment, selector, cpl, fault) => {
  if (cpl) enterRing3();
  const before = x.segment(segment);
  expect(load(segment, selector)).toBe(1);
  expect(x.takeFault()).toEqual(fault);
  expect(x.segment(segment)).toEqual(before);
});

test('load() lets every ring read conforming code', () => {
  enterRing3();
  expect(load(DS, CONFORMING | 3)).toBe(0);
});

test('load() of a null selector makes the segment unusable', () => {
  expect(load(DS, 2)).toBe(0);
  expect(x.segment(DS)).toMatchObject({ selector: 2, base: 0, ar: 0x10000 });
});

test('load() in 64-bit mode keeps the bases of DS for later, and uses that of FS', () => {
  longMode();
  expect(load(DS, DATA)).toBe(0);
  expect(load(FS, DATA)).toBe(0);
  expect([x.segment(DS).base, x.segment(FS).base]).toEqual([0, 0x12345678]);
  x.setSegment(1, { selector: CODE, base: 0, limit: 0xffffffff, ar: 0xc09b });
  x.call('updateModes');
  expect(x.segment(DS).base).toBe(0x12345678);
});

test('load() of a null SS is for 64-bit mode, in its own ring below 3', () => {
  longMode();
  expect(load(SS, 0)).toBe(0);
  expect(load(SS, 1)).toBe(1);
  expect(x.takeFault()).toEqual([13, 0]);
  enterRing3();
  expect(load(SS, 3)).toBe(1);
});

test('load() in real-address mode sets base and selector and keeps the limit', () => {
  x.setSegment(ES, { selector: 0, base: 0, limit: 0xffffffff, ar: 0xc093 });
  x.set64(S.cr0, 0x10n);
  expect(load(ES, 0xf123)).toBe(0);
  expect(x.segment(ES)).toEqual({ selector: 0xf123, base: 0xf1230, limit: 0xffffffff, ar: 0xc093 });
});

test('loadLdt() loads a table that load() then uses', () => {
  expect(x.call('systemSegments.loadLdt', LDT_ENTRY)).toBe(0);
  expect(x.segment(LDTR)).toEqual({ selector: LDT_ENTRY, base: LDT, limit: 0x17, ar: 0x82 });
  x.write(LDT + 0x10, 8, descriptor(0x99, 0xfff, 0x92, 0));
  expect(load(ES, 0x14)).toBe(0);
  expect(x.segment(ES)).toMatchObject({ selector: 0x14, base: 0x99 });
  expect(x.call('systemSegments.loadLdt', 0)).toBe(0);
  expect([load(ES, 0x14), x.takeFault()]).toEqual([1, [13, 0x14]]);
});

test('loadTask() marks the TSS busy, and refuses a busy one', () => {
  expect(x.call('systemSegments.loadTask', TSS_ENTRY)).toBe(0);
  expect(x.segment(TR)).toEqual({ selector: TSS_ENTRY, base: 0x3000, limit: 0x67, ar: 0x8b });
  expect(x.read(GDT + TSS_ENTRY + 5, 1)).toBe(0x8bn);
  expect([x.call('systemSegments.loadTask', TSS_ENTRY), x.takeFault()]).toEqual([
    1,
    [13, TSS_ENTRY],
  ]);
  expect([x.call('systemSegments.loadTask', 0), x.takeFault()]).toEqual([1, [13, 0]]);
  expect([x.call('systemSegments.loadTask', 0x4c), x.takeFault()]).toEqual([1, [13, 0x4c]]);
});

test('loadTask() reads 16 bytes in IA-32e mode', () => {
  longMode();
  x.write(GDT + TSS_ENTRY + 8, 8, 0xffff8000n);
  expect(x.call('systemSegments.loadTask', TSS_ENTRY)).toBe(0);
  expect(x.get64(S.systemBase + 8)).toBe(0xffff800000003000n);
  x.write(GDT + LDT_ENTRY + 8, 8, 0x100000000000n);
  expect([x.call('systemSegments.loadLdt', LDT_ENTRY), x.takeFault()]).toEqual([
    1,
    [13, LDT_ENTRY],
  ]);
});

/** LAR's or LSL's descriptor, 0 when the program must not see it. */
function inspect(selector: number, types: number): bigint {
  expect(x.call('systemSegments.inspect', selector, types)).toBe(0);
  return x.get64(S.scratch);
}

test('inspect() shows what CPL and RPL may see, and the system types given', () => {
  expect(inspect(DATA, 0)).toBe(descriptor(0x12345678, 0xfffff, 0x92, 0xc));
  expect(inspect(DATA | 3, 0)).toBe(0n);
  expect(inspect(CONFORMING | 3, 0)).not.toBe(0n);
  expect(inspect(LDT_ENTRY, 1 << 2)).not.toBe(0n);
  expect(inspect(LDT_ENTRY, 1 << 9)).toBe(0n);
  expect(inspect(0, -1)).toBe(0n);
  expect(inspect(0x100, -1)).toBe(0n);
  enterRing3();
  expect(inspect(DATA, 0)).toBe(0n);
});

test('verify() tells whether a segment can be read or written from this ring', () => {
  const verify = (selector: number, write: number) => {
    expect(x.call('systemSegments.verify', selector, write)).toBe(0);
    return x.get32(S.scratch);
  };
  expect([verify(DATA, 0), verify(DATA, 1)]).toEqual([1, 1]);
  expect([verify(CODE, 0), verify(CODE, 1)]).toEqual([1, 0]);
  expect([verify(EXECUTE_ONLY, 0), verify(LDT_ENTRY, 0), verify(0, 0)]).toEqual([0, 0, 0]);
  enterRing3();
  expect([verify(DATA, 0), verify(USER_DATA | 3, 1), verify(CONFORMING, 0)]).toEqual([0, 1, 1]);
});
