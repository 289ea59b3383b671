// Rounding an exact unpacked result to binary16, 32, 64 or double extended, and packing it:
// SDM vol. 1, 4.8.4 (rounding), 4.9.1.5 (overflow), 4.9.1.6 (underflow: tininess is detected after
// rounding), 8.1.5.2 (x87 precision control), 8.5.4 and 8.5.5 (x87 results of unmasked overflow and
// underflow), 10.2.3.3 (flush to zero).
//
// SSE leaves its destination alone when an exception is unmasked: then only the flags matter here.

import {
  c32,
  c64,
  call,
  type Expr,
  type Fn,
  type I32,
  type I64,
  i32,
  i64,
  select,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  BIAS,
  C1,
  CONTROL_FTZ,
  EXP_SPECIAL,
  FORMAT_EXTENDED,
  FORMAT_F16,
  FORMAT_F64,
  IE,
  INTEGER_BIT,
  isNonzero,
  OE,
  ONE64,
  PE,
  QUIET_NAN,
  raise,
  roundingControl,
  roundsUp,
  type SoftFloatScratch,
  shiftRightSticky,
  topBit,
  UE,
  ZERO64,
} from './softfloat-parts.ts';

/** Added to or subtracted from the exponent of an unmasked x87 underflow or overflow. */
const BIAS_ADJUSTMENT = 24576;

const F16_MIN_EXP = 1 - 15 + BIAS;
const F32_MIN_EXP = 1 - 127 + BIAS;
const F64_MIN_EXP = 1 - 1023 + BIAS;

/** The functions that make results. `format` is one of the FORMAT values. */
export interface Rounding {
  /**
   * (cpu, sign, exp, sig, format): the bits of an already rounded number; a significand without
   * integer bit is a denormal or zero. Double extended: the significand, and signExp in scratch.
   */
  readonly pack: Fn<'i64'>;
  /** (cpu, format): raises IE; the default NaN. */
  readonly invalid: Fn<'i64'>;
  /**
   * (cpu, sign, exp, sig, extra, control, format): rounds sig.extra, whose integer bit is set, and
   * raises OE, UE, PE and C1 as due.
   */
  readonly round: Fn<'i64'>;
}

/** What belongs to binary64, binary32 or binary16. */
const byFormat = <T extends 'i32' | 'i64'>(
  format: I32,
  f64: Expr<T>,
  f32: Expr<T>,
  f16: Expr<T>,
): Expr<T> =>
  select(i32.eq(format, c32(FORMAT_F64)), f64, select(i32.eq(format, c32(FORMAT_F16)), f16, f32));
const isExtended = (format: I32): I32 => i32.and(format, c32(FORMAT_EXTENDED));
const minimumExponent = (format: I32): I32 =>
  select(
    isExtended(format),
    c32(1),
    byFormat(format, c32(F64_MIN_EXP), c32(F32_MIN_EXP), c32(F16_MIN_EXP)),
  );
const maximumExponent = (format: I32): I32 =>
  select(
    isExtended(format),
    c32(EXP_SPECIAL - 1),
    byFormat(format, c32(BIAS + 1023), c32(BIAS + 127), c32(BIAS + 15)),
  );
/** How many bits of the significand are rounded away. */
const droppedBits = (format: I32): I64 => i64.extend_u(i32.and(format, c32(FORMAT_EXTENDED - 1)));

