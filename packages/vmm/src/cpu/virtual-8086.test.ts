// Virtual-8086 mode by small guests of 32 bits; what they report is what SDM vol. 3B, chapter 20,
// says.
//
// The guest's monitor enters `program`, 16-bit code in segment 0x1000 that is linked at 0x10000,
// with its stack in segment 0x3000, by IRET. The I/O bitmap of the TSS at 0x3a000 allows the ports
// of reports only.

import { testGuest } from '../../test/guest-engines.ts';
import type { Guest } from '../../test/guest-program.ts';

const TSS = 0x3a000;
const IO_MAP = 0x88;
const REDIRECTION = IO_MAP - 32;

/** EFLAGS of the program: VM, IOPL, IF and bit 1. */
const flags = (iopl: number, more = 0): number => 0x20202 | (iopl << 12) | more;

const program = (eflags: number, code: string, monitor = ''): string => `
  lgdt [gdtr]
  mov ax, 0x18
  ltr ax
  ${monitor}
  # GS, FS, DS, ES, SS, ESP
  push 0x5555
  push 0x4444
  push 0x3333
  push 0x2222
  push 0x3000
  push 0x8000
  push ${eflags}
  push 0x1000
  push offset program - 0x10000
  iretd
.balign 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008903a00000ff, 0x00cffb000000ffff
gdtr: .word 0x27
  .long gdt
.code16
program:
${code}`;

/** The TSS: ring 0's stack at 0x3c000, ports 0x10 to 0x1f allowed, all INT n to the IDT. */
function tables(guest: Guest): void {
  const { view } = guest;
  view.setUint32(TSS + 4, 0x3c000, true);
  view.setUint16(TSS + 8, 0x10, true);
  view.setUint16(TSS + 0x66, IO_MAP, true);
  for (let i = 0; i < 32; i++) view.setUint8(TSS + REDIRECTION + i, 0xff);
  for (let i = 0; i < 0x20; i++) view.setUint8(TSS + IO_MAP + i, i === 2 || i === 3 ? 0 : 0xff);
}

const gate = (guest: Guest, vector: number, rights: number, selector = 0x08): void => {
  guest.view.setUint8(0x2000 + 8 * vector + 5, rights);
  guest.view.setUint16(0x2000 + 8 * vector + 2, selector, true);
};

/** Reports the frame at ESP, `count` words from `from` on. */
const frame = (from: number, count: number): string =>
  Array.from({ length: count }, (_, i) => `mov eax, [esp + ${4 * (from + i)}]\nreport`).join('\n');

testGuest('IRET enters virtual-8086 mode with all segments, and INT n leaves it', {
  mode: 32,
  source: program(
    flags(3),
    `mov ax, cs
    movzx eax, ax
    out 0x10, eax
    mov ax, fs
    movzx eax, ax
    out 0x10, eax
    pushfd
    pop eax
    out 0x10, eax
    mov bx, 0x3100
    mov ds, bx
    mov dword ptr [0x10], 0xabcd1234
    mov es, bx
    mov eax, es:[0x10]
    out 0x10, eax
    push 0x7777
    int 0x40
    mov ax, ds
    movzx eax, ax
    out 0x10, eax
    out 0x1f, al`,
  ),
  prepare: (guest) => {
    tables(guest);
    guest.handler(
      0x40,
      `mov eax, esp
      report
      ${frame(1, 8)}
      mov eax, ds
      report
      mov eax, gs
      report
      pushfd
      pop eax
      report
      mov eax, 0x10
      mov ds, eax
      mov eax, [0x31010]
      report
      iretd`,
    );
    gate(guest, 0x40, 0xee);
  },
  reports: [
    0x1000, 0x4444, 0x3202, 0xabcd1234,
    0x3c000 - 36, 0x1000, 0x23202, 0x7ffe, 0x3000, 0x3100, 0x3100, 0x4444, 0x5555,
    0, 0, 0x3002, 0xabcd1234, 0x3100,
  ], // biome-ignore format: grouped
});

for (const [code, opcode] of [
  ['cli', 0xfa],
  ['sti', 0xfb],
  ['pushf', 0x9c],
  ['popf', 0x9d],
  ['pushfd', 0x66],
  ['iret', 0xcf],
  ['int 0x40', 0xcd],
  ['hlt', 0xf4],
  ['in al, 0x21', 0xe4],
  ['mov eax, cr0', 0x0f],
] as const) {
  testGuest(`${code.toUpperCase()} is #GP(0) in virtual-8086 mode below IOPL 3`, {
    mode: 32,
    source: program(flags(2), `nop\n${code}`),
    prepare: (guest) => {
      tables(guest);
      guest.handler(0x40, 'mov eax, 0x40\nreport\ndone');
      gate(guest, 0x40, 0xee);
      guest.handler(
        13,
        `mov eax, [esp]
        report
        mov eax, [esp + 4]
        add eax, 0x10000
        mov al, cs:[eax]
        movzx eax, al
        report
        mov eax, [esp + 12]
        and eax, ~0x10000
        report
        done`,
      );
    },
    // RF, which QEMU leaves out, apart.
    reports: [0, opcode, 0x22202],
  });
}

