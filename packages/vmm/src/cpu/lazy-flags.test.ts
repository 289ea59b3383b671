// The two flag words against the definitions of SDM vol. 1, 3.4.3.1, computed here one bit at a
// time, and the condition codes of SDM vol. 1, appendix B.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AF, CF, OF, PF, SF, STATUS_FLAGS, ZF } from '../isa/flags.ts';
import { c64, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { LazyFlags, zeroExtend } from './lazy-flags.ts';

const SIZES = [1, 2, 4, 8] as const;
type Size = (typeof SIZES)[number];
const CPU = 1024;

/** Both operands, the carry coming in, and how to store flags of them. */
type Setter = (flags: LazyFlags, a: I64, b: I64, carry: I32, f: FunctionBuilder) => void;

const SETTERS: Record<string, Setter> = {};
for (const bytes of SIZES) {
  const ones = { 1: 0xffn, 2: 0xffffn, 4: 0xffff_ffffn, 8: -1n }[bytes];
  const low = (value: I64, f: FunctionBuilder): I64 => f.let(i64.and(value, c64(ones)));
  SETTERS[`add${bytes}`] = (flags, a, b, carry, f) => {
    const [x, y] = [low(a, f), low(b, f)];
    flags.add(bytes, x, y, f.let(i64.add(i64.add(x, y), i64.extend_u(carry))));
  };
  SETTERS[`sub${bytes}`] = (flags, a, b, carry, f) => {
    const [x, y] = [low(a, f), low(b, f)];
    flags.sub(bytes, x, y, f.let(i64.sub(i64.sub(x, y), i64.extend_u(carry))));
  };
  SETTERS[`logic${bytes}`] = (flags, a, b) => flags.logic(bytes, i64.and(a, b));
  SETTERS[`result${bytes}`] = (flags, a, b, carry) => {
    flags.resultCfOf(bytes, a, carry, i32.wrap(i64.and(b, c64(1))));
  };
}
SETTERS.unpack = (flags, a) => flags.unpack(i32.wrap(a));
SETTERS.setCf = (flags, _a, _b, carry) => flags.setCf(carry);
SETTERS.setZf = (flags, _a, _b, carry) => flags.setZf(carry);
SETTERS.setCfOf = (flags, _a, b, carry) => flags.setCfOf(carry, i32.wrap(i64.and(b, c64(1))));

type Exports = Record<string, (...args: (number | bigint)[]) => number>;

/** Each setter followed by pack(), in one function and in two, and each condition on its own. */
function build(): Exports {
  const m = new ModuleBuilder();
  m.importMemory('env', 'memory', 1, 1);
  for (const [name, set] of Object.entries(SETTERS)) {
    for (const isLater of [false, true]) {
      const fn = m.function(name, ['i64', 'i64', 'i32'], 'i32', (f) => {
        const cpu = i32.const(CPU);
        const flags = new LazyFlags(f, cpu);
        set(flags, f.param(0, 'i64'), f.param(1, 'i64'), f.param(2, 'i32'), f);
        f.return((isLater ? new LazyFlags(f, cpu) : flags).pack());
      });
      m.export(isLater ? `${name} later` : name, fn);
    }
  }
  for (let cc = 0; cc < 16; cc++) {
    const fn = m.function(`cc${cc}`, [], 'i32', (f) => {
      f.return(new LazyFlags(f, i32.const(CPU)).condition(cc));
    });
    m.export(`cc${cc}`, fn);
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), {
    env: { memory },
  });
  return instance.exports as Exports;
}

const run = build();

const bit = (value: bigint, at: number): number => Number((value >> BigInt(at)) & 1n);

/** ZF, SF and PF of a result, by their definitions. */
function resultFlags(bytes: Size, value: bigint): number {
  const result = BigInt.asUintN(8 * bytes, value);
  let ones = 0;
  for (let at = 0; at < 8; at++) ones += bit(result, at);
  const sign = bit(result, 8 * bytes - 1);
  return (result === 0n ? ZF : 0) | (sign ? SF : 0) | (ones % 2 === 0 ? PF : 0);
}

/** An adder, bit by bit; a subtraction adds the complement, and its borrows are missing carries. */
function adder(bytes: Size, a: bigint, b: bigint, carry: number, isSub: boolean): number {
  const invert = isSub ? 1 : 0;
  let result = 0n;
  let into = carry ^ invert;
  let [half, before] = [0, 0];
  for (let at = 0; at < 8 * bytes; at++) {
    const sum = bit(a, at) + (bit(b, at) ^ invert) + into;
    result |= BigInt(sum & 1) << BigInt(at);
    before = into;
    into = sum >> 1;
    if (at === 3) half = into;
  }
  const out = into ^ invert;
  const flags = (out ? CF : 0) | (half ^ invert ? AF : 0) | (into !== before ? OF : 0);
  return flags | resultFlags(bytes, result);
}

const operand = fc.oneof(
  fc.constantFrom(0n, 1n, 7n, 8n, 0x7fn, 0x80n, 0x7fffn, 0x8000n, 0x7fff_ffffn, 0x8000_0000n),
  fc.constantFrom(-1n, 1n << 63n, (1n << 63n) - 1n, 0xffn, 0xffffn, 0xffff_ffffn, 0x0fn, 0x10n),
  fc.bigInt(0n, (1n << 64n) - 1n),
);
const carryIn = fc.constantFrom(0, 1);

