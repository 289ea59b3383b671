// Guest-physical memory for running vectors on a processor of ours: kernel.S, its descriptor tables,
// page tables that map layout.ts's regions for user mode, and the pages of those regions. What Linux
// gives the runner, this gives the guest: the same selectors with the same descriptors (read off
// LAR and LSL), the same rights to each page, the same I/O permissions (none).
//
// Adjacent pages of a region are not adjacent in physical memory, so that an access which crosses
// from one to the next cannot be made as if they were.

import { readFileSync } from 'node:fs';
import { compileOnce } from './compile.ts';
import {
  CODE_REGION,
  CODE16_LIMIT,
  DATA_REGIONS,
  DOWN_LIMIT,
  type Region,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
} from './layout.ts';

/** Bytes of guest-physical memory: what one large page maps for the kernel. */
export const MEMORY_BYTES = 0x20_0000;

/** The kernel sees physical memory from here on. */
export const KERNEL_BASE = 0xffff_8000_0000_0000n;

/** 4 GiB of views of the 64 KiB around the block; kernel.S says what for. */
const ALIASES = 0xffff_8001_0000_0000n;
const ALIAS_BYTES = 0x1_0000;

const PAGE = 0x1000;

/** Physical addresses. */
export const Physical = {
  pml4: 0x1000,
  /** Page tables other than the PML4, as many as it takes. */
  tables: 0x2000,
  gdt: 0x20000,
  ldt: 0x21000,
  idt: 0x22000,
  tss: 0x23000,
  kernel: 0x24000,
  /** The state of a vector: see {@link Block}. */
  block: 0x28000,
  /** The first of the regions' pages; each has a hole behind it. */
  pages: 0x40000,
} as const;

/** Offsets in the state block; kernel.S has the same. */
export const Block = {
  fx: 0x000,
  /** XSTATE_BV of XSAVE's header. */
  xstate: 0x200,
  /** The upper halves of the YMM registers. */
  ymm: 0x240,
  /** RAX RCX RDX RBX RBP RSI RDI R8-R15: encoding order, RSP left out. */
  gpr: 0x380,
  vector: 0x3f8,
  errorCode: 0x400,
  rip: 0x408,
  cs: 0x410,
  rflags: 0x418,
  rsp: 0x420,
  ss: 0x428,
  frameEnd: 0x430,
  /** DS ES FS GS, 16 bits each. */
  selectors: 0x440,
  fsBase: 0x450,
  gsBase: 0x458,
  cr2: 0x460,
} as const;

/** Selectors that only the kernel uses; the places are Linux's. */
export const KERNEL_CS = 0x10;
export const KERNEL_DS = 0x18;
export const TSS_SELECTOR = 0x40;
export const LDT_SELECTOR = 0x50;

const STUBS = 32;
const STUB_BYTES = 16;
/** Where the kernel loads a vector: right behind its exception stubs. */
export const KERNEL_ENTRY: bigint = KERNEL_BASE + BigInt(Physical.kernel + STUBS * STUB_BYTES);

/** Limits of the tables, as LGDT and LIDT take them. */
export const GDT_LIMIT = 16 * 8 - 1;
export const LDT_LIMIT = 7 * 8 - 1;
export const IDT_LIMIT: number = STUBS * 16 - 1;
export const TSS_LIMIT = 0x67;

/** Page-table entry bits, SDM vol. 3A, 4.5. */
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const NO_EXECUTE = 1n << 63n;

/** Writes the image into guest memory, and knows where the regions' pages are in it. */
export class GuestImage {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Physical addresses of the code region's pages, in order. */
  readonly codePages: readonly number[];
  /** Physical addresses of the data regions' pages, in arena order. */
  readonly dataPages: readonly number[];
  private nextTable: number = Physical.tables;
  private nextPage: number = Physical.pages;

  /** `bytes`: guest-physical memory, {@link MEMORY_BYTES} of zeros. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes.set(kernelCode(), Physical.kernel);
    this.writeGdt();
    this.writeLdt();
    this.writeIdt();
    this.writeTss();
    const large = this.entry(KERNEL_BASE, 2);
    this.view.setBigUint64(large, PRESENT | WRITABLE | LARGE, true);
    this.mapAliases();
    this.codePages = this.mapRegion(CODE_REGION, USER | PRESENT);
    this.dataPages = DATA_REGIONS.flatMap((region) => {
      const write = region.writable ? WRITABLE : 0n;
      return this.mapRegion(region, USER | PRESENT | NO_EXECUTE | write);
    });
  }

  /** One page table and one page directory, each used again and again. */
  private mapAliases(): void {
    const [directory, table] = [this.nextTable, this.nextTable + PAGE];
    this.nextTable += 2 * PAGE;
    const first = Physical.block - (Physical.block % ALIAS_BYTES);
    for (let index = 0; index < 512; index++) {
      const page = first + ((index * PAGE) % ALIAS_BYTES);
      this.view.setBigUint64(table + index * 8, BigInt(page) | PRESENT | WRITABLE, true);
      this.view.setBigUint64(directory + index * 8, BigInt(table) | PRESENT | WRITABLE, true);
    }
    for (let index = 0n; index < 4n; index++) {
      const entry = this.entry(ALIASES + (index << 30n), 3);
      this.view.setBigUint64(entry, BigInt(directory) | PRESENT | WRITABLE, true);
    }
  }

