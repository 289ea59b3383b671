import { expect, test } from 'vitest';
import { buildTables } from './decode-tables.ts';
import { CF, OF, PF, SF, ZF } from './flags.ts';
import { parseRows } from './parse-rows.ts';
import { featureNames } from './row.ts';
import { rows } from './rows.ts';

const parse = (line: string) => parseRows([line])[0];

test('parseRows() reads the columns of a row', () => {
  const row = parse('adc  rw:rmv  r:imm8s  83 /2 ib  ?C CPZSO ~A  lock');
  expect(row).toMatchObject({
    name: 'adc rmv, imm8s',
    lockable: true,
    opsizeRule: 'v',
    mayFault: true,
  });
  expect(row.operands).toEqual([
    { access: 'rw', type: 'rmv', place: 'rm' },
    { access: 'r', type: 'imm8s', place: 'imm' },
  ]);
  expect(row.encoding).toMatchObject({ opcode: 0x83, digit: 2, forms: 'both', immediates: ['ib'] });
  expect(row.flagsRead).toBe(CF);
  expect(row.flagsWritten).toBe(CF | PF | ZF | SF | OF);
});

test('parseRows() finds ModRM.rm among two registers', () => {
  expect(parse('movmskps  w:r32  r:xmm  NP 0F 50 /r').operands.map((o) => o.place)).toEqual([
    'reg',
    'rm',
  ]);
  expect(parse('mov  w:r64  r:creg  0F 20 /r').operands.map((o) => o.place)).toEqual(['rm', 'reg']);
});

test('parseRows() makes sixteen rows of a condition', () => {
  const set = parseRows(['setcc  w:rm8  0F 90+cc /r  ?cc']);
  expect(set.map(({ name }) => name.slice(0, -4))).toEqual(
    'o no b ae e ne be a s ns p np l ge le g'.split(' ').map((name) => `set${name}`),
  );
  expect(set[15]).toMatchObject({ condition: 15, flagsRead: ZF | SF | OF });
  expect(set[15].encoding.opcode).toBe(0x9f);
});

test('parseRows() refuses rows that do not hold together', () => {
  const wrong: readonly [string, RegExp][] = [
    ['add  rw:rm8  r:imm8  80 /0', /immediates disagree/],
    ['add  rw:rm8  r:r8  00 /0', /ModRM.reg disagree/],
    ['push  r:rv  50', /ModRM.rm disagree|\+r disagree/],
    ['push  r:rvv  50+r', /unknown operand type/],
    ['add  x:rm8  r:r8  00 /r', /unknown access/],
    ['add  rw:rm8  r:r8  00 /r  CPX', /unknown flag/],
    ['add  rw:rm8  r:r8  00 /r  CP ~C', /both written and undefined/],
    ['add  rw:rm8  r:r8  00 /r  -  lok', /unknown trait/],
    ['cmp  r:rm8  r:r8  38 /r  -  lock', /LOCK without a destination/],
    ['nop  90  -  rep', /REP/],
  ];
  for (const [line, reason] of wrong) expect(() => parseRows([line]), line).toThrow(reason);
});

test('buildTables() refuses two rows with the same bytes', () => {
  const features = new Set(featureNames);
  const clash = parseRows(['one  w:rm8  r:r8  88 /r\ntwo  w:r8  r:rm8  88 /r']);
  expect(() => buildTables(clash, features)).toThrow(/the bytes of one rm8, r8 may be two/);
  const overlap = parseRows(['one  w:rmv  F3 0F B8 /r\ntwo  w:rmv  REX.W 0F B8 /r']);
  expect(() => buildTables(overlap, features)).toThrow(/the bytes of/);
  const modes = parseRows(['one  w:rm8  C6 /0  -  only64\ntwo  w:rm8  C6 /0  -  not64']);
  expect(() => buildTables(modes, features)).not.toThrow();
});

test('rows are numbered by place and named uniquely', () => {
  expect(rows.every((row, i) => row.id === i)).toBe(true);
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
});

test('rows give the flags of a few instructions as the SDM does', () => {
  const named = (name: string) => rows.find((row) => row.name === name)!;
  expect(named('inc rmv').flagsWritten & CF).toBe(0);
  expect(named('shl rmv, cl (D3 /4)')).toMatchObject({ flagsKept: true });
  expect(named('bsf rv, rmv')).toMatchObject({ flagsWritten: ZF });
  expect(named('not rmv')).toMatchObject({ flagsWritten: 0, flagsUndefined: 0 });
  expect(named('cmovbe rv, rmv').flagsRead).toBe(CF | ZF);
});

test('parseRows() makes two rows of a VEX row without a length, with the features of each', () => {
  const [narrow, wide] = parseRows(['[avx/avx2]\nvpaddd  w:xy  r:xy  r:xy/m  VEX.66.0F.WIG FE /r']);
  expect(narrow).toMatchObject({ name: 'vpaddd xmm, xmm, xmm/m128', feature: 'avx', unit: 'avx' });
  expect(wide).toMatchObject({ name: 'vpaddd ymm, ymm, ymm/m256', feature: 'avx2' });
  expect(narrow.operands.map(({ place }) => place)).toEqual(['reg', 'vvvv', 'rm']);
  expect(narrow.encoding.vex).toEqual({ length: 0, w: 'WIG' });
  expect(wide.encoding).toMatchObject({ map: 1, prefix: '66', vex: { length: 1, w: 'WIG' } });
  expect(() => parseRows(['vpaddd  w:xmm  r:xmm  VEX.128.66.0E.W0 FE /r'])).toThrow(/VEX/);
});
