// Integer helpers that WebAssembly has no instruction for: 64 × 64 → 128 and 128 ÷ 64 bits; and the
// bulk halves of REP MOVS and REP STOS.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, type Local } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i64x2 } from '../wasm/simd.ts';
import { defineBitFields } from './integer-bmi.ts';
import { TLB, tlbEntry } from './mmu.ts';
import type { IntegerRuntime } from './runtime.ts';
import { S } from './state.ts';

const LOW = c64(0xffffffff);
const low = (a: I64): I64 => i64.and(a, LOW);
const high = (a: I64): I64 => i64.shr_u(a, c64(32));

function defineMulHighU(m: ModuleBuilder): Fn<'i64'> {
  const build = (f: FunctionBuilder): void => {
    const [a, b] = [f.param(0, 'i64'), f.param(1, 'i64')];
    const lowLow = f.let(i64.mul(low(a), low(b)));
    const middle = f.let(i64.add(i64.mul(high(a), low(b)), high(lowLow)));
    const other = f.let(i64.add(i64.mul(low(a), high(b)), low(middle)));
    f.return(i64.add(i64.add(i64.mul(high(a), high(b)), high(middle)), high(other)));
  };
  return m.function('mulHighU', ['i64', 'i64'], 'i64', build, { isPure: true });
}

function defineMulHighS(m: ModuleBuilder, unsigned: Fn<'i64'>): Fn<'i64'> {
  const build = (f: FunctionBuilder): void => {
    const [a, b] = [f.param(0, 'i64'), f.param(1, 'i64')];
    // Factors of 32 bits, which most are, have a product of 64.
    const beyond = (x: I64): I64 => i64.xor(x, i64.extend32_s(x));
    f.if(i64.eqz(i64.or(beyond(a), beyond(b))), () => {
      f.return(i64.shr_s(i64.mul(a, b), c64(63)));
    });
    // Each negative factor was taken 2^64 too large.
    const fix = (x: I64, y: I64): I64 => i64.and(i64.shr_s(x, c64(63)), y);
    f.return(i64.sub(i64.sub(call(unsigned, a, b), fix(a, b)), fix(b, a)));
  };
  return m.function('mulHighS', ['i64', 'i64'], 'i64', build, { isPure: true });
}

function defineDivideU(m: ModuleBuilder): Fn<'i32'> {
  const params = ['i32', 'i64', 'i64', 'i64'] as const;
  return m.function('divideU', params, 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const [top, bottom, divisor] = [f.param(1, 'i64'), f.param(2, 'i64'), f.param(3, 'i64')];
    const answer = (quotient: I64, remainder: I64): void => {
      f.store64(cpu, quotient, S.scratch);
      f.store64(cpu, remainder, S.scratch + 8);
      f.return(c32(0));
    };
    f.if(i64.ge_u(top, divisor), () => f.return(c32(1)));
    f.if(i64.eqz(top), () => answer(i64.div_u(bottom, divisor), i64.rem_u(bottom, divisor)));
    // One quotient bit a round: the remainder, always below the divisor, may need a 65th bit.
    const rounds = f.let(c32(64));
    const carry = f.local('i64');
    f.loop((again) => {
      f.set(carry, i64.shr_u(top, c64(63)));
      f.set(top, i64.or(i64.shl(top, c64(1)), i64.shr_u(bottom, c64(63))));
      f.set(bottom, i64.shl(bottom, c64(1)));
      f.if(i32.or(i32.wrap(carry), i64.ge_u(top, divisor)), () => {
        f.set(top, i64.sub(top, divisor));
        f.set(bottom, i64.or(bottom, c64(1)));
      });
      f.set(rounds, i32.sub(rounds, c32(1)));
      f.br(again, rounds);
    });
    answer(bottom, top);
    f.unreachable();
  });
}

function defineDivideS(m: ModuleBuilder, unsigned: Fn<'i32'>): Fn<'i32'> {
  const params = ['i32', 'i64', 'i64', 'i64'] as const;
  return m.function('divideS', params, 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const [top, bottom, divisor] = [f.param(1, 'i64'), f.param(2, 'i64'), f.param(3, 'i64')];
    const negative = f.let(i64.lt_s(top, c64(0)));
    const opposite = f.let(i32.xor(negative, i64.lt_s(divisor, c64(0))));
    const minus = (a: I64): I64 => i64.sub(c64(0), a);
    f.if(negative, () => {
      f.set(top, i64.sub(minus(top), i64.extend_u(i64.ne(bottom, c64(0)))));
      f.set(bottom, minus(bottom));
    });
    f.if(i64.lt_s(divisor, c64(0)), () => f.set(divisor, minus(divisor)));
    f.if(call(unsigned, cpu, top, bottom, divisor), () => f.return(c32(1)));
    const quotient = f.let(i64.load(cpu, S.scratch));
    // The magnitude may be 2^63 for a negative quotient, one less for a positive one.
    const limit = i64.sub(c64(-0x8000000000000000n), i64.extend_u(i32.eqz(opposite)));
    f.if(i64.gt_u(quotient, limit), () => f.return(c32(1)));
    f.if(opposite, () => f.store64(cpu, minus(quotient), S.scratch));
    f.if(negative, () => f.store64(cpu, minus(i64.load(cpu, S.scratch + 8)), S.scratch + 8));
    f.return(c32(0));
  });
}

