// XSAVE and its like: when they are refused, and what CPUID and XGETBV say of them (SDM vol. 1,
// chapter 13). What they do to memory and registers is compared with the host's processor in
// test/silicon.

import { expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { Guest, type Mode } from '../../test/guest-program.ts';
import type { CpuModel } from '../vmm/cpu-model.ts';

const OSXSAVE = `
  mov eax, cr4
  or eax, 0x40600
  mov cr4, eax`;
const DATA = `
.balign 64
area: .fill 1024, 1, 0`;

function run(
  engine: (typeof softEngines)[number],
  mode: Mode,
  source: string,
  model?: CpuModel,
): number[] {
  const guest = new Guest(
    engine.make(model),
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

    test(`XSETBV takes x87, with SSE, and AVX with both, and XGETBV gives it back ${where}`, () => {
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
      expect(set(7)).toEqual([7]);
      for (const low of [0, 2, 4, 5, 6, 9, 15]) expect(set(low)).toEqual([GP]);
      expect(set(3, 1)).toEqual([GP]);
      expect(set(3, 0, 1)).toEqual([GP]);
    });

    test(`CPUID shows three components, the size of those enabled, and OSXSAVE ${where}`, () => {
      expect(
        reports(`${OSXSAVE}
          mov eax, 13
          mov ecx, 2
          cpuid
          report
          mov eax, ebx
          report
          mov eax, 7
          xor ecx, ecx
          xor edx, edx
          xsetbv
          mov eax, 13
          cpuid
          mov eax, ebx
          report
          mov eax, 3
          xor ecx, ecx
          xor edx, edx
          xsetbv
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
      ).toEqual([256, 576, 832, 7, 576, 832, 7, 3]);
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

    const AVX = `${OSXSAVE}
      xor ecx, ecx
      xor edx, edx
      mov eax, 7
      xsetbv`;

    test(`AVX needs OSXSAVE and its bits of XCR0, and is #NM with CR0.TS ${where}`, () => {
      const code = 'vpxor ymm0, ymm0, ymm0\ndone';
      expect(reports(code)).toEqual([UD]);
      for (const xcr0 of [1, 3]) {
        expect(reports(`${AVX.replace('eax, 7', `eax, ${xcr0}`)}\n${code}`)).toEqual([UD]);
      }
      const switched = 'mov eax, cr0\nor eax, 8\nmov cr0, eax';
      expect(reports(`${AVX}\n${switched}\n${code}`)).toEqual([NM]);
      expect(reports(`${OSXSAVE}\n${switched}\n${code}`)).toEqual([UD]);
      expect(reports(`${AVX}\n${code}`)).toEqual([]);
      // Those on general registers need none of it.
      const bits = 'mov eax, 12\nblsr eax, eax\nreport\ndone';
      expect(reports(bits)).toEqual([8]);
    });

    test(`XSAVE, XSAVEC and XRSTOR have AVX state behind the header ${where}`, () => {
      const round = (save: string): number[] =>
        reports(`${AVX}
          xgetbv
          vpcmpeqd ymm1, ymm1, ymm1
          mov ecx, 1
          xgetbv
          and eax, 6
          report
          mov eax, 7
          ${save} [area]
          mov eax, dword ptr [area + 512]
          and eax, 6
          report
          mov eax, dword ptr [area + 576 + 16]
          report
          mov eax, dword ptr [area + 576 + 32]
          report
          vzeroall
          mov ecx, 1
          xgetbv
          and eax, 6
          report
          mov eax, 4
          xrstor [area]
          vextracti128 xmm2, ymm1, 1
          vmovd eax, xmm2
          report
          vmovd eax, xmm1
          report
          done`);
      for (const save of ['xsave', 'xsavec', 'xsaveopt']) {
        expect(round(save), save).toEqual([6, 6, -1 >>> 0, 0, 0, -1 >>> 0, 0]);
      }
    });

    test(`a v2 processor has no AVX to enable, and none of v3's instructions ${where}`, () => {
      const v2 = (source: string): number[] => run(engine, mode, source, 'v2');
      expect(v2(`${AVX}\ndone`)).toEqual([GP]);
      const enabled = AVX.replace('eax, 7', 'eax, 3');
      const instructions = [
        'vpxor xmm0, xmm0, xmm0',
        'blsr eax, eax',
        'movbe eax, [area]',
        'vfmadd213ss xmm0, xmm0, xmm0',
      ];
      for (const code of instructions) expect(v2(`${enabled}\n${code}\ndone`)).toEqual([UD]);
      // LZCNT and TZCNT are BSR and BSF there.
      expect(v2('mov ecx, 16\nlzcnt eax, ecx\nreport\ndone')).toEqual([4]);
      expect(reports('mov ecx, 16\nlzcnt eax, ecx\nreport\ndone')).toEqual([27]);
      const leaves = `mov eax, 7
        xor ecx, ecx
        cpuid
        mov eax, ebx
        and eax, 0x128
        report
        mov eax, 0x80000001
        cpuid
        mov eax, ecx
        and eax, 0x20
        report
        mov eax, 1
        cpuid
        mov eax, ecx
        and eax, 0x30401000
        report
        done`;
      expect(v2(leaves)).toEqual([0, 0, 0]);
      expect(reports(leaves)).toEqual([0x128, 0x20, 0x30401000]);
    });
  }
}
