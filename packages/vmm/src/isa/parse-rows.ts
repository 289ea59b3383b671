// Reads rows in the notation of SDM vol. 2 into Row records; refuses what does not hold together.
//
//   add   rw:rmv   r:immz   81 /0 iz   CPAZSO   lock
//
// Columns are two or more blanks apart: mnemonic; operands, with access; encoding; flags; traits.
// The last two may be absent, and `-` says "no flags". A line `[traits]` gives traits to the rows
// below it.
//
// Encoding: NP NFx 66 F3 F2 (mandatory prefix), o16 o32 REX.W (demanded operand size), opcode
// bytes, of which the last may be a whole ModRM byte (0F 01 F8), `+r` register, `+i` eight ModRM
// bytes, `+cc` sixteen conditions; /r or /digit; immediates ib iw iz iv, branch offsets cb cz cp,
// `mo` for moffs.
// Flags: CPAZSO written, ?C read, ~A undefined, letters as in flags.ts; ?cc those of the condition.
//
// Traits: a feature of row.ts; lock (takes LOCK), rep and repz (repeat by count; also by ZF), keep
// (may leave the flags alone), end (ends a basic block), fault (may fault besides by memory), cpl0,
// protected (#UD in real mode), only64, not64, v d64 f64 z (operand size rules, see OpsizeRule),
// unaligned (16 bytes at any address), rexb0 (not with REX.B), x87 mmx sse avx (register state
// used); of VEX rows aligned (vectors in memory must be), mvr (operands in ModRM.rm, VEX.vvvv,
// ModRM.reg). The encoding column of VEX rows is in parse-vex.ts.

import { assert } from '../base/assert.ts';
import { CF, flagLetters, OF, PF, SF, ZF } from './flags.ts';
import { operandShapes } from './operand.ts';
import { expandVex, parseVex } from './parse-vex.ts';
import type {
  Access,
  Encoding,
  Feature,
  ImmediateCode,
  Operand,
  OperandType,
  OpsizeRule,
} from './row.ts';
import { featureNames, type Place, type PrefixRule, type Row, type Unit } from './row.ts';

/** The customary suffix of each condition code (SDM vol. 1, appendix B). */
// biome-ignore format: two halves
export const conditionNames: readonly string[] = [
  'o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a',
  's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g',
];

/** The flags that each pair of condition codes reads. */
const conditionFlags = [OF, CF, ZF, CF | ZF, SF, PF, SF | OF, ZF | SF | OF];

const features: ReadonlySet<string> = new Set(featureNames);

// biome-ignore format: a list, not a column
const traitNames: ReadonlySet<string> = new Set([
  'lock', 'rep', 'repz', 'keep', 'end', 'fault', 'cpl0', 'protected', 'only64', 'not64',
  'v', 'd64', 'f64', 'z', 'unaligned', 'rexb0', 'x87', 'mmx', 'sse', 'avx', 'aligned', 'mvr',
]);

const prefixRules: ReadonlySet<string> = new Set(['NFx', 'NP', '66', 'F3', 'F2']);
const demandedOpsize: Readonly<Record<string, 2 | 4 | 8>> = { o16: 2, o32: 4, 'REX.W': 8 };
const immediateCodes: ReadonlySet<string> = new Set([
  'ib',
  'iw',
  'iz',
  'iv',
  'cb',
  'cz',
  'cp',
  'mo',
]);

/**
 * Parses the rows of `texts`, in order; throws AssertionError for a row that does not hold
 * together.
 */
export function parseRows(texts: readonly string[]): Row[] {
  const drafts: Omit<Row, 'id'>[] = [];
  for (const text of texts) {
    let shared: string[] = [];
    for (const line of text.split('\n')) {
      const trimmed = line.trim();
      if (trimmed.startsWith('[')) shared = words(trimmed.slice(1, -1));
      else if (trimmed !== '') drafts.push(...parseLine(trimmed, shared));
    }
  }
  const uses = new Map<string, number>();
  for (const { name } of drafts) uses.set(name, (uses.get(name) ?? 0) + 1);
  const seen = new Set<string>();
  return drafts.map((draft, id) => {
    const name = uses.get(draft.name) === 1 ? draft.name : `${draft.name} (${draft.encoding.text})`;
    assert(!seen.has(name), `two rows are called ${name}`);
    seen.add(name);
    return { ...draft, id, name };
  });
}

