// String instructions: MOVS, CMPS, STOS, LODS, SCAS, with their repeat prefixes. INS and OUTS are
// exits, in io.ts.
//
// Each round ends with the registers moved on, so a fault or a slice's end in the middle of a REP
// leaves a state that the instruction, run again, goes on from. REP MOVS and REP STOS upwards do as
// much as the page allows in one copy or fill.

import { DF } from '../isa/flags.ts';
import { c32, c64, call, type I32, type I64, i32, i64, type Local, select } from '../wasm/expr.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { ES, EXIT, RAX, RCX, RDI, RSI, S } from './state.ts';

/** Rounds of a REP before the monitor gets a look-in: some milliseconds if each copies a page. */
const ROUNDS_MAX = 4096;

/** What CMPS and SCAS compare. */
interface Compared {
  readonly left: Local<'i64'>;
  readonly right: Local<'i64'>;
}

/** The operation on one element. */
interface StringOp {
  readonly source: boolean;
  readonly destination: boolean;
  /** Does the element; nothing moves before it has succeeded. Returns what is to set the flags. */
  element(x: Context, size: Size, at: StringAddresses): Compared | undefined;
  /** Many elements at once; returns bytes done, or null when the operation has no such form. */
  bulk?(x: Context, size: Size, bytes: I64): I64;
}

class StringAddresses {
  private readonly x: Context;

  constructor(x: Context) {
    this.x = x;
  }

  /** Linear address of the element at seg:rSI. */
  source(size: Size): I64 {
    const { x } = this;
    return x.sourceAddress(x.f.let(i64.and(x.gpr(RSI), x.addressMask())), size, false);
  }

  /** Linear address of the element at ES:rDI. */
  destination(size: Size, write: boolean): I64 {
    const { x } = this;
    const offset = x.f.let(i64.and(x.gpr(RDI), x.addressMask()));
    return x.segmentAddress(ES, offset, size, write);
  }
}

/** Bytes that rSI and rDI move by after an element: the size, negative when DF is set. */
function stepOf(x: Context, size: Size): Local<'i64'> {
  const down = i32.and(i32.load(x.cpu, S.eflags), c32(DF));
  // DF is bit 10: 0 or 0x400 becomes 0 or 2 × size.
  const twice = i64.shr_u(i64.extend_u(down), c64(9 - Math.log2(size)));
  return x.f.let(i64.sub(c64(size), twice));
}

function advance(x: Context, op: StringOp, by: I64): void {
  if (op.source) x.setAddressRegister(RSI, i64.add(x.gpr(RSI), by));
  if (op.destination) x.setAddressRegister(RDI, i64.add(x.gpr(RDI), by));
}

function stringSemantic(op: StringOp): (x: Context) => void {
  return (x) => {
    const size = x.opsize;
    const at = new StringAddresses(x);
    const step = stepOf(x, size);
    if (x.variant.rep === 0) {
      const compared = op.element(x, size, at);
      advance(x, op, step);
      setFlags(x, size, compared);
      return;
    }
    repeat(x, op, size, at, step);
  };
}

function setFlags(x: Context, size: Size, compared: Compared | undefined): void {
  if (!compared) return;
  const { left, right } = compared;
  x.flags.sub(size, left, right, x.f.let(i64.sub(left, right)));
}

