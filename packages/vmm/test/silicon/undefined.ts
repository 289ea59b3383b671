// What of an instruction's result the manual leaves undefined, or to the implementation, and hence no
// comparison may ask for. The flags that are always undefined stand in the instruction's row; here is
// what depends on operands, and what is not flags. Sections are those of SDM vol. 2 unless said.

import { AF, CF, OF, STATUS_FLAGS } from '../../src/isa/flags.ts';
import type { Instruction } from '../../src/isa/instruction.ts';
import { operandShapes } from '../../src/isa/operand.ts';
import type { SiliconResult, SiliconVector } from './format.ts';
import { Selector } from './layout.ts';
import { Fx } from './vectors.ts';

/** A run of bytes of the memory operand, from its first byte on. */
export interface ByteRange {
  readonly from: number;
  /** The first byte after it. */
  readonly to: number;
}

/** How vector registers are compared where an approximation is allowed. */
export type Approximation = 'none' | 'reciprocal';

/** What not to compare. */
export interface Undefined {
  /** Mask of RFLAGS bits. */
  readonly flags: number;
  /** Masks by general register, in addition to those that the mode gives. */
  readonly gpr: ReadonlyMap<number, bigint>;
  /** Mask of x87 status word bits. */
  readonly fsw: number;
  /** Units in the last place by which an x87 register may differ. */
  readonly ulps: number;
  readonly xmm: Approximation;
  /** Bytes of the memory operand. */
  readonly bytes: readonly ByteRange[];
  /** The instruction was interrupted between stores, of which it may have made any. */
  readonly memory: boolean;
  /** Bytes of the stack, from RSP after the instruction on. */
  readonly stackBytes: readonly ByteRange[];
  /** The x87 state: an MMX store that faults may have made its transition to MMX before. */
  readonly x87: boolean;
  /** FS.base and GS.base. */
  readonly bases: boolean;
  /** CR2 exactly; or that of a byte of the same page; or anything, and the error code as well. */
  readonly cr2: 'exact' | 'page' | 'any';
  /** Whether a fault is #SS or #GP: an operand both misaligned and beyond the stack's limit. */
  readonly stackOrAlignment: boolean;
  /** Even whether there is a fault. */
  readonly everything: boolean;
}

const RCX = 1;
const RSI = 6;
const RDI = 7;
const SS = 2;

const ES = 0x0080;
const C0 = 0x0100;
const C1 = 0x0200;
const C2 = 0x0400;
const C3 = 0x4000;

const set = (words: string): ReadonlySet<string> => new Set(words.split(' '));

/** x87 instructions that define C0, C2 and C3 (SDM vol. 1, table 8-1), or leave them alone. */
const DEFINES_ALL = set(
  'fcom fcomp fcompp ficom ficomp fucom fucomp fucompp ftst fxam fprem fprem1 fcomi fcomip fucomi ' +
    'fucomip fldenv frstor fninit fnsave',
);
/** Those that define C2 only: it says that an operand was out of range. */
const DEFINES_C2 = set('fptan fsin fcos fsincos');
/** Those that leave C1 undefined, too. */
const UNDEFINES_C1 = set('fldcw fnstcw fnstsw fnstenv fnclex ffree ffreep fnop wait');
/** Transcendentals: within 1 ulp, by SDM vol. 1, 8.3.10; C1 then cannot tell the rounding. */
const TRANSCENDENTAL = set('f2xm1 fyl2x fyl2xp1 fptan fpatan fsin fcos fsincos');

/** Stores of several parts, any of which may have been made when a later one faults. */
const MANY_STORES = set('pusha enter fnsave fnstenv fxsave call');

/**
 * Instructions with several accesses, in an order of their own: a page fault is that of any of them.
 * CMPS may look at either of its operands first.
 */
const MANY_ACCESSES = set('fxsave fxrstor fnsave frstor fnstenv fldenv cmps');
/** Of several elements that fault, any may be the one that is told of. */
const MASKED_VECTORS = /^vp?maskmov[pdq]/;
/** The same, but the generator keeps all of them in one page. */
const FAR_RETURNS = set('retf iret');

/** "May still be signaled" of a masked-out byte, in words of their section, is all there is said. */
const MASKED_STORES = set('maskmovq maskmovdqu vmaskmovdqu');

const ROTATES = set('rol ror rcl rcr');
const SHIFTS = set('shl shr sar');
const DOUBLE_SHIFTS = set('shld shrd');
const SEGMENT_LOADS = set('mov pop lfs lgs');

