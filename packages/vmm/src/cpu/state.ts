// The state of one virtual CPU: named offsets from its base in linear memory.
//
// Everything guest-visible lies here, so that interpreter, compiled code, helpers and the monitor
// work on the same bytes, and one compiled module serves any number of vCPUs: each function gets
// the base as its first parameter, `cpu`.
//
// Order matters in the first 256 bytes only: they are what nearly every instruction touches, and
// the registers there are addressed by *slot*, their offset from `cpu` (a record names its operands
// by slot). SLOT.zero and SLOT.ripBase are pseudo-registers, so that "no base register" and
// RIP-relative operands need no code of their own.

import { c32, type I32, i32 } from '../wasm/expr.ts';

/** General registers in encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes each. */
export const GPR = 0x000;
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** Segment registers in encoding order, then the two system segments. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;

/** Slots that are not general registers. */
export const SLOT = {
  /** i64, always zero. */
  zero: 0x080,
  /** i64: RIP of the first byte of the code page being executed; RIP = this + offset in page. */
  ripBase: 0x088,
  /** i64 × 6: segment bases, ES CS SS DS FS GS. In 64-bit mode all but FS and GS are zero. */
  segmentBase: 0x090,
} as const;

/** Offsets of single fields; the comment gives type and meaning. */
export const S = {
  /** i64: RIP, valid between instructions at exits and inside helpers that are given it. */
  rip: 0x0c0,
  /** i64: the result whose sign, zeroness and low byte give SF, ZF and PF (lazy-flags.ts). */
  flagResult: 0x0c8,
  /** i64: carries out of bits, which give CF, OF and AF (lazy-flags.ts). */
  flagCarry: 0x0d0,
  /** i32: RFLAGS without the six status flags; bit 1 always set. */
  eflags: 0x0d8,
  /** i32: address of the TLB in use: supervisor's or user's. */
  tlb: 0x0dc,
  /** i32: instructions left in this slice; negative when it is over. */
  budget: 0x0e0,
  /** i32: current privilege level, 0..3. */
  cpl: 0x0e4,
  /** i32: code mode: 2, 4 or 8 bytes (16-, 32-, 64-bit code). */
  codeMode: 0x0e8,
  /** i32: non-zero when run() must return as soon as an interrupt could be taken. */
  window: 0x0ec,
  /** i32: between STI, MOV SS or POP SS and the end of the next instruction: see SHADOW. */
  shadow: 0x0f0,
  /** i32: address of the fetch TLB in use. */
  fetchTlb: 0x0f4,
  /** i32: bytes of the stack pointer in use, 2, 4 or 8 (SS.B, or 8 in 64-bit mode). */
  stackSize: 0x0f8,
  /** i32: non-zero when single-stepping or a breakpoint register is armed: step one by one. */
  stepping: 0x0fc,

  /** v128 × 16. */
  xmm: 0x100,
  /** 8 × 16 bytes, physical x87 registers R0..R7: significand i64, then sign and exponent u16. */
  fpr: 0x200,
  /** u16 control word, u16 status word (TOP inside), u8 tags (bit = physical register in use). */
  fcw: 0x280,
  fsw: 0x282,
  ftw: 0x284,
  /** u16 last opcode (11 bits). */
  fop: 0x286,
  /** i64 last instruction pointer; i64 last data pointer; u16 their selectors. */
  fip: 0x288,
  fdp: 0x290,
  fcs: 0x298,
  fds: 0x29a,
  /** i32. */
  mxcsr: 0x29c,
  /** i32: exception flags raised by the floating-point helper that ran last (MXCSR bit order). */
  fpFlags: 0x2a0,
  /** i32 scratch, i64 × 2 scratch: results of floating-point helpers. */
  fpScratch: 0x2a4,
  fpResult: 0x2a8,
  fpResultHi: 0x2b0,

  /** i64 each. */
  cr0: 0x2c0,
  cr2: 0x2c8,
  cr3: 0x2d0,
  cr4: 0x2d8,
  cr8: 0x2e0,
  xcr0: 0x2e8,
  efer: 0x2f0,
  star: 0x2f8,
  lstar: 0x300,
  cstar: 0x308,
  sfmask: 0x310,
  kernelGsBase: 0x318,
  miscEnable: 0x320,
  sysenterCs: 0x328,
  sysenterEsp: 0x330,
  sysenterEip: 0x338,
  pat: 0x340,
  tscAux: 0x348,
  specCtrl: 0x350,
  /** i64: added to the clock's nanoseconds to give the TSC. */
  tscOffset: 0x358,
  /** i64 × 4: PDPTEs as loaded by MOV CR3 under PAE paging. */
  pdpte: 0x360,
  /** i64 × 8: DR0..DR7 (DR4 and DR5 unused). */
  dr: 0x380,

  /** 8 × 16 bytes, ES CS SS DS FS GS LDTR TR: u16 selector, u32 limit @4, u32 access rights @8 (VMX
   * format: SDM vol. 3C table 24-2). Bases: {@link SLOT.segmentBase}; of LDTR, TR: systemBase. */
  segment: 0x3c0,
  /** i64 × 2: bases of LDTR and TR. */
  systemBase: 0x440,
  /** i64 base, u32 limit. */
  gdtrBase: 0x450,
  gdtrLimit: 0x458,
  idtrLimit: 0x45c,
  idtrBase: 0x460,

  /** i32: vector of the fault being raised, or FAULT_EXIT. */
  faultVector: 0x480,
  /** i32: its error code; i32: non-zero if it has one. */
  faultCode: 0x484,
  faultHasCode: 0x488,
  /** i32: how the event came: see EVENT. */
  eventKind: 0x48c,
  /** i64: RIP the event pushes. */
  eventRip: 0x490,
  /** i32: vector of the exception whose delivery is under way, or -1: for double faults. */
  delivering: 0x498,
  /** i32: why a handler returned: see EXIT. */
  exit: 0x49c,
  /** Exit qualification. i32 port, i32 size in bytes, i32 flags (EXIT_IO), i64 data. */
  exitPort: 0x4a0,
  exitSize: 0x4a4,
  exitFlags: 0x4a8,
  /** i32: length of the instruction that left. */
  exitLength: 0x4ac,
  exitData: 0x4b0,
  /** i64: guest-physical address of an MMIO or EPT-violation exit. */
  exitGpa: 0x4b8,
  /**
   * i64 counters: instructions retired in finished slices is kept by the engine; these are events.
   */
  tlbMisses: 0x4c0,
  /** i32, not i64: what slices were charged for work that is no instruction's. */
  overhead: 0x4c8,
  exceptions: 0x4d0,
  /**
   * i32: answers of MMIO reads that the instruction under way has already got; the next to take.
   */
  mmioCount: 0x4d8,
  mmioNext: 0x4dc,
  /** i64 × 8: those answers. */
  mmioData: 0x4e0,

  /** i32: address of the two-level map of guest-physical pages (physical-map.ts). */
  physicalMap: 0x520,
  /** i32: entries used in the list of non-global TLB entries. */
  nonGlobalCount: 0x524,
  /** i32: what the last page walk found: see WALK in mmu.ts. */
  walkFlags: 0x528,
  /** i32: which floating-point units fault at use: see FPU_TRAP. */
  fpuTraps: 0x52c,
  /** i64: mask of physical-address bits, and bits that must be zero in page-table entries. */
  physicalMask: 0x530,
  /** i64 × 4: address masks indexed by log2(address size): 8, 16, 32, 64 bits. */
  addressMask: 0x540,
  /** 64 bytes scratch for accesses that cross pages, and for helpers. */
  bounce: 0x580,
  /** 128 bytes scratch for helpers. */
  scratch: 0x600,
  /** 128 bytes: the state of the task that is being switched to (task-switch.ts). */
  task: 0x680,
  /** i64: IA32_DEBUGCTL. */
  debugCtl: 0x700,
  /** i32 × 256: TLB entries that are not global (their addresses). */
  nonGlobal: 0x800,
  /** The records of the single-step block: two records. */
  stepRecords: 0xc00,
  /** 128 bytes: bitmap over hashes of the 2 MiB and 1 GiB regions that large pages translated. */
  largeRegions: 0xc40,
  /** i32: non-zero when the supervisor's fetch TLB holds entries that are not global. */
  fetchNonGlobal: 0xcc0,
  /** i32: the physical map's entry of the page that was translated last; i64: its address there. */
  lastEntry: 0xcc4,
  lastPhysical: 0xcc8,
  /** i32: two-level map from physical page to decoded code (code-cache.ts). */
  codeMap: 0xcd0,
  /** i32: counts changes of decoded code, so that records that span pages notice them. */
  codeGeneration: 0xcd4,
  /** i32: the code page being executed (code-cache.ts); 0 when its code has just been dropped. */
  codePage: 0xcd8,
  /** i32: how many guest pages carry PAGE.touched. */
  touchedPages: 0xcdc,
  /** i32: debug traps due after the instruction under way, bits as in DR6. */
  debugTraps: 0xce0,
  /**
   * i64: the linear address behind the last byte of CS, outside 64-bit code, if that is within a
   * page; else 0. Code of that page is decoded up to there.
   */
  codeBound: 0xd80,
  /** i32: what code is decoded and compiled for now: CODE_KEY_MASK in code-page.ts. */
  codeKey: 0xd88,
  /** i32: the base of CS, outside 64-bit code, that {@link S.epoch} was counted for. */
  codeBase: 0xd8c,
  /** i32 × 32: exceptions raised, by vector. */
  exceptionCounts: 0xd00,
  /** v128 × 16: bits 255:128 of the YMM registers, whose lower halves are the XMM registers. */
  ymmHigh: 0xe00,
  /** 32 bytes: a vector register for helpers that want it in memory. */
  lanes: 0xf00,
  /**
   * i32: non-zero while the SIMD exceptions of one half of a 256-bit instruction are only noted, by
   * stage, since both halves decide; i32: the stage; i32 × 3: the flags of each.
   */
  fpDeferring: 0xf20,
  fpStage: 0xf24,
  fpDeferred: 0xf28,
  /** i64: the bits that XCR0 may have, of the processor that the guest is shown. */
  xcr0Mask: 0xf38,
  /** i32: entries of a block that make it worth compiling. */
  heatLimit: 0xce4,
  /** i32: instructions that compiled code has retired in this slice. */
  compiled: 0xcfc,
  /**
   * i32: counts changes of decoded code and of the mapping of memory, and outside 64-bit code
   * those of the base and end of CS, by fours; bit 0 is set in user mode, bit 1 outside 64-bit
   * code. Where it has not changed, an address leads to the same code.
   */
  epoch: 0xcec,
  /**
   * i64: where the caller that waits in a compiled region has its guest return to, as its function
   * of WebAssembly then returns too; or one of EXPECTED.
   */
  expected: 0xcf0,
  /** i32: how many such callers wait. */
  depth: 0xcf8,
} as const;

