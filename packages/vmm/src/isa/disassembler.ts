// Decoded instructions as text, in the Intel syntax of GNU objdump (-M intel,intel64), for
// debugging.
//
// Not reproduced: the names objdump gives to prefixes that have no effect (data16, rex.W, cs), save
// LOCK and the repeat prefixes. Condition codes follow SDM vol. 1, appendix B.

import { BASE_RIP, type Instruction } from './instruction.ts';
import { type OperandShape, operandBytes, operandShapes, type Size } from './operand.ts';
import { conditionNames } from './parse-rows.ts';
import type { Operand, Row } from './row.ts';

const names64 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
const names16 = names64.map((name) => name.slice(1));
const names8 = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'];
const names8Rex = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const segmentNames = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const sizeNames = new Map([
  [1, 'BYTE'],
  [2, 'WORD'],
  [4, 'DWORD'],
  [6, 'FWORD'],
  [8, 'QWORD'],
  [10, 'TBYTE'],
  [16, 'XMMWORD'],
  [32, 'YMMWORD'],
]);

/** Names that change with the operand size: for 2, 4 and 8 bytes. */
const sizedNames: Readonly<Record<string, readonly [string, string, string]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
};

/** Those that take a suffix for an operand size other than the mode's own. */
// biome-ignore format: a list, not a column
const suffixed: ReadonlySet<string> = new Set([
  'pusha', 'popa', 'pushf', 'popf', 'enter', 'leave', 'retf', 'iret', 'ret',
  'fldenv', 'fnstenv', 'fnsave', 'frstor',
]);

/** Those with 16-byte memory operands that are not XMM values. */
const octets: ReadonlySet<string> = new Set(['cmpxchg16b', 'invept', 'invvpid']);

/** What REX.W adds to names. */
const wideSuffixes: Readonly<Record<string, string>> = {
  fxsave: '64',
  fxrstor: '64',
  xsave: '64',
  xrstor: '64',
  xsaveopt: '64',
  xsavec: '64',
  xsaves: '64',
  xrstors: '64',
  pcmpestrm: 'q',
  pcmpestri: 'q',
  vpcmpestrm: 'q',
  vpcmpestri: 'q',
  iret: 'q',
  retf: 'q',
};

/** Memory operands that objdump shows without a size. */
const unsized: ReadonlySet<string> = new Set(['lddqu', 'vlddqu', 'invpcid']);

/** Names that objdump spells in another way. */
const customaryNames: Readonly<Record<string, string>> = {
  wait: 'fwait',
  fneni: 'fneni(8087 only)',
  fndisi: 'fndisi(8087 only)',
  fnsetpm: 'fnsetpm(287 only)',
};

/** The predicates of CMPPS and its kin, then those of VEX forms (SDM vol. 2A, CMPPD, table 3-1). */
// biome-ignore format: rows of eight
const comparisons = [
  'eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord',
  'eq_uq', 'nge', 'ngt', 'false', 'neq_oq', 'ge', 'gt', 'true',
  'eq_os', 'lt_oq', 'le_oq', 'unord_s', 'neq_us', 'nlt_uq', 'nle_uq', 'ord_s',
  'eq_us', 'nge_uq', 'ngt_uq', 'false_os', 'neq_os', 'ge_oq', 'gt_oq', 'true_us',
];

/** The halves that PCLMULQDQ multiplies, by its immediate. */
const carrylessHalves = new Map([
  [0x00, 'lqlq'],
  [0x01, 'hqlq'],
  [0x10, 'lqhq'],
  [0x11, 'hqhq'],
]);

/** The text of `instruction`, which stands at `address`. */
export function disassemble(instruction: Instruction, address: bigint): string {
  const { row } = instruction;
  const alias = predicateName(instruction);
  const mnemonic = prefixText(instruction) + (alias ?? mnemonicText(instruction));
  const shown = row.operands.filter(({ place }) => alias === undefined || place !== 'imm');
  const texts = shown.map((operand) => operandText(instruction, operand, address));
  if (row.mnemonic === 'xlat') texts.push(tableText(instruction));
  const target = ripTarget(instruction, address);
  const text = `${mnemonic.padEnd(6)} ${texts.join(',')}`.trimEnd();
  return target === undefined ? text : `${text}        # ${target}`;
}

