// From QEMU's docs/specs/fw_cfg.rst, by section.

import { beforeEach, expect, test } from 'vitest';
import { FlatMemory } from '../bus/flat-memory.ts';
import { PortBus } from '../bus/port-bus.ts';
import { FwCfg } from './fw-cfg.ts';

let memory: FlatMemory;
let bus: PortBus;
let fwCfg: FwCfg;

function read(key: number, length: number): number[] {
  bus.write(0x510, 2, key);
  return Array.from({ length }, () => bus.read(0x511, 1));
}
const text = (bytes: Iterable<number>): string => String.fromCharCode(...bytes);
const bytesOf = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Starts a DMA request and returns the control word after it. */
function dma(control: number, length: number, address: number, at = 0x1000): number {
  memory.view.setUint32(at, control);
  memory.view.setUint32(at + 4, length);
  memory.view.setUint32(at + 8, 0);
  memory.view.setUint32(at + 12, address);
  bus.write(0x514, 4, 0);
  const low = new DataView(new ArrayBuffer(4));
  low.setUint32(0, at);
  bus.write(0x518, 4, low.getUint32(0, true));
  return memory.view.getUint32(at);
}

beforeEach(() => {
  memory = new FlatMemory(0x10000);
  bus = new PortBus();
  fwCfg = new FwCfg(memory);
  bus.claim({ base: 0x510, size: 12, owner: fwCfg });
});

test('the signature and the interface id are there (Signature, Revision)', () => {
  expect(text(read(0x00, 4))).toBe('QEMU');
  expect(read(0x01, 4)).toEqual([3, 0, 0, 0]);
  expect(read(0x04, 2)).toEqual([1, 0]);
});

test('reading beyond an item, or of none, gives zeroes (Data register)', () => {
  expect(read(0x00, 6).slice(4)).toEqual([0, 0]);
  expect(read(0x7777, 2)).toEqual([0, 0]);
});

test('the directory lists files by size, key and name (File directory)', () => {
  fwCfg.addFile('opt/zeta', bytesOf('last'));
  fwCfg.addFile('bootorder', bytesOf('/pci@i0cf8/*@2\nHALT'));
  fwCfg.addFile('opt/zeta', bytesOf('replaced'));
  const directory = new Uint8Array(read(0x19, 4 + 128));
  const view = new DataView(directory.buffer);
  expect(view.getUint32(0)).toBe(2);
  expect([view.getUint32(4), view.getUint16(8)]).toEqual([19, 0x20]);
  expect(text(directory.subarray(12, 22))).toBe('bootorder\0');
  expect([view.getUint32(68), view.getUint16(72)]).toEqual([8, 0x21]);
  expect(text(read(0x21, 8))).toBe('replaced');
});

test('the DMA register reads its signature in big-endian (Guest-side DMA interface)', () => {
  // 'Q' comes first, at the lowest address.
  expect(bus.read(0x514, 4)).toBe(0x554d4551);
  expect(bus.read(0x518, 4)).toBe(0x47464320);
});

test('DMA selects, skips and reads, with zeroes at the end (Guest-side DMA interface)', () => {
  fwCfg.addFile('greeting', bytesOf('hello, world'));
  memory.bytes.fill(0xee, 0x2000, 0x2010);
  expect(dma((0x20 << 16) | 8 | 4, 7, 0)).toBe(0);
  expect(dma(2, 8, 0x2000)).toBe(0);
  expect(text(memory.bytes.subarray(0x2000, 0x2009))).toBe('world\0\0\0\xee');
  expect(memory.changes).toContainEqual({ gpa: 0x2000, length: 8 });
});

test('DMA refuses to write items, and targets outside memory (Guest-side DMA interface)', () => {
  expect(dma(16, 4, 0x2000)).toBe(1);
  expect(dma((1 << 16) | 8 | 2, 0x20000, 0x2000)).toBe(1);
  expect(dma(2, 4, 0xfffffff0)).toBe(1);
  bus.write(0x518, 4, 0xffffffff);
});

test('load() keeps the place in the item', () => {
  read(0x00, 2);
  const state = fwCfg.save();
  fwCfg.reset();
  fwCfg.load(state, 'fw_cfg');
  expect(bus.read(0x511, 1)).toBe('M'.charCodeAt(0));
});