/** Values of {@link S.expected} that are no address of 64-bit code: not canonical. */
export const EXPECTED = {
  /** Set in addresses outside 64-bit code: a return of the other kind does not meet them. */
  narrow: 0x4000000000000000n,
  /** Nobody waits. */
  none: 0x8000000000000000n,
  /** The guest has returned to where it was expected. */
  met: 0x8000000000000001n,
} as const;

/** TLB geometry. An entry: i64 read tag, i64 write tag, i32 addend, i32 flags, i64 unused. */
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_BYTES = 32;
export const TLB_SUPERVISOR = 0x1000;
export const TLB_USER: number = TLB_SUPERVISOR + TLB_ENTRIES * TLB_ENTRY_BYTES;
/** The supervisor's under SMAP while RFLAGS.AC is set: user pages are allowed here. */
export const TLB_SUPERVISOR_AC: number = TLB_USER + TLB_ENTRIES * TLB_ENTRY_BYTES;
/** Fetch TLB. An entry: i64 tag (fetchTag in mmu.ts), i32 code page, i32 physical page number. */
export const FETCH_ENTRIES = 512;
export const FETCH_ENTRY_BYTES = 16;
export const FETCH_SUPERVISOR: number = TLB_SUPERVISOR_AC + TLB_ENTRIES * TLB_ENTRY_BYTES;
export const FETCH_USER: number = FETCH_SUPERVISOR + FETCH_ENTRIES * FETCH_ENTRY_BYTES;
/** How often blocks were entered: i32 counters, shared by records that hash alike. */
export const HEAT: number = FETCH_USER + FETCH_ENTRIES * FETCH_ENTRY_BYTES;
export const HEAT_ENTRIES = 65536;
/** Offset from {@link HEAT} of the counter of a block, which starts at `record`. */
export const heatSlot = (record: number): number => (record >>> 3) & ((HEAT_ENTRIES - 1) << 2);
/**
 * The jump cache: where compiled code for an address is. An entry: i64 tag (the address's low 48
 * bits, and above them the low 16 of S.epoch), u16 place in the function table, u16 R.left of its
 * record, i32 code page.
 */
