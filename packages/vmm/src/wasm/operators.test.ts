// Every operator of expr.ts and simd.ts against wabt, the WebAssembly community group's assembler:
// the signatures below are the core specification's (3.4, "Instructions"), wabt assembles the text,
// and the two binaries must be the same bytes. V8 validates them as well.

import { expect, test } from 'vitest';
import wabt from 'wabt';
import { type Expr, f32, f64, type I32, i32, i64, select, type ValType } from './expr.ts';
import type { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';
import { f32x4, f64x2, i8x16, i16x8, i32x4, i64x2, v128 } from './simd.ts';

/** `parameters -> result: operators`, by the specification's names. */
const SIGNATURES = `
i32 -> i32: i32.eqz i32.clz i32.ctz i32.popcnt i32.extend8_s i32.extend16_s
i32 i32 -> i32: i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s
i32 i32 -> i32: i32.ge_u
i32 i32 -> i32: i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or
i32 i32 -> i32: i32.xor
i32 i32 -> i32: i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr
i64 -> i32: i32.wrap_i64 i64.eqz
f32 -> i32: i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.reinterpret_f32
f64 -> i32: i32.trunc_sat_f64_s i32.trunc_sat_f64_u
i64 i64 -> i32: i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s
i64 i64 -> i32: i64.ge_u
i64 -> i64: i64.clz i64.ctz i64.popcnt i64.extend8_s i64.extend16_s i64.extend32_s
i64 i64 -> i64: i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or
i64 i64 -> i64: i64.xor
i64 i64 -> i64: i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr
i32 -> i64: i64.extend_i32_s i64.extend_i32_u
f32 -> i64: i64.trunc_sat_f32_s i64.trunc_sat_f32_u
f64 -> i64: i64.trunc_sat_f64_s i64.trunc_sat_f64_u i64.reinterpret_f64
f32 f32 -> i32: f32.eq f32.ne f32.lt f32.gt f32.le f32.ge
f64 f64 -> i32: f64.eq f64.ne f64.lt f64.gt f64.le f64.ge
f32 -> f32: f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt
f64 -> f64: f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt
f32 f32 -> f32: f32.add f32.sub f32.mul f32.div
f64 f64 -> f64: f64.add f64.sub f64.mul f64.div
i32 -> f32: f32.convert_i32_s f32.convert_i32_u f32.reinterpret_i32
i64 -> f32: f32.convert_i64_s f32.convert_i64_u
f64 -> f32: f32.demote_f64
i32 -> f64: f64.convert_i32_s f64.convert_i32_u
i64 -> f64: f64.convert_i64_s f64.convert_i64_u f64.reinterpret_i64
f32 -> f64: f64.promote_f32
i32 -> i32: i32.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u
i32 -> i64: i64.load i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u
i32 -> f32: f32.load
i32 -> f64: f64.load
i32 -> v128: v128.load v128.load32_zero v128.load64_zero
i32 -> i32: i32.atomic.load i32.atomic.load8_u
i32 -> i64: i64.atomic.load
i32 -> v128: i8x16.splat i16x8.splat i32x4.splat
i64 -> v128: i64x2.splat
f32 -> v128: f32x4.splat
f64 -> v128: f64x2.splat
v128 -> i32: i8x16.extract_lane_s i8x16.extract_lane_u i16x8.extract_lane_s i16x8.extract_lane_u
v128 -> i32: i32x4.extract_lane i8x16.all_true i16x8.all_true i32x4.all_true i64x2.all_true
v128 -> i32: i8x16.bitmask i16x8.bitmask i32x4.bitmask i64x2.bitmask v128.any_true
v128 -> i64: i64x2.extract_lane
v128 -> f32: f32x4.extract_lane
v128 -> f64: f64x2.extract_lane
v128 i32 -> v128: i8x16.replace_lane i16x8.replace_lane i32x4.replace_lane
v128 i32 -> v128: i8x16.shl i8x16.shr_s i8x16.shr_u i16x8.shl i16x8.shr_s i16x8.shr_u
v128 i32 -> v128: i32x4.shl i32x4.shr_s i32x4.shr_u i64x2.shl i64x2.shr_s i64x2.shr_u
v128 i64 -> v128: i64x2.replace_lane
v128 f32 -> v128: f32x4.replace_lane
v128 f64 -> v128: f64x2.replace_lane
v128 v128 v128 -> v128: v128.bitselect
`;

/** Vector operators not in {@link SIGNATURES} take two vectors, but these take one. */
const UNARY_VECTOR =
  /\.(abs|neg|not|sqrt|ceil|floor|trunc|nearest|popcnt|extend|extadd|convert|demote|promote)/;

/** What the specification calls our operators whose names it makes longer. */
const LONGER: Record<string, string> = {
  'i32.wrap': 'i32.wrap_i64',
  'i32.reinterpret': 'i32.reinterpret_f32',
  'i64.reinterpret': 'i64.reinterpret_f64',
  'i64.extend_s': 'i64.extend_i32_s',
  'i64.extend_u': 'i64.extend_i32_u',
  'f32.demote': 'f32.demote_f64',
  'f32.reinterpret': 'f32.reinterpret_i32',
  'f64.promote': 'f64.promote_f32',
  'f64.reinterpret': 'f64.reinterpret_i64',
};
const HALF_LANES: Record<string, string> = { i16x8: 'i8x16', i32x4: 'i16x8', i64x2: 'i32x4' };
const LANES_MAX: Record<string, number> = {
  i8x16: 15,
  i16x8: 7,
  i32x4: 3,
  i64x2: 1,
  f32x4: 3,
  f64x2: 1,
};

/** A constant offset whose LEB128 has two bytes. */
const OFFSET = 1000;

interface Case {
  /** The instruction as text: name and immediates. */
  readonly text: string;
  readonly params: readonly ValType[];
  readonly result: ValType;
  readonly build: (args: readonly Expr[]) => Expr;
}

/** Any operator: what it takes is in its signature, which the type checker cannot follow here. */
type Operator = (...args: unknown[]) => Expr;

const signatures = new Map<string, { params: ValType[]; result: ValType }>();
for (const line of SIGNATURES.trim().split('\n')) {
  const [params, result, names] = /^(.*) -> (.*): (.*)$/.exec(line)!.slice(1);
  for (const name of names.split(' ')) {
    signatures.set(name, { params: params.split(' ') as ValType[], result: result as ValType });
  }
}

function signatureOf(name: string): { params: ValType[]; result: ValType } {
  const known = signatures.get(name);
  if (known) return known;
  if (!/x\d+\.|^v128\./.test(name)) throw new Error(`no signature for ${name}`);
  return { params: UNARY_VECTOR.test(name) ? ['v128'] : ['v128', 'v128'], result: 'v128' };
}

/** The specification's name of `group.key`. */
function specName(group: string, key: string): string {
  const halves = /^(extend|extmul)_(low|high)_([su])$/.exec(key);
  if (halves) return `${group}.${halves[1]}_${halves[2]}_${HALF_LANES[group]}_${halves[3]}`;
  const name = `${group}.${key}`;
  return LONGER[name] ?? name;
}

/** The cases of a read-modify-write operator, which come in families. */
function atomicCases(group: 'i32' | 'i64', key: string, operator: Operator): Case[] {
  const [, kind, bits] = /^atomic(Load|Rmw|Cmpxchg)(\d*)$/.exec(key)!;
  const unsigned = bits === '' ? '' : '_u';
  const align = bits === '' ? (group === 'i32' ? 4 : 8) : Number(bits) / 8;
  const suffix = ` offset=${OFFSET} align=${align}`;
  const make = (text: string, count: number, build: Case['build']): Case => {
    const params: ValType[] = ['i32', ...Array<ValType>(count).fill(group)];
    return { text: `${group}.atomic.${text}${unsigned}${suffix}`, params, result: group, build };
  };
  if (kind === 'Load') return [make(`load${bits}`, 0, ([a]) => operator(a, OFFSET))];
  if (kind === 'Cmpxchg') {
    return [make(`rmw${bits}.cmpxchg`, 2, ([a, b, c]) => operator(a, b, c, OFFSET))];
  }
  return ['add', 'sub', 'and', 'or', 'xor', 'xchg'].map((name) =>
    make(`rmw${bits}.${name}`, 1, ([a, b]) => operator(name, a, b, OFFSET)),
  );
}

function casesOf(group: string, key: string, operator: Operator): Case[] {
  if (key.startsWith('atomic')) return atomicCases(group as 'i32' | 'i64', key, operator);
  const name = specName(group, key);
  if (key === 'const' || key === 'shuffle') return [];
  const { params, result } = signatureOf(name);
  if (key.startsWith('load')) {
    const text = `${name} offset=${OFFSET} align=1`;
    return [{ text, params, result, build: ([address]) => operator(address, OFFSET) }];
  }
  if (key.includes('_lane')) {
    const lane = LANES_MAX[group];
    const build: Case['build'] = ([a, value]) => operator(a, lane, value);
    return [{ text: `${name} ${lane}`, params, result, build }];
  }
  return [{ text: name, params, result, build: (args) => operator(...args) }];
}

const GROUPS = { i32, i64, f32, f64, i8x16, i16x8, i32x4, i64x2, f32x4, f64x2, v128 };
const LANES = [31, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16];

const cases: Case[] = Object.entries(GROUPS).flatMap(([group, operators]) =>
  Object.entries(operators).flatMap(([key, operator]) =>
    casesOf(group, key, operator as unknown as Operator),
  ),
);
cases.push(
  {
    text: `i8x16.shuffle ${LANES.join(' ')}`,
    params: ['v128', 'v128'],
    result: 'v128',
    build: ([a, b]) => v128.shuffle(a as Expr<'v128'>, b as Expr<'v128'>, LANES),
  },
  {
    text: `v128.const i8x16 ${LANES.join(' ')}`,
    params: [],
    result: 'v128',
    build: () => v128.const(LANES),
  },
  {
    text: 'select',
    params: ['i64', 'i64', 'i32'],
    result: 'i64',
    build: ([a, b, condition]) => select(condition as I32, a, b),
  },
);

/** The stores and bulk operators of FunctionBuilder: text, what follows the address, statement. */
const STATEMENTS: readonly [string, readonly ValType[], (f: FunctionBuilder) => void][] = [
  [
    `i32.store8 offset=${OFFSET}`,
    ['i32'],
    (f) => f.store8(f.param(0, 'i32'), f.param(1, 'i32'), OFFSET),
  ],
  [
    `i32.store16 offset=${OFFSET} align=1`,
    ['i32'],
    (f) => f.store16(f.param(0, 'i32'), f.param(1, 'i32'), OFFSET),
  ],
  [
    `i32.store offset=${OFFSET} align=1`,
    ['i32'],
    (f) => f.store32(f.param(0, 'i32'), f.param(1, 'i32'), OFFSET),
  ],
  [
    `i64.store offset=${OFFSET} align=1`,
    ['i64'],
    (f) => f.store64(f.param(0, 'i32'), f.param(1, 'i64'), OFFSET),
  ],
  [
    `f32.store offset=${OFFSET} align=1`,
    ['f32'],
    (f) => f.storeF32(f.param(0, 'i32'), f.param(1, 'f32'), OFFSET),
  ],
  [
    `f64.store offset=${OFFSET} align=1`,
    ['f64'],
    (f) => f.storeF64(f.param(0, 'i32'), f.param(1, 'f64'), OFFSET),
  ],
  [
    `v128.store offset=${OFFSET} align=1`,
    ['v128'],
    (f) => f.storeV128(f.param(0, 'i32'), f.param(1, 'v128'), OFFSET),
  ],
  [
    `i64.store8 offset=${OFFSET}`,
    ['i64'],
    (f) => f.storeLow(1, f.param(0, 'i32'), f.param(1, 'i64'), OFFSET),
  ],
  [
    `i64.store16 offset=${OFFSET} align=1`,
    ['i64'],
    (f) => f.storeLow(2, f.param(0, 'i32'), f.param(1, 'i64'), OFFSET),
  ],
  [
    `i64.store32 offset=${OFFSET} align=1`,
    ['i64'],
    (f) => f.storeLow(4, f.param(0, 'i32'), f.param(1, 'i64'), OFFSET),
  ],
  [
    `i64.store offset=${OFFSET} align=1`,
    ['i64'],
    (f) => f.storeLow(8, f.param(0, 'i32'), f.param(1, 'i64'), OFFSET),
  ],
  [
    `i32.atomic.store offset=${OFFSET}`,
    ['i32'],
    (f) => f.atomicStore32(f.param(0, 'i32'), f.param(1, 'i32'), OFFSET),
  ],
  [
    'memory.copy',
    ['i32', 'i32'],
    (f) => f.memoryCopy(f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')),
  ],
  [
    'memory.fill',
    ['i32', 'i32'],
    (f) => f.memoryFill(f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')),
  ],
];

function moduleWithMemory(): ModuleBuilder {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', 1, 2);
  return module;
}

/** The same functions by wabt: `text` of each, with its parameters on the stack. */
function reference(
  functions: readonly { text: string; params: readonly ValType[]; end: string }[],
): string {
  const bodies = functions.map(({ text, params, end }) => {
    const gets = params.map((_, index) => `local.get ${index}`).join(' ');
    return `(func (param ${params.join(' ')}) ${end.replace('@', `${gets} ${text}`)})`;
  });
  return `(module (import "env" "memory" (memory 1 2 shared)) ${bodies.join('\n')}
    (export "first" (func 0)))`;
}

async function expectSame(ours: Uint8Array<ArrayBuffer>, text: string): Promise<void> {
  const features = { threads: true, tail_call: true };
  const { parseWat, readWasm } = await wabt();
  const assembled = parseWat('reference.wat', text, features);
  const theirs = assembled.toBinary({}).buffer.slice();
  assembled.destroy();
  const [seen, wanted] = [ours, theirs].map((binary) => {
    const module = readWasm(binary, features);
    const printed = module.toText({});
    module.destroy();
    return printed;
  });
  // As text first: a difference in it can be read.
  expect(seen).toBe(wanted);
  expect(Buffer.compare(ours, theirs)).toBe(0);
  expect(WebAssembly.validate(ours)).toBe(true);
}

test('every operator of expr.ts and simd.ts is the instruction of its name', async () => {
  expect(cases.length).toBeGreaterThan(300);
  const module = moduleWithMemory();
  const functions = cases.map(({ text, params, result, build }, index) => {
    const fn = module.function(`f${index}`, params, result, (f) => f.return(build(f.params)));
    if (index === 0) module.export('first', fn);
    return { text, params, end: `(result ${result}) @ return` };
  });
  await expectSame(module.encode(false), reference(functions));
});

test('every store and bulk statement is the instruction of its name', async () => {
  const module = moduleWithMemory();
  const functions = STATEMENTS.map(([text, rest, build], index) => {
    const params: ValType[] = ['i32', ...rest];
    const fn = module.function(`f${index}`, params, 'void', build);
    if (index === 0) module.export('first', fn);
    return { text, params, end: '@' };
  });
  await expectSame(module.encode(false), reference(functions));
});

test('constants are encoded in as few bytes as the specification allows', async () => {
  const integers = [0, 63, 64, -64, -65, 8191, 8192, -8192, -8193, 2 ** 31 - 1, -(2 ** 31)];
  const longs = [0n, 63n, 64n, -64n, -65n, 1n << 31n, -(1n << 31n), (1n << 34n) - 1n, 1n << 34n];
  longs.push(1n << 62n, (1n << 63n) - 1n, -(1n << 63n), 0xffff_ffffn, 0x8000_0000n, -1n);
  const floats: [string, number][] = [
    ['0', 0],
    ['-0', -0],
    ['1.5', 1.5],
    ['inf', Infinity],
    ['-inf', -Infinity],
  ];
  const constants: [ValType, string, Expr][] = [
    ...integers.map((value): [ValType, string, Expr] => ['i32', `${value}`, i32.const(value)]),
    ...longs.map((value): [ValType, string, Expr] => ['i64', `${value}`, i64.const(value)]),
    ...longs
      .filter((value) => Number.isSafeInteger(Number(value)))
      .map((value): [ValType, string, Expr] => ['i64', `${value}`, i64.const(Number(value))]),
    ...floats.map(([text, value]): [ValType, string, Expr] => ['f32', text, f32.const(value)]),
    ...floats.map(([text, value]): [ValType, string, Expr] => ['f64', text, f64.const(value)]),
  ];
  const module = moduleWithMemory();
  const functions = constants.map(([type, text, expression], index) => {
    const fn = module.function(`f${index}`, [], type, (f) => f.return(expression));
    if (index === 0) module.export('first', fn);
    return { text: `${type}.const ${text}`, params: [], end: `(result ${type}) @ return` };
  });
  await expectSame(module.encode(false), reference(functions));
});
