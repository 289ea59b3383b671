// vmm(4): virtual machines, their vCPUs and their memory, as of the 6.7 to 7.2 releases. Every
// ioctl is a method that takes the structure of the same name; ioctl() is the binary face of the
// same.
//
// Threads. A VM belongs to the thread that created it (its opening of the device): RUN and whatever
// else touches registers works there only. The other threads see the VM in the table that they
// share (the control block) and may name it in INFO, INTR and TERM; calls that need the registers
// answer EBUSY to them. TERM stops a RUN in another thread and waits until it has returned.
//
// Kept from the original on purpose: HLT with interrupts off is EIO and the end of the vCPU (it is
// how a guest powers off); when RUN fails its structure is not written; names need not be unique;
// nothing is terminated because a caller goes away. Not modelled: pledge(2) and its EPERM, and
// suspending the host.

import { VmmError } from '../base/errors.ts';
import type { SavedValue } from '../base/saved-state.ts';
import { cpuSignature } from './cpuid.ts';
import type { Engine, EngineVm } from './engine.ts';
import { EngineExitReason } from './engine.ts';
import {
  VCPU_STATE_RUNNING,
  VCPU_STATE_STOPPED,
  VCPU_STATE_TERMINATED,
  VM_EXIT_TERMINATED,
} from './exit-reasons.ts';
import { dispatchIoctl } from './ioctl.ts';
import { PAGE_SIZE, VMM_MAX_VCPUS, VMM_MAX_VCPUS_PER_VM } from './limits.ts';
import { checkMemoryRanges, checkProtection, covers } from './memory-ranges.ts';
import { powerOnState, VM_RWREGS_ALL } from './registers.ts';
import type {
  VmCreateParams,
  VmInfoResult,
  VmIntrParams,
  VmMprotectEptParams,
  VmResetcpuParams,
  VmRunParams,
  VmRwregsParams,
  VmRwvmparamsParams,
  VmTerminateParams,
} from './structs.ts';
import {
  VM_RWVMPARAMS_PVCLOCK_SYSTEM_GPA,
  VM_RWVMPARAMS_PVCLOCK_VERSION,
  VRP_IRQ_NONE,
} from './structs.ts';
import type { RunRequest, Vcpu } from './vcpu.ts';
import {
  injectException,
  injectGeneralProtection,
  isException,
  runVcpu,
  settleVcpu,
} from './vcpu.ts';
import type { VmmControl } from './vm-table.ts';
import { createVmmControl, VmTable } from './vm-table.ts';

/** Unknown bits of a register mask are ignored. */
const REGS_MASK = BigInt(VM_RWREGS_ALL);

/** What {@link openVmm} needs. */
export interface VmmOptions {
  /** What executes guest code; undefined when this host has nothing that can. */
  readonly engine: Engine | undefined;
  /** The caller's address space: vmr_va and the pointers of the binary face are offsets in it. */
  readonly memory: WebAssembly.Memory;
  /** The table of VMs to join. Without one, this opening has its own. */
  readonly control?: VmmControl;
  /** The process id to record as the creator of VMs; 0 by default. */
  readonly pid?: number;
}

/** A VM in the thread that created it. */
interface HomeVm {
  readonly id: number;
  readonly slot: number;
  readonly vcpu: Vcpu;
  readonly request: RunRequest;
}

/** Opens the device. Throws ENODEV when no engine runs on this host. */
export function openVmm(options: VmmOptions): VmmDevice {
  const { engine, memory, control = createVmmControl(), pid = 0 } = options;
  if (!engine) throw new VmmError('ENODEV', 'This host has nothing that can execute guests.');
  return new VmmDevice(engine, memory, control, pid);
}

/** An opening of the device; {@link openVmm} makes it. All methods throw {@link VmmError}. */
export class VmmDevice {
  /** For `openVmm` in other threads. */
  readonly control: VmmControl;
  private readonly engine: Engine;
  private readonly memory: WebAssembly.Memory;
  private readonly table: VmTable;
  private readonly opening: number;
  private readonly pid: number;
  private readonly homes = new Map<number, HomeVm>();

  constructor(engine: Engine, memory: WebAssembly.Memory, control: VmmControl, pid: number) {
    this.engine = engine;
    this.memory = memory;
    this.control = control;
    this.table = new VmTable(control);
    this.opening = this.table.nextOpening();
    this.pid = pid;
  }

  /**
   * The binary face. `argument` has the bytes of the structure that `code` (VMM_IOC_*) names; what
   * the request answers is written into it. Throws ENOTTY for a code that is none of them.
   */
  ioctl(code: number, argument: Uint8Array): void {
    dispatchIoctl(this, this.memory, code, argument);
  }

