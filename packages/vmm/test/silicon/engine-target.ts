// Runs vectors on an engine of ours: boots it into kernel.S once, in 64-bit mode, and then for each
// vector writes memory and the state block, lets it run to the halt that ends the exception, and
// reads both again. The exception is thus delivered to a handler, as a kernel would see it.

import type { Engine, EngineVcpu } from '../../src/vmm/engine.ts';
import { EngineExitReason } from '../../src/vmm/engine.ts';
import {
  powerOnState,
  VCPU_CRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  type VcpuSegmentInfo,
} from '../../src/vmm/registers.ts';
import type { SiliconTarget } from './compare.ts';
import type { Piece, SiliconResult, SiliconVector } from './format.ts';
import {
  Block,
  GDT_LIMIT,
  GuestImage,
  IDT_LIMIT,
  KERNEL_BASE,
  KERNEL_CS,
  KERNEL_DS,
  KERNEL_ENTRY,
  LDT_LIMIT,
  LDT_SELECTOR,
  MEMORY_BYTES,
  Physical,
  TSS_LIMIT,
  TSS_SELECTOR,
} from './guest-image.ts';
import { ARENA_LENGTH, CODE_REGION, noise, Selector } from './layout.ts';
import { Fx } from './vectors.ts';

const PAGE = 0x1000;
const NOP = 0x90;
const HLT = 0xf4;
const TF = 0x100;
const DEBUG_EXCEPTION = 1;
const GENERAL_PROTECTION = 13;

// What Linux sets, as far as user mode sees it: SDM vol. 3A, 2.5, and the MSRs of 2.2.1.
const CR0 = 0x8005_0033n; // PG AM WP NE ET MP PE
const CR4 = 0x5_0620n; // OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PAE
const XCR0 = 7n; // x87, SSE and AVX
const EFER = 0xd01n; // NXE LMA LME SCE

/** Where guest memory lies in the WebAssembly memory; an engine adds what it needs behind it. */
const MEMORY_OFFSET = 0x1_0000;
const WASM_PAGE = 0x1_0000;
const WASM_PAGES_MAX = 0x1000;

/** No instruction takes longer: a slice is about a millisecond. */
const SLICES_MAX = 1000;

/** Order of the general registers in the state block, by encoding number; RSP is in the frame. */
const BLOCK_ORDER = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const RSP = 4;

/** How an {@link EngineTarget} runs vectors. */
export interface EngineTargetOptions {
  /**
   * What ends a vector that does not fault: the trap after its instruction, as on silicon; or, for
   * engines that do other work when they need not look after each instruction, the #GP of a HLT
   * that stands wherever the vector has no code. The result is as if it had been the trap.
   */
  readonly end: 'trap' | 'halt';
  /** How often each vector is run, the last time for its result. */
  readonly times: number;
}

/** An engine with one vCPU that runs vectors. */
export class EngineTarget implements SiliconTarget {
  private readonly options: EngineTargetOptions;
  private readonly filler: number;
  private readonly image: GuestImage;
  private readonly vcpu: EngineVcpu;
  /** The arena as the vector had it. */
  private readonly before: Uint8Array = new Uint8Array(ARENA_LENGTH);
  private readonly beforeWords: Uint32Array = new Uint32Array(this.before.buffer);
  private vector: SiliconVector | undefined;

  constructor(engine: Engine, options: EngineTargetOptions = { end: 'trap', times: 1 }) {
    this.options = options;
    this.filler = options.end === 'trap' ? NOP : HLT;
    const pages = (MEMORY_OFFSET + MEMORY_BYTES) / WASM_PAGE;
    const memory = new WebAssembly.Memory({
      initial: pages,
      maximum: WASM_PAGES_MAX,
      shared: true,
    });
    this.image = new GuestImage(new Uint8Array(memory.buffer, MEMORY_OFFSET, MEMORY_BYTES));
    this.vcpu = engine.createVcpu({
      memory,
      ranges: [{ gpa: 0, offset: MEMORY_OFFSET, sizeBytes: MEMORY_BYTES }],
      vcpuId: 0,
      kick: new Int32Array(new SharedArrayBuffer(4)),
    });
    if (!this.vcpu.reset(kernelState())) throw new Error('The engine refuses 64-bit mode.');
    for (const page of this.image.codePages) this.image.bytes.fill(this.filler, page, page + PAGE);
  }

