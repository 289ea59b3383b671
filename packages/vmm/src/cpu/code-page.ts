// Decoded code of one guest-physical page in one code mode (and, where a code segment ends within
// the page, up to there), as it lies in linear memory: a header, then for each of the 4096 offsets
// the address of the record decoded there, or 0.

import type { CodeMode } from '../isa/instruction.ts';
import { c32, c64, type Fn, type I32, i32, i64 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { LEAF_ENTRIES, ROOT_ENTRIES } from './physical-map.ts';
import { S } from './state.ts';

/** Field offsets of a code page. */
export const CODE_PAGE = {
  /** i32: next code page of the same physical page, in another mode; 0 ends the chain. */
  next: 0,
  /**
   * i32: what its code is for (see {@link CODE_KEY_MASK}); and above, the offset at which CS ends
   * here, or 0.
   */
  mode: 4,
  /** i64: which 64-byte pieces of the page hold decoded bytes. */
  coverage: 8,
  /** i32: the physical page number. */
  page: 16,
  /** i32 × 4096. */
  map: 32,
} as const;
export const CODE_PAGE_BYTES: number = CODE_PAGE.map + 4096 * 4;

/**
 * The parts of {@link CODE_PAGE.mode}: the code mode, 2, 4 or 8; outside 64-bit code, whether the
 * stack pointer has 32 bits, whether ES, SS and DS are all of the address space and writable, and
 * whether CS is all of it; above, the offset of the end of CS. All but the last is S.codeKey.
 */
export const CODE_MODE_MASK = 15;
export const CODE_BIG_STACK = 16;
export const CODE_FLAT_DATA = 32;
export const CODE_FLAT_CS = 64;
export const CODE_KEY_MASK = 127;
export const CODE_BOUND_SHIFT = 7;

/** What the code of a page is for, as {@link CODE_PAGE.mode} has it. */
export interface CodeKind {
  /** S.codeKey while it runs. */
  readonly key: number;
  readonly mode: CodeMode;
  /** Bytes of the stack pointer. */
  readonly stackBytes: 2 | 4 | 8;
  readonly hasFlatData: boolean;
  readonly hasFlatCode: boolean;
  /** Where CS ends in the page, 4096 if it does not. */
  readonly end: number;
}

/** The kind of code that a word of {@link CODE_PAGE.mode} stands for. */
export function codeKindOf(word: number): CodeKind {
  const mode = (word & CODE_MODE_MASK) as CodeMode;
  return {
    key: word & CODE_KEY_MASK,
    mode,
    stackBytes: mode === 8 ? 8 : word & CODE_BIG_STACK ? 4 : 2,
    hasFlatData: (word & CODE_FLAT_DATA) !== 0,
    hasFlatCode: (word & CODE_FLAT_CS) !== 0,
    end: word >>> CODE_BOUND_SHIFT || 4096,
  };
}

/** Defines (cpu, physical page, mode) -> code page, 0 when nothing was decoded there so. */
export function defineFindCodePage(m: ModuleBuilder): Fn<'i32'> {
  return m.function('findCodePage', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, page, mode] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const leaf = f.let(codeMapLeaf(cpu, page));
    f.if(i32.eqz(leaf), () => f.return(c32(0)));
    const code = f.let(i32.load(codeMapEntry(leaf, page)));
    f.loop((again) => {
      f.if(i32.eqz(code), () => f.return(c32(0)));
      f.if(i32.eq(i32.load(code, CODE_PAGE.mode), mode), () => f.return(code));
      f.set(code, i32.load(code, CODE_PAGE.next));
      f.br(again);
    });
    f.unreachable();
  });
}

/**
 * Defines (cpu, physical, bytes): to be called after a store into a page with decoded code. Asks
 * the host to drop the page's code if decoded bytes were hit.
 */
export function defineCodeWritten(m: ModuleBuilder, invalidate: Fn<'void'>): Fn<'void'> {
  return m.function('codeWritten', ['i32', 'i64', 'i32'], 'void', (f) => {
    const [cpu, physical, bytes] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
    const page = f.let(i32.wrap(i64.shr_u(physical, c64(12))));
    const leaf = f.let(codeMapLeaf(cpu, page));
    f.if(i32.eqz(leaf), () => f.return());
    const code = f.let(i32.load(codeMapEntry(leaf, page)));
    const offset = i32.and(i32.wrap(physical), c32(4095));
    const first = i32.shr_u(offset, c32(6));
    const last = i32.shr_u(i32.sub(i32.add(offset, bytes), c32(1)), c32(6));
    const span = i64.extend_u(i32.sub(last, first));
    // Ones from bit `first` to bit `last`.
    const ones = i64.shr_u(c64(-1), i64.sub(c64(63), span));
    const hit = f.let(i64.shl(ones, i64.extend_u(first)));
    f.loop((again) => {
      f.if(i32.eqz(code), () => f.return());
      const covered = i64.and(i64.load(code, CODE_PAGE.coverage), hit);
      f.if(i64.ne(covered, c64(0)), () => f.returnCall(invalidate, cpu, page));
      f.set(code, i32.load(code, CODE_PAGE.next));
      f.br(again);
    });
  });
}

function codeMapLeaf(cpu: I32, page: I32): I32 {
  const slot = i32.shl(i32.and(i32.shr_u(page, c32(10)), c32(ROOT_ENTRIES - 1)), c32(2));
  return i32.load(i32.add(i32.load(cpu, S.codeMap), slot));
}

const codeMapEntry = (leaf: I32, page: I32): I32 =>
  i32.add(leaf, i32.shl(i32.and(page, c32(LEAF_ENTRIES - 1)), c32(2)));
