import { expect, test } from 'vitest';
import { cpuid } from 'vmm';
import { guestLeaf } from './kvm-cpuid.ts';

const CONTEXT = { vcpuId: 0, tscHz: 2.6e9 };
const ALL = { eax: 0xffff_ffff, ebx: 0xffff_ffff, ecx: 0xffff_ffff, edx: 0xffff_ffff };
/** Words of features: SDM vol. 2A, CPUID; Linux, Documentation/virt/kvm/x86/cpuid.rst. */
const FEATURES = [
  [0x01, 0, 'ecx'],
  [0x01, 0, 'edx'],
  [0x07, 0, 'ebx'],
  [0x07, 0, 'ecx'],
  [0x07, 0, 'edx'],
  [0x07, 2, 'edx'],
  [0x8000_0001, 0, 'ecx'],
  [0x8000_0001, 0, 'edx'],
  [0x8000_0007, 0, 'edx'],
  [0x4000_0101, 0, 'eax'],
] as const;
const HYPERVISOR = 2 ** 31;

test('where the host has everything, guests see the soft engine’s processor', () => {
  for (const [leaf, subleaf, register] of FEATURES) {
    if (leaf === 7 && register === 'edx') continue;
    const own = { osxsave: false, limitCpuid: false, model: 'v2', xcr0: 3 } as const;
    const context = { ...CONTEXT, ...own };
    const expected = cpuid(leaf, subleaf, context)[register];
    expect(guestLeaf(leaf, subleaf, () => ALL, CONTEXT)[register]).toBe(expected);
  }
});

test('no feature is shown that the host does not have, but that there is a hypervisor', () => {
  for (const [leaf, subleaf, register] of FEATURES) {
    const shown = guestLeaf(leaf, subleaf, () => undefined, CONTEXT)[register];
    expect(shown).toBe(leaf === 1 && register === 'ecx' ? HYPERVISOR : 0);
  }
});

test('what concerns speculation is the host’s own', () => {
  const host = { eax: 2, ebx: 0, ecx: 0, edx: (1 << 10) | (1 << 4) | (1 << 31) };
  // MD_CLEAR and SSBD, which the soft processor does not need; not FSRM.
  expect(guestLeaf(7, 0, () => host, CONTEXT).edx).toBe(((1 << 10) | (1 << 31)) >>> 0);
});

test('the counter’s rate, the width of addresses and the name are those of this engine', () => {
  expect(guestLeaf(0x15, 0, () => ALL, CONTEXT)).toMatchObject({ eax: 1, ebx: 100, ecx: 26e6 });
  const narrow = { eax: 0x3027, ebx: 0, ecx: 0, edx: 0 };
  expect(guestLeaf(0x8000_0008, 0, () => narrow, CONTEXT).eax & 0xff).toBe(39);
  const words = [2, 3, 4].flatMap((leaf) => {
    const { eax, ebx, ecx, edx } = guestLeaf(0x8000_0000 + leaf, 0, () => ALL, CONTEXT);
    return [eax, ebx, ecx, edx];
  });
  const text = new TextDecoder().decode(new Uint8Array(Uint32Array.from(words).buffer));
  expect(text.replace(/\0+$/, '')).toBe('vmm(4) kvm x86-64-v2 processor');
});
