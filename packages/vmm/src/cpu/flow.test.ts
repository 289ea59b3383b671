// The count of instructions, which is exact: a block is charged when it is entered, and whatever
// leaves it early gives back the rest. What an instruction is worth is counted here by hand.

import { describe, expect, test } from 'vitest';
import { Guest } from '../../test/guest-program.ts';
import { EXECUTIONS, ObservedEngine } from '../../test/observed-engine.ts';
import { VM_EXIT_NONE } from '../vmm/exit-reasons.ts';
import { SLICE_INSTRUCTIONS } from '../vmm/soft-engine.ts';

describe.each(EXECUTIONS)('with the compiler %s', (jit) => {
  /** How many instructions a guest retires until it is done, and what it reports meanwhile. */
  function retired(source: string, prepare?: (guest: Guest) => void): [number, ...number[]] {
    const engine = new ObservedEngine(jit);
    const guest = new Guest(engine, 64, source);
    prepare?.(guest);
    const reports = guest.reports();
    return [engine.statistics.instructions, ...reports];
  }

  test('straight code counts each instruction once', () => {
    expect(retired('nop\nnop\nmov eax, 1\nxor ebx, ebx\ndone')).toEqual([5]);
  });

  test('the guest is compiled if and only if it is to be', () => {
    const engine = new ObservedEngine(jit);
    new Guest(engine, 64, 'mov ecx, 1000\n1: dec ecx\njnz 1b\ndone').reports();
    expect((engine.statistics.jit?.regions ?? 0) > 0).toBe(jit === 'always');
  });

  test('loops count each round, over many slices as well', () => {
    const rounds = 2 * SLICE_INSTRUCTIONS + 12345;
    const loop = `
    mov ecx, ${rounds}
  again:
    add rax, 3
    dec ecx
    jnz again
    report
    done
  `;
    expect(retired(loop)).toEqual([1 + 3 * rounds + 2, 3 * rounds]);
  });

  test('code that is written over and over counts as often as it runs, in shorter slices', () => {
    const engine = new ObservedEngine(jit);
    const rounds = 3000;
    const guest = new Guest(
      engine,
      64,
      `
    mov ecx, ${rounds}
  again:
    mov byte ptr [patched + 1], cl
  patched:
    mov al, 0
    dec ecx
    jnz again
    report
    done
  `,
    );
    let longest = 0;
    let before = 0;
    guest.runUntil((reason) => {
      const { instructions } = engine.statistics;
      longest = Math.max(longest, instructions - before);
      before = instructions;
      return reason !== VM_EXIT_NONE;
    });
    // With the OUT that reports.
    expect(before).toBe(1 + 4 * rounds + 1);
    expect(longest).toBeLessThan(2000);
  });

  test('a comparison and the branch behind it are two, taken or not', () => {
    const source = `
    mov ecx, 10
  again:
    cmp ecx, 4
    je skip
    inc eax
  skip:
    test ecx, ecx
    je out
    dec ecx
    jmp again
  out:
    done
  `;
    // Eleven rounds, ten of them with INC, ten with DEC and JMP.
    expect(retired(source)).toEqual([1 + 11 * 4 + 10 + 10 * 2 + 1]);
  });

  test('an instruction that faults is not counted, and the rest of its block is given back', () => {
    const source = `
    mov ecx, 100
  again:
    ud2
    nop
    nop
    dec ecx
    jnz again
    done
  `;
    const handler = 'add qword ptr [rsp], 2\niretq';
    expect(retired(source, (guest) => guest.handler(6, handler))).toEqual([1 + 100 * 6 + 1]);
  });

  test('a store into the block that runs counts what runs, not what was charged', () => {
    const source = `
    mov ecx, 50
  again:
    mov byte ptr [patched + 1], cl
  patched:
    mov al, 0
    nop
    dec ecx
    jnz again
    movzx eax, al
    report
    done
  `;
    expect(retired(source)).toEqual([1 + 50 * 5 + 3, 1]);
  });

  test('a repeated string instruction is one instruction, however it is cut by faults', () => {
    const source = `
    mov rdi, 0x30000
    mov ecx, 10000
    rep stosb
    done
  `;
    expect(retired(source)).toEqual([4]);
  });

  test('port accesses count, and those that repeat when they are through', () => {
    const source = `
    lea rsi, [rip + text]
    mov ecx, 3
    mov edx, 0x10
    rep outsd
    in al, 0x40
    done
  text:
    .long 7, 8, 9
  `;
    expect(retired(source)).toEqual([6, 7, 8, 9]);
  });
});
