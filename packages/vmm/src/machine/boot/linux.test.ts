// Images made here field by field from boot.rst; Debian's real kernel is in scripts/guest.test.ts.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { TestMemory, testEntropy } from '../../../test/boot-memory.ts';
import { VmmError } from '../../base/errors.ts';
import { loadLinux } from './linux.ts';
import { isLinuxImage, parseLinuxHeader } from './linux-header.ts';

const MB = 0x10_0000;
const SETUP_BYTES = 2 * 512;
const KERNEL_BYTES = 0x1230;

/** A bzImage of protocol 2.15 as Debian builds them, with code that is only a pattern. */
function makeImage(): Uint8Array {
  const bytes = new Uint8Array(SETUP_BYTES + KERNEL_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 1; // setup_sects
  view.setUint32(0x1f4, KERNEL_BYTES / 16, true); // syssize
  view.setUint16(0x1fe, 0xaa55, true); // boot_flag
  bytes.set([0xeb, 0x6a], 0x200); // jump: the header ends at 0x26c
  bytes.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, 0x020f, true); // version
  bytes[0x211] = 0x01; // loadflags: LOADED_HIGH
  view.setUint32(0x22c, 0x7fff_ffff, true); // initrd_addr_max
  view.setUint32(0x230, 0x20_0000, true); // kernel_alignment
  view.setUint16(0x236, 0x7f, true); // xloadflags
  view.setUint32(0x238, 2047, true); // cmdline_size
  view.setUint32(0x258, 16 * MB, true); // pref_address
  view.setUint32(0x260, 40 * MB, true); // init_size
  for (let index = 0; index < KERNEL_BYTES; index++) bytes[SETUP_BYTES + index] = index * 7 + 1;
  return bytes;
}

function edit(change: (view: DataView) => void): Uint8Array {
  const bytes = makeImage();
  change(new DataView(bytes.buffer));
  return bytes;
}

function boot(
  bytes: Uint8Array,
  { memoryBytes = 128 * MB, commandLine = 'console=ttyS0', initrds = [] as Uint8Array[] } = {},
) {
  const memory = new TestMemory(memoryBytes);
  const modules = initrds.map((initrd) => ({ commandLine: 'initrd', bytes: initrd }));
  const image = { name: 'vmlinuz', bytes };
  try {
    return {
      memory,
      state: loadLinux(memory, image, { memoryBytes, commandLine, modules, entropy: testEntropy }),
    };
  } catch (error) {
    if (error instanceof VmmError) expect(memory.writes).toEqual([]);
    throw error;
  }
}

test('loadLinux() puts the protected-mode kernel at its preferred address', () => {
  const bytes = makeImage();
  const { memory } = boot(bytes);
  const loaded = memory.bytes.subarray(16 * MB, 16 * MB + KERNEL_BYTES);
  expect(Buffer.compare(loaded, bytes.subarray(SETUP_BYTES))).toBe(0);
  expect(memory.writes).toContainEqual({ gpa: 16 * MB, length: KERNEL_BYTES });
});

test('loadLinux() fills boot_params as zero-page.rst lays it out', () => {
  const initrd = new Uint8Array(5000).fill(0x5a);
  const { memory, state } = boot(makeImage(), { initrds: [initrd] });
  const zeroPage = state.gprs.rsi;
  const u32 = (offset: number): number => memory.view.getUint32(zeroPage + offset, true);
  expect(memory.string(zeroPage + 0x202).slice(0, 4)).toBe('HdrS');
  expect(memory.bytes[zeroPage + 0x210]).toBe(0xff); // type_of_loader
  expect(memory.bytes[zeroPage + 0x211]).toBe(0x81); // LOADED_HIGH, CAN_USE_HEAP
  expect(memory.string(u32(0x228))).toBe('console=ttyS0');
  expect(u32(0x1e0)).toBe(127 * 1024); // alt_mem_k
  expect(memory.bytes[zeroPage + 0x1ef]).toBe(0); // sentinel
  expect(u32(0x21c)).toBe(5000); // ramdisk_size
  expect(u32(0x218)).toBe(128 * MB - 8192); // ramdisk_image: the last page boundary that fits
  expect(memory.bytes.subarray(u32(0x218), u32(0x218) + 5000)).toEqual(initrd);
  expect(memory.bytes[zeroPage + 0x1e8]).toBe(3); // e820_entries
  const entry = (index: number): number[] => {
    const at = zeroPage + 0x2d0 + index * 20;
    const { view } = memory;
    return [
      Number(view.getBigUint64(at, true)),
      Number(view.getBigUint64(at + 8, true)),
      view.getUint32(at + 16, true),
    ];
  };
  expect([entry(0), entry(1), entry(2)]).toEqual([
    [0, 0x9f000, 1],
    [0x9f000, 0x61000, 2],
    [MB, 127 * MB, 1],
  ]);
});

