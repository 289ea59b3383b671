// ROUNDSS, ROUNDSD, ROUNDPS, ROUNDPD. SDM vol. 2, ROUNDPD, figure 4-24: bits 1:0 of the immediate
// are the rounding control, unless bit 2 takes MXCSR's; bit 3 suppresses the precision exception.
//
// The fast path takes finite operands. WebAssembly's four roundings are exact; what is left is PE:
// it does not matter when suppressed, masked and set already, or when the result equals the
// operand.

import { c32, constant32, type Expr, type I32, i32, select, type V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { ignoresInexact, MXCSR_RC_SHIFT, mxcsr } from './sse-exceptions.ts';
import { type BitsType, type FloatType, finite } from './sse-format.ts';
import { immediate8, source128 } from './sse-operand.ts';
import {
  DOUBLE,
  keepsDenormals,
  type Precision,
  packedResult,
  SINGLE,
  scalarResult,
  sourceBits,
} from './sse-precision.ts';

/** The four roundings, in the order of the rounding control. */
interface Roundings<T> {
  nearest(a: T): T;
  floor(a: T): T;
  ceil(a: T): T;
  trunc(a: T): T;
}

/** `a` rounded as the immediate, operand 2, says. */
function rounded<T extends Expr>(x: Context, op: Roundings<T>, a: T, imm: I32): T {
  const { f } = x;
  const byImmediate = i32.and(imm, c32(3));
  const byMxcsr = i32.and(i32.shr_u(mxcsr(x.cpu), c32(MXCSR_RC_SHIFT)), c32(3));
  const all = [op.nearest(a), op.floor(a), op.ceil(a), op.trunc(a)];
  const known = constant32(imm);
  if (known !== undefined && (known & 4) === 0) return all[known & 3];
  const result = f.local(a.type);
  const cases = all.map((value) => () => f.set(result, value));
  const control = select(i32.and(imm, c32(4)), byMxcsr, byImmediate);
  f.switch(control, cases.slice(0, 3), cases[3]);
  return result as Expr as T;
}

/** 1 when an inexact result sets no flag and raises nothing. */
const inexactIsQuiet = (x: Context, imm: I32): I32 =>
  i32.or(i32.and(i32.shr_u(imm, c32(3)), c32(1)), ignoresInexact(x.cpu));

/** ROUNDSS, ROUNDSD. */
const scalarRound =
  <B extends BitsType, F extends FloatType>({ scalar, slow }: Precision<B, F>): Semantic =>
  (x) => {
    const { f } = x;
    const a = sourceBits(x, scalar, 1);
    const imm = f.let(immediate8(x, 2));
    const value = f.let(scalar.float(a));
    const result = f.let(rounded(x, scalar.op, value, imm));
    const quiet = i32.or(scalar.op.eq(result, value), inexactIsQuiet(x, imm));
    const exact = i32.and(i32.and(scalar.isFinite(a), keepsDenormals(x)), quiet);
    const address = x.xmmAddress(0);
    scalarResult(x, scalar, address, exact, scalar.ofFloat(result), () =>
      x.attempt(slow(x).scalarRound, x.cpu, address, a, imm),
    );
  };

/** ROUNDPS, ROUNDPD. */
const packedRound =
  ({ packed, slow }: Pick<Precision<BitsType, FloatType>, 'packed' | 'slow'>): Semantic =>
  (x) => {
    const { f } = x;
    const a = source128(x, 1);
    const imm = f.let(immediate8(x, 2));
    const result = f.let<'v128'>(rounded<V128>(x, packed.op, a, imm));
    const exact = packed.allTrue(v128.and(packed.op.eq(result, a), finite(packed, a)));
    const quiet = i32.and(inexactIsQuiet(x, imm), packed.allTrue(finite(packed, a)));
    const address = x.xmmAddress(0);
    packedResult(x, address, i32.and(keepsDenormals(x), i32.or(exact, quiet)), result, () =>
      x.attempt(slow(x).packedRound, x.cpu, address, a, imm),
    );
  };

/** Semantics by mnemonic. */
export const sseRoundSemantics: SemanticTable = {
  roundss: scalarRound(SINGLE),
  roundsd: scalarRound(DOUBLE),
  roundps: packedRound(SINGLE),
  roundpd: packedRound(DOUBLE),
};
