// Modules as a whole: what the host accepts, and what the builder refuses.

import { expect, test } from 'vitest';
import wabt from 'wabt';
import { call, i32 } from './expr.ts';
import { ModuleBuilder } from './module.ts';

test("imported functions come before the module's own, and are called", () => {
  const module = new ModuleBuilder();
  const host = module.importFunction('env', 'host', ['i32'], 'i32');
  const note = module.importFunction('env', 'note', ['i32'], 'void');
  const run = module.function('run', ['i32'], 'i32', (f) => {
    f.call(note, i32.const(5));
    f.return(i32.add(call(host, f.param(0, 'i32')), i32.const(1)));
  });
  module.export('run', run);
  expect([host.index, note.index, run.index]).toEqual([0, 1, 2]);
  const notes: number[] = [];
  const env = { host: (x: number) => x * 2, note: (x: number) => void notes.push(x) };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { env });
  expect((exports.run as (x: number) => number)(21)).toBe(43);
  expect(notes).toEqual([5]);
});

test('an import after a function is refused, for it would shift indices already given', () => {
  const module = new ModuleBuilder();
  module.function('first', [], 'void', () => {});
  expect(() => module.importFunction('env', 'late', [], 'void')).toThrow('late');
});

test('a function is defined once, and must be by the end', () => {
  const module = new ModuleBuilder();
  const fn = module.declare('lonely', [], 'void');
  expect(() => module.encode()).toThrow('lonely');
  fn.define(() => {});
  expect(() => fn.define(() => {})).toThrow('lonely');
  expect(WebAssembly.validate(module.encode())).toBe(true);
});

test('typeIndex() gives equal types one index', () => {
  const module = new ModuleBuilder();
  const first = module.typeIndex(['i32', 'i64'], 'void');
  const second = module.typeIndex(['i32'], 'i64');
  const third = module.typeIndex([], 'void');
  expect(new Set([first, second, third]).size).toBe(3);
  expect(module.typeIndex(['i32', 'i64'], 'void')).toBe(first);
  expect(module.function('f', ['i32'], 'i64', (f) => f.unreachable()).typeIndex).toBe(second);
});

test('memory and table are imported with their limits', () => {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 2, 300);
  module.importTable('env', 'table', 200);
  const compiled = new WebAssembly.Module(module.encode());
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 200 });
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 300, shared: true });
  expect(new WebAssembly.Instance(compiled, { env: { memory, table } })).toBeDefined();
  const small = new WebAssembly.Memory({ initial: 1, maximum: 300, shared: true });
  expect(() => new WebAssembly.Instance(compiled, { env: { memory: small, table } })).toThrow();
  const large = new WebAssembly.Memory({ initial: 2, maximum: 301, shared: true });
  expect(() => new WebAssembly.Instance(compiled, { env: { memory: large, table } })).toThrow();
  const unshared = new WebAssembly.Memory({ initial: 2, maximum: 300 });
  expect(() => new WebAssembly.Instance(compiled, { env: { memory: unshared, table } })).toThrow();
});

test('encode() names functions for profiles, or leaves the names out', async () => {
  const module = new ModuleBuilder();
  module.importFunction('env', 'host', [], 'void');
  module.export(
    'run',
    module.function('add rmv, rv', [], 'void', () => {}),
  );
  const { readWasm } = await wabt();
  const text = (binary: Uint8Array): string => {
    return readWasm(binary, { readDebugNames: true }).toText({});
  };
  expect(text(module.encode())).toContain('(func $add_rmv__rv');
  expect(text(module.encode(false))).not.toContain('rmv');
});
