// Decoder and disassembler against GNU objdump: on random encodings of every form of every row, on
// random bytes, and on the code of real programs.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createInstruction, Decoder } from './decoder.ts';
import { disassemble } from './disassembler.ts';
import { type CodeMode, DecodeStatus, type Instruction } from './instruction.ts';
import { encodingsOf, type Random } from './random-encodings.ts';
import { rows } from './rows.ts';

const absent = spawnSync('objdump', ['--version']).status !== 0;
const modes: readonly CodeMode[] = [8, 4, 2];
const SEED = 0x2545f491;
const SLOT_BYTES = 32;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'isa-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function xorshift(seed: number): Random {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

interface Line {
  readonly length: number;
  readonly text: string;
}

/** What objdump makes of `code`: by offset, length and text. */
function objdump(code: Uint8Array, mode: CodeMode): Map<number, Line> {
  const file = join(folder, 'code.bin');
  writeFileSync(file, code);
  const machine = mode === 8 ? 'i386:x86-64' : mode === 4 ? 'i386' : 'i8086';
  const syntax = mode === 8 ? 'intel,intel64' : 'intel';
  const flags = ['-D', '-z', '-b', 'binary', '-m', machine, '-M', syntax, '--insn-width=16'];
  const output = execFileSync('objdump', [...flags, file], { maxBuffer: 1 << 29 }).toString();
  const lines = new Map<number, Line>();
  for (const line of output.split('\n')) {
    const [address, bytes, text] = line.split('\t');
    if (text === undefined) continue;
    const length = bytes.trim().split(' ').length;
    lines.set(Number.parseInt(address, 16), { length, text: tidy(text) });
  }
  return lines;
}

const tidy = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** Without the names of prefixes that have no effect, which the disassembler does not show. */
const idlePrefixes =
  /^(?:(?:data16|data32|addr16|addr32|rex(?:\.\w+)?|[ecsd]s|rep[zn]*|bnd|notrack) )+/;

