// The decoder against the processor that runs this test: which bytes are instructions, and where
// LOCK is allowed. All opcodes of the maps 0F, 0F 38 and 0F 3A, with every mandatory prefix and
// REX.W; and with VEX of every length, prefix and W, with and without a register in VEX.vvvv.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createInstruction, Decoder } from './decoder.ts';
import { DecodeStatus } from './instruction.ts';
import { type Feature, featureNames } from './row.ts';

const CPUINFO = '/proc/cpuinfo';
const SIGILL = 4;
const able =
  arch() === 'x64' && existsSync(CPUINFO) && spawnSync('gcc', ['--version']).status === 0;

/** How Linux spells features whose CPUID names differ. */
const spelling: Partial<Record<Feature, string>> = {
  sse3: 'pni',
  sha: 'sha_ni',
  lzcnt: 'abm',
  clfsh: 'clflush',
  prefetchw: '3dnowprefetch',
};

let folder = '';
let program = '';
beforeAll(() => {
  if (!able) return;
  folder = mkdtempSync(join(tmpdir(), 'isa-'));
  program = join(folder, 'host-legality');
  const source = fileURLToPath(new URL('./host-legality.c', import.meta.url));
  execFileSync('gcc', ['-O1', '-no-pie', '-o', program, source]);
});
afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true });
});

function hostFeatures(): Feature[] {
  const flags = new Set(/^flags.*$/m.exec(readFileSync(CPUINFO, 'utf8'))![0].split(/\s+/));
  return featureNames.filter((name) => flags.has(spelling[name] ?? name));
}

/**
 * What must not run: system calls, branches, and what loses the stack, a segment or the FS base.
 */
function mustNotRun(map: string, opcode: number, reg: number, modrm: number): boolean {
  if (map === '') {
    const arithmetic = opcode < 0x40 && (opcode & 7) < 6;
    const others = [0x63, 0x69, 0x6b, 0x80, 0x81, 0x83, 0xc0, 0xc1, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe];
    const span = (first: number, last: number) => opcode >= first && opcode <= last;
    if (opcode === 0xff) return reg > 1;
    return !(arithmetic || others.includes(opcode) || span(0x84, 0x8b) || span(0xd0, 0xd3));
  }
  if (map !== '0f') return false;
  if (opcode === 0xae && modrm >= 0xc0) return true;
  if ((opcode >= 0x80 && opcode < 0x90) || (opcode >= 0xc8 && opcode < 0xd0)) return true;
  // biome-ignore format: a list, not a column
  const others = [
    0x01, 0x05, 0x07, 0x0b, 0x0f, 0x34, 0x35, 0x37, 0x38, 0x3a, 0xa0, 0xa1, 0xa8, 0xa9, 0xaa, 0xb2,
    0xb4, 0xb5, 0xb9, 0xff,
  ];
  return others.includes(opcode);
}

/** Extensions the rows do not know: GFNI, MOVDIRI, ENQCMD, HRESET, CET, PTWRITE, RDPID, UINTR. */
const newer = /^(?:66|f[23]|48)*0f(?:38(?:cf|f[5-9a-f])|3a(?:c[ef]|f0)|ae|c7)/;

interface Case {
  readonly hex: string;
  readonly row: string | undefined;
}

/** Every opcode of `maps` with these prefixes; memory at [rdi] and register forms. */
function* cases(
  decoder: Decoder,
  maps: readonly string[],
  prefixes: readonly string[],
): Generator<Case> {
  const instruction = createInstruction();
  const hex = (byte: number) => byte.toString(16).padStart(2, '0');
  for (const map of maps) {
    for (let at = 0; at < 256 * 16; at++) {
      const [opcode, reg] = [at >> 4, (at >> 1) & 7];
      const modrm = (at & 1 ? 0xc0 : 0x07) | (reg << 3);
      if (mustNotRun(map, opcode, reg, modrm)) continue;
      for (const prefix of prefixes) {
        const text = prefix + map + hex(opcode) + hex(modrm);
        const bytes = Buffer.from(`${text}${'00'.repeat(8)}`, 'hex');
        const status = decoder.decode(bytes, 0, bytes.length, 8, instruction);
        if (status === DecodeStatus.ok) {
          yield { hex: bytes.toString('hex', 0, instruction.length), row: instruction.row.name };
        } else {
          yield { hex: map === '0f3a' ? `${text}00` : text, row: undefined };
        }
      }
    }
  }
}

