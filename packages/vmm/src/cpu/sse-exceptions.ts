// SIMD floating-point exceptions: SDM vol. 1, 11.5; vol. 3A, 6.15 (#XM) and 13.5 (OSXMMEXCPT).
//
// The software floating point collects the flags of all lanes of an instruction in S.fpFlags; then
// `settle` decides. An instruction with an unmasked exception writes nothing but MXCSR's flags. If
// an operand already brings one (invalid, denormal, divide by zero) no lane is computed: overflow,
// underflow and precision of the others are not flagged. Of 256-bit instructions the halves are
// computed one after the other, and decided about together: until then flags are only noted.

import { c32, call, type Fn, type I32, i32, i64, select } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { SoftFloat } from './softfloat.ts';
import { S, VECTOR } from './state.ts';

/** What SSE asks of the software floating point, which must collect its flags in S.fpFlags. */
export type SseSoftFloat = Pick<SoftFloat, 'f32' | 'f64' | 'convert'>;

/** All exceptions. */
const EXCEPTIONS = 0x3f;
/** IE, DE and ZE: found in the operands, before computing. */
const BEFORE = 0x07;
/** Where MXCSR's masks are, in the order of the flags. */
const MASK_SHIFT = 7;
/** CR4.OSXMMEXCPT: unmasked exceptions raise #XM; without it #UD. */
const CR4_OSXMMEXCPT = 1 << 10;

/** PE, the sticky precision flag. */
export const MXCSR_PE: number = 1 << 5;
/** Denormal operands are zeros. */
export const MXCSR_DAZ: number = 1 << 6;
/** Precision exceptions are masked. */
export const MXCSR_PM: number = 1 << 12;
/** Rounding control, two bits; zero is to nearest. */
export const MXCSR_RC: number = 3 << 13;
export const MXCSR_RC_SHIFT = 13;
/** All six masks, as after reset. */
const MXCSR_MASKS = EXCEPTIONS << MASK_SHIFT;
/** Tiny results are zeros. */
const MXCSR_FTZ = 1 << 15;

/** MXCSR, the control and status register. */
export const mxcsr = (cpu: I32): I32 => i32.load(cpu, S.mxcsr);

/** 1 when MXCSR's bits `mask` are `value`. */
export const mxcsrIs = (cpu: I32, mask: number, value: number): I32 =>
  i32.eq(i32.and(mxcsr(cpu), c32(mask)), c32(value));

/**
 * 1 when WebAssembly's arithmetic is SSE's but for the flags, and of these PE does not matter:
 * round to nearest, denormals as they are, everything masked, PE set already.
 */
export const roundsAsHost = (cpu: I32): I32 =>
  mxcsrIs(cpu, MXCSR_FTZ | MXCSR_RC | MXCSR_MASKS | MXCSR_DAZ | MXCSR_PE, MXCSR_MASKS | MXCSR_PE);

/** 1 when a result's being inexact changes nothing: PE is masked, and set already. */
export const ignoresInexact = (cpu: I32): I32 =>
  mxcsrIs(cpu, MXCSR_PM | MXCSR_PE, MXCSR_PM | MXCSR_PE);

/** Forgets the flags of earlier operations: what an out-of-line function begins with. */
export const clearFlags = (f: FunctionBuilder, cpu: I32): void => f.store32(cpu, c32(0), S.fpFlags);

/**
 * Defines `settle` (cpu) -> non-zero when the flags in S.fpFlags hold an unmasked exception, which
 * then is the fault; takes them to MXCSR and clears them. While S.fpDeferring is set it notes them.
 */
export function defineSettle(m: ModuleBuilder): Fn<'i32'> {
  return m.function('sseSettle', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const control = f.let(mxcsr(cpu));
    const flags = f.let(i32.and(i32.load(cpu, S.fpFlags), c32(EXCEPTIONS)));
    f.if(i32.load(cpu, S.fpDeferring), () => {
      const stage = f.let(i32.load(cpu, S.fpStage));
      const place = f.let(i32.add(cpu, i32.shl(stage, c32(2))));
      f.store32(place, i32.or(i32.load(place, S.fpDeferred), flags), S.fpDeferred);
      f.store32(cpu, i32.add(stage, c32(1)), S.fpStage);
      clearFlags(f, cpu);
      f.return(c32(0));
    });
    const masks = i32.shr_u(control, c32(MASK_SHIFT));
    const unmasked = f.let(i32.and(flags, i32.xor(masks, c32(-1))));
    f.if(i32.and(unmasked, c32(BEFORE)), () => f.set(flags, i32.and(flags, c32(BEFORE))));
    f.store32(cpu, i32.or(control, flags), S.mxcsr);
    clearFlags(f, cpu);
    f.if(unmasked, () => {
      const enabled = i32.and(i32.wrap(i64.load(cpu, S.cr4)), c32(CR4_OSXMMEXCPT));
      f.store32(cpu, select(enabled, c32(VECTOR.XM), c32(VECTOR.UD)), S.faultVector);
      f.store32(cpu, c32(0), S.faultHasCode);
      f.return(c32(1));
    });
    f.return(c32(0));
  });
}

/** Returns 1 from an out-of-line function if what it computed raises an unmasked exception. */
export const settleOrLeave = (f: FunctionBuilder, settle: Fn<'i32'>, cpu: I32): void =>
  f.if(call(settle, cpu), () => f.return(c32(1)));
