// What single instructions on the host's processor cannot show: exceptions that the next
// instruction reports, pointers to the last instruction and operand, the environment in all its
// formats, and the traps of CR0. Expectations are those of SDM vol. 1, 8.1.8 to 8.1.10 and 8.6, and
// vol. 2A; instruction by instruction, the x87 FPU is compared with the host's by test/silicon.

import { describe, expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { Guest, type Mode } from '../../test/guest-program.ts';

describe.each(softEngines)('on the $name engine', ({ make }) => {
  function guestOf(mode: Mode, source: string): Guest {
    const guest = new Guest(make(), mode, source);
    guest.reportExceptions(6, 7, 13, 14, 16);
    return guest;
  }

  const run = (mode: Mode, source: string): number[] => guestOf(mode, source).reports();

  /** Reports `count` 32-bit words of memory at `label`. */
  const words = (label: string, count: number): string =>
    Array.from({ length: count }, (_, i) => `mov eax, [${label} + ${4 * i}]\nreport\n`).join('');

  const ES_B = 0x8080;
  const ZE = 0x04;
  const IE_SF = 0x41;
  const MF = 0xfa000010;
  const NM = 0xfa000007;
  const UD = 0xfa000006;

  test('an unmasked exception is pending until the next waiting instruction', () => {
    const source = (next: string): string => `
    fninit
    fldcw [unmasked]
    fld1
    fldz
    fdivp
    xor eax, eax
    fnstsw ax
    report
    ${next}
    mov eax, 1
    report
    done
  unmasked: .word 0x37b
  status: .word 0`;
    const pending = ES_B | ZE | (6 << 11);
    for (const waiting of ['fld1', 'fwait', 'fldcw [unmasked]', 'movd mm0, eax', 'emms', 'fnop']) {
      expect(run(64, source(waiting))).toEqual([pending, MF]);
    }
    for (const free of ['fnstsw [status]', 'fnclex', 'fninit', 'fnstcw [status]', 'nop']) {
      expect(run(64, source(free))).toEqual([pending, 1]);
    }
  });

  test('an unmasked division by zero leaves its operands, and the pointers to itself', () => {
    const reports = run(
      64,
      `
    fninit
    fldcw [unmasked]
    fld1
  division:
    fdiv qword ptr [rip + zero]
    fnstenv [environment]
    lea eax, [rip + division]
    report
    lea eax, [rip + zero]
    report
    ${words('environment', 7)}
    fninit
    fnsave [environment]
    ${words('environment', 7)}
    done
    .balign 8
  zero: .quad 0
  unmasked: .word 0x37b
  environment: .skip 108`,
    );
    const [division, zero, fcw, fsw, ftw, fip, fcsFop, fdp, fds, ...after] = reports;
    // Storing the environment masks all exceptions afterwards, not in the image.
    expect([fcw, fsw, ftw]).toEqual(
      [0xffff037b, 0xffff0000 | ES_B | ZE | (7 << 11), 0xffff3fff].map((word) => word >>> 0),
    );
    expect(fip).toBe(division);
    // DC /6 with RIP-relative ModRM.
    expect(fcsFop).toBe(0x4350000);
    expect(fdp).toBe(zero);
    expect(fds).toBe(0xffff0000);
    expect(after).toEqual([0xffff037f, 0xffff0000, 0xffffffff, 0, 0, 0, 0xffff0000]);
  });

  test('FDP is the address of the operand whose exception is unmasked, and of no other', () => {
    const reports = run(
      32,
      `
    fninit
    fldcw [unmasked]
    fld dword ptr [one]
    fnsave [environment]
    mov eax, [environment + 20]
    report
    fldcw [unmasked]
    mov ebx, offset signalling
    fld dword ptr [ebx]
    fnstenv [environment]
    mov eax, [environment + 20]
    sub eax, ebx
    report
    mov eax, [environment + 16]
    report
    done
  one: .float 1
  signalling: .long 0x7fa00000
  unmasked: .word 0x37e
  environment: .skip 108`,
    );
    expect(reports).toEqual([0, 0, 0x1030000]);
  });

  test('the 16-bit environment has no opcode in protected mode', () => {
    const reports = run(
      32,
      `
    fninit
    fld1
    fldpi
  last:
    fchs
    data16 fnstenv [environment]
    ${words('environment', 4)}
    mov eax, offset last
    report
    done
    .balign 4
  environment: .skip 16`,
    );
    const last = reports[4];
    expect(reports.slice(0, 4)).toEqual([0x3000037f, ((last & 0xffff) << 16) | 0x0fff, 0, 0]);
  });

  test('the environments of real-address mode hold linear addresses and the opcode', () => {
    // The segment begins at 0x10000; offsets are plain numbers, as the linker's 16 bits hold no
    // more.
    const environment = 0x190;
    const source = (store: string, count: number): string => `
    mov ax, cs
    mov ds, ax
    fninit
    fldcw ds:[0x182]
    fld1
    jmp last
    .org 0x20
  last:
    fidiv word ptr ds:[0x180]
    ${store} ds:[${environment}]
    ${words(`ds:${environment}`, count)}
    done
    .org 0x180
    .word 0, 0x37b
    .org 0x1c0`;
    const fsw = ES_B | ZE | (7 << 11);
    // DE /6 with a 16-bit displacement; the instruction at 0x10020, the operand at 0x10180.
    const fop = 0x636;
    expect(run(16, source('fnstenv', 4))).toEqual([
      ((fsw << 16) | 0x037b) >>> 0,
      0x00203fff,
      0x01800000 | 0x1000 | fop,
      0x1000,
    ]);
    expect(run(16, source('data32 fnstenv', 7))).toEqual(
      [0xffff037b, 0xffff0000 | fsw, 0xffff3fff, 0xffff0020, 0x1000 | fop, 0xffff0180, 0x1000].map(
        (word) => word >>> 0,
      ),
    );
  });

  test('FLDENV takes tags, pointers and status, and derives the summary', () => {
    const reports = run(
      32,
      `
    fninit
    fldenv [image]
    fnstenv [environment]
    ${words('environment', 7)}
    fldenv [pending]
    fnstsw ax
    movzx eax, ax
    report
    fnop
    done
    .balign 4
  image: .long 0x037f, 0xb8ff, 0x3ffc, 0x12345678, 0x07ff0008, 0x9abcdef0, 0x10
  pending: .long 0x037e, 0x0001, 0xffff, 0, 0, 0, 0
  environment: .skip 28`,
    );
    expect(reports).toEqual([
    0xffff037f, 0xffff387f, 0xffff7ffd, 0x12345678, 0x07ff0000, 0x9abcdef0, 0xffff0000,
    ES_B | 1, MF,
  ]); // biome-ignore format: the words of an environment
  });

  test('FNSAVE and FRSTOR keep the stack in its order', () => {
    const reports = run(
      64,
      `
    fninit
    fld1
    fldpi
    fldz
    fincstp
    fnsave [image]
    fxam
    xor eax, eax
    fnstsw ax
    report
    frstor [image]
    fnstsw ax
    report
    fnstenv [environment]
    mov eax, [environment + 8]
    report
    fstp qword ptr [value]
    ${words('value', 2)}
    fstp qword ptr [value]
    ${words('value', 2)}
    done
    .balign 8
  value: .quad 0
  environment: .skip 28
  image: .skip 108`,
    );
    const pi = [0x54442d18, 0x400921fb];
    const one = [0, 0x3ff00000];
    // Three pushes and a rotation: TOP is 6, R7 holds 1, R6 π, R5 0.
    const status = 6 << 11;
    expect(reports).toEqual([0x4100, status, 0xffff07ff, ...pi, ...one]);
  });

  test('stack faults set SF, and C1 tells overflow from underflow', () => {
    const reports = run(
      64,
      `
    xor eax, eax
    fninit
    fadd st, st(1)
    fnstsw ax
    report
    fninit
    .rept 8
    fld1
    .endr
    fldz
    fnstsw ax
    report
    fstp tbyte ptr [value]
    mov ax, [value + 8]
    report
    done
    .balign 8
  value: .skip 10`,
    );
    expect(reports).toEqual([IE_SF, IE_SF | 0x200 | (7 << 11), 0xffff]);
  });

  test('CR0.EM and CR0.TS trap the x87 FPU, and MP also WAIT', () => {
    const source = (bits: number, instruction: string): string => `
    fninit
    mov rax, cr0
    and eax, ~0xe
    or eax, ${bits}
    mov cr0, rax
    ${instruction}
    mov eax, 1
    report
    done
    .balign 16
  area: .skip 512`;
    const [MP, EM, TS] = [2, 4, 8];
    const cases: [number, string, number][] = [
      [0, 'fld1', 1],
      [MP, 'fwait', 1],
      [TS, 'fwait', 1],
      [MP | TS, 'fwait', NM],
      [EM, 'fwait', 1],
      [TS, 'fld1', NM],
      [EM, 'fld1', NM],
      [EM, 'fnstsw ax', NM],
      [TS, 'fxsave [area]', NM],
      [EM, 'fxsave [area]', UD],
      [EM | TS, 'fxrstor [area]', UD],
      [0, 'fxsave [area + 8]', 0xfa00000d],
    ];
    for (const [bits, instruction, expected] of cases) {
      expect([instruction, ...run(64, source(bits, instruction))]).toEqual([instruction, expected]);
    }
  });

  test('FXSAVE and FXRSTOR keep all state, FIP in 64 bits with REX.W', () => {
    const reports = run(
      64,
      `
    mov rax, cr4
    or eax, 0x200
    mov cr4, rax
    fninit
    fldpi
    fldcw [control]
    ldmxcsr [mxcsr]
    mov eax, 0x5a5a
    movd xmm15, eax
    fxsave64 [area]
    fninit
    pxor xmm15, xmm15
    mov dword ptr [mxcsr], 0x1f80
    ldmxcsr [mxcsr]
    fxrstor64 [area]
    fstp qword ptr [value]
    ${words('value', 2)}
    fnstcw [control]
    movzx eax, word ptr [control]
    report
    stmxcsr [mxcsr]
    ${words('mxcsr', 1)}
    movd eax, xmm15
    report
    ${words('area', 2)}
    ${words('area + 28', 1)}
    or dword ptr [area + 24], 0x10000
    fxrstor [area]
    done
    .balign 16
  value: .quad 0
  mxcsr: .long 0x7fa1
  control: .word 0x27f
    .balign 16
  area: .skip 512`,
    );
    expect(reports).toEqual([
      0x54442d18,
      0x400921fb,
      0x27f,
      0x7fa1,
      0x5a5a,
      (7 << 27) | 0x27f,
      0x80,
      0xffff,
      0xfa00000d,
    ]);
  });

  test('MMX registers are the significands, with TOP 0', () => {
    const reports = run(
      64,
      `
    fninit
    fld1
    mov eax, 0x12345678
    movd mm7, eax
    xor eax, eax
    fnstsw ax
    report
    fnstenv [environment]
    mov eax, [environment + 8]
    report
    emms
    fnstenv [environment]
    mov eax, [environment + 8]
    report
    done
  environment: .skip 28`,
    );
    // R7 held 1 and now is a NaN; what was in the others is zero.
    expect(reports).toEqual([0, 0xffff9555, 0xffffffff]);
  });
});
