// SSE arithmetic against the host processor: all rounding modes, DAZ, FTZ, exceptions masked and
// not.

import { afterAll, expect, test } from 'vitest';
import { buildDrivers, buildOracle, compare, type Operation } from '../../test/softfloat/oracle.ts';
import { c32, call, type Expr, type Fn, i32 } from '../wasm/expr.ts';

const COUNT = 200_000;

const operations: Record<string, Operation> = {};
for (const [name, key] of [
  ['Add', 'add'],
  ['Subtract', 'subtract'],
  ['Multiply', 'multiply'],
  ['Divide', 'divide'],
] as const) {
  operations[`f64${name}`] = (s, { cpu, a, b, control }) => call(s.f64[key], cpu, a, b, control);
  operations[`f32${name}`] = (s, { cpu, a, b, control }) =>
    call(s.f32[key], cpu, i32.wrap(a), i32.wrap(b), control);
}
operations.f64Sqrt = (s, { cpu, a, control }) => call(s.f64.sqrt, cpu, a, control);
operations.f32Sqrt = (s, { cpu, a, control }) => call(s.f32.sqrt, cpu, i32.wrap(a), control);
for (const [name, signalling] of [
  ['Ucomi', 0],
  ['Comi', 1],
] as const) {
  operations[`f64${name}`] = (s, { cpu, a, b, control }) =>
    call(s.f64.compare, cpu, a, b, control, c32(signalling));
  operations[`f32${name}`] = (s, { cpu, a, b, control }) =>
    call(s.f32.compare, cpu, i32.wrap(a), i32.wrap(b), control, c32(signalling));
}
operations.f32ToF64 = (s, { cpu, a, control }) =>
  call(s.convert.f32ToF64, cpu, i32.wrap(a), control);
operations.f64ToF32 = (s, { cpu, a, control }) => call(s.convert.f64ToF32, cpu, a, control);
for (const to of ['I32', 'I64'] as const) {
  const truncated = (control: Expr<'i32'>): Expr<'i32'> => i32.or(control, c32(0x6000));
  operations[`f32To${to}`] = (s, { cpu, a, control }) =>
    call(s.convert[`f32To${to}`] as Fn<'i32'>, cpu, i32.wrap(a), control);
  operations[`f64To${to}`] = (s, { cpu, a, control }) =>
    call(s.convert[`f64To${to}`] as Fn<'i32'>, cpu, a, control);
  operations[`f32Truncate${to}`] = (s, { cpu, a, control }) =>
    call(s.convert[`f32To${to}`] as Fn<'i32'>, cpu, i32.wrap(a), truncated(control));
  operations[`f64Truncate${to}`] = (s, { cpu, a, control }) =>
    call(s.convert[`f64To${to}`] as Fn<'i32'>, cpu, a, truncated(control));
}
operations.i64ToF32 = (s, { cpu, a, control }) => call(s.convert.i64ToF32, cpu, a, control);
operations.i64ToF64 = (s, { cpu, a, control }) => call(s.convert.i64ToF64, cpu, a, control);
operations.f32Round = (s, { cpu, a, b, control }) =>
  call(s.convert.f32Round, cpu, i32.wrap(a), control, i32.wrap(b));
operations.f64Round = (s, { cpu, a, b, control }) =>
  call(s.convert.f64Round, cpu, a, control, i32.wrap(b));

const { memory, run } = buildDrivers(operations, COUNT);
const oracle = buildOracle();
afterAll(() => oracle.close());

for (const name of Object.keys(operations)) {
  test(`${name}() agrees with the host processor`, () => {
    const expected = oracle.records(name, COUNT, 1);
    const { differences, examples } = compare(expected, memory, run[name], {
      flags: 0x3f,
      maskShift: 7,
    });
    expect(examples.join('\n')).toBe('');
    expect(differences).toBe(0);
  });
}
