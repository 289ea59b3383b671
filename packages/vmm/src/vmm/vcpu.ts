// One RUN of a vCPU: hands the caller's answer to the last exit to the engine, injects, executes
// one slice, and puts the exit into the form of vmm(4), with Intel's exit numbers. The caller has
// made sure that nobody else uses the vCPU.
//
// Where this differs from the releases it follows, it does so on purpose:
// - IN of 1 and 2 bytes keeps the upper bytes of RAX, as the processor does (they were cleared).
// - vrp_irqready is set only when the next RUN really can inject, which an STI or MOV SS shadow
//   prevents (it was RFLAGS.IF alone, and a vector given during the shadow was lost).
// - RUN returns after one slice, with VM_EXIT_NONE. It used to go on until a signal or the
//   scheduler wanted the thread; callers have always had to loop.

import { VmmError } from '../base/errors.ts';
import type { EngineExit, EngineMemoryRange, EngineVcpu } from './engine.ts';
import { EngineExitReason } from './engine.ts';
import {
  VM_EXIT_NONE,
  VMX_EXIT_EPT_VIOLATION,
  VMX_EXIT_EXTINT,
  VMX_EXIT_HLT,
  VMX_EXIT_INT_WINDOW,
  VMX_EXIT_IO,
  VMX_EXIT_TRIPLE_FAULT,
} from './exit-reasons.ts';
import {
  emptyRegState,
  VCPU_CRS,
  VCPU_SREGS,
  VM_RWREGS_ALL,
  VM_RWREGS_CRS,
  VM_RWREGS_GPRS,
} from './registers.ts';
import type { VmExit, VmRunParams } from './structs.ts';
import {
  VEE_FAULT_MMIO_ASSIST,
  VEE_FAULT_PROTECT,
  VEI_DIR_IN,
  VEI_DIR_OUT,
  VEI_ENCODING_DX,
  VEI_ENCODING_IMMEDIATE,
  VRP_IRQ_NONE,
} from './structs.ts';

/** The vectors of exceptions that push an error code outside real mode, SDM 3A 6.13. */
const ERROR_CODE_VECTORS = new Set([8, 10, 11, 12, 13, 14, 17]);
/** #AC: its error code is always 0, SDM 3A 6.15. */
const VECTOR_AC = 17;
/** Vectors that are exceptions, SDM 3A table 6-1: not NMI, not the reserved ones. */
const EXCEPTION_VECTORS = new Set([0, 1, 3, 4, 5, 6, 7, ...ERROR_CODE_VECTORS, 16, 18, 19, 20]);
const VECTOR_GP = 13;

/** True for a vector that {@link injectException} takes. */
export const isException = (vector: number): boolean => EXCEPTION_VECTORS.has(vector);

/** A vCPU in the thread that holds it. */
export interface Vcpu {
  readonly engine: EngineVcpu;
  readonly ranges: readonly EngineMemoryRange[];
  /** Extension: accesses outside all ranges are exits, not the end of the vCPU. */
  mmioExits: boolean;
  /** Why the last slice ended, as far as the caller still owes an answer. */
  unanswered: number;
}

