// The memory of a lockstep guest, in 64-bit mode, its first 2 MiB mapped page by page. Linear is
// physical, but for the alias of a code page.

export const PAGE = 0x1000;
export const MEMORY_BYTES = 0x80000;

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
/** PML4, page-directory-pointer table, page directory and page table: four pages. */
export const PAGE_TABLES = 0x4000;
/** Exceptions and interrupts come in here (IST1), so that they leave the program's stack alone. */
export const EVENT_STACK = 0x8000;
export const EVENT_STACK_TOP: number = EVENT_STACK + PAGE;
/** The program: three pages. */
export const CODE = 0x10000;
export const CODE_PAGES = 3;
export const CODE_END: number = CODE + CODE_PAGES * PAGE;
/** Copies of the program's pages with other immediates; mapped in their place now and then. */
export const COPY = 0x18000;
/** The whole lower 2 MiB once more, and again, up to 1 GiB. */
export const ALIAS_STRIDE: number = 2 << 20;
/** A handler for each vector, {@link HANDLER_BYTES} each. */
export const HANDLERS = 0x20000;
export const HANDLER_BYTES = 0x20;
export const STACK = 0x30000;
export const STACK_TOP = 0x32000;
/** Two pages of data; the first page behind them is mapped on demand, the second is read-only. */
export const DATA = 0x40000;
export const DEMAND = 0x42000;
export const READ_ONLY = 0x43000;
/** The second code page once more, writable. */
export const ALIAS = 0x44000;
export const ALIASED: number = CODE + PAGE;
/** A page of user mode's: the supervisor may touch it while RFLAGS.AC is set. */
export const USER = 0x46000;
/** Where the program and the handlers put their FXSAVE image. */
export const REPORT = 0x50000;
/** The MXCSR that a pass starts with. */
export const MXCSR: number = REPORT + 0x800;
/** Counts interrupts; differs between engines, whose slices end at different instructions. */
export const INTERRUPT_COUNT = 0x51000;
/** Images that the program itself saves and restores. */
export const FX_AREA = 0x52000;
/** The page table, mapped writable. */
export const TABLE_WINDOW = 0x53000;
/** 64 KiB for long strings. */
export const BIG = 0x60000;
export const BIG_BYTES = 0x10000;
export const FS_BASE = 0x40400;

/** The vector of external interrupts. */
export const INTERRUPT = 0x40;
/** The port at which a pass ends. */
export const PASS_PORT = 0x10;

/** Pages that are used when an interrupt is delivered and handled. */
export const SHARED_WITH_INTERRUPTS: readonly number[] = [
  GDT,
  IDT,
  TSS,
  EVENT_STACK,
  HANDLERS,
  INTERRUPT_COUNT,
];