/** The smaller of `bytes` and what is left of the page of `linear`, into `bytes`. */
function limitToPage(
  f: FunctionBuilder,
  bytes: ReturnType<typeof f.local<'i64'>>,
  linear: I64,
): void {
  const rest = f.let(i64.sub(c64(4096), i64.and(linear, c64(4095))));
  f.if(i64.lt_u(rest, bytes), () => f.set(bytes, rest));
}

/** The place in linear memory of `linear` if the TLB has it with `tag`; else returns 0 bytes. */
function probe(f: FunctionBuilder, cpu: I32, linear: I64, tag: number): Local<'i32'> {
  const entry = f.let(tlbEntry(i32.load(cpu, S.tlb), linear));
  const miss = i64.ne(i64.load(entry, tag), i64.and(linear, c64(-4096)));
  f.if(miss, () => f.return(c64(0)));
  return f.let(i32.add(i32.wrap(linear), i32.load(entry, TLB.addend)));
}

function defineCopyForward(m: ModuleBuilder): Fn<'i64'> {
  const params = ['i32', 'i64', 'i64', 'i64', 'i32'] as const;
  return m.function('copyForward', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const [source, target, bytes] = [f.param(1, 'i64'), f.param(2, 'i64'), f.param(3, 'i64')];
    limitToPage(f, bytes, source);
    limitToPage(f, bytes, target);
    // Whole elements only: the one that a page boundary cuts is done by itself.
    f.set(bytes, i64.and(bytes, i64.shl(c64(-1), i64.extend_u(f.param(4, 'i32')))));
    f.if(i64.eqz(bytes), () => f.return(c64(0)));
    const from = probe(f, cpu, source, TLB.readTag);
    const to = probe(f, cpu, target, TLB.writeTag);
    // A target just above the source repeats it, as element by element it would: memory.copy
    // would not, so leave that to the single steps.
    const distance = i64.extend_u(i32.sub(to, from));
    f.if(i64.lt_u(distance, bytes), () => f.return(c64(0)));
    f.memoryCopy(to, from, i32.wrap(bytes));
    f.return(bytes);
  });
}

function defineFillForward(m: ModuleBuilder): Fn<'i64'> {
  const params = ['i32', 'i64', 'i64', 'i64', 'i32'] as const;
  return m.function('fillForward', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const [target, bytes, pattern] = [f.param(1, 'i64'), f.param(2, 'i64'), f.param(3, 'i64')];
    const log = f.param(4, 'i32');
    limitToPage(f, bytes, target);
    // Whole elements only.
    const size = i64.shl(c64(1), i64.extend_u(log));
    f.set(bytes, i64.and(bytes, i64.sub(c64(0), size)));
    f.if(i64.eqz(bytes), () => f.return(c64(0)));
    const to = probe(f, cpu, target, TLB.writeTag);
    // One byte repeated is a memory.fill: the usual case, zero.
    const width = i64.sub(c64(64), i64.shl(size, c64(3)));
    const seen = i64.shr_u(i64.shl(pattern, width), width);
    const uniform = i64.shr_u(i64.mul(i64.and(pattern, c64(255)), c64(0x0101010101010101n)), width);
    f.if(i64.eq(seen, uniform), () => {
      f.memoryFill(to, i32.wrap(pattern), i32.wrap(bytes));
      f.return(bytes);
    });
    // Elements of 8 bytes go two by two, an odd one by itself; others are rare.
    const pairs = f.let(i32.and(i32.wrap(bytes), c32(-16)));
    f.if(i32.or(i32.ne(log, c32(3)), i32.eqz(pairs)), () => f.return(c64(0)));
    const both = f.let(i64x2.splat(pattern));
    const end = f.let(i32.add(to, pairs));
    f.loop((again) => {
      f.storeV128(to, both);
      f.set(to, i32.add(to, c32(16)));
      f.br(again, i32.lt_u(to, end));
    });
    f.return(i64.extend_u(pairs));
  });
}

/** Defines the functions of {@link IntegerRuntime}. */
export function defineIntegerRuntime(m: ModuleBuilder): IntegerRuntime {
  const mulHighU = defineMulHighU(m);
  const divideU = defineDivideU(m);
  return {
    mulHighU,
    mulHighS: defineMulHighS(m, mulHighU),
    divideU,
    divideS: defineDivideS(m, divideU),
    copyForward: defineCopyForward(m),
    fillForward: defineFillForward(m),
    bitFields: defineBitFields(m),
  };
}
