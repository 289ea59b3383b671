// The six status flags, kept as two 64-bit words instead of six bits.
//
// flagResult  the result, sign-extended from the operand size:
//               ZF = it is zero; SF = its sign; PF = even parity of its low byte.
// flagCarry   carries (borrows) out of bit positions of the operation, aligned to 64 bits:
//               bit 63 = CF; bit 62 xor bit 63 = OF; bit 3 = AF.
//             And corrections for flag words that no result has (after POPF, SAHF, bit tests):
//               bits 15:8 are xored into the byte whose parity is PF; bit 16 is xored into SF.
//
// An operation therefore costs two stores and a handful of bit operations, no condition needs to
// know which operation came last, and compiled code drops both stores when the flags are dead.

import { AF, CF, OF, PF, SF, ZF } from '../isa/flags.ts';
import { c32, c64, type I32, type I64, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { S } from './state.ts';

/** Bits of flagCarry that come from an operation's carries: CF and its neighbour, and AF. */
const CARRY_BITS = c64(0xc000000000000008n);
const TOP_CARRIES = c64(0xc000000000000000n);

/** `value`, whose low `bytes` bytes count, sign-extended to 64 bits. */
export function signExtend(value: I64, bytes: number): I64 {
  if (bytes === 1) return i64.extend8_s(value);
  if (bytes === 2) return i64.extend16_s(value);
  if (bytes === 4) return i64.extend32_s(value);
  return value;
}

/** The low `bytes` bytes of `value`, zero-extended. */
export function zeroExtend(value: I64, bytes: number): I64 {
  if (bytes === 1) return i64.and(value, c64(0xff));
  if (bytes === 2) return i64.and(value, c64(0xffff));
  if (bytes === 4) return i64.and(value, c64(0xffffffff));
  return value;
}

const not = (value: I64): I64 => i64.xor(value, c64(-1));

/** The two words, as expressions to be used more than once. */
export interface FlagWords {
  readonly result: I64;
  readonly carry: I64;
}

/** An operation whose conditions are comparisons of its operands; all values zero-extended. */
export interface FlagSource {
  readonly kind: 'sub' | 'logic';
  readonly bytes: number;
  readonly a: I64;
  readonly b: I64;
}

/** Emits the stores that set flags, and the expressions that read them, for one function. */
export class LazyFlags {
  protected readonly f: FunctionBuilder;
  protected readonly cpu: I32;
  /** The nesting at which statements are unconditional. */
  nesting: number;
  /** The two words as just stored, while nothing can have changed them since. */
  protected known: FlagWords | undefined;
  /** What they came from, where a condition can be had from that more directly. */
  protected source: FlagSource | undefined;

  constructor(f: FunctionBuilder, cpu: I32, nesting = 0) {
    this.f = f;
    this.cpu = cpu;
    this.nesting = nesting;
  }

  /** Stores both words. `result` must be sign-extended. */
  store(result: I64, carry: I64): void {
    const words = this.put(result, carry);
    this.source = undefined;
    // What a branch may have skipped is not known behind it.
    this.known = this.isCertain ? words : undefined;
  }

  /** True where statements are unconditional. */
  protected get isCertain(): boolean {
    return this.f.nesting === this.nesting;
  }

  /** A value to be used more than once. */
  protected fix(value: I64): I64 {
    return this.f.fix(value);
  }

  /** A condition to be used more than once in what the flags are set to. */
  once(value: I32): I32 {
    return this.f.fix(value);
  }

  /** Keeps both words, and returns them. */
  protected put(result: I64, carry: I64): FlagWords {
    const words = { result: this.fix(result), carry: this.fix(carry) };
    this.f.store64(this.cpu, words.result, S.flagResult);
    this.f.store64(this.cpu, words.carry, S.flagCarry);
    return words;
  }

  /** Keeps the carry word, the result staying what it is; returns both words if they are known. */
  protected putCarry(carry: I64): FlagWords | undefined {
    const word = this.fix(carry);
    this.f.store64(this.cpu, word, S.flagCarry);
    return this.known && { result: this.known.result, carry: word };
  }

  /** Both words as kept. */
  protected keptResult(): I64 {
    return i64.load(this.cpu, S.flagResult);
  }

  protected keptCarry(): I64 {
    return i64.load(this.cpu, S.flagCarry);
  }

  /**
   * Flags of `result = a + b` or `a + b + CF`. `a` and `b` zero-extended; `result` of any extension
   * above the operand size (the bits there are ignored).
   */
  add(bytes: number, a: I64, b: I64, result: I64): void {
    const carries = i64.or(i64.and(a, b), i64.and(i64.or(a, b), not(result)));
    this.store(signExtend(result, bytes), this.align(carries, bytes));
  }

  /** Puts carries out of bits bytes*8-1, bytes*8-2 and 3 where flagCarry has them. */
  private align(carries: I64, bytes: number): I64 {
    if (bytes === 8) return i64.and(carries, CARRY_BITS);
    // The carries above the operand size mean nothing: only the two top ones and bit 3 are taken.
    const kept = this.fix(carries);
    const top = i64.and(i64.shl(kept, c64(64 - 8 * bytes)), TOP_CARRIES);
    return i64.or(top, i64.and(kept, c64(8)));
  }

  /** Flags of `result = a - b`; operands as for {@link add}. */
  sub(bytes: number, a: I64, b: I64, result: I64): void {
    this.subCarry(bytes, a, b, result);
    this.setSource({ kind: 'sub', bytes, a, b });
  }

  /** Flags of `result = a - b - CF`. */
  subCarry(bytes: number, a: I64, b: I64, result: I64): void {
    const borrows = i64.or(i64.and(not(a), b), i64.and(not(i64.xor(a, b)), result));
    this.store(signExtend(result, bytes), this.align(borrows, bytes));
  }

  private setSource(source: FlagSource): void {
    if (this.known) this.source = source;
  }

  /** Flags of AND, OR, XOR, TEST: CF = OF = 0 (and AF = 0, which the manual leaves undefined). */
  logic(bytes: number, result: I64): void {
    this.store(signExtend(result, bytes), c64(0));
    this.setSource({ kind: 'logic', bytes, a: result, b: result });
  }

  /** Result flags of `result`, with CF and OF given (0 or 1) and AF clear. */
  resultCfOf(bytes: number, result: I64, cf: I32, of: I32): void {
    this.store(signExtend(result, bytes), this.carryWord(cf, of));
  }

  /** Result flags of `result`, with CF and OF both `over` (0 or 1) and AF clear. */
  resultOverflow(bytes: number, result: I64, over: I32): void {
    // Bit 62 differs from bit 63 when OF is set: here it is never set.
    this.store(signExtend(result, bytes), i64.shl(i64.extend_u(over), c64(63)));
  }

  /** The flagCarry word with CF and OF as given (0 or 1), AF clear. */
  private carryWord(cf: I32, of: I32): I64 {
    const bit63 = i64.extend_u(cf);
    const bit62 = i64.xor(i64.extend_u(cf), i64.extend_u(of));
    return i64.or(i64.shl(bit63, c64(63)), i64.shl(bit62, c64(62)));
  }

  /** Sets CF and OF (0 or 1) and keeps the others. */
  setCfOf(cf: I32, of: I32): void {
    const rest = i64.and(this.carry(), c64(0x3fffffffffffffffn));
    this.storeCarry(i64.or(rest, this.carryWord(cf, of)));
  }

  /** Sets CF (0 or 1) and keeps the others. */
  setCf(cf: I32): void {
    // Flipping CF must flip bit 62 with it, or OF would change.
    const carry = this.fix(this.carry());
    const flip = i64.xor(i64.shr_u(carry, c64(63)), i64.extend_u(cf));
    this.storeCarry(i64.xor(carry, i64.mul(flip, c64(0xc000000000000000n))));
  }

  private storeCarry(carry: I64): void {
    const words = this.putCarry(carry);
    this.source = undefined;
    this.known = this.isCertain ? words : undefined;
  }

  /** Sets ZF (0 or 1) and keeps the others. */
  setZf(zf: I32): void {
    const others = i32.and(this.pack(), c32(~ZF));
    this.unpack(i32.or(others, i32.shl(zf, c32(6))));
  }

  private result(): I64 {
    return this.known?.result ?? this.keptResult();
  }

  private carry(): I64 {
    return this.known?.carry ?? this.keptCarry();
  }

  /** CF as 0 or 1. */
  cf(): I32 {
    return i32.wrap(i64.shr_u(this.carry(), c64(63)));
  }

  /** ZF as 0 or 1. */
  zf(): I32 {
    return i64.eqz(this.result());
  }

  /** SF as 0 or 1. */
  sf(): I32 {
    return i64.lt_s(this.signWord(), c64(0));
  }

  /** OF as 0 or 1. */
  of(): I32 {
    return i64.lt_s(this.overflowWord(), c64(0));
  }

  /** AF as 0 or 1. */
  af(): I32 {
    return i32.and(i32.wrap(i64.shr_u(this.carry(), c64(3))), c32(1));
  }

  /** PF as 0 or 1. */
  pf(): I32 {
    const byte = i32.and(
      i32.wrap(i64.xor(this.result(), i64.shr_u(this.carry(), c64(8)))),
      c32(0xff),
    );
    return i32.xor(i32.and(i32.popcnt(byte), c32(1)), c32(1));
  }

  /** A word whose sign is SF. */
  private signWord(): I64 {
    return i64.xor(this.result(), i64.shl(this.carry(), c64(47)));
  }

  /** A word whose sign is OF. */
  private overflowWord(): I64 {
    return i64.xor(this.carry(), i64.shl(this.carry(), c64(1)));
  }

  /** Condition code `cc`, 0..15 (O NO B AE E NE BE A S NS P NP L GE LE G), as 0 or 1. */
  condition(cc: number): I32 {
    const value = this.positive(cc >> 1);
    return cc & 1 ? i32.eqz(value) : value;
  }

  /** The condition as a comparison of the operands of SUB or CMP, or of the result of AND, TEST. */
  private compared(pair: number): I32 | undefined {
    const { source, known } = this;
    if (!source || !known) return undefined;
    const { kind, bytes, a, b } = source;
    const zero = i64.eqz(known.result);
    const negative = i64.lt_s(known.result, c64(0));
    if (kind === 'logic') {
      const cases = [c32(0), c32(0), zero, zero, negative, undefined, negative];
      return pair === 7 ? i64.le_s(known.result, c64(0)) : cases[pair];
    }
    const signed = (v: I64): I64 => signExtend(v, bytes);
    switch (pair) {
      case 1:
        return i64.lt_u(a, b);
      case 3:
        return i64.le_u(a, b);
      case 6:
        return i64.lt_s(signed(a), signed(b));
      case 7:
        return i64.le_s(signed(a), signed(b));
      default:
        return undefined;
    }
  }

  private positive(pair: number): I32 {
    const direct = this.compared(pair);
    if (direct) return direct;
    const less = (): I32 => i64.lt_s(i64.xor(this.signWord(), this.overflowWord()), c64(0));
    switch (pair) {
      case 0:
        return this.of();
      case 1:
        return i64.lt_s(this.carry(), c64(0));
      case 2:
        return this.zf();
      case 3:
        return i32.or(i64.lt_s(this.carry(), c64(0)), this.zf());
      case 4:
        return this.sf();
      case 5:
        return this.pf();
      case 6:
        return less();
      default:
        return i32.or(this.zf(), less());
    }
  }

  /** The status flags as they stand in RFLAGS. */
  pack(): I32 {
    const at = (flag: I32, bit: number): I32 => i32.shl(flag, c32(31 - Math.clz32(bit)));
    return [
      at(this.pf(), PF),
      at(this.af(), AF),
      at(this.zf(), ZF),
      at(this.sf(), SF),
      at(this.of(), OF),
    ].reduce((word, flag) => i32.or(word, flag), at(this.cf(), CF));
  }

  /** Sets the six flags from RFLAGS bits. */
  unpack(flags: I32): void {
    const word = this.f.let(flags);
    const has = (bit: number): I32 => i32.ne(i32.and(word, c32(bit)), c32(0));
    // A result of 0 gives ZF, SF = 0, PF = 1; of 1: ZF = SF = 0, PF = 0; the corrections do the rest.
    const result = select(has(ZF), c64(0), c64(1));
    const parity = i32.xor(has(PF), has(ZF));
    const corrections = i32.or(
      i32.or(i32.shl(parity, c32(8)), i32.shl(has(SF), c32(16))),
      i32.shl(has(AF), c32(3)),
    );
    this.store(result, i64.or(this.carryWord(has(CF), has(OF)), i64.extend_u(corrections)));
  }
}
