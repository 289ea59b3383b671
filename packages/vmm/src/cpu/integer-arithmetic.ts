// Integer arithmetic and logic: SDM vol. 2, ADD to XADD.

import { c32, c64, call, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { signExtend, zeroExtend } from './lazy-flags.ts';
import { isFaulted } from './mmu.ts';
import { RAX, RBX, RCX, RDX, S, VECTOR } from './state.ts';

/** destination = destination `op` source, with flags. */
function alu(
  compute: (a: I64, b: I64) => I64,
  flags: 'add' | 'sub' | 'logic',
): (x: Context) => void {
  return (x) => {
    const size = x.sizeOf(0);
    const b = x.f.fix(x.read(1));
    const { old, result } = x.modify(0, (a) => compute(a, b));
    if (flags === 'logic') x.flags.logic(size, result);
    else x.flags[flags](size, old, b, result);
  };
}

/** ADC and SBB: the carry comes in. */
function aluCarry(add: boolean): (x: Context) => void {
  return (x) => {
    const b = x.f.let(x.read(1));
    const carry = x.f.let(i64.extend_u(x.flags.cf()));
    const step = add ? i64.add : i64.sub;
    const { old, result } = x.modify(0, (a) => step(step(a, b), carry));
    if (add) x.flags.add(x.sizeOf(0), old, b, result);
    else x.flags.subCarry(x.sizeOf(0), old, b, result);
  };
}

/** INC and DEC leave CF alone. */
function step(add: boolean): (x: Context) => void {
  return (x) => {
    const carry = x.f.let(x.flags.cf());
    const one = c64(1);
    const { old, result } = x.modify(0, (a) => (add ? i64.add(a, one) : i64.sub(a, one)));
    x.flags[add ? 'add' : 'sub'](x.sizeOf(0), old, one, result);
    x.flags.setCf(carry);
  };
}

/** MUL and IMUL with one operand: rDX:rAX (AX) = rAX × operand. */
function multiply(signed: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const size = x.sizeOf(0);
    const extend = (v: I64): I64 => (signed ? signExtend(v, size) : v);
    const a = f.let(extend(x.gprLow(RAX, size)));
    const b = f.let(extend(x.read(0)));
    const low = f.let(i64.mul(a, b));
    const { mulHighS, mulHighU } = x.runtime.integer;
    const bits = c64(8 * size);
    const high = f.let(
      size === 8 ? call(signed ? mulHighS : mulHighU, a, b) : i64.shr_u(low, bits),
    );
    // CF and OF say that the upper half is more than an extension of the lower.
    const extension = signed ? i64.shr_s(signExtend(low, size), c64(63)) : c64(0);
    const over = i64.ne(zeroExtend(high, size), zeroExtend(extension, size));
    if (size === 1) {
      x.setGpr(RAX, 2, low);
    } else {
      x.setGpr(RAX, size, low);
      x.setGpr(RDX, size, high);
    }
    x.flags.resultOverflow(size, low, over);
  };
}

/** IMUL with two or three operands: the product, truncated. */
function multiplyTruncated(x: Context): void {
  const { f } = x;
  const size = x.sizeOf(0);
  const last = x.row.operands.length - 1;
  const b = f.let(signExtend(x.read(last), size));
  const a = f.let(signExtend(x.read(last - 1), size));
  const product = f.let(i64.mul(a, b));
  const over =
    size === 8
      ? i64.ne(call(x.runtime.integer.mulHighS, a, b), i64.shr_s(product, c64(63)))
      : i64.ne(product, signExtend(product, size));
  x.write(0, product);
  x.flags.resultOverflow(size, product, over);
}

/** DIV and IDIV: rDX:rAX (AX) by the operand; #DE when the quotient does not fit. */
function divide(signed: boolean): (x: Context) => void {
  return (x) => {
    const { f, cpu } = x;
    const size = x.sizeOf(0);
    const divisor = f.let(signed ? signExtend(x.read(0), size) : x.read(0));
    if (size === 8) {
      const { divideS, divideU } = x.runtime.integer;
      const failed = call(signed ? divideS : divideU, cpu, x.gpr(RDX), x.gpr(RAX), divisor);
      x.raise(VECTOR.DE, { when: failed });
      x.setGpr(RAX, 8, i64.load(cpu, S.scratch));
      x.setGpr(RDX, 8, i64.load(cpu, S.scratch + 8));
      return;
    }
    x.raise(VECTOR.DE, { when: i64.eqz(divisor) });
    const joined =
      size === 1
        ? x.gprLow(RAX, 2)
        : i64.or(x.gprLow(RAX, size), i64.shl(x.gprLow(RDX, size), c64(8 * size)));
    const dividend = f.let(signed ? signExtend(joined, (2 * size) as Size) : joined);
    // -2^63 / -1 would trap; its quotient does not fit anyway.
    if (signed && size === 4) {
      const least = i64.eq(dividend, c64(-0x8000000000000000n));
      const minusOne = i64.eq(divisor, c64(-1));
      x.raise(VECTOR.DE, { when: i32.and(least, minusOne) });
    }
    const quotient = f.let((signed ? i64.div_s : i64.div_u)(dividend, divisor));
    const remainder = f.let((signed ? i64.rem_s : i64.rem_u)(dividend, divisor));
    const fits = signed ? signExtend(quotient, size) : zeroExtend(quotient, size);
    x.raise(VECTOR.DE, { when: i64.ne(fits, quotient) });
    if (size === 1) {
      const ah = i64.shl(remainder, c64(8));
      x.setGpr(RAX, 2, i64.or(zeroExtend(quotient, 1), ah));
    } else {
      x.setGpr(RAX, size, quotient);
      x.setGpr(RDX, size, remainder);
    }
  };
}

