// The soft engine: vCPUs that run on the software processor of src/cpu. Works wherever JavaScript
// does.
//
// A vCPU's state, its map of guest memory and its decoded code lie in the VM's own address space,
// which grows by what they need when the vCPU is first reset. A vCPU that never runs costs nothing.

import type { Clock, Entropy } from '../base/clock.ts';
import { VmmError } from '../base/errors.ts';
import { refuse, type SavedValue } from '../base/saved-state.ts';
import type { CodeCache } from '../cpu/code-cache.ts';
import { CR4_OSXSAVE } from '../cpu/control-bits.ts';
import { DELIVERY } from '../cpu/events.ts';
import type { Jit, JitMode, JitStatistics } from '../cpu/jit/jit.ts';
import { RegionFactory, type RegionService } from '../cpu/jit/region-factory.ts';
import { LEAF_ENTRIES, PAGE, PhysicalMap, ROOT_ENTRIES } from '../cpu/physical-map.ts';
import { type ProcessorExports, type ProcessorHost, ProcessorModule } from '../cpu/processor.ts';
import { ProcessorFunctions } from '../cpu/processor-functions.ts';
import { buildImage, type ProcessorImage } from '../cpu/processor-image.ts';
import {
  EVENT,
  EXIT,
  EXIT_FETCH,
  EXIT_IMMEDIATE,
  EXIT_IN,
  EXIT_REP,
  EXIT_STRING,
  EXIT_WRITE,
  EXPECTED,
  S,
  SHADOW,
  STATE_BYTES,
  VECTOR,
} from '../cpu/state.ts';
import { Decoder } from '../isa/decoder.ts';
import { IF } from '../isa/flags.ts';
import { CPU_MODEL_DEFAULT, type CpuModel, modelFeatures, modelXcr0 } from './cpu-model.ts';
import { cpuid } from './cpuid.ts';
import {
  type Engine,
  type EngineExit,
  EngineExitReason,
  type EngineExitReasonValue,
  type EngineVcpu,
  type EngineVm,
  emptyEngineExit,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  type PvclockState,
} from './engine.ts';
import { type HotSpot, HotSpots } from './hot-spots.ts';
import {
  archCapabilitiesHigh,
  archCapabilitiesLow,
  MSR,
  readUnknownMsr,
  writeUnknownMsr,
} from './msr-policy.ts';
import {
  isPvclockValid,
  PVCLOCK_ENABLE,
  pvclockAddress,
  pvclockMultiplier,
  writePvclock,
} from './pvclock.ts';
import { emptyRegState, type VcpuRegState, VM_RWREGS_ALL } from './registers.ts';
import { loadRegisters, saveRegisters } from './soft-registers.ts';
import { loadProcessor, resetState, saveProcessor } from './soft-state.ts';
import { Stepper } from './soft-step.ts';
import { VCPU_STATE } from './vcpu-state.ts';

/** The rate of the time-stamp counter: it counts nanoseconds. */
export const TSC_HZ = 1e9;
/** Instructions in a slice: one to two milliseconds. */
export const SLICE_INSTRUCTIONS = 200_000;
/** Of the addresses at which slices ended, how many the statistics have. */
const HOTTEST_SHOWN = 10;
const WASM_PAGE_BYTES = 65536;
const PAGE_BYTES = 4096;

/** What a soft engine is made of. */
export interface SoftEngineOptions {
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Bytes for decoded code of each vCPU; 64 MiB unless given. */
  readonly codeBytes?: number;
  /** When guest code is compiled to WebAssembly; `off` unless given. */
  readonly jit?: JitMode;
  /** Which processor guests are shown; {@link CPU_MODEL_DEFAULT} unless given. */
  readonly model?: CpuModel;
  /**
   * Compiles in another thread; without it the vCPU's own thread does. See {@link regionFactory}.
   */
  readonly service?: RegionService;
  /** The processor, if it has been built before; see {@link buildProcessor}. */
  readonly image?: ProcessorImage;
}

