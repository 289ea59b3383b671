// Decoder tables, built from the rows for one set of features: which row has these bytes.
//
// A slot is a code size (64-bit or not), an operand size (2, 4, 8), an opcode map, a prefix (none,
// 66, F3, F2) and an opcode byte; or, behind a VEX prefix, a code size, VEX.W, VEX.L, a map, a
// prefix and an opcode byte. It holds nothing, a row, or a group of 72 cells that the ModRM byte
// selects from: memory forms by ModRM.reg, register forms by ModRM.reg and rm. Where several rows
// have the same bytes, one must be a special case of the others in every respect (REX.W over any
// operand size, F3 over any prefix, /digit over /r ...); it wins. Anything else is a defect in the
// rows.

import { assert } from '../base/assert.ts';
import { operandShapes } from './operand.ts';
import type { Encoding, Feature, ImmediateCode, Row, VexRule } from './row.ts';

/** Prefix variants, the last but one dimension of {@link slotOf}. */
export const VARIANT = { NP: 0, P66: 1, F3: 2, F2: 3 } as const;

const LEGACY_SLOTS = 2 * 3 * 4 * 4 * 256;
const SLOTS = LEGACY_SLOTS + 2 * 2 * 2 * 4 * 4 * 256;

/** Cells of a group: 8 memory forms, then 64 register forms. */
export const GROUP_CELLS = 72;

/**
 * The slot of an opcode. `long`: 1 for 64-bit code; `size`: 0, 1, 2 for operand size 2, 4, 8;
 * `map` 0..3; `variant`: see {@link VARIANT}.
 */
export function slotOf(
  long: number,
  size: number,
  map: number,
  variant: number,
  opcode: number,
): number {
  return ((((long * 3 + size) * 4 + map) * 4 + variant) << 8) | opcode;
}

/** The slot of an opcode behind a VEX prefix, with `w` and `length` as they stand there. */
export function vexSlotOf(
  long: number,
  w: number,
  length: number,
  map: number,
  variant: number,
  opcode: number,
): number {
  const group = (((long * 2 + w) * 2 + length) * 4 + map) * 4 + variant;
  return LEGACY_SLOTS + ((group << 8) | opcode);
}

/** What the decoder must know of a row, in the shape that is quickest to use. */
export interface Layout {
  readonly row: Row;
  readonly modrm: boolean;
  /** ModRM.mod is ignored and always means a register (MOV to and from control registers). */
  readonly alwaysRegister: boolean;
  readonly lockable: boolean;
  readonly byteSized: boolean;
  /** Operand size in 64-bit code when neither 66 nor REX.W says otherwise: 4, or 8. */
  readonly longSize: 4 | 8;
  /** Operand size in 64-bit code with 66: 2, 8 for near branches, 4 where 66 is the opcode's. */
  readonly shortSize: 2 | 4 | 8;
  /** Operand size in other code: 4 whenever 66 is part of the opcode. */
  readonly alwaysFour: boolean;
  /** Greatest operand size: 8, or 4 for port I/O. */
  readonly sizeMax: 4 | 8;
  /** Which bits of reg and rm number a register: 15 with REX, 7 for MMX, segments, x87. */
  readonly regMask: number;
  readonly rmMask: number;
  /** Bit n is set when register n may stand in ModRM.reg. */
  readonly regAllowed: number;
  readonly immediate: ImmediateCode | undefined;
  /** The immediate is sign-extended to 64 bits. */
  readonly signed: boolean;
  /** ENTER: a byte follows the first immediate. */
  readonly secondByte: boolean;
  /** VEX.vvvv is an operand; it must be 1111b otherwise. */
  readonly usesVvvv: boolean;
  /** A vector register is the index of the memory operand. */
  readonly isVsib: boolean;
  /** What the bytes are with REX.B, when that makes a difference. */
  readonly withRexB: Layout | undefined;
}

/** The tables of one feature set. */
export interface DecodeTables {
  /** By slot: 0 none; n > 0 the layout n - 1; n < 0 the group -n - 1. */
  readonly slots: Int16Array;
  /** Cells of all groups: 0 none, or the layout's number plus one. */
  readonly groups: Int16Array;
  readonly layouts: readonly Layout[];
}

/**
 * Builds the tables for the rows whose feature is in `features`; throws if two rows are ambiguous.
 */