testGuest('INT3 and INTO do not ask for IOPL, only for the DPL of their gates', {
  mode: 32,
  source: program(
    flags(0),
    'int3\nmov al, 0x7f\nadd al, 1\ninto\nint3\nmov al, 0x7f\nadd al, 1\ninto',
  ),
  prepare: (guest) => {
    tables(guest);
    guest.handler(3, 'mov eax, 0x33\nreport\niretd');
    guest.handler(
      4,
      `mov eax, 0x44
      report
      mov eax, 0x10
      mov ds, eax
      mov byte ptr [0x2025], 0x8e
      iretd`,
    );
    gate(guest, 3, 0xee);
    gate(guest, 4, 0xee);
    guest.handler(13, 'mov eax, [esp]\nreport\ndone');
  },
  reports: [0x33, 0x44, 0x33, 4 * 8 + 2],
});

testGuest('an interrupt out of virtual-8086 mode must lead to ring 0', {
  mode: 32,
  source: program(flags(3), 'int 0x40'),
  prepare: (guest) => {
    tables(guest);
    guest.handler(0x40, 'mov eax, 0x40\nreport\ndone');
    gate(guest, 0x40, 0xee, 0x23);
    guest.handler(13, 'mov eax, [esp]\nreport\nmov eax, [esp + 8]\nreport\ndone');
  },
  reports: [0x20, 0x1000],
});

testGuest('instructions of protected mode are #UD, and far transfers load paragraphs', {
  mode: 32,
  source: program(
    flags(0),
    `.byte 0xea
    .word 1f - 0x10040, 0x1004
  1:
    push cs
    pop ax
    movzx eax, ax
    out 0x10, eax
    .byte 0x9a
    .word 2f - 0x10000, 0x1000
    out 0x10, eax
    sldt ax
  2:
    mov eax, 0x600d
    retf`,
  ),
  prepare: (guest) => {
    tables(guest);
    guest.handler(6, 'mov eax, [esp + 4]\nreport\ndone');
  },
  reports: [0x1004, 0x600d, 0x1004],
});

testGuest('a limit of 64 KiB holds in virtual-8086 mode', {
  mode: 32,
  source: program(flags(0), 'mov ecx, 0xffff\nmov al, [ecx]\nmov ax, [ecx]'),
  prepare: (guest) => {
    tables(guest);
    guest.handler(13, 'mov eax, [esp]\nadd eax, 0x1313\nreport\ndone');
  },
  reports: [0x1313],
  notOnQemu: 'TCG checks no limits',
});

const NO_EXTENSIONS = 'TCG does not have the virtual-mode extensions';
/** CR4.VME. */
const EXTENDED = 'mov eax, cr4\nor al, 1\nmov cr4, eax';

testGuest('under VME, INT n goes through the vectors of the program where the bitmap says so', {
  mode: 32,
  source: program(
    flags(0, 0x80000),
    `int 0x41
    out 0x10, eax
    pushf
    pop ax
    movzx eax, ax
    out 0x10, eax
    cli
    pushf
    pop ax
    movzx eax, ax
    out 0x10, eax
    sti
    pushf
    pop ax
    movzx eax, ax
    out 0x10, eax
    int 0x42
  handler:
    pop eax
    push eax
    shr eax, 16
    out 0x10, eax
    mov bp, sp
    movzx eax, word ptr [bp + 4]
    out 0x10, eax
    pushf
    pop ax
    movzx eax, ax
    out 0x10, eax
    mov eax, 0x4141
    iret`,
    `${EXTENDED}\nmov dword ptr [0x41 * 4], offset handler + 0xfff0000`,
  ),
  prepare: (guest) => {
    tables(guest);
    guest.view.setUint8(TSS + REDIRECTION + 8, 0xfd);
    guest.handler(13, 'mov eax, [esp]\nadd eax, 0x1313\nreport\nmov eax, [esp + 12]\nreport\ndone');
  },
  reports: [0x1000, 0x3202, 0x3006, 0x4141, 0x3202, 0x3002, 0x3202, 0x1313, 0xb0202],
  notOnQemu: NO_EXTENSIONS,
});

testGuest('under VME, a pending virtual interrupt makes STI and POPF that allow it #GP(0)', {
  mode: 32,
  source: program(flags(0, 0x100000), 'cli\npushf\npopf\nsti', EXTENDED),
  prepare: (guest) => {
    tables(guest);
    guest.handler(
      13,
      'mov eax, [esp + 4]\nadd eax, 0x10000\nmovzx eax, byte ptr cs:[eax]\nreport\ndone',
    );
  },
  reports: [0xfb],
  notOnQemu: NO_EXTENSIONS,
});

testGuest('under PVI, CLI and STI of ring 3 work on VIF', {
  mode: 32,
  source: `
    lgdt [gdtr]
    mov ax, 0x28
    ltr ax
    mov eax, cr4
    or al, 2
    mov cr4, eax
    push 0x23
    push 0x38000
    push 0x202
    push 0x1b
    push offset user
    iretd
  user:
    sti
    pushfd
    pop eax
    out 0x10, eax
    cli
    pushfd
    pop eax
    out 0x10, eax
    hlt
  .balign 8
  gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
    .quad 0x00008903a00000ff
  gdtr: .word 0x2f
    .long gdt`,
  prepare: (guest) => {
    tables(guest);
    guest.handler(13, 'mov eax, [esp]\nadd eax, 0x1313\nreport\ndone');
  },
  reports: [0x80202, 0x202, 0x1313],
  notOnQemu: NO_EXTENSIONS,
});
