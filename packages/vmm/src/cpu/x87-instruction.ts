// What the semantics of the x87 instructions share: how one begins and ends, and its operands.
//
// An unmasked exception is reported by the next waiting instruction: all but the FN... control
// instructions begin by raising #MF if ES is set (SDM vol. 1, 8.6). What is not control leaves its
// address in the last instruction pointer; opcode and data pointer are noted when an exception is
// unmasked.

import { c32, c64, call, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context } from './context.ts';
import { signExtend } from './lazy-flags.ts';
import { pendingX87 } from './sse-operand.ts';
import { CS, S, segmentBase, segmentCache } from './state.ts';
import type { X87Runtime } from './x87-runtime.ts';
import { clearFlags } from './x87-stack.ts';
import { hasLinearPointers } from './x87-state.ts';

/** The functions of the FPU. */
export const runtime = (x: Context): X87Runtime => x.runtime.x87;

/** The operand that is in memory, or -1. */
export const memoryOperand = (x: Context): number =>
  x.row.operands.findIndex((_, i) => x.inMemory(i));

/** Begins an instruction that is not control: takes a pending exception. */
export const begin = (x: Context): void => pendingX87(x);

/** Ends one: its address, and after an unmasked exception what else is known of it. */
export function end(x: Context, pending: I32): void {
  const { f, cpu } = x;
  const kept = f.let(pending);
  f.store64(cpu, x.rip(), S.fip);
  f.store16(cpu, i32.load16_u(cpu, segmentCache(CS)), S.fcs);
  f.if(kept, () => {
    if (memoryOperand(x) >= 0) noteDataPointer(x);
    const linear = i64.add(x.rip(), i64.load(cpu, segmentBase(CS)));
    f.call(runtime(x).noteOpcode, cpu, linear, c32(x.row.encoding.opcode));
  });
}

/**
 * Notes where the memory operand is. Its segment counts in real-address mode only, where the
 * selector follows from the base; elsewhere the address of a store that the exception has kept from
 * happening could be beyond the limit.
 */
function noteDataPointer(x: Context): void {
  const { f, cpu } = x;
  const offset = x.effectiveAddress();
  f.store64(cpu, offset, S.fdp);
  f.if(hasLinearPointers(cpu), () => {
    const base = i64.sub(x.linearAddress(1, false), offset);
    f.store16(cpu, i32.wrap(i64.shr_u(base, c64(4))), S.fds);
  });
}

/** ST(i) of the operand that names it; ST(0) and ST(1) where none does. */
export function stackIndex(x: Context): I32 {
  const i = x.row.operands.findIndex(({ type }) => type === 'sti');
  return i < 0 ? c32(1) : x.f.let(x.registerNumber(i));
}

/** The operand in memory as a number in double extended, flags in S.fpFlags. */
export function convertedOperand(x: Context, integer: boolean): [I64, I32] {
  const { f, cpu } = x;
  const { operands } = runtime(x);
  const bytes = x.sizeOf(memoryOperand(x));
  const bits = f.let(x.load(bytes, x.linearAddress(bytes, false)));
  clearFlags(f, cpu);
  const convert = (): I64 => {
    if (integer) return call(operands.fromI64, cpu, signExtend(bits, bytes));
    if (bytes === 4) return call(operands.fromF32, cpu, i32.wrap(bits));
    return call(operands.fromF64, cpu, bits);
  };
  const sig = f.let(convert());
  return [sig, f.let(i32.load(cpu, S.fpScratch))];
}
