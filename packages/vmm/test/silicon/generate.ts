// Generates vectors: for a form of an instruction, random encodings with random state, in which the
// operands are where the instruction can reach them, or where it is meant to fault.

import { Decoder } from '../../src/isa/decoder.ts';
import type { CodeMode } from '../../src/isa/instruction.ts';
import { operandBytes, operandShapes } from '../../src/isa/operand.ts';
import { encodingsOf } from '../../src/isa/random-encodings.ts';
import { type Feature, featureNames, type Row } from '../../src/isa/row.ts';
import { operandLinear, segmentBase, stackLinear } from './address.ts';
import { aimOperand, aimStack, chooseLinear, isFree, setCode } from './aim.ts';
import { Draft } from './draft.ts';
import type { SiliconVector } from './format.ts';
import type { Form } from './forms.ts';
import { CODE_REGION, CODE16_LIMIT } from './layout.ts';
import { Random } from './random.ts';
import { applySetup } from './setups.ts';
import { fxValue, integerValue, styledBytes, type ValueStyle } from './values.ts';

/** A vector and what it is one of. */
export interface GeneratedVector {
  readonly form: Form;
  readonly vector: SiliconVector;
}

/** Bytes of memory operands whose length the row leaves to the instruction. */
const AREAS: Readonly<Record<string, number>> = {
  fxsave: 512,
  fxrstor: 512,
  xsave: 576,
  xsaveopt: 576,
  xsavec: 576,
  xrstor: 576,
  fnsave: 108,
  frstor: 108,
  fnstenv: 28,
  fldenv: 28,
};

/** Around what the base of a gather points to. */
const GATHER_BYTES = 64;
const isGather = ({ mnemonic }: Row): boolean => mnemonic.includes('gather');

/** The x87 instructions whose memory format follows the operand size. */
const ENVIRONMENTS: ReadonlySet<string> = new Set(['fnsave', 'frstor', 'fnstenv', 'fldenv']);

const SEGMENT_COUNT = 6;
const ATTEMPTS_MAX = 20;

/** Makes vectors for one set of features, those that decode. */
export class Generator {
  private readonly decoder: Decoder;

  constructor(features: Iterable<Feature> = featureNames) {
    this.decoder = new Decoder(features);
  }

  /**
   * The vector number `index` of `form`: the same one each time. Undefined when the form's bytes
   * always are another row's, one with a narrower encoding (hint NOPs that became prefetches).
   */
  generate(form: Form, index: number): GeneratedVector | undefined {
    const random = new Random(hash(form.name) + Math.imul(index, 0x2545f491));
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const draft = new Draft(form, chooseCode(form, random), this.decoder, random);
      if (draft.decode() && complete(draft)) return { form, vector: draft.finish() };
    }
    return undefined;
  }
}

/** Gives `draft` its state; false when its operand cannot be aimed at memory of the vectors'. */
function complete(draft: Draft): boolean {
  const { form, random } = draft;
  const style = chooseStyle(form.row, random);
  draft.fx = fxValue(random, style, form.row.unit.endsWith('mmx') && random.percent(80));
  draft.ymm.set(styledBytes(random, style, draft.ymm.length));
  placeCode(draft);
  chooseImmediate(draft);
  aimStack(draft, chooseStack(draft));
  if (form.memory && !placeOperand(draft, style)) return false;
  applySetup(draft);
  return draft.decode() && isConfined(draft);
}

const SEGMENT_BYTES = 1n << 32n;
const RSP = 4;

/** Instructions that use the stack. */
const STACK: ReadonlySet<string> = new Set(
  'push pop pusha popa pushf popf call ret retf iret enter leave'.split(' '),
);

/**
 * True when the finished draft touches nothing of the runner's own, and does not depend on how a
 * processor takes an operand of several parts to pieces: which part of it comes first at the end of
 * a segment, and how many bytes a selector's place on the stack has.
 */
function isConfined(draft: Draft): boolean {
  const { row, opsize, segment } = draft.instruction;
  if (draft.form.memory) {
    const linear = operandLinear(draft, draft.instruction);
    const { bytes } = operandExtent(draft);
    if (!isFree(linear) || !isFree(linear + BigInt(bytes))) return false;
    const end = BigInt.asUintN(32, linear - segmentBase(draft, segment)) + BigInt(bytes);
    if (draft.mode !== 64 && isCompound(row) && end > SEGMENT_BYTES) return false;
  }
  if (!STACK.has(row.mnemonic)) return true;
  const stack = stackLinear(draft, draft.gpr[RSP]);
  if (!isFree(stack)) return false;
  if (!movesSelector(row)) return true;
  // A far CALL into compatibility mode pushes with the 32-bit stack pointer of that mode.
  if (row.mnemonic === 'call' && stack >= SEGMENT_BYTES) return false;
  const inPage = Number(stack & 0xfffn);
  return inPage >= 2 * opsize && inPage + 5 * opsize <= 0x1000;
}

/** Memory operands that are read or written in parts. */
const isCompound = ({ mnemonic, operands }: Row): boolean =>
  mnemonic in AREAS || operands.some(({ type }) => type === 'mfar' || type === 'mpair');

