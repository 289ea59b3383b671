// A vCPU of the soft engine that runs a lockstep program and writes down what can be seen of it:
// the registers and the count of instructions at every end of a pass and at every fault.

import { createHash } from 'node:crypto';
import { HEAT_ENTRIES, S } from '../../src/cpu/state.ts';
import { EngineExitReason } from '../../src/vmm/engine.ts';
import {
  emptyRegState,
  VCPU_CRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  VM_RWREGS_CRS,
  VM_RWREGS_GPRS,
} from '../../src/vmm/registers.ts';
import type { SoftEngine, SoftStatistics, SoftVcpu } from '../../src/vmm/soft-engine.ts';
import { assemble, initialState } from '../guest-program.ts';
import { Random } from '../silicon/random.ts';
import * as at from './layout.ts';
import { decodeAt, type Program } from './program.ts';

/** What is seen of a program at one moment. */
export interface LockstepEvent {
  /** `pass`, or the exception with its error code and CR2. */
  readonly what: string;
  readonly rip: number;
  /** Instructions since the start, without those of interrupt handlers. */
  readonly instructions: number;
  /** RAX to R15 by number, and RFLAGS, in hexadecimal. */
  readonly registers: readonly string[];
  /** Digest of the FXSAVE image, x87, MXCSR and XMM, and of the upper halves of YMM. */
  readonly vectors: string;
}

/** What a run left behind. */
export interface LockstepRun {
  readonly events: readonly LockstepEvent[];
  readonly memory: Uint8Array;
  readonly interrupts: number;
  /** Jumps that were paid for, and passes: not less than so many blocks were executed. */
  readonly blocks: number;
  readonly statistics: SoftStatistics;
}

/** How a program is run. */
export interface LockstepOptions {
  readonly passes: number;
  /** Entries after which a block is compiled; that of the engine's mode unless given. */
  readonly heatLimit?: number;
  /** Where guest memory lies in WebAssembly's, a multiple of 64 KiB; 64 KiB unless given. */
  readonly memoryOffset?: number;
}

const MEMORY_OFFSET = 0x10000;
const WASM_PAGE_BYTES = 65536;
/** WebAssembly pages for what the engine needs behind guest memory. */
const ROOM_PAGES = 1024;
const PTE = { present: 1n, writable: 2n, user: 4n, used: 0x60n, noExecute: 1n << 63n };
/** SMAP, OSXSAVE, FSGSBASE, OSXMMEXCPT, OSFXSR, PAE; and without OSFXSR. */
const CR4 = 0x25_0620n;
const CR4_WITHOUT_SSE = 0x25_0420n;
/** x87, SSE and AVX; and without AVX. */
const XCR0 = 7n;
const XCR0_WITHOUT_AVX = 3n;
const TF = 0x100n;
const DEBUG_EXCEPTION = 1;
const INTERRUPT_INSTRUCTIONS = 2;
/** More faults than these end the pass. */
const FAULTS_MAX = 30;
const RUNS_MAX = 8000;
/** So often a program that ends does not write over its code. */
const REWRITES_MAX = 30_000;
const REGISTER_COUNT = 16;

/** Vectors whose frame has an error code. */
const HAS_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);
const PAGE_FAULT = 14;

const handlerCode = assemble(`clts\nfxsave64 [${at.REPORT}]\nhlt`, 64);
const interruptCode = assemble(`inc qword ptr [${at.INTERRUPT_COUNT}]\niretq`, 64);

/** A program that runs for longer than any should. */
export class EndlessProgram extends Error {
  constructor(seed: number) {
    super(`program ${seed} does not end`);
  }
}

/** Runs one program on a vCPU of its own. */
export class LockstepMachine {
  private readonly program: Program;
  private readonly options: LockstepOptions;
  private readonly vcpu: SoftVcpu;
  private readonly memory: WebAssembly.Memory;
  private readonly stateBase: number;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly registers: VcpuRegState = emptyRegState();
  private readonly random: Random;
  private readonly events: LockstepEvent[] = [];
  private interrupts = 0;
  private blocks = 0;
  private passes = 0;
  private faults = 0;