test('loadLinux() keeps the initrd below initrd_addr_max', () => {
  const bytes = edit((view) => view.setUint32(0x22c, 64 * MB - 1, true));
  const { memory, state } = boot(bytes, { initrds: [new Uint8Array(4096)] });
  expect(memory.view.getUint32(state.gprs.rsi + 0x218, true)).toBe(64 * MB - 4096);
});

test('loadLinux() concatenates several initrds at multiples of four', () => {
  const initrds = [new Uint8Array([1, 2, 3, 4, 5]), new Uint8Array([6, 7])];
  const { memory, state } = boot(makeImage(), { initrds });
  const start = memory.view.getUint32(state.gprs.rsi + 0x218, true);
  expect(memory.view.getUint32(state.gprs.rsi + 0x21c, true)).toBe(10);
  expect([...memory.bytes.subarray(start, start + 10)]).toEqual([1, 2, 3, 4, 5, 0, 0, 0, 6, 7]);
});

test('loadLinux() enters by the 64-bit protocol: paging on, flat segments, entry at 0x200', () => {
  const { memory, state } = boot(makeImage());
  expect(state.rip).toBe(16 * MB + 0x200);
  expect(state.cr0).toBe(0x8000_0031);
  expect(state.cr4).toBe(0x20);
  expect(state.efer).toBe(0x500);
  expect(state.rflags & 0x200).toBe(0);
  expect(state.segments.cs).toEqual({ sel: 0x10, base: 0, limit: 0xffff_ffff, ar: 0xa09b });
  for (const name of ['ds', 'es', 'ss'] as const) {
    expect(state.segments[name]).toEqual({ sel: 0x18, base: 0, limit: 0xffff_ffff, ar: 0xc093 });
  }
  // The descriptors as SDM 3A 3.4.5 draws them: limit fffff, G=1, L=1 and P S type b; then D/B.
  expect(state.gdtr.limit).toBe(0x1f);
  expect(memory.view.getBigUint64(state.gdtr.base + 0x10, true)).toBe(0x00af9b000000ffffn);
  expect(memory.view.getBigUint64(state.gdtr.base + 0x18, true)).toBe(0x00cf93000000ffffn);
});

test('loadLinux() maps every address below 4 GiB to itself', () => {
  const { memory, state } = boot(makeImage());
  const entry = (table: number, index: number): bigint =>
    memory.view.getBigUint64(table + index * 8, true);
  for (const address of [0, 0x1234, 0x9_f000, 16 * MB, 0x7fff_ffff, 0xc012_3456, 0xffff_ffff]) {
    const pml4e = entry(state.cr3, 0);
    expect(pml4e & 0xfffn).toBe(3n);
    const pdpte = entry(Number(pml4e & ~0xfffn), Math.floor(address / 2 ** 30));
    expect(pdpte & 0xfffn).toBe(3n);
    const pde = entry(Number(pdpte & ~0xfffn), Math.floor(address / 2 ** 21) % 512);
    expect(pde & 0x1f_ffffn).toBe(0x83n);
    expect(Number(pde & ~0x1f_ffffn) + (address % 2 ** 21)).toBe(address);
  }
});

test('loadLinux() enters a kernel without XLF_KERNEL_64 by the 32-bit protocol', () => {
  const { state } = boot(edit((view) => view.setUint16(0x236, 0, true)));
  expect(state.rip).toBe(16 * MB);
  expect(state.cr0).toBe(0x31);
  expect(state.efer).toBe(0);
  expect(state.segments.cs).toEqual({ sel: 0x10, base: 0, limit: 0xffff_ffff, ar: 0xc09b });
  expect(state.gprs).toMatchObject({ rbp: 0, rdi: 0, rbx: 0 });
});

