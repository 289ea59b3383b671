// MMX and SSE against the host processor, register forms: results, MXCSR, RFLAGS, the x87 state
// that MMX shares, SIMD exceptions masked and unmasked. Memory forms, faults of memory and other
// modes are the whole processor's matter, and tested with it.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RegisterTarget } from '../../test/semantics/register-target.ts';
import { casesOf, registerForms } from '../../test/semantics/vector-cases.ts';
import { compareOne } from '../../test/silicon/compare.ts';
import { runOnSilicon, siliconUnavailable } from '../../test/silicon/runner.ts';
import { Fx, makeVector, quietFx } from '../../test/silicon/vectors.ts';
import { rows } from '../isa/rows.ts';
import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { defineArithmetic } from './softfloat-arithmetic.ts';
import { defineSseConversions } from './softfloat-convert.ts';
import { defineRounding } from './softfloat-round.ts';
import { defineF32, defineF64 } from './softfloat-sse.ts';
import type { SseSoftFloat } from './sse-exceptions.ts';
import { defineSse, type SseRuntime } from './sse-runtime.ts';
import { sseSemantics } from './sse-semantics.ts';
import { S } from './state.ts';

const CASES = 150;
/** Exceptions that depend on memory and on what the host's kernel allows. */
const OUTSIDE = [6, 13, 14];
/** They store to memory at rDI. */
const STORES = ['maskmovq', 'maskmovdqu'];
/** All exceptions masked, to nearest, PE set. */
const MXCSR_FAST = 0x1fa0;

const SCRATCH = { flags: S.fpFlags, signExp: S.fpScratch, wide: S.nonGlobal - 256 };

function softFloat(m: ModuleBuilder): SseSoftFloat {
  const rounding = defineRounding(m, SCRATCH);
  const arithmetic = defineArithmetic(m, SCRATCH, rounding);
  return {
    f32: defineF32(m, SCRATCH, arithmetic),
    f64: defineF64(m, SCRATCH, arithmetic),
    convert: defineSseConversions(m, SCRATCH, rounding),
  };
}

/** The same functions, each of which traps when it is called. */
function trapping(m: ModuleBuilder): SseSoftFloat {
  const trap = (fn: Fn): Fn =>
    m.function(`no ${fn.name}`, fn.params, fn.result, (f) => f.unreachable());
  const all = <T extends object>(functions: T): T =>
    Object.fromEntries(Object.entries(functions).map(([name, fn]) => [name, trap(fn as Fn)])) as T;
  const { f32, f64, convert } = softFloat(m);
  return { f32: all(f32), f64: all(f64), convert: all(convert) };
}

const tested = rows.filter(
  ({ mnemonic }) => mnemonic in sseSemantics && !STORES.includes(mnemonic),
);

const withSse =
  (soft: (m: ModuleBuilder) => SseSoftFloat) =>
  (m: ModuleBuilder): { sse: SseRuntime } => ({ sse: defineSse(m, soft(m)) });

const unavailable = siliconUnavailable();

describe.skipIf(unavailable !== undefined)(`the host's processor${unavailable ?? ''}`, () => {
  const target = new RegisterTarget(tested, sseSemantics, withSse(softFloat));
  for (const form of registerForms(tested)) {
    test(`agrees on ${form.name}`, () => {
      const cases = casesOf(form, CASES);
      const { results } = runOnSilicon(cases.map(({ vector }) => vector));
      const inside = cases.map((_, i) => i).filter((i) => !OUTSIDE.includes(results[i].trap));
      const text = inside.flatMap((i) => {
        target.load(cases[i].vector);
        const mismatch = compareOne(cases[i], results[i], target.run());
        return mismatch ? [[mismatch.text, ...mismatch.differences].join('\n')] : [];
      });
      expect(text).toEqual([]);
      expect(inside.length).toBeGreaterThan(CASES / 10);
    });
  }

  const intel = readFileSync('/proc/cpuinfo', 'utf8').includes('GenuineIntel');
  test.skipIf(!intel)('gives the same approximations, if it is an Intel one', () => {
    const approximate = tested.filter(({ mnemonic }) => /^r(cp|sqrt)/.test(mnemonic));
    for (const form of registerForms(approximate)) {
      const cases = casesOf(form, CASES);
      const { results } = runOnSilicon(cases.map(({ vector }) => vector));
      cases.forEach(({ vector }, i) => {
        target.load(vector);
        const xmm = (fx: Uint8Array): string =>
          Buffer.from(fx.subarray(Fx.xmm, Fx.end)).toString('hex');
        if (results[i].trap === 1) expect(xmm(target.run().fx)).toBe(xmm(results[i].fx));
      });
    }
  });
});

