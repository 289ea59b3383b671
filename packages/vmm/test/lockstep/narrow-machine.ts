// A vCPU of the soft engine that runs a lockstep program of 16- or 32-bit code, and writes down
// what can be seen of it, as LockstepMachine does with 64-bit code. Handlers of exceptions halt;
// what they return to is changed here, in their frames.

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
  VM_RWREGS_SREGS,
} from '../../src/vmm/registers.ts';
import type { SoftVcpu } from '../../src/vmm/soft-engine.ts';
import { initialState } from '../guest-program.ts';
import { Random } from '../silicon/random.ts';
import type { Contender } from './compare.ts';
import { EndlessProgram, type LockstepEvent, type LockstepRun } from './machine.ts';
import * as at from './narrow-layout.ts';
import { decodeNarrow, type NarrowProgram } from './narrow-program.ts';

const MEMORY_OFFSET = 0x10000;
const WASM_PAGE_BYTES = 65536;
const ROOM_PAGES = 1024;
const PTE = { present: 1, writable: 2, user: 4, used: 0x60 } as const;
const FAULTS_MAX = 30;
const RUNS_MAX = 8000;
const REWRITES_MAX = 30_000;
/** INC and IRETD. */
const INTERRUPT_INSTRUCTIONS = 2;
const HAS_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);
const PAGE_FAULT = 14;
const TF = 0x100;
/** CS of 32-bit code has all of it below 4 GiB; a granular limit ends with its page. */
const GRANULAR = 0x8000;
const PAGE = 4096;

const GPRS: readonly number[] = [
  VCPU_REGS.RAX,
  VCPU_REGS.RCX,
  VCPU_REGS.RDX,
  VCPU_REGS.RBX,
  VCPU_REGS.RBP,
  VCPU_REGS.RSI,
  VCPU_REGS.RDI,
];

const dword = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** fxsave ss:[REPORT]; hlt; (add esp, 4;) iretd */
const handlerCode = (vector: number): number[] => [
  ...[0x36, 0x0f, 0xae, 0x05, ...dword(at.REPORT), 0xf4],
  ...(HAS_CODE.has(vector) ? [0x83, 0xc4, 4] : []),
  0xcf,
];
const HALT_BYTES = 9;

/** inc dword ptr ss:[INTERRUPT_COUNT]; iretd */
const interruptCode = [0x36, 0xff, 0x05, ...dword(at.INTERRUPT_COUNT), 0xcf];

/** Runs one program on a vCPU of its own. */
export class NarrowMachine {
  private readonly program: NarrowProgram;
  private readonly passes: number;
  private readonly heatLimit: number | undefined;
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
  private done = 0;
  private faults = 0;

