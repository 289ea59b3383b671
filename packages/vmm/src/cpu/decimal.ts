// The decimal adjustments of 8086 days: AAA, AAS, DAA, DAS, AAM, AAD. Not in 64-bit mode.

import { c32, c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context, SemanticTable } from './context.ts';
import { RAX, VECTOR } from './state.ts';

const AF = 0x10;

/** Result flags of `al`, with CF and AF given. */
function setFlags(x: Context, al: I64, cf: I32, af: I32): void {
  const kept = [x.f.let(cf), x.f.let(af)];
  x.flags.logic(1, al);
  const word = i32.and(x.flags.pack(), c32(~(AF | 1)));
  x.flags.unpack(i32.or(word, i32.or(kept[0], i32.shl(kept[1], c32(4)))));
}

/** DAA, DAS. */
function adjustPacked(add: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const al = f.let(x.gprLow(RAX, 1));
    const step = add ? i64.add : i64.sub;
    const lowOver = i64.gt_u(i64.and(al, c64(15)), c64(9));
    const af = f.let(i32.or(lowOver, x.flags.af()));
    const cf = f.let(i32.or(i64.gt_u(al, c64(0x99)), x.flags.cf()));
    const result = f.let(al);
    const out = f.let(cf);
    f.if(af, () => {
      f.set(result, step(result, c64(6)));
      // The low adjustment of DAS may itself borrow.
      if (!add) f.set(out, i32.or(out, i64.lt_u(al, c64(6))));
    });
    f.if(cf, () => f.set(result, step(result, c64(0x60))));
    f.set(result, i64.and(result, c64(0xff)));
    x.setGpr(RAX, 1, result);
    setFlags(x, result, out, af);
  };
}

/** AAA, AAS. */
function adjustUnpacked(add: boolean): (x: Context) => void {
  return (x) => {
    const { f } = x;
    const ax = f.let(x.gprLow(RAX, 2));
    const over = i64.gt_u(i64.and(ax, c64(15)), c64(9));
    const adjust = f.let(i32.or(over, x.flags.af()));
    f.if(adjust, () => {
      f.set(ax, add ? i64.add(ax, c64(0x106)) : i64.sub(ax, c64(0x106)));
    });
    f.set(ax, i64.and(ax, c64(0xff0f)));
    x.setGpr(RAX, 2, ax);
    setFlags(x, ax, adjust, adjust);
  };
}

/** Semantics of the decimal adjustments, by mnemonic. */
export const decimal: SemanticTable = {
  daa: adjustPacked(true),
  das: adjustPacked(false),
  aaa: adjustUnpacked(true),
  aas: adjustUnpacked(false),
  aam: (x) => {
    const base = x.f.let(x.read(0));
    x.raise(VECTOR.DE, { when: i64.eqz(base) });
    const al = x.f.let(x.gprLow(RAX, 1));
    const result = i64.or(i64.shl(i64.div_u(al, base), c64(8)), i64.rem_u(al, base));
    x.setGpr(RAX, 2, x.f.let(result));
    setFlags(x, x.f.let(x.gprLow(RAX, 1)), c32(0), c32(0));
  },
  aad: (x) => {
    const ax = x.f.let(x.gprLow(RAX, 2));
    const sum = i64.add(i64.mul(i64.shr_u(ax, c64(8)), x.read(0)), ax);
    const al = x.f.let(i64.and(sum, c64(0xff)));
    x.setGpr(RAX, 2, al);
    setFlags(x, al, c32(0), c32(0));
  },
};
