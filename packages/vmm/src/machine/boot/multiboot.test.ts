// Kernels are assembled and linked by binutils; where they load is compared with readelf(1). The
// information structure is read back by the offsets of Multiboot 0.6.96, section 3.3.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestMemory, testEntropy } from '../../../test/boot-memory.ts';
import { VmmError } from '../../base/errors.ts';
import { detectKernel, loadKernel } from './detect.ts';
import type { BootModule } from './image.ts';

const MB = 0x10_0000;
const SOURCE = `
        .section .multiboot, "a"
        .long 0x1badb002, 3, -(0x1badb002 + 3)
        .text
        .globl _start
_start: cli
        hlt
        .data
        .ascii "multiboot kernel data"
        .bss
        .space 0x3000
`;
/** Linked to run at 0xc0100000 and loaded at 0x100000, as a higher-half kernel is. */
const SCRIPT = `
ENTRY(_start)
SECTIONS {
  . = 0xc0100000;
  .text : AT(ADDR(.text) - 0xc0000000) { *(.multiboot) *(.text) }
  .data ALIGN(4096) : AT(ADDR(.data) - 0xc0000000) { *(.data) }
  .bss : AT(ADDR(.bss) - 0xc0000000) { *(.bss) }
}
`;

let folder: string;
let elf32: Uint8Array;
let elf64: Uint8Array;
let programHeaders: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'multiboot-'));
  writeFileSync(join(folder, 'kernel.s'), SOURCE);
  writeFileSync(join(folder, 'kernel.ld'), SCRIPT);
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { cwd: folder, encoding: 'utf8' });
  run('as', '--32', '-o', 'kernel32.o', 'kernel.s');
  run('ld', '-m', 'elf_i386', '-T', 'kernel.ld', '-o', 'kernel32', 'kernel32.o');
  run('as', '--64', '-o', 'kernel64.o', 'kernel.s');
  run(
    'ld',
    '-m',
    'elf_x86_64',
    '-T',
    'kernel.ld',
    '-z',
    'max-page-size=4096',
    '-o',
    'kernel64',
    'kernel64.o',
  );
  elf32 = readFileSync(join(folder, 'kernel32'));
  elf64 = readFileSync(join(folder, 'kernel64'));
  programHeaders = run('readelf', '-lW', 'kernel32');
});
afterAll(() => rmSync(folder, { recursive: true }));

function boot(bytes: Uint8Array, modules: BootModule[] = [], memoryBytes = 16 * MB) {
  const memory = new TestMemory(memoryBytes);
  memory.bytes.fill(0xcc); // what a machine that was reset could hold
  const image = { name: 'kernel', bytes };
  const options = { memoryBytes, commandLine: 'one two', modules, entropy: testEntropy };
  return { memory, state: loadKernel(memory, image, options) };
}

/** A kernel that is no ELF file: its header says where it goes. */
function makeFlat(
  fields: Partial<Record<'header' | 'load' | 'end' | 'bss' | 'entry', number>> = {},
) {
  const bytes = new Uint8Array(4096).fill(0x90);
  const view = new DataView(bytes.buffer);
  const { header = 0x20_0010, load = 0x20_0000, end = 0x20_0800, bss = 0x20_2000 } = fields;
  const flags = 0x1_0000;
  const words = [0x1badb002, flags, -(0x1badb002 + flags), header, load, end, bss];
  [...words, fields.entry ?? 0x20_0040].forEach((word, index) => {
    view.setUint32(0x110 + index * 4, word, true);
  });
  return bytes;
}

test('loadMultiboot() loads the segments where readelf says, and clears the rest', () => {
  const { memory, state } = boot(elf32);
  const loads = [...programHeaders.matchAll(/LOAD +(\S+) (\S+) (\S+) (\S+) (\S+)/g)];
  expect(loads.length).toBeGreaterThan(1);
  for (const load of loads) {
    const [offset, virtual, physical, fileBytes, memoryBytes] = load.slice(1).map(Number);
    expect(virtual! - physical!).toBe(0xc000_0000);
    const loaded = memory.bytes.subarray(physical, physical! + fileBytes!);
    expect(Buffer.compare(loaded, elf32.subarray(offset, offset! + fileBytes!))).toBe(0);
    const cleared = memory.bytes.subarray(physical! + fileBytes!, physical! + memoryBytes!);
    expect(cleared.every((byte) => byte === 0)).toBe(true);
  }
  const entry = Number(/Entry point (\S+)/.exec(programHeaders)![1]);
  expect(state.rip).toBe(entry - 0xc000_0000);
});

