import { expect, test } from 'vitest';
import { createInstruction, Decoder } from './decoder.ts';
import { type CodeMode, DecodeStatus, type Instruction } from './instruction.ts';
import { operandShapes } from './operand.ts';
import { type EncodingLimits, encodingsOf, formsOf, type Random } from './random-encodings.ts';
import { rows } from './rows.ts';

function counter(): Random {
  let state = 1;
  return () => {
    state = Math.imul(state, 0x41c64e6d) + 0x3039;
    return (state ^ (state >>> 16)) >>> 0;
  };
}

const decoder = new Decoder();

/** Every encoding within `limits`, decoded. */
function* decodedWithin(mode: CodeMode, limits: EncodingLimits): Generator<Instruction> {
  const random = counter();
  const instruction = createInstruction();
  for (const row of rows) {
    for (const bytes of encodingsOf(row, random, mode, limits)) {
      const status = decoder.decode(bytes, 0, bytes.length, mode, instruction);
      expect(status, `${row.name}: ${Buffer.from(bytes).toString('hex')}`).toBe(DecodeStatus.ok);
      expect(instruction.length).toBe(bytes.length);
      yield instruction;
    }
  }
}

test('encodingsOf() puts memory where it is told', () => {
  let seen = 0;
  for (const { row, mod, base, index, disp } of decodedWithin(8, {
    form: 'memory',
    bases: [6],
    indexes: [-1],
    disps: [0x40],
  })) {
    if (row.encoding.forms !== 'both' && row.encoding.forms !== 'memory') continue;
    // Gathers must have an index, a vector register.
    if (row.mnemonic.includes('gather')) continue;
    expect({ mod: mod === 3, base, index, disp }, row.name).toEqual({
      mod: false,
      base: 6,
      index: -1,
      disp: 0x40,
    });
    seen++;
  }
  expect(seen).toBeGreaterThan(800);
});

test('encodingsOf() takes no stack pointer and no memory when told so', () => {
  for (const { row, mod, reg, rm, opsize, rexPresent } of decodedWithin(8, { form: 'register' })) {
    if (row.encoding.forms === 'both') expect(mod).toBe(3);
    for (const { type, place } of row.operands) {
      const shape = operandShapes[type];
      if (shape.file !== 'gpr' || shape.fixed !== undefined) continue;
      const number = place === 'reg' ? reg : rm;
      const high = shape.registerSize === 1 || (shape.registerSize === 'v' && opsize === 1);
      if (mod === 3 || place === 'reg')
        expect(number === 4 && !(high && !rexPresent), row.name).toBe(false);
    }
  }
});

test('encodingsOf() yields each operand size and form once', () => {
  const random = counter();
  const add = rows.find(({ name }) => name === 'add rmv, rv')!;
  expect(formsOf(add, 8)).toHaveLength(6);
  expect(formsOf(add, 4)).toHaveLength(4);
  expect([...encodingsOf(add, random, 8, {}, 3)]).toHaveLength(18);
  expect([...encodingsOf(add, random, 8, { form: 'memory', opsize: 8 })]).toHaveLength(1);
  const pusha = rows.find(({ name }) => name === 'pusha')!;
  expect([...encodingsOf(pusha, random, 8)]).toHaveLength(0);
});

test('encodingsOf() adds LOCK and REP where the row takes them', () => {
  const limits = { lock: true, rep: 0xf3, form: 'memory' } as const;
  for (const { row, lock, rep } of decodedWithin(8, limits)) {
    expect(lock, row.name).toBe(row.lockable);
    if (row.rep !== 'none') expect(rep).toBe(0xf3);
  }
});
