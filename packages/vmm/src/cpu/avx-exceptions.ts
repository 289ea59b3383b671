// SIMD floating-point exceptions of 256-bit instructions: both halves decide together (SDM vol. 1,
// 11.5 and 14.1.7). Out-of-line functions run for one half then only note their flags
// (sse-exceptions.ts), by stage; an instruction decides about each stage when both halves are done.

import { c32, call, type Expr, type Fn, i32, type Local } from '../wasm/expr.ts';
import type { Context } from './context.ts';
import { S } from './state.ts';

/** Calls an out-of-line function of which the exceptions wait; notes so in `deferred`. */
export function attemptDeferred(
  x: Context,
  deferred: Local<'i32'>,
  fn: Fn<'i32'>,
  ...args: Expr[]
): void {
  const { f, cpu } = x;
  f.store32(cpu, c32(1), S.fpDeferring);
  f.store32(cpu, c32(0), S.fpStage);
  f.drop(call(fn, ...args));
  f.store32(cpu, c32(0), S.fpDeferring);
  f.set(deferred, c32(1));
}

/** Decides about the exceptions that the halves have left, if any has. */
export function settleDeferred(x: Context, deferred: Local<'i32'>, stages = 1): void {
  const { f, cpu } = x;
  f.if(deferred, () => {
    // Taken all at once: an exception of one stage is the end of the later ones.
    const places = Array.from({ length: stages }, (_, stage) => S.fpDeferred + 4 * stage);
    const flags = places.map((place) => f.let(i32.load(cpu, place)));
    for (const place of places) f.store32(cpu, c32(0), place);
    for (const stage of flags) {
      f.store32(cpu, stage, S.fpFlags);
      x.attempt(x.runtime.sse.settle, cpu);
    }
  });
}
