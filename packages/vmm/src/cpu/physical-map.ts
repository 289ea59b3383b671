// Guest-physical pages to linear memory: what nested paging is on hardware.
//
// Two levels of i32 entries, 1024 per leaf, so that a leaf covers 4 MiB and the root the 128 GiB
// that vmm(4) allows. An entry is the page's address in linear memory, which is page-aligned, with
// flags in the low bits; 0 is a page without memory: an access there is an MMIO exit.

import { c32, type Fn, i32 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { S } from './state.ts';

/** Flags of an entry. */
export const PAGE = {
  /** There is memory. */
  present: 1,
  /** Protected against writing, execution, reading (VMM_IOC_MPROTECT_EPT). */
  noWrite: 2,
  noExecute: 4,
  noRead: 16,
  /** Code was decoded from here: writes must be seen. */
  code: 8,
  /** The guest has touched it. */
  touched: 32,
} as const;

export const ROOT_ENTRIES = 32768;
export const LEAF_ENTRIES = 1024;

/** Defines (cpu, page number) -> entry of the map at S.physicalMap, 0 without memory. */
export function definePhysicalEntry(m: ModuleBuilder): Fn<'i32'> {
  return m.function('physicalEntry', ['i32', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const page = f.param(1, 'i32');
    const leaf = f.local('i32');
    f.if(i32.ge_u(page, c32(ROOT_ENTRIES * LEAF_ENTRIES)), () => f.return(c32(0)));
    f.set(leaf, leafOf(i32.load(cpu, S.physicalMap), page));
    f.if(i32.eqz(leaf), () => f.return(c32(0)));
    f.return(i32.load(entryOf(leaf, page)));
  });
}

type I32 = ReturnType<typeof c32>;

const leafOf = (root: I32, page: I32): I32 =>
  i32.load(i32.add(root, i32.shl(i32.shr_u(page, c32(10)), c32(2))));
const entryOf = (leaf: I32, page: I32): I32 =>
  i32.add(leaf, i32.shl(i32.and(page, c32(LEAF_ENTRIES - 1)), c32(2)));

/** Defines (cpu, page number, flags): sets flags in the entry of a page that has memory. */
export function defineMarkPage(m: ModuleBuilder): Fn<'void'> {
  return m.function('markPage', ['i32', 'i32', 'i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    const page = f.param(1, 'i32');
    const entry = f.let(entryOf(leafOf(i32.load(cpu, S.physicalMap), page), page));
    f.store32(entry, i32.or(i32.load(entry), f.param(2, 'i32')));
  });
}

/**
 * Address in linear memory of guest page `page` by the map whose root is at `root` of `words`, for
 * another thread than the one that has the {@link PhysicalMap}; 0 without memory.
 */
export function pageHost(words: Int32Array, root: number, page: number): number {
  const leaf = words[(root >>> 2) + (page >>> 10)];
  const entry = leaf === 0 ? 0 : words[(leaf >>> 2) + (page & (LEAF_ENTRIES - 1))];
  return (entry & -4096) >>> 0;
}

/** The map as the monitor builds and reads it. */
export class PhysicalMap {
  /** Address of the root in linear memory. */
  readonly root: number;
  private readonly words: Int32Array;
  private readonly allocate: (bytes: number) => number;

  /**
   * `buffer` is linear memory; `allocate` returns the address of that many zeroed bytes,
   * page-aligned.
   */
  constructor(buffer: ArrayBuffer, allocate: (bytes: number) => number) {
    this.words = new Int32Array(buffer);
    this.allocate = allocate;
    this.root = allocate(ROOT_ENTRIES * 4);
  }

  private entry(page: number, create: boolean): number {
    if (page >= ROOT_ENTRIES * LEAF_ENTRIES) return -1;
    const slot = (this.root >>> 2) + (page >>> 10);
    if (this.words[slot] === 0) {
      if (!create) return -1;
      this.words[slot] = this.allocate(LEAF_ENTRIES * 4);
    }
    return (this.words[slot] >>> 2) + (page & (LEAF_ENTRIES - 1));
  }

  /** Backs `pages` pages from guest page `page` with linear memory from address `host`. */
  map(page: number, host: number, pages: number): void {
    for (let i = 0; i < pages; i++) {
      this.words[this.entry(page + i, true)] = (host + i * 4096) | PAGE.present;
    }
  }

  /** The entry of a page: 0 when it has no memory. */
  get(page: number): number {
    const index = this.entry(page, false);
    return index < 0 ? 0 : this.words[index];
  }

  /** Address in linear memory of a page that has memory. */
  hostOf(page: number): number {
    return (this.get(page) & -4096) >>> 0;
  }

  /** Changes the flags of a page that has memory: those in `clear` go, those in `set` come. */
  setFlags(page: number, set: number, clear: number): void {
    const index = this.entry(page, false);
    if (index >= 0 && this.words[index] !== 0) {
      this.words[index] = (this.words[index] & ~clear) | set;
    }
  }

  /** Counts the pages that carry all of `flags`. */
  count(flags: number): number {
    let total = 0;
    for (let slot = 0; slot < ROOT_ENTRIES; slot++) {
      const leaf = this.words[(this.root >>> 2) + slot];
      if (leaf === 0) continue;
      for (let i = 0; i < LEAF_ENTRIES; i++) {
        if ((this.words[(leaf >>> 2) + i] & flags) === flags) total++;
      }
    }
    return total;
  }
}
