// The reverse of the decoder: the bytes of a row with chosen operands. For generated tests (against
// the host processor and against other disassemblers) and small guest programs. SDM vol. 2A, 2.1,
// 2.2, 2.3.

import { assert } from '../base/assert.ts';
import { BASE_RIP, type CodeMode } from './instruction.ts';
import { operandShapes } from './operand.ts';
import type { ImmediateCode, Row, VexRule } from './row.ts';

/** A memory operand to encode. */
export interface MemoryFields {
  /** -1 for none, 0..15, or BASE_RIP. With an address size of 2, one of BX, BP, SI, DI. */
  readonly base: number;
  /**
   * -1 for none, or 0..15 but not 4, unless a vector register is meant. With an address size of 2,
   * SI or DI, after BX or BP.
   */
  readonly index: number;
  /** 0..3: the index is shifted left by it. */
  readonly scale: number;
  readonly disp: number;
}

/** The operands and prefixes of an instruction to encode. */
export interface EncodingFields {
  readonly mode: CodeMode;
  /** The operand size; 66 and REX.W follow from it. Ignored for rows that have but one. */
  readonly opsize: 2 | 4 | 8;
  /** The address size; 67 follows from it. */
  readonly addrSize: 2 | 4 | 8;
  /** The register in ModRM.reg, 0..15. */
  readonly reg: number;
  /** The register in ModRM.rm or in the opcode, 0..15, or memory. */
  readonly rm: number | MemoryFields;
  /** The register in VEX.vvvv, 0..15, for rows that have one there. */
  readonly vvvv: number;
  /**
   * Of VEX prefixes, bits for what the row or the mode ignores: bit 0 VEX.L, bit 1 VEX.W; outside
   * 64-bit code also bit 2 VEX.B, bit 3 the high bit of VEX.vvvv.
   */
  readonly ignored: number;
  /** A REX prefix, or VEX of three bytes, even if no bit of it is needed: SPL instead of AH. */
  readonly rex: boolean;
  readonly lock: boolean;
  /** A repeat prefix; must be 0 for rows with a mandatory prefix. */
  readonly rep: 0 | 0xf2 | 0xf3;
  /** A segment prefix, 0..5 = ES CS SS DS FS GS, or -1. */
  readonly segment: number;
  readonly immLo: number;
  readonly immHi: number;
  readonly imm2: number;
}

const segmentPrefixes = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const rm16Forms = ['3,6', '3,7', '5,6', '5,7', '6,-1', '7,-1', '5,-1', '3,-1'];

/**
 * The bytes of `row` with these operands. It must exist in `fields.mode` with that operand size.
 */
export function encode(row: Row, fields: EncodingFields): Uint8Array {
  const { encoding } = row;
  const { mode } = fields;
  const bytes: number[] = [];
  if (fields.segment >= 0) bytes.push(segmentPrefixes[fields.segment]);
  if (fields.lock) bytes.push(0xf0);
  if (fields.addrSize !== mode) bytes.push(0x67);
  const opsize = effectiveOpsize(row, fields);
  if (encoding.vex) pushVex(bytes, row, encoding.vex, fields);
  else pushPrefixes(bytes, row, fields, opsize);
  const register = typeof fields.rm === 'number' ? fields.rm : 0;
  bytes.push(encoding.opcode | (encoding.plusR ? register & 7 : 0));
  if (encoding.modrm) pushModrm(bytes, row, fields);
  for (const [i, code] of encoding.immediates.entries())
    pushImmediate(bytes, code, i, opsize, fields);
  return Uint8Array.from(bytes);
}

/** Mandatory prefixes, REX, and the bytes that lead to the opcode's map. */
function pushPrefixes(bytes: number[], row: Row, fields: EncodingFields, opsize: number): void {
  const { encoding } = row;
  const { mode } = fields;
  if (encoding.prefix === '66' || needsOpsizePrefix(row, opsize, mode)) bytes.push(0x66);
  if (encoding.prefix === 'F3') bytes.push(0xf3);
  if (encoding.prefix === 'F2') bytes.push(0xf2);
  if (fields.rep !== 0) bytes.push(fields.rep);
  const rex = rexOf(row, fields, opsize);
  if (rex !== 0) {
    assert(mode === 8, 'REX outside 64-bit code');
    bytes.push(rex);
  }
  if (encoding.map > 0) bytes.push(0x0f);
  if (encoding.map > 1) bytes.push(encoding.map === 2 ? 0x38 : 0x3a);
}