/** The rows of one line: one, or sixteen when the opcode holds a condition, or two of VEX. */
function parseLine(line: string, shared: readonly string[]): Omit<Row, 'id'>[] {
  if (line.includes('VEX.')) {
    return expandVex(line, shared).map(([one, traits]) => parseRow(one, traits, -1));
  }
  if (!line.includes('+cc')) return [parseRow(line, shared, -1)];
  return conditionNames.map((_, condition) => parseRow(line, shared, condition));
}

function parseRow(line: string, shared: readonly string[], condition: number): Omit<Row, 'id'> {
  const [mnemonic, ...columns] = line.split(/ {2,}/) as [string, ...string[]];
  const operandTexts = columns.filter((column) => column.includes(':'));
  const [encodingText, flagsText = '-', traitText = ''] = columns.slice(operandTexts.length);
  assert(encodingText !== undefined, `no encoding: ${line}`);
  const traits = new Set([...shared, ...words(traitText)]);
  for (const trait of traits) {
    assert(traitNames.has(trait) || features.has(trait), `unknown trait ${trait}: ${line}`);
  }
  const bytes = parseEncoding(encodingText, condition, line);
  const operands = placeOperands(operandTexts, bytes, traits.has('mvr'), line);
  const encoding: Encoding = {
    ...bytes,
    onlyOpsize: isWideVex(bytes, operands, traits) ? 8 : bytes.onlyOpsize,
    forms: modrmForms(operands, bytes),
    notWithRexB: traits.has('rexb0'),
  };
  const flags = parseFlags(flagsText, condition, line);
  const unit = unitOf(operands, traits, bytes.vex !== undefined);
  const types = operands.map((operand) => operand.type).join(', ');
  const spelled = condition < 0 ? mnemonic : mnemonic.replace('cc', conditionNames[condition]);
  const row = {
    name: types === '' ? spelled : `${spelled} ${types}`,
    mnemonic,
    condition,
    operands,
    encoding,
    flagsRead: flags.read,
    flagsWritten: flags.written,
    flagsUndefined: flags.undefined,
    flagsKept: traits.has('keep') || traits.has('repz'),
    opsizeRule: opsizeRuleOf(operands, traits),
    modes:
      traits.has('only64') || isWideVex(bytes, operands, traits)
        ? 'only64'
        : traits.has('not64')
          ? 'not64'
          : 'all',
    feature: [...traits].find((trait) => features.has(trait)) as Feature | undefined,
    unit,
    lockable: traits.has('lock'),
    rep: traits.has('rep') ? 'rep' : traits.has('repz') ? 'repz' : 'none',
    endsBlock: traits.has('end'),
    mayFault: unit !== 'integer' || touchesMemory(operands) || mayRefuse(traits),
    cpl0: traits.has('cpl0'),
    protectedOnly: traits.has('protected'),
    aligned: bytes.vex
      ? traits.has('aligned')
      : !traits.has('unaligned') && operands.some((o) => operandShapes[o.type].memorySize === 16),
  } as const;
  validate(row, line);
  return row;
}

type Bytes = Omit<Encoding, 'forms' | 'notWithRexB'>;

/** VEX.W is 1 for 64-bit operands, some implicit: these rows exist in 64-bit code only. */
const isWideVex = ({ vex }: Bytes, operands: readonly Operand[], traits: ReadonlySet<string>) =>
  vex?.w === 1 &&
  (traits.has('v') || operands.some(({ type }) => operandShapes[type].file === 'gpr'));