/** Builds the processor of every soft engine: the same each time, to be kept. */
export const buildProcessor = (): ProcessorImage => buildImage(new ProcessorFunctions());

/** Statistics of one vCPU since its creation. */
export interface SoftStatistics {
  /** Instructions retired, exactly. */
  readonly instructions: number;
  /** Those of them that compiled code retired. */
  readonly compiled: number;
  readonly tlbMisses: number;
  readonly exceptions: number;
  /** Those exceptions by name: `#PF` and so on. */
  readonly faults: Readonly<Record<string, number>>;
  readonly decoded: number;
  readonly codeBytes: number;
  readonly codeFlushes: number;
  readonly codeInvalidations: number;
  readonly jit: JitStatistics | undefined;
  /** Full slices, and where the most of them ended. */
  readonly slices: number;
  readonly hottest: readonly HotSpot[];
}

/** An engine that needs nothing of its host but WebAssembly. */
export class SoftEngine implements Engine {
  readonly name = 'soft';
  readonly model: CpuModel;
  private readonly options: SoftEngineOptions;
  private processor: ProcessorModule | undefined;

  constructor(options: SoftEngineOptions) {
    this.options = options;
    this.model = options.model ?? CPU_MODEL_DEFAULT;
  }

  /** The processor's code, built when the first vCPU needs it. */
  get module(): ProcessorModule {
    this.processor ??= new ProcessorModule(modelFeatures(this.model), this.options.image);
    return this.processor;
  }

  /** Builds that code now, so that no guest has to wait for it: a third of a second. */
  build(): void {
    void this.module;
  }

  createVcpu(vm: EngineVm): SoftVcpu {
    return new SoftVcpu(vm, this, this.options);
  }
}

/** What the thread behind a {@link RegionService} compiles with. */
export const regionFactory = (
  memory: WebAssembly.Memory,
  model: CpuModel = CPU_MODEL_DEFAULT,
): RegionFactory =>
  new RegionFactory(new ProcessorFunctions(), new Decoder(modelFeatures(model)), memory);

/** A vCPU on the software processor. */
export class SoftVcpu implements EngineVcpu {
  readonly exit: EngineExit = emptyEngineExit();
  private readonly vm: EngineVm;
  private readonly engine: SoftEngine;
  private readonly clock: Clock;
  private readonly entropy: Entropy;
  private readonly codeBytes: number;
  private readonly randomWord = new Uint8Array(4);
  private base = 0;
  private words = new Int32Array(0);
  private view = new DataView(new ArrayBuffer(0));
  private map: PhysicalMap | undefined;
  private cache: CodeCache | undefined;
  private cpu: ProcessorExports | undefined;
  private retired = 0;
  private compiled = 0;
  private readonly hotSpots = new HotSpots();
  /** Registers or protections were changed from outside: derive everything anew before running. */
  private stale = true;
  /** Instructions retired before the MMIO access that is being answered. */
  private mmioAt = -1;
  private pending: { vector: number; kind: number; code: number | undefined } | undefined;
  private pvclockGpa = 0n;
  private pvclockVersion = 0;
  private stepper: Stepper | undefined;
  private jit: Jit | undefined;
  private readonly jitMode: JitMode;
  private readonly service: RegionService | undefined;

  constructor(vm: EngineVm, engine: SoftEngine, options: SoftEngineOptions) {
    this.vm = vm;
    this.engine = engine;
    this.clock = options.clock;
    this.entropy = options.entropy;
    this.codeBytes = options.codeBytes ?? 64 << 20;
    this.jitMode = options.jit ?? 'off';
    this.service = options.service;
  }

