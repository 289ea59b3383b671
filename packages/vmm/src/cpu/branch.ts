// Near control transfer: Jcc, JMP, CALL, RET, LOOP. Far transfers are in far-transfer.ts.

import { c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context, SemanticTable } from './context.ts';
import { Stack } from './stack.ts';
import { RCX } from './state.ts';

/** A target as wide as the operand size outside 64-bit code. */
function truncated(x: Context, rip: I64): I64 {
  return x.wide ? rip : i64.and(rip, c64(2 ** (8 * x.opsize) - 1));
}

/** CALL: the return address is pushed, the target checked, then RSP and RIP change. */
function call(x: Context): void {
  const { f } = x;
  const direct = x.row.operands[0].place === 'imm';
  const target = direct ? null : f.let(truncated(x, x.read(0)));
  const stack = new Stack(x);
  stack.push(x.opsize, x.nextRip());
  if (target) x.checkTarget(target);
  else x.checkBranch();
  stack.commit();
  if (target) x.jump(target);
  else x.branch();
}

function jmp(x: Context): void {
  if (x.row.operands[0].place === 'imm') {
    x.branch();
    return;
  }
  const target = x.f.let(truncated(x, x.read(0)));
  x.checkTarget(target);
  x.jump(target);
}

function ret(x: Context): void {
  const stack = new Stack(x);
  const target = x.f.let(truncated(x, stack.pop(x.opsize)));
  x.checkTarget(target);
  if (x.row.operands.length > 0) stack.move(x.read(0));
  stack.commit();
  x.returnTo(target);
}

/** LOOP, LOOPE, LOOPNE: counts rCX down in the address size. */
function loop(also: ((x: Context) => I32) | null): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const count = f.let(i64.and(i64.sub(x.gpr(RCX), c64(1)), x.addressMask()));
    const more = i64.ne(count, c64(0));
    const again = f.let(also ? i32.and(more, also(x)) : more);
    x.checkBranch(again);
    x.setAddressRegister(RCX, count);
    x.branch(again);
  };
}

/** Semantics of near branches, by mnemonic. */
export const branch: SemanticTable = {
  jcc: (x) => x.branch(x.flags.condition(x.row.condition)),
  jmp,
  call,
  ret,
  loop: loop(null),
  loope: loop((x) => x.flags.zf()),
  loopne: loop((x) => i32.eqz(x.flags.zf())),
  jrcxz: (x) => x.branch(i64.eqz(i64.and(x.gpr(RCX), x.addressMask()))),
};