for (const bytes of SIZES) {
  test(`add() and sub() of ${bytes} bytes set the flags of an adder`, () => {
    fc.assert(
      fc.property(operand, operand, carryIn, (a, b, carry) => {
        expect(run[`add${bytes}`](a, b, carry)).toBe(adder(bytes, a, b, carry, false));
        expect(run[`sub${bytes}`](a, b, carry)).toBe(adder(bytes, a, b, carry, true));
        expect(run[`add${bytes} later`](a, b, carry)).toBe(adder(bytes, a, b, carry, false));
      }),
      { numRuns: 400 },
    );
  });

  test(`logic() of ${bytes} bytes clears CF, OF and AF; resultCfOf() sets them as told`, () => {
    fc.assert(
      fc.property(operand, operand, carryIn, (a, b, carry) => {
        expect(run[`logic${bytes}`](a, b, carry)).toBe(resultFlags(bytes, a & b));
        const given = (carry ? CF : 0) | (b & 1n ? OF : 0);
        expect(run[`result${bytes} later`](a, b, carry)).toBe(resultFlags(bytes, a) | given);
      }),
    );
  });
}

test('add() and sub() of one byte are right for all left operands and many right ones', () => {
  const wrong: unknown[] = [];
  for (let a = 0n; a < 256n; a++) {
    for (let b = 0n; b < 256n; b += 5n) {
      for (const carry of [0, 1]) {
        if (run.add1(a, b, carry) !== adder(1, a, b, carry, false)) wrong.push([a, '+', b, carry]);
        if (run.sub1(a, b, carry) !== adder(1, a, b, carry, true)) wrong.push([a, '-', b, carry]);
      }
    }
  }
  expect(wrong).toEqual([]);
});

/** The 64 combinations of the status flags, as bits of RFLAGS. */
const COMBINATIONS = Array.from({ length: 64 }, (_, index) =>
  [CF, PF, AF, ZF, SF, OF].reduce((word, flag, at) => word | (index & (1 << at) ? flag : 0), 0),
);

test('unpack() and pack() carry every combination of the flags', () => {
  for (const flags of COMBINATIONS) {
    expect(run.unpack(BigInt(flags | ~STATUS_FLAGS), 0n, 0)).toBe(flags);
    expect(run['unpack later'](BigInt(flags), 0n, 0)).toBe(flags);
  }
});

/** Condition codes in order, as SDM vol. 1, table B-1, has them. */
const CONDITIONS: readonly ((has: (flag: number) => boolean) => boolean)[] = [
  (has) => has(OF),
  (has) => has(CF),
  (has) => has(ZF),
  (has) => has(CF) || has(ZF),
  (has) => has(SF),
  (has) => has(PF),
  (has) => has(SF) !== has(OF),
  (has) => has(SF) !== has(OF) || has(ZF),
];

test('condition() decides as the manual says for every combination of the flags', () => {
  for (const flags of COMBINATIONS) {
    run.unpack(BigInt(flags), 0n, 0);
    for (const [pair, holds] of CONDITIONS.entries()) {
      const wanted = holds((flag) => (flags & flag) !== 0);
      expect(run[`cc${2 * pair}`](), `${pair} of ${flags}`).toBe(wanted ? 1 : 0);
      expect(run[`cc${2 * pair + 1}`](), `not ${pair} of ${flags}`).toBe(wanted ? 0 : 1);
    }
  }
});

test('condition() decides alike behind an addition and behind a subtraction', () => {
  fc.assert(
    fc.property(operand, operand, fc.constantFrom(...SIZES), (a, b, bytes) => {
      for (const name of [`add${bytes}`, `sub${bytes}`]) {
        const flags = run[name](a, b, 0);
        for (const [pair, holds] of CONDITIONS.entries()) {
          expect(run[`cc${2 * pair}`]()).toBe(holds((flag) => (flags & flag) !== 0) ? 1 : 0);
        }
      }
    }),
  );
});

test('setCf(), setZf() and setCfOf() change their flags and no other', () => {
  const set = (flags: number, mask: number, on: boolean): number =>
    on ? flags | mask : flags & ~mask;
  for (const flags of COMBINATIONS) {
    for (const on of [0, 1]) {
      for (const form of ['', ' later']) {
        run.unpack(BigInt(flags), 0n, 0);
        expect(run[`setCf${form}`](0n, 0n, on)).toBe(set(flags, CF, on === 1));
        run.unpack(BigInt(flags), 0n, 0);
        expect(run[`setZf${form}`](0n, 0n, on)).toBe(set(flags, ZF, on === 1));
        run.unpack(BigInt(flags), 0n, 0);
        const both = set(set(flags, CF, on === 1), OF, on === 0);
        expect(run[`setCfOf${form}`](0n, BigInt(1 - on), on)).toBe(both);
      }
    }
  }
});

test('setters keep the other flags also behind an operation that had carries', () => {
  fc.assert(
    fc.property(operand, operand, carryIn, (a, b, on) => {
      const flags = run.sub4(a, b, 0);
      expect(run.setCf(0n, 0n, on)).toBe((flags & ~CF) | (on ? CF : 0));
      const second = run.add8(a, b, 0);
      expect(run.setZf(0n, 0n, on)).toBe((second & ~ZF) | (on ? ZF : 0));
    }),
  );
});

test('zeroExtend() keeps the bytes named', () => {
  const m = new ModuleBuilder();
  for (const bytes of SIZES) {
    const fn = m.function(`zero${bytes}`, ['i64'], 'i64', (f) => {
      f.return(zeroExtend(f.param(0, 'i64'), bytes));
    });
    m.export(`zero${bytes}`, fn);
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()));
  for (const bytes of SIZES) {
    const zero = exports[`zero${bytes}`] as (value: bigint) => bigint;
    const value = 0xfedc_ba98_8765_4321n;
    expect(BigInt.asUintN(64, zero(value))).toBe(BigInt.asUintN(8 * bytes, value));
  }
});
