// Statements and control structures, run by the host's WebAssembly.

import { expect, test } from 'vitest';
import { call, type I32, i32, i64, type ValType } from './expr.ts';
import type { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';

type Run = (...args: (number | bigint)[]) => number | bigint | undefined;

const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });

/** One function, compiled by the host. */
function compile(
  params: readonly ValType[],
  result: ValType | 'void',
  build: (f: FunctionBuilder, module: ModuleBuilder) => void,
): Run {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 1, 2);
  module.export(
    'run',
    module.function('run', params, result, (f) => build(f, module)),
  );
  const compiled = new WebAssembly.Module(module.encode());
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports.run as Run;
}

test('if() runs one of its branches, choose() gives the value of one', () => {
  const run = compile(['i32'], 'i32', (f) => {
    const x = f.param(0, 'i32');
    const sum = f.let(i32.const(0));
    f.if(i32.gt_s(x, i32.const(10)), () => f.set(sum, i32.const(100)));
    f.if(
      i32.eqz(x),
      () => f.set(sum, i32.add(sum, i32.const(1))),
      () => f.set(sum, i32.add(sum, i32.const(2))),
    );
    // The branch not taken would trap.
    const quotient = f.choose(
      'i32',
      i32.eqz(x),
      () => i32.const(-1),
      () => i32.div_u(i32.const(60), x),
    );
    f.return(i32.add(i32.mul(sum, i32.const(1000)), quotient));
  });
  expect([0, 1, 20].map((x) => run(x))).toEqual([999, 2060, 102003]);
});

test('loop() repeats while branched to, and block() is left by its label', () => {
  const run = compile(['i32'], 'i64', (f) => {
    const n = f.param(0, 'i32');
    const product = f.let(i64.const(1));
    f.block((done) => {
      f.loop((again) => {
        f.br(done, i32.eqz(n));
        f.set(product, i64.mul(product, i64.extend_u(n)));
        f.set(n, i32.sub(n, i32.const(1)));
        f.br(again);
      });
      f.unreachable();
    });
    f.return(product);
  });
  expect([0, 1, 5, 20].map((n) => run(n))).toEqual([1n, 1n, 120n, 2432902008176640000n]);
});

test('labels find their depth from inside other structures', () => {
  const run = compile(['i32'], 'i32', (f) => {
    const x = f.param(0, 'i32');
    const trace = f.let(i32.const(0));
    const mark = (digit: number): void => {
      f.set(trace, i32.add(i32.mul(trace, i32.const(10)), i32.const(digit)));
    };
    f.block((outer) => {
      f.block((inner) => {
        f.if(i32.eq(x, i32.const(1)), () => {
          f.block(() => f.br(inner));
          mark(9);
        });
        f.if(i32.eq(x, i32.const(2)), () => f.loop(() => f.br(outer)));
        mark(1);
      });
      mark(2);
    });
    mark(3);
    f.return(trace);
  });
  expect([0, 1, 2].map((x) => run(x))).toEqual([123, 23, 3]);
});

test('switch() runs the case of its index without falling through, or the other one', () => {
  for (const count of [0, 1, 2, 7]) {
    const run = compile(['i32'], 'i32', (f) => {
      const seen = f.let(i32.const(0));
      const add = (value: number) => () => f.set(seen, i32.add(seen, i32.const(value)));
      const cases = Array.from({ length: count }, (_, index) => add(100 + index));
      f.switch(f.param(0, 'i32'), cases, add(7));
      f.return(seen);
    });
    const wanted = Array.from({ length: count }, (_, index) => 100 + index);
    const indices = Array.from({ length: count }, (_, index) => index);
    expect(indices.map((index) => run(index))).toEqual(wanted);
    expect([count, count + 1, -1].map((index) => run(index))).toEqual([7, 7, 7]);
  }
});

test('switch() nests, and its cases may leave the function or an outer block', () => {
  const run = compile(['i32', 'i32'], 'i32', (f) => {
    const outer = f.param(0, 'i32');
    const inner = f.param(1, 'i32');
    f.block((out) => {
      f.switch(
        outer,
        [
          () =>
            f.switch(inner, [() => f.return(i32.const(1)), () => f.br(out)], () =>
              f.return(i32.const(2)),
            ),
          () => f.return(i32.const(3)),
        ],
        () => {},
      );
      f.return(i32.const(4));
    });
    f.return(i32.const(5));
  });
  const pairs = [
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 0],
    [2, 0],
  ];
  expect(pairs.map(([a, b]) => run(a, b))).toEqual([1, 5, 2, 3, 4]);
});

test('let() keeps a value that changes later, an expression is evaluated where it is used', () => {
  const run = compile(['i32'], 'i32', (f) => {
    const x = f.param(0, 'i32');
    const twice = i32.add(x, x);
    const before = f.let(twice);
    const copy = f.let(x);
    f.set(x, i32.const(50));
    // 100 now, `before` is from then, and so is `copy`.
    f.return(
      i32.add(i32.mul(twice, i32.const(10_000)), i32.add(i32.mul(before, i32.const(100)), copy)),
    );
  });
  expect(run(3)).toBe(1_000_603);
});