function definePack(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('sfPack', ['i32', 'i32', 'i32', 'i64', 'i32'], 'i64', (f) => {
    const sign = f.param(1, 'i32');
    const exp = f.param(2, 'i32');
    const sig = f.param(3, 'i64');
    const format = f.param(4, 'i32');
    f.if(i32.eqz(topBit(sig)), () => f.set(exp, c32(0)));
    f.if(isExtended(format), () => {
      f.store32(f.param(0, 'i32'), i32.or(i32.shl(sign, c32(15)), exp), s.signExp);
      f.return(sig);
    });
    // Infinities and NaNs go to the exponent above the greatest.
    f.if(i32.eq(exp, c32(EXP_SPECIAL)), () => f.set(exp, i32.add(maximumExponent(format), c32(1))));
    // With the integer bit shifted out a denormal needs field 0, everything else its exponent.
    const field = (least: number): I64 =>
      i64.extend_u(select(exp, i32.sub(exp, c32(least - 1)), c32(0)));
    const fraction = f.let(i64.shl(sig, ONE64));
    const assemble = (width: number, fractionBits: number, least: number): I64 =>
      i64.or(
        i64.shl(i64.extend_u(sign), c64(width - 1)),
        i64.or(
          i64.shl(field(least), c64(fractionBits)),
          i64.shr_u(fraction, c64(64 - fractionBits)),
        ),
      );
    f.if(i32.eq(format, c32(FORMAT_F64)), () => f.return(assemble(64, 52, F64_MIN_EXP)));
    f.if(i32.eq(format, c32(FORMAT_F16)), () => f.return(assemble(16, 10, F16_MIN_EXP)));
    f.return(assemble(32, 23, F32_MIN_EXP));
  });
}

/** The fraction below the kept bits, as roundsUp wants it. */
function fractionBelow(f: FunctionBuilder, sig: I64, extra: I64, drop: I64): I64 {
  return f.choose(
    'i64',
    isNonzero(drop),
    () => i64.or(i64.shl(sig, i64.sub(c64(64), drop)), i64.extend_u(isNonzero(extra))),
    () => extra,
  );
}

function defineRound(m: ModuleBuilder, s: SoftFloatScratch, pack: Fn<'i64'>): Fn<'i64'> {
  const overflow = defineOverflow(m, s, pack);
  const underflow = defineUnderflow(m, s, pack);
  const params = ['i32', 'i32', 'i32', 'i64', 'i64', 'i32', 'i32'] as const;
  return m.function('sfRound', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const sign = f.param(1, 'i32');
    const exp = f.param(2, 'i32');
    const sig = f.param(3, 'i64');
    const extra = f.param(4, 'i64');
    const control = f.param(5, 'i32');
    const format = f.param(6, 'i32');
    const drop = f.let(droppedBits(format));
    const rest = f.let(fractionBelow(f, sig, extra, drop));
    const keep = f.let(i64.shr_u(sig, drop));
    const up = f.let(roundsUp(f, roundingControl(control), sign, keep, rest));
    const rounded = f.let(i64.shl(i64.add(keep, i64.extend_u(up)), drop));
    const roundedExp = f.let(exp);
    f.if(i64.eqz(rounded), () => {
      f.set(rounded, INTEGER_BIT);
      f.set(roundedExp, i32.add(exp, c32(1)));
    });
    const flags = f.let(inexactFlags(rest, up));
    f.if(i32.lt_s(roundedExp, minimumExponent(format)), () =>
      f.return(
        call(underflow, cpu, sign, exp, sig, extra, control, format, rounded, roundedExp, flags),
      ),
    );
    f.if(i32.gt_s(roundedExp, maximumExponent(format)), () =>
      f.return(call(overflow, cpu, sign, control, format, rounded, roundedExp, flags)),
    );
    raise(s, f, flags);
    f.return(call(pack, cpu, sign, roundedExp, rounded, format));
  });
}

/** PE, and C1 when rounded up. */
const inexactFlags = (rest: I64, up: I32): I32 =>
  i32.or(select(isNonzero(rest), c32(PE), c32(0)), select(up, c32(C1), c32(0)));

