import { beforeEach, expect, test } from 'vitest';
import { SystemFixture } from '../../test/system/fixture.ts';
import { FPU_TRAP, S, TR } from './state.ts';

const TABLES = 0x10000;
const GP = [13, 0];

let x: SystemFixture;

const write = (n: number, value: bigint) => x.call('control.write', n, value);
const refuses = (n: number, value: bigint) => [write(n, value), x.takeFault()];
const writeMsr = (index: number, value: bigint) => x.call('msrs.write', index | 0, value);
const readMsr = (index: number) => BigInt.asUintN(64, x.call('msrs.read', index | 0) as bigint);

/** Identity page tables for IA-32e mode, not yet in use. */
function prepareTables(): void {
  x.write(TABLES, 8, BigInt(TABLES + 4096) | 7n);
  x.write(TABLES + 4096, 8, 0x87n);
  expect(write(3, BigInt(TABLES))).toBe(0);
}

beforeEach(() => {
  x = new SystemFixture();
});

test('write() of CR0 keeps ET and drops reserved bits below 32', () => {
  expect(write(0, 0x1ff5ffc1n)).toBe(0);
  expect(x.get64(S.cr0)).toBe(0x50011n);
});

test.each([
  ['a bit above 31', 0x100000011n],
  ['PG without PE', 0x80000010n],
  ['NW without CD', 0x20000011n],
])('write() of CR0 with %s raises #GP', (_what, value) => {
  expect(refuses(0, value)).toEqual([1, GP]);
  expect(x.get64(S.cr0)).toBe(0x11n);
});

test('write() of CR0 enters and leaves IA-32e mode through LME, PAE and PG', () => {
  prepareTables();
  expect(x.call('control.writeEfer', 0x100n)).toBe(0);
  // PG without PAE.
  expect(refuses(0, 0x80000011n)).toEqual([1, GP]);
  expect(write(4, 0x20n)).toBe(0);
  expect(write(0, 0x80000011n)).toBe(0);
  expect([x.get64(S.efer), x.get32(S.codeMode)]).toEqual([0x500n, 4]);
  // LME cannot change while PG is set, PAE cannot go in IA-32e mode.
  expect([x.call('control.writeEfer', 0n), x.takeFault()]).toEqual([1, GP]);
  expect(refuses(4, 0n)).toEqual([1, GP]);
  expect(write(0, 0x11n)).toBe(0);
  expect(x.get64(S.efer)).toBe(0x100n);
});

test('write() of CR0 refuses paging from code with L set, and from a 16-bit TSS', () => {
  prepareTables();
  x.call('control.writeEfer', 0x100n);
  write(4, 0x20n);
  x.setSegment(1, { selector: 8, base: 0, limit: 0xffffffff, ar: 0xa09b });
  expect(refuses(0, 0x80000011n)).toEqual([1, GP]);
  x.setSegment(1, { selector: 8, base: 0, limit: 0xffffffff, ar: 0xc09b });
  x.setSegment(TR, { selector: 0, base: 0, limit: 43, ar: 0x83 });
  expect(refuses(0, 0x80000011n)).toEqual([1, GP]);
});

test('write() of CR0 with PAE loads the PDPTEs, and refuses reserved bits in them', () => {
  x.set64(S.cr4, 0x20n);
  write(3, BigInt(TABLES + 0x20));
  x.write(TABLES + 0x20, 8, 0x11001n);
  x.write(TABLES + 0x28, 8, 0x12003n);
  expect(refuses(0, 0x80000011n)).toEqual([1, GP]);
  x.write(TABLES + 0x28, 8, 0x12002n);
  expect(write(0, 0x80000011n)).toBe(0);
  expect([x.get64(S.pdpte), x.get64(S.pdpte + 8)]).toEqual([0x11001n, 0x12002n]);
  x.write(TABLES, 8, 0x13001n);
  expect(write(3, BigInt(TABLES))).toBe(0);
  expect(x.get64(S.pdpte)).toBe(0x13001n);
});

test('write() of CR3 in IA-32e mode refuses bits beyond the physical width', () => {
  prepareTables();
  x.enterLongMode(TABLES, { selector: 8, base: 0, limit: 0xffffffff, ar: 0xa09b });
  expect(refuses(3, BigInt(TABLES) | (1n << 40n))).toEqual([1, GP]);
  expect(refuses(3, BigInt(TABLES) | (1n << 63n))).toEqual([1, GP]);
  expect(write(3, BigInt(TABLES) | 0x18n)).toBe(0);
});

test.each([
  ['LA57', 12],
  ['VMXE', 13],
  ['PCIDE', 17],
  ['PKE', 22],
  ['bit 32', 32],
])('write() of CR4 refuses %s, which CPUID does not show', (_name, bit) => {
  expect(refuses(4, 1n << BigInt(bit))).toEqual([1, GP]);
});

test('write() of CR8 takes four bits; CR1 and CR5 do not exist', () => {
  expect(write(8, 15n)).toBe(0);
  expect(refuses(8, 16n)).toEqual([1, GP]);
  expect(refuses(1, 0n)).toEqual([1, [6]]);
  x.call('control.read', 5);
  expect(x.takeFault()).toEqual([6]);
  expect(x.call('control.read', 8)).toBe(15n);
});

