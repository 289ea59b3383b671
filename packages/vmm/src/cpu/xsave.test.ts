// XSAVE and its like: when they are refused, and what CPUID and XGETBV say of them (SDM vol. 1,
// chapter 13). What they do to memory and registers is compared with the host's processor in
// test/silicon.

import { expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { Guest, type Mode } from '../../test/guest-program.ts';

const OSXSAVE = `
  mov eax, cr4
  or eax, 0x40600
  mov cr4, eax`;
const DATA = `
.balign 64
area: .fill 1024, 1, 0`;

function run(engine: (typeof softEngines)[number], mode: Mode, source: string): number[] {
  const guest = new Guest(
    engine.make(),
    mode,
    mode === 64
      ? source
          .replaceAll('cr4, e', 'cr4, r')
          .replaceAll('eax, cr', 'rax, cr')
          .replaceAll('cr0, e', 'cr0, r') + DATA
      : source + DATA,
  );
  guest.reportExceptions(6, 7, 13, 14);
  return guest.reports();
}

const UD = 0xfa000006;
const NM = 0xfa000007;
const GP = 0xfa00000d;

for (const engine of softEngines) {
  for (const mode of [32, 64] as const) {
    const reports = (source: string): number[] => run(engine, mode, source);
    const where = `(${mode}-bit code, ${engine.name})`;

    test(`without CR4.OSXSAVE they are #UD, with CR0.TS #NM, misaligned #GP ${where}`, () => {
      for (const code of ['xsave [area]', 'xrstor [area]', 'xsavec [area]', 'xsaveopt [area]']) {
        expect(reports(`${code}\ndone`)).toEqual([UD]);
        const switched = 'mov eax, cr0\nor eax, 8\nmov cr0, eax';
        expect(reports(`${OSXSAVE}\n${switched}\n${code}\ndone`)).toEqual([NM]);
        expect(reports(`${OSXSAVE}\n${code.replace('area', 'area + 16')}\ndone`)).toEqual([GP]);
      }
      expect(reports('xor ecx, ecx\nxgetbv\ndone')).toEqual([UD]);
    });

    test(`XSETBV takes x87 with or without SSE, and XGETBV gives it back ${where}`, () => {
      const set = (low: number, high = 0, index = 0): number[] =>
        reports(`${OSXSAVE}
          mov ecx, ${index}
          mov edx, ${high}
          mov eax, ${low}
          xsetbv
          xor ecx, ecx
          xor eax, eax
          xgetbv
          report
          done`);
      expect(set(1)).toEqual([1]);
      expect(set(3)).toEqual([3]);
      for (const low of [0, 2, 7, 9]) expect(set(low)).toEqual([GP]);
      expect(set(3, 1)).toEqual([GP]);
      expect(set(3, 0, 1)).toEqual([GP]);
    });

    test(`CPUID shows two components in 576 bytes, and OSXSAVE ${where}`, () => {
      expect(
        reports(`${OSXSAVE}
          mov eax, 13
          xor ecx, ecx
          cpuid
          report
          mov eax, ebx
          report
          mov eax, ecx
          report
          mov eax, 13
          mov ecx, 1
          cpuid
          report
          mov eax, 1
          cpuid
          mov eax, ecx
          shr eax, 26
          and eax, 3
          report
          done`),
      ).toEqual([3, 576, 576, 7, 3]);
    });

    test(`XGETBV of 1 says what is in use; XRSTOR without a component resets it ${where}`, () => {
      expect(
        reports(`${OSXSAVE}
          xor ecx, ecx
          xor edx, edx
          mov eax, 3
          xsetbv
          fninit
          xorps xmm0, xmm0
          inc ecx
          xgetbv
          report
          fld1
          xgetbv
          report
          pcmpeqd xmm1, xmm1
          xgetbv
          report
          mov eax, 1
          xrstor [area]
          xgetbv
          report
          fnstcw [area + 600]
          movzx eax, word ptr [area + 600]
          report
          mov eax, 2
          xrstor [area]
          xgetbv
          report
          done`),
      ).toEqual([0, 1, 3, 2, 0x37f, 0]);
    });
  }
}
