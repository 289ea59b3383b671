// Segment limit and type checks (SDM vol. 3A, 5.3 and 5.5), for code whose addressing they apply to:
// real mode, protected mode, compatibility mode. In 64-bit mode only the bases of FS and GS count.

import { c32, c64, type Fn, i32, i64, select } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { AR_DB, AR_UNUSABLE, S, SEGMENT_AR, SEGMENT_LIMIT, SLOT, SS, VECTOR } from './state.ts';

const TYPE_WRITABLE_OR_READABLE = 2;
const TYPE_EXPAND_DOWN = 4;
const TYPE_CODE = 8;

/**
 * Defines (cpu, segment 0..5, offset, bytes, write) -> linear address. On a violation the fault is
 * in the state (#SS(0) for SS, else #GP(0)) and the result means nothing.
 */
export function defineCheckedAddress(m: ModuleBuilder): Fn<'i64'> {
  const params = ['i32', 'i32', 'i64', 'i32', 'i32'] as const;
  return m.function('checkedAddress', params, 'i64', (f) => {
    const [cpu, segment] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const [offset, bytes, write] = [f.param(2, 'i64'), f.param(3, 'i32'), f.param(4, 'i32')];
    const base = i64.load(i32.add(cpu, i32.shl(segment, c32(3))), SLOT.segmentBase);
    f.if(i32.eq(i32.load(cpu, S.codeMode), c32(8)), () => f.return(i64.add(base, offset)));
    const cache = f.let(i32.add(cpu, i32.shl(segment, c32(4))));
    const ar = f.let(i32.load(cache, S.segment + SEGMENT_AR));
    const limit = f.let(i64.load32_u(cache, S.segment + SEGMENT_LIMIT));
    const last = f.let(i64.add(offset, i64.extend_u(i32.sub(bytes, c32(1)))));
    const has = (bits: number) => i32.ne(i32.and(ar, c32(bits)), c32(0));
    const code = has(TYPE_CODE);
    const permitted = has(TYPE_WRITABLE_OR_READABLE);
    // Data can always be read and code never written; bit 1 decides the other two.
    const typeError = select(
      write,
      i32.or(code, i32.eqz(permitted)),
      i32.and(code, i32.eqz(permitted)),
    );
    const top = select(has(AR_DB), c64(0xffffffff), c64(0xffff));
    const beyond = i64.gt_u(last, limit);
    const below = i32.or(i64.le_u(offset, limit), i64.gt_u(last, top));
    const expandDown = i32.and(has(TYPE_EXPAND_DOWN), i32.eqz(code));
    const limitError = select(expandDown, below, beyond);
    f.if(i32.or(i32.or(has(AR_UNUSABLE), typeError), limitError), () => {
      const stack = i32.eq(segment, c32(SS));
      f.store32(cpu, select(stack, c32(VECTOR.SS), c32(VECTOR.GP)), S.faultVector);
      f.store32(cpu, c32(1), S.faultHasCode);
      f.store32(cpu, c32(0), S.faultCode);
    });
    f.return(i64.and(i64.add(base, offset), c64(0xffffffff)));
  });
}
