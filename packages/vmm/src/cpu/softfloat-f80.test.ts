// Double extended arithmetic against the host processor: all rounding modes and precisions,
// exceptions masked and not, every class of operand, results of unmasked overflow and underflow.

import { afterAll, expect, test } from 'vitest';
import {
  buildDrivers,
  buildOracle,
  compare,
  type Operands,
  type Operation,
} from '../../test/softfloat/oracle.ts';
import { c32, call, type Expr, type Fn, i32, i64 } from '../wasm/expr.ts';
import type { SoftFloat } from './softfloat.ts';
import { constantSignificand, f80Constants } from './softfloat-f80-convert.ts';
import { C0, C1, C2, C3 } from './softfloat-parts.ts';

const COUNT = 200_000;

/** Results that are double extended: the low part, then the high one. */
const extended =
  (operation: Operation): Operation =>
  (s, o) => {
    const low = o.f.let(operation(s, o));
    o.setHigh(o.signExp);
    return low;
  };
const a = (o: Operands): Expr[] => [o.a, o.aHigh];
const b = (o: Operands): Expr[] => [o.b, o.bHigh];

type Key = Exclude<keyof SoftFloat['f80'], 'toF32' | 'compare'>;
const binary = (key: Key, ...more: Expr[]): Operation =>
  extended((s, o) => call(s.f80[key], o.cpu, ...a(o), ...b(o), o.control, ...more));
const unary = (key: Key): Operation =>
  extended((s, o) => call(s.f80[key], o.cpu, ...a(o), o.control));
const extract = (key: Key): Operation => extended((s, o) => call(s.f80[key], o.cpu, ...a(o)));

const fromF32 = (s: SoftFloat, o: Operands): Expr[] => [
  o.f.let(call(s.f80.fromF32, o.cpu, i32.wrap(o.b))),
  o.signExp,
];
const fromF64 = (s: SoftFloat, o: Operands): Expr[] => [
  o.f.let(call(s.f80.fromF64, o.cpu, o.b)),
  o.signExp,
];
const withMemory = (key: Key, convert: typeof fromF32): Operation =>
  extended((s, o) => call(s.f80[key], o.cpu, ...a(o), ...convert(s, o), o.control));

const comparison =
  (signalling: number, convert?: typeof fromF32): Operation =>
  (s, o) =>
    call(s.f80.compare, o.cpu, ...a(o), ...(convert?.(s, o) ?? b(o)), c32(signalling));

const store = (bits: number, control = 0): Operation => {
  const mask = bits === 64 ? i64.const(-1) : i64.const(2 ** bits - 1);
  return (s, o) =>
    i64.and(
      call(s.f80.toInteger, o.cpu, ...a(o), i32.or(o.control, c32(control)), c32(bits)),
      mask,
    );
};

const operations: Record<string, Operation> = {
  f80Add: binary('add'),
  f80Subtract: binary('subtract'),
  f80Multiply: binary('multiply'),
  f80Divide: binary('divide'),
  f80Sqrt: unary('sqrt'),
  f80Fcom: comparison(1),
  f80Fucom: comparison(0),
  f80FcomF64: comparison(1, fromF64),
  f80RoundIntegral: unary('roundIntegral'),
  f80Scale: binary('scale'),
  f80ExtractSignificand: extract('extractSignificand'),
  f80ExtractExponent: extract('extractExponent'),
  f80Fprem: binary('remainder', c32(0)),
  f80Fprem1: binary('remainder', c32(1)),
  f80AddF32: withMemory('add', fromF32),
  f80DivideF32: withMemory('divide', fromF32),
  f80MultiplyF64: withMemory('multiply', fromF64),
  f80DivideF64: withMemory('divide', fromF64),
  f80LoadF32: extended((s, o) => call(s.f80.quiet, o.cpu, ...fromF32(s, o))),
  f80LoadF64: extended((s, o) => call(s.f80.quiet, o.cpu, ...fromF64(s, o))),
  f80LoadI64: extended((s, o) => call(s.f80.fromI64, o.cpu, o.b)),
  f80LoadBcd: extended((s, o) => call(s.f80.fromBcd, o.cpu, ...b(o))),
  f80StoreF32: (s, o) => call(s.f80.toF32, o.cpu, ...a(o), o.control),
  f80StoreF64: (s, o) => call(s.f80.toF64 as Fn<'i64'>, o.cpu, ...a(o), o.control),
  f80StoreI16: store(16),
  f80StoreI32: store(32),
  f80StoreI64: store(64),
  f80TruncateI16: store(16, 0xc00),
  f80TruncateI32: store(32, 0xc00),
  f80TruncateI64: store(64, 0xc00),
  f80StoreBcd: unary('toBcd'),
};
for (const [name, constant] of Object.entries(f80Constants)) {
  operations[name] = (_s, o) => {
    o.setHigh(c32(constant.signExp));
    return constantSignificand(constant, o.control);
  };
}

const { memory, run } = buildDrivers(operations, COUNT);
const oracle = buildOracle();
afterAll(() => oracle.close());

for (const name of Object.keys(operations)) {
  test(`${name}() agrees with the host processor`, () => {
    const expected = oracle.records(name, COUNT, 1);
    const remainder = name.startsWith('f80Fprem');
    const flags = 0x3f | (remainder ? C0 | C1 | C2 | C3 : C1);
    const { differences, examples } = compare(expected, memory, run[name], { flags, maskShift: 0 });
    expect(examples.join('\n')).toBe('');
    expect(differences).toBe(0);
  });
}
