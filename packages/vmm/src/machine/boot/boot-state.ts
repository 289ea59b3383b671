// The processor state a boot protocol asks for at its first instruction, in the terms of vmm(4)'s
// vcpu_reg_state: values of registers, and segments with their hidden parts. Access rights are in
// the format of the VMX guest-state area (SDM 3C 25.4.1, table 25-2). Every value a boot protocol
// sets lies below 2^53, so plain numbers hold them; registers not named here start as zero.

/** The names of the sixteen general registers. */
export type GprName =
  | 'rax'
  | 'rbx'
  | 'rcx'
  | 'rdx'
  | 'rsi'
  | 'rdi'
  | 'rbp'
  | 'rsp'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15';

/** The names of the segment registers, and the two system ones. */
export type SegmentName = 'cs' | 'ds' | 'es' | 'fs' | 'gs' | 'ss' | 'tr' | 'ldtr';

/** A segment register with its hidden part. */
export interface BootSegment {
  readonly sel: number;
  readonly base: number;
  /** In bytes, already scaled by the granularity bit. */
  readonly limit: number;
  /** VMX access rights: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  readonly ar: number;
}

/** A descriptor table register. */
export interface BootTable {
  readonly base: number;
  readonly limit: number;
}

/** What the processor holds when the guest's first instruction is fetched. */
export interface BootState {
  readonly gprs: Readonly<Record<GprName, number>>;
  readonly rip: number;
  readonly rflags: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly segments: Readonly<Record<SegmentName, BootSegment>>;
  readonly gdtr: BootTable;
  readonly idtr: BootTable;
}

// SDM 3A 2.5 and 2.2.1.
export const CR0_PE = 0x0000_0001;
export const CR0_ET = 0x0000_0010;
export const CR0_NE = 0x0000_0020;
export const CR0_PG = 0x8000_0000;
export const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
export const EFER_LME = 0x100;
export const EFER_LMA = 0x400;

/** RFLAGS with interrupts and traps off: bit 1 always reads as one (SDM 1 3.4.3). */
export const RFLAGS_FIXED = 0x2;

/** Access rights of flat ring-0 segments: present, accessed, 4 KiB granularity. */
export const AR_CODE64 = 0xa09b;
export const AR_CODE32 = 0xc09b;
export const AR_DATA32 = 0xc093;
/** A busy 32-bit or 64-bit TSS: VM entry refuses a task register that is not (SDM 3C 27.3.1.2). */
export const AR_TSS_BUSY = 0x008b;
export const AR_LDT = 0x0082;

/** A flat segment of 4 GiB. */
export function flatSegment(sel: number, ar: number): BootSegment {
  return { sel, base: 0, limit: 0xffff_ffff, ar };
}

/** The eight segments of a flat model: `code` in CS, `data` in the others, empty TR and LDTR. */
export function flatSegments(code: BootSegment, data: BootSegment): BootState['segments'] {
  return {
    cs: code,
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: { sel: 0, base: 0, limit: 0xffff, ar: AR_TSS_BUSY },
    ldtr: { sel: 0, base: 0, limit: 0xffff, ar: AR_LDT },
  };
}

/** All general registers zero but those in `values`. */
export function gprs(values: Partial<Record<GprName, number>>): BootState['gprs'] {
  const zero = {
    rax: 0,
    rbx: 0,
    rcx: 0,
    rdx: 0,
    rsi: 0,
    rdi: 0,
    rbp: 0,
    rsp: 0,
    r8: 0,
    r9: 0,
    r10: 0,
    r11: 0,
    r12: 0,
    r13: 0,
    r14: 0,
    r15: 0,
  };
  return { ...zero, ...values };
}

/**
 * The eight bytes of a flat descriptor of 4 GiB in the GDT (SDM 3A 3.4.5) as low and high dword,
 * for a segment whose access rights in VMX format are `ar`.
 */
export function flatDescriptor(ar: number): readonly [low: number, high: number] {
  const flags = (ar >> 12) & 0xf;
  return [0x0000_ffff, (flags << 20) | 0x000f_0000 | ((ar & 0xff) << 8)];
}

/** What {@link protectedModeState} puts into memory as GDT: 24 bytes. */
export const FLAT_GDT_BYTES = 24;
const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;

/** A GDT with a flat code segment, of access rights `codeAr`, as selector 8 and flat data as 16. */
export function flatGdt(codeAr: number = AR_CODE32): Uint8Array {
  const gdt = new Uint8Array(FLAT_GDT_BYTES);
  const view = new DataView(gdt.buffer);
  for (const [selector, ar] of [
    [CODE_SELECTOR, codeAr],
    [DATA_SELECTOR, AR_DATA32],
  ] as const) {
    const [low, high] = flatDescriptor(ar);
    view.setUint32(selector, low, true);
    view.setUint32(selector + 4, high, true);
  }
  return gdt;
}

/**
 * Protected mode without paging, flat 32-bit segments, interrupts off, as several protocols ask for
 * it: `entry` with general registers `values`, and a {@link flatGdt} at `gdtAddress`.
 */
export function protectedModeState(
  entry: number,
  gdtAddress: number,
  values: Partial<Record<GprName, number>>,
): BootState {
  return {
    gprs: gprs(values),
    rip: entry,
    rflags: RFLAGS_FIXED,
    cr0: CR0_PE + CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: flatSegments(
      flatSegment(CODE_SELECTOR, AR_CODE32),
      flatSegment(DATA_SELECTOR, AR_DATA32),
    ),
    gdtr: { base: gdtAddress, limit: FLAT_GDT_BYTES - 1 },
    idtr: { base: 0, limit: 0 },
  };
}