/** A segment selector goes to the stack or comes from it. */
const movesSelector = ({ mnemonic, operands }: Row): boolean =>
  mnemonic === 'retf' ||
  mnemonic === 'iret' ||
  operands.some(({ type }) => /far$/.test(type) || operandShapes[type].file === 'seg');

/** A number for a text (FNV-1a). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value;
}

/** An encoding of `form`, now and then with a prefix that it does not need. */
function chooseCode(form: Form, random: Random): Uint8Array {
  const { row, mode, opsize, memory } = form;
  const size = (mode / 8) as CodeMode;
  const otherSize = mode === 64 ? 4 : mode === 32 ? 2 : 4;
  const limits = {
    opsize,
    form: memory ? ('memory' as const) : ('register' as const),
    addrSize: random.percent(20) ? (otherSize as 2 | 4) : size,
    lock: random.percent(40),
    rep: random.pick([0, 0xf2, 0xf3, 0xf3] as const),
    segment: memory || row.operands.some(usesMemory) ? chooseSegment(random) : -1,
  };
  const [code] = encodingsOf(row, () => random.next(), size, limits);
  if (ENVIRONMENTS.has(row.mnemonic) && random.percent(30)) return Uint8Array.of(0x66, ...code);
  return code;
}

const usesMemory = ({ type }: { type: keyof typeof operandShapes }): boolean =>
  operandShapes[type].memorySize !== undefined;

const chooseSegment = (random: Random): number =>
  random.percent(80) ? -1 : random.below(SEGMENT_COUNT);

/** What the operands of `row` are, by its mnemonic, as a rule. */
function chooseStyle(row: Row, random: Random): ValueStyle {
  if (random.percent(15)) return random.pick(['integer', 'single', 'double']);
  if (row.operands.some(({ type }) => /^[xy]mm$/.test(operandShapes[type].file ?? ''))) {
    const mnemonic = row.mnemonic.replace(/^v(?!erw?$)/, '');
    if (/(^cvtt?(ps|ss))|((?<!^p.*)(ps|ss)$)/.test(mnemonic)) return 'single';
    if (/(^cvtt?(pd|sd))|((?<!^p.*)(pd|sd)$)/.test(mnemonic)) return 'double';
  }
  return 'integer';
}

/** Moves some code across the page boundary, or to the end of the code's segment or region. */
function placeCode(draft: Draft): void {
  const { random } = draft;
  const choice = random.below(100);
  if (choice >= 12) return;
  const end = draft.form.mode === 16 ? CODE16_LIMIT + 1 : CODE_REGION.length;
  const edge = choice < 7 ? 0x1000 : end;
  const before = BigInt(edge - random.between(1, draft.instruction.length));
  draft.rip = before + (draft.form.mode === 16 ? 0n : CODE_REGION.address);
}

/** Replaces an 8-bit immediate by one at an edge, as the encoder's is uniform. */
function chooseImmediate(draft: Draft): void {
  const { row } = draft.form;
  if (row.encoding.immediates.join() !== 'ib' || draft.random.percent(50)) return;
  setCode(draft, integerValue(draft.random, 8), 1, 0);
}

function chooseStack(draft: Draft): bigint {
  for (;;) {
    const linear = chooseLinear(draft.random, 32, 8, draft.form.mode === 64);
    if (isFree(linear)) return linear + BigInt(draft.random.pick([0, 0, 8, 32]));
  }
}

/** True for an area of XSAVE's that 16-bit addresses wrap in: what comes first then is anyone's. */
function wraps(draft: Draft, linear: bigint): boolean {
  const { row, addrSize, segment } = draft.instruction;
  const area = AREAS[row.mnemonic];
  if (area !== 576 || addrSize !== 2) return false;
  return linear - segmentBase(draft, segment) + BigInt(area) > 0x1_0000n;
}

/** Bytes that the ModRM operand reaches over, and the alignment that it must have. */
function operandExtent(draft: Draft): { bytes: number; alignment: number } {
  const { row, opsize, codeSize } = draft.instruction;
  const operand = row.operands.find(({ place }) => place === 'rm');
  const size = operand === undefined ? 0 : (operandShapes[operand.type].memorySize ?? 0);
  const area = AREAS[row.mnemonic];
  const bytes = area ?? Math.max(1, operandBytes(size, opsize, codeSize));
  const alignment = area === 576 ? 64 : row.aligned || area === 512 ? Math.max(16, bytes) : 1;
  return { bytes: isGather(row) ? GATHER_BYTES : bytes, alignment: area === 512 ? 16 : alignment };
}

/**
 * Aims the ModRM operand, and fills the memory there with values of `style` as a rule; false when
 * its registers cannot reach (a base that is also the index, a displacement of 32 bits).
 */
function placeOperand(draft: Draft, style: ValueStyle): boolean {
  const { bytes, alignment } = operandExtent(draft);
  const { random } = draft;
  const long = draft.form.mode === 64;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    aimOperand(draft, chooseLinear(random, bytes, alignment, long));
    const linear = operandLinear(draft, draft.instruction);
    if (!isFree(linear) || !isFree(linear + BigInt(bytes)) || wraps(draft, linear)) continue;
    if (random.percent(75)) draft.patch(linear, styledBytes(random, style, bytes));
    return true;
  }
  return false;
}