test('loadMultiboot() enters in the machine state of section 3.2', () => {
  const { state } = boot(elf32);
  expect(state.gprs.rax).toBe(0x2bad_b002);
  expect(state.cr0 & 0x8000_0001).toBe(1);
  expect(state.rflags & 0x2_0200).toBe(0);
  expect(state.segments.cs).toMatchObject({ base: 0, limit: 0xffff_ffff, ar: 0xc09b });
  for (const name of ['ds', 'es', 'fs', 'gs', 'ss'] as const) {
    expect(state.segments[name]).toMatchObject({ base: 0, limit: 0xffff_ffff, ar: 0xc093 });
  }
});

test('loadMultiboot() describes memory, command line and modules as section 3.3 does', () => {
  const modules = [
    { commandLine: 'a.bin x=1', bytes: new Uint8Array(5000).fill(1) },
    { commandLine: 'b.bin', bytes: new Uint8Array(10).fill(2) },
  ];
  const { memory, state } = boot(elf32, modules);
  const info = state.gprs.rbx;
  const u32 = (at: number): number => memory.view.getUint32(at, true);
  expect(u32(info)).toBe(0x24d);
  expect([u32(info + 4), u32(info + 8)]).toEqual([636, 15 * 1024]);
  expect(memory.string(u32(info + 16))).toBe('kernel one two');
  expect(memory.string(u32(info + 64))).toBe('vmm');

  expect(u32(info + 20)).toBe(2);
  modules.forEach((module, index) => {
    const entry = u32(info + 24) + index * 16;
    const [start, end] = [u32(entry), u32(entry + 4)];
    expect(start % 4096).toBe(0);
    expect(memory.bytes.subarray(start, end)).toEqual(module.bytes);
    expect(memory.string(u32(entry + 8))).toBe(module.commandLine);
  });

  const map: number[][] = [];
  const end = u32(info + 48) + u32(info + 44);
  for (let at = u32(info + 48); at < end; at += u32(at) + 4) {
    const word = (offset: number): number => Number(memory.view.getBigUint64(at + offset, true));
    map.push([word(4), word(12), u32(at + 20)]);
  }
  expect(map).toEqual([
    [0, 0x9f000, 1],
    [0x9f000, 0x61000, 2],
    [MB, 15 * MB, 1],
  ]);
});

test('loadMultiboot() follows the address fields of a kernel that is no ELF file', () => {
  const { memory, state } = boot(makeFlat());
  expect(state.rip).toBe(0x20_0040);
  // The header's own address shows that loading began 0x10 bytes before it, at 0x100 in the file.
  expect(memory.view.getUint32(0x20_0010, true)).toBe(0x1bad_b002);
  expect(memory.bytes[0x20_07ff]).toBe(0x90);
  expect(memory.bytes.subarray(0x20_0800, 0x20_2000).every((byte) => byte === 0)).toBe(true);
  expect(memory.bytes[0x20_2000]).toBe(0xcc);
});

test('loadMultiboot() loads to the end of the file when load_end_addr is zero', () => {
  const { memory } = boot(makeFlat({ end: 0, bss: 0 }));
  expect(memory.bytes[0x20_0000 + 4096 - 0x100 - 1]).toBe(0x90);
  expect(memory.bytes[0x20_0000 + 4096 - 0x100]).toBe(0xcc);
});

test('loadMultiboot() puts the information elsewhere when the kernel lies over its place', () => {
  const low = makeFlat({ header: 0x8010, load: 0x8000, end: 0x8800, bss: 0xb000, entry: 0x8040 });
  expect(boot(low).state.gprs.rbx).toBe(MB);
  expect(boot(elf32).state.gprs.rbx).toBeLessThan(0x9f000);
});

