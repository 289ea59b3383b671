// What a row says: one instruction encoding of SDM vol. 2, with its operands, flags and traits. The
// rows themselves are text, in rows/*.ts; parse-rows.ts turns them into these records, and the
// decoder, the disassembler, the execution engines and the generated tests read only these.

/**
 * Operand types. A `v` is the effective operand size (2, 4 or 8 bytes: `opsize` of the decoded
 * instruction); a number is a size in bits; `a/b` is a register form and a memory form.
 */
// biome-ignore format: one line per family
export type OperandType =
  // General register, or register or memory (ModRM.rm).
  | 'r8' | 'r16' | 'r32' | 'r64' | 'rv'
  | 'rm8' | 'rm16' | 'rm32' | 'rm64' | 'rmv'
  | 'r32/m8' | 'r32/m16' | 'rv/m16'
  // Memory only. `m`: an address, or an area whose length the instruction defines; `mfar`: offset
  // of operand size, then a 16-bit selector; `mpair`: two values of operand size (BOUND); `mdt`: a
  // 16-bit limit and a base of 4 bytes (8 in 64-bit mode).
  | 'm' | 'm8' | 'm16' | 'm32' | 'm64' | 'm80' | 'm128' | 'm256' | 'mv' | 'mfar' | 'mpair' | 'mdt'
  // Elements at base + scaled lanes of a vector register (VSIB): indices of 32 or 64 bits, in an
  // XMM (x) or YMM register (y). The instruction says how many elements of which size.
  | 'vm32x' | 'vm32y' | 'vm64x' | 'vm64y'
  // Memory at an offset in the instruction; memory at seg:rSI (x) and at ES:rDI (y).
  | 'moffs8' | 'moffsv' | 'x8' | 'xv' | 'y8' | 'yv'
  // Immediates. `imm8s`: sign-extended to the operand size; `imm8`: zero-extended; `immz`: 2 or 4
  // bytes, sign-extended; `immv`: 2, 4 or 8 bytes; `far`: offset of operand size, and selector.
  | 'imm8' | 'imm8s' | 'imm16' | 'immz' | 'immv' | 'rel8' | 'relz' | 'far'
  // Fixed operands: `av` is the accumulator of operand size; `one` the constant of the D0/D1
  // shifts.
  | 'al' | 'ax' | 'av' | 'cl' | 'dx' | 'one' | 'xmm0' | 'st0'
  | 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs'
  // Other register files.
  | 'sreg' | 'creg' | 'dreg' | 'sti'
  | 'mm' | 'mm/m32' | 'mm/m64'
  | 'xmm' | 'xmm/m8' | 'xmm/m16' | 'xmm/m32' | 'xmm/m64' | 'xmm/m128' | 'ymm' | 'ymm/m256';

/** Read, written, both, or (`a`) only its address is used (LEA, INVLPG, prefetches). */
export type Access = 'r' | 'w' | 'rw' | 'a';

/**
 * Where the bits of an operand are: ModRM.reg, ModRM.rm (with memory fields when `mod` is not 3),
 * the low three bits of the opcode (delivered in `rm`), `imm`, the second immediate, `disp` as an
 * absolute offset, VEX.vvvv, bits 7:4 of an immediate byte (`is4`), or nowhere (fixed by the
 * opcode).
 */
// biome-ignore format: one line
export type Place =
  | 'reg' | 'rm' | 'opcode' | 'imm' | 'imm2' | 'moffs' | 'vvvv' | 'is4' | 'fixed';

/** One explicit operand, in Intel order (destination first). */
export interface Operand {
  readonly type: OperandType;
  readonly access: Access;
  readonly place: Place;
}

/**
 * The prefixes a row wants (SDM vol. 2A, 3.1.1.1). `any`: F2 and F3 are ignored, 66 is operand
 * size; `NFx`: no F2 or F3; `NP`: none of the three; else that one is part of the opcode.
 */
export type PrefixRule = 'any' | 'NFx' | 'NP' | '66' | 'F3' | 'F2';

/**
 * An immediate's encoding, in the letters of the encoding column: `b` one byte, `w` two, `z` two or
 * four, `v` two, four or eight by operand size; `i` a value, `c` a branch offset; `cp` a far
 * pointer; `mo` an offset of address size.
 */
export type ImmediateCode = 'ib' | 'iw' | 'iz' | 'iv' | 'cb' | 'cz' | 'cp' | 'mo';

/** What a row wants of a VEX prefix besides the opcode (SDM vol. 2A, 3.1.1.2). */
export interface VexRule {
  /** VEX.L: 0 (128 bits, or LZ), 1 (256 bits), or ignored (LIG). */
  readonly length: 0 | 1 | 'LIG';
  /** VEX.W: 0, 1, or ignored (WIG). */
  readonly w: 0 | 1 | 'WIG';
}

