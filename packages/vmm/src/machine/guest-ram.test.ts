// The layout is vmd(8)'s: 0 to 636 KiB, 636 KiB to 1 MiB, on to 0xf0000000, and the rest from 4
// GiB.
import { expect, test } from 'vitest';
import { GuestRam, ramBytes, ramRanges } from './guest-ram.ts';

const MB = 1 << 20;
const WASM_PAGE = 65536;

function ramOf(memoryBytes: number, growable = 0): GuestRam {
  const initial = memoryBytes / WASM_PAGE;
  return new GuestRam(new WebAssembly.Memory({ initial, maximum: initial + growable }), {
    memoryBytes,
    hasFirmware: false,
  });
}

test('ramRanges() is contiguous in the WebAssembly memory, and covers all of it', () => {
  for (const memoryBytes of [16 * MB, 4000 * MB]) {
    for (const hasFirmware of [false, true]) {
      const layout = { memoryBytes, hasFirmware };
      const ranges = ramRanges(layout).sort((a, b) => a.offset - b.offset);
      let end = 0;
      for (const { offset, sizeBytes } of ranges) {
        expect(offset).toBe(end);
        end += sizeBytes;
      }
      expect(end).toBe(ramBytes(layout));
    }
  }
});

test('ramRanges() ascend; those for firmware are the last 4 MiB below 4 GiB', () => {
  const addresses = (memoryBytes: number, hasFirmware: boolean): number[] =>
    ramRanges({ memoryBytes, hasFirmware }).map(({ gpa }) => gpa);
  const below = [0, 0x9f000, 0x100000];
  expect(addresses(4000 * MB, false)).toEqual([...below, 0x1_0000_0000]);
  expect(addresses(64 * MB, true)).toEqual([...below, 0xffc0_0000]);
  expect(addresses(4000 * MB, true)).toEqual([...below, 0xffc0_0000, 0x1_0000_0000]);
});

test('offset() finds RAM across the boundaries of ranges, and nothing outside', () => {
  const ram = ramOf(16 * MB);
  expect(ram.offset(0, 16 * MB)).toBe(0);
  expect(ram.offset(0x9eff0, 0x20)).toBe(0x9eff0);
  expect(ram.offset(16 * MB - 4, 4)).toBe(16 * MB - 4);
  expect(ram.offset(16 * MB - 4, 5)).toBe(-1);
  expect(ram.offset(16 * MB, 1)).toBe(-1);
  expect(ram.offset(-1, 1)).toBe(-1);
});

test('offset() leaves out the PCI window of a machine with more than 3840 MB', () => {
  const memory = { buffer: new ArrayBuffer(0) } as WebAssembly.Memory;
  const ram = new GuestRam(memory, { memoryBytes: 3856 * MB, hasFirmware: false });
  expect(ram.offset(0xf000_0000 - 1, 1)).toBe(0xf000_0000 - 1);
  expect(ram.offset(0xf000_0000 - 1, 2)).toBe(-1);
  expect(ram.offset(0xf000_0000, 1)).toBe(-1);
  expect(ram.offset(0x1_0000_0000, 16 * MB)).toBe(0xf000_0000);
  expect(ram.offset(0x1_0000_0000 + 16 * MB - 1, 2)).toBe(-1);
});

test('offset() finds no buffer that lies across the end of the firmware', () => {
  const memory = { buffer: new ArrayBuffer(0) } as WebAssembly.Memory;
  const ram = new GuestRam(memory, { memoryBytes: 3856 * MB, hasFirmware: true });
  expect(ram.offset(0xffc0_0000, 4 * MB)).toBe(3856 * MB);
  expect(ram.offset(0xffc0_0000 - 1, 1)).toBe(-1);
  expect(ram.offset(0xffff_ffff, 2)).toBe(-1);
  expect(ram.offset(0x1_0000_0000, 16 * MB)).toBe(0xf000_0000);
});

test('bytes and view follow a memory that grows and so gets another buffer', () => {
  const ram = ramOf(16 * MB, 1);
  ram.bytes[0x1234] = 0x56;
  ram.memory.grow(1);
  expect(ram.bytes[0x1234]).toBe(0x56);
  expect(ram.view.getUint16(0x1234, true)).toBe(0x56);
});

test('written() tells the watcher', () => {
  const ram = ramOf(16 * MB);
  const seen: number[][] = [];
  ram.written(1, 2);
  ram.watch((gpa, length) => seen.push([gpa, length]));
  ram.written(0x1000, 20);
  expect(seen).toEqual([[0x1000, 20]]);
});