const pp: Readonly<Record<string, number>> = { NP: 0, 66: 1, F3: 2, F2: 3 };

/** The VEX prefix: two bytes where that is enough, unless `fields.rex` asks for three. */
function pushVex(bytes: number[], row: Row, vex: VexRule, fields: EncodingFields): void {
  const { mode, ignored } = fields;
  const { map, prefix } = row.encoding;
  const uses = (place: string) => row.operands.some((operand) => operand.place === place);
  const isGeneral =
    row.opsizeRule === 'v' || row.operands.some(({ type }) => operandShapes[type].file === 'gpr');
  const length = vex.length === 'LIG' ? ignored & 1 : vex.length;
  const isWIgnored = vex.w === 'WIG' || (isGeneral && mode !== 8);
  const w = isWIgnored ? (ignored >> 1) & 1 : (vex.w as number);
  const rex = mode === 8 ? rexOf(row, fields, 4) & 7 : (ignored >> 2) & 1;
  const high = mode === 8 ? 0 : ignored & 8;
  const isLong = map !== 1 || w !== 0 || (rex & 3) !== 0 || fields.rex || high !== 0;
  const vvvv = uses('vvvv') ? fields.vvvv | high : 0;
  const last = ((~vvvv & 15) << 3) | (length << 2) | pp[prefix];
  if (isLong) bytes.push(0xc4, ((~rex & 7) << 5) | map, (w << 7) | last);
  else bytes.push(0xc5, (rex & 4 ? 0 : 0x80) | last);
}

/**
 * The operand sizes in which `row` exists in `mode`; only the plainest if they are all the same.
 */
export function opsizesOf(row: Row, mode: CodeMode): readonly (2 | 4 | 8)[] {
  const { onlyOpsize, prefix } = row.encoding;
  if (row.modes === (mode === 8 ? 'not64' : 'only64')) return [];
  if (onlyOpsize !== 0) return onlyOpsize === 8 && mode !== 8 ? [] : [onlyOpsize];
  if (row.encoding.vex) return [4];
  // Where 66 is forbidden or part of the opcode, it cannot choose.
  const plain = prefix === '66' ? 4 : mode === 2 ? 2 : 4;
  if (prefix === 'NP' || prefix === '66') {
    return row.opsizeRule === 'v' && mode === 8 ? [plain, 8] : [plain];
  }
  switch (row.opsizeRule) {
    case 'byte':
    case 'none':
      return [plain];
    case 'f64':
      return mode === 8 ? [8] : [2, 4];
    case 'd64':
      return mode === 8 ? [2, 8] : [2, 4];
    case 'z':
      return [2, 4];
    case 'v':
      return mode === 8 ? [2, 4, 8] : [2, 4];
  }
}

function effectiveOpsize(row: Row, fields: EncodingFields): number {
  const sizes = opsizesOf(row, fields.mode);
  assert(sizes.length > 0, `${row.name} does not exist in this mode`);
  return sizes.includes(fields.opsize) ? fields.opsize : sizes[0];
}

function needsOpsizePrefix(row: Row, opsize: number, mode: CodeMode): boolean {
  if (row.encoding.prefix === 'NP' || row.encoding.prefix === '66' || opsize === 8) return false;
  return (opsize === 2) !== (mode === 2);
}

/** The REX prefix, or 0 for none. */
function rexOf(row: Row, fields: EncodingFields, opsize: number): number {
  const { encoding, opsizeRule } = row;
  const memory = typeof fields.rm === 'number' ? undefined : fields.rm;
  const base =
    memory === undefined ? (fields.rm as number) : memory.base === BASE_RIP ? 0 : memory.base;
  const has = (place: string) => row.operands.some((operand) => operand.place === place);
  const implied = opsizeRule === 'd64' || opsizeRule === 'f64';
  let rex = fields.rex ? 0x40 : 0;
  if (opsize === 8 && !implied && (encoding.onlyOpsize === 8 || encoding.onlyOpsize === 0))
    rex |= 0x48;
  if (encoding.modrm && has('reg') && fields.reg >= 8) rex |= 0x44;
  if (memory !== undefined && memory.index >= 8) rex |= 0x42;
  if ((has('rm') || encoding.plusR) && base >= 8) rex |= 0x41;
  return rex;
}

