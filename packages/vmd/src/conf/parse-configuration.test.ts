// What the corpus cannot show: defaults in full, files that are not there, and that no text at all
// makes the parser throw, hang, or let through what is beyond the limits.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VmmError } from 'vmm';
import { TEST_ACCOUNTS, testFiles } from '../../test/conf-host.ts';
import type { ConfFiles } from './conf-files.ts';
import { diagnosticText } from './diagnostics.ts';
import { type ConfResult, parseConfiguration } from './parse-configuration.ts';

const FOLDER = fileURLToPath(new URL('../../test/conf', import.meta.url));
const CORPUS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.conf'))
  .map((name) => readFileSync(join(FOLDER, name), 'utf8'));
/** SEED=n repeats a run. */
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31);

function parse(text: string, macros: Record<string, string> = {}): ConfResult {
  const files: ConfFiles = { ...testFiles(FOLDER), read: () => text };
  return parseConfiguration({
    path: 'vm.conf',
    isOptional: false,
    macros: new Map(Object.entries(macros)),
    files,
    accounts: TEST_ACCOUNTS,
  });
}

const texts = ({ diagnostics }: ConfResult): string[] => diagnostics.map(diagnosticText);

test('a vm has the defaults of vm.conf(5)', () => {
  expect(parse('vm "a" { disk "/img/a" }').configuration).toEqual({
    global: {
      localPrefix: { address: '100.64.0.0', length: 10 },
      localInet6: null,
      socketOwner: { uid: 0, gid: 0 },
      staggeredStart: null,
      agentx: null,
    },
    switches: [],
    vms: [
      {
        name: 'a',
        parent: null,
        enabled: true,
        owner: { uid: 0, gid: null },
        allow: { options: [], owner: null },
        memoryBytes: 512 * 1024 * 1024,
        boot: null,
        bootDevice: 'auto',
        cdrom: null,
        disks: [{ path: '/img/a', format: 'auto' }],
        interfaces: [],
        sev: 'none',
        initrd: null,
        cmdline: null,
        engine: null,
        jit: null,
        cpu: null,
        forwards: [],
      },
    ],
  });
});

test('what is registered and skipped is noted, for those who ask', () => {
  const text = 'vm "a" {\n disable\n disk "/a"\n}\nswitch "s" {\n disable\n interface veb0\n}\n';
  expect(texts(parse(text))).toEqual([
    'vm.conf:4: vm "a" registered (disabled)',
    'vm.conf:8: switch "s" skipped (disabled)',
  ]);
});

test('macros of the command line come first, and are missed when nothing uses them', () => {
  const text = 'a = "/file"\nvm "a" { disk $a }';
  const { configuration, diagnostics } = parse(text, { a: '/given', b: '' });
  expect(configuration?.vms[0]?.disks[0]?.path).toBe('/given');
  expect(diagnostics.map(diagnosticText)).toContain("warning: macro 'b' not used");
});

test('a macro of the command line may have lines, which do not count as lines of the file', () => {
  const { diagnostics } = parse('vm "a" { $two }\nbogus', { two: 'enable\ndisk "/img/a"' });
  expect(diagnostics.map(diagnosticText).at(-1)).toMatch(/^vm\.conf:2: syntax error/);
});

describe('a file that cannot be read', () => {
  const read = (code: 'ENOENT' | 'EACCES', isOptional: boolean): ConfResult => {
    const refuse = (): never => {
      throw new VmmError(code, 'the reason');
    };
    const files: ConfFiles = { read: refuse, realpath: refuse, resolve: (path) => path };
    const accounts = TEST_ACCOUNTS;
    return parseConfiguration({ path: 'x', isOptional, macros: new Map(), files, accounts });
  };

  test('is an error, once', () => {
    const { configuration, diagnostics } = read('ENOENT', false);
    expect(configuration).toBeNull();
    expect(diagnostics.map(diagnosticText)).toEqual(['failed to open x: the reason']);
    expect(read('EACCES', true).configuration).toBeNull();
  });

  test('is an empty configuration when it may be absent, and is', () => {
    expect(read('ENOENT', true).configuration).toMatchObject({ vms: [], switches: [] });
  });
});