function repeat(
  x: Context,
  op: StringOp,
  size: Size,
  at: StringAddresses,
  step: Local<'i64'>,
): void {
  const { f } = x;
  const count = f.let(i64.and(x.gpr(RCX), x.addressMask()));
  // Single-step traps come after each round (SDM vol. 3B, 18.3.1.4).
  const stepping = f.let(i32.load(x.cpu, S.stepping));
  const rounds = f.let(select(stepping, c32(1), c32(ROUNDS_MAX)));
  f.if(i64.ne(count, c64(0)), () => {
    if (x.wide && x.variant.addressing === 'checked') extendRegisters(x, op);
    let compared: Compared | undefined;
    f.block((done) => {
      f.loop((again) => {
        f.block((round) => {
          if (op.bulk && x.hasPlainStrings) {
            const upwards = i64.gt_s(step, c64(0));
            f.if(i32.and(upwards, i32.eqz(stepping)), () => {
              bulk(x, op, size, count, () => f.br(round));
            });
          }
          compared = op.element(x, size, at);
          advance(x, op, step);
          f.set(count, i64.sub(count, c64(1)));
          x.setAddressRegister(RCX, count);
          // The answers of this round's MMIO are used up.
          f.store32(x.cpu, c32(0), S.mmioCount);
          f.store32(x.cpu, c32(0), S.mmioNext);
          if (compared) f.br(done, mismatch(x, compared));
        });
        f.br(done, i64.eqz(count));
        f.set(rounds, i32.sub(rounds, c32(1)));
        f.br(again, rounds);
        x.exitBefore(EXIT.none);
      });
    });
    // Not before the end: a fault or trap on the way sees the flags as they were (vol. 2, "REP").
    setFlags(x, size, compared);
  });
}

/**
 * An address-size prefix in 64-bit code clears the upper half of RCX, and with MOVS and STOS of the
 * pointers, even if the first element faults: so do Intel's processors.
 */
function extendRegisters(x: Context, op: StringOp): void {
  x.setAddressRegister(RCX, x.gpr(RCX));
  if (op.bulk) advance(x, op, c64(0));
}

/** 1 when REPE, or REPNE, ends with this element. */
const mismatch = (x: Context, { left, right }: Compared): I32 =>
  x.variant.rep === 0xf3 ? i64.ne(left, right) : i64.eq(left, right);

/** Tries the bulk form; `next` starts the next round when it did something. */
function bulk(x: Context, op: StringOp, size: Size, count: Local<'i64'>, next: () => void): void {
  const { f } = x;
  const bytes = i64.shl(count, c64(Math.log2(size)));
  // Whole elements: a page may end inside one.
  const did = f.let(op.bulk!(x, size, bytes));
  const elements = f.let(i64.shr_u(did, c64(Math.log2(size))));
  f.if(i64.ne(elements, c64(0)), () => {
    advance(x, op, i64.shl(elements, c64(Math.log2(size))));
    f.set(count, i64.sub(count, elements));
    x.setAddressRegister(RCX, count);
    next();
  });
}

const log2 = (size: Size): I32 => c32(Math.log2(size));

/** Semantics of string instructions, by mnemonic. */
export const strings: SemanticTable = {
  movs: stringSemantic({
    source: true,
    destination: true,
    element: (x, size, at) => {
      const value = x.load(size, at.source(size));
      x.store(size, at.destination(size, true), value);
      return undefined;
    },
    bulk: (x, size, bytes) => {
      const at = new StringAddresses(x);
      const [from, to] = [at.source(size), at.destination(size, true)];
      return call(x.runtime.integer.copyForward, x.cpu, from, to, bytes, log2(size));
    },
  }),
  stos: stringSemantic({
    source: false,
    destination: true,
    element: (x, size, at) => {
      x.store(size, at.destination(size, true), x.gprLow(RAX, size));
      return undefined;
    },
    bulk: (x, size, bytes) => {
      const to = new StringAddresses(x).destination(size, true);
      const pattern = x.gprLow(RAX, size);
      return call(x.runtime.integer.fillForward, x.cpu, to, bytes, pattern, log2(size));
    },
  }),
  lods: stringSemantic({
    source: true,
    destination: false,
    element: (x, size, at) => {
      x.setGpr(RAX, size, x.load(size, at.source(size)));
      return undefined;
    },
  }),
  scas: stringSemantic({
    source: false,
    destination: true,
    element: (x, size, at) => ({
      left: x.f.let(x.gprLow(RAX, size)),
      right: x.f.let(x.load(size, at.destination(size, false))),
    }),
  }),
  cmps: stringSemantic({
    source: true,
    destination: true,
    element: (x, size, at) => {
      // In this order: where both would fault, it is ES:rDI that does.
      const right = x.f.let(x.load(size, at.destination(size, false)));
      return { left: x.f.let(x.load(size, at.source(size))), right };
    },
  }),
};
