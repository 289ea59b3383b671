// Single steps and breakpoints as guests see them: SDM vol. 3B, 18.2 and 18.3, vol. 3A, 6.8.3.
// That every instruction is trapped where the host's own processor traps it is the silicon test's.

import { describe, expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { assemble, Guest } from '../../test/guest-program.ts';
import { VCPU_REGS, VM_RWREGS_GPRS } from './registers.ts';

const TF = 0x100n;
/** Where programs of {@link Guest} begin. */
const PROGRAM = 0x10000;
const SET_TF = 'pushfq\nor dword ptr [rsp], 0x100\npopfq';

describe.each(softEngines)('on the $name engine', ({ make }) => {
  /**
   * A 64-bit guest whose #DB handler reports RIP, less the address of label `here`, and goes on.
   */
  function guestOf(source: string, report = 'mov eax, [rsp + 8]\nsub eax, [0x10ff8]'): Guest {
    const guest = new Guest(make(), 64, `${source}\n.org 0xff8\n.quad here`);
    guest.reportExceptions(6, 8, 12, 13);
    guest.handler(1, `push rax\n${report}\nreport\npop rax\niretq`);
    guest.handler(3, 'push rax\nmov eax, 0xbb\nreport\npop rax\niretq');
    guest.handler(14, 'mov rax, cr2\nreport\ndone');
    return guest;
  }

  test('step() traps a jump before the fetch at its target faults', () => {
    const guest = guestOf(
      `mov eax, 0x80000000
    ${SET_TF}
    jmp rax
    here:`,
      'mov eax, [rsp + 8]',
    );
    expect(guest.reports()).toEqual([0x80000000, 0x80000000]);
  });

  test('step() executes the first instruction of a page before it traps', () => {
    const guest = guestOf(`mov eax, 0x30000\n${SET_TF}\njmp rax\nhere:`, 'mov eax, [rsp + 8]');
    guest.load(0x30000, assemble('inc ecx\nnop\ndone', 64, 0x30000));
    expect(guest.reports()).toEqual([0x30000, 0x30002, 0x30003]);
  });

  test('step() traps each round of a REP, with RIP behind it after the last only', () => {
    const guest = guestOf(
      `mov edi, 0x39000
    mov ecx, 3
    ${SET_TF}
    here: rep stosb
    done`,
      'shl ecx, 8\nmov eax, [rsp + 8]\nsub eax, [0x10ff8]\nor eax, ecx\nshr ecx, 8',
    );
    expect(guest.reports()).toEqual([0x200, 0x100, 2]);
  });

  test('step() does not trap MOV SS, but the instruction behind it', () => {
    const guest = guestOf(`xor eax, eax
    ${SET_TF}
    here: mov ss, eax
    nop
    nop
    done`);
    expect(guest.reports()).toEqual([3, 4]);
  });

  test('step() does not trap INT3, whose handler runs with TF clear', () => {
    const guest = guestOf(`${SET_TF}
    here: int3
    nop
    done`);
    expect(guest.reports()).toEqual([0xbb, 2]);
  });

  test('step() holds a breakpoint on what MOV SS reads until the next instruction is done', () => {
    const guest = guestOf(
      `mov word ptr [0x39000], 0
    mov eax, 0x39000
    mov dr0, rax
    mov eax, 0x70001
    mov dr7, rax
    here: mov ss, [0x39000]
    nop
    mov cl, [0x39000]
    done`,
      `mov rax, dr6
    and eax, 1
    shl eax, 8
    or eax, [rsp + 8]
    sub eax, [0x10ff8]`,
    );
    // MOV SS is 8 bytes long, and so is MOV CL less one.
    expect(guest.reports()).toEqual([0x100 + 8, 0x100 + 15]);
  });

  test('step() traps writes that touch what a write breakpoint watches, and no reads', () => {
    const guest = guestOf(
      `mov eax, 0x39000
    mov dr0, rax
    mov eax, 0xd0001
    mov dr7, rax
    here: mov ecx, [0x39000]
    mov byte ptr [0x39004], 1
    mov word ptr [0x38fff], 1
    nop
    done`,
      'mov rax, dr6\nand eax, 1\nshl eax, 8\nor eax, [rsp + 8]\nsub eax, [0x10ff8]',
    );
    // MOV ECX is 7 bytes long, the first store 8, the second, whose last byte is watched, 10.
    expect(guest.reports()).toEqual([0x100 + 25]);
  });

  test('step() stops before an instruction breakpoint, with RF for the handler to set', () => {
    const guest = guestOf(
      `lea rax, here[rip]
    mov dr1, rax
    mov eax, 4
    mov dr7, rax
    nop
    here: nop
    done`,
      `mov rax, dr6
    and eax, 2
    shl eax, 8
    bt dword ptr [rsp + 24], 16
    adc eax, [rsp + 8]
    sub eax, [0x10ff8]
    bts dword ptr [rsp + 24], 16`,
    );
    expect(guest.reports()).toEqual([0x200]);
  });

  test('step() stops behind accesses to ports that an I/O breakpoint watches, under CR4.DE', () => {
    const guest = guestOf(
      `mov rax, cr4
    or eax, 8
    mov cr4, rax
    mov eax, 0x62
    mov dr0, rax
    mov eax, 0x60002
    mov dr7, rax
    here: in al, 0x60
    in al, 0x62
    in al, 0x63
    in al, 0x64
    in ax, 0x61
    out 0x63, al
    mov edx, 0x62
    mov ecx, 2
    mov edi, 0x39000
    rep insb
    done`,
      'mov rax, dr6\nand eax, 15\nshl eax, 8\nadd eax, [rsp + 8]\nsub eax, [0x10ff8]',
    );
    expect(guest.reports()).toEqual([0x104, 0x106, 0x10b, 0x10d, 0x11c, 0x11e]);
  });

  test('step() with IA32_DEBUGCTL.BTF traps taken branches only, until #DB clears it', () => {
    const guest = guestOf(`
    xor eax, eax
    wrmsr64 0x1d9, 0, 2
    ${SET_TF}
    here: nop
    cmp eax, 1
    je 1f
    nop
    cmp eax, 2
    je 2f
  1:
    nop
  2:
    nop
    nop
    done`);
    // Behind JE, and from then on after each instruction.
    expect(guest.reports()).toEqual([13, 14, 15]);
  });

  test('writeRegs() with RFLAGS.TF set traps the next instruction', () => {
    const guest = guestOf('report\nhere: nop\nnop\ndone');
    guest.runToPort(0x10);
    const registers = guest.registers();
    expect(registers.vrs_gprs[VCPU_REGS.RIP]).toBe(BigInt(PROGRAM + 2));
    registers.vrs_gprs[VCPU_REGS.RFLAGS] |= TF;
    guest.setRegisters(VM_RWREGS_GPRS, registers);
    expect(guest.reports()).toEqual([1, 2]);
  });
});