test('loadLinux() takes a kernel whose last paragraph is not full, as Memtest86+ is', () => {
  const bytes = makeImage();
  const { memory } = boot(bytes.subarray(0, bytes.length - 15));
  expect(memory.writes).toContainEqual({ gpa: 16 * MB, length: KERNEL_BYTES - 15 });
  expect(() => boot(bytes.subarray(0, bytes.length - 16))).toThrow(/is truncated/);
});

test('loadLinux() loads a kernel of protocol 2.06 at 1 MiB', () => {
  const { state } = boot(edit((view) => view.setUint16(0x206, 0x0206, true)));
  expect(state.rip).toBe(MB);
});

test('loadLinux() takes a command line of exactly cmdline_size bytes and no more', () => {
  expect(() => boot(makeImage(), { commandLine: 'x'.repeat(2047) })).not.toThrow();
  expect(() => boot(makeImage(), { commandLine: 'x'.repeat(2048) })).toThrow(
    'The command line has 2048 bytes and kernel vmlinuz takes 2047.',
  );
});

test.each([
  [
    'a file cut in the code',
    makeImage().subarray(0, 3000),
    /^Kernel vmlinuz is truncated: .*5680.*3000/,
  ],
  ['a file cut in the header', makeImage().subarray(0, 0x240), /truncated inside its setup header/],
  ['an old protocol', edit((view) => view.setUint16(0x206, 0x0205, true)), /version 2\.05/],
  ['a zImage', edit((view) => view.setUint8(0x211, 0)), /is a zImage/],
  ['no code', edit((view) => view.setUint32(0x1f4, 0, true)), /contains no code/],
  ['a low address', edit((view) => view.setUint32(0x258, 0x8000, true)), /at 0x8000, below 1 MB/],
])('loadLinux() refuses %s', (_, bytes, message) => {
  expect(() => boot(bytes)).toThrow(message);
  expect(() => boot(bytes)).toThrow(VmmError);
});

test('loadLinux() refuses what does not fit into memory', () => {
  expect(() => boot(makeImage(), { memoryBytes: 32 * MB })).toThrow(
    'Kernel vmlinuz needs 56 MB of memory and the virtual machine has 32 MB.',
  );
  expect(() => boot(makeImage(), { initrds: [new Uint8Array(100 * MB)] })).toThrow(
    /^The initrd of 100 MB does not fit/,
  );
});

test('isLinuxImage() wants both magic numbers', () => {
  expect(isLinuxImage(makeImage())).toBe(true);
  expect(isLinuxImage(edit((view) => view.setUint16(0x1fe, 0, true)))).toBe(false);
  expect(isLinuxImage(edit((view) => view.setUint8(0x202, 0)))).toBe(false);
  expect(isLinuxImage(new Uint8Array(0x205))).toBe(false);
});

test('loadLinux() answers damaged headers with VmmError or a state inside RAM', () => {
  const damage = fc.array(fc.tuple(fc.integer({ min: 0x1f1, max: 0x27f }), fc.nat(255)), {
    minLength: 1,
    maxLength: 12,
  });
  const memory = new TestMemory(96 * MB);
  fc.assert(
    fc.property(damage, fc.nat(SETUP_BYTES + KERNEL_BYTES), (changes, cut) => {
      const bytes = makeImage();
      for (const [offset, value] of changes) bytes[offset] = value;
      const image = { name: 'k', bytes: bytes.subarray(0, Math.max(cut, 0x206)) };
      const whole = { name: 'k', bytes };
      for (const candidate of [image, whole]) {
        try {
          const header = parseLinuxHeader(candidate);
          expect(header.kernel.length).toBeGreaterThan(0);
          const options = {
            memoryBytes: 96 * MB,
            commandLine: 'a',
            modules: [],
            entropy: testEntropy,
          };
          const state = loadLinux(memory, candidate, options);
          expect(memory.offset(state.rip, 1)).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(VmmError);
        }
      }
    }),
    { numRuns: 300 },
  );
});
