// Regions with more than one page, and with callees in them: what is compiled must go the ways that
// the interpreter goes, and notice when one of its pages is no longer there or no longer the same.
// Each guest runs long enough to be compiled as a whole; what it computes is counted by hand.

import { describe, expect, test } from 'vitest';
import { assemble, Guest } from '../../../test/guest-program.ts';
import { ObservedEngine } from '../../../test/observed-engine.ts';
import type { JitMode } from './jit.ts';

/** Some slices of the guest, so that the compiler gets to work while it runs. */
const ROUNDS = 300_000;
const WINDOW = 0x4000_0000;
const WINDOW_TABLES = 0x40000;
const PROGRAM = 0x10000;

interface Outcome {
  readonly reports: number[];
  readonly instructions: number;
  /** Instructions that compiled code executed, of a hundred. */
  readonly share: number;
}

function run(jit: JitMode, source: string, prepare: (guest: Guest) => void = () => {}): Outcome {
  const engine = new ObservedEngine(jit);
  const guest = new Guest(engine, 64, source);
  guest.reportExceptions(1, 6, 13, 14);
  prepare(guest);
  const reports = guest.reports();
  const { instructions, compiled } = engine.statistics;
  return { reports, instructions, share: (100 * compiled) / instructions };
}

/** Maps page `index` of the window to a guest-physical address. */
function mapPage(guest: Guest, index: number, physical: number): void {
  const { view } = guest;
  view.setBigUint64(0x5008, BigInt(WINDOW_TABLES | 3), true);
  view.setBigUint64(WINDOW_TABLES, BigInt((WINDOW_TABLES + 0x1000) | 3), true);
  view.setBigUint64(WINDOW_TABLES + 0x1000 + 8 * index, BigInt(physical | 3), true);
}

const PAGES_BETWEEN = '.balign 4096\nnop\n.balign 4096';

