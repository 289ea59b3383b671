// The conversions of SSE: between binary32, binary64 and integers, and rounding to integral values
// (SDM vol. 2: CVTSS2SD, CVTSD2SI, CVTSI2SS, ROUNDSD, ...). WebAssembly's floor, ceil, trunc and
// nearest are IEEE's and serve every rounding mode.

import {
  c32,
  c64,
  call,
  type F64,
  type Fn,
  f32,
  f64,
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
  controlOfMxcsr,
  DE,
  IE,
  INTEGER_BIT,
  isNonzero,
  MXCSR_DAZ,
  PE,
  raise,
  type SoftFloatScratch,
  topBit,
  ZERO64,
} from './softfloat-parts.ts';
import type { Rounding } from './softfloat-round.ts';
import {
  denormalsAreZeros,
  F32_FORMAT,
  F64_FORMAT,
  floatOf,
  isDenormal,
  isNan,
  isSignalling,
  type SseFormat,
  toNearest,
  unpack,
} from './softfloat-sse.ts';

/** The conversions; `mxcsr | 0x6000` truncates (CVTT...). */
export interface SseConversions {
  /** (cpu, a i32, mxcsr) -> i64 */
  readonly f32ToF64: Fn<'i64'>;
  /** (cpu, a i64, mxcsr) -> i32 */
  readonly f64ToF32: Fn<'i32'>;
  /** (cpu, a, mxcsr): IE and the integer indefinite, 0x80...0, if it does not fit. */
  readonly f32ToI32: Fn<'i32'>;
  readonly f32ToI64: Fn<'i64'>;
  readonly f64ToI32: Fn<'i32'>;
  readonly f64ToI64: Fn<'i64'>;
  /** (cpu, a i64, mxcsr). A 32-bit integer is sign-extended first; to f64 that is exact. */
  readonly i64ToF32: Fn<'i32'>;
  readonly i64ToF64: Fn<'i64'>;
  /** (cpu, a, mxcsr, imm): ROUNDSS and ROUNDSD, with their immediate. */
  readonly f32Round: Fn<'i32'>;
  readonly f64Round: Fn<'i64'>;
}

/** `a` rounded to an integral value. */
function roundIntegral(f: FunctionBuilder, a: F64, rc: I32): F64 {
  const result = f.local('f64');
  f.switch(
    rc,
    [
      () => f.set(result, f64.nearest(a)),
      () => f.set(result, f64.floor(a)),
      () => f.set(result, f64.ceil(a)),
    ],
    () => f.set(result, f64.trunc(a)),
  );
  return result;
}

const mxcsrRounding = (mxcsr: I32): I32 => i32.and(i32.shr_u(mxcsr, c32(13)), c32(3));

function defineToInteger<T extends 'i32' | 'i64'>(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  t: SseFormat,
  to: T,
): Fn<T> {
  const from = t.name === 'f32' ? 'i32' : 'i64';
  return m.function(`${t.name}To${to.toUpperCase()}`, ['i32', from, 'i32'], to, (f) => {
    const bits = f.param(1, from);
    const mxcsr = f.param(2, 'i32');
    const a = f.let(from === 'i32' ? i64.extend_u(bits as I32) : (bits as I64));
    const value = f.let(floatOf(t, denormalsAreZeros(f, t, a, mxcsr)));
    const integral = f.let(roundIntegral(f, value, mxcsrRounding(mxcsr)));
    const limit = to === 'i32' ? 2 ** 31 : 2 ** 63;
    // False for NaNs, too.
    const fits = i32.and(f64.ge(integral, f64.const(-limit)), f64.lt(integral, f64.const(limit)));
    f.if(i32.eqz(fits), () => {
      raise(s, f, c32(IE));
      f.return(to === 'i32' ? c32(-0x8000_0000) : INTEGER_BIT);
    });
    f.if(f64.ne(integral, value), () => raise(s, f, c32(PE)));
    f.return(to === 'i32' ? i32.trunc_sat_f64_s(integral) : i64.trunc_sat_f64_s(integral));
  });
}

/** (cpu, a, mxcsr) -> bits in an i64 */
function defineFromInteger(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
  t: SseFormat,
): Fn<'i64'> {
  return m.function(`${t.name}FromI64`, ['i32', 'i64', 'i32'], 'i64', (f) => {
    const a = f.param(1, 'i64');
    const mxcsr = f.param(2, 'i32');
    const size = f.let(select(i64.lt_s(a, ZERO64), i64.sub(ZERO64, a), a));
    f.if(toNearest(mxcsr), () => {
      const length = i64.sub(i64.sub(c64(64), i64.clz(size)), i64.ctz(size));
      f.if(i64.gt_s(length, c64(t.fractionBits + 1)), () => raise(s, f, c32(PE)));
      f.return(
        t.name === 'f32'
          ? i64.extend_u(i32.reinterpret(f32.convert_i64_s(a)))
          : i64.reinterpret(f64.convert_i64_s(a)),
      );
    });
    f.if(i64.eqz(size), () => f.return(ZERO64));
    const zeros = f.let(i64.clz(size));
    const exp = i32.sub(c32(BIAS + 63), i32.wrap(zeros));
    const sig = i64.shl(size, zeros);
    const control = controlOfMxcsr(mxcsr);
    f.return(call(r.round, f.param(0, 'i32'), topBit(a), exp, sig, ZERO64, control, c32(t.format)));
  });
}