  load(vector: SiliconVector): void {
    if (this.vector !== undefined) this.writeCode(this.vector, true);
    this.vector = vector;
    this.writeCode(vector, false);
    this.fillArena(vector);
    this.writeBlock(vector);
  }

  run(): SiliconResult {
    const vector = this.vector;
    if (vector === undefined) throw new Error('There is no vector to run.');
    if (this.options.end === 'halt') return this.runFreely(vector);
    for (let steps = 1; ; steps++) {
      this.runToHalt();
      const { view } = this.image;
      const stepped = view.getUint32(Physical.block + Block.vector, true) === DEBUG_EXCEPTION;
      const rip = view.getBigUint64(Physical.block + Block.rip, true);
      if (!stepped || rip !== vector.rip || steps >= vector.steps) return this.readResult(steps);
    }
  }

  /** Runs a vector without the trap flag. */
  private runFreely(vector: SiliconVector): SiliconResult {
    for (let times = 1; ; times++) {
      this.runToHalt();
      if (times === this.options.times) break;
      this.fillArena(vector);
      this.writeBlock(vector);
    }
    const result = this.readResult(1);
    const hasEnded = result.trap === GENERAL_PROTECTION && result.rip !== vector.rip;
    const trap = hasEnded ? DEBUG_EXCEPTION : result.trap;
    return { ...result, trap, rflags: result.rflags | TF };
  }

  /** Frees the engine's vCPU. */
  close(): void {
    this.vcpu.close();
  }

  private runToHalt(): void {
    for (let slice = 0; slice < SLICES_MAX; slice++) {
      const reason = this.vcpu.run();
      if (reason === EngineExitReason.hlt) return;
      if (reason !== EngineExitReason.none) {
        throw new Error(`The engine left the vector for reason ${reason}. ${this.vcpu.exit.error}`);
      }
    }
    throw new Error('The vector does not end.');
  }

  /** Writes the vector's code over the filler, or the filler over its code again. */
  private writeCode(vector: SiliconVector, clear: boolean): void {
    const start = Number(vector.mode === 16 ? vector.rip : vector.rip - CODE_REGION.address);
    vector.code.forEach((byte, index) => {
      const offset = start + index;
      if (offset >= CODE_REGION.length) return;
      const physical = this.image.codePages[Math.floor(offset / PAGE)] + (offset % PAGE);
      this.image.bytes[physical] = clear ? this.filler : byte;
    });
    for (const page of this.image.codePages) this.vcpu.invalidate(page, PAGE);
  }

  private fillArena(vector: SiliconVector): void {
    const { before, beforeWords, image } = this;
    for (let index = 0; index < beforeWords.length; index++) {
      beforeWords[index] = noise(vector.seed, index);
    }
    for (const patch of vector.patches) before.set(patch.bytes, patch.offset);
    image.dataPages.forEach((page, index) => {
      image.bytes.set(before.subarray(index * PAGE, (index + 1) * PAGE), page);
    });
  }

  private writeBlock(vector: SiliconVector): void {
    const { bytes, view } = this.image;
    const at = Physical.block;
    const { ds, es, fs, gs, ss } = vector.selectors;
    const { code16, code32, code64 } = Selector;
    bytes.set(vector.fx.subarray(0, Fx.end), at + Block.fx);
    view.setBigUint64(at + Block.xstate, XCR0, true);
    bytes.set(vector.ymm, at + Block.ymm);
    BLOCK_ORDER.forEach((register, index) => {
      view.setBigUint64(at + Block.gpr + index * 8, vector.gpr[register], true);
    });
    view.setBigUint64(at + Block.rip, vector.rip, true);
    const trap = this.options.end === 'trap' ? TF : 0;
    const cs = vector.mode === 64 ? code64 : vector.mode === 32 ? code32 : code16;
    view.setBigUint64(at + Block.cs, BigInt(cs), true);
    view.setBigUint64(at + Block.rflags, BigInt(vector.rflags | trap), true);
    view.setBigUint64(at + Block.rsp, vector.gpr[RSP], true);
    view.setBigUint64(at + Block.ss, BigInt(ss), true);
    [ds, es, fs, gs].forEach((selector, index) => {
      view.setUint16(at + Block.selectors + index * 2, selector, true);
    });
    view.setBigUint64(at + Block.fsBase, vector.fsBase, true);
    view.setBigUint64(at + Block.gsBase, vector.gsBase, true);
  }