  constructor(engine: SoftEngine, program: Program, options: LockstepOptions) {
    this.program = program;
    this.options = options;
    this.random = new Random(program.options.seed ^ 0x5eed);
    const { memoryOffset: offset = MEMORY_OFFSET } = options;
    const initial = (offset + at.MEMORY_BYTES) / WASM_PAGE_BYTES;
    const maximum = initial + ROOM_PAGES;
    this.memory = new WebAssembly.Memory({ initial, maximum, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer, offset, at.MEMORY_BYTES);
    this.view = new DataView(this.memory.buffer, offset, at.MEMORY_BYTES);
    this.vcpu = engine.createVcpu({
      memory: this.memory,
      ranges: [{ gpa: 0, offset, sizeBytes: at.MEMORY_BYTES }],
      vcpuId: 0,
      kick: new Int32Array(new SharedArrayBuffer(4)),
    });
    // The first thing a vCPU takes of the memory is its state.
    this.stateBase = this.memory.buffer.byteLength;
    this.fill();
    if (!this.vcpu.reset(this.start())) throw new Error('The engine refuses 64-bit mode.');
  }

  /** Runs all passes. */
  run(): LockstepRun {
    const { vcpu, bytes, events } = this;
    for (let runs = 0; this.passes < this.options.passes; runs++) {
      const reason = vcpu.run();
      const rewrites = vcpu.statistics.codeInvalidations;
      if (runs === RUNS_MAX || rewrites > REWRITES_MAX) {
        throw new EndlessProgram(this.program.options.seed);
      }
      if (runs === 0) this.setHeatLimit();
      if (reason === EngineExitReason.none) this.interrupt();
      else if (reason === EngineExitReason.io) this.pass();
      else if (reason === EngineExitReason.hlt) this.fault();
      else throw new Error(`program ${this.program.options.seed} left for reason ${reason}`);
    }
    const memory = bytes.slice();
    memory.fill(0, at.EVENT_STACK, at.EVENT_STACK_TOP);
    memory.fill(0, at.INTERRUPT_COUNT, at.INTERRUPT_COUNT + 8);
    const { statistics } = vcpu;
    vcpu.close();
    const { interrupts, blocks } = this;
    return { events, memory, interrupts, blocks, statistics };
  }

  // Construction.

  private fill(): void {
    const { view, bytes, program, random } = this;
    view.setBigUint64(at.GDT + 8, 0x00af9b000000ffffn, true);
    view.setBigUint64(at.GDT + 16, 0x00cf93000000ffffn, true);
    view.setUint32(at.TSS + 36, at.EVENT_STACK_TOP, true); // IST1
    this.pageTables();
    for (let vector = 0; vector < 32; vector++) this.handler(vector, handlerCode);
    this.handler(at.INTERRUPT, interruptCode);
    bytes.set(program.code, at.CODE);
    if (program.options.extras) this.copy();
    for (let i = at.DATA; i < at.READ_ONLY + at.PAGE; i += 4)
      view.setUint32(i, random.next(), true);
    view.setUint32(at.MXCSR, 0x1f80, true);
  }

  /** The copies of the program's pages, each immediate with another value. */
  private copy(): void {
    const { program, view, bytes, random } = this;
    bytes.set(program.code, at.COPY);
    for (const address of program.immediates) {
      view.setUint32(address - at.CODE + at.COPY, random.next(), true);
    }
  }

  private pageTables(): void {
    const { view } = this;
    for (let level = 0; level < 3; level++) {
      const table = at.PAGE_TABLES + level * at.PAGE;
      // The directory has the one table in all of its entries.
      for (let i = 0; i < (level === 2 ? 512 : 1); i++) {
        view.setBigUint64(table + 8 * i, BigInt(table + at.PAGE) | 7n, true);
      }
    }
    const data = PTE.present | PTE.writable | PTE.noExecute;
    const code = PTE.present | PTE.writable;
    for (const page of [at.GDT, at.IDT, at.TSS, at.EVENT_STACK, at.REPORT, at.INTERRUPT_COUNT]) {
      this.map(page, page, data);
    }
    for (const page of [at.STACK, at.STACK + at.PAGE, at.DATA, at.DATA + at.PAGE]) {
      this.map(page, page, data);
    }
    for (let page = at.CODE; page < at.CODE_END; page += at.PAGE) this.map(page, page, code);
    for (let page = at.BIG; page < at.BIG + at.BIG_BYTES; page += at.PAGE) {
      this.map(page, page, data);
    }
    this.map(at.FX_AREA, at.FX_AREA, data);
    this.map(at.TABLE_WINDOW, at.PAGE_TABLES + 3 * at.PAGE, data);
    this.map(at.USER, at.USER, data | PTE.user);
    this.map(at.HANDLERS, at.HANDLERS, PTE.present);
    this.map(at.READ_ONLY, at.READ_ONLY, PTE.present | PTE.noExecute);
    this.map(at.ALIAS, at.ALIASED, data);
  }

  private map(linear: number, physical: number, flags: bigint): void {
    const entry = at.PAGE_TABLES + 3 * at.PAGE + (linear / at.PAGE) * 8;
    // Interrupts, which come elsewhere on other engines, are not to leave a trace here.
    const isShared = at.SHARED_WITH_INTERRUPTS.includes(linear);
    const all = isShared ? flags | PTE.used : flags;
    this.view.setBigUint64(entry, flags === 0n ? 0n : BigInt(physical) | all, true);
  }

  private handler(vector: number, code: Uint8Array): void {
    const address = at.HANDLERS + vector * at.HANDLER_BYTES;
    this.bytes.set(code, address);
    const gate = at.IDT + vector * 16;
    this.view.setUint16(gate, address & 0xffff, true);
    this.view.setUint16(gate + 2, 8, true);
    this.view.setUint16(gate + 4, 0x8e01, true); // present interrupt gate, IST1
    this.view.setUint16(gate + 6, address >> 16, true);
  }

  private start(): VcpuRegState {
    const state = initialState(64);
    const { vrs_gprs, vrs_crs, vrs_sregs } = state;
    this.randomise(vrs_gprs);
    vrs_gprs[VCPU_REGS.RIP] = BigInt(this.program.entry);
    vrs_gprs[VCPU_REGS.RFLAGS] = 0x202n;
    vrs_crs[VCPU_CRS.CR0] = 0x80010031n; // PG WP NE ET PE
    vrs_crs[VCPU_CRS.CR4] = CR4;
    vrs_crs[VCPU_CRS.XCR0] = XCR0;
    vrs_sregs[VCPU_SREGS.FS].vsi_base = BigInt(at.FS_BASE);
    const task = { vsi_sel: 0x18, vsi_limit: 0x67, vsi_ar: 0x8b, vsi_base: BigInt(at.TSS) };
    vrs_sregs[VCPU_SREGS.TR] = task;
    return state;
  }

  private randomise(gprs: BigUint64Array): void {
    for (let n = 0; n < REGISTER_COUNT; n++) {
      const bits = this.random.pick([64, 64, 32, 8, 4, 1]);
      const value = this.random.bits(bits);
      gprs[n] = this.random.percent(20) ? BigInt.asUintN(64, -value) : value;
    }
  }

  private setHeatLimit(): void {
    const { heatLimit } = this.options;
    if (heatLimit === undefined) return;
    const words = new Int32Array(this.memory.buffer, this.stateBase, HEAT_ENTRIES);
    words[S.heatLimit >>> 2] = heatLimit;
  }

  // Events.

  private interrupt(): void {
    if (!this.vcpu.interruptReady()) return;
    this.vcpu.injectInterrupt(at.INTERRUPT);
    this.interrupts++;
  }

  private record(what: string, rip: number): void {
    const { vrs_gprs } = this.registers;
    const names = [...VCPU_ORDER, VCPU_REGS.RFLAGS];
    this.events.push({
      what,
      rip,
      instructions: this.vcpu.statistics.instructions - INTERRUPT_INSTRUCTIONS * this.interrupts,
      registers: names.map((n) => vrs_gprs[n].toString(16)),
      vectors: createHash('sha1')
        .update(this.bytes.slice(at.REPORT, at.REPORT + 512))
        .update(new Uint8Array(this.memory.buffer, this.stateBase + S.ymmHigh, 256).slice())
        .digest('hex'),
    });
  }

  /** The end of a pass: every few of them start with other registers. */
  private pass(): void {
    const { vcpu, registers } = this;
    vcpu.readRegs(registers, VM_RWREGS_GPRS);
    this.record('pass', Number(registers.vrs_gprs[VCPU_REGS.RIP]));
    const left = Number(BigInt.asIntN(32, registers.vrs_gprs[VCPU_REGS.R15]));
    this.blocks += Math.max(0, this.program.options.fuel - left) + 1;
    this.passes++;
    this.faults = 0;
    if (this.program.options.extras) this.writeFromOutside();
    if (this.passes % 4 !== 0) return;
    this.map(at.DEMAND, at.DEMAND, 0n);
    // Now and then no pass may use SSE, or AVX.
    vcpu.readRegs(registers, VM_RWREGS_CRS);
    registers.vrs_crs[VCPU_CRS.CR4] = this.passes % 12 === 8 ? CR4_WITHOUT_SSE : CR4;
    registers.vrs_crs[VCPU_CRS.XCR0] = this.passes % 20 === 8 ? XCR0_WITHOUT_AVX : XCR0;
    const rip = registers.vrs_gprs[VCPU_REGS.RIP];
    this.randomise(registers.vrs_gprs);
    registers.vrs_gprs[VCPU_REGS.RIP] = rip;
    vcpu.writeRegs(registers, VM_RWREGS_GPRS | VM_RWREGS_CRS);
  }

  /** As a device would: into the code, which is then said to have changed. */
  private writeFromOutside(): void {
    const { random, vcpu, view } = this;
    const { immediates } = this.program;
    if (immediates.length === 0 || random.percent(50)) return;
    const inCopy = random.percent(30) ? at.COPY - at.CODE : 0;
    const address = random.pick(immediates) + inCopy;
    view.setUint32(address, random.next(), true);
    vcpu.invalidate(address, 4);
  }

  /** A fault: what it needs is mapped, or the instruction is skipped, or the pass ends. */
  private fault(): void {
    const { vcpu, registers, view, program } = this;
    vcpu.readRegs(registers, VM_RWREGS_GPRS | VM_RWREGS_CRS);
    const { vrs_gprs, vrs_crs } = registers;
    const handler = Number(vrs_gprs[VCPU_REGS.RIP]) - at.HANDLERS;
    const vector = Math.floor(handler / at.HANDLER_BYTES);
    const frame = at.EVENT_STACK_TOP - 40;
    const rip = Number(view.getBigUint64(frame, true));
    const flags = view.getBigUint64(frame + 16, true);
    vrs_gprs[VCPU_REGS.RFLAGS] = vector === DEBUG_EXCEPTION ? flags & ~TF : flags;
    vrs_gprs[VCPU_REGS.RSP] = view.getBigUint64(frame + 24, true);
    const code = HAS_CODE.has(vector) ? view.getUint32(frame - 8, true) : 0;
    const cr2 = vrs_crs[VCPU_CRS.CR2];
    this.record(`#${vector}(${code}) ${cr2.toString(16)}`, rip);
    this.faults++;
    const isDemand = vector === PAGE_FAULT && Number(cr2) >> 12 === at.DEMAND >> 12;
    const mapped = PTE.present | PTE.writable | PTE.noExecute;
    let next = rip;
    if (isDemand && this.faults % 2 === 1 && (code & 1) === 0) {
      this.map(at.DEMAND, at.DEMAND, mapped);
    } else {
      next = this.behind(rip);
    }
    vrs_gprs[VCPU_REGS.RIP] = BigInt(this.faults > FAULTS_MAX ? program.exit : next);
    vcpu.writeRegs(registers, VM_RWREGS_GPRS);
  }

  /** The program's pages as they are mapped. */
  private code(): Uint8Array {
    const code = new Uint8Array(at.CODE_END - at.CODE);
    for (let linear = at.CODE; linear < at.CODE_END; linear += at.PAGE) {
      const entry = at.PAGE_TABLES + 3 * at.PAGE + (linear / at.PAGE) * 8;
      const physical = this.view.getUint32(entry, true) & -at.PAGE;
      code.set(this.bytes.subarray(physical, physical + at.PAGE), linear - at.CODE);
    }
    return code;
  }

  /** The instruction behind that at `rip`, or the end of the pass. */
  private behind(rip: number): number {
    const { program } = this;
    const address = rip % at.ALIAS_STRIDE;
    if (rip > 512 * at.ALIAS_STRIDE) return program.exit;
    if (address < at.CODE || address >= at.CODE_END) return program.exit;
    const instruction = decodeAt(this.code(), address - at.CODE);
    if (!instruction || instruction.row.endsBlock) return program.exit;
    return rip + instruction.length;
  }
}

/** The general registers by number, as VcpuRegState has them. */
const VCPU_ORDER: readonly number[] = [
  VCPU_REGS.RAX,
  VCPU_REGS.RCX,
  VCPU_REGS.RDX,
  VCPU_REGS.RBX,
  VCPU_REGS.RSP,
  VCPU_REGS.RBP,
  VCPU_REGS.RSI,
  VCPU_REGS.RDI,
  VCPU_REGS.R8,
  VCPU_REGS.R9,
  VCPU_REGS.R10,
  VCPU_REGS.R11,
  VCPU_REGS.R12,
  VCPU_REGS.R13,
  VCPU_REGS.R14,
  VCPU_REGS.R15,
];
