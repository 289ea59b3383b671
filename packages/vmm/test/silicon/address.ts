// Where an instruction's memory operand is: SDM vol. 1, 3.7.5, with the segments of layout.ts.

import { hasVectorIndex } from '../../src/cpu/operand-size.ts';
import { BASE_RIP, type Instruction } from '../../src/isa/instruction.ts';
import type { Selectors, VectorMode } from './format.ts';
import { CODE_REGION, SEGMENT_BASE, Selector } from './layout.ts';

/** The part of a vector that addresses are made from. */
export interface AddressState {
  readonly mode: VectorMode;
  readonly rip: bigint;
  readonly gpr: ArrayLike<bigint>;
  readonly selectors: Selectors;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
}

/** The base of segment register `segment` (0..5 = ES CS SS DS FS GS). */
export function segmentBase(state: AddressState, segment: number): bigint {
  if (state.mode === 64) return segment === 4 ? state.fsBase : segment === 5 ? state.gsBase : 0n;
  if (segment === 1) return state.mode === 16 ? CODE_REGION.address : 0n;
  const { es, ss, ds, fs, gs } = state.selectors;
  const selector = [es, 0, ss, ds, fs, gs][segment];
  return selector === Selector.flat || selector === Selector.null ? 0n : BigInt(SEGMENT_BASE);
}

/** The offset of the ModRM operand in its segment; of gathers, where an index of 0 leads. */
function operandOffset(state: AddressState, instruction: Instruction): bigint {
  const { base, index, scale, disp, addrSize, length } = instruction;
  let sum = BigInt(disp);
  if (base === BASE_RIP) sum += state.rip + BigInt(length);
  else if (base >= 0) sum += state.gpr[base];
  if (index >= 0 && !hasVectorIndex(instruction.row)) sum += state.gpr[index] << BigInt(scale);
  return BigInt.asUintN(addrSize * 8, sum);
}

/** The linear address of the ModRM operand. */
export function operandLinear(state: AddressState, instruction: Instruction): bigint {
  const sum = operandOffset(state, instruction) + segmentBase(state, instruction.segment);
  return linearAddress(state.mode, sum);
}

/** Bytes of the stack pointer in use. */
export function stackBytes(state: AddressState): number {
  if (state.mode === 64) return 8;
  const { ss } = state.selectors;
  return ss === Selector.stack16 || ss === Selector.down16 ? 2 : 4;
}

/** The linear address of the stack's top when RSP is `pointer`. */
export function stackLinear(state: AddressState, pointer: bigint): bigint {
  const offset = BigInt.asUintN(stackBytes(state) * 8, pointer);
  return linearAddress(state.mode, offset + segmentBase(state, 2));
}

/** `sum` as a linear address: 64 bits in 64-bit mode, else 32. */
export const linearAddress = (mode: VectorMode, sum: bigint): bigint =>
  BigInt.asUintN(mode === 64 ? 64 : 32, sum);