  /** Counters for `vmctl run -v` and benchmarks. */
  get statistics(): SoftStatistics {
    const { hotSpots } = this;
    return {
      instructions: this.retired,
      compiled: this.compiled,
      tlbMisses: this.get64(S.tlbMisses),
      exceptions: this.get64(S.exceptions),
      faults: this.faults(),
      decoded: this.cache?.decoded ?? 0,
      codeBytes: this.cache?.bytesUsed ?? 0,
      codeFlushes: this.cache?.flushes ?? 0,
      codeInvalidations: this.cache?.invalidations ?? 0,
      jit: this.jitMode === 'off' ? undefined : this.jit?.statistics,
      slices: hotSpots.slices,
      // Sorts thousands of addresses, for those few who ask for it.
      get hottest() {
        return hotSpots.hottest(HOTTEST_SHOWN);
      },
    };
  }

  private faults(): Record<string, number> {
    const counts: Record<string, number> = {};
    if (this.words.length === 0) return counts;
    for (const [name, vector] of Object.entries(VECTOR)) {
      const count = this.get32(S.exceptionCounts + 4 * vector);
      if (count !== 0) counts[`#${name}`] = count;
    }
    return counts;
  }

  // Construction.

  private grow(bytes: number): number {
    const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
    try {
      return this.vm.memory.grow(pages) * WASM_PAGE_BYTES;
    } catch (cause) {
      throw new VmmError('ENOMEM', `There is no room for ${bytes} bytes of a vCPU's state.`, {
        cause,
      });
    }
  }

  /** Takes memory for the registers, which is all a vCPU needs that does not run. */
  private prepare(): void {
    if (this.base !== 0) return;
    this.base = this.grow(STATE_BYTES);
    this.look();
  }

  private look(): void {
    const { buffer } = this.vm.memory;
    this.words = new Int32Array(buffer, this.base, STATE_BYTES / 4);
    this.view = new DataView(buffer);
  }

  /**
   * Takes memory for maps and decoded code, and instantiates the processor: before the first run.
   */
  private create(): ProcessorExports {
    this.prepare();
    const leaves = this.vm.ranges.reduce(
      (n, range) => n + range.sizeBytes / PAGE_BYTES / LEAF_ENTRIES + 2,
      0,
    );
    const maps = 2 * (ROOT_ENTRIES * 4 + Math.ceil(leaves) * PAGE_BYTES);
    let next = this.grow(maps + this.codeBytes);
    const allocate = (bytes: number): number => {
      next += bytes;
      return next - bytes;
    };
    const { memory } = this.vm;
    const map = new PhysicalMap(memory.buffer, allocate);
    const codeMap = this.buildMaps(map, allocate);
    // Growing has given the memory a new buffer object; the old one does not reach the new bytes.
    this.look();
    const end = next + this.codeBytes - PAGE_BYTES;
    const { exports, cache, jit } = this.engine.module.instantiate({
      cpu: this.base,
      memory,
      map,
      codeMap,
      arena: { base: next, bytes: end - next },
      host: this.host(),
      jit: this.jitMode,
      service: this.service,
    });
    this.map = map;
    this.cache = cache;
    this.jit = jit;
    this.words[S.physicalMap >>> 2] = map.root;
    this.words[S.codeMap >>> 2] = codeMap;
    this.cpu = exports;
    const { stop } = this.engine.module.special;
    this.stepper = new Stepper({ memory, base: this.base, cpu: exports, cache, map, stop });
    return exports;
  }

  /** Fills the physical map and gives the code map a leaf wherever there is memory. */
  private buildMaps(map: PhysicalMap, allocate: (bytes: number) => number): number {
    const words = new Int32Array(this.vm.memory.buffer);
    const codeMap = allocate(ROOT_ENTRIES * 4);
    for (const { gpa, offset, sizeBytes } of this.vm.ranges) {
      const first = gpa / PAGE_BYTES;
      const pages = sizeBytes / PAGE_BYTES;
      map.map(first, offset, pages);
      for (let leaf = first >>> 10; leaf <= (first + pages - 1) >>> 10; leaf++) {
        const slot = (codeMap >>> 2) + leaf;
        if (words[slot] === 0) words[slot] = allocate(LEAF_ENTRIES * 4);
      }
    }
    return codeMap;
  }