function prefixText({ row, lock, rep }: Instruction): string {
  if (lock) return 'lock ';
  if (rep === 0 || row.rep === 'none') return '';
  return rep === 0xf2 ? 'repnz ' : row.rep === 'rep' ? 'rep ' : 'repz ';
}

function mnemonicText({ row, opsize, addrSize, codeSize, opsizePrefix }: Instruction): string {
  const { mnemonic, operands } = row;
  if (mnemonic === 'nop' && operands.length === 0 && opsizePrefix && opsize !== 8) {
    return opsize === 2 ? 'xchg   ax,ax' : 'xchg   eax,eax';
  }
  if (row.condition >= 0) return mnemonic.replace('cc', conditionNames[row.condition]);
  const bySize = sizedNames[mnemonic];
  if (bySize !== undefined) return bySize[opsize === 2 ? 0 : opsize === 4 ? 1 : 2];
  if (mnemonic === 'jrcxz') return addrSize === 8 ? 'jrcxz' : addrSize === 4 ? 'jecxz' : 'jcxz';
  if (mnemonic === 'sysexit' && codeSize !== 8) return mnemonic;
  if (mnemonic === 'sysret' || mnemonic === 'sysexit') return mnemonic + (opsize === 8 ? 'q' : 'd');
  if (mnemonic === 'mov' && codeSize === 8) {
    const wide = operands.some(({ type }) => type === 'immv') && opsize === 8;
    if (wide || operands.some(({ place }) => place === 'moffs')) return 'movabs';
  }
  return (customaryNames[mnemonic] ?? mnemonic) + sizeSuffix(row, opsize, codeSize);
}

/** `w`, `d` or `q` where neither the operands nor the mode tell the operand size. */
function sizeSuffix({ mnemonic, operands }: Row, opsize: number, codeSize: number): string {
  if (opsize === 8) return wideSuffixes[mnemonic] ?? '';
  const stack = mnemonic === 'push' || mnemonic === 'pop';
  const opaque = suffixed.has(mnemonic) || (stack && !operandShapes[operands[0].type].registerSize);
  const segment = stack && operandShapes[operands[0].type].file === 'seg';
  const near = operands[0]?.type === 'relz' && mnemonic !== 'jcc';
  const table = operands[0]?.type === 'mdt' && codeSize !== 8;
  if (table) return opsize === 2 ? 'w' : 'd';
  if (!opaque && !segment && !near) return '';
  if (opsize === 2) return codeSize === 2 ? '' : 'w';
  return codeSize === 2 ? 'd' : '';
}

/** A name that says what the immediate would: CMPEQPS, PCLMULLQHQDQ; else undefined. */
function predicateName({ row, immLo }: Instruction): string | undefined {
  const kind = /^(v?)cmp([ps][sd])$/.exec(row.mnemonic);
  if (kind !== null && immLo < (kind[1] === 'v' ? 32 : 8)) {
    return `${kind[1]}cmp${comparisons[immLo]}${kind[2]}`;
  }
  const product = /^(v?)pclmulqdq$/.exec(row.mnemonic);
  const halves = product === null ? undefined : carrylessHalves.get(immLo);
  return halves && `${product![1]}pclmul${halves}dq`;
}

