// The assembler against ACPICA's compiler, iasl(8): what it makes of the same terms in ASL must be
// the same bytes.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Aml, buffer, device, eisaId, integer, name, packageOf, scope } from './aml.ts';

const HEADER_BYTES = 36;
const missing = spawnSync('iasl', ['-v']).error !== undefined;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aml-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The terms of an ASL text as iasl encodes them. */
function compiled(text: string): number[] {
  const source = join(folder, 'table.asl');
  writeFileSync(source, `DefinitionBlock ("", "SSDT", 2, "A", "B", 1) {\n${text}\n}\n`);
  const { status, stdout, stderr } = spawnSync('iasl', ['-on', source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${stdout}${stderr}`);
  return [...readFileSync(join(folder, 'table.aml')).subarray(HEADER_BYTES)];
}

const quoted = (bytes: readonly number[]): string => bytes.join(', ');
const long = Array.from({ length: 5000 }, (_, index) => (index * 7) & 0xff);

const CASES: readonly (readonly [what: string, asl: string, aml: Aml])[] = [
  ...[0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff].map((value) => {
    return [`integer ${value}`, `Name (AAAA, ${value})`, name('AAAA', integer(value))] as const;
  }),
  [
    'names are padded, absolute, and of one, two and three segments',
    `Scope (\\_SB) { Device (A) { Device (B) {} } }
     Name (\\X, 3)
     Scope (\\_SB.A) { Name (Y2, 4) }
     Scope (\\_SB.A.B) { Name (ZZZ3, 5) }
     Scope (\\) { Name (ROOT, 6) }`,
    [
      ...scope('\\_SB', device('A', device('B'))),
      ...name('\\X', integer(3)),
      ...scope('\\_SB.A', name('Y2', integer(4))),
      ...scope('\\_SB.A.B', name('ZZZ3', integer(5))),
      ...scope('\\', name('ROOT', integer(6))),
    ],
  ],
  ...[3, 60, 61, 62, 63, 64, 300, 4000, 4090, 4100, 5000].map((length) => {
    const bytes = long.slice(0, length);
    const asl = `Name (BUFF, Buffer () { ${quoted(bytes)} })`;
    return [`a buffer of ${length} bytes`, asl, name('BUFF', buffer(bytes))] as const;
  }),
  [
    'packages in packages',
    'Name (PACK, Package () { Package () { 1, 2 }, Package () {}, 0x12345678 })',
    name('PACK', packageOf(packageOf(integer(1), integer(2)), packageOf(), integer(0x12345678))),
  ],
  ['an EISA id', 'Name (IDEN, EisaId ("PNP0A03"))', name('IDEN', eisaId('PNP0A03'))],
];

test.skipIf(missing)('the terms are those that iasl compiles (skipped without iasl)', () => {
  for (const [what, asl, aml] of CASES) expect({ what, aml }).toEqual({ what, aml: compiled(asl) });
});

test('what cannot be encoded is a defect', () => {
  expect(() => integer(2 ** 32)).toThrow('no AML integer');
  expect(() => integer(-1)).toThrow('no AML integer');
  expect(() => name('lower', integer(0))).toThrow('no AML name');
  expect(() => name('FIVES', integer(0))).toThrow('no AML name');
  expect(() => eisaId('PNP')).toThrow('no EISA id');
});
