// Kernels that cannot be booted: each is refused with one sentence that says why, and nothing is
// written to memory. Then kernels damaged by chance, which give a state inside RAM or a refusal.

import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VmmError } from '../../src/base/errors.ts';
import { detectKernel, loadKernel } from '../../src/machine/boot/detect.ts';
import { TestMemory, testEntropy } from '../boot-memory.ts';
import { hasCompiler, KernelFolder, type Protocol } from './boot-kernels.ts';

const MB = 0x10_0000;
const MEMORY_BYTES = 32 * MB;

// Offsets in an ELF header and in its program headers (System V ABI, gabi 4.1), ELF32 and ELF64.
const E_TYPE = 16;
const E_MACHINE = 18;
const ENTRY = 24;
const HEADERS_32 = 52;
const HEADER_BYTES_32 = 32;
const P_PADDR_32 = 12;
const P_MEMSZ_32 = 20;
const HEADERS_64 = 64;
const HEADER_BYTES_64 = 56;
const P_VADDR_64 = 16;

const PROTOCOLS: readonly Protocol[] = ['MULTIBOOT', 'MULTIBOOT2', 'PVH', 'OPENBSD'];

describe.skipIf(!hasCompiler)('kernels that cannot be booted', () => {
  const folder = new KernelFolder();
  const kernels = new Map<string, Uint8Array>();
  beforeAll(() => {
    for (const protocol of PROTOCOLS) {
      kernels.set(protocol, folder.build(protocol).bytes);
      kernels.set(`${protocol}64`, folder.build(protocol, true).bytes);
    }
  }, 120_000);
  afterAll(() => folder.remove());

  type Change = (view: DataView) => void;

  function changed(protocol: string, change: Change): Uint8Array {
    const bytes = new Uint8Array(kernels.get(protocol)!);
    change(new DataView(bytes.buffer));
    return bytes;
  }

  function boot(bytes: Uint8Array, commandLine = '', withModule = false) {
    const memory = new TestMemory(MEMORY_BYTES);
    const modules = withModule ? [{ commandLine: 'm', bytes: new Uint8Array(100) }] : [];
    const options = { memoryBytes: MEMORY_BYTES, commandLine, modules, entropy: testEntropy };
    return { memory, state: loadKernel(memory, { name: 'bsd', bytes }, options) };
  }

  function refusal(...given: Parameters<typeof boot>): string {
    try {
      boot(...given);
    } catch (error) {
      expect(error).toBeInstanceOf(VmmError);
      return (error as VmmError).message;
    }
    throw new Error('the kernel was not refused');
  }

  const segment = (index: number, field: number): number =>
    HEADERS_32 + index * HEADER_BYTES_32 + field;

  test('each kind is what it is', () => {
    const kindOf = (name: string): string => detectKernel({ name, bytes: kernels.get(name)! });
    for (const protocol of PROTOCOLS) {
      expect(kindOf(protocol)).toBe(protocol.toLowerCase());
      expect(kindOf(`${protocol}64`)).toBe(protocol.toLowerCase());
    }
  });

  test.each(['PVH', 'OPENBSD', 'MULTIBOOT2'])('%s: segments that are wrong', (protocol) => {
    const outside = changed(protocol, (v) => v.setUint32(segment(1, P_MEMSZ_32), 64 * MB, true));
    expect(refusal(outside)).toMatch(
      /^Kernel bsd loads at 0x1\w+ to 0x5\w+, where a virtual machine of 32 MB has no memory\.$/,
    );
    const overlapping = changed(protocol, (v) =>
      v.setUint32(segment(1, P_PADDR_32), 0x100_0010, true),
    );
    expect(refusal(overlapping)).toBe('Two segments of kernel bsd overlap at 0x1000010.');
    const long = changed(protocol, (v) => v.setUint32(segment(0, P_MEMSZ_32), 1, true));
    expect(refusal(long)).toBe('A segment of ELF file bsd is longer than its memory.');
    const cut = kernels.get(protocol)!.subarray(0, 5000);
    expect(refusal(cut)).toMatch(
      /of ELF file bsd lies outside the file, which may be truncated\.$/,
    );
    const rom = changed(protocol, (v) => v.setUint32(segment(0, P_PADDR_32), 0xf_0000, true));
    expect(refusal(rom)).toMatch(
      /^(Kernel bsd loads at 0xf0000 to|\w+ ?2? kernel bsd starts|Kernel)/,
    );
  });

  test.each(['MULTIBOOT', 'MULTIBOOT2', 'PVH', 'OPENBSD'])('%s: another machine', (protocol) => {
    const other = changed(protocol, (v) => v.setUint16(E_MACHINE, 183, true));
    expect(refusal(other)).toMatch(/is for another processor \(e_machine 183\)\.$/);
  });

  test('an entry point where nothing is loaded', () => {
    const entry: Change = (v) => v.setUint32(ENTRY, 0x180_0000, true);
    const text = 'kernel bsd starts at 0x1800000, where it loads nothing.';
    expect(refusal(changed('MULTIBOOT2', entry))).toBe(`Multiboot 2 ${text}`);
    expect(refusal(changed('MULTIBOOT', entry))).toBe(`Multiboot ${text}`);
    expect(refusal(changed('OPENBSD', entry))).toBe(`K${text.slice(1)}`);
  });

  test('an ELF file that is no kernel', () => {
    const library = changed('OPENBSD', (v) => v.setUint16(E_TYPE, 3, true));
    const text = 'ELF file bsd is not a kernel: it is a program, a library or an object file.';
    expect(refusal(library)).toBe(text);
    const empty = changed('OPENBSD', (v) => {
      for (const index of [0, 1]) v.setUint32(segment(index, 0), 0, true);
    });
    expect(refusal(empty)).toBe('ELF file bsd is not a kernel: it contains nothing to load.');
  });

  test('a vmlinux without PVH: notes of Linux or Xen, but not the one', () => {
    const note = Buffer.from(kernels.get('PVH')!).indexOf('Xen\0');
    const without = changed('PVH', (v) => v.setUint32(note - 4, 6, true));
    expect(refusal(without)).toBe(
      'ELF file bsd has no entry for PVH; of Linux, give the bzImage, not the vmlinux.',
    );
  });

  test('what an OpenBSD kernel does not take', () => {
    const bytes = kernels.get('OPENBSD')!;
    expect(refusal(bytes, '-sx')).toBe('An OpenBSD kernel takes the options -acds, and not -x.');
    expect(refusal(bytes, '', true)).toBe("Kernel bsd is OpenBSD's, which takes no initrd.");
    const low = changed('OPENBSD', (v) => {
      for (const index of [0, 1]) {
        const at = segment(index, P_PADDR_32);
        v.setUint32(at, v.getUint32(at, true) - 0x100_0000 + 0x1000, true);
      }
    });
    expect(refusal(low)).toMatch(/^Kernel bsd loads at 0x2000, where its arguments, its stack and/);
    const random = changed('OPENBSD', (v) => v.setUint32(segment(2, P_PADDR_32), 0x180_0000, true));
    expect(refusal(random)).toBe(
      'Kernel bsd wants random bytes at 0x1800000, where it loads nothing.',
    );
  });

  test('an amd64 kernel is linked to the end of the address space, and entered below', () => {
    const high = changed('OPENBSD64', (v) => {
      v.setUint32(ENTRY + 4, 0xffff_ffff, true);
      v.setUint32(ENTRY, v.getUint32(ENTRY, true) + 0x8000_0000, true);
      for (const index of [0, 1]) {
        const at = HEADERS_64 + index * HEADER_BYTES_64 + P_VADDR_64;
        v.setUint32(at, v.getUint32(at, true) + 0x8000_0000, true);
        v.setUint32(at + 4, 0xffff_ffff, true);
      }
    });
    const { rip } = boot(kernels.get('OPENBSD64')!).state;
    expect(boot(high).state.rip).toBe(rip);
    // As i386's, whose entry point is above KERNBASE in no segment: it loses its upper bits.
    const base = changed('OPENBSD', (v) => v.setUint32(ENTRY, rip + 0xd000_0000, true));
    expect(boot(base).state.rip).toBe(rip);
  });

  /** A Multiboot 2 header in a file of nothing else, with these tags. */
  function header2(...tags: readonly (readonly number[])[]): Uint8Array {
    const words = [0xe852_50d6, 0, 0, 0];
    for (const [type, flags, ...data] of tags) {
      words.push(type! + (flags! << 16), 8 + 4 * data.length, ...data);
      if (words.length % 2 === 1) words.push(0);
    }
    words[2] = 4 * words.length;
    words[3] = -(words[0]! + words[2]);
    const bytes = new Uint8Array(0x1000);
    const view = new DataView(bytes.buffer);
    for (const [index, word] of words.entries()) view.setInt32(4 * index, word | 0, true);
    return bytes;
  }
  const END = [0, 0] as const;

  test.each([
    ['no end', header2([6, 0]), /has a header without an end tag\.$/],
    ['no addresses', header2(END), /is not an ELF file and its header gives no load addresses\.$/],
    ['no entry', header2([2, 0, MB, MB, 0, 0], END), /load addresses in its header but no entry/],
    ['a framebuffer', header2([5, 0, 0, 0, 0], END), /requires a framebuffer, and a virtual/],
    ['a display', header2([4, 0, 1], END), /requires a display, and a virtual machine has none/],
    ['EFI', header2([7, 0], END), /requires EFI boot services/],
    ['the future', header2([99, 0], END), /feature that does not exist here: header tag 99\.$/],
    ['ACPI', header2([1, 0, 14], END), /boot information that does not exist here: type 14\.$/],
    ['a short tag', header2([2, 0, MB], END), /has a header tag of a wrong size\.$/],
    ['wrong addresses', header2([2, 0, MB, 2 * MB, 0, 0], [3, 0, MB], END), /contradict each oth/],
    ['too many bytes', header2([2, 0, MB, MB, 2 * MB, 0], [3, 0, MB], END), /is truncated: its/],
  ])('Multiboot 2: %s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(/^Multiboot 2 kernel bsd [a-z]/);
    expect(refusal(bytes)).toMatch(message);
  });

  test('Multiboot 2: a file loaded by the addresses of its header, and optional wishes', () => {
    const wishes = [
      [5, 1, 80, 25, 0],
      [1, 1, 99],
      [99, 1],
      [10, 0, 0, 0, 0, 0],
    ] as const;
    const bytes = header2([2, 0, MB, 0xffff_ffff, 0, MB + 0x2000], [3, 0, MB + 8], ...wishes, END);
    const { memory, state } = boot(bytes);
    expect(state.rip).toBe(MB + 8);
    expect(memory.view.getUint32(MB, true)).toBe(0xe852_50d6);
    expect(memory.writes).toContainEqual({ gpa: MB + 0x1000, length: 0x1000 });
  });

  test('kernels damaged by chance give a state inside RAM or a refusal', () => {
    const memory = new TestMemory(MEMORY_BYTES);
    const options = { memoryBytes: MEMORY_BYTES, modules: [], entropy: testEntropy };
    // Where the headers are, and where the notes and sections may be: anywhere.
    const place = fc.oneof(fc.nat(0x140), fc.integer({ min: 0x1000, max: 0x1060 }), fc.nat(0x6000));
    const changes = fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 8 });
    const name = fc.constantFrom(...PROTOCOLS.flatMap((p) => [p, `${p}64`]));
    fc.assert(
      fc.property(name, changes, fc.nat(0x8000), (kernel, damage, cut) => {
        const whole = changed(kernel, () => {});
        for (const [offset, value] of damage) if (offset < whole.length) whole[offset] = value;
        for (const bytes of [whole, whole.subarray(0, cut)]) {
          memory.writes.length = 0;
          try {
            const state = loadKernel(memory, { name: 'k', bytes }, { ...options, commandLine: '' });
            expect(memory.offset(state.rip, 1)).toBeGreaterThanOrEqual(0);
          } catch (error) {
            expect(error).toBeInstanceOf(VmmError);
            expect((error as VmmError).message).toMatch(/^[A-Z].*\.$/);
            expect(memory.writes).toEqual([]);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});
