// The code generator's golden files: for each x.asm beside this file, x.wat is what it makes of it,
// as region-text.ts shows it. `BLESS=1 npx vitest run packages/vmm/test/golden` accepts what it
// makes now; the difference is then there to be reviewed.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { assemble } from '../guest-program.ts';
import { ADDRESS, regionText } from './region-text.ts';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const BLESS = process.env.BLESS === '1';

function hasAssembler(): boolean {
  try {
    execFileSync('as', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const namesOf = (extension: string): string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(extension))
    .map((file) => file.slice(0, -extension.length))
    .sort();

const names = namesOf('.asm');

describe.skipIf(!hasAssembler())('the compiler (skipped without as(1) of binutils)', () => {
  test.each(names)('makes of %s.asm what its golden file says', async (name) => {
    const source = readFileSync(join(FOLDER, `${name}.asm`), 'utf8');
    const text = await regionText(assemble(source, 64, ADDRESS));
    const path = join(FOLDER, `${name}.wat`);
    if (BLESS) writeFileSync(path, text);
    expect(existsSync(path), `${name}.wat is missing: accept it with BLESS=1`).toBe(true);
    expect(text).toBe(readFileSync(path, 'utf8'));
  });
});

test('every golden file has its source', () => {
  expect(names.length).toBeGreaterThanOrEqual(12);
  expect(namesOf('.wat')).toEqual(names);
});