export function buildTables(rows: readonly Row[], features: ReadonlySet<Feature>): DecodeTables {
  const present = rows.filter(({ feature }) => feature === undefined || features.has(feature));
  const candidates = candidatesBySlot(present);
  const layouts: Layout[] = rows.map((row) => layoutOf(row, rexBRow(row, candidates)));
  const slots = new Int16Array(SLOTS);
  const groups: number[] = [];
  // Most slots share their contenders with others, so each set of them is worked out once.
  const known = new Map<string, number>();
  for (const [slot, contenders] of candidates) {
    const key = contenders.map(({ id }) => id).join();
    let entry = known.get(key);
    if (entry === undefined) {
      entry = slotEntry(contenders, groups);
      known.set(key, entry);
    }
    slots[slot] = entry;
  }
  return { slots, groups: Int16Array.from(groups), layouts };
}

/** The entry of a slot with these contenders; adds to `groups` when ModRM decides between them. */
function slotEntry(contenders: readonly Row[], groups: number[]): number {
  const cells: number[] = [];
  for (let cell = 0; cell < GROUP_CELLS; cell++) {
    const row = mostSpecific(contenders.filter(({ encoding }) => coversCell(encoding, cell)));
    cells.push(row === undefined ? 0 : row.id + 1);
  }
  if (cells.every((id) => id === cells[0])) return cells[0];
  groups.push(...cells);
  return -(groups.length / GROUP_CELLS);
}

function candidatesBySlot(rows: readonly Row[]): Map<number, Row[]> {
  const bySlot = new Map<number, Row[]>();
  for (const row of rows) {
    for (const slot of slotsOf(row)) {
      const list = bySlot.get(slot);
      if (list === undefined) bySlot.set(slot, [row]);
      else list.push(row);
    }
  }
  return bySlot;
}

/** Every slot whose bytes could be `row`. */
function slotsOf(row: Row): number[] {
  const { encoding } = row;
  if (encoding.vex) return vexSlotsOf(row, encoding.vex);
  const slots: number[] = [];
  for (const long of [0, 1]) {
    if (row.modes === (long === 1 ? 'not64' : 'only64')) continue;
    for (const size of long === 1 ? [0, 1, 2] : [0, 1]) {
      if (encoding.onlyOpsize !== 0 && encoding.onlyOpsize !== 2 << size) continue;
      for (const variant of variantsOf(encoding)) {
        for (let r = 0; r < (encoding.plusR ? 8 : 1); r++) {
          slots.push(slotOf(long, size, encoding.map, variant, encoding.opcode + r));
        }
      }
    }
  }
  return slots;
}

function vexSlotsOf(row: Row, vex: VexRule): number[] {
  const { map, opcode } = row.encoding;
  const variant = variantsOf(row.encoding)[0];
  const slots: number[] = [];
  const isGeneral =
    row.opsizeRule === 'v' || row.operands.some(({ type }) => operandShapes[type].file === 'gpr');
  for (const long of row.modes === 'only64' ? [1] : [0, 1]) {
    // Outside 64-bit code VEX.W does not choose between general registers: there are no wide ones.
    const isIgnored = vex.w === 'WIG' || (isGeneral && long === 0);
    for (const w of isIgnored ? [0, 1] : [vex.w as number]) {
      for (const length of vex.length === 'LIG' ? [0, 1] : [vex.length]) {
        slots.push(vexSlotOf(long, w, length, map, variant, opcode));
      }
    }
  }
  return slots;
}

function variantsOf({ prefix }: Encoding): readonly number[] {
  switch (prefix) {
    case 'any':
      return [VARIANT.NP, VARIANT.P66, VARIANT.F3, VARIANT.F2];
    case 'NFx':
      return [VARIANT.NP, VARIANT.P66];
    case 'NP':
      return [VARIANT.NP];
    case '66':
      return [VARIANT.P66];
    case 'F3':
      return [VARIANT.F3];
    case 'F2':
      return [VARIANT.F2];
  }
}

function coversCell(encoding: Encoding, cell: number): boolean {
  if (!encoding.modrm) return true;
  const memory = cell < 8;
  const reg = memory ? cell : (cell - 8) >> 3;
  if (encoding.digit >= 0 && encoding.digit !== reg) return false;
  if (encoding.exactRm >= 0 && (memory || encoding.exactRm !== ((cell - 8) & 7))) return false;
  return (
    encoding.forms === 'both' || (encoding.forms === 'memory') === memory || ignoresMod(encoding)
  );
}

