// Random instructions from the rows: the material of generated tests. The caller limits the choice
// as far as it must (a memory operand at one address, no stack pointer as data); what it leaves
// open is drawn from its random source, so that a seed repeats a run.

import { registersAllowed } from './decode-tables.ts';
import { type EncodingFields, encode, type MemoryFields, opsizesOf } from './encoder.ts';
import { BASE_RIP, type CodeMode } from './instruction.ts';
import { operandShapes } from './operand.ts';
import type { Operand, Row } from './row.ts';

/** A source of uniform 32-bit numbers, 0 to 2^32 - 1. */
export type Random = () => number;

/** What an encoding may be. Every field may be left out. */
export interface EncodingLimits {
  /** Register or memory in ModRM.rm, for rows that have both. Default: either. */
  readonly form?: 'register' | 'memory';
  /** The operand size, where the row lets one choose. Default: any. */
  readonly opsize?: 2 | 4 | 8;
  /**
   * The general registers that may be operands. Default: all but RSP. A byte register 4..7 without
   * REX is AH..BH, which this counts as AX..BX; SPL comes only when 4 is listed.
   */
  readonly registers?: readonly number[];
  /** The MMX, XMM and x87 registers that may be operands. Default: all there are in the mode. */
  readonly vectors?: readonly number[];
  /** The base registers of memory operands; -1 for none, BASE_RIP. Default: all the mode has. */
  readonly bases?: readonly number[];
  /** The index registers; -1 for none. Default: all the mode has. */
  readonly indexes?: readonly number[];
  /** The displacements. Default: of one, two or four bytes, or 0. */
  readonly disps?: readonly number[];
  /** Address size; default that of the mode. */
  readonly addrSize?: 2 | 4 | 8;
  /** The value of the first immediate. Default: random, edge values being likely. */
  readonly immediate?: number;
  /** LOCK where allowed. Default: false. */
  readonly lock?: boolean;
  /** The repeat prefix for string instructions. Default: 0. */
  readonly rep?: 0 | 0xf2 | 0xf3;
  /** A segment prefix, 0..5. Default: -1, none. */
  readonly segment?: number;
}

/** A form of a row: an operand size, and whether ModRM.rm is memory. */
export interface RowForm {
  readonly opsize: 2 | 4 | 8;
  readonly form: 'register' | 'memory';
}

/** The forms of `row` in `mode`: every operand size, with register and memory where it has both. */
export function formsOf(row: Row, mode: CodeMode): RowForm[] {
  const { forms } = row.encoding;
  const kinds: RowForm['form'][] = [];
  if (forms !== 'memory') kinds.push('register');
  if (forms === 'memory' || forms === 'both') kinds.push('memory');
  return opsizesOf(row, mode).flatMap((opsize) => kinds.map((form) => ({ opsize, form })));
}

/**
 * Yields `count` random encodings of each form of `row` in `mode` that `limits` admits; nothing if
 * the row does not exist there.
 */
export function* encodingsOf(
  row: Row,
  random: Random,
  mode: CodeMode,
  limits: EncodingLimits = {},
  count = 1,
): Generator<Uint8Array> {
  for (const { opsize, form } of formsOf(row, mode)) {
    if (limits.form !== undefined && limits.form !== form && row.encoding.forms === 'both')
      continue;
    if (limits.opsize !== undefined && limits.opsize !== opsize && opsizesOf(row, mode).length > 1)
      continue;
    for (let i = 0; i < count; i++) {
      yield encode(row, randomFields(row, random, mode, { opsize, form }, limits));
    }
  }
}

function randomFields(
  row: Row,
  random: Random,
  mode: CodeMode,
  form: RowForm,
  limits: EncodingLimits,
): EncodingFields {
  const isVsib = row.operands.some(({ type }) => operandShapes[type].index !== undefined);
  const wanted = limits.addrSize ?? mode;
  // 16-bit addresses have no SIB byte.
  const addrSize = isVsib && wanted === 2 ? 4 : wanted;
  const find = (place: string) => row.operands.find((operand) => operand.place === place);
  const inRm = find('rm') ?? find('opcode');
  const memory = form.form === 'memory';
  const reg = randomRegister(find('reg'), random, mode, limits);
  let vvvv = randomRegister(find('vvvv'), random, mode, limits);
  let rm = memory
    ? randomMemory(random, mode, addrSize, limits)
    : randomRegister(inRm, random, mode, limits);
  if (isVsib) {
    const vectors = limits.vectors ?? upTo(mode === 8 ? 16 : 8);
    const others = vectors.filter((n) => n !== reg);
    vvvv = pick(random, others);
    rm = withVectorIndex(
      rm as MemoryFields,
      random,
      others.filter((n) => n !== vvvv),
    );
  }
  let immLo = limits.immediate ?? randomValue(random);
  // Outside 64-bit code there are eight registers to name.
  if (find('is4') !== undefined && mode !== 8) immLo &= 0x7f;
  return {
    mode,
    opsize: form.opsize,
    addrSize,
    reg: allowedRegister(row, reg, random, mode),
    rm,
    vvvv,
    ignored: row.encoding.vex ? random() & 15 : 0,
    rex: needsRex(row, [reg, memory ? 0 : (rm as number)], mode, random, limits),
    lock: limits.lock === true && row.lockable && memory,
    rep: row.rep === 'none' ? 0 : (limits.rep ?? 0),
    segment: limits.segment ?? -1,
    immLo,
    immHi: limits.immediate === undefined ? randomValue(random) : immLo >> 31,
    imm2: random() & 0xffff,
  };
}

