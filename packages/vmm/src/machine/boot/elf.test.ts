// Compared with readelf(1) on the test runner's own executable and on objects made by as(1).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VmmError } from '../../base/errors.ts';
import { elfSections, elfSegments, parseElf } from './elf.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'elf-'));
  writeFileSync(join(folder, 'x.s'), '.section .notes.here,"a"\n.ascii "hello"\n.bss\n.space 64\n');
  for (const bits of ['32', '64']) {
    execFileSync('as', [`--${bits}`, '-o', `x${bits}.o`, 'x.s'], { cwd: folder });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['32', '64'])('elfSections() reads names and bytes of an ELF%s object', (bits) => {
  const path = join(folder, `x${bits}.o`);
  const file = parseElf({ name: path, bytes: readFileSync(path) });
  const sections = elfSections(file);
  const listed = execFileSync('readelf', ['-SW', path], { encoding: 'utf8' });
  const names = [...listed.matchAll(/^ +\[ *\d+\] (\.\S+)/gm)].map((match) => match[1]);
  expect(sections.map((section) => section.name)).toEqual(['', ...names]);
  const notes = sections.find((section) => section.name === '.notes.here')!;
  expect(new TextDecoder().decode(notes.data)).toBe('hello');
  expect(sections.find((section) => section.name === '.bss')!.data).toHaveLength(0);
});

test('elfSegments() reads the program headers of a host executable', () => {
  const path = '/bin/true';
  const file = parseElf({ name: path, bytes: readFileSync(path) });
  const listed = execFileSync('readelf', ['-lhW', path], { encoding: 'utf8' });
  const rows = [...listed.matchAll(/^ +LOAD +(\S+) (\S+) (\S+) (\S+) (\S+)/gm)];
  const loads = elfSegments(file).filter((segment) => segment.type === 1);
  expect(
    loads.map((s) => [s.virtualAddress, s.physicalAddress, s.data.length, s.memoryBytes]),
  ).toEqual(rows.map((row) => row.slice(2).map(Number)));
  expect(file.entry).toBe(Number(/Entry point address: +(\S+)/.exec(listed)![1]));
});

test('parseElf(), elfSegments() and elfSections() refuse damaged files with VmmError only', () => {
  const whole = readFileSync(join(folder, 'x64.o'));
  const changes = fc.array(fc.tuple(fc.nat(63), fc.nat(255)), { maxLength: 6 });
  fc.assert(
    fc.property(changes, fc.nat(whole.length), (damage, cut) => {
      const bytes = new Uint8Array(whole);
      for (const [offset, value] of damage) bytes[offset] = value;
      const name = 'damaged';
      for (const candidate of [bytes, bytes.subarray(0, cut)]) {
        try {
          const file = parseElf({ name, bytes: candidate });
          elfSegments(file);
          elfSections(file);
        } catch (error) {
          expect(error).toBeInstanceOf(VmmError);
        }
      }
    }),
    { numRuns: 500 },
  );
});