/** MOV to and from control and debug registers, 0F 20 to 0F 23 (SDM vol. 2B, MOV). */
function ignoresMod({ map, opcode }: Encoding): boolean {
  return map === 1 && opcode >= 0x20 && opcode <= 0x23;
}

/** The row that is a special case of all others. */
function mostSpecific(contenders: readonly Row[]): Row | undefined {
  if (contenders.length === 0) return undefined;
  const best = contenders.reduce((a, b) => (isSpecialCase(b, a) ? b : a));
  for (const other of contenders) {
    const decided = other === best || isSpecialCase(best, other);
    assert(decided, `the bytes of ${best.name} may be ${other.name}`);
  }
  return best;
}

/** True when all bytes of `a` are bytes of `b`, and not the reverse. */
function isSpecialCase(a: Row, b: Row): boolean {
  const narrowness = (row: Row): readonly number[] => [
    variantsOf(row.encoding).length * -1,
    row.encoding.onlyOpsize !== 0 ? 1 : 0,
    row.encoding.plusR ? 0 : 1,
    row.encoding.digit >= 0 ? 1 : 0,
    row.encoding.exactRm >= 0 ? 1 : 0,
    row.encoding.forms === 'both' ? 0 : 1,
    row.modes === 'all' ? 0 : 1,
  ];
  const [left, right] = [narrowness(a), narrowness(b)];
  return left.every((n, i) => n >= right[i]) && left.some((n, i) => n > right[i]);
}

/** What `row` is with REX.B: the row of which it is a special case. */
function rexBRow(row: Row, candidates: ReadonlyMap<number, Row[]>): Row | undefined {
  if (!row.encoding.notWithRexB) return undefined;
  const contenders = slotsOf(row).flatMap((slot) => candidates.get(slot) ?? []);
  return mostSpecific([...new Set(contenders)].filter((other) => isSpecialCase(row, other)));
}

function layoutOf(row: Row, withRexB: Row | undefined): Layout {
  const { encoding, operands, opsizeRule } = row;
  const reg = operands.find(({ place }) => place === 'reg');
  const rm = operands.find(({ place }) => place === 'rm' || place === 'opcode');
  const extensible = (file: string | undefined) => file !== 'mm' && file !== 'seg' && file !== 'st';
  const first = operands.find(({ place }) => place === 'imm' || place === 'moffs');
  return {
    row,
    modrm: encoding.modrm,
    alwaysRegister: ignoresMod(encoding),
    lockable: row.lockable,
    byteSized: opsizeRule === 'byte',
    longSize: opsizeRule === 'd64' || opsizeRule === 'f64' ? 8 : 4,
    shortSize: encoding.prefix === '66' ? 4 : opsizeRule === 'f64' ? 8 : 2,
    alwaysFour: encoding.prefix === '66',
    sizeMax: opsizeRule === 'z' ? 4 : 8,
    regMask: extensible(reg && operandShapes[reg.type].file) ? 15 : 7,
    rmMask: extensible(rm && operandShapes[rm.type].file) ? 15 : 7,
    regAllowed: registersAllowed(row),
    immediate: encoding.immediates[0],
    signed: first !== undefined && ['imm8s', 'immz', 'rel8', 'relz'].includes(first.type),
    secondByte: encoding.immediates.length === 2,
    usesVvvv: operands.some(({ place }) => place === 'vvvv'),
    isVsib: rm !== undefined && operandShapes[rm.type].index !== undefined,
    withRexB: withRexB && layoutOf(withRexB, undefined),
  };
}

/** A mask of the numbers that ModRM.reg may hold (SDM vol. 2B, MOV: others are #UD). */
export function registersAllowed({ operands }: Row): number {
  const reg = operands.find(({ place }) => place === 'reg');
  switch (reg?.type) {
    case 'sreg': // ES CS SS DS FS GS; CS only to read.
      return reg.access === 'r' ? 0b11_1111 : 0b11_1101;
    case 'creg': // CR0, CR2, CR3, CR4, CR8.
      return 0b1_0001_1101;
    case 'dreg':
      return 0xff;
    default:
      return 0xffff;
  }
}
