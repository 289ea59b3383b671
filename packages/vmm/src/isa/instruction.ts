// The decoded instruction: a record that the decoder fills and refills, so that decoding allocates
// nothing. All 64-bit quantities are two int32 halves.

import type { Row } from './row.ts';

/** Size of code, in bytes: 2 for 16-bit code (real, virtual-8086, 16-bit segments), 4, or 8. */
export type CodeMode = 2 | 4 | 8;

/** The outcome of decoding. */
export const DecodeStatus = {
  /** `out` is filled. */
  ok: 0,
  /** The instruction goes on beyond `limit`: fetch more (or take the page fault there). */
  truncated: 1,
  /** #UD: no such instruction in this mode with these features, or LOCK where it is not allowed. */
  invalid: 2,
  /** #GP(0): more than 15 bytes (SDM vol. 3A, 6.15, "General Protection"). */
  tooLong: 3,
} as const;
export type DecodeStatus = (typeof DecodeStatus)[keyof typeof DecodeStatus];

/** `base` of a RIP-relative operand. */
export const BASE_RIP = 16;

/** A decoded instruction. Fields are set by the decoder after DecodeStatus.ok and only then. */
export interface Instruction {
  row: Row;
  /** Bytes, 1 to 15. */
  length: number;
  codeSize: CodeMode;
  /** Effective operand size in bytes, by the row's `opsizeRule`; 1 for byte rows. */
  opsize: 1 | 2 | 4 | 8;
  /** Effective address size in bytes; also the size of rSI, rDI and rCX of string instructions. */
  addrSize: 2 | 4 | 8;
  /** F0 was there, and it is allowed. */
  lock: boolean;
  /** The last of F2 and F3, or 0: a repeat, a mandatory prefix, or ignored, as the row says. */
  rep: 0 | 0xf2 | 0xf3;
  /** 66 was there, whatever it meant. */
  opsizePrefix: boolean;
  /**
   * The last segment prefix, 0..5 = ES CS SS DS FS GS, or -1. 64-bit code ignores those below FS.
   */
  segmentOverride: number;
  /** The segment of the memory operand (x operand for strings): override or default, 0..5. */
  segment: number;
  /** The REX byte (0x40..0x4f), or 0; of a VEX prefix its bits W, R, X and B alone. */
  rex: number;
  /** Byte registers 4..7 are SPL, BPL, SIL, DIL (with REX), else AH, CH, DH, BH. */
  rexPresent: boolean;
  /** ModRM.mod: 3 is the register form; also 3 for rows without ModRM. */
  mod: number;
  /**
   * ModRM.reg with REX.R (general, XMM, control, debug registers); without for MMX and segments.
   */
  reg: number;
  /** ModRM.rm with REX.B when `mod` is 3, or the register of an opcode + r row. */
  rm: number;
  /** The register in VEX.vvvv, 0..15; 0 without a VEX prefix. */
  vvvv: number;
  /** Base register 0..15, {@link BASE_RIP}, or -1. Only when `mod` is not 3. */
  base: number;
  /** Index register 0..15 (never 4, unless it is a vector register), or -1. */
  index: number;
  /** The index is shifted left by this, 0..3. */
  scale: number;
  /** The SIB byte, or -1: for the disassembler alone. */
  sib: number;
  /** Displacement, sign-extended from 8, 16 or 32 bits; the low half of a moffs (zero-extended). */
  disp: number;
  /** The high half of the displacement, or of a 64-bit moffs. */
  dispHi: number;
  /** First immediate, extended to 64 bits as the operand type says; the offset of `far`. */
  immLo: number;
  immHi: number;
  /** Second immediate: ENTER's level, the selector of `far`. */
  imm2: number;
}
