// What ends a slice of the soft engine, and what must not come at its end.

import { describe, expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { Guest, initialState } from '../../test/guest-program.ts';
import { VM_EXIT_NONE } from './exit-reasons.ts';
import { VCPU_REGS, VCPU_SREGS } from './registers.ts';

const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3a000;
const UD = 6;

describe.each(softEngines)('on the $name engine', ({ make }) => {
  test('run() lets no interrupt in between STI and the instruction behind it', () => {
    const guest = new Guest(make(), 64, '1: sti\ncli\njmp 1b');
    const ready = Array.from({ length: 12 }, () => {
      expect(guest.run()).toBe(VM_EXIT_NONE);
      return guest.params.vrp_irqready;
    });
    // CLI is always behind the STI, so there is no time for an interrupt at all.
    expect(ready).toEqual(Array(12).fill(0));
  });

  test('run() returns from a REP that goes on and on', () => {
    const guest = new Guest(make(), 64, 'xor esi, esi\nmov ecx, 0x8000\nrep lodsb\ndone');
    expect(guest.run()).toBe(VM_EXIT_NONE);
    const { vrs_gprs } = guest.registers();
    expect(vrs_gprs[VCPU_REGS.RCX]).toBeGreaterThan(0n);
    expect(vrs_gprs[VCPU_REGS.RCX] + vrs_gprs[VCPU_REGS.RSI]).toBe(0x8000n);
    expect(guest.reports()).toEqual([]);
    expect(guest.registers().vrs_gprs[VCPU_REGS.RSI]).toBe(0x8000n);
  });

  test('run() returns from a handler whose first instruction is a fault that it handles', () => {
    const guest = new Guest(make(), 64, 'mov ax, 0x18\nltr ax\nud2');
    // A stack of its own, which each fault starts anew: without it the guest would run out of
    // stack.
    const state = initialState(64);
    state.vrs_gdtr.vsi_limit = 0x27;
    guest.reset(state);
    guest.load(GDT + 0x18, new Uint8Array([0x68, 0, 0, 0xa0, 0x03, 0x89, 0, 0]));
    guest.view.setBigUint64(TSS + 0x24, 0x3c000n, true);
    guest.handler(UD, 'ud2');
    guest.view.setUint8(IDT + 16 * UD + 4, 1);
    for (let slice = 0; slice < 3; slice++) expect(guest.run()).toBe(VM_EXIT_NONE);
  });

  test('run() returns soon from a loop that writes over its own code', () => {
    const guest = new Guest(
      make(),
      64,
      'mov ecx, 1000\n1: inc byte ptr [rip + 3f]\ndec ecx\njnz 1b\njmp 2f\n3: nop\n2: done',
    );
    let runs = 0;
    while (guest.run() === VM_EXIT_NONE) runs++;
    // A slice is for 200 000 instructions, of which the loop has 3000.
    expect(runs).toBeGreaterThan(1);
    expect(guest.registers().vrs_gprs[VCPU_REGS.RCX]).toBe(0n);
  });

  test('run() goes on behind a CALL that pushes onto the code it is in', () => {
    const guest = new Guest(
      make(),
      64,
      `jmp 1f
    .balign 64
    1: lea rsp, [rip + 2f + 16]
    call 3f
    2: .skip 24
    3: mov rax, [rsp]
    lea rbx, [rip + 2b]
    sub eax, ebx
    report
    done`,
    );
    expect(guest.reports()).toEqual([0]);
  });

  test('readRegs() gives the bases that data segments have kept in 64-bit mode', () => {
    const guest = new Guest(make(), 64, 'done');
    const registers = guest.registers();
    registers.vrs_sregs[VCPU_SREGS.DS].vsi_base = 0x12345000n;
    guest.reset(registers);
    guest.reports();
    expect(guest.registers().vrs_sregs[VCPU_SREGS.DS].vsi_base).toBe(0x12345000n);
  });
});

test.each(softEngines)(
  'run() has memory at guest-physical 0 also where that is address 0 of the host: $name',
  ({ make }) => {
    const source = `
    mov dword ptr [0], 0x44332211
    mov eax, [0]
    report
    mov al, [1]
    movzx eax, al
    report
    inc byte ptr [0]
    mov byte ptr [1], 0x55
    mov eax, [0]
    report
    done`;
    const guest = new Guest(make(), 32, source, 0);
    guest.reportExceptions(13, 14);
    expect(guest.reports()).toEqual([0x44332211, 0x22, 0x44335512]);
  },
);