/** What `all` shows of a disagreement with the host. */
function disagreements(all: readonly Case[]): string[] {
  const input = `${all.map(({ hex }) => hex).join('\n')}\n`;
  const answers = execFileSync(program, { input, maxBuffer: 1 << 26 })
    .toString()
    .trim()
    .split('\n');
  expect(answers.length).toBe(all.length);
  return all.flatMap(({ hex, row }, i) => {
    const refused = Number(answers[i]) === SIGILL;
    if (refused === (row === undefined) || (row === undefined && newer.test(hex))) return [];
    return [`${hex}: ${row ?? 'invalid'}, but the host says ${refused ? '#UD' : 'it is valid'}`];
  });
}

test.skipIf(!able)('decode() refuses what this processor refuses', () => {
  // VMX instructions are #UD in user mode outside VMX operation, whatever CPUID says.
  const decoder = new Decoder(hostFeatures().filter((name) => name !== 'vmx' && name !== 'svm'));
  const prefixes = ['', '66', 'f3', 'f2', '66f3', '66f2', '48', '6648', 'f348', 'f248'];
  const all = [...cases(decoder, ['0f', '0f38', '0f3a'], prefixes)];
  expect(all.length).toBeGreaterThan(100000);
  expect(disagreements(all)).toEqual([]);
});

test.skipIf(!able)('decode() refuses LOCK where this processor does', () => {
  const decoder = new Decoder(hostFeatures());
  const all = [...cases(decoder, ['', '0f'], ['f0', '66f0', 'f3f0', 'f048'])];
  expect(all.filter(({ row }) => row !== undefined).length).toBeGreaterThan(300);
  expect(disagreements(all)).toEqual([]);
});

/**
 * Opcodes with VEX that are of AVX-512's mask registers, AVX-VNNI, AMX, VAES, VPCLMULQDQ or GFNI.
 */
const newerVex: Readonly<Record<string, RegExp>> = {
  e1: /^(?:4[124567ab]|9[012389])$/,
  e2: /^(?:49|4b|5[0123ce]|cf|d[cdef])$/,
  e3: /^(?:3[0123]|44|c[ef])$/,
};

/** Every opcode behind a VEX prefix of three bytes; memory at [rdi] and register forms. */
function* vexCases(decoder: Decoder): Generator<Case & { readonly isNewer: boolean }> {
  const instruction = createInstruction();
  const hex = (byte: number) => byte.toString(16).padStart(2, '0');
  for (const map of ['e1', 'e2', 'e3']) {
    for (let at = 0; at < 256 * 16 * 32; at++) {
      const [opcode, reg] = [at >> 9, (at >> 6) & 7];
      const modrm = (at & 1 ? 0xc0 : 0x07) | (reg << 3);
      // W, a register in vvvv or none, L, pp: bits 5:1.
      const last = ((at & 2) << 6) | (at & 4 ? 0x68 : 0x78) | ((at >> 3) & 7);
      const text = `c4${map}${hex(last)}${hex(opcode)}${hex(modrm)}`;
      const bytes = Buffer.from(`${text}${'00'.repeat(8)}`, 'hex');
      const status = decoder.decode(bytes, 0, bytes.length, 8, instruction);
      const isNewer = newerVex[map].test(hex(opcode));
      if (status === DecodeStatus.ok) {
        const row = instruction.row.name;
        yield { hex: bytes.toString('hex', 0, instruction.length), row, isNewer };
      } else {
        yield { hex: map === 'e3' ? `${text}00` : text, row: undefined, isNewer };
      }
    }
  }
}

test.skipIf(!able || !hostFeatures().includes('avx2'))(
  'decode() refuses what this processor refuses behind a VEX prefix',
  () => {
    const decoder = new Decoder(hostFeatures());
    const all = [...vexCases(decoder)].filter(({ row, isNewer }) => row !== undefined || !isNewer);
    expect(all.filter(({ row }) => row !== undefined).length).toBeGreaterThan(20000);
    expect(disagreements(all).slice(0, 20)).toEqual([]);
  },
  120_000,
);