  /** Gives `region` pages, from its end to its start, with holes between; answers them in order. */
  private mapRegion(region: Region, rights: bigint): number[] {
    const pages: number[] = [];
    for (let offset = region.length - PAGE; offset >= 0; offset -= PAGE) {
      const leaf = this.entry(region.address + BigInt(offset), 1);
      this.view.setBigUint64(leaf, BigInt(this.nextPage) | rights, true);
      pages.unshift(this.nextPage);
      this.nextPage += 2 * PAGE;
    }
    return pages;
  }

  /** The physical address of the entry of `linear` at `level` (1: 4 KiB pages), making the others. */
  private entry(linear: bigint, level: number): number {
    let table: number = Physical.pml4;
    for (let at = 4; ; at--) {
      const index = Number((linear >> BigInt(12 + 9 * (at - 1))) & 0x1ffn);
      const entry = table + index * 8;
      if (at === level) return entry;
      if (this.view.getBigUint64(entry, true) === 0n) {
        this.view.setBigUint64(entry, BigInt(this.nextTable) | PRESENT | WRITABLE | USER, true);
        this.nextTable += PAGE;
      }
      table = Number(this.view.getBigUint64(entry, true) & 0xf_ffff_f000n);
    }
  }

  /** A code or data descriptor (SDM vol. 3A, figure 3-8); `flags` are G, D/B, L and AVL. */
  private descriptor(at: number, base: number, limit: number, access: number, flags: number): void {
    this.view.setUint16(at, limit & 0xffff, true);
    this.view.setUint16(at + 2, base & 0xffff, true);
    this.view.setUint8(at + 4, (base >>> 16) & 0xff);
    this.view.setUint8(at + 5, access);
    this.view.setUint8(at + 6, (limit >>> 16) | (flags << 4));
    this.view.setUint8(at + 7, base >>> 24);
  }

  private writeGdt(): void {
    const gate = (selector: number, access: number, flags: number): void =>
      this.descriptor(Physical.gdt + selector, 0, 0xfffff, access, flags);
    gate(0x08, 0x9b, 0xc);
    gate(KERNEL_CS, 0x9b, 0xa);
    gate(KERNEL_DS, 0x93, 0xc);
    gate(0x20, 0xfb, 0xc);
    gate(0x28, 0xf3, 0xc);
    gate(0x30, 0xfb, 0xa);
    this.systemDescriptor(TSS_SELECTOR, Physical.tss, TSS_LIMIT, 0x8b);
    this.systemDescriptor(LDT_SELECTOR, Physical.ldt, LDT_LIMIT, 0x82);
  }

  /** A 16-byte descriptor of a TSS or LDT (SDM vol. 3A, figure 7-4). */
  private systemDescriptor(
    selector: number,
    physical: number,
    limit: number,
    access: number,
  ): void {
    this.descriptor(Physical.gdt + selector, physical, limit, access, 0);
    this.view.setUint32(Physical.gdt + selector + 8, Number(KERNEL_BASE >> 32n), true);
  }

  /** The runner's LDT: what modify_ldt makes has AVL set and counts as accessed. */
  private writeLdt(): void {
    const code = Number(CODE_REGION.address);
    this.descriptor(Physical.ldt, code, CODE16_LIMIT, 0xfb, 0x1);
    this.descriptor(Physical.ldt + 8, SEGMENT_BASE, 0xffff, 0xf3, 0x1);
    this.descriptor(Physical.ldt + 16, SEGMENT_BASE, 0xfffff, 0xf3, 0xd);
    this.descriptor(Physical.ldt + 24, SEGMENT_BASE, SEGMENT_LIMIT, 0xf3, 0x5);
    this.descriptor(Physical.ldt + 32, SEGMENT_BASE, DOWN_LIMIT, 0xf7, 0x5);
    this.descriptor(Physical.ldt + 40, SEGMENT_BASE, DOWN_LIMIT, 0xf7, 0x1);
    this.descriptor(Physical.ldt + 48, SEGMENT_BASE, 0xffff, 0xf1, 0x5);
  }

  /** Interrupt gates to the stubs; user mode may call INT3's and INTO's. */
  private writeIdt(): void {
    for (let vector = 0; vector < STUBS; vector++) {
      const at = Physical.idt + vector * 16;
      const offset = KERNEL_BASE + BigInt(Physical.kernel + vector * STUB_BYTES);
      this.view.setUint16(at, Number(offset & 0xffffn), true);
      this.view.setUint16(at + 2, KERNEL_CS, true);
      this.view.setUint8(at + 5, vector === 3 || vector === 4 ? 0xee : 0x8e);
      this.view.setUint16(at + 6, Number((offset >> 16n) & 0xffffn), true);
      this.view.setUint32(at + 8, Number(offset >> 32n), true);
    }
  }

  /** RSP0 is where the block's frame ends; the I/O map lies beyond the limit, so all I/O is #GP. */
  private writeTss(): void {
    const frameEnd = KERNEL_BASE + BigInt(Physical.block + Block.frameEnd);
    this.view.setBigUint64(Physical.tss + 4, frameEnd, true);
    this.view.setUint16(Physical.tss + 0x66, TSS_LIMIT + 1, true);
  }
}

/** kernel.S as bytes, to stand at Physical.kernel. It is position independent. */
function kernelCode(): Uint8Array {
  const flags = ['-nostdlib', '-static', '-Wl,--oformat=binary,-Ttext=0,--build-id=none'];
  return readFileSync(compileOnce('kernel.S', flags));
}