  constructor({ engine, heatLimit }: Contender, program: NarrowProgram, passes: number) {
    this.program = program;
    this.passes = passes;
    this.heatLimit = heatLimit;
    this.random = new Random(program.options.seed ^ 0x5eed);
    const initial = (MEMORY_OFFSET + at.MEMORY_BYTES) / WASM_PAGE_BYTES;
    this.memory = new WebAssembly.Memory({ initial, maximum: initial + ROOM_PAGES, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer, MEMORY_OFFSET, at.MEMORY_BYTES);
    this.view = new DataView(this.memory.buffer, MEMORY_OFFSET, at.MEMORY_BYTES);
    this.vcpu = engine.createVcpu({
      memory: this.memory,
      ranges: [{ gpa: 0, offset: MEMORY_OFFSET, sizeBytes: at.MEMORY_BYTES }],
      vcpuId: 0,
      kick: new Int32Array(new SharedArrayBuffer(4)),
    });
    this.stateBase = this.memory.buffer.byteLength;
    this.fill();
    if (!this.vcpu.reset(this.start())) throw new Error('The engine refuses the start.');
  }

  /** Runs all passes. */
  run(): LockstepRun {
    const { vcpu, bytes, events } = this;
    for (let runs = 0; this.done < this.passes; runs++) {
      const reason = vcpu.run();
      if (runs === RUNS_MAX || vcpu.statistics.codeInvalidations > REWRITES_MAX) {
        throw new EndlessProgram(this.program.options.seed);
      }
      if (runs === 0 && this.heatLimit !== undefined) {
        const words = new Int32Array(this.memory.buffer, this.stateBase, HEAT_ENTRIES);
        words[S.heatLimit >>> 2] = this.heatLimit;
      }
      if (reason === EngineExitReason.none) this.interrupt();
      else if (reason === EngineExitReason.io) this.pass();
      else if (reason === EngineExitReason.hlt) this.fault();
      else throw new Error(`program ${this.program.options.seed} left for reason ${reason}`);
    }
    const memory = bytes.slice();
    memory.fill(0, at.EVENT_STACK, at.EVENT_STACK_TOP);
    memory.fill(0, at.INTERRUPT_COUNT, at.INTERRUPT_COUNT + 4);
    const { statistics } = vcpu;
    vcpu.close();
    const { interrupts, blocks } = this;
    return { events, memory, interrupts, blocks, statistics };
  }

  // Construction.

  private fill(): void {
    const { view, bytes, program, random } = this;
    this.descriptors();
    view.setUint32(at.TSS + 4, at.EVENT_STACK_TOP, true);
    view.setUint16(at.TSS + 8, at.SELECTOR.kernelData, true);
    view.setUint32(at.PAGE_DIRECTORY, at.PAGE_TABLE | 7, true);
    this.pages();
    for (let vector = 0; vector < 32; vector++) this.handler(vector, handlerCode(vector));
    this.handler(at.INTERRUPT, interruptCode);
    bytes.set(program.code, at.CODE);
    for (let i = at.STACK; i < at.READ_ONLY + PAGE; i += 4) view.setUint32(i, random.next(), true);
    view.setUint32(at.MXCSR, 0x1f80, true);
  }

  private descriptors(): void {
    const { program } = this;
    const flat = { base: 0, limit: 0xffff_ffff };
    const all: at.NarrowSegment[] = [
      { ...flat, rights: 0x409b },
      { ...flat, rights: 0x4093 },
      { base: at.TSS, limit: 0x67, rights: 0x8b },
      { ...flat, rights: 0x40f3 },
      program.codeSegment,
      ...at.DATA_SEGMENTS,
      ...at.STACK_SEGMENTS,
    ];
    for (const [i, segment] of all.entries()) this.descriptor(at.GDT + 8 * (i + 1), segment);
  }

  private descriptor(address: number, { base, limit, rights }: at.NarrowSegment): void {
    const isGranular = limit > 0xfffff;
    const units = isGranular ? limit >>> 12 : limit;
    const bits = isGranular ? rights | GRANULAR : rights;
    this.view.setUint16(address, units & 0xffff, true);
    this.view.setUint16(address + 2, base & 0xffff, true);
    this.view.setUint8(address + 4, base >>> 16);
    this.view.setUint8(address + 5, bits & 0xff);
    this.view.setUint8(address + 6, (units >>> 16) | ((bits >>> 8) & 0xf0));
    this.view.setUint8(address + 7, base >>> 24);
  }

  private pages(): void {
    const user = PTE.present | PTE.writable | PTE.user;
    const system = PTE.present | PTE.writable | PTE.used;
    for (const page of [at.GDT, at.IDT, at.TSS, at.EVENT_STACK, at.INTERRUPT_COUNT]) {
      this.map(page, system);
    }
    this.map(at.REPORT, user | PTE.used);
    this.map(at.HANDLERS, system);
    for (let page = at.CODE; page < at.CODE_END; page += PAGE) this.map(page, user);
    for (const page of [at.STACK, at.STACK + PAGE, at.DATA, at.DATA + PAGE]) this.map(page, user);
    this.map(at.READ_ONLY, PTE.present | PTE.user);
  }

  private map(linear: number, flags: number): void {
    const entry = at.PAGE_TABLE + (linear / PAGE) * 4;
    this.view.setUint32(entry, flags === 0 ? 0 : linear | flags, true);
  }

  private handler(vector: number, code: readonly number[]): void {
    const address = at.HANDLERS + vector * at.HANDLER_BYTES;
    this.bytes.set(code, address);
    const gate = at.IDT + vector * 8;
    this.view.setUint16(gate, address & 0xffff, true);
    this.view.setUint16(gate + 2, at.SELECTOR.kernelCode, true);
    this.view.setUint16(gate + 4, 0x8e00, true);
    this.view.setUint16(gate + 6, address >> 16, true);
  }

  private start(): VcpuRegState {
    const state = initialState(32);
    const { program } = this;
    const { vrs_gprs, vrs_crs, vrs_sregs } = state;
    this.randomise(vrs_gprs);
    vrs_gprs[VCPU_REGS.RIP] = BigInt(program.entry);
    vrs_gprs[VCPU_REGS.RFLAGS] = 0x3202n; // IOPL 3, IF
    vrs_crs[VCPU_CRS.CR0] = 0x8001_0031n; // PG WP NE ET PE
    vrs_crs[VCPU_CRS.CR3] = BigInt(at.PAGE_DIRECTORY);
    vrs_crs[VCPU_CRS.CR4] = 0x600n; // OSXMMEXCPT OSFXSR
    const load = (index: number, selector: number, from: at.NarrowSegment): void => {
      const { base, limit, rights } = from;
      const vsi_ar = limit > 0xfffff ? rights | GRANULAR : rights;
      vrs_sregs[index] = { vsi_sel: selector, vsi_limit: limit, vsi_ar, vsi_base: BigInt(base) };
    };
    const flat = { base: 0, limit: 0xffff_ffff, rights: 0x40f3 };
    for (const index of [VCPU_SREGS.DS, VCPU_SREGS.ES, VCPU_SREGS.FS, VCPU_SREGS.GS]) {
      load(index, at.SELECTOR.flat, flat);
    }
    load(VCPU_SREGS.CS, at.SELECTOR.code, program.codeSegment);
    const { stackNumber } = program;
    load(VCPU_SREGS.SS, at.SELECTOR.stack + 8 * stackNumber, at.STACK_SEGMENTS[stackNumber]);
    load(VCPU_SREGS.TR, at.SELECTOR.task, { base: at.TSS, limit: 0x67, rights: 0x8b });
    state.vrs_gdtr.vsi_limit = 8 * (6 + at.DATA_SEGMENTS.length + at.STACK_SEGMENTS.length) - 1;
    return state;
  }

  private randomise(gprs: BigUint64Array): void {
    for (const n of GPRS) {
      const value = this.random.bits(this.random.pick([32, 32, 16, 8, 4, 1]));
      gprs[n] = BigInt.asUintN(32, this.random.percent(20) ? -value : value);
    }
  }

  // Events.

  private interrupt(): void {
    if (!this.vcpu.interruptReady()) return;
    this.vcpu.injectInterrupt(at.INTERRUPT);
    this.interrupts++;
  }

  private record(what: string, rip: number, flags: bigint, esp: bigint): void {
    const { vrs_gprs, vrs_sregs } = this.registers;
    const selectors = [VCPU_SREGS.DS, VCPU_SREGS.ES].map((n) => BigInt(vrs_sregs[n].vsi_sel));
    const values = [...GPRS.map((n) => vrs_gprs[n]), flags, esp, ...selectors];
    this.events.push({
      what,
      rip,
      instructions: this.vcpu.statistics.instructions - INTERRUPT_INSTRUCTIONS * this.interrupts,
      registers: values.map((value) => value.toString(16)),
      vectors: createHash('sha1')
        .update(this.bytes.slice(at.REPORT, at.REPORT + 512))
        .digest('hex'),
    });
  }

  private pass(): void {
    const { vcpu, registers, view } = this;
    vcpu.readRegs(registers, VM_RWREGS_GPRS | VM_RWREGS_SREGS);
    const { vrs_gprs } = registers;
    const [rip, flags] = [vrs_gprs[VCPU_REGS.RIP], vrs_gprs[VCPU_REGS.RFLAGS]];
    this.record('pass', Number(rip), flags, vrs_gprs[VCPU_REGS.RSP]);
    const left = view.getInt32(at.FUEL, true);
    this.blocks += Math.max(0, this.program.options.fuel - left) + 1;
    this.done++;
    this.faults = 0;
    if (this.done % 4 !== 0) return;
    this.map(at.DEMAND, 0);
    this.randomise(vrs_gprs);
    vcpu.writeRegs(registers, VM_RWREGS_GPRS);
  }

  /** A fault: what it needs is mapped, or the instruction is skipped, or the pass ends. */
  private fault(): void {
    const { vcpu, registers, view, program } = this;
    vcpu.readRegs(registers, VM_RWREGS_GPRS | VM_RWREGS_SREGS | VM_RWREGS_CRS);
    const handler = Number(registers.vrs_gprs[VCPU_REGS.RIP]) - HALT_BYTES - at.HANDLERS;
    const vector = Math.floor(handler / at.HANDLER_BYTES);
    const frame = at.EVENT_STACK_TOP - 20;
    const rip = view.getUint32(frame, true);
    const flags = view.getUint32(frame + 8, true);
    const esp = view.getUint32(frame + 12, true);
    const code = HAS_CODE.has(vector) ? view.getUint32(frame - 4, true) : 0;
    const cr2 = registers.vrs_crs[VCPU_CRS.CR2];
    this.record(`#${vector}(${code}) ${cr2.toString(16)}`, rip, BigInt(flags), BigInt(esp));
    this.faults++;
    const isDemand = vector === PAGE_FAULT && Number(cr2) >> 12 === at.DEMAND >> 12;
    let next = rip;
    if (isDemand && this.faults % 2 === 1 && (code & 1) === 0) {
      this.map(at.DEMAND, PTE.present | PTE.writable | PTE.user);
    } else {
      next = this.behind(rip);
    }
    view.setUint32(frame, this.faults > FAULTS_MAX ? program.exit : next, true);
    view.setUint32(frame + 8, flags & ~TF, true);
  }

  /** The instruction behind that at `rip`, or the end of the pass. */
  private behind(rip: number): number {
    const { program, bytes } = this;
    const linear = (rip + program.codeSegment.base) >>> 0;
    if (linear < at.CODE || linear >= at.CODE_END) return program.exit;
    const code = bytes.subarray(at.CODE, at.CODE_END);
    const instruction = decodeNarrow(code, linear - at.CODE, program.mode);
    if (!instruction || instruction.row.endsBlock) return program.exit;
    return rip + instruction.length;
  }
}