function parseEncoding(text: string, condition: number, line: string): Bytes {
  const tokens = words(text);
  const vexToken = tokens[0].startsWith('VEX.') ? parseVex(tokens.shift()!) : undefined;
  assert((vexToken !== undefined) === text.startsWith('VEX.'), `not VEX's notation: ${line}`);
  let prefix: PrefixRule = vexToken?.prefix ?? 'any';
  let onlyOpsize: 0 | 2 | 4 | 8 = 0;
  while (!vexToken && (prefixRules.has(tokens[0]) || tokens[0] in demandedOpsize)) {
    const token = tokens.shift()!;
    if (token in demandedOpsize) onlyOpsize = demandedOpsize[token];
    else prefix = token as PrefixRule;
  }
  let map: 0 | 1 | 2 | 3 = vexToken?.map ?? 0;
  const escaped = vexToken ? null : /^0F (38 |3A )?/.exec(tokens.join(' '));
  if (escaped !== null) {
    map = escaped[1] === undefined ? 1 : escaped[1] === '38 ' ? 2 : 3;
    tokens.splice(0, map === 1 ? 1 : 2);
  }
  const [opcodeText, plus] = tokens.shift()!.split('+');
  const opcode = Number.parseInt(opcodeText, 16) + (plus === 'cc' ? condition : 0);
  let digit = -1;
  let exactRm = -1;
  let modrm = false;
  if (tokens.length > 0 && /^[0-9A-F]{2}/.test(tokens[0])) {
    const [whole, eight] = tokens.shift()!.split('+');
    const byte = Number.parseInt(whole, 16);
    modrm = true;
    assert(byte >= 0xc0, `a whole ModRM byte has mod = 3: ${line}`);
    digit = (byte >> 3) & 7;
    exactRm = eight === 'i' ? -1 : byte & 7;
    assert(eight === undefined || (byte & 7) === 0, `+i counts from a multiple of 8: ${line}`);
  } else if (tokens[0]?.startsWith('/')) {
    modrm = true;
    const extension = tokens.shift()!.slice(1);
    if (extension !== 'r') digit = Number.parseInt(extension, 10);
  }
  const is4 = tokens.indexOf('/is4');
  if (is4 >= 0) tokens[is4] = 'ib';
  for (const token of tokens) assert(immediateCodes.has(token), `unknown ${token}: ${line}`);
  const immediates = tokens as ImmediateCode[];
  const plusR = plus === 'r';
  const vex = vexToken?.vex;
  return { text, prefix, onlyOpsize, map, vex, opcode, plusR, modrm, digit, exactRm, immediates };
}

/** Reads the operands and finds each its place in the bytes. */
function placeOperands(
  texts: readonly string[],
  bytes: Bytes,
  isRmFirst: boolean,
  line: string,
): Operand[] {
  const drafts = texts.map((text) => {
    const [access, type] = text.split(':') as [Access, OperandType];
    assert(type in operandShapes, `unknown operand type ${type}: ${line}`);
    assert(['r', 'w', 'rw', 'a'].includes(access), `unknown access ${access}: ${line}`);
    return { access, type };
  });
  const variable = drafts.filter(({ type }) => isModrmOperand(type));
  // The operand in ModRM.rm is the one that may be memory; among registers only, the last one that
  // is not a control or debug register (SDM vol. 2, operand encoding RM).
  const inRm =
    variable.find(({ type }) => operandShapes[type].memorySize !== undefined) ??
    (isRmFirst ? variable[0] : undefined) ??
    variable.findLast(({ type }) => type !== 'creg' && type !== 'dreg');
  // Of the others of a VEX row, ModRM.reg is the first, unless ModRM.rm is the destination; with an
  // opcode extension there it is VEX.vvvv. (SDM vol. 2, operand encodings RVM, RMV, MVR, VM, RVMR.)
  const others = variable.filter((draft) => draft !== inRm);
  const isReversed = others.length === 2 && variable[0] === inRm;
  const places: Place[] = isReversed ? ['vvvv', 'reg'] : ['reg', 'vvvv', 'is4'];
  if (bytes.digit >= 0) places.shift();
  let immediates = 0;
  const place = (draft: (typeof drafts)[number]): Place => {
    const { immediate } = operandShapes[draft.type];
    if (immediate === 'mo') return 'moffs';
    if (immediate !== undefined) return immediates++ === 0 ? 'imm' : 'imm2';
    if (!isModrmOperand(draft.type)) return 'fixed';
    if (bytes.plusR) return 'opcode';
    if (draft === inRm) return 'rm';
    return bytes.vex ? places[others.indexOf(draft)] : 'reg';
  };
  return drafts.map((draft) => ({ ...draft, place: place(draft) }));
}

function isModrmOperand(type: OperandType): boolean {
  const shape = operandShapes[type];
  if (shape.fixed !== undefined || shape.string !== undefined) return false;
  return shape.immediate === undefined;
}

function modrmForms(operands: readonly Operand[], bytes: Bytes): Encoding['forms'] {
  if (!bytes.modrm) return 'none';
  const operand = operands.find(({ place }) => place === 'rm');
  if (operand === undefined) return 'register';
  const { file, memorySize } = operandShapes[operand.type];
  if (memorySize === undefined) return 'register';
  return file === undefined ? 'memory' : 'both';
}

