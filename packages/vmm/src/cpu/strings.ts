// String instructions: MOVS, CMPS, STOS, LODS, SCAS, with their repeat prefixes. INS and OUTS are
// exits, in io.ts.
//
// Each round ends with the registers moved on, so a fault or a slice's end in the middle of a REP
// leaves a state that the instruction, run again, goes on from. REP MOVS and REP STOS upwards do as
// much as the page allows in one copy or fill.

import { c32, c64, call, i32, i64, type I32, type I64, type Local } from '../wasm/expr.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { ES, RAX, RCX, RDI, RSI, S } from './state.ts';

const EFLAGS_DF = 0x400;

/** The operation on one element. */
interface StringOp {
  readonly source: boolean;
  readonly destination: boolean;
  /** Does the element; nothing moves before it has succeeded. */
  element(x: Context, size: Size, at: StringAddresses): void;
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
  const down = i32.and(i32.load(x.cpu, S.eflags), c32(EFLAGS_DF));
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
      op.element(x, size, at);
      advance(x, op, step);
      return;
    }
    repeat(x, op, size, at, step);
  };
}

function repeat(x: Context, op: StringOp, size: Size, at: StringAddresses, step: Local<'i64'>): void {
  const { f } = x;
  const count = f.let(i64.and(x.gpr(RCX), x.addressMask()));
  const untilZf = x.row.rep === 'repz';
  f.block((done) => {
    f.loop((again) => {
      f.br(done, i64.eqz(count));
      if (op.bulk && x.variant.addressing !== 'checked') {
        bulk(x, op, size, step, count, () => f.br(again));
      }
      op.element(x, size, at);
      advance(x, op, step);
      f.set(count, i64.sub(count, c64(1)));
      x.setAddressRegister(RCX, count);
      // The answers of this round's MMIO are used up.
      f.store32(x.cpu, c32(0), S.mmioCount);
      f.store32(x.cpu, c32(0), S.mmioNext);
      if (untilZf) {
        const zf = x.flags.zf();
        f.br(done, x.variant.rep === 0xf3 ? i32.eqz(zf) : zf);
      }
      f.br(again);
    });
  });
}

/** Tries the bulk form, upwards only; `next` starts the next round when it did something. */
function bulk(
  x: Context,
  op: StringOp,
  size: Size,
  step: I64,
  count: Local<'i64'>,
  next: () => void,
): void {
  const { f } = x;
  f.if(i64.gt_s(step, c64(0)), () => {
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
  });
}

function compare(x: Context, size: Size, a: I64, b: I64): void {
  const left = x.f.let(a);
  const right = x.f.let(b);
  x.flags.sub(size, left, right, x.f.let(i64.sub(left, right)));
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
    element: (x, size, at) => x.store(size, at.destination(size, true), x.gprLow(RAX, size)),
    bulk: (x, size, bytes) => {
      const to = new StringAddresses(x).destination(size, true);
      const pattern = x.gprLow(RAX, size);
      return call(x.runtime.integer.fillForward, x.cpu, to, bytes, pattern, log2(size));
    },
  }),
  lods: stringSemantic({
    source: true,
    destination: false,
    element: (x, size, at) => x.setGpr(RAX, size, x.load(size, at.source(size))),
  }),
  scas: stringSemantic({
    source: false,
    destination: true,
    element: (x, size, at) =>
      compare(x, size, x.gprLow(RAX, size), x.load(size, at.destination(size, false))),
  }),
  cmps: stringSemantic({
    source: true,
    destination: true,
    element: (x, size, at) => {
      const a = x.load(size, at.source(size));
      compare(x, size, a, x.load(size, at.destination(size, false)));
    },
  }),
};
