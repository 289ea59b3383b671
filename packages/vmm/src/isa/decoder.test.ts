// What the decoder's record says beyond the text that objdump.test.ts compares: sizes, segments,
// extensions, limits. Expectations are from SDM vol. 2A, chapter 2, and vol. 1, 3.7.5 (segments).

import { expect, test } from 'vitest';
import { createInstruction, Decoder } from './decoder.ts';
import { BASE_RIP, type CodeMode, DecodeStatus, type Instruction } from './instruction.ts';
import { featureNames } from './row.ts';

const decoder = new Decoder();
const [ES, SS, DS, FS] = [0, 2, 3, 4];

function statusOf(hex: string, mode: CodeMode = 8, by: Decoder = decoder): DecodeStatus {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return by.decode(bytes, 0, bytes.length, mode, createInstruction());
}

function decoded(hex: string, mode: CodeMode = 8, by: Decoder = decoder): Instruction {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const instruction = createInstruction();
  const status = by.decode(bytes, 0, bytes.length, mode, instruction);
  expect(status, hex).toBe(DecodeStatus.ok);
  return instruction;
}

test('decode() takes the stack segment for rBP and rSP bases only', () => {
  expect(decoded('8b 45 00').segment).toBe(SS); // [rbp]
  expect(decoded('8b 04 24').segment).toBe(SS); // [rsp]
  expect(decoded('41 8b 45 00').segment).toBe(DS); // [r13]
  expect(decoded('41 8b 04 24').segment).toBe(DS); // [r12]
  expect(decoded('8b 04 2d 00 00 00 00').segment).toBe(DS); // [rbp*1]
  expect(decoded('8b 05 00 00 00 00').segment).toBe(DS); // [rip]
  expect(decoded('8b 46 00', 2).segment).toBe(SS); // [bp]
  expect(decoded('8b 02', 2).segment).toBe(SS); // [bp+si]
  expect(decoded('8b 06 34 12', 2).segment).toBe(DS); // [1234h]
});

test('decode() heeds FS and GS alone in 64-bit code', () => {
  expect(decoded('64 8b 45 00').segment).toBe(FS);
  expect(decoded('26 8b 45 00').segment).toBe(SS);
  expect(decoded('26 8b 45 00', 4).segment).toBe(ES);
  expect(decoded('64 26 8b 00')).toMatchObject({ segment: FS, segmentOverride: FS });
  expect(decoded('64 26 8b 00', 4).segment).toBe(ES);
  expect(decoded('36 a4', 4).segment).toBe(SS);
});

test('decode() answers operand and address sizes', () => {
  expect(decoded('01 c8').opsize).toBe(4);
  expect(decoded('66 01 c8').opsize).toBe(2);
  expect(decoded('66 48 01 c8').opsize).toBe(8);
  expect(decoded('00 c8').opsize).toBe(1);
  expect(decoded('01 c8', 2).opsize).toBe(2);
  expect(decoded('66 01 c8', 2).opsize).toBe(4);
  expect(decoded('50')).toMatchObject({ opsize: 8, rm: 0 });
  expect(decoded('66 50').opsize).toBe(2);
  expect(decoded('66 e8 00 00 00 00')).toMatchObject({ opsize: 8, length: 6 });
  expect(decoded('66 e8 00 00', 4)).toMatchObject({ opsize: 2, length: 4 });
  expect(decoded('48 ed').opsize).toBe(4);
  expect(decoded('ff 18').opsize).toBe(4);
  expect(decoded('67 8b 00').addrSize).toBe(4);
  expect(decoded('67 8b 00', 4).addrSize).toBe(2);
  expect(decoded('67 8b 00', 2).addrSize).toBe(4);
});