/** The shift count, masked to 5 bits, or 6 for 64-bit operands. */
function shiftCount(vector: SiliconVector, instruction: Instruction): number {
  const { row, opsize, immLo } = instruction;
  const { type } = row.operands[row.operands.length - 1];
  const count = type === 'one' ? 1 : type === 'cl' ? Number(vector.gpr[1] & 0xffn) : immLo;
  return count & (opsize === 8 ? 63 : 31);
}

/** Undefined flags of shifts and rotates: ROL, RCL, SAL and SHLD, "Flags Affected". */
function shiftFlags(vector: SiliconVector, instruction: Instruction): number {
  const { opsize, row } = instruction;
  const count = shiftCount(vector, instruction);
  if (count === 0) return 0;
  if (DOUBLE_SHIFTS.has(row.mnemonic) && count > opsize * 8) return STATUS_FLAGS;
  const overflow = count === 1 ? 0 : OF;
  if (ROTATES.has(row.mnemonic)) return overflow;
  const carry = row.mnemonic !== 'sar' && count >= opsize * 8 ? CF : 0;
  return overflow | AF | (DOUBLE_SHIFTS.has(row.mnemonic) ? 0 : carry);
}

function undefinedFlags(
  vector: SiliconVector,
  instruction: Instruction,
  result: SiliconResult,
): number {
  const { row } = instruction;
  const shift = [ROTATES, SHIFTS, DOUBLE_SHIFTS].some((names) => names.has(row.mnemonic));
  if (result.trap === 0) return STATUS_FLAGS; // #DE: DIV and IDIV leave all of them undefined
  if (result.trap !== 1) return 0;
  return shift ? shiftFlags(vector, instruction) : row.flagsUndefined;
}

function undefinedRegisters(
  vector: SiliconVector,
  instruction: Instruction,
  result: SiliconResult,
): ReadonlyMap<number, bigint> {
  const { row, opsize, reg, rm, mod } = instruction;
  const registers = new Map<number, bigint>();
  const upper = 0xffff_ffff_0000_0000n;
  const low = (1n << BigInt(opsize * 8)) - 1n;
  // BSF, BSR of 0: the destination is undefined by this manual, unchanged by AMD's (vol. 3), and
  // programs rely on that; but whether a 32-bit one clears the upper half is left open by both.
  const unfound =
    (row.mnemonic === 'bsf' || row.mnemonic === 'bsr') && (result.rflags & 0x40) !== 0;
  if (unfound && opsize === 4) registers.set(reg, upper);
  if (row.mnemonic === 'bswap' && opsize === 2) registers.set(rm, 0xffffn);
  const double = DOUBLE_SHIFTS.has(row.mnemonic) && mod === 3;
  if (double && shiftCount(vector, instruction) > opsize * 8) registers.set(rm, low);
  // POPA may have loaded some of the registers when it faults.
  if (row.mnemonic === 'popa' && result.trap !== 1) {
    for (let register = 0; register < 8; register++) registers.set(register, -1n);
  }
  // No iteration with 32-bit addresses: the registers are written back (cut to 32 bits) or not.
  const none = instruction.rep !== 0 && (vector.gpr[RCX] & 0xffff_ffffn) === 0n;
  if (row.rep !== 'none' && instruction.addrSize === 4 && none) {
    for (const register of [RCX, RSI, RDI]) registers.set(register, upper);
  }
  return registers;
}

function undefinedStatus(mnemonic: string, result: SiliconResult): number {
  // The quotient bits of a remainder that an unmasked exception prevented.
  const pending = (result.fx[Fx.fsw] & ES) !== 0;
  if (pending && /^fprem/.test(mnemonic)) return C0 | C1 | C2 | C3;
  if (DEFINES_ALL.has(mnemonic)) return 0;
  if (DEFINES_C2.has(mnemonic)) return C0 | C1 | C3;
  const c1 = UNDEFINES_C1.has(mnemonic) || TRANSCENDENTAL.has(mnemonic) ? C1 : 0;
  return C0 | c1 | C2 | C3;
}

