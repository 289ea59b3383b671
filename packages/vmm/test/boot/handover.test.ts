// What kernels get from their loader, asked of the kernels themselves: small ones, which print it.
// For Multiboot 1 and PVH the oracle is QEMU, which boots the same file; for the rest, the
// documents that kernel.c names and, of OpenBSD, vmd(8).

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  bootHere,
  bootQemu,
  hasCompiler,
  hasQemu,
  KernelFolder,
  ofProtocol,
  rangesIn,
} from './boot-kernels.ts';

const MB = 0x10_0000;
const folder = new KernelFolder();
afterAll(() => folder.remove());

/** The map of a machine with 64 MiB. */
const MAP = [
  [0, 0x9f000, 1],
  [0x9f000, 0x61000, 2],
  [MB, 63 * MB, 1],
];

const WORDS = 'first=1  second="a b"';

function moduleFile(name: string, length: number): { path: string; bytes: Uint8Array } {
  const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 0xff);
  const path = join(folder.path, name);
  writeFileSync(path, bytes);
  return { path, bytes };
}

function value(lines: readonly string[], name: string): number {
  const line = lines.find((candidate) => candidate.startsWith(`${name} `));
  expect(line, `${name} in\n${lines.join('\n')}`).toBeDefined();
  return Number.parseInt(line!.slice(name.length + 1), 16);
}

describe.skipIf(!hasCompiler)('a kernel finds what its protocol promises', () => {
  test.skipIf(!hasQemu)('Multiboot 1, as under QEMU', () => {
    const kernel = folder.build('MULTIBOOT');
    const [one, two] = [moduleFile('one', 5000), moduleFile('two', 3)];
    const texts = [`${one.path} with words`, two.path];
    const modules = [
      { commandLine: texts[0]!, bytes: one.bytes },
      { commandLine: texts[1]!, bytes: two.bytes },
    ];
    const here = bootHere(kernel, { commandLine: WORDS, modules });
    const there = bootQemu(kernel, WORDS, texts.join(','));
    expect(ofProtocol(here)).toEqual(ofProtocol(there));
    expect(here).toContain('modules 2');
    expect(rangesIn(here)).toEqual(MAP);
    expect(value(here, 'own lower')).toBe(636);
    expect(value(here, 'own upper')).toBe(63 * 1024);
    expect(here).not.toContain('own module overlaps the kernel 1');
  });

  test.skipIf(!hasQemu)('Multiboot 1 without command line and modules, as under QEMU', () => {
    const kernel = folder.build('MULTIBOOT');
    const here = bootHere(kernel, { commandLine: '' });
    expect(ofProtocol(here).map((line) => line.trimEnd())).toEqual(
      // QEMU writes a space behind the kernel's name also when nothing follows.
      ofProtocol(bootQemu(kernel, '')).map((line) => line.replace(/ "$/, '"')),
    );
  });

  test.skipIf(!hasQemu).each([false, true])('PVH, as under QEMU (ELF64: %s)', (wide) => {
    const kernel = folder.build('PVH', wide);
    const { path, bytes } = moduleFile('initrd', 70_001);
    const modules = [{ commandLine: 'initrd words', bytes }];
    const here = bootHere(kernel, { commandLine: WORDS, modules });
    expect(ofProtocol(here)).toEqual(ofProtocol(bootQemu(kernel, WORDS, path)));
    expect(here).toContain('own module string "initrd words"');
    expect(rangesIn(here)).toEqual(MAP);
    const bare = bootHere(kernel, { commandLine: '' });
    expect(ofProtocol(bare)).toEqual(ofProtocol(bootQemu(kernel, '')));
  });

  test('Multiboot 2', () => {
    const kernel = folder.build('MULTIBOOT2');
    const [one, two] = [moduleFile('one', 5000), moduleFile('two', 3)];
    const modules = [
      { commandLine: 'one with words', bytes: one.bytes },
      { commandLine: '', bytes: two.bytes },
    ];
    const here = bootHere(kernel, { commandLine: WORDS, modules });
    // The same kernel with the other header, where QEMU has been asked.
    const old = bootHere(folder.build('MULTIBOOT'), { commandLine: WORDS, modules });
    const shared = /^(cs|ds|es|ss|flags VM|cr0|bss|data|module |own module)/;
    expect(here.filter((line) => shared.test(line))).toEqual(
      old.filter((line) => shared.test(line)),
    );
    expect(here).toContain('magic 36d76289');
    expect(here).toContain(`command line "${kernel.path} ${WORDS}"`);
    expect(here).toContain('own loader "vmm"');
    expect(here).toContain('symbol end is right 1');
    expect(here).toContain('the end tag ends the information 1');
    expect(here).toContain('information begins at a multiple of 8, plus 0');
    expect(value(here, 'own lower')).toBe(636);
    expect(value(here, 'own upper')).toBe(63 * 1024);
    expect(rangesIn(here)).toEqual(MAP);
  });

  describe.each([
    ['i386', false],
    ['amd64', true],
  ])('OpenBSD %s', (_, wide) => {
    test('what vmd(8) hands over', () => {
      const here = bootHere(folder.build('OPENBSD', wide), { commandLine: 'console=ttyS0' });
      // Protected mode over page tables; long mode, and compatibility code, only for amd64.
      expect(value(here, 'cr0 of writable bits')).toBe(0x8000_0001);
      expect(value(here, 'cr4')).toBe(wide ? 0x30 : 0x10);
      expect(value(here, 'efer')).toBe(wide ? 0x500 : 0);
      expect(here).toContain('flags VM IF TF 0');
      expect([value(here, 'gdt base'), value(here, 'gdt limit')]).toEqual([0x10000, 0xffff]);
      expect(value(here, 'howto')).toBe(0);
      expect(value(here, 'bootdev')).toBe(0xa000_0004); // sd0a
      expect(value(here, 'api version')).toBe(0x0e);
      expect([value(here, 'extmem'), value(here, 'cnvmem')]).toEqual([0, 0]);
      expect(value(here, 'arguments at')).toBe(0x2000);
      expect(value(here, 'stack')).toBe(0x10000 - 9 * 4);
      expect(here).toContain('bss 0');
    });

    test('its memory, console, symbols and random bytes', () => {
      const here = bootHere(folder.build('OPENBSD', wide), { commandLine: '' });
      expect(rangesIn(here)).toEqual(MAP.filter(([, , type]) => type === 1));
      expect(here).toContain('map ends with its argument 1');
      expect(value(here, 'console major')).toBe(8);
      expect(value(here, 'console minor')).toBe(0);
      expect(value(here, 'console speed')).toBe(115_200);
      expect(value(here, 'console address')).toBe(0x3f8);
      expect(here.filter((line) => line.startsWith('unknown'))).toEqual([]);
      expect(value(here, 'end marker')).toBe(0xffff_ffff);
      expect(value(here, 'symbols magic')).toBe(0x464c_457f);
      expect(value(here, 'program headers')).toBe(0);
      expect(here).toContain('symbol end is right 1');
      expect(here).toContain('symbols lie before esym 1');
      const random = here.filter((line) => line.startsWith('random'));
      expect(random).toEqual(Array.from({ length: 4 }, () => 'random e7e7e7e7'));
    });

    test('the options of the boot prompt', () => {
      const here = bootHere(folder.build('OPENBSD', wide), { commandLine: 'bsd -sc wd1b -d' });
      expect(value(here, 'howto')).toBe(0x442);
      expect(value(here, 'bootdev')).toBe(0xa001_0100);
    });
  });
});
