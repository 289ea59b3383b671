import { beforeEach, expect, test } from 'vitest';
import { SystemFixture } from '../../test/system/fixture.ts';
import { EXIT_IN, EXIT_REP, EXIT_STRING, RAX, RCX, RDI, RSI, S, TR } from './state.ts';

const TSS = 0x3000;
const MAP = 0x68;
const LOG_ADDRESS_32 = 2 << 8;

let x: SystemFixture;

const permission = (port: number, bytes: number) => [
  x.call('io.permission', port, bytes),
  x.takeFault(),
];
const REFUSED = [1, [13, 0]];

beforeEach(() => {
  x = new SystemFixture();
  x.set32(S.cpl, 3);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: MAP + 8192, ar: 0x8b });
  x.write(TSS + 102, 2, MAP);
  for (const [log, mask] of [0xffn, 0xffffn, 0xffffffffn, 0xffffffffffffffffn].entries()) {
    x.set64(S.addressMask + 8 * log, mask);
  }
});

test('permission() is given by IOPL, else by the bitmap of the TSS', () => {
  x.write(TSS + MAP + 1, 1, 0b1000_0001);
  x.write(TSS + MAP + 2, 1, 0b1);
  expect(permission(8, 1)).toEqual(REFUSED);
  expect(permission(9, 1)).toEqual([0, null]);
  // A word at port 15 needs the bits of 15 and 16, in two bytes.
  expect(permission(14, 1)).toEqual([0, null]);
  expect(permission(14, 2)).toEqual(REFUSED);
  expect(permission(13, 4)).toEqual(REFUSED);
  x.set32(S.eflags, 0x3002);
  expect(permission(8, 1)).toEqual([0, null]);
});

test('permission() needs a 32-bit TSS whose limit covers the bits and the byte behind', () => {
  expect(permission(0xffff, 1)).toEqual([0, null]);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: MAP + 8191, ar: 0x8b });
  expect(permission(0xffff, 1)).toEqual(REFUSED);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 0x66, ar: 0x8b });
  expect(permission(0, 1)).toEqual(REFUSED);
  x.setSegment(TR, { selector: 0x40, base: TSS, limit: 0xffff, ar: 0x83 });
  expect(permission(0, 1)).toEqual(REFUSED);
});

function exit(flags: number, size: number): void {
  x.set32(S.exitFlags, flags);
  x.set32(S.exitSize, size);
  x.set32(S.exitLength, 2);
  x.set64(S.rip, 0x100n);
}

test('finish() gives IN its value in the size of the access', () => {
  const cases = [
    [1, 0x11223344556677aan],
    [2, 0x112233445566bbaan],
    [4, 0xddccbbaan],
  ] as const;
  for (const [size, expected] of cases) {
    exit(EXIT_IN, size);
    x.setGpr(RAX, 0x1122334455667788n);
    x.call('io.advance');
    x.call('io.finish', 0xddccbbaa | 0);
    expect([x.gpr(RAX), x.get64(S.rip)]).toEqual([expected, 0x102n]);
  }
});

test('advance() steps a repeated INS by DF and keeps RIP while elements are left', () => {
  exit(EXIT_IN | EXIT_STRING | EXIT_REP | LOG_ADDRESS_32, 2);
  x.set64(S.exitGpa, 0x5000n);
  x.setGpr(RCX, 0xaaaa00000002n);
  x.setGpr(RDI, 0x5000n);
  x.set32(S.eflags, 0x402);
  x.call('io.advance');
  x.call('io.finish', 0x1234);
  expect([x.gpr(RCX), x.gpr(RDI), x.get64(S.rip)]).toEqual([1n, 0x4ffen, 0x100n]);
  expect(x.read(0x5000, 2)).toBe(0x1234n);
  x.call('io.advance');
  expect([x.gpr(RCX), x.gpr(RDI), x.get64(S.rip)]).toEqual([0n, 0x4ffcn, 0x102n]);
});

test('advance() steps OUTS once, in 16-bit addressing the low words only', () => {
  exit(EXIT_STRING | (1 << 8), 4);
  x.setGpr(RSI, 0x1234fffen);
  x.setGpr(RAX, 5n);
  x.call('io.advance');
  x.call('io.finish', 0x99);
  expect([x.gpr(RSI), x.gpr(RAX), x.get64(S.rip)]).toEqual([0x12340002n, 5n, 0x102n]);
});
