// The jump cache: from an address straight to the compiled region there. It saves what entering a
// page looks at on the way (fetch TLB, code page, record), which for code that is spread over
// megabytes, as kernels are, is mostly not in the host's caches.
//
// An entry is good while S.epoch is what it was: the count is in its tag. When the 14 bits of the
// count that fit there come round, all entries go. Outside 64-bit code, which the epoch tells too,
// the address is linear, of 32 bits, and what the code is for is in the tag as well.

import { c32, c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { JUMP, JUMP_ENTRIES, JUMP_ENTRY_BYTES, S } from './state.ts';

/** Field offsets of an entry. */
export const JUMP_ENTRY = { tag: 0, handler: 8, left: 10, code: 12 } as const;

/** Bits of S.epoch that are no count: user mode, and code that is not 64-bit code. */
export const EPOCH_USER = 1;
export const EPOCH_NARROW = 2;
/** What one change adds to S.epoch. */
export const EPOCH_STEP = 4;
/** When these bits of S.epoch are zero, tags of before could be taken for new ones. */
export const EPOCH_IN_TAG = 0xfffc;

/** Address of the entry for `rip`. */
export function jumpEntry(cpu: I32, rip: I64): I32 {
  // Entries of a page's functions next to each other, those of different pages apart.
  const hash = i32.wrap(i64.xor(rip, i64.shr_u(rip, c64(11))));
  const slot = i32.and(i32.shl(hash, c32(4)), c32((JUMP_ENTRIES - 1) * JUMP_ENTRY_BYTES));
  return i32.add(cpu, i32.add(slot, c32(JUMP)));
}

/** The tag that an entry for `rip` has now. */
export const jumpTag = (cpu: I32, rip: I64): I64 =>
  i64.or(i64.and(rip, c64(0xffffffffffffn)), i64.shl(i64.load32_u(cpu, S.epoch), c64(48)));

/** The tag of an entry for the linear address `linear` outside 64-bit code. */
export const narrowJumpTag = (cpu: I32, linear: I64): I64 =>
  jumpTag(cpu, i64.or(linear, i64.shl(i64.load32_u(cpu, S.codeKey), c64(32))));

/** Emits a step of S.epoch: code or its mapping has changed. */
export function stepEpoch(f: FunctionBuilder, cpu: I32): void {
  const epoch = f.let(i32.add(i32.load(cpu, S.epoch), c32(EPOCH_STEP)));
  f.store32(cpu, epoch, S.epoch);
  f.if(i32.eqz(i32.and(epoch, c32(EPOCH_IN_TAG))), () => {
    f.memoryFill(i32.add(cpu, c32(JUMP)), c32(255), c32(JUMP_ENTRIES * JUMP_ENTRY_BYTES));
  });
}
