// The bits of RFLAGS, named as in SDM vol. 1, 3.4.3, and the one-letter notation of the instruction
// rows: `CPAZSO` for the status flags, further letters for the control and system flags.

/** Carry flag. */
export const CF: number = 1 << 0;
/** Parity flag (of the low byte). */
export const PF: number = 1 << 2;
/** Auxiliary carry flag. */
export const AF: number = 1 << 4;
/** Zero flag. */
export const ZF: number = 1 << 6;
/** Sign flag. */
export const SF: number = 1 << 7;
/** Trap flag: single-step. */
export const TF: number = 1 << 8;
/** Interrupt enable flag. */
export const IF: number = 1 << 9;
/** Direction flag. */
export const DF: number = 1 << 10;
/** Overflow flag. */
export const OF: number = 1 << 11;
/** I/O privilege level, two bits. */
export const IOPL: number = 3 << 12;
/** Nested task. */
export const NT: number = 1 << 14;
/** Resume flag. */
export const RF: number = 1 << 16;
/** Virtual-8086 mode. */
export const VM: number = 1 << 17;
/** Alignment check, or access control for SMAP. */
export const AC: number = 1 << 18;
/** Virtual interrupt flag. */
export const VIF: number = 1 << 19;
/** Virtual interrupt pending. */
export const VIP: number = 1 << 20;
/** CPUID available. */
export const ID: number = 1 << 21;

/** The six status flags, those that arithmetic writes. */
export const STATUS_FLAGS: number = CF | PF | AF | ZF | SF | OF;

/** The letter of each flag in the rows; `*` is every flag. */
// biome-ignore format: three groups
export const flagLetters: Readonly<Record<string, number>> = {
  '*': STATUS_FLAGS | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID,
  C: CF, P: PF, A: AF, Z: ZF, S: SF, O: OF,
  T: TF, I: IF, D: DF, L: IOPL, N: NT, R: RF, M: VM, K: AC, F: VIF, V: VIP, B: ID,
};