/** The bytes of a row. */
export interface Encoding {
  /** The encoding column, as written. */
  readonly text: string;
  readonly prefix: PrefixRule;
  /** Opcode map: 0 one-byte, 1 0F, 2 0F 38, 3 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  /** The row has a VEX prefix, which then implies `prefix` and `map`. */
  readonly vex: VexRule | undefined;
  /** The opcode byte; with `plusR` the first of eight. */
  readonly opcode: number;
  /** Register number in the low three bits of the opcode. */
  readonly plusR: boolean;
  /**
   * There is a ModRM byte. With `digit` -1 its reg field is an operand (or ignored: SETcc, NOP).
   */
  readonly modrm: boolean;
  /** ModRM.reg as opcode extension, or -1. */
  readonly digit: number;
  /** An exact ModRM.rm with mod = 3 (as 0F 01 F8), or -1. */
  readonly exactRm: number;
  /** Which forms of ModRM.rm the row has; `register` is mod = 3. */
  readonly forms: 'both' | 'memory' | 'register' | 'none';
  readonly immediates: readonly ImmediateCode[];
  /** True for NOP: with REX.B the byte 90 is XCHG r8 instead (but F3 90 is always PAUSE). */
  readonly notWithRexB: boolean;
  /** Bytes of operand size the row demands: 0 any, 2, 4, or 8 (REX.W). */
  readonly onlyOpsize: 0 | 2 | 4 | 8;
}

/** Repeat prefixes a string instruction takes: F3 (and F2) repeat by count, or also by ZF. */
export type RepKind = 'none' | 'rep' | 'repz';

/** How `opsize` comes about, and whether it matters. */
export type OpsizeRule =
  /** From the mode, 66 and REX.W. */
  | 'v'
  /** As `v`, but the instruction is the same for every operand size. */
  | 'none'
  /** 1: the row works on bytes. */
  | 'byte'
  /** 8 by default in 64-bit mode, 2 with 66 (PUSH, POP, LEAVE). */
  | 'd64'
  /** Always 8 in 64-bit mode; 66 is ignored (near branches: Intel's rule, not AMD's). */
  | 'f64'
  /** As `v`, but REX.W leaves it at 4 (IN, OUT, INS, OUTS). */
  | 'z';

/**
 * Register state the instruction uses, hence its #NM/#UD conditions (CR0.EM, CR0.TS, CR4.OSFXSR;
 * for `avx` CR0.TS, CR4.OSXSAVE and XCR0).
 */
export type Unit = 'integer' | 'x87' | 'mmx' | 'sse' | 'sse+mmx' | 'avx';

/** The features a row may depend on, named after their CPUID bits. */
// biome-ignore format: a list, not a column
export const featureNames = [
  'fpu', 'mmx', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4_1', 'sse4_2', 'aes', 'pclmulqdq', 'sha',
  'popcnt', 'lzcnt', 'bmi1', 'bmi2', 'avx', 'avx2', 'fma', 'f16c', 'movbe', 'adx', 'cx8', 'cx16',
  'fxsr', 'xsave', 'xsaveopt', 'xsavec',
  'xsaves', 'tsc', 'rdtscp', 'msr', 'sep', 'syscall', 'rdrand', 'rdseed', 'fsgsbase', 'smap',
  'invpcid', 'monitor', 'clfsh', 'clflushopt', 'clwb', 'prefetchw', 'vmx', 'svm',
] as const;
export type Feature = (typeof featureNames)[number];

/** One instruction encoding. */
export interface Row {
  /** Index in `rows`: dense, stable while the tables are. */
  readonly id: number;
  /** Unique: mnemonic and operand types, and the encoding where those two do not tell it apart. */
  readonly name: string;
  /**
   * Lower case. One word per operation: `movs` covers MOVSB to MOVSQ, `jcc`, `setcc` and `cmovcc`
   * all conditions; the disassembler writes the customary names.
   */
  readonly mnemonic: string;
  /** The condition code 0..15 of Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B), or -1. */
  readonly condition: number;
  readonly operands: readonly Operand[];
  readonly encoding: Encoding;
  /** Masks of RFLAGS bits (flags.ts): read; written with a defined value; left undefined. */
  readonly flagsRead: number;
  readonly flagsWritten: number;
  readonly flagsUndefined: number;
  /**
   * True when the instruction may leave all flags alone after all (a shift by zero, REP with 0).
   */
  readonly flagsKept: boolean;
  readonly opsizeRule: OpsizeRule;
  /** Code sizes in which the row exists. */
  readonly modes: 'all' | 'only64' | 'not64';
  /** The feature without which the row is not there, or undefined. */
  readonly feature: Feature | undefined;
  readonly unit: Unit;
  /** LOCK allowed (with a memory destination). */
  readonly lockable: boolean;
  readonly rep: RepKind;
  /**
   * Nothing after it belongs to the same basic block: branches, and what changes mode or mapping.
   */
  readonly endsBlock: boolean;
  /**
   * It can raise an exception of its own: memory or stack access, privilege, division, x87, SIMD.
   */
  readonly mayFault: boolean;
  /** #GP(0) unless CPL is 0. */
  readonly cpl0: boolean;
  /** #UD in real-address and virtual-8086 mode. */
  readonly protectedOnly: boolean;
  /** A vector in memory must be aligned to its size, 16 or 32 bytes, else #GP(0). */
  readonly aligned: boolean;
}