  private host(): ProcessorHost {
    return {
      now: () => this.clock.now(),
      random: () => {
        this.entropy.fill(this.randomWord);
        const [a, b, c, d] = this.randomWord;
        return a | (b << 8) | (c << 16) | (d << 24);
      },
      cpuid: (leaf, subleaf) => {
        const osxsave = (this.words[S.cr4 >>> 2] & CR4_OSXSAVE) !== 0;
        const limitCpuid = (this.words[S.miscEnable >>> 2] & (1 << 22)) !== 0;
        const known = { vcpuId: this.vm.vcpuId, tscHz: TSC_HZ, model: this.engine.model };
        const context = { ...known, osxsave, limitCpuid, xcr0: this.words[S.xcr0 >>> 2] };
        const { eax, ebx, ecx, edx } = cpuid(leaf, subleaf, context);
        return [eax, ebx, ecx, edx];
      },
      readMsr: (index) => this.readMsr(index),
      writeMsr: (index, low, high) => this.writeMsr(index, low, high),
    };
  }

  private readMsr(index: number): { low: number; high: number } | null {
    if (index === MSR.ARCH_CAPABILITIES) {
      return { low: archCapabilitiesLow | 0, high: archCapabilitiesHigh | 0 };
    }
    if (index !== MSR.KVM_SYSTEM_TIME) {
      return readUnknownMsr(index) === 'zero' ? { low: 0, high: 0 } : null;
    }
    const low = Number(BigInt.asIntN(32, this.pvclockGpa));
    return { low, high: Number(BigInt.asIntN(32, this.pvclockGpa >> 32n)) };
  }

  private writeMsr(index: number, low: number, high: number): boolean {
    const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    if (index === MSR.KVM_SYSTEM_TIME) return this.setPvclock(value);
    if (index !== MSR.KVM_WALL_CLOCK) return writeUnknownMsr(index) === 'ignore';
    this.writeWallClock(value);
    return true;
  }

  /** The wall-clock record: version, seconds and nanoseconds at which machine time was zero. */
  private writeWallClock(gpa: bigint): void {
    const at = this.recordAt(gpa, 12);
    if (at < 0) return;
    const originMs = this.clock.wallMs() - this.clock.now() / 1e6;
    this.view.setUint32(at, 2, true);
    this.view.setUint32(at + 4, Math.floor(originMs / 1000), true);
    this.view.setUint32(at + 8, Math.floor((originMs % 1000) * 1e6), true);
  }

  private recordAt(gpa: bigint, bytes: number): number {
    const address = Number(gpa);
    if (address % PAGE_BYTES > PAGE_BYTES - bytes) return -1;
    const page = Math.floor(address / PAGE_BYTES);
    if (!this.map || this.map.get(page) === 0) return -1;
    return this.map.hostOf(page) + (address % PAGE_BYTES);
  }

  // State access.

  private get32(offset: number): number {
    return this.words[offset >>> 2];
  }

  private set32(offset: number, value: number): void {
    this.words[offset >>> 2] = value;
  }

  private get64(offset: number): number {
    if (this.words.length === 0) return 0;
    return (this.words[offset >>> 2] >>> 0) + this.words[(offset >>> 2) + 1] * 2 ** 32;
  }

  // Running.