test('decode() extends immediates as the instruction defines', () => {
  expect(decoded('48 83 c0 80')).toMatchObject({ immLo: -128, immHi: -1 });
  expect(decoded('48 05 00 00 00 80')).toMatchObject({ immLo: -0x80000000, immHi: -1 });
  expect(decoded('b8 00 00 00 80')).toMatchObject({ immLo: -0x80000000, immHi: 0 });
  expect(decoded('48 b8 01 00 00 00 02 00 00 80')).toMatchObject({ immLo: 1, immHi: -0x7ffffffe });
  expect(decoded('cd 80')).toMatchObject({ immLo: 0x80, immHi: 0 });
  expect(decoded('c2 00 80')).toMatchObject({ immLo: 0x8000, immHi: 0 });
  expect(decoded('c8 34 12 05')).toMatchObject({ immLo: 0x1234, imm2: 5 });
  expect(decoded('ea 78 56 34 12 cd ab', 4)).toMatchObject({ immLo: 0x12345678, imm2: 0xabcd });
  expect(decoded('ea 34 12 cd ab', 2)).toMatchObject({ immLo: 0x1234, imm2: 0xabcd });
  expect(decoded('eb fe')).toMatchObject({ immLo: -2, immHi: -1 });
});

test('decode() reads displacements and offsets', () => {
  expect(decoded('8b 40 80')).toMatchObject({ base: 0, index: -1, disp: -128, dispHi: -1 });
  expect(decoded('8b 05 04 00 00 80')).toMatchObject({ base: BASE_RIP, disp: -0x7ffffffc });
  expect(decoded('8b 05 04 00 00 80', 4)).toMatchObject({ base: -1, index: -1 });
  expect(decoded('8b 04 25 00 10 00 00')).toMatchObject({ base: -1, index: -1, disp: 0x1000 });
  expect(decoded('43 8b 04 e5 00 00 00 00')).toMatchObject({ base: -1, index: 12, scale: 3 });
  expect(decoded('4f 8b 7c bd 08')).toMatchObject({
    reg: 15,
    base: 13,
    index: 15,
    scale: 2,
    disp: 8,
  });
  expect(decoded('48 a1 01 00 00 80 02 00 00 00')).toMatchObject({ disp: -0x7fffffff, dispHi: 2 });
  expect(decoded('a1 01 00 00 80', 4)).toMatchObject({ disp: -0x7fffffff, dispHi: 0 });
  expect(decoded('a1 01 80', 2)).toMatchObject({ disp: 0x8001, dispHi: 0 });
});

test('decode() extends register numbers by REX, but not those of MMX and segments', () => {
  expect(decoded('45 01 c8')).toMatchObject({ reg: 9, rm: 8 });
  expect(decoded('45 0f fc c8')).toMatchObject({ reg: 1, rm: 0 });
  expect(decoded('45 66 0f fc c8')).toMatchObject({ reg: 1, rm: 0, rexPresent: false });
  expect(decoded('66 45 0f fc c8')).toMatchObject({ reg: 9, rm: 8, rexPresent: true });
  expect(decoded('45 8e d8')).toMatchObject({ reg: DS, rm: 8 });
  expect(decoded('44 0f 20 c0')).toMatchObject({ reg: 8, rm: 0 });
  expect(decoded('41 90').row.name).toBe('xchg rv, av');
  expect(decoded('f3 41 90').row.mnemonic).toBe('pause');
  expect(decoded('48 90').row.mnemonic).toBe('nop');
});

test('decode() takes a control register move for a register form whatever mod says', () => {
  expect(decoded('0f 20 05')).toMatchObject({ mod: 3, rm: 5, length: 3 });
});

test('decode() refuses what is not an instruction in the mode', () => {
  for (const hex of [
    '06',
    '27',
    '60',
    '62 00',
    '82 c0 00',
    '9a 00 00 00 00 00 00',
    'c4 00',
    'd6',
    'ce',
  ]) {
    expect(statusOf(`${hex} 00 00 00 00`, 8), hex).toBe(DecodeStatus.invalid);
    expect(statusOf(`${hex} 00 00 00 00`, 4), hex).toBe(DecodeStatus.ok);
  }
  expect(statusOf('0f 05', 4)).toBe(DecodeStatus.invalid);
  expect(statusOf('0f 01 f8', 4)).toBe(DecodeStatus.invalid);
  expect(statusOf('8e c8')).toBe(DecodeStatus.invalid); // MOV CS
  expect(statusOf('8e f0')).toBe(DecodeStatus.invalid); // segment register 6
  expect(statusOf('0f 22 c8')).toBe(DecodeStatus.invalid); // CR1
  expect(statusOf('44 0f 23 c0')).toBe(DecodeStatus.invalid); // DR8
  expect(statusOf('8d c0')).toBe(DecodeStatus.invalid); // LEA of a register
});

