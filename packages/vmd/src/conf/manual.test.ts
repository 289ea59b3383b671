// vm.conf(5) of this repository: its examples are good, and it has every word of the grammar.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { testFiles } from '../../test/conf-host.ts';
import { parseAccounts } from './accounts.ts';
import { diagnosticText } from './diagnostics.ts';
import { KEYWORDS } from './keywords.ts';
import { parseConfiguration } from './parse-configuration.ts';
import { VM_EXTENSIONS } from './vm-extensions.ts';

const PAGE = readFileSync(new URL('../../../../docs/man/vm.conf.5', import.meta.url), 'utf8');

test('the examples are a configuration, without a warning', () => {
  const examples = PAGE.slice(PAGE.indexOf('.Sh EXAMPLES'), PAGE.indexOf('.Sh DIAGNOSTICS'));
  const blocks = [...examples.matchAll(/^\.Bd .*\n([\s\S]*?)^\.Ed$/gm)].map(([, text]) => text!);
  expect(blocks.length).toBe(3);
  const { configuration, diagnostics } = parseConfiguration({
    path: 'EXAMPLES',
    isOptional: false,
    macros: new Map(),
    files: { ...testFiles('/'), read: () => blocks.join('\n') },
    accounts: parseAccounts('joe:x:1000:1000:::', ''),
  });
  expect(diagnostics.filter(({ severity }) => severity !== 'note').map(diagnosticText)).toEqual([]);
  expect(configuration?.vms.map(({ name, disks }) => [name, disks[0]?.path])).toEqual([
    ['web.example.com', '/home/joe/web.qcow2'],
    ['test.example.com', '/home/joe/test.qcow2'],
    ['linux', '/home/joe/linux.img'],
  ]);
});

test('every keyword that means something, and every extension, is described', () => {
  const meaningless = ['add', 'id', 'size'];
  const words = [...KEYWORDS].filter((word) => !meaningless.includes(word));
  for (const word of [...words, ...VM_EXTENSIONS.keys()]) {
    expect(PAGE, word).toMatch(new RegExp(`^\\.(It|Ic|Cm) .*\\b${word}\\b|^\\.Cm ${word}`, 'm'));
  }
  for (const word of VM_EXTENSIONS.keys()) expect(KEYWORDS).not.toContain(word);
});