  run(): EngineExitReasonValue {
    const cpu = this.cpu ?? this.create();
    if (this.stale) {
      this.stale = false;
      cpu.flushAll(this.base);
      cpu.updateModes(this.base);
    }
    this.jit?.compile();
    this.updatePvclock();
    let left = SLICE_INSTRUCTIONS;
    this.rewindMmio();
    if (this.pending && !this.deliverPending(cpu)) return this.describe(this.get32(S.exit));
    while (left > 0) {
      this.rewindMmio();
      const stepping = this.mustStep();
      if (!stepping && this.windowOpen()) return EngineExitReason.intWindow;
      const before = (stepping ? 1 : left) + this.get32(S.exceptions);
      const overhead = this.get32(S.overhead);
      if (stepping) {
        this.queueTrap(this.stepper!.step());
      } else {
        this.set32(S.exit, EXIT.none);
        this.set32(S.budget, left);
        this.set32(S.compiled, 0);
        this.set32(S.depth, 0);
        cpu.enter(this.base);
        this.expectNobody();
        this.compiled += this.get32(S.compiled);
      }
      // Exceptions take of the slice too, and are no instructions.
      const extra = this.get32(S.overhead) - overhead;
      const done = (before - this.get32(S.budget) - this.get32(S.exceptions) - extra) | 0;
      this.retired += done;
      left -= Math.max(done, 1) + extra;
      const reason = this.get32(S.exit);
      if (reason === EXIT.step) continue;
      if (reason !== EXIT.none) return this.describe(reason);
      if (!stepping) {
        const isCompiled = 2 * this.get32(S.compiled) > done;
        this.hotSpots.note(this.get32(S.rip), this.get32(S.rip + 4), isCompiled);
        break;
      }
    }
    return EngineExitReason.none;
  }

  /** Whoever waited in compiled code for the guest to return has been left. */
  private expectNobody(): void {
    this.set32(S.expected, Number(EXPECTED.none & 0xffffffffn));
    this.set32(S.expected + 4, Number(EXPECTED.none >> 32n));
  }

  /** One instruction at a time: traps, shadows, and an access to finish before an interrupt. */
  private mustStep(): boolean {
    if (this.get32(S.stepping) !== 0 || this.get32(S.shadow) !== SHADOW.none) return true;
    return this.isAwaitingMmio && this.get32(S.window) !== 0;
  }

  private windowOpen(): boolean {
    return this.get32(S.window) !== 0 && (this.get32(S.eflags) & IF) !== 0;
  }

  /** The next instruction has begun already: it made an access that somebody answers. */
  private get isAwaitingMmio(): boolean {
    return this.mmioAt === this.retired;
  }

  /** Has the answers to MMIO taken from the first: by the instruction, or event, that asked. */
  private rewindMmio(): void {
    this.set32(S.mmioNext, 0);
    if (!this.isAwaitingMmio) this.set32(S.mmioCount, 0);
  }

  /** Delivers the pending event; false when the monitor is asked first, or after a shutdown. */
  private deliverPending(cpu: ProcessorExports): boolean {
    const { base, view } = this;
    const { vector, kind, code } = this.pending!;
    view.setBigUint64(base + S.eventRip, view.getBigUint64(base + S.rip, true), true);
    const result = cpu.deliver(base, vector, kind, code === undefined ? 0 : 1, code ?? 0);
    if (result !== DELIVERY.waits) this.pending = undefined;
    return result === DELIVERY.done;
  }

  /** A #DB that must wait until the monitor has completed the instruction. */
  private queueTrap(isDue: boolean): void {
    if (isDue) this.pending = { vector: VECTOR.DB, kind: EVENT.exception, code: undefined };
  }

