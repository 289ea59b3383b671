// The operand types in numbers: which registers, how many bytes, how encoded. One table that the
// row parser, the disassembler, the encoder and the execution engines share.

import type { ImmediateCode, OperandType } from './row.ts';

/** A register file. `seg`, `cr` and `dr` are the segment, control and debug registers. */
export type RegisterFile = 'gpr' | 'mm' | 'xmm' | 'ymm' | 'st' | 'seg' | 'cr' | 'dr';

/** A size in bytes, or one that follows the operand size: see {@link operandBytes}. */
export type Size = number | 'v' | 'far' | 'pair' | 'dt';

/** What an operand type stands for. */
export interface OperandShape {
  /** The register file of its register form. */
  readonly file?: RegisterFile;
  /** The size of its register form. */
  readonly registerSize?: Size;
  /** The size of its memory form; 0 when the instruction defines the length, or uses no data. */
  readonly memorySize?: Size;
  /** Memory at seg:rSI or ES:rDI. */
  readonly string?: 'x' | 'y';
  readonly immediate?: ImmediateCode;
  /** VSIB: the register file of the index, and bytes of one of its lanes. */
  readonly index?: { readonly file: 'xmm' | 'ymm'; readonly bytes: 4 | 8 };
  /** The register number, for an operand that the opcode fixes. */
  readonly fixed?: number;
}

const reg = (file: RegisterFile, registerSize: Size): OperandShape => ({ file, registerSize });
const mem = (memorySize: Size): OperandShape => ({ memorySize });
const rm = (file: RegisterFile, registerSize: Size, memorySize: Size = registerSize) => ({
  file,
  registerSize,
  memorySize,
});
const vsib = (bytes: 4 | 8, file: 'xmm' | 'ymm'): OperandShape => ({
  memorySize: 0,
  index: { file, bytes },
});
const imm = (immediate: ImmediateCode): OperandShape => ({ immediate });
const fixed = (file: RegisterFile, registerSize: Size, number: number): OperandShape => ({
  file,
  registerSize,
  fixed: number,
});

/** The shape of each operand type. */
// biome-ignore format: one line per family, as in row.ts
export const operandShapes: Readonly<Record<OperandType, OperandShape>> = {
  r8: reg('gpr', 1), r16: reg('gpr', 2), r32: reg('gpr', 4), r64: reg('gpr', 8),
  rv: reg('gpr', 'v'),
  rm8: rm('gpr', 1), rm16: rm('gpr', 2), rm32: rm('gpr', 4), rm64: rm('gpr', 8),
  rmv: rm('gpr', 'v'),
  'r32/m8': rm('gpr', 4, 1), 'r32/m16': rm('gpr', 4, 2), 'rv/m16': rm('gpr', 'v', 2),
  m: mem(0), m8: mem(1), m16: mem(2), m32: mem(4), m64: mem(8), m80: mem(10), m128: mem(16),
  m256: mem(32), vm32x: vsib(4, 'xmm'), vm32y: vsib(4, 'ymm'),
  vm64x: vsib(8, 'xmm'), vm64y: vsib(8, 'ymm'),
  mv: mem('v'), mfar: mem('far'), mpair: mem('pair'), mdt: mem('dt'),
  moffs8: { memorySize: 1, immediate: 'mo' }, moffsv: { memorySize: 'v', immediate: 'mo' },
  x8: { memorySize: 1, string: 'x' }, xv: { memorySize: 'v', string: 'x' },
  y8: { memorySize: 1, string: 'y' }, yv: { memorySize: 'v', string: 'y' },
  imm8: imm('ib'), imm8s: imm('ib'), imm16: imm('iw'), immz: imm('iz'), immv: imm('iv'),
  rel8: imm('cb'), relz: imm('cz'), far: imm('cp'),
  al: fixed('gpr', 1, 0), ax: fixed('gpr', 2, 0), av: fixed('gpr', 'v', 0),
  cl: fixed('gpr', 1, 1), dx: fixed('gpr', 2, 2), one: { fixed: 1 },
  xmm0: fixed('xmm', 16, 0), st0: fixed('st', 10, 0),
  es: fixed('seg', 2, 0), cs: fixed('seg', 2, 1), ss: fixed('seg', 2, 2),
  ds: fixed('seg', 2, 3), fs: fixed('seg', 2, 4), gs: fixed('seg', 2, 5),
  sreg: reg('seg', 2), creg: reg('cr', 8), dreg: reg('dr', 8), sti: reg('st', 10),
  mm: reg('mm', 8), 'mm/m32': rm('mm', 8, 4), 'mm/m64': rm('mm', 8),
  xmm: reg('xmm', 16), 'xmm/m8': rm('xmm', 16, 1), 'xmm/m16': rm('xmm', 16, 2),
  'xmm/m32': rm('xmm', 16, 4), 'xmm/m64': rm('xmm', 16, 8), 'xmm/m128': rm('xmm', 16),
  ymm: reg('ymm', 32), 'ymm/m256': rm('ymm', 32),
};

/** `size` in bytes, for an instruction of this `opsize` in code of this `codeSize`. */
export function operandBytes(size: Size, opsize: number, codeSize: number): number {
  switch (size) {
    case 'v':
      return opsize;
    case 'far':
      return opsize + 2;
    case 'pair':
      return 2 * opsize;
    case 'dt':
      return codeSize === 8 ? 10 : 6;
    default:
      return size;
  }
}
