// What random state alone would seldom hit: implicit operands that must lie in memory, counts worth
// a loop, divisions that do not overflow, comparisons that find equality, images worth restoring.
// One function per mnemonic, applied to a draft that is otherwise complete.

import { operandBytes, operandShapes } from '../../src/isa/operand.ts';
import { operandLinear as linearOf, segmentBase, stackLinear } from './address.ts';
import {
  aimRegister,
  aimStack,
  chooseLinear,
  isFree,
  low,
  offsetOf,
  setCode,
  setLow,
} from './aim.ts';
import type { Draft } from './draft.ts';
import { Selector } from './layout.ts';
import type { Random } from './random.ts';
import {
  controlWord,
  doubleValue,
  extendedValue,
  fxValue,
  integerValue,
  mxcsrValue,
  singleValue,
  statusWord,
} from './values.ts';
import { Fx } from './vectors.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const ES = 0;

/** Selectors to load: good, null, of the wrong kind or privilege, beyond the table. */
const SELECTORS: readonly number[] = [
  0, 1, 3, 0x10, 0x18, 0x28, 0x2a,
  Selector.code32, Selector.flat, Selector.flat, Selector.code64, Selector.code16,
  Selector.stack16, Selector.based, Selector.based, Selector.limited, Selector.down,
  Selector.down16, Selector.fixed, 0x15, 0x3f, 0x1000, 0xfff8,
]; // biome-ignore format: grouped

const wide = (draft: Draft): boolean => draft.form.mode === 64;

/** The linear address of the ModRM operand. */
const operandLinear = (draft: Draft): bigint => linearOf(draft, draft.instruction);

/** Chooses an address for `size` bytes that an implicit operand can have. */
export function chooseFree(draft: Draft, size: number, alignment = 1): bigint {
  for (;;) {
    const linear = chooseLinear(draft.random, size, alignment, wide(draft));
    if (isFree(linear)) return linear;
  }
}

/** Writes the first immediate over, `behind` bytes before the end of the code. */
function setImmediate(draft: Draft, value: number, bytes: number, behind = 0): void {
  setCode(draft, BigInt(value), bytes, behind);
}

/** Puts `value` where the explicit operand in ModRM.rm is: a register, or memory. */
function setOperand(draft: Draft, value: bigint, bytes: number): void {
  if (draft.form.memory) draft.patchNumber(operandLinear(draft), value, bytes);
  else setLow(draft, draft.instruction.rm, value, bytes);
}

/** RSI or RDI at memory for `count` elements of `bytes`, allowing for DF. */
function aimString(draft: Draft, register: number, segment: number, bytes: number): void {
  aimRegister(draft, register, chooseFree(draft, bytes), segment);
}

function string(draft: Draft): void {
  const { random, instruction } = draft;
  const { row, opsize, addrSize } = instruction;
  for (const operand of row.operands) {
    const kind = operandShapes[operand.type].string;
    if (kind === 'x') aimString(draft, RSI, instruction.segment, opsize);
    if (kind === 'y') aimString(draft, RDI, ES, opsize);
  }
  setLow(draft, RCX, BigInt(random.pick([0, 1, 2, 3, 5, 8, 17, 40])), addrSize);
  // Comparisons that go on: few distinct bytes, the same in memory and in rAX.
  if (row.rep === 'repz' && random.percent(70)) {
    const value = random.pick([0n, 0xffff_ffff_ffff_ffffn, 0x4141_4141_4141_4141n]);
    setLow(draft, RAX, value, 8);
    const bytes = new Uint8Array(0x60).fill(Number(value & 0xffn));
    bytes[random.below(0x60)] ^= random.pick([0, 1, 0x80]);
    const down = (draft.rflags & 0x400) !== 0 ? 0x50n : 0n;
    const source = low(draft, RSI, addrSize) + segmentBase(draft, instruction.segment);
    draft.patch(source - down, bytes);
    bytes[random.below(0x60)] ^= random.pick([0, 0, 1, 0x80]);
    draft.patch(low(draft, RDI, addrSize) + segmentBase(draft, ES) - down, bytes);
  }
  draft.steps = random.pick([1, 1, 2, 1000]);
}

/** Makes most quotients fit: rDX:rAX (or AX) is the sign or zero extension of its low half. */
function division(signed: boolean): (draft: Draft) => void {
  return (draft) => {
    const { opsize } = draft.instruction;
    if (draft.random.percent(25)) return;
    const bits = opsize * 8;
    const value = low(draft, RAX, opsize);
    const high = signed ? BigInt.asIntN(bits, value) >> BigInt(bits) : 0n;
    if (opsize === 1) setLow(draft, RAX, value | (BigInt.asUintN(8, high) << 8n), 2);
    else setLow(draft, RDX, high, opsize);
  };
}

