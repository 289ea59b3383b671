// Task switches by small guests of 32 bits; what they report is what SDM vol. 3A, chapter 7, says.
//
// The main task has its TSS at 0x30000 (selector 0x18). The other one's is at 0x30100 (0x20) and
// starts at `other`, in ring 0 with a stack at 0x38000, unless the test changes it. 0x28 is a task
// gate to the latter, 0x30 a 16-bit TSS at 0x30200, 0x38 an LDT, 0x40 and 0x48 ring 3's code and
// data, 0x50 data that is not present, 0x58 ring 0's code that is not present, 0x78 code with base
// 0x10000. 0x60, 0x68 and 0x70 are tasks for exceptions, at 0x30300, 0x30400 and 0x30500.

import { testGuest } from '../../test/guest-engines.ts';
import type { Guest } from '../../test/guest-program.ts';

const OTHER = 0x30100;
const NARROW = 0x30200;
/** Fields of a 32-bit TSS. */
// biome-ignore format: a table
const T = {
  link: 0, esp0: 4, ss0: 8, cr3: 0x1c, eip: 0x20, eflags: 0x24, eax: 0x28, esp: 0x38,
  es: 0x48, cs: 0x4c, ss: 0x50, ds: 0x54, fs: 0x58, gs: 0x5c, ldt: 0x60, trap: 0x64, io: 0x66,
} as const;

/** `other` is the first thing in the program, so that its address is known. */
const program = (other: string, main: string): string => `
  jmp main
.balign 16
other:
  ${other}
.balign 16
main:
  lgdt [gdtr]
  mov ax, 0x18
  ltr ax
  ${main}
  done
.balign 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890300000067
  .quad 0x0000890301000067, 0x0000850000200000, 0x000081030200002b, 0x0000820310000007
  .quad 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00cf13000000ffff, 0x00cf1b000000ffff
  .quad 0x0000890303000067, 0x0000890304000067, 0x0000890305000067, 0x00cf9b010000ffff
gdtr: .word 0x7f
  .long gdt`;

const OTHER_EIP = 0x10010;

/** Fills the TSS at `at`. */
function task(guest: Guest, at: number, eip: number): void {
  const set = (offset: number, value: number): void =>
    guest.view.setUint32(at + offset, value, true);
  set(T.eip, eip);
  set(T.eflags, 0x3002);
  for (let n = 0; n < 8; n++) set(T.eax + 4 * n, 0x10000000 + n);
  set(T.esp, 0x38000);
  for (const offset of [T.es, T.ss, T.ds, T.fs, T.gs]) set(offset, 0x10);
  set(T.cs, 0x08);
  set(T.io, 0x680000);
  set(T.esp0, 0x39000);
  set(T.ss0, 0x10);
}

const tasks = (guest: Guest): void => task(guest, OTHER, OTHER_EIP);

/** Changes a field of the other task's TSS. */
const with32 =
  (...fields: [number, number][]) =>
  (guest: Guest): void => {
    tasks(guest);
    for (const [offset, value] of fields) guest.view.setUint32(OTHER + offset, value, true);
  };

/** Has `vector` switch to the task of `selector`. */
function taskGate(guest: Guest, vector: number, selector = 0x20): void {
  guest.view.setBigUint64(0x2000 + 8 * vector, 0x0000e50000000000n | BigInt(selector << 16), true);
}

/** The type of the TSS with `selector`: 9 or 11, from the GDT that GDTR holds. */
const reportType = (selector: number): string =>
  `sgdt [0x3f000]
  mov eax, [0x3f002]
  movzx eax, byte ptr [eax + ${selector + 5}]
  and eax, 0xf
  report`;
const reportFlags = 'pushfd\npop eax\nreport';

testGuest('CALL of a TSS nests, saves the old task, and IRET comes back to it', {
  mode: 32,
  source: program(
    `report
    mov eax, esp
    report
    str eax
    report
    ${reportFlags}
    movzx eax, word ptr [0x30100]
    report
    mov eax, cr0
    and eax, 8
    report
    ${reportType(0x18)}
    ${reportType(0x20)}
    mov eax, [0x30024]
    report
    mov eax, [0x30030]
    report
    mov eax, [0x30020]
    sub eax, offset behind
    report
    movzx eax, word ptr [0x3004c]
    report
    inc dword ptr [0x3e000]
    iretd
    mov eax, 0x2222
    report
    done`,
    `mov edx, 0x12345678
    mov ecx, 0xabcd
    stc
    .byte 0x9a
    .long 0x99999999
    .word 0x20
  behind:
    mov eax, edx
    report
    setc al
    movzx eax, al
    report
    str eax
    report
    ${reportType(0x18)}
    ${reportType(0x20)}
    mov eax, [0x30124]
    report
    call 0x28:0`,
  ),
  prepare: tasks,
  reports: [
    0x10000000, 0x38000, 0x20, 0x7002, 0x18, 8, 11, 11, 0x3, 0x12345678, 0, 0x08,
    0x12345678, 1, 0x18, 11, 9, 0x3002, 0x2222,
  ], // biome-ignore format: grouped
});