test('locals start at zero and keep their types apart', () => {
  const run = compile([], 'i64', (f) => {
    const locals = [f.local('i32'), f.local('i64'), f.local('i64'), f.local('i32')] as const;
    f.set(locals[2], i64.const(5));
    f.set(locals[3], i32.const(6));
    const narrow = i64.extend_u(i32.add(locals[0], locals[3]));
    f.return(i64.add(i64.add(locals[1], locals[2]), narrow));
  });
  expect(run()).toBe(11n);
});

test('tail calls do not grow the stack', () => {
  const module = new ModuleBuilder();
  const even = module.declare('even', ['i32'], 'i32');
  const odd = module.declare('odd', ['i32'], 'i32');
  const step = (f: FunctionBuilder, atZero: number, next: typeof even): void => {
    const n = f.param(0, 'i32');
    f.if(i32.eqz(n), () => f.return(i32.const(atZero)));
    f.returnCall(next, i32.sub(n, i32.const(1)));
  };
  even.define((f) => step(f, 1, odd));
  odd.define((f) => step(f, 0, even));
  module.export('even', even);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode()));
  expect((exports.even as Run)(3_000_001)).toBe(0);
  expect((exports.even as Run)(3_000_000)).toBe(1);
});

test('indirect tail calls go through the table, which checks their type', () => {
  const module = new ModuleBuilder();
  const table = module.importTable('env', 'table', 4);
  const type = module.typeIndex(['i32', 'i32'], 'i32');
  // A machine of two instructions that dispatch each other: 0 ends, 1 adds its place and goes on.
  const end = module.function('end', ['i32', 'i32'], 'i32', (f) => f.return(f.param(1, 'i32')));
  const add = module.function('add', ['i32', 'i32'], 'i32', (f) => {
    const next = i32.sub(f.param(0, 'i32'), i32.const(1));
    const sum = i32.add(f.param(1, 'i32'), f.param(0, 'i32'));
    f.returnCallIndirect(table, type, i32.ne(next, i32.const(0)), next, sum);
  });
  const other = module.function('other', [], 'void', () => {});
  expect([module.element(end), module.element(add), module.element(other)]).toEqual([0, 1, 2]);
  expect(module.elementCount).toBe(3);
  const wrong = module.function('wrong', ['i32', 'i32'], 'i32', (f) => {
    f.returnCallIndirect(table, type, f.param(0, 'i32'), i32.const(1), i32.const(2));
  });
  module.export('add', add);
  module.export('wrong', wrong);
  const env = { table: new WebAssembly.Table({ element: 'anyfunc', initial: 4 }) };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { env });
  expect((exports.add as Run)(100_000, 0)).toBe(5_000_050_000 | 0);
  expect(() => (exports.wrong as Run)(2, 0)).toThrow(/signature|type/);
  expect(() => (exports.wrong as Run)(3, 0)).toThrow(/signature|table/);
  expect(() => (exports.wrong as Run)(4, 0)).toThrow(/signature|table/);
});

test('calls pass arguments in order, and refuse wrong ones when they are built', () => {
  const run = compile(['i32', 'i64'], 'i64', (f, module) => {
    const minus = module.function('minus', ['i64', 'i32'], 'i64', (g) => {
      g.return(i64.sub(g.param(0, 'i64'), i64.extend_s(g.param(1, 'i32'))));
    });
    const store = module.function('store', ['i32', 'i64'], 'void', (g) => {
      g.store64(g.param(0, 'i32'), g.param(1, 'i64'));
    });
    const [narrow, wide] = [f.param(0, 'i32'), f.param(1, 'i64')];
    expect(() => call(minus, narrow, wide)).toThrow('minus');
    expect(() => f.call(store, narrow)).toThrow('store');
    expect(() => f.returnCall(minus, wide)).toThrow('minus');
    expect(() => f.param(0, 'i64')).toThrow(TypeError);
    f.call(store, i32.const(64), call(minus, wide, narrow));
    f.drop(call(minus, wide, narrow));
    f.return(i64.load(i32.const(0), 64));
  });
  expect(run(3, 10n)).toBe(7n);
});

test('memoryCopy() and memoryFill() work on shared memory, overlapping ranges included', () => {
  const run = compile(['i32'], 'void', (f) => {
    const at: I32 = f.param(0, 'i32');
    f.memoryFill(at, i32.const(0xaa), i32.const(4));
    f.store8(at, i32.const(1), 1);
    f.memoryCopy(i32.add(at, i32.const(2)), at, i32.const(4));
    f.return();
  });
  run(1024);
  expect([...new Uint8Array(memory.buffer, 1024, 7)]).toEqual([0xaa, 1, 0xaa, 1, 0xaa, 0xaa, 0]);
});