  private describe(reason: number): EngineExitReasonValue {
    const flags = this.get32(S.exitFlags);
    const { exit } = this;
    switch (reason) {
      case EXIT.io:
        exit.port = this.get32(S.exitPort);
        exit.size = this.get32(S.exitSize);
        exit.isIn = (flags & EXIT_IN) !== 0;
        exit.isString = (flags & EXIT_STRING) !== 0;
        exit.hasRep = (flags & EXIT_REP) !== 0;
        exit.portIsImmediate = (flags & EXIT_IMMEDIATE) !== 0;
        exit.data = this.get32(S.exitData) >>> 0;
        exit.instructionLength = this.get32(S.exitLength);
        this.advanceIo();
        return EngineExitReason.io;
      case EXIT.hlt:
        exit.instructionLength = 1;
        return EngineExitReason.hlt;
      case EXIT.mmio:
        return this.describeMmio(flags);
      case EXIT.eptViolation:
        exit.gpa = this.get64(S.exitGpa);
        exit.isWrite = (flags & EXIT_WRITE) !== 0;
        exit.isFetch = (flags & EXIT_FETCH) !== 0;
        return EngineExitReason.protection;
      case EXIT.tripleFault:
        return EngineExitReason.tripleFault;
      case EXIT.window:
        return EngineExitReason.intWindow;
      default:
        exit.error = `The processor left for an unknown reason, ${reason}.`;
        return EngineExitReason.internalError;
    }
  }

  private describeMmio(flags: number): EngineExitReasonValue {
    const { exit } = this;
    exit.gpa = this.get64(S.exitGpa);
    if (flags & EXIT_FETCH) {
      exit.error = `The guest executes at 0x${exit.gpa.toString(16)}, where it has no memory.`;
      return EngineExitReason.internalError;
    }
    if (!this.isAwaitingMmio) this.set32(S.mmioCount, 0);
    this.mmioAt = this.retired;
    exit.size = this.get32(S.exitSize);
    exit.isWrite = (flags & EXIT_WRITE) !== 0;
    exit.isFetch = false;
    exit.data = this.get32(S.exitData) >>> 0;
    exit.dataHigh = this.get32(S.exitData + 4) >>> 0;
    return EngineExitReason.mmio;
  }

  /** Makes the I/O instruction done; a REP with elements left is not, and runs again. */
  private advanceIo(): void {
    const before = this.get32(S.rip);
    this.cpu!.advanceIo(this.base);
    if (this.get32(S.rip) !== before) this.retired++;
  }

  finishIo(data: number): void {
    if (this.exit.isIn) this.cpu!.finishIo(this.base, data);
  }

  finishMmio(low: number, high: number): void {
    // The instruction runs again and finds the answers it has got so far, in order.
    const count = this.get32(S.mmioCount);
    this.set32(S.mmioData + 8 * count, low);
    this.set32(S.mmioData + 8 * count + 4, high);
    this.set32(S.mmioCount, count + 1);
  }

  // Registers.

  readRegs(into: VcpuRegState, mask: number): void {
    saveRegisters(this.view, this.base, into, mask);
  }

  writeRegs(from: VcpuRegState, mask: number): boolean {
    this.prepare();
    if (!loadRegisters(this.view, this.base, from, mask)) return false;
    this.stale = true;
    this.mmioAt = -1;
    return true;
  }

  reset(state: VcpuRegState): boolean {
    this.prepare();
    resetState(this.view, this.base, this.words);
    this.view.setUint32(this.base + S.xcr0Mask, modelXcr0(this.engine.model), true);
    this.expectNobody();
    this.pending = undefined;
    this.pvclockGpa = 0n;
    return this.writeRegs(state, 0x1f);
  }

  save(): SavedValue {
    const { pending } = this;
    const registers = emptyRegState();
    this.readRegs(registers, VM_RWREGS_ALL);
    const event = pending && { ...pending, code: pending.code === undefined ? [] : [pending.code] };
    return VCPU_STATE.encode({
      registers,
      ...saveProcessor(this.view, this.base),
      pvclock: this.pvclockGpa,
      pvclockVersion: this.pvclockVersion,
      pending: event ? [event] : [],
      answers: this.mmioAnswers(),
    });
  }

