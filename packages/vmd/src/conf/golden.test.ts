// The corpus: test/conf/pass-*.conf with what it is to be parsed to, and fail-*.conf with the
// diagnostics, as reviewed against vm.conf(5) and vmd(8) of OpenBSD. BLESS=1 writes the .ok files
// anew, to be reviewed again.
//
// A .ok file has the notes and warnings, then, for pass, the configuration; what is as when nothing
// is said is left out of it, and stated here once more.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { TEST_ACCOUNTS, testFiles } from '../../test/conf-host.ts';
import { diagnosticText } from './diagnostics.ts';
import { parseConfiguration } from './parse-configuration.ts';

const FOLDER = fileURLToPath(new URL('../../test/conf', import.meta.url));
const MACROS = new Map([['from_command_line', '/img/given']]);

/** What holds when a file is silent; an interface of the third kind. */
const SILENCE: Readonly<Record<string, unknown>> = {
  localPrefix: { address: '100.64.0.0', length: 10 },
  localInet6: null,
  socketOwner: { uid: 0, gid: 0 },
  staggeredStart: null,
  agentx: null,
  switches: [],
  vms: [],
  parent: null,
  enabled: true,
  owner: { uid: 0, gid: null },
  allow: { options: [], owner: null },
  memoryBytes: 536870912,
  boot: null,
  bootDevice: 'auto',
  cdrom: null,
  disks: [],
  interfaces: [],
  sev: 'none',
  initrd: null,
  cmdline: null,
  engine: null,
  jit: null,
  cpu: null,
  forwards: [],
  format: 'auto',
  tap: null,
  local: false,
  switch: null,
  group: null,
  lladdr: null,
  locked: false,
  rdomain: null,
  up: true,
};

function withoutSilence(key: string, value: unknown): unknown {
  if (key in SILENCE && JSON.stringify(value) === JSON.stringify(SILENCE[key])) return undefined;
  return value;
}

function outcome(path: string): string {
  const { configuration, diagnostics } = parseConfiguration({
    path,
    isOptional: false,
    macros: path.includes('command-line') ? MACROS : new Map(),
    files: testFiles(FOLDER),
    accounts: TEST_ACCOUNTS,
  });
  const lines = diagnostics.map((diagnostic) =>
    diagnostic.severity === 'note'
      ? `note: ${diagnosticText(diagnostic)}\n`
      : `${diagnosticText(diagnostic)}\n`,
  );
  const isRegistration = (line: string): boolean => /^note: .* registered/.test(line);
  const text = lines.filter((line) => !isRegistration(line)).join('');
  if (configuration === null) return text;
  return `${text}${JSON.stringify(configuration, withoutSilence, 2)}\n`;
}

const NAMES = readdirSync(FOLDER).filter((name) => /^(pass|fail)-.*\.conf$/.test(name));

test('the corpus is there', () => {
  expect(NAMES.length).toBeGreaterThan(100);
});

test.each(NAMES)('%s', (name) => {
  const text = outcome(name);
  const expected = join(FOLDER, name.replace(/conf$/, 'ok'));
  if (process.env.BLESS) writeFileSync(expected, text);
  expect(text).toBe(readFileSync(expected, 'utf8'));
  expect(text.endsWith('}\n')).toBe(name.startsWith('pass-'));
});