test('decode() allows LOCK with a memory destination only', () => {
  expect(decoded('f0 01 08').lock).toBe(true);
  expect(statusOf('f0 01 c8')).toBe(DecodeStatus.invalid);
  expect(statusOf('f0 03 08')).toBe(DecodeStatus.invalid);
  expect(statusOf('f0 39 08')).toBe(DecodeStatus.invalid);
  expect(statusOf('f0 90')).toBe(DecodeStatus.invalid);
});

test('decode() refuses more than 15 bytes, and asks for more of fewer', () => {
  expect(statusOf(`${'66'.repeat(14)}90`)).toBe(DecodeStatus.ok);
  expect(statusOf(`${'66'.repeat(15)}90`)).toBe(DecodeStatus.tooLong);
  expect(statusOf('66'.repeat(14))).toBe(DecodeStatus.truncated);
  expect(statusOf(`${'66'.repeat(10)}81 80 00 00 00 00 00 00`)).toBe(DecodeStatus.tooLong);
  expect(statusOf('48 81 80 00 00 00 00 00 00 00')).toBe(DecodeStatus.truncated);
  expect(statusOf('')).toBe(DecodeStatus.truncated);
});

test('Decoder() without a feature decodes what is left without it', () => {
  const plain = new Decoder(
    featureNames.filter((name) => !['lzcnt', 'bmi1', 'movbe'].includes(name)),
  );
  expect(decoded('f3 0f bd c0', 8, decoder).row.mnemonic).toBe('lzcnt');
  expect(decoded('f3 0f bd c0', 8, plain).row.mnemonic).toBe('bsr');
  expect(decoded('f3 0f bc c0', 8, plain).row.mnemonic).toBe('bsf');
  expect(statusOf('0f 38 f0 00', 8, plain)).toBe(DecodeStatus.invalid);
  expect(statusOf('f2 0f 38 f0 00', 8, plain)).toBe(DecodeStatus.ok);
  expect(statusOf('0f 58 c1', 8, new Decoder([]))).toBe(DecodeStatus.invalid);
  expect(statusOf('0f 0d 08', 8, new Decoder([]))).toBe(DecodeStatus.ok);
});

test('decode() takes registers from VEX, and refuses it behind LOCK, 66, F2, F3 and REX', () => {
  // vpaddd xmm9, xmm10, [r11 + r12 * 2]: SDM vol. 2A, figure 2-9.
  expect(decoded('c4 01 29 fe 0c 63')).toMatchObject({
    ...{ reg: 9, vvvv: 10, base: 11, index: 12, scale: 1 },
    row: { mnemonic: 'vpaddd', unit: 'avx' },
  });
  expect(decoded('c5 ed fe cb')).toMatchObject({ reg: 1, vvvv: 2, rm: 3 });
  for (const prefix of ['f0', '66', 'f2', 'f3', '40']) {
    expect(statusOf(`${prefix} c5 ed fe cb`), prefix).toBe(DecodeStatus.invalid);
  }
  for (const prefix of ['67', '64', '2e']) {
    expect(statusOf(`${prefix} c5 ed fe cb`), prefix).toBe(DecodeStatus.ok);
  }
  // vmovaps has no second source: VEX.vvvv must be 1111b. Of gathers three registers must differ.
  expect(statusOf('c5 f8 28 c1')).toBe(DecodeStatus.ok);
  expect(statusOf('c5 e8 28 c1')).toBe(DecodeStatus.invalid);
  expect(statusOf('c4 e2 69 90 0c 18')).toBe(DecodeStatus.ok);
  expect(statusOf('c4 e2 71 90 0c 18')).toBe(DecodeStatus.invalid);
});

test('decode() tells VEX from LES and LDS outside 64-bit code', () => {
  for (const mode of [2, 4] as const) {
    expect(decoded('c5 00', mode).row.mnemonic).toBe('lds');
    expect(decoded('c4 00', mode).row.mnemonic).toBe('les');
    expect(decoded('c5 ed fe cb', mode).row.mnemonic).toBe('vpaddd');
  }
});