  load(saved: SavedValue, where: string): void {
    const state = VCPU_STATE.decode(saved, where);
    if (!this.reset(state.registers)) refuse(where, 'is in a state that no processor can be in');
    loadProcessor(this.view, this.base, state, where);
    this.pvclockVersion = state.pvclockVersion;
    if (!this.setPvclock(state.pvclock)) refuse(where, 'has its clock outside of memory');
    const [event] = state.pending;
    this.pending = event && { ...event, code: event.code[0] };
    for (const [index, answer] of state.answers.entries()) {
      this.view.setBigUint64(this.base + S.mmioData + 8 * index, answer, true);
    }
    this.set32(S.mmioCount, state.answers.length);
    this.mmioAt = state.answers.length > 0 ? this.retired : -1;
  }

  /** What the instruction that is under way has read of devices. */
  private mmioAnswers(): bigint[] {
    if (!this.isAwaitingMmio) return [];
    return Array.from({ length: this.get32(S.mmioCount) }, (_, index) =>
      this.view.getBigUint64(this.base + S.mmioData + 8 * index, true),
    );
  }

  // Interrupts.

  interruptReady(): boolean {
    if (this.pending !== undefined || this.isAwaitingMmio) return false;
    return (this.get32(S.eflags) & IF) !== 0 && this.get32(S.shadow) === SHADOW.none;
  }

  requestWindow(on: boolean): void {
    this.set32(S.window, on ? 1 : 0);
  }

  injectInterrupt(vector: number): void {
    this.pending = { vector, kind: EVENT.external, code: undefined };
  }

  injectException(vector: number, errorCode: number | undefined): void {
    this.pending = { vector, kind: EVENT.exception, code: errorCode };
  }

  // Memory.

  invalidate(gpa: number, sizeBytes: number): void {
    const last = Math.floor((gpa + sizeBytes - 1) / PAGE_BYTES);
    for (let page = Math.floor(gpa / PAGE_BYTES); page <= last; page++) {
      if ((this.map?.get(page) ?? 0) & PAGE.code) this.cache?.invalidate(page);
    }
  }

  protect(gpa: number, sizeBytes: number, prot: number): void {
    if (!this.cpu) this.create();
    const set =
      (prot & PROT_READ ? 0 : PAGE.noRead) |
      (prot & PROT_WRITE ? 0 : PAGE.noWrite) |
      (prot & PROT_EXEC ? 0 : PAGE.noExecute);
    const clear = PAGE.noRead | PAGE.noWrite | PAGE.noExecute;
    for (let at = gpa; at < gpa + sizeBytes; at += PAGE_BYTES) {
      this.map!.setFlags(at / PAGE_BYTES, set, clear);
    }
    this.stale = true;
  }

  usedPages(): number {
    return this.words.length === 0 ? 0 : this.get32(S.touchedPages);
  }

  // The paravirtual clock.

  get pvclock(): PvclockState {
    return { gpa: this.pvclockGpa, version: this.pvclockVersion };
  }

  setPvclock(gpa: bigint): boolean {
    if (!isPvclockValid(this.vm.ranges, gpa)) return false;
    this.pvclockGpa = gpa;
    this.updatePvclock();
    return true;
  }

  setPvclockVersion(version: number): void {
    this.pvclockVersion = version >>> 0;
  }

  private updatePvclock(): void {
    if (!(Number(this.pvclockGpa & 1n) & PVCLOCK_ENABLE)) return;
    const at = this.recordAt(pvclockAddress(this.pvclockGpa), 32);
    if (at < 0) return;
    const systemTimeNs = this.clock.now();
    const tsc = Math.floor(systemTimeNs) + this.get64(S.tscOffset);
    this.pvclockVersion = writePvclock(this.view, at, this.pvclockVersion, {
      tscLow: tsc % 2 ** 32,
      tscHigh: Math.floor(tsc / 2 ** 32),
      systemTimeNs: Math.floor(systemTimeNs),
      multiplier: pvclockMultiplier(TSC_HZ),
    });
  }

  close(): void {
    this.cpu = undefined;
    this.cache = undefined;
  }
}
