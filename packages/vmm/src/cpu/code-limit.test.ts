// The limit of CS, where code runs into it and where it jumps over it: SDM vol. 3A, 5.3. What
// faults by running on does so at the instruction that has a byte beyond the limit; what jumps
// faults at the jump.
//
// The code under test is at 0x31000 less `before`, in a segment of that base (0x18, 32-bit, or
// 0x20, 16-bit); 0x28 and 0x30 are the same without a limit. A far return leads back.

import { expect, test } from 'vitest';
import { softEngines } from '../../test/engines-under-test.ts';
import { assemble, Guest } from '../../test/guest-program.ts';

const BASE = 0x31000;

/** A code descriptor: 32-bit or 16-bit, ring 0. */
const descriptor = (base: number, limit: number, wide: boolean): bigint =>
  (BigInt(base >>> 24) << 56n) |
  (BigInt((wide ? 0x40 : 0) | ((limit >>> 16) & 0xf)) << 48n) |
  (0x9bn << 40n) |
  (BigInt(base & 0xffffff) << 16n) |
  BigInt(limit & 0xffff);

/** The granularity bit: the limit counts pages. */
const GRANULAR = 1n << 55n;

const HANDLER = 'mov eax, [esp]\nreport\nmov eax, [esp + 4]\nreport\nmov eax, ebx\nreport\ndone';

interface Code {
  readonly base?: number;
  readonly limit: number;
  readonly code: string;
  readonly wide?: boolean;
  /** Whether the limit is in pages. */
  readonly granular?: boolean;
  /** Code of the guest before the call to 0x18:0, or what is called instead. */
  readonly main?: string;
}

function run(engine: (typeof softEngines)[number], options: Code): number[] {
  const { base = BASE, limit, code, wide = true, granular = false } = options;
  const guest = new Guest(
    engine.make(),
    32,
    `lgdt [gdtr]
    xor ebx, ebx
    ${options.main ?? 'call 0x18:0'}
    mov eax, 0x900d
    report
    done
    .balign 8
  gdtr: .word 0x27
    .long 0x30000`,
  );
  const { view } = guest;
  view.setBigUint64(0x30008, 0x00cf9b000000ffffn, true);
  view.setBigUint64(0x30010, 0x00cf93000000ffffn, true);
  view.setBigUint64(0x30018, descriptor(base, limit, wide) | (granular ? GRANULAR : 0n), true);
  view.setBigUint64(0x30020, descriptor(base, 0xfffff, wide), true);
  guest.load(base, assemble(code, wide ? 32 : 16, 0));
  guest.reportExceptions(6, 8, 14);
  guest.handler(13, HANDLER);
  return guest.reports();
}