function compareExchange(draft: Draft): void {
  const { opsize } = draft.instruction;
  if (draft.random.percent(50)) setOperand(draft, low(draft, RAX, opsize), opsize);
}

function compareExchangePair(draft: Draft): void {
  const half = draft.instruction.row.operands[0].type === 'm128' ? 8 : 4;
  const { random } = draft;
  if (random.percent(40)) return;
  const linear = operandLinear(draft);
  // Equal, or equal in one half only.
  const wrong = random.below(4);
  draft.patchNumber(linear, low(draft, RAX, half) ^ (wrong === 1 ? 1n : 0n), half);
  const high = low(draft, RDX, half) ^ (wrong === 2 ? 1n : 0n);
  draft.patchNumber(linear + BigInt(half), high, half);
}

/** A bit offset that reaches some way beyond the operand, in either direction. */
function bitTest(draft: Draft): void {
  const { row, reg, base, index, opsize } = draft.instruction;
  if (!draft.form.memory || row.operands[1].place !== 'reg' || reg === base || reg === index)
    return;
  const reach = draft.random.pick([31, 63, 64, 1000, 20_000]);
  setLow(draft, reg, BigInt(draft.random.between(-reach, reach)), opsize);
}

function selectorOperand(draft: Draft): void {
  setOperand(draft, BigInt(draft.random.pick(SELECTORS)), 2);
}

function move(draft: Draft): void {
  const { operands } = draft.instruction.row;
  if (operands[0].type === 'sreg') selectorOperand(draft);
  const moffs = operands.find(({ place }) => place === 'moffs');
  if (moffs === undefined) return;
  const { opsize, addrSize, segment } = draft.instruction;
  setCode(draft, offsetOf(draft, chooseFree(draft, opsize), segment, addrSize), addrSize, 0);
}

function pop(draft: Draft): void {
  const { type } = draft.instruction.row.operands[0];
  if (operandShapes[type].file !== 'seg') return;
  const linear = stackLinear(draft, draft.gpr[RSP]);
  draft.patchNumber(linear, BigInt(draft.random.pick(SELECTORS)), 2);
}

function farPointer(draft: Draft): void {
  const linear = operandLinear(draft) + BigInt(draft.instruction.opsize);
  draft.patchNumber(linear, BigInt(draft.random.pick(SELECTORS)), 2);
}

function bound(draft: Draft): void {
  const { opsize, reg } = draft.instruction;
  const { random } = draft;
  const index = BigInt.asIntN(opsize * 8, draft.gpr[reg]);
  const linear = operandLinear(draft);
  draft.patchNumber(linear, index - BigInt(random.between(-1, 3)), opsize);
  draft.patchNumber(linear + BigInt(opsize), index + BigInt(random.between(-1, 3)), opsize);
}

function enter(draft: Draft): void {
  const { random } = draft;
  setImmediate(
    draft,
    random.percent(80) ? random.pick([0, 0, 1, 2, 3, 31, 33]) : random.below(256),
    1,
  );
  setImmediate(draft, random.percent(80) ? random.below(0x100) : random.below(0x4000), 2, 1);
  aimStack(draft, chooseFree(draft, 8), RBP);
}

function leave(draft: Draft): void {
  aimStack(draft, chooseFree(draft, 8), RBP);
}

function translate(draft: Draft): void {
  const linear = chooseFree(draft, 1);
  const { segment, addrSize } = draft.instruction;
  const offset = offsetOf(draft, linear, segment, addrSize) - low(draft, RAX, 1);
  setLow(draft, RBX, offset, addrSize);
}

function maskMove(draft: Draft): void {
  const { segment, unit } = { ...draft.instruction, unit: draft.form.row.unit };
  aimRegister(draft, RDI, chooseFree(draft, unit === 'mmx' ? 8 : 16), segment);
}