testGuest('JMP to a task, directly or through a gate, does not nest', {
  mode: 32,
  source: program(
    `${reportFlags}
    ${reportType(0x18)}
    ${reportType(0x20)}
    jmp 0x18:0
    str eax
    report
    done`,
    `jmp 0x20:0
    str eax
    report
    ${reportType(0x20)}
    jmp 0x28:0`,
  ),
  prepare: tasks,
  reports: [0x3002, 9, 11, 0x18, 9, 0x20],
});

testGuest('a 16-bit TSS switches the low halves, and back to a 32-bit one', {
  mode: 32,
  source: program(
    'done',
    `mov word ptr [${NARROW + 0x0e}], offset narrow - 0x10000
    mov word ptr [${NARROW + 0x10}], 0x3002
    mov word ptr [${NARROW + 0x12}], 0x1111
    mov word ptr [${NARROW + 0x1a}], 0x7f00
    mov word ptr [${NARROW + 0x22}], 0x10
    mov word ptr [${NARROW + 0x24}], 0x78
    mov word ptr [${NARROW + 0x26}], 0x10
    mov word ptr [${NARROW + 0x28}], 0x10
    mov eax, 0x10
    mov fs, eax
    call 0x30:0
    mov eax, fs
    report
    movzx eax, word ptr [${NARROW + 0x12}]
    report
    done
  narrow:
    movzx eax, ax
    report
    movzx eax, sp
    report
    mov eax, fs
    report
    mov ax, 0x5678
    iretd`,
  ),
  prepare: tasks,
  reports: [0x1111, 0x7f00, 0, 0x10, 0x5678],
});

for (const [what, fields, reports] of [
  ['a CS whose DPL is not its RPL', [[T.cs, 0x0b]], [10, 0x08]],
  ['a CS that is data', [[T.cs, 0x10]], [10, 0x10]],
  ['a CS that is not present', [[T.cs, 0x58]], [11, 0x58]],
  ['a null CS', [[T.cs, 0]], [10, 0]],
  ['a null SS', [[T.ss, 0]], [10, 0]],
  ['an SS that is not present', [[T.ss, 0x50]], [12, 0x50]],
  ['an SS of another ring', [[T.ss, 0x48]], [10, 0x48]],
  ['a DS that is not present', [[T.ds, 0x50]], [11, 0x50]],
  ['a DS beyond the table', [[T.ds, 0x100]], [10, 0x100]],
  ['an ES that is a system segment', [[T.es, 0x20]], [10, 0x20]],
  ['an LDT that is none', [[T.ldt, 0x10]], [10, 0x10]],
  ['an LDT in an LDT', [[T.ldt, 0x3c]], [10, 0x3c]],
] as [string, [number, number][], number[]][]) {
  testGuest(`${what} faults in the new task`, {
    mode: 32,
    source: program('mov eax, 0x900d\nreport\ndone', 'call 0x20:0'),
    prepare: (guest) => {
      with32(...fields)(guest);
      for (const vector of [10, 11, 12]) {
        const at = 0x30300 + 0x100 * (vector - 10);
        task(guest, at, 0x20000 + 0x100 * vector);
        guest.handler(
          vector,
          `mov eax, ${vector}
          report
          mov eax, [esp]
          report
          movzx eax, word ptr [${at}]
          report
          mov eax, [${OTHER + T.eip}]
          report
          ${reportType(0x18)}
          done`,
        );
        taskGate(guest, vector, 0x60 + 8 * (vector - 10));
      }
    },
    reports: [...reports, 0x20, OTHER_EIP, 11],
    notOnQemu: 'TCG reports the address of the switch',
  });
}

testGuest(
  'an exception through a task gate leaves its error code on the new stack, and can be resumed',
  {
    mode: 32,
    source: program(
      `pop ebx
    mov eax, ebx
    report
    mov eax, esp
    report
    mov eax, [0x30024]
    and eax, 0x14000
    report
    mov dword ptr [0x30020], offset resumed
    iretd
    .balign 16`,
      `mov dword ptr [0x30120], offset other
    mov eax, 0xfff8
    mov ds, eax
    done
  resumed:
    mov eax, 0x600d
    report
    str eax
    report`,
    ),
    prepare: (guest) => {
      tasks(guest);
      taskGate(guest, 13);
    },
    reports: [0xfff8, 0x38000, 0x10000, 0x600d, 0x18],
    notOnQemu: 'TCG does not save RF',
  },
);