describe.each(['off', 'on', 'always'] as const)('with the compiler %s', (jit) => {
  const expectShare = (share: number): void => {
    if (jit !== 'off') expect(share).toBeGreaterThan(60);
  };

  test('a loop across two pages counts each round', () => {
    const { reports, instructions, share } = run(
      jit,
      `
    mov ecx, ${ROUNDS}
    xor eax, eax
    jmp again
    .balign 4096
    .skip 4096 - 7 # the jump back is in the next page, and so is DEC
  again:
    add eax, 3
    nop word ptr [rax]
    dec ecx
    jnz again
    report
    done
  `,
    );
    expect(reports).toEqual([3 * ROUNDS]);
    expect(instructions).toBe(3 + 4 * ROUNDS + 2);
    expectShare(share);
  });

  test('callees of callees in other pages return to where they were called', () => {
    const { reports, instructions, share } = run(
      jit,
      `
    mov ecx, ${ROUNDS}
    xor eax, eax
    xor ebx, ebx
  again:
    call outer
    add ebx, eax
    call inner
    dec ecx
    jnz again
    report
    mov eax, ebx
    report
    done
    ${PAGES_BETWEEN}
  outer:
    call inner
    inc eax
    call inner
    ret
    ${PAGES_BETWEEN}
  inner:
    test ecx, 1
    jz even
    inc eax
    ret
  even:
    add eax, 2
    ret
  `,
    );
    let [eax, ebx, count] = [0, 0, 3];
    for (let ecx = ROUNDS; ecx > 0; ecx--) {
      const step = ecx % 2 === 0 ? 2 : 1;
      eax += 2 * step + 1;
      ebx = (ebx + eax) >>> 0;
      eax += step;
      count += 5 + 4 + 3 * 4;
    }
    expect(reports).toEqual([eax, ebx]);
    expect(instructions).toBe(count + 4);
    expectShare(share);
  });

  test('recursion goes as deep as it must', () => {
    const fibonacci = (n: number): number => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2));
    const { reports, share } = run(
      jit,
      `
    mov edi, 25
    call fib
    report
    done
  fib:
    mov eax, edi
    cmp edi, 2
    jb out
    push rbx
    push rdi
    dec edi
    call fib
    mov ebx, eax
    pop rdi
    sub edi, 2
    call fib
    add eax, ebx
    pop rbx
  out:
    ret
  `,
    );
    expect(reports).toEqual([fibonacci(25)]);
    expectShare(share);
  });

  test('a callee may return elsewhere', () => {
    const { reports } = run(
      jit,
      `
    mov ecx, ${ROUNDS}
    xor eax, eax
  again:
    call skipping
    inc eax
    add eax, 2
    dec ecx
    jnz again
    report
    done
    ${PAGES_BETWEEN}
  skipping:
    test ecx, 3
    jnz 1f
    add qword ptr [rsp], 2 # the INC
  1:
    ret
  `,
    );
    expect(reports).toEqual([3 * ROUNDS - ROUNDS / 4]);
  });

  test('a callee whose page is mapped elsewhere is another one', () => {
    const [code, ones, sixteens] = [0x50000, 0x60000, 0x70000];
    const loop = `
    mov ecx, ${ROUNDS}
    xor eax, eax
    mov rbx, ${WINDOW_TABLES + 0x1000}
    mov rsi, ${ones | 3}
    mov rdi, ${sixteens | 3}
    mov rdx, ${WINDOW}
  again:
    call again - (again - ${WINDOW})
    test ecx, 0xffff
    jnz 1f
    xchg rsi, rdi
    mov [rbx], rsi
    invlpg [rdx]
  1:
    dec ecx
    jnz again
    report
    done
  `;
    const { reports, share } = run(jit, `mov rax, ${WINDOW + 0x1000}\njmp rax`, (guest) => {
      mapPage(guest, 0, ones);
      mapPage(guest, 1, code);
      guest.load(code, assemble(loop, 64, WINDOW + 0x1000));
      guest.load(ones, assemble('inc eax\nret', 64));
      guest.load(sixteens, assemble('add eax, 16\nret', 64));
    });
    let [eax, step] = [0, 1];
    for (let ecx = ROUNDS; ecx > 0; ecx--) {
      eax += step;
      if (ecx % 0x10000 === 0) step = 17 - step;
    }
    expect(reports).toEqual([eax]);
    expectShare(share);
  });

  test('a callee that is written is another one at once', () => {
    const { reports } = run(
      jit,
      `
    mov ecx, ${ROUNDS}
    xor eax, eax
  again:
    call patched
    test ecx, 0xffff
    jnz 1f
    inc byte ptr [rip + patched + 2]
    inc byte ptr [rip + patched + 2]
  1:
    call patched
    dec ecx
    jnz again
    report
    done
    ${PAGES_BETWEEN}
  patched:
    add eax, 1
    ret
  `,
    );
    let [eax, step] = [0, 1];
    for (let ecx = ROUNDS; ecx > 0; ecx--) {
      eax += step;
      if (ecx % 0x10000 === 0) step += 2;
      eax += step;
    }
    expect(reports).toEqual([eax]);
  });

  test('a return address that is pushed onto the callee is what the callee is from then on', () => {
    // As code, the address is INC EAX and RET.
    const back = 0x40c3c0ff;
    const code = 0x50000;
    const loop = `
    mov ecx, ${ROUNDS}
    xor eax, eax
    lea rbx, [rip + callee + 8]
    mov rdx, rsp
    jmp again
  callee:
    add eax, 2
    ret
  .org 0xe8
  again:
    test ecx, 0xffff
    cmovz rsp, rbx
  .org 0xfa, 0x90
    call callee
    mov rsp, rdx
    dec ecx
    jnz again
    report
    done
  `;
    const page = back & ~0xfff;
    const { reports, share } = run(jit, `mov rax, ${page}\njmp rax`, (guest) => {
      mapPage(guest, 0, code);
      const { view } = guest;
      view.setBigUint64(WINDOW_TABLES + 8 * 6, BigInt((WINDOW_TABLES + 0x2000) | 3), true);
      view.setBigUint64(WINDOW_TABLES + 0x2000 + 8 * 0x3c, BigInt(code | 3), true);
      guest.load(code, assemble(loop, 64, page));
    });
    const after = ROUNDS - (ROUNDS % 0x10000);
    expect(reports).toEqual([2 * (ROUNDS - after) + after]);
    expectShare(share);
  });

  test('a fault in a callee is where it is', () => {
    const { reports } = run(
      jit,
      `
    mov ecx, ${ROUNDS}
    mov rbx, offset value
  again:
    call load
    dec ecx
    jnz again
    mov rbx, ${WINDOW}
    inc ecx
    jmp again
  value:
    .long 5
    ${PAGES_BETWEEN}
  load:
    nop
    add eax, [rbx]
    ret
  `,
      (guest) => {
        guest.handler(14, 'mov eax, [rsp + 8]\nreport\nmov eax, ecx\nreport\ndone');
      },
    );
    expect(reports).toEqual([PROGRAM + 0x2001, 1]);
  });
});