/** (cpu, a i64, mxcsr, imm) -> bits in an i64 */
function defineRoundIntegral(m: ModuleBuilder, s: SoftFloatScratch, t: SseFormat): Fn<'i64'> {
  return m.function(`${t.name}RoundIntegral`, ['i32', 'i64', 'i32', 'i32'], 'i64', (f) => {
    const a = f.param(1, 'i64');
    const mxcsr = f.param(2, 'i32');
    const imm = f.param(3, 'i32');
    f.if(isNan(t, a), () => {
      f.if(isSignalling(t, a), () => raise(s, f, c32(IE)));
      f.return(i64.or(a, c64(t.quiet)));
    });
    const value = f.let(floatOf(t, denormalsAreZeros(f, t, a, mxcsr)));
    // Bit 2 of the immediate takes the rounding control from MXCSR, bit 3 suppresses PE.
    const byMxcsr = i32.and(imm, c32(4));
    const rc = select(byMxcsr, mxcsrRounding(mxcsr), i32.and(imm, c32(3)));
    const result = f.let(roundIntegral(f, value, rc));
    const reported = i32.eqz(i32.and(imm, c32(8)));
    f.if(i32.and(f64.ne(result, value), reported), () => raise(s, f, c32(PE)));
    f.return(
      t.name === 'f32'
        ? i64.extend_u(i32.reinterpret(f32.demote(result)))
        : i64.reinterpret(result),
    );
  });
}

function defineWiden(m: ModuleBuilder, s: SoftFloatScratch): Fn<'i64'> {
  return m.function('f32ToF64', ['i32', 'i32', 'i32'], 'i64', (f) => {
    const t = F32_FORMAT;
    const a = f.let(i64.extend_u(f.param(1, 'i32')));
    const mxcsr = f.param(2, 'i32');
    const sign = i64.shl(i64.shr_u(a, c64(31)), c64(63));
    f.if(isNan(t, a), () => {
      f.if(isSignalling(t, a), () => raise(s, f, c32(IE)));
      const payload = i64.shr_u(i64.shl(a, c64(41)), c64(12));
      f.return(i64.or(i64.or(sign, payload), c64(F64_FORMAT.infinity | F64_FORMAT.quiet)));
    });
    f.if(isDenormal(t, a), () => {
      f.if(i32.and(mxcsr, c32(MXCSR_DAZ)), () => f.return(sign));
      raise(s, f, c32(DE));
    });
    f.return(i64.reinterpret(floatOf(t, a)));
  });
}

function defineNarrow(m: ModuleBuilder, s: SoftFloatScratch, r: Rounding): Fn<'i32'> {
  return m.function('f64ToF32', ['i32', 'i64', 'i32'], 'i32', (f) => {
    const t = F64_FORMAT;
    const cpu = f.param(0, 'i32');
    const a = f.param(1, 'i64');
    const mxcsr = f.param(2, 'i32');
    f.if(isNan(t, a), () => {
      f.if(isSignalling(t, a), () => raise(s, f, c32(IE)));
      const payload = i32.wrap(i64.shr_u(i64.shl(a, c64(12)), c64(41)));
      const sign = i32.shl(topBit(a), c32(31));
      f.return(i32.or(i32.or(sign, payload), c32(0x7fc0_0000)));
    });
    const value = f.let(f64.reinterpret(a));
    const near = f.let(f32.demote(value));
    const size = f32.abs(near);
    const plain = i32.and(
      f32.gt(size, f32.const(2 ** -126)),
      f32.lt(size, f32.const(Number.POSITIVE_INFINITY)),
    );
    f.if(i32.and(plain, toNearest(mxcsr)), () => {
      f.if(f64.ne(f64.promote(near), value), () => raise(s, f, c32(PE)));
      f.return(i32.reinterpret(near));
    });
    const operand = f.let(denormalsAreZeros(f, t, a, mxcsr));
    f.if(isDenormal(t, operand), () => raise(s, f, c32(DE)));
    const x = unpack(f, t, operand);
    const format = c32(F32_FORMAT.format);
    const finite = f64.lt(f64.abs(value), f64.const(Number.POSITIVE_INFINITY));
    f.if(i32.and(isNonzero(x.sig), finite), () =>
      f.return(
        i32.wrap(call(r.round, cpu, x.sign, x.exp, x.sig, ZERO64, controlOfMxcsr(mxcsr), format)),
      ),
    );
    // Zeros and infinities.
    f.return(i32.wrap(call(r.pack, cpu, x.sign, x.exp, x.sig, format)));
  });
}

/** Defines the conversions in `m`. */
export function defineSseConversions(
  m: ModuleBuilder,
  s: SoftFloatScratch,
  r: Rounding,
): SseConversions {
  const f32FromI64 = defineFromInteger(m, s, r, F32_FORMAT);
  const roundF32 = defineRoundIntegral(m, s, F32_FORMAT);
  return {
    f32ToF64: defineWiden(m, s),
    f64ToF32: defineNarrow(m, s, r),
    f32ToI32: defineToInteger(m, s, F32_FORMAT, 'i32'),
    f32ToI64: defineToInteger(m, s, F32_FORMAT, 'i64'),
    f64ToI32: defineToInteger(m, s, F64_FORMAT, 'i32'),
    f64ToI64: defineToInteger(m, s, F64_FORMAT, 'i64'),
    i64ToF32: m.function('i64ToF32', ['i32', 'i64', 'i32'], 'i32', (f) => {
      const [cpu, a, mxcsr] = f.params;
      f.return(i32.wrap(call(f32FromI64, cpu, a, mxcsr)));
    }),
    i64ToF64: defineFromInteger(m, s, r, F64_FORMAT),
    f32Round: m.function('f32Round', ['i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
      const [cpu, , mxcsr, imm] = f.params;
      const a = i64.extend_u(f.param(1, 'i32'));
      f.return(i32.wrap(call(roundF32, cpu, a, mxcsr, imm)));
    }),
    f64Round: defineRoundIntegral(m, s, F64_FORMAT),
  };
}
