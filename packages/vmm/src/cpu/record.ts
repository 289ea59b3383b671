// The predecoded form of an instruction, which handlers run on: 32 bytes in linear memory.
//
// A record says nothing of where its page is mapped, only the offset in the page. So the records of a physical page serve every
// address space that maps it.

import { type I32, type I64, i32, i64 } from '../wasm/expr.ts';

export const RECORD_BYTES = 32;
/** A block ends after this many instructions: the slice must end somewhere. */
export const BLOCK_INSTRUCTIONS_MAX = 48;

/** Field offsets. */
export const R = {
  /** u16: the handler's place in the function table. */
  handler: 0,
  /** u16: instructions from this one to the end of its block, both counted. */
  left: 2,
  /** u16: offset of the instruction's first byte in its page. */
  offset: 4,
  /** u8: length of the instruction. */
  length: 6,
  /** u8: log2 of the address size (0..3), index into S.addressMask. */
  addressLog: 7,
  /** u16: slot of the register operand in ModRM.reg. */
  reg: 8,
  /** u16: slot of the register operand in ModRM.rm or in the opcode. */
  rm: 10,
  /** u16: slot of the base register, or of zero or ripBase. */
  base: 12,
  /** u16: slot of the index register, or of zero. */
  index: 14,
  /** i32: displacement, of a memory operand or of a direct jump. */
  disp: 16,
  /** u16: slot of the segment base to add, or of zero. */
  segment: 20,
  /** u8: shift of the index. */
  scale: 22,
  /** u8: the segment register, for checked accesses. */
  segmentIndex: 23,
  /** i64: immediate; i32 with a VEX prefix, which has registers behind it. */
  imm: 24,
  /** u16: slot of the register in VEX.vvvv; of the one in bits 7:4 of the immediate. */
  vvvv: 28,
  is4: 30,
  /** Of direct jumps: i32 record of the target, i32 record of the next instruction; 0 = not linked. */
  taken: 24,
  fallThrough: 28,
} as const;

export const recordU8 = (record: I32, field: number): I32 => i32.load8_u(record, field);
export const recordU16 = (record: I32, field: number): I32 => i32.load16_u(record, field);
export const recordImm = (record: I32): I64 => i64.load(record, R.imm);
