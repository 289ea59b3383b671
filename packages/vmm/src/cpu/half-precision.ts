// F16C: VCVTPH2PS and VCVTPS2PH. SDM vol. 2C; vol. 1, 14.4. MXCSR.DAZ and FTZ do not apply to half
// precision, and a denormal half raises nothing.

import { c32, call, type Fn, i32, type V128 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { f32x4, i16x8, i32x4, i64x2, v128 } from '../wasm/simd.ts';
import { attemptDeferred, settleDeferred } from './avx-exceptions.ts';
import { loadElement, storeElement } from './avx-memory.ts';
import { isWide, lastImmediate, source, writeOperand, writeRegister } from './avx-operand.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import type { HalfConversions } from './softfloat-half.ts';
import { IE } from './softfloat-parts.ts';
import { clearFlags, MXCSR_RC, MXCSR_RC_SHIFT, mxcsr, settleOrLeave } from './sse-exceptions.ts';
import { singles } from './sse-format.ts';
import { joinHalves, splat32, ZERO } from './sse-operand.ts';
import { S } from './state.ts';

/** The out-of-line functions; they return non-zero when they have raised a fault. */
export interface HalfRuntime {
  /** (cpu): an operand was a signalling NaN. */
  readonly invalid: Fn<'i32'>;
  /** (cpu, a v128, imm): four singles to halves, in the 8 bytes at S.lanes. */
  readonly narrow: Fn<'i32'>;
}

/** Bit 2 of the immediate: rounding as MXCSR says. */
const BY_MXCSR = 4;

/** Defines {@link HalfRuntime}. */
export function defineHalfRuntime(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  { f32ToF16 }: HalfConversions,
): HalfRuntime {
  return {
    invalid: m.function('halfInvalid', ['i32'], 'i32', (f) => {
      const cpu = f.param(0, 'i32');
      f.store32(cpu, c32(IE), S.fpFlags);
      f.returnCall(settle, cpu);
    }),
    narrow: m.function('halfNarrow', ['i32', 'v128', 'i32'], 'i32', (f) => {
      const [cpu, a, imm] = [f.param(0, 'i32'), f.param(1, 'v128'), f.param(2, 'i32')];
      clearFlags(f, cpu);
      const control = f.let(mxcsr(cpu));
      f.if(i32.eqz(i32.and(imm, c32(BY_MXCSR))), () => {
        const rounding = i32.shl(i32.and(imm, c32(3)), c32(MXCSR_RC_SHIFT));
        f.set(control, i32.or(i32.and(control, c32(~MXCSR_RC)), rounding));
      });
      let result: V128 = ZERO;
      for (let i = 0; i < 4; i++) {
        const half = f.let(call(f32ToF16, cpu, i32x4.extract_lane(a, i), control));
        result = i16x8.replace_lane(result, i, half);
      }
      f.storeV128(cpu, result, S.lanes);
      settleOrLeave(f, settle, cpu);
      f.return(c32(0));
    }),
  };
}

/** Halves, in the low 16 bits of each lane, as singles; and where they are signalling NaNs. */
function widened(x: Context, halves: V128): { result: V128; signalling: V128 } {
  const { f } = x;
  const sign = i32x4.shl(v128.and(halves, splat32(c32(0x8000))), c32(16));
  const magnitude = f.let(v128.and(halves, splat32(c32(0x7fff))));
  // With the exponent's bias made up for by a product, denormals come out normal.
  const scaled = f32x4.mul(i32x4.shl(magnitude, c32(13)), singles.splat(2 ** 112));
  const infinity = splat32(c32(0x7c00));
  const isSpecial = i32x4.ge_u(magnitude, infinity);
  const isNan = f.let(i32x4.gt_u(magnitude, infinity));
  const special = v128.or(i32x4.shl(magnitude, c32(13)), splat32(c32(0x7f80_0000)));
  const quiet = v128.or(special, v128.and(isNan, splat32(c32(0x40_0000))));
  const isQuiet = i32x4.ne(v128.and(magnitude, splat32(c32(0x200))), ZERO);
  const result = f.let(v128.or(sign, v128.bitselect(quiet, scaled, isSpecial)));
  return { result, signalling: v128.andnot(isNan, isQuiet) };
}

/** What is to be widened. 8 bytes of halves need no alignment: SDM vol. 2A, 2.4, type 11. */
function halvesOf(x: Context): V128 {
  if (isWide(x) || !x.inMemory(1)) return source(x, 1).low;
  const linear = x.f.let(x.linearAddress(8, false));
  return i64x2.replace_lane(ZERO, 0, loadElement(x, 8, linear));
}

const vcvtph2ps: Semantic = (x) => {
  const { f } = x;
  const low = f.let(halvesOf(x));
  const deferred = f.local('i32');
  const convert = (halves: V128): V128 => {
    const { result, signalling } = widened(x, f.let(halves));
    const { invalid } = x.runtime.avx.half;
    f.if(v128.any_true(signalling), () => attemptDeferred(x, deferred, invalid, x.cpu));
    return result;
  };
  const first = convert(i32x4.extend_low_u(low));
  const second = isWide(x) ? convert(i32x4.extend_high_u(low)) : undefined;
  settleDeferred(x, deferred);
  writeRegister(x, 0, first, second);
};

const vcvtps2ph: Semantic = (x) => {
  const { f, cpu } = x;
  const { low, high } = source(x, 1);
  const deferred = f.local('i32');
  const imm = f.fix(lastImmediate(x));
  const convert = (a: V128): V128 => {
    attemptDeferred(x, deferred, x.runtime.avx.half.narrow, cpu, a, imm);
    return f.let(v128.load64_zero(cpu, S.lanes));
  };
  const first = convert(low);
  const both = high ? f.let(joinHalves(first, convert(high))) : first;
  settleDeferred(x, deferred);
  if (x.inMemory(0) && !isWide(x)) {
    // As for halvesOf, no alignment is asked.
    const value = f.let(i64x2.extract_lane(both, 0));
    storeElement(x, 8, f.let(x.linearAddress(8, true)), value);
    return;
  }
  writeOperand(x, 0, { low: f.let(both), high: undefined });
};

/** Semantics by mnemonic. */
export const halfSemantics: SemanticTable = { vcvtph2ps, vcvtps2ph };
