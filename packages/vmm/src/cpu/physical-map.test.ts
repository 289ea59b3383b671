import { expect, test } from 'vitest';
import { ModuleBuilder } from '../wasm/module.ts';
import {
  defineMarkPage,
  definePhysicalEntry,
  LEAF_ENTRIES,
  PAGE,
  PhysicalMap,
  ROOT_ENTRIES,
} from './physical-map.ts';
import { S } from './state.ts';

const CPU = 0x1000;
const HEAP = 0x10000;
const MEMORY_PAGES = 16;

type Exports = Record<string, (...args: number[]) => number>;

/** A map in a memory of its own, the functions that guests' accesses use, and its allocations. */
function fixture(): { map: PhysicalMap; run: Exports; allocated: number[] } {
  const memory = new WebAssembly.Memory({
    initial: MEMORY_PAGES,
    maximum: MEMORY_PAGES,
    shared: true,
  });
  const m = new ModuleBuilder();
  m.importMemory('env', 'memory', MEMORY_PAGES, MEMORY_PAGES);
  m.export('entry', definePhysicalEntry(m));
  m.export('mark', defineMarkPage(m));
  const module = new WebAssembly.Module(m.encode());
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const allocated: number[] = [];
  let next = HEAP;
  const map = new PhysicalMap(memory.buffer, (bytes) => {
    allocated.push(bytes);
    next += bytes;
    return next - bytes;
  });
  new Int32Array(memory.buffer)[(CPU + S.physicalMap) >>> 2] = map.root;
  return { map, run: exports as Exports, allocated };
}

test('map() backs pages, and the guest side finds the same entries', () => {
  const { map, run } = fixture();
  map.map(0, 0x100000, 160);
  map.map(0x100000, 0x800000, 2);
  const pages = [0, 1, 159, 160, 0x100000, 0x100001, 0x100002, 0xfffff];
  const wanted = [0x100001, 0x101001, 0x19f001, 0, 0x800001, 0x801001, 0, 0];
  expect(pages.map((page) => map.get(page))).toEqual(wanted);
  expect(pages.map((page) => run.entry(CPU, page))).toEqual(wanted);
});

test('map() spans leaves, and allocates one for 4 MiB that have memory', () => {
  const { map, run, allocated } = fixture();
  expect(allocated).toEqual([ROOT_ENTRIES * 4]);
  map.map(LEAF_ENTRIES - 1, 0x400000, LEAF_ENTRIES + 2);
  expect(allocated).toEqual([ROOT_ENTRIES * 4, ...Array(3).fill(LEAF_ENTRIES * 4)]);
  expect(run.entry(CPU, LEAF_ENTRIES - 2)).toBe(0);
  expect(run.entry(CPU, LEAF_ENTRIES - 1)).toBe(0x400001);
  expect(run.entry(CPU, 2 * LEAF_ENTRIES)).toBe(0x400001 + 4096 * (LEAF_ENTRIES + 1));
  expect(run.entry(CPU, 2 * LEAF_ENTRIES + 1)).toBe(0);
});

test('addresses past the 128 GiB that the map covers have no memory', () => {
  const { map, run } = fixture();
  for (const page of [ROOT_ENTRIES * LEAF_ENTRIES, 0x0fff_ffff]) {
    expect(map.get(page)).toBe(0);
    expect(run.entry(CPU, page)).toBe(0);
  }
  map.map(ROOT_ENTRIES * LEAF_ENTRIES - 1, 0x7000, 1);
  expect(run.entry(CPU, ROOT_ENTRIES * LEAF_ENTRIES - 1)).toBe(0x7001);
});

test('setFlags() changes flags of pages with memory, and no address', () => {
  const { map, allocated } = fixture();
  map.map(5, 0x9000, 1);
  map.setFlags(5, PAGE.code | PAGE.noWrite, 0);
  expect(map.get(5)).toBe(0x9000 | PAGE.present | PAGE.code | PAGE.noWrite);
  map.setFlags(5, PAGE.noRead, PAGE.code | PAGE.noWrite);
  expect(map.get(5)).toBe(0x9000 | PAGE.present | PAGE.noRead);
  map.setFlags(6, PAGE.code, 0);
  map.setFlags(LEAF_ENTRIES * 7, PAGE.code, 0);
  expect([map.get(6), map.get(LEAF_ENTRIES * 7)]).toEqual([0, 0]);
  expect(allocated).toHaveLength(2);
});

test('markPage() adds flags, and count() counts the pages that have all of some', () => {
  const { map, run } = fixture();
  map.map(0, 0x100000, 10);
  map.map(5000, 0x200000, 10);
  for (const page of [0, 3, 5009]) run.mark(CPU, page, PAGE.touched);
  run.mark(CPU, 3, PAGE.code);
  expect(map.get(3)).toBe(0x103000 | PAGE.present | PAGE.touched | PAGE.code);
  expect(map.count(PAGE.present)).toBe(20);
  expect(map.count(PAGE.touched)).toBe(3);
  expect(map.count(PAGE.touched | PAGE.code)).toBe(1);
});
