// Small guests that go through the rings and modes, instruction by instruction; what they report is
// what SDM vol. 2 and 3A say.

import { describe, expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { Guest, type Mode } from '../../test/guest-program.ts';

const IDT = 0x2000;
const USER_CODE = 0x2b;

/** A GDT for both rings, a TSS, and user access to all pages. */
const TABLES = `
.macro tables
  lgdt [gdtr]
  or qword ptr [0x4000], 4
  or qword ptr [0x5000], 4
  or qword ptr [0x6000], 4
  mov rax, cr3
  mov cr3, rax
  mov ax, 0x30
  ltr ax
.endm
.macro enter_user flags
  push 0x23
  push 0x38000
  push \\flags
  push 0x2b
  push offset user
  iretq
.endm
`;

const DATA = `
.balign 16
gdt:
  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff
  .quad 0x00cff3000000ffff, 0x00affb000000ffff, 0x00008903a000ffff, 0
gdtr:
  .word 0x3f
  .quad gdt
`;

describe.each(softEngines)('on the $name engine', ({ make }) => {
  /** A 64-bit guest with {@link DATA}; `prepare` may add handlers. TSS at 0x3a000, RSP0 0x3c000. */
  function guest64(source: string): Guest {
    const guest = new Guest(make(), 64, `${TABLES}${source}${DATA}`);
    guest.reportExceptions(1, 6, 8, 10, 11, 12, 13, 14);
    guest.view.setBigUint64(0x3a004, 0x3c000n, true);
    guest.view.setUint16(0x3a066, 0x68, true);
    return guest;
  }

  /** Lets ring 3 use the gate of `vector`. */
  const openGate = (guest: Guest, vector: number): void =>
    guest.view.setUint8(IDT + 16 * vector + 5, 0xee);

  function run(mode: Mode, source: string): number[] {
    const guest = new Guest(make(), mode, source);
    guest.reportExceptions(1, 6, 8, 10, 11, 12, 13, 14);
    return guest.reports();
  }

  test('IRETQ to ring 3, INT n, SYSCALL and SYSRET go through the rings', () => {
    const guest = guest64(`
    tables
    wrmsr64 0xc0000081, 0x00180008, 0
    wrmsr64 0xc0000082, 0, "offset entry"
    wrmsr64 0xc0000084, 0, 0x200
    wrmsr64 0xc0000080, 0, 0xd01
    enter_user 0x3202
  user:
    mov eax, cs
    report
    mov eax, ss
    report
    int 0x80
    syscall
  after:
    mov eax, cs
    report
    pushfq
    pop rax
    report
    mov eax, r11d
    report
    done
  entry:
    mov eax, cs
    report
    mov eax, ss
    report
    lea eax, [rcx - (after - user)]
    sub eax, offset user
    report
    pushfq
    pop rax
    report
    sysretq`);
    guest.handler(
      0x80,
      'mov eax, esp\nreport\nmov eax, [rsp + 8]\nreport\nmov eax, ss\nreport\niretq',
    );
    openGate(guest, 0x80);
    expect(guest.reports()).toEqual([
      USER_CODE,
      0x23,
      0x3c000 - 40,
      USER_CODE,
      0,
      0x08,
      0x10,
      0,
      0x3046,
      USER_CODE,
      0x3202,
      0x3202,
    ]);
  });

  test('faults of ring 3 come with their error codes, and restart the instruction', () => {
    const guest = guest64(`
    tables
    enter_user 0x3202
  user:
    mov eax, [0x40001234]
    mov [0x40001234], eax
    hlt
    mov ds, [selector]
    int 0x81
    ud2
    done
  selector: .word 0x08`);
    const report = (skip: number) =>
      `mov eax, [rsp]\nreport\nadd qword ptr [rsp + 8], ${skip}\nadd rsp, 8\niretq`;
    guest.handler(14, `mov rax, cr2\nreport\n${report(7)}`);
    // HLT is one byte, INT n two; the MOV has a SIB byte and a displacement.
    guest.handler(
      13,
      `mov eax, [rsp]\nreport
    mov rbx, [rsp + 8]
    mov ecx, 1
    cmp byte ptr [rbx], 0xf4
    je 1f
    mov ecx, 2
    cmp byte ptr [rbx], 0xcd
    je 1f
    mov ecx, 7
  1: add [rsp + 8], rcx
    add rsp, 8
    iretq`,
    );
    guest.handler(6, 'mov eax, 0x66\nreport\nadd qword ptr [rsp], 2\niretq');
    expect(guest.reports()).toEqual([0x40001234, 4, 0x40001234, 6, 0, 0x08, 0x81 * 8 + 2, 0x66]);
  });

  test('ring 3 uses ports by IOPL or the bitmap of the TSS', () => {
    const guest = guest64(`
    tables
    // The gate's handler runs in ring 0 and reports; ring 3 may use port 0x10 to 0x13 only.
    enter_user 0x202
  user:
    mov eax, 0x1111
    out 0x10, eax
    mov al, 1
    out 0x14, al
    done`);
    guest.view.setUint8(0x3a068 + 2, 0xf0);
    guest.handler(13, 'mov eax, [rsp]\nadd eax, 0x2222\nreport\ndone');
    expect(guest.reports()).toEqual([0x1111, 0x2222]);
  });

  test('compatibility mode is entered and left by far transfers and interrupts', () => {
    const guest = guest64(`
    tables
    enter_user 0x3202
  user:
    mov ax, 0x23
    mov ds, ax
    push 0x1b
    push offset narrow
    retfq
    .code32
  narrow:
    mov eax, cs
    out 0x10, eax
    mov eax, 0xffffffff
    inc eax
    pushfd
    pop eax
    out 0x10, eax
    int 0x80
    push eax
    mov eax, esp
    out 0x10, eax
    mov dword ptr [0x39000], offset back
    mov word ptr [0x39004], 0x2b
    jmp fword ptr ds:[0x39000]
    .code64
  back:
    mov eax, cs
    report
    mov rax, rsp
    report
    done`);
    guest.handler(0x80, 'mov eax, [rsp + 8]\nreport\niretq');
    openGate(guest, 0x80);
    expect(guest.reports()).toEqual([0x1b, 0x3256, 0x1b, 0x38000 - 4, USER_CODE, 0x38000 - 4]);
  });

  test('single step traps after each instruction from the one behind POPF on', () => {
    const guest = guest64(`
    tables
    xor ebx, ebx
    pushfq
    or dword ptr [rsp], 0x100
    popfq
  first:
    nop
  second:
    nop
    pushfq
    and dword ptr [rsp], 0xfffffeff
    popfq
    nop
    mov eax, ebx
    report
    done`);
    // The handler counts, and clears DR6.BS; RIP is that of the next instruction.
    guest.handler(
      1,
      `inc ebx
    mov rax, dr6
    and eax, 0x4000
    report
    xor eax, eax
    mov dr6, rax
    iretq`,
    );
    const reports = guest.reports();
    // NOP, NOP, PUSHF, AND, POPF.
    expect(reports).toEqual([0x4000, 0x4000, 0x4000, 0x4000, 0x4000, 5]);
  });

  test('descriptor instructions answer what the tables say', () => {
    const guest = guest64(`
    tables
    sgdt [0x39000]
    movzx eax, word ptr [0x39000]
    report
    mov eax, [0x39002]
    sub eax, offset gdt
    report
    str eax
    report
    mov eax, 0x28
    lar eax, eax
    report
    mov eax, 0x08
    lsl eax, eax
    report
    mov eax, 0x1000
    mov ebx, 0x77
    lsl ebx, eax
    setz al
    movzx eax, al
    report
    mov eax, ebx
    report
    mov eax, 0x08
    verw ax
    setz al
    movzx eax, al
    report
    smsw eax
    report
    done`);
    expect(guest.reports()).toEqual([
      0x3f, 0, 0x30, 0x00affb00, 0xffffffff, 0, 0x77, 0, 0x80000031,
    ]);
  });

  test('FS and GS have bases of their own, which SWAPGS and the FSGSBASE instructions move', () => {
    const guest = guest64(`
    tables
    mov dword ptr [0x39010], 0xabcd
    wrmsr64 0xc0000100, 0, 0x39000
    mov eax, fs:[0x10]
    report
    wrmsr64 0xc0000102, 0, 0x39008
    swapgs
    mov eax, gs:[8]
    report
    mov rax, cr4
    or eax, 0x10000
    mov cr4, rax
    rdgsbase rax
    report
    mov eax, 0x39004
    wrfsbase rax
    mov eax, fs:[0xc]
    report
    mov rax, 0x800000000000
    wrfsbase rax
    done`);
    guest.handler(13, 'mov eax, [rsp]\nadd eax, 0x1313\nreport\ndone');
    expect(guest.reports()).toEqual([0xabcd, 0xabcd, 0x39008, 0xabcd, 0x1313]);
  });

  test('PUSHF, POPF, LAHF and SAHF move flags as each ring may', () => {
    const guest = guest64(`
    tables
    mov ah, 0xd7
    sahf
    lahf
    movzx eax, ah
    report
    push 0x240ed7
    popfq
    pushfq
    pop rax
    report
    enter_user 0x3002
  user:
    pushfq
    or dword ptr [rsp], 0x40200
    and dword ptr [rsp], 0xffffcfff
    popfq
    pushfq
    pop rax
    report
    done`);
    // AC and ID can be set; in ring 3 IOPL stays, and with IOPL 3 IF can be set.
    expect(guest.reports()).toEqual([0xd7, 0x240ed7, 0x43202]);
  });

  test('the debug registers and DR7.GD', () => {
    const guest = guest64(`
    tables
    mov eax, 0x2000
    mov dr7, rax
    mov rax, dr0
    done`);
    guest.handler(1, 'mov rax, dr6\nreport\nmov rax, dr7\nreport\ndone');
    expect(guest.reports()).toEqual([0xffff2ff0, 0x400]);
  });

  test('a processor goes from real-address mode to 64-bit mode and back to 16-bit code', () => {
    // The program lies at 0x10000, in segment 0x1000; tables at 0x4000 map the first GiB.
    const reports = run(
      16,
      `
    mov ax, 0x1000
    mov ds, ax
    lgdt [gdtr - 0x10000]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea
    .long protected32
    .word 0x18
    .code32
  protected32:
    mov ax, 0x10
    mov ds, ax
    mov ss, ax
    mov esp, 0x8000
    mov eax, cs
    out 0x10, eax
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, 0x4000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    out 0x10, eax
    .byte 0xea
    .long long64
    .word 0x08
    .code64
  long64:
    mov rax, 0x123456789
    shr rax, 32
    out 0x10, eax
    push 0x18
    push offset leave
    retfq
    .code32
  leave:
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    out 0x10, eax
    .byte 0xea
    .long narrow - 0x10000
    .word 0x20
    .code16
  narrow:
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea
    .word real - 0x10000
    .word 0x1000
  real:
    mov ax, 0x3000
    mov es, ax
    mov dword ptr es:[4], 0x600d
    mov ax, cs
    movzx eax, ax
    out 0x10, eax
    mov eax, es:[4]
    out 0x10, eax
    out 0x1f, al
  .balign 8
  gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00009b010000ffff
  gdtr:
    .word 0x27
    .long gdt`,
    );
    expect(reports).toEqual([0x18, 0x500, 1, 0x100, 0x1000, 0x600d]);
  });

  test('real-address mode serves interrupts through the vector table', () => {
    const guest = new Guest(
      make(),
      16,
      `
    xor ax, ax
    mov ds, ax
    mov eax, 0x11111111
    int 0x60
    out 0x10, eax
    into
    mov al, 0x7f
    add al, 1
    into
    out 0x1f, al`,
    );
    guest.handler(0x60, 'shl eax, 1\niret');
    guest.handler(4, 'pushf\npop ax\nmovzx eax, ax\nout 0x10, eax\niret');
    // In the handler of INTO: OF, SF, AF as the addition left them; IF and TF clear.
    expect(guest.reports()).toEqual([0x22222222, 0x0892]);
  });

  test('protected mode: call gates, LDT, expand-down stacks and ARPL', () => {
    const reports = run(
      32,
      `
  start:
    lgdt [gdtr]
    mov ax, 0x18
    lldt ax
    mov ax, 0x04
    mov es, ax
    mov eax, es:[0]
    out 0x10, eax
    // A stack that grows down below its limit, 0x7fff.
    mov ax, 0x20
    mov ss, ax
    mov esp, 0x8004
    push 0x5a5a
    pop eax
    out 0x10, eax
    mov esp, 0x9000
    call 0x28:0
    out 0x10, eax
    mov ax, 0x10
    mov bx, 0x13
    arpl ax, bx
    setz cl
    movzx eax, ax
    out 0x10, eax
    movzx eax, cl
    out 0x10, eax
    out 0x1f, al
  gated:
    mov eax, 0x6a7e
    retf
  value: .long 0x1d7
  .balign 8
  // Descriptors whose base or offset is a label: the program starts at 0x10000.
  ldt:
    .word 0xffff, value - start
    .byte 0x01, 0x93, 0xcf, 0
  gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
    .word 7, ldt - start
    .byte 0x01, 0x82, 0, 0
    .quad 0x00c0970000000007
    .word gated - start, 0x08, 0x8c00, 1
  gdtr:
    .word 0x2f
    .long gdt`,
    );
    expect(reports).toEqual([0x1d7, 0x5a5a, 0x6a7e, 0x13, 1]);
  });
});