function pushModrm(bytes: number[], row: Row, fields: EncodingFields): void {
  const { encoding } = row;
  const reg = (encoding.digit >= 0 ? encoding.digit : fields.reg) & 7;
  if (encoding.exactRm >= 0) {
    bytes.push(0xc0 | (reg << 3) | encoding.exactRm);
  } else if (typeof fields.rm === 'number') {
    bytes.push(0xc0 | (reg << 3) | (fields.rm & 7));
  } else if (fields.addrSize === 2) {
    pushAddress16(bytes, reg, fields.rm);
  } else {
    const isVsib = row.operands.some(({ type }) => operandShapes[type].index !== undefined);
    pushAddress(bytes, reg, fields.rm, fields.mode, isVsib);
  }
}

function pushAddress16(bytes: number[], reg: number, { base, index, disp }: MemoryFields): void {
  if (base < 0) {
    bytes.push((reg << 3) | 6);
    pushLittleEndian(bytes, disp, 2);
    return;
  }
  const rm = rm16Forms.indexOf(`${base},${index}`);
  assert(rm >= 0, `no 16-bit address with base ${base} and index ${index}`);
  const mod = disp === 0 && rm !== 6 ? 0 : isInt8(disp) ? 1 : 2;
  bytes.push((mod << 6) | (reg << 3) | rm);
  pushLittleEndian(bytes, disp, mod);
}

function pushAddress(
  bytes: number[],
  reg: number,
  memory: MemoryFields,
  mode: CodeMode,
  isVsib: boolean,
): void {
  const { base, index, scale, disp } = memory;
  if (base === BASE_RIP) {
    assert(index < 0, 'RIP has no index');
    bytes.push((reg << 3) | 5);
    pushLittleEndian(bytes, disp, 4);
    return;
  }
  assert(isVsib || index !== 4, 'RSP is no index');
  // Without a base and without an index, 64-bit code needs SIB: its short form is relative to RIP.
  const sib = index >= 0 || (base & 7) === 4 || (base < 0 && mode === 8);
  const mod = base < 0 || (disp === 0 && (base & 7) !== 5) ? 0 : isInt8(disp) ? 1 : 2;
  const low = base < 0 ? 5 : base & 7;
  bytes.push((mod << 6) | (reg << 3) | (sib ? 4 : low));
  if (sib) bytes.push((scale << 6) | ((index < 0 ? 4 : index & 7) << 3) | low);
  pushLittleEndian(bytes, disp, base < 0 ? 4 : mod === 2 ? 4 : mod);
}

function pushImmediate(
  bytes: number[],
  code: ImmediateCode,
  position: number,
  opsize: number,
  fields: EncodingFields,
): void {
  const short = opsize === 2 ? 2 : 4;
  const value = position === 0 ? fields.immLo : fields.imm2;
  if (code === 'ib' || code === 'cb') {
    pushLittleEndian(bytes, value, 1);
  } else if (code === 'iw') {
    pushLittleEndian(bytes, value, 2);
  } else if (code === 'iz' || code === 'cz' || code === 'cp') {
    pushLittleEndian(bytes, value, short);
    if (code === 'cp') pushLittleEndian(bytes, fields.imm2, 2);
  } else {
    const size = code === 'mo' ? fields.addrSize : opsize;
    pushLittleEndian(bytes, value, Math.min(size, 4));
    if (size === 8) pushLittleEndian(bytes, fields.immHi, 4);
  }
}

function pushLittleEndian(bytes: number[], value: number, count: number): void {
  for (let i = 0; i < count; i++) bytes.push((value >> (8 * i)) & 0xff);
}

const isInt8 = (value: number): boolean => value >= -128 && value <= 127;
