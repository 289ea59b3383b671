// What the execution engines ask of operand types: sizes as access sizes, and register files.

import type { Instruction } from '../isa/instruction.ts';
import { operandShapes } from '../isa/operand.ts';
import type { Operand, OperandType, Row } from '../isa/row.ts';
import type { Size } from './context.ts';
import { R } from './record.ts';

/** Bytes of the memory form if there is one, else of the register or immediate. */
export function operandSize(type: OperandType, opsize: Size): Size {
  const { memorySize, registerSize, immediate } = operandShapes[type];
  if (type === 'one' || immediate === 'ib') return type === 'imm8s' ? opsize : 1;
  if (immediate === 'iw') return 2;
  const size = memorySize || registerSize || opsize;
  return typeof size === 'number' ? (size as Size) : opsize;
}

/** Bytes of the register form, for types such as `r32/m8` whose forms differ. */
export function registerFormSize(type: OperandType, opsize: Size): Size {
  const size = operandShapes[type].registerSize;
  if (size === undefined) return operandSize(type, opsize);
  return typeof size === 'number' ? (size as Size) : opsize;
}

/** How a register operand is named in a record: by slot (`xmm`: of either half), or by number. */
export type RegisterNaming = 'general' | 'xmm' | 'mm' | 'number' | 'none';

/** The naming of an operand's register form. */
export function registerNaming(operand: Operand): RegisterNaming {
  const { file } = operandShapes[operand.type];
  if (file === undefined) return 'none';
  if (file === 'gpr') return 'general';
  if (file === 'xmm' || file === 'ymm') return 'xmm';
  return file === 'mm' ? file : 'number';
}

/** The record's field that a register operand is in; undefined for operands that are in none. */
export function fieldOf({ place }: Operand): number | undefined {
  switch (place) {
    case 'reg':
      return R.reg;
    case 'rm':
    case 'opcode':
      return R.rm;
    case 'vvvv':
      return R.vvvv;
    case 'is4':
      return R.is4;
    default:
      return undefined;
  }
}

/** The number of a register operand. */
export function registerOf({ place }: Operand, instruction: Instruction): number {
  const { reg, rm, vvvv, immLo, codeSize } = instruction;
  switch (place) {
    case 'reg':
      return reg;
    case 'vvvv':
      return vvvv;
    case 'is4':
      return (immLo >> 4) & (codeSize === 8 ? 15 : 7);
    default:
      return rm;
  }
}

/** True for types that can be memory in ModRM.rm. */
export function hasMemoryForm(type: OperandType): boolean {
  const { memorySize, immediate, string } = operandShapes[type];
  return memorySize !== undefined && immediate === undefined && string === undefined;
}

/** True for gathers: the index of the memory operand is a vector register. */
export const hasVectorIndex = (row: Row): boolean =>
  row.operands.some(({ type }) => operandShapes[type].index !== undefined);
