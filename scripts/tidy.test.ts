import { expect, test } from 'vitest';
import { root } from './root.ts';
import {
  checkAll,
  checkFile,
  codeOnly,
  countOffences,
  functionsIn,
  readSources,
  shrink,
  verdict,
} from './tidy.ts';

const HEAD = '// What this is.\n';
const CPU = 'packages/vmm/src/cpu/example.ts';

/** The rules that a file breaks, in order, with the lines. */
const rulesOf = (path: string, text: string): string[] =>
  checkFile(path, HEAD + text).map(({ rule, line }) => `${rule} ${line}`);

/** A body of `count` lines, indented. */
const body = (count: number): string => '  work();\n'.repeat(count);

test('checkFile() finds lines of more than 100 columns, counted in characters', () => {
  expect(rulesOf(CPU, `// ${'é'.repeat(97)}\n// ${'é'.repeat(98)}\n`)).toEqual(['columns 3']);
});

test('checkFile() wants an opening comment', () => {
  expect(checkFile(CPU, 'work();\n').map(({ rule }) => rule)).toEqual(['head']);
  expect(checkFile(CPU, '#!/usr/bin/env node\n// What.\n')).toEqual([]);
});

test('checkFile() finds functions of more than 70 lines', () => {
  expect(rulesOf(CPU, `function f(): void {\n${body(68)}}\n`)).toEqual([]);
  expect(rulesOf(CPU, `function f(): void {\n${body(69)}}\n`)).toEqual(['function 2']);
});

test('checkFile() finds files of more than 700 lines unless they are tables', () => {
  const lines = 'work();\n'.repeat(700);
  expect(rulesOf(CPU, lines)).toEqual(['file 1']);
  expect(rulesOf(CPU, `// tidy: table\n${lines}`)).toEqual([]);
});

test('functionsIn() knows declarations, methods and constants from calls and statements', () => {
  const text = `
export async function one(a: number): Promise<void> {
  if (a) {
    call(a, () => {
    });
  }
}
const two = <T>(a: T): void => {
  again();
};
class Three {
  private static four<T>(
    a: T,
  ): void {
    for (;;) {
    }
  }
  get five(): number {
    return 1;
  }
  *six() {
    yield 1;
  }
}
describe('seven', () => {
  eight(
    9,
  );
});
`;
  const spans = functionsIn(text.split('\n'));
  expect(spans.map(({ name, first, last }) => [name, last - first + 1])).toEqual([
    ['one', 6],
    ['two', 3],
    ['four', 6],
    ['five', 3],
    ['six', 3],
  ]);
});

test('checkFile() wants doc comments on exports, one for a run of one-line declarations', () => {
  const documented =
    '/** A. */\nexport type A = 1;\nexport type B = 2;\nexport const CR0_PE = 1;\n';
  expect(rulesOf(CPU, documented)).toEqual([]);
  expect(rulesOf(CPU, 'export const register = 1;\nexport function f(): void {}\n')).toEqual([
    'docs 2',
    'docs 3',
  ]);
  expect(rulesOf('packages/vmm/test/example.ts', 'export class A {}\n')).toEqual([]);
});

test('checkFile() bans ambient time, entropy and output from the library', () => {
  const code =
    'const a = Date.now();\nconst b = Math.random();\nsetTimeout(f, 1);\nconsole.log(a);\n';
  expect(rulesOf(CPU, code)).toEqual(['global 2', 'global 3', 'global 4', 'global 5']);
  expect(rulesOf('packages/vmm-node/src/example.ts', code)).toEqual([]);
  expect(
    rulesOf(CPU, "// Not Date.now(), and 'console.log' is text.\nf('process.exit');\n"),
  ).toEqual([]);
});

test('checkFile() bans bigints from hot files only', () => {
  const code = 'const a = 1n;\nconst b = BigInt(2);\nconst c = 0xffn;\nconst d = 10;\n';
  expect(rulesOf('packages/vmm/src/cpu/code-cache.ts', code)).toEqual([
    'bigint 2',
    'bigint 3',
    'bigint 4',
  ]);
  expect(rulesOf(CPU, code)).toEqual([]);
});

test('checkFile() lets layers import downwards only, and the library nothing of its host', () => {
  const imports = `import { a } from '../isa/row.ts';
import {
  b,
} from '../devices/i8259.ts';
import type { C } from '../vmm/engine.ts';
import { d } from 'node:fs';
export { e } from './other.ts';
`;
  expect(rulesOf(CPU, imports)).toEqual(['layer 5', 'layer 6', 'layer 7']);
  expect(rulesOf('packages/vmm/src/machine/pc.ts', imports)).toEqual(['layer 7']);
  expect(rulesOf('packages/vmm/src/cpu/example.test.ts', imports)).toEqual([]);
});

test('checkFile() finds tests that keep others from running, and loose ends', () => {
  const only = ['test', 'only'].join('.');
  const loose = ['TO', 'DO'].join('');
  expect(rulesOf('scripts/example.test.ts', `${only}('a', () => {});\n`)).toEqual(['only 2']);
  expect(rulesOf(CPU, `// ${loose}: later\n// ${loose}(#12): later\n`)).toEqual(['todo 2']);
});

test('checkAll() finds files that nothing imports', () => {
  const sources = new Map([
    ['packages/vmm/src/index.ts', `${HEAD}export { a } from './base/a.ts';\n`],
    ['packages/vmm/src/base/a.ts', HEAD],
    ['packages/vmm/src/base/b.ts', HEAD],
    ['packages/vmm/src/base/b.test.ts', "import { b } from './b.ts';\n"],
  ]);
  expect(checkAll(sources)).toMatchObject([{ rule: 'unused', path: 'packages/vmm/src/base/b.ts' }]);
});

test('codeOnly() blanks comments and strings and keeps the places of the rest', () => {
  const text = "a('x', /* y\n z */ b); // it's\nc(`d\ne`);";
  const code = codeOnly(text);
  expect(code.split('\n').map((line) => line.length)).toEqual(
    text.split('\n').map((line) => line.length),
  );
  expect(code.replace(/\s+/g, ' ')).toBe('a( , b); c( );');
});

test('the ratchet allows what it counts, and only shrinks', () => {
  const offences = checkFile(CPU, `${HEAD}export class A {}\nexport class B {}\n`);
  const key = `docs ${CPU}`;
  expect(countOffences(offences)).toEqual({ [key]: 2 });
  expect(verdict(offences, { [key]: 2 })).toEqual([]);
  expect(verdict(offences, { [key]: 1 })).toHaveLength(2);
  expect(verdict(offences, { [key]: 3 })).toEqual([`${key}: 2, not 3: run with --shrink`]);
  expect(shrink({ [key]: 3, gone: 1 }, { [key]: 2, fresh: 1 })).toEqual({ [key]: 2 });
  expect(shrink({ [key]: 1 }, { [key]: 2 })).toEqual({ [key]: 1 });
});

test('readSources() finds the sources of the repository and nothing that is made from them', () => {
  const paths = [...readSources(root()).keys()];
  expect(paths).toContain('packages/vmm/src/index.ts');
  expect(paths).toContain('scripts/setup.mjs');
  expect(paths.filter((path) => /node_modules|dist/.test(path))).toEqual([]);
});
