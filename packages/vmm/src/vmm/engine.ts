// What the monitor asks of an engine: something that executes guest code in slices and says why it
// stopped. The soft engine is one (a software processor), hardware virtualization another. An
// engine knows no VM ids, no errno and no ioctl; it keeps the state of its vCPUs and nothing else.
//
// The rules that the monitor relies on:
// - run() is bounded. A slice lasts about a millisecond, so that a thread that waits for this one
//   (TERM, INTR) waits no longer, and so that the caller can serve its timers between slices.
// - State is precise at every exit: readRegs() shows the architectural state, and RIP is where the
//   guest goes on. After IN, OUT and HLT that is past the instruction, as vmm(4) of the 6.7 to 7.2
//   releases left it; after a protection violation or an MMIO access it is still at the
//   instruction, except that hardware may have stepped over a store (see the kvm engine).
// - Guest misbehaviour is the guest's: it gets its exception. run() never throws for it.
// - Nothing here allocates per exit, except readRegs() (64-bit registers are bigint there).

import type { SavedPart } from '../base/saved-state.ts';
import type { CpuModel } from './cpu-model.ts';
import type { VcpuRegState } from './registers.ts';

/** Why {@link EngineVcpu.run} returned. */
export const EngineExitReason = {
  /** The slice is over, or the thread was asked to come back. */
  none: 0,
  /** IN, OUT, INS or OUTS; see {@link EngineExit}. RIP is past the instruction. */
  io: 1,
  /** HLT; RIP is past it. RFLAGS.IF tells whether an interrupt can end the halt. */
  hlt: 2,
  /** A data access to guest-physical memory that no range backs. The instruction is not over. */
  mmio: 3,
  /** An access that {@link EngineVcpu.protect} forbids. The instruction has had no effect. */
  protection: 4,
  /** A fault while delivering a double fault: the processor has shut down. */
  tripleFault: 5,
  /** Asked for by {@link EngineVcpu.requestWindow}: an interrupt can be injected now. */
  intWindow: 6,
  /** The engine cannot go on (guest fetches from nowhere, host failure): `error` says why. */
  internalError: 7,
} as const;

/** One of the values of the table {@link EngineExitReason}. */
export type EngineExitReasonValue = (typeof EngineExitReason)[keyof typeof EngineExitReason];

/** The details of the last exit. One fixed record per vCPU; fields of other reasons are stale. */
export interface EngineExit {
  /** io: the port, 0..0xffff. */
  port: number;
  /** io: 1, 2 or 4 bytes. mmio: 1, 2, 4 or 8. */
  size: number;
  /** io: true for IN and INS. */
  isIn: boolean;
  /** io: true for INS and OUTS. */
  isString: boolean;
  /** io: true with a REP prefix. */
  hasRep: boolean;
  /** io: true when the port is an immediate operand, false when it is DX. */
  portIsImmediate: boolean;
  /** io with isIn false: the value written, unsigned. mmio with isWrite: the low 32 bits. */
  data: number;
  /** mmio with isWrite and size 8: the high 32 bits, unsigned. */
  dataHigh: number;
  /** io, hlt: length of the instruction in bytes, 1..15; 0 where the engine cannot tell. */
  instructionLength: number;
  /** mmio, protection: the guest-physical address accessed. */
  gpa: number;
  /** mmio, protection: true for a store. */
  isWrite: boolean;
  /** protection: true for an instruction fetch. */
  isFetch: boolean;
  /** internalError: one sentence for the person who runs the VM. */
  error: string;
}

/** An exit record with nothing in it, for engines to create theirs. */
export function emptyEngineExit(): EngineExit {
  return {
    port: 0,
    size: 0,
    isIn: false,
    isString: false,
    hasRep: false,
    portIsImmediate: false,
    data: 0,
    dataHigh: 0,
    instructionLength: 0,
    gpa: 0,
    isWrite: false,
    isFetch: false,
    error: '',
  };
}