test('updateModes() derives the floating-point traps from EM, TS, OSFXSR and XCR0', () => {
  const { x87, mmxUd, mmxNm, sseUd, sseNm, avxUd, avxNm } = FPU_TRAP;
  const traps = (): number => x.get32(S.fpuTraps);
  write(4, 0x200n);
  expect(traps()).toBe(avxUd);
  write(0, 0x19n);
  expect(traps()).toBe(x87 | mmxNm | sseNm | avxNm | avxUd);
  write(0, 0x15n);
  expect(traps()).toBe(x87 | mmxUd | sseUd | avxUd);
  write(0, 0x11n);
  write(4, 0n);
  expect(traps()).toBe(sseUd | avxUd);
  // OSXSAVE, and SSE and AVX in XCR0: all three of them.
  x.set64(S.xcr0, 7n);
  write(4, 0x200n);
  expect(traps()).toBe(avxUd);
  write(4, 0x40200n);
  expect(traps()).toBe(0);
  x.set64(S.xcr0, 3n);
  write(4, 0x40200n);
  expect(traps()).toBe(avxUd);
});

test.each([
  ['FS_BASE', 0xc0000100],
  ['KERNEL_GS_BASE', 0xc0000102],
  ['LSTAR', 0xc0000082],
  ['SYSENTER_EIP', 0x176],
])('write() of %s refuses an address that is not canonical', (_name, index) => {
  expect(writeMsr(index, 0xffff800000000000n)).toBe(0);
  expect(readMsr(index)).toBe(0xffff800000000000n);
  expect([writeMsr(index, 0x800000000000n), x.takeFault()]).toEqual([1, GP]);
  expect(readMsr(index)).toBe(0xffff800000000000n);
});

test('write() of EFER refuses bits that do not exist and keeps LMA', () => {
  expect([writeMsr(0xc0000080, 1n << 12n), x.takeFault()]).toEqual([1, GP]);
  expect(writeMsr(0xc0000080, 0xd01n)).toBe(0);
  expect(readMsr(0xc0000080)).toBe(0x901n);
});

test.each([
  [0x0007040600070406n, true],
  [0x0007040600070402n, false],
  [0x0307040600070406n, false],
  [0x0807040600070406n, false],
  [0x0605040100000707n, true],
])('write() of PAT checks each memory type: %x', (value, valid) => {
  expect(writeMsr(0x277, value) === 0).toBe(valid);
  expect(x.takeFault()).toEqual(valid ? null : GP);
});

test('write() of TSC_AUX refuses upper bits; MISC_ENABLE loses TCC, EIST and xTPR', () => {
  expect([writeMsr(0xc0000103, 1n << 32n), x.takeFault()]).toEqual([1, GP]);
  expect(writeMsr(0x1a0, 0x00c11809n)).toBe(0);
  expect(readMsr(0x1a0)).toBe(0x00401801n);
});

test('tsc() counts the nanoseconds of the host from the value written', () => {
  x.host.nowNs = 5000.75;
  expect(x.call('msrs.tsc')).toBe(5000n);
  expect(writeMsr(0x10, 100n)).toBe(0);
  x.host.nowNs = 6000;
  expect(readMsr(0x10)).toBe(1100n);
});

test("read() and write() of other MSRs are the monitor's to answer", () => {
  const asked: number[] = [];
  x.host.readMsr = (index) => {
    asked.push(index);
    x.set64(S.scratch, 0x123456789abcdef0n);
    return index === 0x4b564d01 ? 1 : 0;
  };
  expect(readMsr(0x4b564d01)).toBe(0x123456789abcdef0n);
  readMsr(0x1b);
  expect(x.takeFault()).toEqual(GP);
  x.host.writeMsr = (index) => {
    asked.push(index);
    return x.get64(S.scratch) === 77n ? 1 : 0;
  };
  expect(writeMsr(0x4b564d00, 77n)).toBe(0);
  expect([writeMsr(0xc0010015, 78n), x.takeFault()]).toEqual([1, GP]);
  expect(asked).toEqual([0x4b564d01, 0x1b, 0x4b564d00, 0xc0010015]);
});

test('debug.write() keeps fixed bits, aliases DR4 and DR5, and arms stepping', () => {
  expect(x.call('debug.write', 6, 0n)).toBe(0);
  expect(x.call('debug.read', 4)).toBe(0xffff0ff0n);
  expect(x.call('debug.write', 5, 0xffffdfffn)).toBe(0);
  expect(x.call('debug.read', 7)).toBe(0xffff07ffn);
  expect(x.get32(S.stepping)).not.toBe(0);
  expect(x.call('debug.write', 7, 0n)).toBe(0);
  expect(x.get32(S.stepping)).toBe(0);
  expect([x.call('debug.write', 7, 1n << 32n), x.takeFault()]).toEqual([1, GP]);
  expect(x.call('debug.write', 2, 0x123456789an)).toBe(0);
  expect(x.call('debug.read', 2)).toBe(0x123456789an);
  x.set64(S.cr4, 8n);
  expect([x.call('debug.write', 4, 0n), x.takeFault()]).toEqual([1, [6]]);
});

test('debug.read() under general detection raises #DB with BD', () => {
  x.call('debug.write', 7, 0x2000n);
  x.call('debug.read', 0);
  expect(x.takeFault()).toEqual([1]);
  expect(x.get64(S.dr + 48) & 0x2000n).toBe(0x2000n);
});