function operandText(instruction: Instruction, operand: Operand, address: bigint): string {
  const shape = operandShapes[operand.type];
  switch (operand.place) {
    case 'reg':
      return registerText(instruction, shape, instruction.reg);
    case 'opcode':
      return registerText(instruction, shape, instruction.rm);
    case 'vvvv':
      return registerText(instruction, shape, instruction.vvvv);
    case 'is4':
      return registerText(instruction, shape, is4Register(instruction));
    case 'rm':
      if (instruction.mod === 3)
        return registerText(instruction, registerShape(instruction, operand), instruction.rm);
      return memoryText(instruction, shape.memorySize!, effectiveAddress(instruction));
    case 'moffs':
      return memoryText(instruction, 0, offsetText(instruction));
    case 'imm2':
      return hex(instruction.imm2);
    case 'imm':
      return immediateText(instruction, operand, address);
    case 'fixed':
      return fixedText(instruction, operand, shape);
  }
}

const is4Register = ({ immLo, codeSize }: Instruction): number =>
  (immLo >> 4) & (codeSize === 8 ? 15 : 7);

function fixedText(instruction: Instruction, { type }: Operand, shape: OperandShape): string {
  if (type === 'one') return '1';
  if (type === 'dx') return 'dx';
  if (shape.string === undefined) return registerText(instruction, shape, shape.fixed!);
  const index = addressRegister(shape.string === 'x' ? 6 : 7, instruction.addrSize);
  const segment = shape.string === 'x' ? segmentNames[instruction.segment] : 'es';
  return `${sizeText(instruction, shape.memorySize!)}${segment}:[${index}]`;
}

/** Selectors are shown as registers of operand size: `mov ds,eax`, `lar eax,ecx`. */
function registerShape({ row }: Instruction, { type }: Operand): OperandShape {
  const widened =
    row.mnemonic === 'lar' || row.mnemonic === 'lsl' || row.operands[0].type === 'sreg';
  return operandShapes[widened && type === 'rm16' ? 'rmv' : type];
}

/** The byte table of XLAT, at seg:rBX. */
const tableText = ({ segment, addrSize }: Instruction): string =>
  `BYTE PTR ${segmentNames[segment]}:[${addressRegister(3, addrSize)}]`;

function registerText(instruction: Instruction, shape: OperandShape, number: number): string {
  switch (shape.file) {
    case 'gpr':
      return generalRegister(instruction, number, bytesOf(instruction, shape.registerSize!));
    case 'seg':
      return segmentNames[number];
    case 'cr':
    case 'dr':
      return `${shape.file}${number}`;
    case 'st':
      return shape.fixed === undefined ? `st(${number})` : 'st';
    default:
      return `${shape.file}${number}`;
  }
}

function generalRegister({ rexPresent }: Instruction, number: number, bytes: number): string {
  if (number >= 8)
    return `r${number}${bytes === 8 ? '' : bytes === 4 ? 'd' : bytes === 2 ? 'w' : 'b'}`;
  if (bytes === 1) return (rexPresent ? names8Rex : names8)[number];
  return bytes === 2 ? names16[number] : bytes === 4 ? `e${names16[number]}` : names64[number];
}

const addressRegister = (number: number, bytes: number): string =>
  number === BASE_RIP
    ? bytes === 8
      ? 'rip'
      : 'eip'
    : number >= 8
      ? `r${number}${bytes === 8 ? '' : 'd'}`
      : bytes === 2
        ? names16[number]
        : bytes === 4
          ? `e${names16[number]}`
          : names64[number];

/** The index: a general register, or a vector register of gathers. */
function indexRegister({ row, index, addrSize }: Instruction): string {
  const vsib = row.operands.find(({ type }) => operandShapes[type].index !== undefined);
  if (vsib === undefined) return addressRegister(index, addrSize);
  return `${operandShapes[vsib.type].index!.file}${index}`;
}