/** Page protection, as mmap(2) numbers it. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

/** A piece of guest-physical memory and where it lies. All three are multiples of 4096. */
export interface EngineMemoryRange {
  /** Guest-physical address of the first byte. */
  readonly gpa: number;
  /** Offset of that byte in {@link EngineVm.memory}. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The virtual machine that a vCPU is part of, as far as an engine must know. */
export interface EngineVm {
  /** The address space that guest RAM is a part of. */
  readonly memory: WebAssembly.Memory;
  /** Ascending, not overlapping. Every page starts readable, writable and executable. */
  readonly ranges: readonly EngineMemoryRange[];
  /** The number of the vCPU, 0 for the first: the initial APIC id that CPUID shows. */
  readonly vcpuId: number;
  /**
   * Element 0 becomes non-zero when another thread wants run() to return early. The monitor looks
   * at it between slices; an engine whose run() can block must look (or wait) itself.
   */
  readonly kick: Int32Array;
}

/** The guest's paravirtual clock: the MSR KVM_SYSTEM_TIME and the record's version counter. */
export interface PvclockState {
  /** The value of the MSR: a guest-physical address, bit 0 set when the clock is enabled. */
  readonly gpa: bigint;
  /** The version that the next update starts from, 32 bits, even between updates. */
  readonly version: number;
}

/**
 * One virtual processor. Used by one thread at a time. What it saves is a VcpuState of
 * vcpu-state.ts, which any engine loads; between two runs, with the last exit answered.
 */
export interface EngineVcpu extends SavedPart {
  /** Filled by {@link run} before it returns. */
  readonly exit: EngineExit;

  /**
   * Runs guest code for one slice. Updates the pvclock record first, if the guest has enabled it.
   * Injected events are delivered before the first instruction.
   */
  run(): EngineExitReasonValue;

  /**
   * Gives an IN its value: AL, AX or EAX by the size of the exit; 1- and 2-byte reads keep the rest
   * of RAX, as the processor does, and 4-byte ones clear its upper half. For INS it stores one
   * element, whose address run() has already checked, so that this cannot fault.
   *
   * String instructions exit once per element, with pointer and count stepped already: OUTS with
   * `data` loaded; RIP stays at an instruction whose REP prefix has elements left.
   */
  finishIo(data: number): void;

  /** Gives an MMIO read its value, or acknowledges a write; run() then goes on with it. */
  finishMmio(low: number, high: number): void;

  /** Fills the register classes in `mask` (VM_RWREGS_*) and leaves the others as they are. */
  readRegs(into: VcpuRegState, mask: number): void;

  /**
   * Loads the register classes in `mask`. Answers false, with nothing changed, when no processor
   * can be in the state asked for (reserved bits in CR0, CR4 or EFER; paging without protection).
   */
  writeRegs(from: VcpuRegState, mask: number): boolean;

  /** {@link writeRegs} of everything on a processor just reset: no pending events, no old MSRs. */
  reset(state: VcpuRegState): boolean;

  /**
   * RFLAGS.IF is set, and neither an STI or MOV SS shadow nor an MMIO access that is not over holds
   * interrupts off.
   */
  interruptReady(): boolean;

  /** While on, run() returns with `intWindow` before an instruction at which one could be taken. */
  requestWindow(on: boolean): void;

  /** Has the next run() deliver an interrupt (0..255). Only when {@link interruptReady}. */
  injectInterrupt(vector: number): void;

  /** Has the next run() deliver an exception (0..31), pushing `errorCode` unless undefined. */
  injectException(vector: number, errorCode: number | undefined): void;

  /** Somebody else wrote guest memory: code decoded from there is out of date. */
  invalidate(gpa: number, sizeBytes: number): void;

  /** Changes what the guest may do with pages of its RAM (PROT_*), for every later access. */
  protect(gpa: number, sizeBytes: number, prot: number): void;

  /** How many 4 KiB pages of RAM the guest has touched. Cheap: asked after every run(). */
  usedPages(): number;

  /** The paravirtual clock as it stands. */
  readonly pvclock: PvclockState;

  /** What WRMSR KVM_SYSTEM_TIME does. False, with nothing changed, where the MSR would #GP. */
  setPvclock(gpa: bigint): boolean;

  /** Sets the version counter of the clock record, 32 bits. */
  setPvclockVersion(version: number): void;

  /** Frees what the vCPU holds. Nothing else is called afterwards. */
  close(): void;
}

/** A way to execute guest code on this host. */
export interface Engine {
  readonly name: 'soft' | 'kvm';
  /** The model that its processors are, where the engine has models. */
  readonly model?: CpuModel;
  /** A vCPU with no defined register state: reset() comes before the first run(). */
  createVcpu(vm: EngineVm): EngineVcpu;
}
