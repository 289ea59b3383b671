// The memory of a lockstep guest of 16- or 32-bit code, in protected mode at privilege 3 with
// 32-bit paging. Linear is physical. Exceptions and interrupts come in at privilege 0, on a stack
// of their own.

export const PAGE = 0x1000;
export const MEMORY_BYTES = 0x80000;

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
export const PAGE_DIRECTORY = 0x4000;
export const PAGE_TABLE = 0x5000;
/** Below 64 KiB: an IRET to a 16-bit stack leaves the upper half of ESP as it is. */
export const EVENT_STACK = 0x8000;
export const EVENT_STACK_TOP: number = EVENT_STACK + PAGE;
/** Where the program and the handlers put their FXSAVE image. */
export const REPORT = 0x9000;
/** How many jumps a pass may still make. */
export const FUEL: number = REPORT + 0x400;
export const MXCSR: number = REPORT + 0x404;
export const INTERRUPT_COUNT = 0xa000;
/** The program: three pages. */
export const CODE = 0x10000;
export const CODE_END: number = CODE + 3 * PAGE;
export const HANDLERS = 0x20000;
export const HANDLER_BYTES = 0x20;
/** Two pages each; the first page behind the data is mapped on demand, the second is read-only. */
export const STACK = 0x30000;
export const DATA = 0x40000;
export const DEMAND = 0x42000;
export const READ_ONLY = 0x43000;

export const INTERRUPT = 0x40;
export const PASS_PORT = 0x10;

/** A segment of the program: what its descriptor says. */
export interface NarrowSegment {
  readonly base: number;
  /** Offset of the last byte, or of the byte below the first of an expand-down segment. */
  readonly limit: number;
  /** Access rights as in a descriptor's bytes 5 and 6: type, S, DPL, P; D or B is bit 14. */
  readonly rights: number;
}

const BIG = 0x4000;
const DATA_RIGHTS = 0xf3;
const DOWN_RIGHTS = 0xf7;
const FIXED_RIGHTS = 0xf1;
const CODE_RIGHTS = 0xfb;
const WHOLE = 0xffff_ffff;
const flat = { base: 0, limit: WHOLE };

/** Segments that data may be reached by: each finds the data at {@link dataOffset}. */
export const DATA_SEGMENTS: readonly NarrowSegment[] = [
  { ...flat, rights: DATA_RIGHTS | BIG },
  { base: DATA, limit: WHOLE, rights: DATA_RIGHTS | BIG },
  { base: DATA + 8, limit: 0x17ff, rights: DATA_RIGHTS | BIG },
  { base: DATA, limit: 0x1000, rights: DATA_RIGHTS },
  { base: DATA, limit: 0x7ff, rights: DOWN_RIGHTS | BIG },
  { base: DATA, limit: 0x7bf, rights: DOWN_RIGHTS },
  { base: DATA, limit: 0x1fff, rights: FIXED_RIGHTS | BIG },
  { base: DATA, limit: 0xffff, rights: CODE_RIGHTS },
];

/** Segments that the stack may be in. */
export const STACK_SEGMENTS: readonly NarrowSegment[] = [
  { ...flat, rights: DATA_RIGHTS | BIG },
  { base: STACK, limit: 0x1fff, rights: DATA_RIGHTS | BIG },
  { base: STACK, limit: 0x1fff, rights: DATA_RIGHTS },
  { base: STACK, limit: 0x0fff, rights: DOWN_RIGHTS },
];

/** Segments that code may be in, without their size; the offset of the code follows. */
export const CODE_SEGMENTS: readonly NarrowSegment[] = [
  { ...flat, rights: CODE_RIGHTS },
  { base: CODE - 0x4000, limit: WHOLE, rights: CODE_RIGHTS },
  { base: CODE - 0x4010, limit: 0xffff, rights: CODE_RIGHTS },
  { base: CODE, limit: 0x2fff, rights: CODE_RIGHTS },
  // IP wraps at the end of the code.
  { base: CODE_END - 0x1_0000, limit: 0xffff, rights: CODE_RIGHTS },
  { base: CODE - 0x20, limit: 0x2a1f, rights: CODE_RIGHTS },
];

/** Selectors: 0x08 and 0x10 are the handlers', the others have RPL 3. */
export const SELECTOR = {
  kernelCode: 0x08,
  kernelData: 0x10,
  task: 0x18,
  /** Flat data that the program keeps in FS. */
  flat: 0x23,
  code: 0x2b,
  /** The first of each list above; 8 apart. */
  data: 0x33,
  stack: 0x33 + 8 * DATA_SEGMENTS.length,
} as const;

/** Offset in a data segment of what programs work on, {@link DATA} + 0x800. */
export const dataOffset = ({ base }: NarrowSegment): number => DATA + 0x800 - base;