/** Sets `bytes` bytes at `offset` of vector register `n`, of whichever half. */
function setVector(draft: Draft, n: number, offset: number, value: bigint, bytes: number): void {
  const isLow = offset < 16;
  const target = isLow ? draft.fx : draft.ymm;
  const at = n * 16 + (isLow ? Fx.xmm + offset : offset - 16);
  for (let i = 0; i < bytes; i++) target[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** Indices that stay near the base as a rule, and masks of which half is set. */
function gather(draft: Draft): void {
  const { random, instruction } = draft;
  const bytes = /gatherq/.test(instruction.row.mnemonic) ? 8 : 4;
  const isFar = random.percent(15);
  for (let at = 0; at < 32; at += bytes) {
    const index = random.between(isFar ? -600 : -4, isFar ? 600 : 12);
    setVector(draft, instruction.index, at, BigInt(index), bytes);
  }
  const all = random.percent(20);
  for (let at = 3; at < 32; at += 4) {
    const sign = all || random.percent(50) ? 0x80 : 0;
    setVector(draft, instruction.vvvv, at, BigInt(sign | random.below(128)), 1);
  }
}

function count(draft: Draft): void {
  const { random } = draft;
  setLow(draft, RCX, BigInt(random.pick([0, 1, 2])), draft.instruction.addrSize);
}

/** INT n of a vector that user code may not call: anything but the breakpoint, INTO and system call. */
function interrupt(draft: Draft): void {
  const vector = draft.random.below(256);
  setImmediate(draft, vector === 3 || vector === 4 || vector === 0x80 ? 14 : vector, 1);
}

function stringLengths(draft: Draft): void {
  const { random } = draft;
  const size = draft.instruction.opsize === 8 ? 8 : 4;
  setLow(draft, RAX, BigInt(random.between(-20, 20)), size);
  setLow(draft, RDX, BigInt(random.between(-20, 20)), size);
  stringData(draft);
}

/** Text of few letters, a terminator somewhere: what the string comparisons are for. */
function stringData(draft: Draft): void {
  const { random, instruction } = draft;
  const letters = (): Uint8Array => {
    const bytes = new Uint8Array(16);
    for (let at = 0; at < 16; at++) bytes[at] = random.pick([0x61, 0x62, 0x63, 0x7a, 0x81]);
    if (random.percent(60)) bytes[random.below(16)] = 0;
    return bytes;
  };
  if (random.percent(30)) return;
  draft.fx.set(letters(), Fx.xmm + instruction.reg * 16);
  if (draft.form.memory) draft.patch(operandLinear(draft), letters());
  else draft.fx.set(letters(), Fx.xmm + instruction.rm * 16);
}

function loadMxcsr(draft: Draft): void {
  const { random } = draft;
  const value = random.percent(85) ? mxcsrValue(random) : random.next();
  draft.patchNumber(operandLinear(draft), BigInt(value), 4);
}

function loadControl(draft: Draft): void {
  const { random } = draft;
  const value = random.percent(80) ? controlWord(random) : random.below(0x10000);
  draft.patchNumber(operandLinear(draft), BigInt(value), 2);
}

function restoreFx(draft: Draft): void {
  const { random } = draft;
  const fx = fxValue(random, random.pick(['integer', 'single', 'double']), random.percent(30));
  const view = new DataView(fx.buffer);
  if (random.percent(10)) view.setUint32(Fx.mxcsr, random.next(), true);
  draft.patch(operandLinear(draft), fx.subarray(0, Fx.end));
}

/** Components to save or restore: those that FXSAVE holds, which every processor has. */
function chooseComponents(draft: Draft): void {
  // Not none: that touches the header alone, which 16-bit addresses may have wrapped to.
  setLow(draft, RAX, BigInt(draft.random.between(1, 3)), 8);
  setLow(draft, RDX, 0n, 8);
}

/** XSTATE_BV and XCOMP_BV, and the reserved bytes behind them, of an area; some wrong. */
function restoreState(draft: Draft): void {
  const { random } = draft;
  restoreFx(draft);
  chooseComponents(draft);
  const header = new DataView(new ArrayBuffer(64));
  const compacted = random.percent(50);
  const format = compacted ? random.pick([3, 3, 3, random.below(4)]) : 0;
  const present = random.below(4) & (compacted && random.percent(90) ? format : 3);
  header.setUint32(0, present, true);
  header.setUint32(8, format, true);
  header.setUint32(12, compacted ? 0x8000_0000 : 0, true);
  // In this form, what is loaded before a wrong MXCSR is found is the implementation's choice.
  if (compacted) draft.patchNumber(operandLinear(draft) + BigInt(Fx.mxcsr), 0x1f80n, 4);
  if (random.percent(20)) header.setUint8(random.pick([7, 8, 14, 16, 23, 24, 40, 63]), 0x10);
  draft.patch(operandLinear(draft) + 512n, new Uint8Array(header.buffer));
}

/** The x87 environment in the format that mode and operand size give (SDM vol. 1, 8.1.10). */
function restoreEnvironment(draft: Draft): void {
  const { random } = draft;
  if (random.percent(15)) return;
  const step = draft.instruction.opsize === 2 ? 2 : 4;
  const linear = operandLinear(draft);
  const control = random.percent(90) ? controlWord(random) : random.below(0x10000);
  const status = statusWord(random, control, random.percent(30));
  const words = [control, status, random.percent(50) ? 0 : random.below(0x10000)];
  words.forEach((word, index) => {
    draft.patchNumber(linear + BigInt(index * step), BigInt(word), step);
  });
  if (draft.form.row.mnemonic !== 'frstor') return;
  for (let index = 0; index < 8; index++) {
    const at = linear + BigInt(7 * step + index * 10);
    draft.patchNumber(at, extendedValue(random), 10);
  }
}

/** Packed decimal: 18 digits and a sign, now and then not digits. */
function loadDecimal(draft: Draft): void {
  const { random } = draft;
  if (random.percent(20)) return;
  let value = BigInt(random.below(2)) << 79n;
  const digits = random.between(0, 18);
  for (let digit = 0; digit < digits; digit++) {
    value |= BigInt(random.below(10)) << BigInt(digit * 4);
  }
  draft.patchNumber(operandLinear(draft), value, 10);
}

/** ST(0), and ST(1) below it, as numbers of a moderate size: where the transcendentals work. */
function moderate(draft: Draft): void {
  const { random } = draft;
  if (random.percent(30)) return;
  const view = new DataView(draft.fx.buffer, draft.fx.byteOffset);
  for (let index = 0; index < 2; index++) {
    const at = Fx.st + index * 16;
    view.setBigUint64(at, random.bits(63) | (1n << 63n), true);
    view.setUint16(at + 8, (random.below(2) << 15) | (0x3fff + random.between(-8, 6)), true);
  }
  draft.fx[Fx.ftw] = 0xff;
}

function base(draft: Draft): void {
  const values = [0n, 0x1001_0000n, 0x2345_6789_0000n, 0x7fff_ffff_f000n, 0xffff_8000_0000_0000n];
  if (draft.random.percent(80)) setLow(draft, draft.instruction.rm, draft.random.pick(values), 8);
}

/** A return frame below or at the stack pointer, of known code segments. */
function farFrame(slots: number): (draft: Draft) => void {
  return (draft) => {
    const { random, instruction } = draft;
    const { opsize } = instruction;
    const linear = stackLinear(draft, draft.gpr[RSP]);
    const slot = (index: number, value: bigint): void => {
      draft.patchNumber(linear + BigInt(index * opsize), value, opsize);
    };
    slot(0, codeTarget(random));
    slot(1, BigInt(codeSelector(random)));
    // TF stays set: without it nothing would end the vector.
    if (slots > 2) slot(2, 0x302n | BigInt(random.next() & 0x8d5));
    if (slots > 3 && draft.form.mode === 64) {
      slot(3, BigInt.asUintN(opsize * 8, draft.gpr[RBP]));
      slot(4, BigInt(random.pick([Selector.flat, Selector.flat, Selector.stack16, 0, 0x18])));
    }
  };
}

const codeTarget = (random: Random): bigint =>
  random.pick([0x1000_0200n, 0x200n, 0x1000_0ffen, 0x1234n]);

const codeSelector = (random: Random): number =>
  random.percent(75)
    ? random.pick([Selector.code64, Selector.code32, Selector.code16])
    : random.pick(SELECTORS);

/** A target of a near branch: canonical or at most 32 bits as a rule, in the code region or not. */
function nearTarget(draft: Draft): bigint {
  const { random } = draft;
  const choice = random.below(100);
  if (choice < 50) return codeTarget(random);
  if (choice < 70) return random.bits(16);
  if (choice < 80) return random.bits(32);
  if (choice < 85) return random.bits(47);
  if (choice < 90) return BigInt.asUintN(64, -random.bits(31) - 1n);
  return random.bits(56) | (1n << 63n);
}

function nearReturn(draft: Draft): void {
  const { opsize } = draft.instruction;
  const linear = stackLinear(draft, draft.gpr[RSP]);
  draft.patchNumber(linear, BigInt.asUintN(opsize * 8, nearTarget(draft)), opsize);
}

/** The operand of an indirect JMP or CALL, near or far, or the far one in the instruction. */
function branchTarget(draft: Draft): void {
  const { row, opsize } = draft.instruction;
  const { type } = row.operands[0];
  const offset = codeTarget(draft.random);
  const selector = BigInt(codeSelector(draft.random));
  const size = operandBytes('v', opsize, draft.form.mode / 8);
  if (type === 'rmv') {
    setOperand(draft, BigInt.asUintN(size * 8, nearTarget(draft)), size);
  } else if (type === 'mfar') {
    const linear = operandLinear(draft);
    draft.patchNumber(linear, offset, size);
    draft.patchNumber(linear + BigInt(size), selector, 2);
  } else if (type === 'far') {
    setCode(draft, selector, 2, 0);
    setCode(draft, BigInt.asUintN(size * 8, offset), size, 2);
  }
}

/** A number in the memory operand of an x87 instruction, in the format of its size. */
function x87Memory(draft: Draft): void {
  const { random } = draft;
  const { type, access } = draft.instruction.row.operands[0];
  if (!access.includes('r') || random.percent(10)) return;
  const linear = operandLinear(draft);
  const integer = draft.form.row.mnemonic.startsWith('fi');
  const bytes = operandShapes[type].memorySize as number;
  const value = integer
    ? integerValue(random, bytes * 8)
    : bytes === 4
      ? singleValue(random)
      : bytes === 8
        ? doubleValue(random)
        : extendedValue(random);
  draft.patchNumber(linear, value, bytes);
}

const setups: Readonly<Record<string, (draft: Draft) => void>> = {
  movs: string,
  cmps: string,
  stos: string,
  lods: string,
  scas: string,
  ins: string,
  outs: string,
  div: division(false),
  idiv: division(true),
  cmpxchg: compareExchange,
  cmpxchg8b: compareExchangePair,
  cmpxchg16b: compareExchangePair,
  bt: bitTest,
  bts: bitTest,
  btr: bitTest,
  btc: bitTest,
  mov: move,
  pop,
  lar: selectorOperand,
  lsl: selectorOperand,
  verr: selectorOperand,
  verw: selectorOperand,
  les: farPointer,
  lds: farPointer,
  lss: farPointer,
  lfs: farPointer,
  lgs: farPointer,
  bound,
  enter,
  leave,
  xlat: translate,
  maskmovq: maskMove,
  maskmovdqu: maskMove,
  vmaskmovdqu: maskMove,
  vpgatherdd: gather,
  vpgatherdq: gather,
  vpgatherqd: gather,
  vpgatherqq: gather,
  vgatherdps: gather,
  vgatherdpd: gather,
  vgatherqps: gather,
  vgatherqpd: gather,
  loop: count,
  loope: count,
  loopne: count,
  jrcxz: count,
  int: interrupt,
  pcmpestri: stringLengths,
  pcmpestrm: stringLengths,
  pcmpistri: stringData,
  pcmpistrm: stringData,
  vpcmpestri: stringLengths,
  vpcmpestrm: stringLengths,
  vpcmpistri: stringData,
  vpcmpistrm: stringData,
  ldmxcsr: loadMxcsr,
  vldmxcsr: loadMxcsr,
  fldcw: loadControl,
  fxrstor: restoreFx,
  xsave: chooseComponents,
  xsaveopt: chooseComponents,
  xsavec: chooseComponents,
  xrstor: restoreState,
  fldenv: restoreEnvironment,
  frstor: restoreEnvironment,
  fbld: loadDecimal,
  wrfsbase: base,
  wrgsbase: base,
  retf: farFrame(2),
  iret: farFrame(5),
  jmp: branchTarget,
  call: branchTarget,
  ret: nearReturn,
};

const MODERATE: ReadonlySet<string> = new Set([
  'f2xm1',
  'fyl2x',
  'fyl2xp1',
  'fptan',
  'fpatan',
  'fsin',
  'fcos',
  'fsincos',
  'fprem',
  'fprem1',
  'fscale',
  'frndint',
  'fist',
  'fistp',
  'fisttp',
  'fbstp',
  'fsqrt',
]);

/** Bends `draft` to what its mnemonic needs. */
export function applySetup(draft: Draft): void {
  const { mnemonic, unit } = draft.form.row;
  if (MODERATE.has(mnemonic)) moderate(draft);
  const setup = setups[mnemonic];
  if (setup !== undefined) setup(draft);
  else if (unit === 'x87' && draft.form.memory) x87Memory(draft);
}
