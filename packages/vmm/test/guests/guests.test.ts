// Guests in files, which try cases that the manual has a rule for: x.S, its first line saying of
// how many bits its code is, and beside it x.expected, a line for each value that it reports, with
// the rule. Where QEMU, whose processor has no segment limits and few checks of their types, says
// something else, the line has that too.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { softEngines } from '../engines-under-test.ts';
import { Guest } from '../guest-program.ts';
import { hasQemu, qemuReports } from '../qemu-guest.ts';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const LINE = /^([0-9a-f]{8})(?: qemu ([0-9a-f]{8}))? \| (.+)$/;

interface Expectation {
  readonly manual: string;
  readonly qemu: string;
}

const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const hex = (value: number): string => value.toString(16).padStart(8, '0');

function expectations(name: string): Expectation[] {
  return read(`${name}.expected`)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const match = LINE.exec(line);
      if (!match) throw new Error(`${name}.expected: "${line}" is no expectation`);
      const [, value, onQemu, rule] = match;
      return { manual: `${value} ${rule}`, qemu: `${onQemu ?? value} ${rule}` };
    });
}

/** What was reported, each value with the rule of its line. */
const withRules = (values: readonly number[], lines: readonly Expectation[]): string[] =>
  values.map((value, i) => `${hex(value)} ${lines[i]?.manual.slice(9) ?? 'is one too many'}`);

const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.S'))
  .map((file) => file.slice(0, -2));

for (const name of names) {
  const source = read(`${name}.S`);
  const bits = Number(/^# (16|32)\n/.exec(source)?.[1]) as 16 | 32;
  const program = read(`common-${bits}.inc`) + source;
  const lines = expectations(name);
  const make = (engine: (typeof softEngines)[number]): Guest =>
    new Guest(engine.make(), bits, program);
  for (const engine of softEngines) {
    test(`${name}.S reports what the manual says (${engine.name})`, () => {
      expect(withRules(make(engine).reports(), lines)).toEqual(lines.map(({ manual }) => manual));
    });
  }
  test.skipIf(!hasQemu)(`${name}.S on QEMU, where it is installed, with its differences`, () => {
    const reports = qemuReports(make(softEngines[0]));
    expect(withRules(reports, lines)).toEqual(lines.map(({ qemu }) => qemu));
  });
}

test('the guests are there', () => expect(names.length).toBeGreaterThanOrEqual(5));