  private readResult(steps: number): SiliconResult {
    const { bytes, view } = this.image;
    const at = Physical.block;
    const wide = (offset: number): bigint => view.getBigUint64(at + offset, true);
    const selector = (index: number): number =>
      view.getUint16(at + Block.selectors + index * 2, true);
    const gpr = new BigUint64Array(16);
    BLOCK_ORDER.forEach((register, index) => {
      gpr[register] = wide(Block.gpr + index * 8);
    });
    gpr[RSP] = wide(Block.rsp);
    return {
      trap: Number(wide(Block.vector)),
      errorCode: Number(wide(Block.errorCode)),
      steps,
      rip: wide(Block.rip),
      rflags: Number(wide(Block.rflags)),
      gpr,
      fsBase: wide(Block.fsBase),
      gsBase: wide(Block.gsBase),
      selectors: {
        ds: selector(0),
        es: selector(1),
        fs: selector(2),
        gs: selector(3),
        ss: Number(wide(Block.ss)),
      },
      cs: Number(wide(Block.cs)),
      cr2: wide(Block.cr2),
      fx: bytes.slice(at + Block.fx, at + Block.fx + 512),
      ymm: bytes.slice(at + Block.ymm, at + Block.ymm + 256),
      changes: this.readChanges(),
    };
  }

  private readChanges(): Piece[] {
    const changes: Piece[] = [];
    const { image, before } = this;
    image.dataPages.forEach((page, index) => {
      for (let offset = 0; offset < PAGE; offset++) {
        const arena = index * PAGE + offset;
        if (image.bytes[page + offset] !== before[arena]) {
          changes.push({
            offset: arena,
            bytes: image.bytes.slice(page + offset, page + offset + 1),
          });
        }
      }
    });
    return changes;
  }
}

/** The kernel's state before its first vector: about to load one. */
function kernelState(): VcpuRegState {
  const state = powerOnState(0);
  const { vrs_gprs, vrs_crs, vrs_msrs, vrs_sregs } = state;
  vrs_gprs[VCPU_REGS.RIP] = KERNEL_ENTRY;
  vrs_crs[VCPU_CRS.CR0] = CR0;
  vrs_crs[VCPU_CRS.CR3] = BigInt(Physical.pml4);
  vrs_crs[VCPU_CRS.CR4] = CR4;
  vrs_crs[VCPU_CRS.XCR0] = XCR0;
  vrs_msrs[VCPU_MSRS.EFER] = EFER;
  const segment = (sel: number, base: number, limit: number, ar: number): VcpuSegmentInfo => ({
    vsi_sel: sel,
    vsi_limit: limit,
    vsi_ar: ar,
    vsi_base: base === 0 ? 0n : KERNEL_BASE + BigInt(base),
  });
  vrs_sregs[VCPU_SREGS.CS] = segment(KERNEL_CS, 0, 0xffff_ffff, 0xa09b);
  for (const index of [VCPU_SREGS.DS, VCPU_SREGS.ES, VCPU_SREGS.FS, VCPU_SREGS.GS, VCPU_SREGS.SS]) {
    vrs_sregs[index] = segment(KERNEL_DS, 0, 0xffff_ffff, 0xc093);
  }
  vrs_sregs[VCPU_SREGS.TR] = segment(TSS_SELECTOR, Physical.tss, TSS_LIMIT, 0x8b);
  vrs_sregs[VCPU_SREGS.LDTR] = segment(LDT_SELECTOR, Physical.ldt, LDT_LIMIT, 0x82);
  state.vrs_gdtr = segment(0, Physical.gdt, GDT_LIMIT, 0);
  state.vrs_idtr = segment(0, Physical.idt, IDT_LIMIT, 0);
  return state;
}