/** What the monitor tells a RUN about the world outside the vCPU. */
export interface RunRequest {
  /** The level of the interrupt line: the caller has an interrupt for the guest. */
  readonly interruptLine: () => boolean;
  /** True when the slice is not to be begun. */
  readonly takeKick: () => boolean;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

function takeAnswer(vcpu: Vcpu, exit: VmExit): void {
  const { engine, unanswered } = vcpu;
  if (unanswered === EngineExitReason.io && engine.exit.isIn) {
    engine.finishIo(exit.vei.vei_data);
  } else if (unanswered === EngineExitReason.mmio) {
    engine.finishMmio(exit.mmio.dataLow, exit.mmio.dataHigh);
  } else if (unanswered === EngineExitReason.protection && exit.vrs) {
    engine.writeRegs(exit.vrs, VM_RWREGS_GPRS);
  }
}

/** Injects vrp_irq, or arranges to be told when it could be. */
function offerInterrupt(vcpu: Vcpu, irq: number, interruptLine: boolean): void {
  const { engine } = vcpu;
  const isReady = engine.interruptReady();
  if (irq !== VRP_IRQ_NONE && isReady) {
    engine.injectInterrupt(irq);
    // The handler begins with interrupts off: a window is when the guest takes the next one.
    engine.requestWindow(interruptLine);
  } else {
    engine.requestWindow(!isReady && (interruptLine || irq !== VRP_IRQ_NONE));
  }
}

function fillIo(from: EngineExit, exit: VmExit): void {
  exit.vei.vei_size = from.size;
  exit.vei.vei_dir = from.isIn ? VEI_DIR_IN : VEI_DIR_OUT;
  exit.vei.vei_rep = from.hasRep ? 1 : 0;
  exit.vei.vei_string = from.isString ? 1 : 0;
  exit.vei.vei_encoding = from.portIsImmediate ? VEI_ENCODING_IMMEDIATE : VEI_ENCODING_DX;
  exit.vei.vei_port = from.port;
  exit.vei.vei_data = from.isIn ? 0 : from.data;
}

function fillMmio(from: EngineExit, exit: VmExit): void {
  exit.vee.vee_fault_type = VEE_FAULT_MMIO_ASSIST;
  exit.mmio.gpa = from.gpa;
  exit.mmio.sizeBytes = from.size;
  exit.mmio.isWrite = from.isWrite;
  exit.mmio.dataLow = from.isWrite ? from.data : 0;
  exit.mmio.dataHigh = from.isWrite ? from.dataHigh : 0;
}

function fillRegisters(vcpu: Vcpu, exit: VmExit): void {
  if (!exit.vrs) return;
  vcpu.engine.readRegs(exit.vrs, VM_RWREGS_ALL);
  // The privilege level is SS.DPL in every mode, SDM 3C 24.4.1.
  exit.cpl = (exit.vrs.vrs_sregs[VCPU_SREGS.SS].vsi_ar >> 5) & 3;
}

/** Translates the end of a slice; throws what ends the vCPU. */
function exitReason(vcpu: Vcpu, reason: number, exit: VmExit, isCalled: boolean): number {
  const { engine } = vcpu;
  switch (reason) {
    case EngineExitReason.none:
      return isCalled ? VMX_EXIT_EXTINT : VM_EXIT_NONE;
    case EngineExitReason.intWindow:
      return VMX_EXIT_INT_WINDOW;
    case EngineExitReason.io:
      fillIo(engine.exit, exit);
      return VMX_EXIT_IO;
    case EngineExitReason.hlt:
      // No interrupt can end this halt, and there is no other way out: the guest is off.
      if (!engine.interruptReady()) {
        throw new VmmError('EIO', 'The guest halted with interrupts disabled.');
      }
      return VMX_EXIT_HLT;
    case EngineExitReason.tripleFault:
      return VMX_EXIT_TRIPLE_FAULT;
    case EngineExitReason.protection:
      exit.vee.vee_fault_type = VEE_FAULT_PROTECT;
      return VMX_EXIT_EPT_VIOLATION;
    case EngineExitReason.mmio:
      if (!vcpu.mmioExits) {
        throw new VmmError('EINVAL', `The guest has no memory at ${hex(engine.exit.gpa)}.`);
      }
      fillMmio(engine.exit, exit);
      return VMX_EXIT_EPT_VIOLATION;
    default:
      throw new VmmError('EINVAL', engine.exit.error || 'The engine cannot continue the guest.');
  }
}

/** Takes the answer to the last exit, as the next RUN would, but executes nothing. */
export function settleVcpu(vcpu: Vcpu, params: VmRunParams): void {
  if (params.vrp_continue !== 0) takeAnswer(vcpu, params.vrp_exit);
  params.vrp_continue = 0;
  vcpu.unanswered = EngineExitReason.none;
}

/** Executes one slice. Throws VmmError when the vCPU cannot go on, which is final. */
export function runVcpu(vcpu: Vcpu, params: VmRunParams, request: RunRequest): void {
  const { engine } = vcpu;
  const exit = params.vrp_exit;
  if (params.vrp_continue !== 0) takeAnswer(vcpu, exit);
  vcpu.unanswered = EngineExitReason.none;
  offerInterrupt(vcpu, params.vrp_irq, request.interruptLine());
  const reason = request.takeKick() ? EngineExitReason.none : engine.run();
  vcpu.unanswered = reason;
  const isReady = engine.interruptReady();
  const isCalled = isReady && request.interruptLine();
  params.vrp_exit_reason = exitReason(vcpu, reason, exit, isCalled);
  params.vrp_irqready = isReady ? 1 : 0;
  fillRegisters(vcpu, exit);
}

/** Has the next RUN deliver an exception, with its error code where the processor pushes one. */
export function injectException(vcpu: Vcpu, vector: number, errorCode: number): void {
  const regs = emptyRegState();
  vcpu.engine.readRegs(regs, VM_RWREGS_CRS);
  const isProtected = (regs.vrs_crs[VCPU_CRS.CR0] & 1n) !== 0n;
  const pushes = isProtected && ERROR_CODE_VECTORS.has(vector);
  const pushed = vector === VECTOR_AC ? 0 : errorCode;
  vcpu.engine.injectException(vector, pushes ? pushed : undefined);
}

/** {@link injectException} of #GP(0), which is what a wrong value in an MSR gives. */
export function injectGeneralProtection(vcpu: Vcpu): void {
  injectException(vcpu, VECTOR_GP, 0);
}
