// Exact floating point for the processor, as functions of a WebAssembly module: what SSE and the
// x87 FPU compute, bit for bit, with the exceptions they report. Everything is integer arithmetic,
// except fast paths where WebAssembly's own operations are known to give the same
// (softfloat-sse.ts).
//
// Conventions. The first parameter of every function is `cpu`, the base address of the processor's
// state. Exceptions are OR-ed into the i32 at `cpu + scratch.flags`, in the order of MXCSR and of
// the x87 status word: IE 1, DE 2, ZE 4, OE 8, UE 16, PE 32; x87 functions also set condition codes
// at their places in the status word (C1, bit 9: rounded up). Callers clear the field before and
// look at it after. Two things are theirs: - If an unmasked exception is among IE, DE and ZE, the
// operation has not happened: the later ones, OE, UE and PE, are to be ignored (`flags & 7`), and
// there is no result. For packed operations that goes for the flags of all elements together. - SSE
// takes only bits 0-5.

import type { ModuleBuilder } from '../wasm/module.ts';
import { type Arithmetic, defineArithmetic } from './softfloat-arithmetic.ts';
import { defineSseConversions, type SseConversions } from './softfloat-convert.ts';
import { defineExponential, type Exponential } from './softfloat-exponential.ts';
import { defineF80, type F80Operations } from './softfloat-f80.ts';
import { defineF80Conversions, type F80Conversions } from './softfloat-f80-convert.ts';
import { defineF80Scaling, type F80Scaling } from './softfloat-f80-scale.ts';
import { defineFused, type FusedOperations } from './softfloat-fused.ts';
import { defineHalfConversions, type HalfConversions } from './softfloat-half.ts';
import type { SoftFloatScratch } from './softfloat-parts.ts';
import { defineRounding } from './softfloat-round.ts';
import { defineF32, defineF64, type SseOperations } from './softfloat-sse.ts';
import { defineTrigonometric, type Trigonometric } from './softfloat-trigonometric.ts';
import { defineWide } from './softfloat-wide.ts';

/** The functions of a module. */
export interface SoftFloat {
  readonly f32: SseOperations<'i32'>;
  readonly f64: SseOperations<'i64'>;
  readonly convert: SseConversions;
  readonly fused: FusedOperations;
  readonly half: HalfConversions;
  readonly f80: F80Operations & F80Conversions & F80Scaling & Trigonometric & Exponential;
}

/** Defines the functions in `m`. */
export function defineSoftFloat(m: ModuleBuilder, s: SoftFloatScratch): SoftFloat {
  const rounding = defineRounding(m, s);
  const arithmetic: Arithmetic = defineArithmetic(m, s, rounding);
  const f80 = defineF80(m, s, rounding, arithmetic);
  const kit = { m, s, r: rounding, w: defineWide(m, rounding), nan: f80.nan };
  return {
    f32: defineF32(m, s, arithmetic),
    f64: defineF64(m, s, arithmetic),
    convert: defineSseConversions(m, s, rounding),
    fused: defineFused(m, s, rounding),
    half: defineHalfConversions(m, s, rounding),
    f80: {
      ...f80,
      ...defineF80Conversions(m, s, rounding, f80.nan),
      ...defineF80Scaling(m, s, rounding, f80.nan),
      ...defineTrigonometric(kit),
      ...defineExponential(kit),
    },
  };
}
