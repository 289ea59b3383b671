// An engine without a processor, for tests of the monitor: each run() plays the next step of a
// script and each call is written down. Registers are storage.

import type { SavedValue } from '../src/base/saved-state.ts';
import type {
  Engine,
  EngineExit,
  EngineExitReasonValue,
  EngineVcpu,
  EngineVm,
  PvclockState,
} from '../src/vmm/engine.ts';
import { EngineExitReason, emptyEngineExit } from '../src/vmm/engine.ts';
import { isPvclockValid } from '../src/vmm/pvclock.ts';
import type { VcpuRegState } from '../src/vmm/registers.ts';
import {
  copyRegState,
  emptyRegState,
  VCPU_CRS,
  VCPU_REGS,
  VM_RWREGS_ALL,
} from '../src/vmm/registers.ts';

const RFLAGS_IF = 0x200n;
const CR0_PG_WITHOUT_PE = 0x80000000n;

/** One slice: changes the vCPU as guest code would and says why the slice ended. */
export type Step = (vcpu: FakeVcpu) => EngineExitReasonValue;

export class FakeVcpu implements EngineVcpu {
  readonly vm: EngineVm;
  readonly exit: EngineExit = emptyEngineExit();
  readonly regs: VcpuRegState = emptyRegState();
  readonly script: Step[] = [];
  /** What the monitor called, in order. */
  readonly calls: string[] = [];
  pvclock: PvclockState = { gpa: 0n, version: 0 };
  window = false;
  pages = 0;
  isClosed = false;

  constructor(vm: EngineVm) {
    this.vm = vm;
  }

  run(): EngineExitReasonValue {
    this.calls.push('run');
    const step = this.script.shift();
    return step ? step(this) : EngineExitReason.none;
  }

  finishIo(data: number): void {
    this.calls.push(`finishIo ${data}`);
  }

  finishMmio(low: number, high: number): void {
    this.calls.push(`finishMmio ${low} ${high}`);
  }

  readRegs(into: VcpuRegState, mask: number): void {
    copyRegState(into, this.regs, mask);
  }

  writeRegs(from: VcpuRegState, mask: number): boolean {
    if ((from.vrs_crs[VCPU_CRS.CR0] & 0x80000001n) === CR0_PG_WITHOUT_PE) return false;
    copyRegState(this.regs, from, mask);
    return true;
  }

  reset(state: VcpuRegState): boolean {
    return this.writeRegs(state, VM_RWREGS_ALL);
  }

  interruptReady(): boolean {
    return (this.regs.vrs_gprs[VCPU_REGS.RFLAGS] & RFLAGS_IF) !== 0n;
  }

  setInterruptFlag(on: boolean): void {
    const rflags = this.regs.vrs_gprs[VCPU_REGS.RFLAGS];
    this.regs.vrs_gprs[VCPU_REGS.RFLAGS] = on ? rflags | RFLAGS_IF : rflags & ~RFLAGS_IF;
  }

  requestWindow(on: boolean): void {
    this.window = on;
  }

  injectInterrupt(vector: number): void {
    this.calls.push(`interrupt ${vector}`);
  }

  injectException(vector: number, errorCode: number | undefined): void {
    this.calls.push(`exception ${vector} ${errorCode}`);
  }

  invalidate(gpa: number, sizeBytes: number): void {
    this.calls.push(`invalidate ${gpa} ${sizeBytes}`);
  }

  protect(gpa: number, sizeBytes: number, prot: number): void {
    this.calls.push(`protect ${gpa} ${sizeBytes} ${prot}`);
  }

  usedPages(): number {
    return this.pages;
  }

  setPvclock(gpa: bigint): boolean {
    if (!isPvclockValid(this.vm.ranges, gpa)) return false;
    this.pvclock = { ...this.pvclock, gpa };
    return true;
  }

  setPvclockVersion(version: number): void {
    this.pvclock = { ...this.pvclock, version };
  }

  save(): SavedValue {
    return this.pages > 0;
  }

  load(): void {}

  close(): void {
    this.isClosed = true;
  }
}

export class FakeEngine implements Engine {
  readonly name = 'soft';
  readonly vcpus: FakeVcpu[] = [];

  createVcpu(vm: EngineVm): FakeVcpu {
    const vcpu = new FakeVcpu(vm);
    this.vcpus.push(vcpu);
    return vcpu;
  }
}

/** An engine whose guest is a loop: every slice takes about a millisecond and does nothing. */
export function makeBusyEngine(): Engine {
  const engine = new FakeEngine();
  return {
    name: 'soft',
    createVcpu: (vm) => {
      const vcpu = engine.createVcpu(vm);
      vcpu.run = () => {
        const end = performance.now() + 1;
        while (performance.now() < end);
        return EngineExitReason.none;
      };
      return vcpu;
    },
  };
}