for (const engine of softEngines) {
  const reports = (options: Code): number[] => run(engine, options);
  const name = (what: string): string => `${what} (${engine.name})`;

  test(name('code runs up to the limit, and the instruction behind it is #GP(0)'), () => {
    expect(reports({ limit: 2, code: 'inc ebx\ninc ebx\nretf' })).toEqual([0x900d]);
    expect(reports({ limit: 2, code: 'inc ebx\ninc ebx\ninc ebx\nretf' })).toEqual([0, 3, 3]);
  });

  test(name('an instruction with a byte beyond the limit is #GP(0), and is not executed'), () => {
    expect(reports({ limit: 5, code: 'inc ebx\nmov ebx, 0x1234\nretf' })).toEqual([0, 6, 0x1234]);
    expect(reports({ limit: 4, code: 'inc ebx\nmov ebx, 0x1234\nretf' })).toEqual([0, 1, 1]);
  });

  test(name('a jump beyond the limit is #GP(0) at the jump, near or short or conditional'), () => {
    for (const jump of ['jmp 1f', '.byte 0xe9\n.long 1f - . - 4', 'cmp ebx, 1\nje 1f']) {
      const code = `inc ebx\n${jump}\nnop\n.fill 0x40, 1, 0x90\n1: retf`;
      const [error, rip] = reports({ limit: 0x20, code });
      expect([error, rip]).toEqual([0, jump.startsWith('cmp') ? 4 : 1]);
      expect(reports({ limit: 0x60, code })).toEqual([0x900d]);
    }
  });

  test(name('the same page has another end in another segment'), () => {
    const code = 'inc ebx\ninc ebx\ninc ebx\nretf';
    const main = 'call 0x20:0\nmov eax, ebx\nreport\ncall 0x18:0';
    expect(reports({ limit: 1, code, main })).toEqual([3, 0, 2, 5]);
    const back = 'call 0x18:0';
    expect(reports({ limit: 3, code, main: `${back}\ncall 0x20:0\n${back}` })).toEqual([0x900d]);
  });

  test(name('a segment may end with its page, and code must not run on into the next'), () => {
    const code = 'jmp 1f\n.org 0xffe\n1: inc ebx\ninc ebx\ninc ebx\nretf';
    const main = 'call 0x20:0\nmov eax, ebx\nreport\ncall 0x18:0';
    expect(reports({ limit: 0xfff, code, main })).toEqual([3, 0, 0x1000, 5]);
    const crossing = 'jmp 1f\n.org 0xffe\n1: mov ebx, 0x12345678\nretf';
    expect(reports({ limit: 0xfff, code: crossing, main })).toEqual([
      0x12345678, 0, 0xffe, 0x12345678,
    ]);
    expect(reports({ limit: 0x1001, code: crossing, main })).toEqual([
      0x12345678, 0, 0xffe, 0x12345678,
    ]);
    expect(reports({ limit: 0x1003, code: crossing })).toEqual([0x900d]);
  });

  test(name('a base within a page moves the end with it'), () => {
    const code = 'inc ebx\ninc ebx\nretf';
    expect(reports({ base: 0x31234, limit: 1, code })).toEqual([0, 2, 2]);
    expect(reports({ base: 0x31ffe, limit: 1, code })).toEqual([0, 2, 2]);
    expect(reports({ base: 0x31fff, limit: 1, code })).toEqual([0, 2, 2]);
  });

  test(name('a segment of 4 GiB has no end, wherever in a page its base is'), () => {
    const code = 'inc ebx\ninc ebx\nretf';
    for (const base of [0x31001, 0x31234, 0x31ffe]) {
      expect(reports({ base, limit: 0xfffff, granular: true, code })).toEqual([0x900d]);
    }
  });

  test(name('16-bit code faults alike, and IP does not wrap at the limit'), () => {
    const code = 'inc ebx\njmp 1f\n.org 0x40\n1: retfd';
    expect(reports({ limit: 0x3f, code, wide: false })).toEqual([0, 2, 1]);
    expect(reports({ limit: 0x41, code, wide: false })).toEqual([0x900d]);
  });

  test(name('EIP wraps at 4 GiB, between instructions and in one, where the limit allows'), () => {
    const wrapping = (code: string, step = ''): number[] =>
      run(engine, {
        base: 0x31ff8,
        limit: 0xfffff,
        code: `nop\nnop\nnop\nnop\nnop\nnop\n${code}`,
        main: `mov dword ptr [0x30020], 0x2000ffff
          mov dword ptr [0x30024], 0x00cf9b03
          ${step}
          call 0x20:0xfffffff8
          mov eax, ebx
          report`,
      });
    const stepping = 'mov eax, 0x10001\nmov dr7, eax';
    for (const step of ['', stepping]) {
      expect(wrapping('inc ebx\ninc ebx\ninc ebx\nretf', step)).toEqual([3, 0x900d]);
      expect(wrapping('mov ebx, 0x12345678\nretf', step)).toEqual([0x12345678, 0x900d]);
    }
  });

  test(name('single steps find the limit too'), () => {
    const guest = { limit: 2, code: 'inc ebx\ninc ebx\ninc ebx\nretf' };
    const main = `mov eax, 0x31000
      mov dr0, eax
      mov eax, 0x10001
      mov dr7, eax
      call 0x18:0`;
    expect(reports({ ...guest, main })).toEqual([0, 3, 3]);
  });
}
