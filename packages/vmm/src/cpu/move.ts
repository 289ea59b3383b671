// Data movement: SDM vol. 2, BSWAP's neighbours MOV, MOVSX, LEA, XCHG, CMOVcc, and the stack.
// Moves to and from segment, control and debug registers are in segments.ts and system.ts.

import { c32, c64, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { signExtend } from './lazy-flags.ts';
import { Stack } from './stack.ts';
import { RAX, RBP, RBX, RDX, RSP, S, VECTOR } from './state.ts';

const SEGMENT_OPERANDS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

function push(x: Context): void {
  const type = x.row.operands[0].type;
  const segment = SEGMENT_OPERANDS.indexOf(type);
  const value = segment >= 0 ? i64.load16_u(x.cpu, S.segment + 16 * segment) : x.read(0);
  const stack = new Stack(x);
  // Of 32 bits for a selector, processors write the lower half only.
  if (segment >= 0 && x.opsize === 4) stack.pushSelector(x.opsize, x.f.let(value));
  else stack.push(x.opsize, x.f.let(value));
  stack.commit();
}

function pop(x: Context): void {
  const stack = new Stack(x);
  const value = stack.pop(x.opsize);
  if (!x.inMemory(0)) {
    // POP RSP: the popped value wins.
    stack.commit();
    x.write(0, value);
    return;
  }
  // The address is computed with RSP already moved; if the store faults RSP must not have been.
  const before = x.f.let(x.gpr(RSP));
  stack.commit();
  const after = x.f.let(x.gpr(RSP));
  const offset = x.effectiveAddress();
  x.setGpr(RSP, 8, before);
  x.store(x.opsize, x.sourceAddress(offset, x.opsize, true), value);
  x.setGpr(RSP, 8, after);
}

/** PUSHA: the eight registers, RSP as it was before. */
function pusha(x: Context): void {
  const stack = new Stack(x);
  const values = Array.from({ length: 8 }, (_, n) => x.f.let(x.gprLow(n, x.opsize)));
  for (const value of values) stack.push(x.opsize, value);
  stack.commit();
}

/** POPA: the stored RSP is skipped. */
function popa(x: Context): void {
  const stack = new Stack(x);
  const values: I64[] = [];
  for (let i = 0; i < 8; i++) values.push(stack.pop(x.opsize));
  for (const [i, value] of values.entries()) {
    const register = 7 - i;
    if (register !== RSP) x.setGpr(register, x.opsize, value);
  }
  stack.commit();
}

function leave(x: Context): void {
  const stack = new Stack(x, x.gpr(RBP));
  const value = stack.pop(x.opsize);
  stack.commit();
  x.setGpr(RBP, x.opsize, value);
}

/** ENTER: a frame, with copies of up to 31 enclosing frame pointers. */
function enter(x: Context): void {
  const { f } = x;
  const stack = new Stack(x);
  const size = x.opsize;
  stack.push(size, x.gpr(RBP));
  const frame = f.let(stack.top);
  const level = f.let(i32.and(x.imm2(), c32(31)));
  f.if(level, () => {
    const link = new Stack(x, x.gpr(RBP));
    f.loop((again) => {
      f.set(level, i32.sub(level, c32(1)));
      f.if(level, () => {
        link.move(c64(-size));
        stack.push(size, link.peek(size, 0));
        f.br(again);
      });
    });
    stack.push(size, frame);
  });
  stack.move(i64.sub(c64(0), x.read(0)));
  // The new top must be writable too, though nothing is written there.
  stack.probe(size);
  stack.commit();
  x.setGpr(RBP, size, frame);
}

function cbw(x: Context): void {
  const half = (x.opsize / 2) as Size;
  x.setGpr(RAX, x.opsize, signExtend(x.gprLow(RAX, half), half));
}

function cwd(x: Context): void {
  const sign = i64.shr_s(signExtend(x.gprLow(RAX, x.opsize), x.opsize), c64(63));
  x.setGpr(RDX, x.opsize, sign);
}

function cmov(x: Context): void {
  const { f } = x;
  // The source is read, and may fault, whatever the condition says.
  const source = f.let(x.read(1));
  const old = f.let(x.read(0));
  x.write(0, select(x.flags.condition(x.row.condition), source, old));
}

function xchg(x: Context): void {
  const b = x.f.let(x.read(1));
  // With memory it is atomic, LOCK or not.
  const { old } = x.modify(0, () => b, { atomic: x.inMemory(0) });
  x.write(1, old);
}

function xlat(x: Context): void {
  const offset = i64.add(x.gpr(RBX), x.gprLow(RAX, 1));
  const linear = x.sourceAddress(x.f.let(offset), 1, false);
  x.setGpr(RAX, 1, x.load(1, linear));
}

/** BOUND: #BR unless the signed index lies between the two bounds in memory. */
function bound(x: Context): void {
  const { f } = x;
  const size = x.opsize;
  const index = f.let(signExtend(x.read(0), size));
  // One after the other: below the lower bound the upper one is not looked at.
  const lower = f.let(signExtend(x.load(size, x.linearAddress(size, false)), size));
  x.raise(VECTOR.BR, { when: i64.lt_s(index, lower) });
  const upper = f.let(signExtend(x.load(size, x.linearAddress(size, false, c64(size))), size));
  x.raise(VECTOR.BR, { when: i64.gt_s(index, upper) });
}

/** Semantics of data movement, by mnemonic. */
export const move: SemanticTable = {
  mov: (x) => x.write(0, x.read(1)),
  movsx: (x) => x.write(0, signExtend(x.read(1), x.sizeOf(1))),
  movsxd: (x) => x.write(0, signExtend(x.read(1), x.sizeOf(1))),
  movzx: (x) => x.write(0, x.read(1)),
  movnti: (x) => x.write(0, x.read(1)),
  lea: (x) => x.write(0, x.effectiveAddress()),
  xchg,
  xlat,
  cmovcc: cmov,
  setcc: (x) => x.write(0, i64.extend_u(x.flags.condition(x.row.condition))),
  salc: (x) => x.setGpr(RAX, 1, i64.sub(c64(0), i64.extend_u(x.flags.cf()))),
  cbw,
  cwd,
  push,
  pop,
  pusha,
  popa,
  enter,
  leave,
  bound,
  nop: () => {},
  pause: () => {},
  endbr64: () => {},
  endbr32: () => {},
  clc: (x) => x.flags.setCf(c32(0)),
  stc: (x) => x.flags.setCf(c32(1)),
  cmc: (x) => x.flags.setCf(x.f.let(i32.eqz(x.flags.cf()))),
  cld: (x) => x.f.store32(x.cpu, i32.and(i32.load(x.cpu, S.eflags), c32(~0x400)), S.eflags),
  std: (x) => x.f.store32(x.cpu, i32.or(i32.load(x.cpu, S.eflags), c32(0x400)), S.eflags),
};
