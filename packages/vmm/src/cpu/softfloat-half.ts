// Conversion of binary32 to binary16, as VCVTPS2PH has it: SDM vol. 2C; vol. 1, 14.4.1. Denormal
// operands are zeros under MXCSR.DAZ, but tiny results are never flushed. (The other direction is
// exact, and needs no arithmetic: half-precision.ts.)

import { c32, c64, call, type Fn, i32, i64 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  CONTROL_FTZ,
  controlOfMxcsr,
  DE,
  EXP_SPECIAL,
  FORMAT_F16,
  IE,
  raise,
  type SoftFloatScratch,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';
import {
  denormalsAreZeros,
  F32_FORMAT,
  isDenormal,
  isNan,
  isSignalling,
  unpack,
} from './softfloat-sse.ts';

/** (cpu, a i32, mxcsr) -> 16 bits; MXCSR's rounding control is the one to use. */
export interface HalfConversions {
  readonly f32ToF16: Fn<'i32'>;
}

/** What of a NaN's fraction there is room for, and the quiet bit. */
const FRACTION = 0x3ff;
const QUIET_NAN = 0x7e00;

/** Defines the conversion in `m`. */
export function defineHalfConversions(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
): HalfConversions {
  const t = F32_FORMAT;
  const f32ToF16 = m.function('f32ToF16', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, mxcsr] = [f.param(0, 'i32'), f.param(2, 'i32')];
    const bits = f.let(i64.extend_u(f.param(1, 'i32')));
    const sign = f.let(i32.shl(i32.wrap(i64.shr_u(bits, c64(31))), c32(15)));
    f.if(isNan(t, bits), () => {
      f.if(isSignalling(t, bits), () => raise(s, f, c32(IE)));
      const fraction = i32.and(i32.wrap(i64.shr_u(bits, c64(13))), c32(FRACTION));
      f.return(i32.or(i32.or(sign, c32(QUIET_NAN)), fraction));
    });
    const operand = denormalsAreZeros(f, t, bits, mxcsr);
    f.if(isDenormal(t, operand), () => raise(s, f, c32(DE)));
    const a = unpack(f, t, operand);
    f.if(i64.eqz(a.sig), () => f.return(sign));
    f.if(i32.eq(a.exp, c32(EXP_SPECIAL)), () => f.return(i32.or(sign, c32(0x7c00))));
    const control = i32.and(controlOfMxcsr(mxcsr), c32(~CONTROL_FTZ));
    const format = c32(FORMAT_F16);
    f.return(i32.wrap(call(r.round, cpu, a.sign, a.exp, a.sig, ZERO64, control, format)));
  });
  return { f32ToF16 };
}
