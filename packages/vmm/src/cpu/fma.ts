// FMA: SDM vol. 2, VFMADD132PD to VFNMSUB231SS; vol. 1, 14.5.
//
// The fast path (fma-fast.ts) is taken where MXCSR allows it, as for SSE (sse-float.ts): compiled
// code has it inline, and the interpreter's handlers, of which there are hundreds, call it. All
// else is out of line (fma-slow.ts).
//
// Scalars are vectors whose other lanes are zero: those raise nothing.

import { c32, i32, type Local, Place, type V128 } from '../wasm/expr.ts';
import { v128 } from '../wasm/simd.ts';
import { attemptDeferred, settleDeferred } from './avx-exceptions.ts';
import { source, type Vector, writeRegister } from './avx-operand.ts';
import type { Context, Semantic } from './context.ts';
import { type Fused, fusedDoubles, fusedSingles } from './fma-fast.ts';
import type { FmaRuntime } from './fma-slow.ts';
import { NEGATE_ADDEND, NEGATE_PRODUCT } from './softfloat-fused.ts';
import { doubles, type Packed, singles } from './sse-format.ts';
import { lanes32, ZERO } from './sse-operand.ts';
import { S } from './state.ts';

/** Which operands are multiplied, and which is added, by the digits of the name. */
const ORDERS = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] } as const;

/** Signs that change, in even and in odd lanes, by the name of the operation. */
const OPERATIONS: Readonly<Record<string, readonly [number, number]>> = {
  madd: [0, 0],
  msub: [NEGATE_ADDEND, NEGATE_ADDEND],
  nmadd: [NEGATE_PRODUCT, NEGATE_PRODUCT],
  nmsub: [NEGATE_PRODUCT | NEGATE_ADDEND, NEGATE_PRODUCT | NEGATE_ADDEND],
  maddsub: [NEGATE_ADDEND, 0],
  msubadd: [0, NEGATE_ADDEND],
};

interface Format {
  readonly packed: Packed;
  readonly fused: Fused;
  readonly slow: keyof FmaRuntime;
  /** A sign bit for the lanes, even and odd, that are told. */
  signs(even: boolean, odd: boolean): V128;
}

const sign = (isSet: boolean): number => (isSet ? 0x8000_0000 : 0);

const SINGLES: Format = {
  packed: singles,
  fused: fusedSingles,
  slow: 'single',
  signs: (even, odd) => lanes32(sign(even), sign(odd), sign(even), sign(odd)),
};
const DOUBLES: Format = {
  packed: doubles,
  fused: fusedDoubles,
  slow: 'double',
  signs: (even, odd) => lanes32(0, sign(even), 0, sign(odd)),
};

/** What a mnemonic says. */
interface Form {
  readonly format: Format;
  readonly order: readonly [number, number, number];
  readonly even: number;
  readonly odd: number;
  /** Bytes of a scalar; undefined for vectors. */
  readonly scalar: 4 | 8 | undefined;
}

function formOf(mnemonic: string): Form | undefined {
  const [, name, order, kind, type] = /^vf(\D+)(\d{3})(.)(.)$/.exec(mnemonic) ?? [];
  if (name === undefined) return undefined;
  const isSingle = type === 's';
  const [even, odd] = OPERATIONS[name];
  return {
    format: isSingle ? SINGLES : DOUBLES,
    order: ORDERS[order as unknown as keyof typeof ORDERS],
    even,
    odd,
    scalar: kind === 'p' ? undefined : isSingle ? 4 : 8,
  };
}

/** One half: by the fast path, or by the out-of-line function. */
function fusedHalf(
  x: Context,
  form: Form,
  deferred: Local<'i32'>,
  [a, b, c]: readonly V128[],
): V128 {
  const { f, cpu } = x;
  const { format, even, odd } = form;
  const changed = (value: V128, bit: number): V128 => {
    if (((even | odd) & bit) === 0) return value;
    return f.let(v128.xor(value, format.signs((even & bit) !== 0, (odd & bit) !== 0)));
  };
  const vector = f.local('v128');
  const isDone = f.local('i32');
  const isCompiled = x.xmmAddress(0) instanceof Place;
  f.if(isCompiled ? x.roundsAsHost() : c32(0), () => {
    const factor = changed(a, NEGATE_PRODUCT);
    const addend = changed(c, NEGATE_ADDEND);
    const { result, exact } = format.fused(f, factor, b, addend);
    f.set(vector, result);
    f.set(isDone, format.packed.allTrue(exact));
  });
  f.if(i32.eqz(isDone), () => {
    const place = i32.add(cpu, c32(S.lanes));
    const signs = c32(even | (odd << 2));
    attemptDeferred(x, deferred, x.runtime.avx.fma[format.slow], cpu, place, a, b, c, signs);
    f.set(vector, v128.load(cpu, S.lanes));
  });
  return vector;
}

/** Only the lowest lane of `bytes` bytes. */
const lowest = (a: V128, bytes: 4 | 8): V128 =>
  v128.and(a, bytes === 4 ? lanes32(-1, 0, 0, 0) : lanes32(-1, -1, 0, 0));

function fma(form: Form): Semantic {
  return (x) => {
    const { f } = x;
    const operands: Vector[] = [];
    for (const i of [2, 1, 0]) operands[i] = source(x, i);
    const deferred = f.local('i32');
    const { order, scalar } = form;
    const lows = order.map((i) => {
      const { low } = operands[i];
      return scalar ? f.let(lowest(low, scalar)) : low;
    });
    const low = fusedHalf(x, form, deferred, lows);
    const highs = order.map((i) => operands[i].high ?? ZERO);
    const isWide = operands[0].high !== undefined;
    const high = isWide ? fusedHalf(x, form, deferred, highs) : undefined;
    settleDeferred(x, deferred);
    if (!scalar) {
      writeRegister(x, 0, low, high);
      return;
    }
    const mask = scalar === 4 ? lanes32(-1, 0, 0, 0) : lanes32(-1, -1, 0, 0);
    writeRegister(x, 0, v128.bitselect(low, operands[0].low, mask));
  };
}

/** The semantics of an FMA mnemonic, or undefined for others. */
export function fmaSemantic(mnemonic: string): Semantic | undefined {
  const form = formOf(mnemonic);
  return form && fma(form);
}