/** What objdump calls `(bad)`, and processors run. */
const unknownToObjdump: readonly RegExp[] = [
  /^(?:fcom|fcomp|fxch|fstp) sti \((?:D9 D8|DC D|DD C8|DE D0|DF C8|DF D)/, // Aliases of the 8087.
  /^salc$/,
  /^nop rmv \(0F 0D/, // The register form.
  /^nop rmv \(0F 1[AB]/, // MPX, where its operands make no sense.
];

/** Rows whose text differs for a reason of objdump's own. */
const spelledOtherwise: readonly RegExp[] = [
  /^nop rmv \(0F 1[ABC]/, // MPX and CLDEMOTE, which run as NOP.
  /^vp?movmsk/, // With VEX.W set the register is called by its 64-bit name.
  /^vmovs[sd] xmm, xmm, xmm .* 11/, // With VEX.L set the first operand is called a YMM register.
  /^(?:les|lds|lss|lfs|lgs|jmp|call) .*mfar$/, // A 10-byte pointer is called FWORD.
];

/**
 * A comparison's reason to be skipped: objdump takes two bits of PCLMULQDQ's immediate for names.
 */
const oddCarryless = (row: string, { immLo }: Instruction): boolean =>
  row.startsWith('pclmulqdq') && (immLo === 2 || immLo === 3);

/** Both texts, made comparable; branch targets that wrap at 64 KiB by their low 16 bits. */
function comparable(instruction: Instruction, ours: string, theirs: string): [string, string] {
  const left = tidy(ours).replace(idlePrefixes, '');
  const right = theirs.replace(idlePrefixes, '');
  const relative = instruction.row.operands[0]?.type.startsWith('rel');
  if (!relative || instruction.opsize !== 2) return [left, right];
  const wrap = (text: string) =>
    text.replace(/0x[0-9a-f]+$/, (target) => `0x${(Number(target) & 0xffff).toString(16)}`);
  return [wrap(left), wrap(right)];
}

test.skipIf(absent).each(modes)(
  'decode() agrees with objdump on every row, code size %i',
  (mode) => {
    const random = xorshift(SEED);
    const cases = rows.flatMap((row) =>
      [...encodingsOf(row, random, mode, {}, 2)].map((bytes) => ({ row, bytes })),
    );
    const code = new Uint8Array(cases.length * SLOT_BYTES).fill(0x90);
    for (const [i, { bytes }] of cases.entries()) code.set(bytes, i * SLOT_BYTES);
    const lines = objdump(code, mode);
    const decoder = new Decoder();
    const instruction = createInstruction();
    const wrong: string[] = [];
    cases.forEach(({ row, bytes }, i) => {
      const at = i * SLOT_BYTES;
      const { length, text } = lines.get(at)!;
      const status = decoder.decode(code, at, code.length, mode, instruction);
      const ours = disassemble(instruction, BigInt(at));
      const report = `${row.name}: ${Buffer.from(bytes).toString('hex')}: ${ours} | ${text}`;
      if (status !== DecodeStatus.ok || instruction.length !== bytes.length) wrong.push(report);
      if (text.includes('(bad)')) {
        if (!unknownToObjdump.some((name) => name.test(row.name))) wrong.push(report);
        return;
      }
      if (length !== bytes.length) wrong.push(report);
      if (
        spelledOtherwise.some((name) => name.test(row.name)) ||
        oddCarryless(row.name, instruction)
      )
        return;
      const [left, right] = comparable(instruction, ours, text);
      if (left !== right) wrong.push(report);
    });
    expect(cases.length).toBeGreaterThan(2000);
    expect(wrong).toEqual([]);
  },
);

/**
 * A REX prefix before another prefix, or WAIT before an x87 instruction: objdump shows the first as
 * an instruction of its own, and takes the second for one instruction.
 */
const strandedRex =
  /^(?:26|2e|36|3e|64|65|66|67|f0|f2|f3|4.)*4.(?:26|2e|36|3e|64|65|66|67|f0|f2|f3|4.|9b)/;
const waiting = /^(?:26|2e|36|3e|64|65|66|67|f0|f2|f3)*9b/;

test.skipIf(absent).each(modes)(
  'decode() agrees with objdump on random bytes, code size %i',
  (mode) => {
    const random = xorshift(SEED + mode);
    const count = 12000;
    const code = new Uint8Array(count * SLOT_BYTES).fill(0x90);
    for (let i = 0; i < count; i++) {
      const at = i * SLOT_BYTES;
      for (let j = 0; j < 15; j++) code[at + j] = random() >>> 7;
      // Random bytes seldom begin with a prefix and 0F, where most rows are.
      let lead = at;
      if (random() % 3 === 0)
        code[lead++] = [0x66, 0xf3, 0xf2, 0x67, 0xf0, 0x64, 0x48][random() % 7];
      if (random() % 2 === 0) code[lead++] = 0x0f;
      if (lead > at && random() % 6 === 0) code[lead++] = 0x38 + 2 * (random() & 1);
    }
    const lines = objdump(code, mode);
    const decoder = new Decoder();
    const instruction = createInstruction();
    const wrong: string[] = [];
    let agreed = 0;
    for (let at = 0; at < code.length; at += SLOT_BYTES) {
      const line = lines.get(at);
      const status = decoder.decode(code, at, code.length, mode, instruction);
      const bytes = Buffer.from(code.subarray(at, at + 15)).toString('hex');
      if (line === undefined || line.text.includes('(bad)') || status !== DecodeStatus.ok) continue;
      if (waiting.test(bytes) || (mode === 8 && strandedRex.test(bytes))) continue;
      if (line.length === instruction.length) agreed++;
      else wrong.push(`${bytes}: ${disassemble(instruction, BigInt(at))} | ${line.text}`);
    }
    expect(wrong).toEqual([]);
    expect(agreed).toBeGreaterThan(count / 2);
  },
);

test('decode() needs exactly the bytes of an instruction', () => {
  const random = xorshift(SEED);
  const decoder = new Decoder();
  const instruction = createInstruction();
  const code = new Uint8Array(16);
  const wrong: string[] = [];
  for (let i = 0; i < 20000; i++) {
    for (let j = 0; j < 16; j++) code[j] = random() >>> 9;
    const mode = modes[i % 3];
    const whole = decoder.decode(code, 0, 16, mode, instruction);
    const { length } = instruction;
    for (let limit = 0; limit < 16; limit++) {
      const status = decoder.decode(code, 0, limit, mode, instruction);
      const short = status === DecodeStatus.truncated;
      // An invalid instruction may be known for one before all of its bytes are there.
      const right =
        whole === DecodeStatus.ok ? short === limit < length : short || status === whole;
      if (!right) wrong.push(`${Buffer.from(code).toString('hex')} cut at ${limit}: ${status}`);
    }
  }
  expect(wrong).toEqual([]);
});

/** Real programs, as far as they are there: a C library linked statically, and others. */
const programs = ['/bin/busybox', '/usr/bin/objdump', '/usr/bin/gcc'].filter((path) =>
  existsSync(path),
);
const TEXT_BYTES = 1 << 17;

/** Newer extensions than the rows have: mask registers, VAES and AVX-VNNI, TSX, RDPID, CET. */
const beyond =
  /^k\w|^v(?:aes|pclmul).*ymm|^\{vex\}|^x(?:begin|end|abort|test)|rdpid|rdssp|incssp|\(bad\)/;
/** The first byte of an EVEX prefix. */
const EVEX = 0x62;

test.skipIf(absent || programs.length === 0)(
  'decode() agrees with objdump on real programs',
  () => {
    const decoder = new Decoder();
    const instruction = createInstruction();
    const wrong: string[] = [];
    let compared = 0;
    for (const program of programs) {
      const file = join(folder, 'text.bin');
      execFileSync('objcopy', ['-O', 'binary', '-j', '.text', program, file]);
      const code = new Uint8Array(readFileSync(file)).slice(0, TEXT_BYTES);
      for (const [at, { length, text }] of objdump(code, 8)) {
        if (at > code.length - 16 || code[at] === EVEX || beyond.test(text)) continue;
        const status = decoder.decode(code, at, code.length, 8, instruction);
        const ours =
          status === DecodeStatus.ok ? disassemble(instruction, BigInt(at)) : `status ${status}`;
        const [left, right] = comparable(instruction, ours, text);
        compared++;
        if (left !== right || length !== instruction.length)
          wrong.push(`${program} ${at}: ${left} | ${right}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(10000);
  },
);
