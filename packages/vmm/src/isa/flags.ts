// The bits of RFLAGS, named as in SDM vol. 1, 3.4.3, and the one-letter notation of the instruction
// rows: `CPAZSO` for the status flags, further letters for the control and system flags.

/** Carry flag. */
export const CF = 1 << 0;
/** Parity flag (of the low byte). */
export const PF = 1 << 2;
/** Auxiliary carry flag. */
export const AF = 1 << 4;
/** Zero flag. */
export const ZF = 1 << 6;
/** Sign flag. */
export const SF = 1 << 7;
/** Trap flag: single-step. */
export const TF = 1 << 8;
/** Interrupt enable flag. */
export const IF = 1 << 9;
/** Direction flag. */
export const DF = 1 << 10;
/** Overflow flag. */
export const OF = 1 << 11;
/** I/O privilege level, two bits. */
export const IOPL = 3 << 12;
/** Nested task. */
export const NT = 1 << 14;
/** Resume flag. */
export const RF = 1 << 16;
/** Virtual-8086 mode. */
export const VM = 1 << 17;
/** Alignment check, or access control for SMAP. */
export const AC = 1 << 18;
/** Virtual interrupt flag. */
export const VIF = 1 << 19;
/** Virtual interrupt pending. */
export const VIP = 1 << 20;
/** CPUID available. */
export const ID = 1 << 21;

/** The six status flags, those that arithmetic writes. */
export const STATUS_FLAGS: number = CF | PF | AF | ZF | SF | OF;

/** The letter of each flag in the rows. */
// biome-ignore format: three groups
export const flagLetters: Readonly<Record<string, number>> = {
  C: CF, P: PF, A: AF, Z: ZF, S: SF, O: OF,
  T: TF, I: IF, D: DF, L: IOPL, N: NT, R: RF, M: VM, K: AC, F: VIF, V: VIP, B: ID,
};