test('control characters of a file do not reach the terminal', () => {
  expect(texts(parse('vm "\x1b[2J" { disk "/img/a" }'))).toEqual([
    'vm.conf:1: vm "\\x1b[2J" failed: invalid VM name',
  ]);
});

/** What holds of every result, written from the manual's limits. */
function checkResult(text: string, { configuration, diagnostics }: ConfResult): void {
  const lineCount = text.split('\n').length;
  for (const { severity, position, message } of diagnostics) {
    expect(message).not.toBe('');
    if (severity === 'error') expect(position).not.toBeNull();
    if (position?.file !== 'vm.conf') continue;
    expect(position.line).toBeGreaterThanOrEqual(1);
    expect(position.line).toBeLessThanOrEqual(lineCount);
  }
  expect(configuration === null).toBe(diagnostics.some(({ severity }) => severity === 'error'));
  if (configuration === null) return;
  const names = configuration.vms.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const vm of configuration.vms) {
    expect(vm.name).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
    expect(vm.disks.length).toBeLessThanOrEqual(4);
    expect(vm.interfaces.length).toBeLessThanOrEqual(4);
    expect(vm.memoryBytes % 2 ** 20).toBe(0);
    expect(vm.memoryBytes).toBeGreaterThanOrEqual(2 ** 20);
    expect(vm.boot !== null || vm.cdrom !== null || vm.disks.length > 0).toBe(true);
    if (vm.parent !== null) expect(names.indexOf(vm.parent)).toBeLessThan(names.indexOf(vm.name));
    for (const { tap, rdomain } of vm.interfaces) {
      if (tap !== null) expect(tap).toMatch(/^tap\d{1,12}$/);
      if (rdomain !== null) expect(rdomain >= 0 && rdomain <= 255).toBe(true);
    }
  }
}

const WORDS = (
  'vm switch include local prefix inet6 socket owner staggered start parallel delay agentx ' +
  'context path { } , = # \\ " \' $ $a ( ) - 1 0 -1 4 512M 1G a b "a" "b" "/img/a" alice:staff ' +
  ':staff tap tap0 bridge0 veb1 boot device cdrom disk format raw qcow2 memory interface ' +
  'interfaces enable disable up down locked lladdr group rdomain instance allow sev seves ' +
  'initrd cmdline engine soft jit on cpu v2 forward 80:80 id add size net 10.0.0.0/8 fd00::/8 ' +
  '00:01:02:03:04:05 inc/plain.conf'
).split(' ');

/** Pieces of the corpus, put together anew. */
const mutation = fc
  .tuple(
    fc.constantFrom(...CORPUS),
    fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        length: fc.nat(12),
        piece: fc.oneof(
          fc.constantFrom(...WORDS, '\n', '\0', '\x01', 'é', '\ud800'),
          fc
            .tuple(fc.constantFrom(...CORPUS), fc.nat(400), fc.nat(60))
            .map(([text, at, length]) => text.slice(at, at + length)),
        ),
      }),
      { minLength: 1, maxLength: 8 },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((result, { at, length, piece }) => {
      const start = Math.floor(at * result.length);
      return result.slice(0, start) + piece + result.slice(start + length);
    }, text),
  );

const wordSoup = fc
  .array(fc.constantFrom(...WORDS, '\n', '\n', ' \t'), { maxLength: 80 })
  .map((words) => words.join(' '));

test.each([
  ['any characters', fc.string({ unit: 'binary', maxLength: 200 })],
  ['words in any order', wordSoup],
  ['changed files', mutation],
])(`%s give a configuration or errors, and nothing else (seed ${SEED})`, (_, arbitrary) => {
  fc.assert(
    fc.property(arbitrary, (text) => checkResult(text, parse(text, { a: 'disk "/img/a"' }))),
    { seed: SEED, numRuns: 1000 },
  );
});

test('a large file takes time in proportion', () => {
  const lines = Array.from({ length: 20_000 }, (_, at) => `vm "v${at}" { disk "/img/${at}" }`);
  expect(parse(lines.join('\n')).configuration?.vms.length).toBe(20_000);
  const braces = '{'.repeat(200_000);
  expect(parse(`vm "a" ${braces}`).configuration).toBeNull();
});