export const JUMP: number = HEAT + HEAT_ENTRIES * 4;
export const JUMP_ENTRIES = 4096;
export const JUMP_ENTRY_BYTES = 16;
/**
 * A TLB that stays empty, its tags -1: the user's while alignment is checked, so that every access
 * takes the slow path, which checks.
 */
export const TLB_ALIGNED: number = JUMP + JUMP_ENTRIES * JUMP_ENTRY_BYTES;
/** Bytes of a vCPU's state, all of the above. */
export const STATE_BYTES: number = TLB_ALIGNED + TLB_ENTRIES * TLB_ENTRY_BYTES;

/** Slot of general register `n`. */
export const gprSlot = (n: number): number => GPR + 8 * n;

/** Slot of byte register `n`: 4..7 are AH CH DH BH unless the instruction has a REX prefix. */
export const byteSlot = (n: number, rex: boolean): number =>
  !rex && n >= 4 && n < 8 ? GPR + 8 * (n - 4) + 1 : GPR + 8 * n;

/** Offset of the descriptor cache of segment register `n` (ES..GS, LDTR, TR). */
export const segmentCache = (n: number): number => S.segment + 16 * n;
export const SEGMENT_LIMIT = 4;
export const SEGMENT_AR = 8;
/**
 * The base as loaded, 32 bits, of ES, CS, SS and DS: 64-bit code does not use it
 * ({@link SLOT.segmentBase} is 0 there), but a return to compatibility mode finds it again.
 */