  /** VMM_IOC_CREATE: makes a VM, stores its id in vcp_id, and answers the id. EINVAL, ENOMEM. */
  create(params: VmCreateParams): number {
    this.closeTerminated();
    if (params.vcp_ncpus !== 1n) {
      throw new VmmError('EINVAL', `A VM has 1 vCPU, not ${params.vcp_ncpus}.`);
    }
    const { ranges, sizeMb } = checkMemoryRanges(params, this.memory.buffer.byteLength);
    const slot = this.table.reserve();
    if (slot < 0) throw new VmmError('ENOMEM', `This host has ${VMM_MAX_VCPUS} vCPUs already.`);
    const kick = this.table.kickWord(slot);
    const vcpu = this.createVcpu({ memory: this.memory, ranges, vcpuId: 0, kick }, slot);
    const id = this.table.publish(slot, {
      name: params.vcp_name,
      creatorPid: this.pid,
      memoryMb: sizeMb,
      home: this.opening,
    });
    const request: RunRequest = {
      interruptLine: () => this.table.interruptLine(slot),
      takeKick: () => this.table.takeKick(slot),
    };
    this.homes.set(id, { id, slot, vcpu, request });
    params.vcp_id = id;
    return id;
  }

  /**
   * VMM_IOC_RUN: executes the guest until it needs the caller, or for about a millisecond. ENOENT,
   * EBUSY; EIO and EINVAL when the vCPU cannot go on, after which it is TERMINATED.
   */
  run(params: VmRunParams): void {
    const { vrp_irq: irq } = params;
    if (irq > 0xff && irq !== VRP_IRQ_NONE) {
      throw new VmmError('EINVAL', `${irq} is not an interrupt vector.`);
    }
    const home = this.enterStopped(params.vrp_vm_id, params.vrp_vcpu_id);
    const { slot, vcpu } = home;
    this.table.claim(slot);
    let state = VCPU_STATE_TERMINATED;
    let isTerminating = false;
    try {
      runVcpu(vcpu, params, home.request);
      this.table.setUsedPages(slot, vcpu.engine.usedPages());
      state = VCPU_STATE_STOPPED;
    } finally {
      isTerminating = this.table.settle(slot, state);
      this.table.leave(slot);
    }
    if (isTerminating) params.vrp_exit_reason = VM_EXIT_TERMINATED;
  }

  /** VMM_IOC_INFO: the VMs of this host, newest first. */
  info(): VmInfoResult[] {
    const results: VmInfoResult[] = [];
    for (const { id, slot } of this.table.living()) {
      if (!this.table.enter(slot, id)) continue;
      const { name, creatorPid, memoryMb } = this.table.entry(slot);
      const states = new Uint8Array(VMM_MAX_VCPUS_PER_VM);
      states[0] = this.table.vcpuState(slot);
      results.push({
        vir_memory_size: BigInt(memoryMb),
        vir_used_size: BigInt(this.table.usedPages(slot)) * BigInt(PAGE_SIZE),
        vir_ncpus: 1n,
        vir_vcpu_state: states,
        vir_creator_pid: creatorPid,
        vir_id: id,
        vir_name: name,
      });
      this.table.leave(slot);
    }
    return results;
  }

  /** VMM_IOC_TERM: ends a VM, after any call in progress on it. ENOENT; EBUSY when two try. */
  term(params: VmTerminateParams): void {
    const id = params.vtp_vm_id;
    const slot = this.table.find(id);
    if (slot < 0 && !this.table.isDying(id)) throw noVm(id);
    if (slot < 0 || !this.table.unlink(slot, id)) {
      throw new VmmError('EBUSY', `VM ${id} is being terminated already.`);
    }
    this.table.requestTermination(slot);
    if (!this.table.waitUntilUnused(slot)) {
      // The slot stays taken: whoever is inside RUN may yet write to the guest's memory.
      throw new VmmError('EBUSY', `VM ${id} is terminated, but a thread has not left it.`);
    }
    this.table.free(slot);
    this.closeTerminated();
  }

  /** VMM_IOC_RESETCPU: gives a stopped vCPU all its registers. ENOENT, EBUSY, EIO. */
  resetcpu(params: VmResetcpuParams): void {
    this.withStopped(params.vrp_vm_id, params.vrp_vcpu_id, ({ vcpu }) => {
      if (!vcpu.engine.reset(params.vrp_init_state)) {
        throw new VmmError('EIO', 'No processor can be reset to this register state.');
      }
      vcpu.unanswered = EngineExitReason.none;
    });
  }

  /** VMM_IOC_INTR: sets the level of a vCPU's interrupt line, waking its RUN if high. ENOENT. */
  intr(params: VmIntrParams): void {
    const slot = this.enter(params.vip_vm_id, params.vip_vcpu_id);
    this.table.setInterruptLine(slot, params.vip_intr !== 0);
    this.table.leave(slot);
  }