/** `[base+index*scale+disp]`, or a lone displacement. */
function effectiveAddress(instruction: Instruction): string {
  const { base, index, scale, addrSize, mod, sib, disp } = instruction;
  if (base < 0 && index < 0 && !hasNoIndexMark(instruction)) return offsetText(instruction);
  const parts: string[] = [];
  if (base >= 0) parts.push(addressRegister(base, addrSize));
  if (index >= 0) {
    const times = addrSize === 2 ? '' : `*${1 << scale}`;
    parts.push(`${indexRegister(instruction)}${times}`);
  } else if (hasNoIndexMark(instruction)) {
    parts.push(`${addrSize === 8 ? 'riz' : 'eiz'}*${1 << (sib >> 6)}`);
  }
  const shown = mod !== 0 || base < 0 || base === BASE_RIP;
  const relative = base === BASE_RIP && disp < 0;
  const tail = relative
    ? `+${offsetText(instruction)}`
    : disp < 0
      ? `-${hex(-disp)}`
      : `+${hex(disp)}`;
  return `[${parts.join('+')}${shown ? tail : ''}]`;
}

/**
 * A SIB byte without an index is shown as riz when a plain form would have done, as objdump does.
 */
function hasNoIndexMark({ base, index, sib }: Instruction): boolean {
  if (sib < 0 || index >= 0) return false;
  return (base & 7) !== 4 && base >= 0;
}

function offsetText({ disp, dispHi, addrSize }: Instruction): string {
  if (addrSize === 2) return hex(disp & 0xffff);
  return addrSize === 4 ? hex(disp >>> 0) : hex64(disp, dispHi);
}

/** `DWORD PTR fs:` and so on before an address. */
function memoryText(instruction: Instruction, size: Size, address: string): string {
  const { segmentOverride, codeSize, segment } = instruction;
  const heeded = segmentOverride >= (codeSize === 8 ? 4 : 0);
  const shown = heeded || !address.startsWith('[');
  return `${sizeText(instruction, size)}${shown ? `${segmentNames[segment]}:` : ''}${address}`;
}

function sizeText(instruction: Instruction, size: Size): string {
  if (size === 'dt' || unsized.has(instruction.row.mnemonic)) return '';
  if (octets.has(instruction.row.mnemonic)) return 'OWORD PTR ';
  if (instruction.row.mnemonic === 'invlpg') return 'BYTE PTR ';
  if (size === 0 && instruction.row.mnemonic.includes('gather')) {
    return instruction.row.encoding.vex!.w === 1 ? 'QWORD PTR ' : 'DWORD PTR ';
  }
  const name = sizeNames.get(bytesOf(instruction, size));
  return name === undefined ? '' : `${name} PTR `;
}

const bytesOf = ({ opsize, codeSize }: Instruction, size: Size): number =>
  operandBytes(size, opsize, codeSize);

function immediateText(instruction: Instruction, { type }: Operand, address: bigint): string {
  const { immLo, immHi, imm2, opsize, codeSize } = instruction;
  if (type === 'rel8' || type === 'relz') {
    const target = address + BigInt(instruction.length) + BigInt(immLo);
    return `0x${truncated(target, opsize === 2 ? 2 : codeSize === 8 ? 8 : 4).toString(16)}`;
  }
  if (type === 'far') return `${hex(imm2)}:${hex(opsize === 2 ? immLo & 0xffff : immLo >>> 0)}`;
  if (type !== 'imm8s' && type !== 'immz' && type !== 'immv') return hex(immLo);
  if (opsize === 1) return hex(immLo & 0xff);
  return opsize === 2 ? hex(immLo & 0xffff) : opsize === 4 ? hex(immLo >>> 0) : hex64(immLo, immHi);
}

/** The address that a RIP-relative operand means. */
function ripTarget(
  { base, mod, length, disp, addrSize }: Instruction,
  address: bigint,
): string | undefined {
  if (mod === 3 || base !== BASE_RIP) return undefined;
  return `0x${truncated(address + BigInt(length) + BigInt(disp), addrSize).toString(16)}`;
}

const truncated = (value: bigint, bytes: number): bigint => BigInt.asUintN(8 * bytes, value);
const hex = (value: number): string => `0x${value.toString(16)}`;
const hex64 = (low: number, high: number): string =>
  `0x${((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)}`;
