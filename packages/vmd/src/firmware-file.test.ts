import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { firmwarePath } from './firmware-file.ts';

test('firmwarePath() is the first that there is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'firmware-'));
  try {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder, name)) as [string, string, string];
    writeFileSync(b, '');
    writeFileSync(c, '');
    expect(firmwarePath([a, b, c])).toBe(b);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('firmwarePath() says what to do when there is none', () => {
  expect(() => firmwarePath(['/nonexistent/bios'])).toThrow(
    /^vmm bios firmware file not found: install SeaBIOS .* with -b\.$/,
  );
});
