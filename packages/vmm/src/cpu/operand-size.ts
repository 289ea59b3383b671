// What the execution engines ask of operand types: sizes as access sizes, and register files.

import { operandShapes } from '../isa/operand.ts';
import type { Operand, OperandType } from '../isa/row.ts';
import type { Size } from './context.ts';

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

/** How a register operand is named in a record: by slot, or by number. */
export type RegisterNaming = 'general' | 'xmm' | 'mm' | 'number' | 'none';

/** The naming of an operand's register form. */
export function registerNaming(operand: Operand): RegisterNaming {
  const { file } = operandShapes[operand.type];
  if (file === undefined) return 'none';
  if (file === 'gpr') return 'general';
  return file === 'xmm' || file === 'mm' ? file : 'number';
}

/** True for types that can be memory in ModRM.rm. */
export function hasMemoryForm(type: OperandType): boolean {
  const { memorySize, immediate, string } = operandShapes[type];
  return memorySize !== undefined && immediate === undefined && string === undefined;
}
