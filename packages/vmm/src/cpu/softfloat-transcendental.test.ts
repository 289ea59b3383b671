// The transcendental functions against the host processor: results within one unit in the last
// place (the manual promises no more of either), exceptions the same.

import { afterAll, expect, test } from 'vitest';
import {
  buildDrivers,
  buildOracle,
  compare,
  type Operands,
  type Operation,
} from '../../test/softfloat/oracle.ts';
import { call, type Expr } from '../wasm/expr.ts';
import type { Exponential } from './softfloat-exponential.ts';
import { C2 } from './softfloat-parts.ts';
import type { Trigonometric } from './softfloat-trigonometric.ts';

const COUNT = 100_000;

type Key = keyof Trigonometric | keyof Exponential;
const operation =
  (key: Key, operands: (o: Operands) => Expr[]): Operation =>
  (s, o) => {
    const low = o.f.let(call(s.f80[key], o.cpu, ...operands(o), o.control));
    o.setHigh(o.signExp);
    return low;
  };
const unary = (key: Key): Operation => operation(key, (o) => [o.a, o.aHigh]);
const binary = (key: Key): Operation => operation(key, (o) => [o.a, o.aHigh, o.b, o.bHigh]);

const operations: Record<string, Operation> = {
  fsin: unary('sin'),
  fcos: unary('cos'),
  // FSINCOS reports the exceptions of both.
  fsincosSin: (s, o) => {
    o.f.drop(call(s.f80.cos, o.cpu, o.a, o.aHigh, o.control));
    return unary('sin')(s, o);
  },
  fsincosCos: (s, o) => {
    o.f.drop(call(s.f80.sin, o.cpu, o.a, o.aHigh, o.control));
    return unary('cos')(s, o);
  },
  fptan: unary('tan'),
  fpatan: binary('atan2'),
  f2xm1: unary('exp2m1'),
  fyl2x: binary('yLog2x'),
  fyl2xp1: binary('yLog2xp1'),
};

const { memory, run } = buildDrivers(operations, COUNT);
const oracle = buildOracle();
afterAll(() => oracle.close());

for (const name of Object.keys(operations)) {
  test(`${name}() agrees with the host processor to one unit in the last place`, () => {
    const expected = oracle.records(name, COUNT, 1);
    const { differences, examples, inexact } = compare(expected, memory, run[name], {
      flags: 0x3f | C2,
      maskShift: 0,
      ulps: 1,
    });
    expect(examples.join('\n')).toBe('');
    expect(differences).toBe(0);
    // The processor rounds correctly in at least nine of ten cases, and so do we in nearly all.
    expect(inexact).toBeLessThan(COUNT / 10);
  });
}