testGuest('INT n and an external interrupt of ring 3 through a task gate need no stack of ring 0', {
  mode: 32,
  source: program(
    `str eax
    report
    movzx eax, word ptr [0x3004c]
    report
    iretd
    .balign 16`,
    `push 0x4b
    push 0x36000
    push 0x3002
    push 0x43
    push offset user
    iretd
  user:
    int 0x50
    mov eax, cs
    report
    mov eax, ss
    report`,
  ),
  prepare: (guest) => {
    tasks(guest);
    taskGate(guest, 0x50);
  },
  reports: [0x20, 0x43, 0x43, 0x4b],
});

for (const [what, main, prepare, reports] of [
  ['a busy TSS', 'call 0x18:0', tasks, [13, 0x18]],
  [
    'IRET to a task that is not busy',
    'mov word ptr [0x30000], 0x20\npush 0x4002\npopfd\niretd',
    tasks,
    [10, 0x20],
  ],
  ['a TSS that is too small', 'mov byte ptr [gdt + 0x20], 0x66\ncall 0x20:0', tasks, [10, 0x20]],
  ['a TSS that is not present', 'mov byte ptr [gdt + 0x25], 9\ncall 0x20:0', tasks, [11, 0x20]],
  [
    'a task gate that is not present',
    'mov byte ptr [gdt + 0x2d], 5\ncall 0x28:0',
    tasks,
    [11, 0x28],
  ],
] as [string, string, (guest: Guest) => void, number[]][]) {
  testGuest(`${what} is refused in the old task`, {
    mode: 32,
    source: program('done', `${main}\ndone`),
    prepare: (guest) => {
      prepare(guest);
      for (const vector of [10, 11, 13]) {
        const code = `mov eax, ${vector}\nreport\nmov eax, [esp]\nreport\nstr eax\nreport\ndone`;
        guest.handler(vector, code);
      }
    },
    reports: [...reports, 0x18],
  });
}

testGuest('ring 3 may use a task gate of its own DPL, but not the TSS behind it', {
  mode: 32,
  source: program(
    `mov eax, 0x7a5c
    report
    iretd`,
    `mov byte ptr [gdt + 0x2d], 0xe5
    push 0x4b
    push 0x36000
    push 0x3002
    push 0x43
    push offset user
    iretd
  user:
    call 0x28:0
    call 0x20:0`,
  ),
  prepare: (guest) => {
    tasks(guest);
    guest.view.setUint32(0x30000 + T.esp0, 0x39000, true);
    guest.view.setUint32(0x30000 + T.ss0, 0x10, true);
    guest.handler(13, 'mov eax, [esp]\nreport\ndone');
  },
  reports: [0x7a5c, 0x20],
});

testGuest('the T bit traps before the first instruction of the task, with DR6.BT', {
  mode: 32,
  source: program('mov eax, 0xbad\nreport\ndone', 'call 0x20:0'),
  prepare: (guest) => {
    with32([T.trap, 0x680001])(guest);
    guest.handler(
      1,
      'mov eax, dr6\nand eax, 0xf00f\nreport\nmov eax, [esp]\nreport\nstr eax\nreport\ndone',
    );
  },
  reports: [0x8000, OTHER_EIP, 0x20],
  notOnQemu: 'TCG does not know the T bit',
});

testGuest('a task of virtual-8086 mode is entered by a switch', {
  mode: 32,
  source: program(
    'done',
    `mov dword ptr [0x30120], offset virtual - 0x10000
    call 0x20:0
    .code16
  virtual:
    mov ax, cs
    movzx eax, ax
    out 0x10, eax
    pushfd
    pop eax
    out 0x10, eax
    mov eax, cr0
    .code32`,
  ),
  prepare: (guest) => {
    with32(
      [T.cs, 0x1000],
      [T.ss, 0x3000],
      [T.ds, 0x3000],
      [T.eflags, 0x23002],
      [T.esp, 0x7000],
    )(guest);
    guest.view.setUint16(OTHER + T.io, 0x60, true);
    guest.handler(
      13,
      'mov eax, [esp + 12]\nand eax, 0x20000\nreport\nmov eax, [esp + 8]\nreport\ndone',
    );
  },
  reports: [0x1000, 0x7002, 0x20000, 0x1000],
});
