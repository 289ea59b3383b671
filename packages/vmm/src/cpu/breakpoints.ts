// Data breakpoints: SDM vol. 3B, 18.2.4. While DR7 enables anything the processor steps, so these
// functions run only then: pages with a watched address never enter the TLB, and the slow paths that
// their accesses therefore take note what they hit in S.debugTraps. The step that did the access turns
// that into the trap. Instruction breakpoints are matched by the step itself.

import { c32, c64, type Fn, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { ACCESS } from './page-walk.ts';
import { S } from './state.ts';

const DR7 = S.dr + 8 * 7;
const BREAKPOINTS = 4;
/** R/W fields of DR7: the access that breaks. */
const RW_WRITE = 1;
const RW_ACCESS = 3;

/** The fields of breakpoint `i` in DR7. */
function fields(
  f: FunctionBuilder,
  dr7: I32,
  i: number,
): { data: I32; kind: Local<'i32'>; bytes: I32 } {
  const enabled = i32.and(i32.shr_u(dr7, c32(2 * i)), c32(3));
  const kind = f.let(i32.and(i32.shr_u(dr7, c32(16 + 4 * i)), c32(3)));
  const length = f.let(i32.and(i32.shr_u(dr7, c32(18 + 4 * i)), c32(3)));
  // 0, 1, 3 are 1, 2, 4 bytes; 2 is 8 bytes.
  const eight = i32.eq(length, c32(2));
  const bytes = i32.add(i32.add(length, c32(1)), i32.mul(eight, c32(5)));
  const data = i32.and(i32.ne(enabled, c32(0)), i32.and(kind, c32(1)));
  return { data, kind, bytes };
}

/** Defines (cpu, linear) -> non-zero when a data breakpoint watches that page. */
export function defineIsWatched(m: ModuleBuilder): Fn<'i32'> {
  return m.function('isWatched', ['i32', 'i64'], 'i32', (f) => {
    const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const dr7 = f.let(i32.load(cpu, DR7));
    for (let i = 0; i < BREAKPOINTS; i++) {
      const { data } = fields(f, dr7, i);
      const distance = i64.xor(i64.load(cpu, S.dr + 8 * i), linear);
      const samePage = i64.lt_u(distance, c64(4096));
      f.if(i32.and(data, samePage), () => f.return(c32(1)));
    }
    f.return(c32(0));
  });
}

/** Defines (cpu, linear, bytes, access): notes which data breakpoints the access hits. */
export function defineWatch(m: ModuleBuilder): Fn<'void'> {
  return m.function('watch', ['i32', 'i64', 'i32', 'i32'], 'void', (f) => {
    const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
    const [bytes, access] = [f.param(2, 'i32'), f.param(3, 'i32')];
    const dr7 = f.let(i32.load(cpu, DR7));
    const end = i64.add(linear, i64.extend_u(bytes));
    const isWrite = i32.ne(i32.and(access, c32(ACCESS.write)), c32(0));
    for (let i = 0; i < BREAKPOINTS; i++) {
      const { data, kind, bytes: length } = fields(f, dr7, i);
      const size = f.let(i64.extend_u(length));
      // The low bits of the address that the length covers are ignored.
      const address: I64 = i64.load(cpu, S.dr + 8 * i);
      const first = f.let(i64.and(address, i64.sub(c64(0), size)));
      const overlaps = i32.and(i64.lt_u(linear, i64.add(first, size)), i64.lt_u(first, end));
      const matches = i32.or(
        i32.eq(kind, c32(RW_ACCESS)),
        i32.and(i32.eq(kind, c32(RW_WRITE)), isWrite),
      );
      f.if(i32.and(i32.and(data, overlaps), matches), () => {
        f.store32(cpu, i32.or(i32.load(cpu, S.debugTraps), c32(1 << i)), S.debugTraps);
      });
    }
  });
}