  /** VMM_IOC_READREGS: fills the classes of vrwp_mask and leaves the others. ENOENT, EBUSY. */
  readregs(params: VmRwregsParams): void {
    this.withHome(params.vrwp_vm_id, params.vrwp_vcpu_id, ({ vcpu }) => {
      vcpu.engine.readRegs(params.vrwp_regs, Number(params.vrwp_mask & REGS_MASK));
    });
  }

  /** VMM_IOC_WRITEREGS: loads the classes of vrwp_mask. ENOENT, EBUSY, EINVAL. */
  writeregs(params: VmRwregsParams): void {
    this.withHome(params.vrwp_vm_id, params.vrwp_vcpu_id, ({ vcpu }) => {
      if (!vcpu.engine.writeRegs(params.vrwp_regs, Number(params.vrwp_mask & REGS_MASK))) {
        throw new VmmError('EINVAL', 'No processor can be in this register state.');
      }
    });
  }

  /** VMM_IOC_READVMPARAMS: reads the clock's address and version, as vpp_mask selects. ENOENT. */
  readvmparams(params: VmRwvmparamsParams): void {
    this.withHome(params.vpp_vm_id, params.vpp_vcpu_id, ({ vcpu }) => {
      const { gpa, version } = vcpu.engine.pvclock;
      if (params.vpp_mask & VM_RWVMPARAMS_PVCLOCK_SYSTEM_GPA) params.vpp_pvclock_system_gpa = gpa;
      if (params.vpp_mask & VM_RWVMPARAMS_PVCLOCK_VERSION) params.vpp_pvclock_version = version;
    });
  }

  /**
   * VMM_IOC_WRITEVMPARAMS: sets the clock's address and version, as vpp_mask selects. ENOENT. An
   * address that no clock can be at gives the guest a #GP, like the MSR, and is no error.
   */
  writevmparams(params: VmRwvmparamsParams): void {
    this.withHome(params.vpp_vm_id, params.vpp_vcpu_id, ({ vcpu }) => {
      const { vpp_mask: mask } = params;
      if (mask & VM_RWVMPARAMS_PVCLOCK_SYSTEM_GPA) {
        if (!vcpu.engine.setPvclock(params.vpp_pvclock_system_gpa)) injectGeneralProtection(vcpu);
      }
      if (mask & VM_RWVMPARAMS_PVCLOCK_VERSION) {
        vcpu.engine.setPvclockVersion(params.vpp_pvclock_version);
      }
    });
  }

  /** VMM_IOC_MPROTECT_EPT: what the guest may do with its memory. ENOENT, EBUSY, EINVAL, EFAULT. */
  mprotectEpt(params: VmMprotectEptParams): void {
    this.withStopped(params.vmep_vm_id, params.vmep_vcpu_id, ({ vcpu }) => {
      const { gpa, sizeBytes } = checkProtection(params, vcpu.ranges);
      vcpu.engine.protect(gpa, sizeBytes, params.vmep_prot);
    });
  }

  /**
   * Extension: with `on`, an access outside all memory ranges is an EPT_VIOLATION exit with fault
   * type VEE_FAULT_MMIO_ASSIST and its details in vrp_exit.mmio, which also takes the answer.
   * Otherwise it is EINVAL and the end of the vCPU. ENOENT, EBUSY.
   */
  extMmioExits(vmId: number, on: boolean): void {
    this.withStopped(vmId, 0, ({ vcpu }) => {
      vcpu.mmioExits = on;
    });
  }

  /**
   * Extension (later releases have it in RUN): the next RUN begins with the exception `vector`. Its
   * error code, if it has one, is pushed in protected mode only. ENOENT, EBUSY, EINVAL.
   */
  extInjectException(vmId: number, vcpuId: number, vector: number, errorCode = 0): void {
    this.withStopped(vmId, vcpuId, ({ vcpu }) => {
      if (!isException(vector)) {
        throw new VmmError('EINVAL', `${vector} is not the vector of an exception.`);
      }
      injectException(vcpu, vector, errorCode);
    });
  }

  /**
   * Extension: tells a software processor that `sizeBytes` of guest memory from `gpa` were written,
   * so that it does not execute what was there before. ENOENT, EBUSY, EINVAL.
   */
  extMemoryWritten(vmId: number, gpa: number, sizeBytes: number): void {
    this.withHome(vmId, 0, ({ vcpu }) => {
      if (!covers(vcpu.ranges, gpa, sizeBytes)) {
        throw new VmmError('EINVAL', `VM ${vmId} has no ${sizeBytes} bytes of memory at ${gpa}.`);
      }
      vcpu.engine.invalidate(gpa, sizeBytes);
    });
  }

