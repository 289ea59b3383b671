// Constant folding against the host's WebAssembly: what the constructors compute from constants is
// what the engine computes from the same values as parameters.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { c64parts, constant32, type Expr, type I32, type I64, i32, i64, select } from './expr.ts';
import { ModuleBuilder } from './module.ts';

const FOLDED_32 = [
  'eq',
  'ne',
  'add',
  'sub',
  'mul',
  'and',
  'or',
  'xor',
  'shl',
  'shr_s',
  'shr_u',
] as const;
const IDENTITIES_32 = {
  add: 0,
  sub: 0,
  mul: 1,
  and: -1,
  or: 0,
  xor: 0,
  shl: 0,
  shr_s: 0,
  shr_u: 0,
};
const FOLDED_64 = ['add', 'sub', 'and', 'shl', 'shr_s', 'shr_u'] as const;

/** 32-bit integers, edges often. */
const int32 = fc.oneof(
  fc.constantFrom(0, 1, -1, 31, 32, 33, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer(),
);
const int64 = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 63n, 64n, 0xffff_ffffn, -(1n << 63n)),
  fc.bigInt(-(1n << 63n), (1n << 63n) - 1n),
);

type Run = (...args: (number | bigint)[]) => number | bigint;

function compile(build: (module: ModuleBuilder) => void): Record<string, Run> {
  const module = new ModuleBuilder();
  build(module);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()));
  return instance.exports as Record<string, Run>;
}

/** What `expression`, which reads nothing, evaluates to. */
function evaluate(expression: Expr): number | bigint {
  return compile((module) => {
    const fn = module.function('value', [], expression.type, (f) => f.return(expression));
    module.export('value', fn);
  }).value();
}

test('i32 operators on two constants fold to what WebAssembly computes', () => {
  const run = compile((module) => {
    for (const name of FOLDED_32) {
      const fn = module.function(name, ['i32', 'i32'], 'i32', (f) => {
        f.return(i32[name](f.param(0, 'i32'), f.param(1, 'i32')));
      });
      module.export(name, fn);
    }
  });
  fc.assert(
    fc.property(int32, int32, (a, b) => {
      for (const name of FOLDED_32) {
        expect(constant32(i32[name](i32.const(a), i32.const(b))), name).toBe(run[name](a, b));
      }
    }),
  );
});

test('i32 operators with their identity on the right are their left operand', () => {
  const module = new ModuleBuilder();
  module.function('probe', ['i32'], 'void', (f) => {
    const x = f.param(0, 'i32');
    for (const [name, identity] of Object.entries(IDENTITIES_32)) {
      const operator = i32[name as keyof typeof IDENTITIES_32];
      expect(operator(x, i32.const(identity)), name).toBe(x);
      expect(operator(x, i32.const(2)), name).not.toBe(x);
    }
  });
});

test('i64 operators with constants evaluate as WebAssembly evaluates them', () => {
  const variable = compile((module) => {
    for (const name of FOLDED_64) {
      const fn = module.function(name, ['i64', 'i64'], 'i64', (f) => {
        f.return(i64[name](f.param(0, 'i64'), f.param(1, 'i64')));
      });
      module.export(name, fn);
    }
  });
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      for (const name of FOLDED_64) {
        const folded = i64[name](i64.const(a), i64.const(b));
        expect(evaluate(folded), name).toBe(variable[name](a, b));
      }
    }),
    { numRuns: 20 },
  );
});

test('conversions of constants are constants with the value WebAssembly gives', () => {
  fc.assert(
    fc.property(int32, int64, (narrow, wide) => {
      expect(evaluate(i64.extend_s(i32.const(narrow)))).toBe(BigInt(narrow));
      expect(evaluate(i64.extend_u(i32.const(narrow)))).toBe(BigInt.asUintN(32, BigInt(narrow)));
      expect(constant32(i32.wrap(i64.const(wide)))).toBe(Number(BigInt.asIntN(32, wide)));
    }),
    { numRuns: 20 },
  );
});

test('c64() takes numbers, bigints and halves alike', () => {
  for (const value of [0, 1, -1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53) + 1, 0x8000_0000]) {
    const wanted = BigInt(value);
    const forms: I64[] = [
      i64.const(value),
      i64.const(wanted),
      c64parts(Number(BigInt.asIntN(32, wanted)), Number(BigInt.asIntN(32, wanted >> 32n))),
    ];
    for (const form of forms) expect(evaluate(form)).toBe(wanted);
  }
  expect(evaluate(i64.const(0xffff_ffff_ffff_fff0n))).toBe(-16n);
});

test('select() of a constant condition is one of its operands', () => {
  const [a, b]: [I32, I32] = [i32.const(5), i32.const(6)];
  expect(select(i32.const(2), a, b)).toBe(a);
  expect(select(i32.const(0), a, b)).toBe(b);
});