export const SEGMENT_BASE = 12;

/** Offset of the base of segment register `n` (ES..GS, LDTR, TR). */
export const segmentBase = (n: number): number =>
  n < LDTR ? SLOT.segmentBase + 8 * n : S.systemBase + 8 * (n - LDTR);

/** Access-rights bits, VMX format. */
export const AR_TYPE = 0xf;
export const AR_ACCESSED = 1;
export const AR_S: number = 1 << 4;
export const AR_DPL_SHIFT = 5;
export const AR_P: number = 1 << 7;
export const AR_L: number = 1 << 13;
export const AR_DB: number = 1 << 14;
export const AR_G: number = 1 << 15;
export const AR_UNUSABLE: number = 1 << 16;

/** Why execution returned to the monitor ({@link S.exit}). */
export const EXIT = {
  /** The slice is over, or someone asked to stop. */
  none: 0,
  io: 1,
  hlt: 2,
  /** Access to a page that is neither RAM nor protected: exitGpa, exitSize, exitFlags, exitData. */
  mmio: 3,
  /** Access that the page's protection forbids. */
  eptViolation: 4,
  tripleFault: 5,
  /** An interrupt can be taken now, and someone asked to know. */
  window: 6,
  /** STI, MOV SS or single-step: execute one instruction, then look again. */
  step: 7,
} as const;

/**
 * {@link S.shadow}: what the last instruction holds off. Kept only over a return to the monitor.
 */
export const SHADOW = {
  none: 0,
  /** STI: interrupts. */
  interrupts: 1,
  /** MOV SS, POP SS: interrupts and debug exceptions (SDM vol. 3A, 6.8.3). */
  all: 2,
} as const;

/** Bits of exitFlags. For MMIO: {@link EXIT_WRITE} only. */
export const EXIT_IN = 1;
export const EXIT_STRING = 2;
export const EXIT_REP = 4;
/** The port was an immediate operand. */
export const EXIT_IMMEDIATE = 8;
export const EXIT_WRITE = 16;
export const EXIT_FETCH = 32;

/** Bits of {@link S.fpuTraps}, derived from CR0, CR4 and XCR0 whenever they change. */
export const FPU_TRAP = {
  /** x87: #NM (EM or TS). */
  x87: 1,
  /** MMX: #UD (EM), #NM (TS). */
  mmxUd: 2,
  mmxNm: 4,
  /** SSE: #UD (EM, or OSFXSR clear), #NM (TS). */
  sseUd: 8,
  sseNm: 16,
  /** AVX: #UD (OSXSAVE or any of bits 2:1 of XCR0 clear), #NM (TS). */
  avxUd: 32,
  avxNm: 64,
} as const;

/** In {@link S.faultVector}: no fault, but an exit whose fields are filled; RIP stays. */
export const FAULT_EXIT = -2;

/** How an event came about; decides what is checked and pushed (SDM vol. 3A, 6.4 to 6.6). */
export const EVENT = {
  /** An exception found by the processor. */
  exception: 0,
  /** INT n, INT3, INTO: the gate's DPL is checked. */
  software: 1,
  /** An external interrupt. */
  external: 2,
  /** INT1. */
  privileged: 3,
} as const;

/** Exception vectors, by the manual's names. */
export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  XM: 19,
} as const;

/** Address of entry `index` of an array of `bytes`-sized elements at state offset `base`. */
export const element = (cpu: I32, base: number, index: I32, bytes: number): I32 =>
  i32.add(i32.add(cpu, c32(base)), i32.mul(index, c32(bytes)));
