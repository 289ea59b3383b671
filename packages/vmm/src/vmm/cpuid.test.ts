import { expect, test } from 'vitest';
import type { CpuModel } from './cpu-model.ts';
import type { CpuidContext, CpuidResult } from './cpuid.ts';
import { cpuid, cpuSignature } from './cpuid.ts';

const CONTEXT: CpuidContext = {
  vcpuId: 0,
  osxsave: false,
  model: 'v2',
  xcr0: 3,
  tscHz: 1_000_000_000,
  limitCpuid: false,
};
const leaf = (number: number, sub = 0, context: Partial<CpuidContext> = {}): CpuidResult =>
  cpuid(number, sub, { ...CONTEXT, ...context });

const text = (...words: number[]): string =>
  words
    .map((word) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(word);
      return bytes.toString('latin1');
    })
    .join('');

const bit = (word: number, number: number): number => (word >>> number) & 1;

test('cpuid() names the vendor and the highest leaf', () => {
  const { eax, ebx, ecx, edx } = leaf(0);
  expect(text(ebx, edx, ecx)).toBe('GenuineIntel');
  expect(eax).toBe(0x15);
  expect(leaf(0, 0, { limitCpuid: true }).eax).toBe(2);
});

test('cpuid() encodes family, model and the brand as SDM 2A figure 3-6 and table 3-14 say', () => {
  const { eax, ebx } = leaf(1, 0, { vcpuId: 3 });
  expect(eax).toBe(cpuSignature);
  const family = (eax >>> 8) & 15;
  const model = ((eax >>> 4) & 15) | (((eax >>> 16) & 15) << 4);
  expect([family, model]).toEqual([6, 44]);
  expect(ebx >>> 24).toBe(3);
  // CLFLUSH line size, in units of 8 bytes.
  expect(((ebx >>> 8) & 0xff) * 8).toBe(64);
  const parts = [0x80000002, 0x80000003, 0x80000004].map((number) => leaf(number));
  const brand = parts.map(({ eax, ebx, ecx, edx }) => text(eax, ebx, ecx, edx)).join('');
  expect(brand.replace(/\0+$/, '')).toBe('vmm(4) soft x86-64-v2 processor');
  expect(brand.endsWith('\0')).toBe(true);
});

test('cpuid() offers what x86-64-v2 means (System V ABI for amd64, table 3.1)', () => {
  const { ecx, edx } = leaf(1);
  // CMOV CX8 FPU FXSR MMX SSE SSE2, and SYSCALL below: the baseline.
  for (const number of [15, 8, 0, 24, 23, 25, 26]) expect(bit(edx, number)).toBe(1);
  // CMPXCHG16B POPCNT SSE3 SSE4.1 SSE4.2 SSSE3.
  for (const number of [13, 23, 0, 19, 20, 9]) expect(bit(ecx, number)).toBe(1);
  const extended = leaf(0x80000001);
  expect(bit(extended.edx, 11)).toBe(1);
  expect(bit(extended.edx, 29)).toBe(1);
  expect(bit(extended.ecx, 0)).toBe(1);
});