function undefinedBytes(vector: SiliconVector, instruction: Instruction): readonly ByteRange[] {
  const { row, opsize } = instruction;
  switch (row.mnemonic) {
    case 'fnstenv':
    case 'fnsave':
      // Last instruction and operand, and the unused halves of the words (SDM vol. 1, 8.1.10).
      if (opsize === 2) return [{ from: 6, to: 14 }];
      return [2, 6, 10].map((from) => ({ from, to: from + 2 })).concat({ from: 12, to: 28 });
    case 'xsave':
    case 'xsaveopt':
    case 'xsavec':
    case 'fxsave': {
      // FOP, FIP, FDP; MXCSR_MASK; what follows each x87 register; XMM8-15 unless in 64-bit mode;
      // and the reserved area (SDM vol. 1, 10.5.1).
      const after = Array.from({ length: 8 }, (_, index) => 32 + index * 16);
      return [
        { from: 6, to: 24 },
        { from: 28, to: 32 },
        ...after.map((at) => ({ from: at + 10, to: at + 16 })),
        { from: vector.mode === 64 ? 416 : 288, to: 512 },
      ];
    }
    case 'shld':
    case 'shrd':
      return shiftCount(vector, instruction) > opsize * 8 ? [{ from: 0, to: opsize }] : [];
    default:
      return [];
  }
}

/** PUSH of a segment register, 32 bits: "either" zero-extended or a 16-bit store (PUSH). */
function undefinedStackBytes(instruction: Instruction): readonly ByteRange[] {
  const { row, opsize } = instruction;
  const [operand] = row.operands;
  if (row.mnemonic !== 'push' || opsize !== 4) return [];
  return operandShapes[operand.type].file === 'seg' ? [{ from: 2, to: 4 }] : [];
}

/**
 * D9 D8, an alias of FSTP that no manual lists, takes an empty register without a stack fault; what
 * it then stores is its own affair.
 */
function isEmptyAlias(vector: SiliconVector, instruction: Instruction): boolean {
  const { encoding } = instruction.row;
  if (instruction.row.mnemonic !== 'fstp' || encoding.opcode !== 0xd9) return false;
  const status = vector.fx[Fx.fsw] | (vector.fx[Fx.fsw + 1] << 8);
  return instruction.mod === 3 && ((vector.fx[Fx.ftw] >> ((status >> 11) & 7)) & 1) === 0;
}

/**
 * A gather that some elements have come of may be interrupted by the trap flag before a later one
 * faults (vol. 2C, VGATHERDPS); the trap is then the vector's end.
 */
const isHalfGathered = (
  vector: SiliconVector,
  { row }: Instruction,
  { trap, rip }: SiliconResult,
): boolean => row.mnemonic.includes('gather') && trap === 1 && rip === vector.rip;

/** What of `result`, the silicon's, of running `vector` is undefined. */
export function undefinedOf(
  vector: SiliconVector,
  instruction: Instruction,
  result: SiliconResult,
): Undefined {
  const { row } = instruction;
  const { mnemonic } = row;
  const done = result.trap === 1;
  const nullLoaded =
    SEGMENT_LOADS.has(mnemonic) &&
    [result.selectors.fs, result.selectors.gs].some((selector) => selector <= 3);
  return {
    flags: undefinedFlags(vector, instruction, result),
    gpr: undefinedRegisters(vector, instruction, result),
    fsw: row.unit === 'x87' && done ? undefinedStatus(mnemonic, result) : 0,
    ulps: TRANSCENDENTAL.has(mnemonic) ? 1 : 0,
    xmm: /^v?r(sqrt|cp)[ps]s$/.test(mnemonic) ? 'reciprocal' : 'none',
    bytes: undefinedBytes(vector, instruction),
    stackBytes: undefinedStackBytes(instruction),
    memory: !done && MANY_STORES.has(mnemonic),
    x87: !done && row.unit === 'mmx' && instruction.mod !== 3 && row.operands[0]?.access === 'w',
    // A null selector clears the base of FS or GS on some processors and leaves it on others.
    bases: nullLoaded || result.cs !== Selector.code64,
    cr2: MASKED_VECTORS.test(mnemonic)
      ? 'page'
      : MANY_ACCESSES.has(mnemonic)
        ? 'any'
        : FAR_RETURNS.has(mnemonic)
          ? 'page'
          : 'exact',
    // Faults of one instruction's execution have no order among them (vol. 3A, table 6-2).
    stackOrAlignment: row.aligned && instruction.segment === SS,
    everything:
      (!done && MASKED_STORES.has(mnemonic)) ||
      isEmptyAlias(vector, instruction) ||
      isHalfGathered(vector, instruction, result),
  };
}