test('an unmasked exception is #UD without CR4.OSXMMEXCPT (SDM vol. 3A, 2.5)', () => {
  const target = new RegisterTarget(tested, sseSemantics, withSse(softFloat));
  target.cr4 = 0n;
  const fx = quietFx();
  const view = new DataView(fx.buffer);
  view.setUint32(Fx.mxcsr, 0, true);
  view.setFloat32(Fx.xmm, Number.POSITIVE_INFINITY, true);
  target.load(makeVector(64, [0xf3, 0x0f, 0x5c, 0xc0], { fx })); // subss xmm0, xmm0
  const { trap, fx: after } = target.run();
  expect(trap).toBe(6);
  expect(new DataView(after.buffer).getFloat32(Fx.xmm, true)).toBe(Number.POSITIVE_INFINITY);
  expect(new DataView(after.buffer).getUint32(Fx.mxcsr, true)).toBe(1); // IE
});

describe('the fast path', () => {
  const target = new RegisterTarget(tested, sseSemantics, withSse(trapping));
  /** Runs `code` with 1.5 in every lane of XMM0 and 3.25 in every lane of XMM1. */
  const run = (code: readonly number[], double: boolean, values = [1.5, 3.25]): void => {
    const fx = quietFx();
    const view = new DataView(fx.buffer);
    view.setUint32(Fx.mxcsr, MXCSR_FAST, true);
    values.forEach((value, register) => {
      for (let at = 0; at < 16; at += double ? 8 : 4) {
        if (double) view.setFloat64(Fx.xmm + 16 * register + at, value, true);
        else view.setFloat32(Fx.xmm + 16 * register + at, value, true);
      }
    });
    target.load(makeVector(64, code, { fx }));
    target.run();
  };
  const prefixes = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] };
  const opcodes = { add: 0x58, mul: 0x59, sub: 0x5c, min: 0x5d, div: 0x5e, max: 0x5f, sqrt: 0x51 };
  for (const [suffix, prefix] of Object.entries(prefixes)) {
    const double = suffix.endsWith('d');
    for (const [name, opcode] of Object.entries(opcodes)) {
      test(`of ${name}${suffix} calls no function`, () => {
        run([...prefix, 0x0f, opcode, 0xc1], double);
        run([...prefix, 0x0f, opcode, 0xc1], double, [-0.1, 1e30]);
      });
    }
    test(`of cmp${suffix} calls no function`, () => {
      for (let imm = 0; imm < 8; imm++) run([...prefix, 0x0f, 0xc2, 0xc1, imm], double);
    });
    test(`of round${suffix} calls no function`, () => {
      const opcode = { ps: 8, pd: 9, ss: 10, sd: 11 }[suffix] as number;
      for (let imm = 0; imm < 16; imm++) run([0x66, 0x0f, 0x3a, opcode, 0xc1, imm], double);
    });
  }
  test('of conversions calls no function', () => {
    const singles = [
      [0x5a],
      [0xf3, 0x5a],
      [0x5b],
      [0x66, 0x5b],
      [0xf3, 0x5b],
      [0xf3, 0x2c],
      [0xf3, 0x2d],
    ];
    const doubles = [
      [0x66, 0x5a],
      [0xf2, 0x5a],
      [0x66, 0xe6],
      [0xf2, 0xe6],
      [0xf2, 0x2c],
      [0xf2, 0x2d],
    ];
    const code = (bytes: readonly number[]): number[] => [
      ...bytes.slice(0, -1),
      0x0f,
      bytes[bytes.length - 1],
      0xc1,
    ];
    for (const bytes of singles) run(code(bytes), false);
    for (const bytes of doubles) run(code(bytes), true);
  });
  test('is left for operands that it cannot take', () => {
    expect(() => run([0xf2, 0x0f, 0x58, 0xc1], true, [1, Number.NaN])).toThrow('unreachable');
    expect(() => run([0xf2, 0x0f, 0x59, 0xc1], true, [2 ** -1000, 2 ** -1000])).toThrow(
      'unreachable',
    );
    expect(() => run([0x66, 0x0f, 0x58, 0xc1], true, [5e-324, 1])).toThrow('unreachable');
  });
});