  /**
   * Extension: everything that a suspension keeps of a vCPU, of which READREGS has a part. Takes
   * the answer in `params` first, as the next RUN would. ENOENT, EBUSY.
   */
  extSaveVcpu(params: VmRunParams): SavedValue {
    let saved: SavedValue = false;
    this.withStopped(params.vrp_vm_id, params.vrp_vcpu_id, ({ vcpu }) => {
      settleVcpu(vcpu, params);
      saved = vcpu.engine.save();
    });
    return saved;
  }

  /**
   * Extension: takes back what {@link extSaveVcpu} gave; true when the next RUN could inject an
   * interrupt. ENOENT, EBUSY; EINVAL for what no vCPU has saved, `where` naming it.
   */
  extLoadVcpu(vmId: number, vcpuId: number, saved: SavedValue, where: string): boolean {
    let isReady = false;
    this.withStopped(vmId, vcpuId, ({ vcpu }) => {
      vcpu.engine.load(saved, where);
      vcpu.unanswered = EngineExitReason.none;
      isReady = vcpu.engine.interruptReady();
    });
    return isReady;
  }

  /** Extension: has the RUN in progress, or else the next, return early. ENOENT. */
  extKick(vmId: number, vcpuId: number): void {
    const slot = this.enter(vmId, vcpuId);
    this.table.kick(slot);
    this.table.leave(slot);
  }

  /** Throws what RUN would throw before it looks at anything but the ids. */
  checkStopped(vmId: number, vcpuId: number): void {
    this.withStopped(vmId, vcpuId, () => {});
  }

  private createVcpu(vm: EngineVm, slot: number): Vcpu {
    try {
      const engine = this.engine.createVcpu(vm);
      engine.reset(powerOnState(cpuSignature));
      const unanswered = EngineExitReason.none;
      return { engine, ranges: vm.ranges, mmioExits: false, unanswered };
    } catch (cause) {
      this.table.free(slot);
      // What the host throws when memory cannot be had; anything else is told as it is.
      if (!(cause instanceof RangeError)) throw cause;
      throw new VmmError('ENOMEM', 'This host cannot hold another vCPU.', { cause });
    }
  }

  /** Frees the vCPUs of VMs that another thread has terminated. */
  private closeTerminated(): void {
    for (const [id, home] of this.homes) {
      if (this.table.isStill(home.slot, id)) continue;
      home.vcpu.engine.close();
      this.homes.delete(id);
    }
  }

  /** Becomes a user of the VM; the slot is to be left with `table.leave`. */
  private enter(vmId: number, vcpuId: number): number {
    const slot = this.homes.get(vmId)?.slot ?? this.table.find(vmId);
    if (slot < 0 || !this.table.enter(slot, vmId)) throw noVm(vmId);
    if (vcpuId !== 0) {
      this.table.leave(slot);
      throw new VmmError('ENOENT', `VM ${vmId} has no vCPU ${vcpuId}.`);
    }
    return slot;
  }

  /** {@link enter}, where the VM is this thread's. */
  private enterHome(vmId: number, vcpuId: number): HomeVm {
    const slot = this.enter(vmId, vcpuId);
    const home = this.homes.get(vmId);
    if (home) return home;
    const isRunning = this.table.vcpuState(slot) === VCPU_STATE_RUNNING;
    this.table.leave(slot);
    throw new VmmError(
      'EBUSY',
      `VM ${vmId} ${isRunning ? 'is running' : 'belongs to another thread'}.`,
    );
  }

  /** {@link enterHome}, where the vCPU can run. */
  private enterStopped(vmId: number, vcpuId: number): HomeVm {
    const home = this.enterHome(vmId, vcpuId);
    if (this.table.vcpuState(home.slot) === VCPU_STATE_STOPPED) return home;
    this.table.leave(home.slot);
    throw new VmmError('EBUSY', `VM ${vmId} has failed and cannot run any more.`);
  }

  /** Calls back with a vCPU whose registers can be had, be it able to run or not. */
  private withHome(vmId: number, vcpuId: number, use: (home: HomeVm) => void): void {
    this.leaving(this.enterHome(vmId, vcpuId), use);
  }

  /** Calls back with a vCPU that can run, and does not. */
  private withStopped(vmId: number, vcpuId: number, use: (home: HomeVm) => void): void {
    this.leaving(this.enterStopped(vmId, vcpuId), use);
  }

  private leaving(home: HomeVm, use: (home: HomeVm) => void): void {
    try {
      use(home);
    } finally {
      this.table.leave(home.slot);
    }
  }
}

function noVm(id: number): VmmError {
  return new VmmError('ENOENT', `There is no VM ${id}.`);
}