function cmpxchg(x: Context): void {
  const { f } = x;
  const size = x.sizeOf(0);
  const accumulator = f.let(x.gprLow(RAX, size));
  const source = f.let(x.read(1));
  const exchange = (): I64 => {
    if (x.inMemory(0)) {
      return x.modify(0, (a) => select(i64.eq(a, accumulator), source, a)).old;
    }
    // A register that is not equal keeps its upper half too.
    const register = f.let(x.read(0));
    f.if(i64.eq(register, accumulator), () => x.write(0, source));
    return register;
  };
  const old = exchange();
  f.if(i64.ne(old, accumulator), () => x.setGpr(RAX, size, old));
  x.flags.sub(size, accumulator, old, i64.sub(accumulator, old));
}

function xadd(x: Context): void {
  const size = x.sizeOf(0);
  const b = x.f.let(x.read(1));
  if (x.inMemory(0)) {
    const { old, result } = x.modify(0, (a) => i64.add(a, b));
    x.write(1, old);
    x.flags.add(size, old, b, result);
    return;
  }
  // Both may be the same register, which then gets the sum.
  const a = x.f.let(x.read(0));
  const sum = x.f.let(i64.add(a, b));
  x.write(1, a);
  x.write(0, sum);
  x.flags.add(size, a, b, sum);
}

function cmpxchg8b(x: Context): void {
  const pair = (hi: number, lo: number): I64 =>
    i64.or(x.gprLow(lo, 4), i64.shl(x.gprLow(hi, 4), c64(32)));
  const expected = x.f.let(pair(RDX, RAX));
  const desired = x.f.let(pair(RCX, RBX));
  const linear = x.linearAddress(8, true);
  const swap = (a: I64): I64 => select(i64.eq(a, expected), desired, a);
  const { old } = x.modifyAt(8, linear, swap, x.variant.lock);
  const equal = x.f.let(i64.eq(old, expected));
  x.f.if(i32.eqz(equal), () => {
    x.setGpr(RAX, 4, old);
    x.setGpr(RDX, 4, i64.shr_u(old, c64(32)));
  });
  x.flags.setZf(equal);
}

/**
 * CMPXCHG16B. WebAssembly has no 128-bit exchange: with one vCPU nothing can come between; more
 * will need a lock around this one.
 */
function cmpxchg16b(x: Context): void {
  const { f, cpu } = x;
  const { writable, commit } = x.runtime.memory;
  const linear = f.let(x.linearAddress(16, true));
  const misaligned = i64.ne(i64.and(linear, c64(15)), c64(0));
  x.raise(VECTOR.GP, { code: c32(0), when: misaligned });
  const address = f.let(call(writable, cpu, linear, c32(16)));
  x.faultIf(isFaulted(address));
  const [low, high] = [f.let(i64.load(address)), f.let(i64.load(address, 8))];
  const equal = f.let(i32.and(i64.eq(low, x.gpr(RAX)), i64.eq(high, x.gpr(RDX))));
  f.if(
    equal,
    () => {
      f.store64(address, x.gpr(RBX));
      f.store64(address, x.gpr(RCX), 8);
    },
    () => {
      x.setGpr(RAX, 8, low);
      x.setGpr(RDX, 8, high);
    },
  );
  x.attempt(commit, cpu, linear, c32(16), address);
  x.flags.setZf(equal);
}

/** Semantics of integer arithmetic and logic, by mnemonic. */
export const integerArithmetic: SemanticTable = {
  add: alu(i64.add, 'add'),
  sub: alu(i64.sub, 'sub'),
  and: alu((a, b) => i64.and(a, b), 'logic'),
  or: alu(i64.or, 'logic'),
  xor: alu(i64.xor, 'logic'),
  adc: aluCarry(true),
  sbb: aluCarry(false),
  inc: step(true),
  dec: step(false),
  cmp: (x) => {
    const a = x.f.let(x.read(0));
    const b = x.f.fix(x.read(1));
    x.flags.sub(x.sizeOf(0), a, b, x.f.let(i64.sub(a, b)));
  },
  test: (x) => {
    const a = x.f.let(x.read(0));
    x.flags.logic(x.sizeOf(0), x.f.let(i64.and(a, x.read(1))));
  },
  neg: (x) => {
    const { old, result } = x.modify(0, (a) => i64.sub(c64(0), a));
    x.flags.sub(x.sizeOf(0), c64(0), old, result);
  },
  not: (x) => {
    x.modify(0, (a) => i64.xor(a, c64(-1)));
  },
  mul: multiply(false),
  imul: (x) => (x.row.operands.length === 1 ? multiply(true)(x) : multiplyTruncated(x)),
  div: divide(false),
  idiv: divide(true),
  cmpxchg,
  xadd,
  cmpxchg8b,
  cmpxchg16b,
};