test('detectKernel() finds the header only where it may be and only with its checksum', () => {
  const kind = (bytes: Uint8Array): string => detectKernel({ name: 'kernel', bytes });
  expect(kind(elf32)).toBe('multiboot');
  const moved = (offset: number): Uint8Array => {
    const bytes = new Uint8Array(16384);
    new DataView(bytes.buffer).setUint32(offset, 0x1badb002, true);
    new DataView(bytes.buffer).setUint32(offset + 8, -0x1badb002, true);
    return bytes;
  };
  expect(kind(moved(8192 - 12))).toBe('multiboot');
  expect(() => kind(moved(8192 - 8))).toThrow('is not a kernel');
  expect(() => kind(moved(2))).toThrow('is not a kernel');
  const broken = makeFlat();
  broken[0x118]! ^= 1;
  expect(() => kind(broken)).toThrow('is not a kernel');
});

test('loadMultiboot() enters an x86-64 ELF file as GRUB does: in 32-bit code', () => {
  const { state } = boot(elf64);
  expect(state.rip).toBe(boot(elf32).state.rip);
  expect(state.segments.cs.ar).toBe(0xc09b);
  const other = new Uint8Array(elf64);
  other[18] = 183; // EM_AARCH64
  expect(() => boot(other)).toThrow(/is for another processor \(e_machine 183\)/);
});

test.each([
  ['unknown requirements', (b: Uint8Array) => setFlags(b, 0x1_0008), /flags 0x8\.$/],
  ['an ELF-less kernel without addresses', (b: Uint8Array) => setFlags(b, 0), /gives no load addr/],
  ['a truncated file', (b: Uint8Array) => b.subarray(0, 0x400), /is truncated/],
  ['a truncated header', (b: Uint8Array) => b.subarray(0, 0x120), /truncated inside its header/],
])('loadMultiboot() refuses %s', (_, change, message) => {
  expect(() => boot(change(makeFlat()))).toThrow(message);
});

function setFlags(bytes: Uint8Array, flags: number): Uint8Array {
  const view = new DataView(bytes.buffer);
  view.setUint32(0x114, flags, true);
  view.setUint32(0x118, -(0x1badb002 + flags), true);
  return bytes;
}

test('loadMultiboot() refuses an entry point outside what it loads', () => {
  expect(() => boot(makeFlat({ entry: 0x30_0000 }))).toThrow(/starts at 0x300000, where it loads/);
});

test('loadMultiboot() refuses a kernel or modules outside RAM', () => {
  expect(() =>
    boot(makeFlat({ load: 0x9_f000, header: 0x9_f010, end: 0x9_f800, bss: 0, entry: 0x9_f000 })),
  ).toThrow(/^Kernel kernel loads at 0x9f000 to 0x9f800, where/);
  const large = { commandLine: 'm', bytes: new Uint8Array(16 * MB) };
  expect(() => boot(elf32, [large])).toThrow(/^Kernel and modules need 18 MB/);
});

test('loadKernel() answers damaged and cut kernels with VmmError or a state', () => {
  const memory = new TestMemory(16 * MB);
  const changes = fc.array(fc.tuple(fc.nat(0x200), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(fc.constantFrom(0, 1), changes, fc.nat(20_000), (which, damage, cut) => {
      const bytes = which === 0 ? new Uint8Array(elf32) : makeFlat();
      for (const [offset, value] of damage) bytes[offset] = value;
      const image = { name: 'k', bytes: cut < bytes.length ? bytes.subarray(0, cut) : bytes };
      try {
        const options = {
          memoryBytes: 16 * MB,
          commandLine: '',
          modules: [],
          entropy: testEntropy,
        };
        expect(loadKernel(memory, image, options).gprs.rax).toBe(0x2bad_b002);
      } catch (error) {
        expect(error).toBeInstanceOf(VmmError);
      }
    }),
    { numRuns: 500 },
  );
});