test('cpuid() offers what x86-64-v3 means, and to v2 none of it', () => {
  // AVX AVX2 BMI1 BMI2 F16C FMA LZCNT MOVBE: table 3.1; OSXSAVE follows CR4.
  const shown = (model: CpuModel): number[] => [
    ...[28, 29, 12, 22].map((number) => bit(leaf(1, 0, { model }).ecx, number)),
    ...[5, 3, 8].map((number) => bit(leaf(7, 0, { model }).ebx, number)),
    bit(leaf(0x80000001, 0, { model }).ecx, 5),
  ];
  expect(shown('v3')).toEqual(Array(8).fill(1));
  expect(shown('v2')).toEqual(Array(8).fill(0));
  const area = { eax: 7, ebx: 832, ecx: 832, edx: 0 };
  expect(leaf(13, 0, { model: 'v3', xcr0: 7 })).toEqual(area);
  expect(leaf(13, 2, { model: 'v3' })).toEqual({ eax: 256, ebx: 576, ecx: 0, edx: 0 });
  expect(leaf(13, 2, { model: 'v2' })).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test('cpuid() hides what vmm(4) hides', () => {
  const { ecx, edx } = leaf(1);
  // DTES64 MONITOR DS-CPL VMX SMX EST TM2 CNXT-ID SDBG xTPR PDCM PCID DCA x2APIC TSC-deadline.
  for (const number of [2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 17, 18, 21, 24]) {
    expect(bit(ecx, number)).toBe(0);
  }
  // MCE APIC MTRR MCA PSN DS ACPI SS HTT TM PBE.
  for (const number of [7, 9, 12, 14, 18, 21, 22, 27, 28, 29, 31]) {
    expect(bit(edx, number)).toBe(0);
  }
  const features = leaf(7);
  // TSC_ADJUST SGX HLE INVPCID RTM PQM MPX AVX512F PT.
  for (const number of [1, 2, 4, 10, 11, 12, 14, 16, 25]) expect(bit(features.ebx, number)).toBe(0);
  // SVM, MWAITX.
  for (const number of [2, 29]) expect(bit(leaf(0x80000001).ecx, number)).toBe(0);
  for (const number of [5, 6, 9, 0xa, 0xb, 0xf, 0x14]) {
    expect(leaf(number)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
  }
});

test('cpuid() shows XSAVE, CR4.OSXSAVE and the hypervisor', () => {
  expect(bit(leaf(1).ecx, 27)).toBe(0);
  expect(bit(leaf(1, 0, { osxsave: true }).ecx, 27)).toBe(1);
  expect(bit(leaf(1).ecx, 31)).toBe(1);
  expect(bit(leaf(1).ecx, 26)).toBe(1);
});

test("cpuid() has OpenBSD's signature and, at 0x40000100, KVM's clock", () => {
  const own = leaf(0x40000000);
  expect(text(own.ebx, own.ecx, own.edx)).toBe('OpenBSDVMM58');
  expect(own.eax).toBe(0);
  const kvm = leaf(0x40000100);
  expect(text(kvm.ebx, kvm.ecx, kvm.edx)).toBe('KVMKVMKVM\0\0\0');
  expect(kvm.eax).toBe(0x40000101);
  // CLOCKSOURCE2 3, CLOCKSOURCE_STABLE_BIT 24; NOP_IO_DELAY 1 in KVM's leaf only.
  expect(leaf(0x40000001).eax).toBe((1 << 3) | (1 << 24));
  expect(leaf(0x40000101).eax).toBe((1 << 1) | (1 << 3) | (1 << 24));
  expect(leaf(0x40000200)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test('cpuid() gives the frequency of the time-stamp counter', () => {
  const { eax, ebx, ecx } = leaf(0x15, 0, { tscHz: 2_400_000_000 });
  expect((ecx * ebx) / eax).toBe(2_400_000_000);
  expect(bit(leaf(0x80000007).edx, 8)).toBe(1);
});

test('cpuid() describes caches as SDM 2A, leaf 4, computes their size', () => {
  const sizes = [0, 1, 2, 3].map((sub) => {
    const { eax, ebx, ecx } = leaf(4, sub);
    const line = (ebx & 0xfff) + 1;
    const partitions = ((ebx >>> 12) & 0x3ff) + 1;
    const ways = (ebx >>> 22) + 1;
    return [eax & 31, (eax >>> 5) & 7, ways * partitions * line * (ecx + 1)];
  });
  expect(sizes).toEqual([
    [1, 1, 32 << 10],
    [2, 1, 32 << 10],
    [3, 2, 256 << 10],
    [3, 3, 8 << 20],
  ]);
  expect(leaf(4, 4).eax & 31).toBe(0);
  // Leaf 0x80000006 says the same of the second level: size in KiB, line size.
  const { ecx } = leaf(0x80000006);
  expect([ecx >>> 16, ecx & 0xff]).toEqual([256, 64]);
  expect(leaf(2).eax & 0xff).toBe(1);
});

test('cpuid() answers a leaf that does not exist like the highest basic one', () => {
  expect(leaf(0x16)).toEqual(leaf(0x15));
  expect(leaf(0x80000009)).toEqual(leaf(0x15));
  expect(leaf(0xffffffff)).toEqual(leaf(0x15));
  expect(leaf(0x80000000).eax).toBe(0x80000008);
  expect(leaf(0x80000008).eax).toBe(40 | (48 << 8));
});