/** (cpu, sign, control, format, rounded, roundedExp, flags): a result above the range. */
function defineOverflow(m: ModuleBuilder, s: SoftFloatScratch, pack: Fn<'i64'>): Fn<'i64'> {
  const params = ['i32', 'i32', 'i32', 'i32', 'i64', 'i32', 'i32'] as const;
  return m.function('sfOverflow', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const sign = f.param(1, 'i32');
    const control = f.param(2, 'i32');
    const format = f.param(3, 'i32');
    const rounded = f.param(4, 'i64');
    const exp = f.param(5, 'i32');
    f.if(i32.eqz(i32.and(control, c32(OE))), () => {
      raise(s, f, i32.or(f.param(6, 'i32'), c32(OE)));
      f.set(exp, i32.sub(exp, c32(BIAS_ADJUSTMENT)));
      // FSCALE can overflow so far that the adjusted exponent is out of range too (8.5.4).
      f.if(i32.gt_s(exp, c32(EXP_SPECIAL - 1)), () => {
        raise(s, f, c32(PE | C1));
        f.set(rounded, INTEGER_BIT);
        f.set(exp, c32(EXP_SPECIAL));
      });
      f.return(call(pack, cpu, sign, exp, rounded, format));
    });
    const rc = f.let(roundingControl(control));
    const away = i32.or(i32.eqz(rc), i32.eq(rc, i32.sub(c32(2), sign)));
    f.if(away, () => {
      raise(s, f, c32(OE | PE | C1));
      f.return(call(pack, cpu, sign, c32(EXP_SPECIAL), INTEGER_BIT, format));
    });
    raise(s, f, c32(OE | PE));
    const greatest = i64.shl(i64.const(-1), droppedBits(format));
    f.return(call(pack, cpu, sign, maximumExponent(format), greatest, format));
  });
}

/**
 * (cpu, sign, exp, sig, extra, control, format, rounded, roundedExp, flags): a tiny result. The
 * last three are the result rounded as if the exponent range had no end.
 */
function defineUnderflow(m: ModuleBuilder, s: SoftFloatScratch, pack: Fn<'i64'>): Fn<'i64'> {
  const params = [
    ...(['i32', 'i32', 'i32', 'i64', 'i64', 'i32', 'i32'] as const),
    ...(['i64', 'i32', 'i32'] as const),
  ] as const;
  return m.function('sfUnderflow', params, 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    const sign = f.param(1, 'i32');
    const exp = f.param(2, 'i32');
    const hi = f.param(3, 'i64');
    const lo = f.param(4, 'i64');
    const control = f.param(5, 'i32');
    const format = f.param(6, 'i32');
    const rounded = f.param(7, 'i64');
    const roundedExp = f.param(8, 'i32');
    f.if(i32.eqz(i32.and(control, c32(UE))), () => {
      raise(s, f, i32.or(f.param(9, 'i32'), c32(UE)));
      f.set(roundedExp, i32.add(roundedExp, c32(BIAS_ADJUSTMENT)));
      // As with overflow, only FSCALE comes here: the result is zero (8.5.5).
      f.if(i32.lt_s(roundedExp, c32(1)), () => {
        raise(s, f, c32(PE));
        f.set(rounded, ZERO64);
      });
      f.return(call(pack, cpu, sign, roundedExp, rounded, format));
    });
    f.if(i32.and(control, c32(CONTROL_FTZ)), () => {
      raise(s, f, c32(UE | PE));
      f.return(call(pack, cpu, sign, c32(0), ZERO64, format));
    });
    const least = f.let(minimumExponent(format));
    shiftRightSticky(f, { hi, lo }, i32.sub(least, exp));
    const drop = f.let(droppedBits(format));
    const rest = f.let(fractionBelow(f, hi, lo, drop));
    const keep = f.let(i64.shr_u(hi, drop));
    const up = f.let(roundsUp(f, roundingControl(control), sign, keep, rest));
    // A denormal that rounds up to the least normal number gets its integer bit from the carry.
    const result = f.let(i64.shl(i64.add(keep, i64.extend_u(up)), drop));
    f.if(isNonzero(rest), () => raise(s, f, i32.or(inexactFlags(rest, up), c32(UE))));
    f.return(call(pack, cpu, sign, least, result, format));
  });
}

/** Defines the rounding functions in `m`. */
export function defineRounding(m: ModuleBuilder, s: SoftFloatScratch): Rounding {
  const pack = definePack(m, s);
  const invalid = m.function('sfInvalid', ['i32', 'i32'], 'i64', (f) => {
    const cpu = f.param(0, 'i32');
    raise(s, f, c32(IE));
    f.return(call(pack, cpu, c32(1), c32(EXP_SPECIAL), QUIET_NAN, f.param(1, 'i32')));
  });
  return { pack, invalid, round: defineRound(m, s, pack) };
}