/** A memory operand as gathers have it: the index is one of these vector registers. */
function withVectorIndex(
  { base, scale, disp }: MemoryFields,
  random: Random,
  vectors: readonly number[],
): MemoryFields {
  return { base: base === BASE_RIP ? 0 : base, index: pick(random, vectors), scale, disp };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const pick = <T>(random: Random, choices: readonly T[]): T => choices[random() % choices.length];

function randomRegister(
  operand: Operand | undefined,
  random: Random,
  mode: CodeMode,
  limits: EncodingLimits,
): number {
  const file = operand && operandShapes[operand.type].file;
  const general = mode === 8 ? 16 : 8;
  switch (file) {
    case 'gpr':
      return pick(random, limits.registers ?? upTo(general).filter((n) => n !== 4));
    case 'xmm':
    case 'ymm':
      return pick(random, limits.vectors ?? upTo(general));
    case 'mm':
    case 'st':
      return pick(random, limits.vectors?.filter((n) => n < 8) ?? upTo(8));
    default:
      return 0;
  }
}

/** For control, debug and segment registers: one of those that exist; else `reg` itself. */
function allowedRegister(row: Row, reg: number, random: Random, mode: CodeMode): number {
  const allowed = registersAllowed(row);
  if (allowed === 0xffff) return reg;
  return pick(
    random,
    upTo(mode === 8 ? 9 : 8).filter((n) => ((allowed >> n) & 1) === 1),
  );
}

/** Byte registers 4..7 are drawn with and without REX, but never as SPL unless 4 is listed. */
function needsRex(
  row: Row,
  numbers: readonly number[],
  mode: CodeMode,
  random: Random,
  limits: EncodingLimits,
): boolean {
  if (row.encoding.vex) return (random() & 3) === 0;
  const byte = row.operands.some(({ type }) => operandShapes[type].registerSize === 1);
  if (mode !== 8 || !byte) return false;
  if (numbers.includes(4) && limits.registers?.includes(4) !== true) return false;
  return (random() & 1) === 1;
}

function randomMemory(
  random: Random,
  mode: CodeMode,
  addrSize: number,
  limits: EncodingLimits,
): MemoryFields {
  if (addrSize === 2) return randomMemory16(random, limits);
  const count = mode === 8 ? 16 : 8;
  const bases = limits.bases ?? [-1, ...upTo(count), ...(mode === 8 ? [BASE_RIP] : [])];
  const base = pick(random, bases);
  const indexes = limits.indexes ?? [-1, -1, ...upTo(count).filter((n) => n !== 4)];
  const index = base === BASE_RIP ? -1 : pick(random, indexes);
  const scale = index < 0 ? 0 : random() & 3;
  return { base, index, scale, disp: randomDisp(random, limits) };
}

/** The 16-bit forms: BX, BP, SI or DI, or one of the first two plus one of the last two. */
function randomMemory16(random: Random, limits: EncodingLimits): MemoryFields {
  const base = pick(random, limits.bases ?? [-1, 3, 5, 6, 7]);
  const indexed = base === 3 || base === 5;
  const index = indexed ? pick(random, limits.indexes ?? [-1, 6, 7]) : -1;
  const disp = (randomDisp(random, limits) << 16) >> 16;
  return { base, index, scale: 0, disp };
}

function randomDisp(random: Random, limits: EncodingLimits): number {
  if (limits.disps !== undefined) return pick(random, limits.disps);
  const width = random() & 3;
  return width === 0 ? 0 : (random() | 0) >> (width === 1 ? 24 : width === 2 ? 16 : 0);
}

const edges = [
  0, 1, 2, -1, 7, 31, 32, 63, 64, 127, -128, 255, 0x7fff, -0x8000, 0x7fffffff, -0x80000000,
];

function randomValue(random: Random): number {
  return (random() & 1) === 0 ? pick(random, edges) : random() | 0;
}
