// Decoded code against the memory it was decoded from. What a guest sees must be as if every
// instruction were decoded anew: SDM vol. 3A, 9.1.3 (self-modifying code), as processors since the
// P6 do it, without a jump being needed.

import { describe, expect, test } from 'vitest';
import { Guest, type Mode } from '../../test/guest-program.ts';
import { EXECUTIONS, ObservedEngine } from '../../test/observed-engine.ts';

const PROGRAM = 0x10000;
/** Linear addresses that {@link mapPage} maps, and where it keeps the tables. */
const WINDOW = 0x4000_0000;
const WINDOW_TABLES = 0x40000;

/** Maps page `index` of the window to a guest-physical address, or to nothing (0). */
function mapPage(guest: Guest, index: number, physical: number): void {
  const { view } = guest;
  view.setBigUint64(0x5008, BigInt(WINDOW_TABLES | 3), true);
  view.setBigUint64(WINDOW_TABLES, BigInt((WINDOW_TABLES + 0x1000) | 3), true);
  const entry = physical === 0 ? 0 : physical | 3;
  view.setBigUint64(WINDOW_TABLES + 0x1000 + 8 * index, BigInt(entry), true);
}

describe.each(EXECUTIONS)('with the compiler %s', (jit) => {
  function guestOf(source: string, mode: Mode = 64, engine = new ObservedEngine(jit)): Guest {
    const guest = new Guest(engine, mode, source);
    guest.reportExceptions(1, 6, 13, 14);
    return guest;
  }

  test('a store into the instruction behind it takes effect at once', () => {
    const source = `
    mov ecx, 3
  again:
    mov byte ptr [patched + 1], cl
  patched:
    mov al, 0
    movzx eax, al
    report
    dec ecx
    jnz again
    done
  `;
    expect(guestOf(source).reports()).toEqual([3, 2, 1]);
    expect(guestOf(source, 32).reports()).toEqual([3, 2, 1]);
  });

  /** Stores of every kind, each of which turns the UD2 at `patched` into two NOPs. */
  const STORES: Record<string, string> = {
    'MOV word': 'mov word ptr [rip + patched], 0x9090',
    'two MOVs of bytes':
      'mov byte ptr [rip + patched], 0x90\nmov byte ptr [rip + patched + 1], 0x90',
    XCHG: 'mov eax, 0x9090\nxchg word ptr [rip + patched], ax',
    'LOCK ADD': 'lock add word ptr [rip + patched], 0x9090 - 0x0b0f',
    'read-modify-write': 'xor word ptr [rip + patched], 0x9090 ^ 0x0b0f',
    'LOCK CMPXCHG': 'mov ax, 0x0b0f\nmov cx, 0x9090\nlock cmpxchg word ptr [rip + patched], cx',
    'REP STOSB': 'mov al, 0x90\nlea rdi, [rip + patched]\nmov ecx, 2\nrep stosb',
    'REP MOVSB': 'lea rsi, [rip + nops]\nlea rdi, [rip + patched]\nmov ecx, 2\nrep movsb',
    MOVUPS: 'movups xmm0, [rip + nops]\nmovups [rip + patched], xmm0',
    PUSH: 'mov rbx, rsp\nlea rsp, [rip + patched + 8]\npush qword ptr [rip + nops]\nmov rsp, rbx',
    'MOV across a page': 'mov rax, [rip + nops]\nmov [rip + patched - 6], rax',
  };

  for (const [name, store] of Object.entries(STORES)) {
    test(`${name} changes code that has run, from another page and from the same`, () => {
      // The code has run once, and faulted, before it is changed.
      const program = (gap: string): string => `
      mov rax, cr4
      or rax, 0x600 # OSFXSR, OSXMMEXCPT
      mov cr4, rax
      lea r15, [rip + change]
      jmp patched
    change:
      ${store}
      mov eax, 1
      report
      lea r15, [rip + wrong]
      jmp patched
    wrong:
      mov eax, 99
      report
      done
    nops:
      .fill 16, 1, 0x90
    ${gap}
      .fill 16, 1, 0x90
    patched:
      ud2
      .fill 14, 1, 0x90
      mov eax, 2
      report
      done
    `;
      for (const gap of ['.balign 64', '.balign 4096\n.fill 4080, 1, 0x90']) {
        const guest = guestOf(program(gap));
        guest.handler(6, 'mov [rsp], r15\niretq');
        expect(guest.reports()).toEqual([1, 2]);
      }
    });
  }

  test('a store that begins before a page of code and ends in it changes the code', () => {
    const guest = guestOf(`
    call code
    mov rax, 0x00000005b8909090
    mov [rip + code - 3], rax
    call code
    done
    .balign 4096
  code:
    mov eax, 4
    report
    ret
  `);
    expect(guest.reports()).toEqual([4, 5]);
  });

  test('stores next to code, in the same page, leave it decoded', () => {
    const engine = new ObservedEngine(jit);
    const guest = guestOf(
      `
    mov ecx, 10000
  again:
    inc dword ptr [rip + counter]
    dec ecx
    jnz again
    mov eax, [rip + counter]
    report
    done
    .balign 64
  counter: .long 0
  `,
      64,
      engine,
    );
    expect(guest.reports()).toEqual([10000]);
    expect(engine.statistics.codeInvalidations).toBe(0);
    expect(engine.statistics.decoded).toBeLessThan(100);
  });

  test('a store drops the code of its page and of no other', () => {
    const engine = new ObservedEngine(jit);
    const guest = guestOf(
      `
    mov ecx, 5
  again:
    mov byte ptr [rip + first + 1], cl
    call first
    call second
    dec ecx
    jnz again
    done
    .balign 4096
  first:
    mov al, 0
    movzx eax, al
    report
    ret
    .balign 4096
  second:
    mov eax, 100
    report
    ret
  `,
      64,
      engine,
    );
    expect(guest.reports()).toEqual([5, 100, 4, 100, 3, 100, 2, 100, 1, 100]);
    expect(engine.statistics.codeInvalidations).toBe(4);
  });

  test('code is followed through every linear address that its page has', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    call code
    call rbx
    mov byte ptr [rbx + 1], 7 # through the other address
    call code
    call rbx
    done
    .balign 4096
  code:
    mov al, 5
    movzx eax, al
    report
    lea rax, [rip]
    shr rax, 12
    report
    ret
  `);
    mapPage(guest, 0, PROGRAM + 0x1000);
    const here = (PROGRAM + 0x1000) >> 12;
    const there = WINDOW >> 12;
    expect(guest.reports()).toEqual([5, here, 5, there, 7, here, 7, there]);
  });

  test('an address that is mapped to another page executes that page', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    call rbx
    mov qword ptr [${WINDOW_TABLES + 0x1000}], offset second + 3
    invlpg [rbx]
    call rbx
    mov qword ptr [${WINDOW_TABLES + 0x1000}], offset first + 3
    mov rax, cr3
    mov cr3, rax
    call rbx
    done
    .balign 4096
  first:
    mov eax, 1
    report
    ret
    .balign 4096
  second:
    mov eax, 2
    report
    ret
  `);
    mapPage(guest, 0, PROGRAM + 0x1000);
    expect(guest.reports()).toEqual([1, 2, 1]);
  });

  /** MOV EAX, imm32 with `head` bytes in the first page of the window, the rest in the second. */
  function crossing(guest: Guest, head: number): void {
    const bytes = [0xb8, 0x44, 0x33, 0x22, 0x11, 0xe7, 0x10, 0xc3]; // mov; out 0x10, eax; ret
    const pages = [PROGRAM + 0x2000, PROGRAM + 0x4000, PROGRAM + 0x6000];
    for (const [index, page] of pages.entries()) {
      mapPage(guest, index, page);
      guest.load(page, new Uint8Array(4096));
    }
    guest.load(pages[0] + 4096 - head, Uint8Array.from(bytes.slice(0, head)));
    guest.load(pages[1], Uint8Array.from(bytes.slice(head)));
    const other = [...bytes];
    other[4] = 0x55;
    guest.load(pages[2], Uint8Array.from(other.slice(head)));
  }

  test('an instruction across two pages follows stores into either, and the second mapping', () => {
    for (const head of [1, 2, 3, 4]) {
      const code = WINDOW + 4096 - head;
      const guest = guestOf(`
      mov rbx, ${code}
      call rbx
      call rbx
      mov byte ptr [rbx + 4], 0x66 # in the second page
      call rbx
      mov byte ptr [rbx], 0xbd # MOV EBP: in the first
      mov eax, 3
      call rbx
      mov byte ptr [rbx], 0xb8
      mov qword ptr [${WINDOW_TABLES + 0x1008}], ${(PROGRAM + 0x6000) | 3}
      invlpg [${WINDOW + 0x1000}]
      call rbx
      done
    `);
      crossing(guest, head);
      const wanted = [0x11223344, 0x11223344, 0x66223344, 3, 0x55223344];
      expect(guest.reports()).toEqual(wanted);
    }
  });

  test('an instruction whose second page is missing faults there, with RIP at its start', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW + 4096 - 2}
    call rbx
    done
  `);
    crossing(guest, 2);
    mapPage(guest, 1, 0);
    guest.handler(
      14,
      `
    mov rax, [rsp + 8]
    report
    mov rax, cr2
    report
    pop rax
    report
    mov rax, ${(PROGRAM + 0x4000) | 3}
    mov [${WINDOW_TABLES + 0x1008}], rax
    iretq
  `,
    );
    // An instruction fetch by the supervisor from a page that is not present.
    expect(guest.reports()).toEqual([WINDOW + 4094, WINDOW + 4096, 0x10, 0x11223344]);
  });

  test('bytes decode by where they are entered', () => {
    const guest = guestOf(`
    lea rbx, [rip + both]
    xor eax, eax
    call rbx
    report
    xor eax, eax
    inc rbx
    call rbx
    report
    xor eax, eax
    dec rbx
    call rbx
    report
    done
  both:
    .byte 0xb8, 0xb0, 0x07, 0xc3, 0x00 # mov eax, 0xc307b0; or mov al, 7; ret
    ret
  `);
    expect(guest.reports()).toEqual([0x00c307b0, 7, 0x00c307b0]);
  });

  test('the same bytes are 32-bit and 64-bit code in turn', () => {
    const guest = guestOf(`
    lgdt [gdtr]
    call both
    report
    jmp fword ptr [rip + to32]
    .code32
  in32:
    call both
    report
    jmp 0x08:in64
    .code64
  in64:
    call both
    report
    done
    .balign 64
  both:
    .byte 0xb8, 0x14, 0, 0, 0 # mov eax, 20
    .byte 0x48, 0xff, 0xc0 # inc rax; or dec eax, inc eax
    .byte 0xc3
  to32:
    .long in32
    .word 0x18
  gdtr:
    .word 0x1f
    .quad gdt
  gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
  `);
    expect(guest.reports()).toEqual([21, 20, 21]);
  });

  test('code that a device wrote is executed once the monitor has been told', () => {
    const guest = guestOf(`
  again:
    mov eax, 1
    report
    jmp again
  `);
    const { vei } = guest.params.vrp_exit;
    guest.runToPort(0x10);
    expect(vei.vei_data).toBe(1);
    guest.load(PROGRAM + 1, Uint8Array.of(2));
    guest.device.extMemoryWritten(guest.id, PROGRAM + 1, 1);
    guest.runToPort(0x10);
    expect(vei.vei_data).toBe(2);
  });

  test('a page that is written again and again takes the room of one', () => {
    const engine = new ObservedEngine(jit, 128 << 10);
    const guest = guestOf(
      `
    mov ecx, 100
    xor ebx, ebx
  round:
    mov dword ptr [rip + patched + 1], ecx
    call patched
    add ebx, eax
    dec ecx
    jnz round
    mov eax, ebx
    report
    done
    .balign 4096
  patched:
    mov eax, 0
    ret
  `,
      64,
      engine,
    );
    expect(guest.reports()).toEqual([5050]);
    expect(engine.statistics.codeInvalidations).toBeGreaterThanOrEqual(99);
    expect(engine.statistics.codeFlushes).toBe(0);
  });

  test('when there is no room for more code, everything is dropped and execution goes on', () => {
    // A page of decoded code takes 16 KiB and its records.
    const engine = new ObservedEngine(jit, 128 << 10);
    const pages = 20;
    const functions = Array.from(
      { length: pages },
      (_, index) => `.balign 4096\nadd eax, ${index + 1}\nimul ecx, ecx, 3\nadd ecx, eax\nret`,
    );
    const guest = guestOf(
      `
    mov edx, 5
  round:
    mov ebx, offset functions
    mov esi, ${pages}
  next:
    call rbx
    add ebx, 4096
    dec esi
    jnz next
    dec edx
    jnz round
    report
    mov eax, ecx
    report
    done
    .balign 4096
  functions:
    ${functions.join('\n')}
  `,
      64,
      engine,
    );
    let [eax, ecx] = [0, 0];
    for (let round = 0; round < 5; round++) {
      for (let index = 1; index <= pages; index++) {
        eax = (eax + index) | 0;
        ecx = (Math.imul(ecx, 3) + eax) | 0;
      }
    }
    expect(guest.reports()).toEqual([eax >>> 0, ecx >>> 0]);
    expect(engine.statistics.codeFlushes).toBeGreaterThan(5);
  });
});