function parseFlags(text: string, condition: number, line: string) {
  const flags = { read: 0, written: 0, undefined: 0 };
  if (text === '-') return flags;
  for (const word of words(text)) {
    const kind = word.startsWith('?') ? 'read' : word.startsWith('~') ? 'undefined' : 'written';
    if (word === '?cc') flags.read |= conditionFlags[condition >> 1];
    else
      for (const letter of kind === 'written' ? word : word.slice(1)) {
        assert(letter in flagLetters, `unknown flag ${letter}: ${line}`);
        flags[kind] |= flagLetters[letter];
      }
  }
  return flags;
}

function unitOf(operands: readonly Operand[], traits: ReadonlySet<string>, isVex: boolean): Unit {
  const uses = (file: string) => operands.some(({ type }) => operandShapes[type].file === file);
  if (traits.has('x87')) return 'x87';
  if (traits.has('avx') && operands.length === 0) return 'avx';
  if (isVex && (uses('xmm') || uses('ymm') || operands.some(({ type }) => type === 'm32')))
    return 'avx';
  const sse = uses('xmm') || (traits.has('sse') && operands.some(({ type }) => type === 'm32'));
  const mmx = uses('mm') || (traits.has('mmx') && operands.length === 0);
  return sse && mmx ? 'sse+mmx' : sse ? 'sse' : mmx ? 'mmx' : 'integer';
}

const byteTypes: ReadonlySet<string> = new Set(['r8', 'rm8', 'al', 'moffs8', 'x8', 'y8']);
const wideTypes: ReadonlySet<string> = new Set(['r16', 'r32', 'r64']);
const sizedImmediates: ReadonlySet<string> = new Set(['iz', 'iv', 'cz', 'cp']);

function opsizeRuleOf(operands: readonly Operand[], traits: ReadonlySet<string>): OpsizeRule {
  for (const rule of ['d64', 'f64', 'z', 'v'] as const) if (traits.has(rule)) return rule;
  const sized = operands.some(({ type }) => {
    const { registerSize, memorySize, immediate } = operandShapes[type];
    if (registerSize === 'v' || sizedImmediates.has(immediate ?? '')) return true;
    return typeof memorySize === 'string' && memorySize !== 'dt';
  });
  if (sized) return 'v';
  const byte = operands.some(({ type }) => byteTypes.has(type));
  return byte && !operands.some(({ type }) => wideTypes.has(type)) ? 'byte' : 'none';
}

function touchesMemory(operands: readonly Operand[]): boolean {
  return operands.some((o) => o.access !== 'a' && operandShapes[o.type].memorySize !== undefined);
}

function mayRefuse(traits: ReadonlySet<string>): boolean {
  return ['fault', 'cpl0', 'protected', 'd64'].some((trait) => traits.has(trait));
}

function validate(row: Omit<Row, 'id'>, line: string): void {
  const { operands, encoding } = row;
  const count = (place: Place) => operands.filter((operand) => operand.place === place).length;
  const codes = operands
    .map(({ type }) => operandShapes[type].immediate)
    .filter((c) => c !== undefined);
  if (count('is4') > 0) codes.push('ib');
  assert(codes.join() === encoding.immediates.join(), `operands and immediates disagree: ${line}`);
  const slashR = encoding.modrm && encoding.digit < 0;
  assert(count('reg') <= (slashR ? 1 : 0), `operands and ModRM.reg disagree: ${line}`);
  assert(count('rm') <= (encoding.modrm ? 1 : 0), `operands and ModRM.rm disagree: ${line}`);
  assert(!slashR || count('rm') === 1, `/r without a ModRM.rm operand: ${line}`);
  assert(count('vvvv') + count('is4') === 0 || encoding.vex !== undefined, `not VEX: ${line}`);
  assert(count('opcode') === (encoding.plusR ? 1 : 0), `operands and +r disagree: ${line}`);
  assert(encoding.opcode >= 0 && encoding.opcode <= 0xff, `bad opcode: ${line}`);
  assert(!row.lockable || operands[0].access.includes('w'), `LOCK without a destination: ${line}`);
  const twice = row.flagsWritten & row.flagsUndefined;
  assert(twice === 0, `flags both written and undefined: ${line}`);
  assert(
    row.rep === 'none' || operands.some(({ type }) => operandShapes[type].string),
    `REP: ${line}`,
  );
}

const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
