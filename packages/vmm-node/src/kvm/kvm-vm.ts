// A virtual machine of KVM with its one vCPU: descriptors, memory slots, and what is set once.

import type { EngineVm } from 'vmm';
import { VmmError } from 'vmm';
import type { HostCalls, HostMemory } from './host-calls.ts';
import {
  ERRNO,
  KVM_CAP,
  KVM_CONSTANT,
  KVM_REQUEST,
  QUIRK_FIX_HYPERCALL_INSN,
  QUIRK_MWAIT_NEVER_UD_FAULTS,
} from './ioctl-numbers.ts';
import { type SupportedLeaf, setGuestCpuid } from './kvm-cpuid.ts';
import { filterMsrs } from './kvm-msrs.ts';
import { MemorySlots, reservedPages, type Slot } from './memory-slots.ts';
import { ResidentPages } from './resident-pages.ts';
import type { SliceTimer } from './slice-timer.ts';
import { ENABLE_CAP, REGION } from './struct-layouts.ts';
import { VcpuHandle } from './vcpu-handle.ts';

/** What Intel's older processors need for real mode: a page for tables and three for a TSS. */
const RESERVED_BYTES = 4 * 4096;
/** Where they are unless RAM is there: below a PC's firmware. */
const RESERVED_HIGHEST = 0xfffb_c000;
/** KVM_CREATE_VM gives up when a signal arrives. */
const CREATE_TRIES = 100;
const AREA_BYTES = 4096;
const ARGUMENT_AT = 0;
const IDENTITY_MAP_AT = 512;

/** What the host has, found once for an engine. */
export interface KvmHost {
  readonly calls: HostCalls;
  /** Of /dev/kvm. */
  readonly fd: number;
  readonly runBytes: number;
  readonly supported: SupportedLeaf;
  /** One for the thread, which runs one vCPU at a time. */
  readonly timer: SliceTimer;
  /** Bits of KVM_CAP_DISABLE_QUIRKS2 that this Linux knows. */
  readonly quirks: number;
}

/** One virtual machine of KVM. */
export class KvmVm {
  readonly vcpu: VcpuHandle;
  readonly slots: MemorySlots;
  readonly timer: SliceTimer;
  readonly resident: ResidentPages;
  private readonly calls: HostCalls;
  private readonly fd: number;
  private readonly memory: WebAssembly.Memory;
  private readonly base: number;
  private readonly area: HostMemory;
  private buffer: ArrayBuffer;
  private byteView: Uint8Array;
  private dataView: DataView;

  /** Throws VmmError when KVM refuses, and RangeError when it has no memory. */
  constructor(host: KvmHost, vm: EngineVm) {
    const { calls } = host;
    this.calls = calls;
    this.memory = vm.memory;
    this.buffer = vm.memory.buffer;
    this.byteView = new Uint8Array(this.buffer);
    this.dataView = new DataView(this.buffer);
    this.base = calls.addressOf(vm.memory);
    this.area = calls.allocate(AREA_BYTES);
    this.timer = host.timer;
    // Signals would have it start anew again and again.
    this.timer.stop();
    this.fd = createVm(host);
    try {
      this.prepare(host, vm);
      this.slots = new MemorySlots(vm.ranges, (slot) => this.setSlot(slot));
      this.vcpu = this.createVcpu(host);
    } catch (error) {
      calls.unmap(this.area);
      calls.close(this.fd);
      throw error;
    }
    this.resident = new ResidentPages(calls, this.base, vm.ranges);
    const tscKhz = this.vcpu.call(KVM_REQUEST.KVM_GET_TSC_KHZ);
    const context = { vcpuId: vm.vcpuId, tscHz: Math.max(tscKhz, 0) * 1000 };
    if (setGuestCpuid(calls, this.vcpu, host.supported, context)) return;
    this.close();
    throw new VmmError('EIO', "This host's KVM refuses the processor that guests are to see.");
  }

  /** The WebAssembly memory, as bytes. */
  bytes(): Uint8Array {
    this.look();
    return this.byteView;
  }

  data(): DataView {
    this.look();
    return this.dataView;
  }

  close(): void {
    this.timer.stop();
    this.resident.close();
    this.vcpu.close();
    this.calls.unmap(this.area);
    this.calls.close(this.fd);
  }

  /** Somebody may have grown the memory, which replaces its buffer. */
  private look(): void {
    if (this.memory.buffer === this.buffer) return;
    this.buffer = this.memory.buffer;
    this.byteView = new Uint8Array(this.buffer);
    this.dataView = new DataView(this.buffer);
  }

  private prepare(host: KvmHost, vm: EngineVm): void {
    const { calls, fd, area } = this;
    if (!filterMsrs(calls, fd)) throw tooOld();
    const quirks =
      KVM_CONSTANT.KVM_X86_QUIRK_OUT_7E_INC_RIP |
      QUIRK_FIX_HYPERCALL_INSN |
      QUIRK_MWAIT_NEVER_UD_FAULTS;
    area.view.setUint32(ARGUMENT_AT + ENABLE_CAP.cap, KVM_CAP.KVM_CAP_DISABLE_QUIRKS2, true);
    area.view.setBigUint64(ARGUMENT_AT + ENABLE_CAP.args, BigInt(quirks & host.quirks), true);
    calls.ioctl(fd, KVM_REQUEST.KVM_ENABLE_CAP, area.address + ARGUMENT_AT);
    const reserved = reservedPages(vm.ranges, RESERVED_HIGHEST, RESERVED_BYTES);
    // Without a place below 4 GiB there is none; processors that need none do not mind.
    if (reserved <= 0) return;
    area.view.setBigUint64(IDENTITY_MAP_AT, BigInt(reserved), true);
    calls.ioctl(fd, KVM_REQUEST.KVM_SET_IDENTITY_MAP_ADDR, area.address + IDENTITY_MAP_AT);
    calls.ioctl(fd, KVM_REQUEST.KVM_SET_TSS_ADDR, reserved + 4096);
  }

  private createVcpu({ calls, runBytes }: KvmHost): VcpuHandle {
    const fd = calls.ioctl(this.fd, KVM_REQUEST.KVM_CREATE_VCPU, 0);
    if (fd < 0) throw new RangeError(`KVM_CREATE_VCPU failed with errno ${calls.errno()}`);
    return new VcpuHandle(calls, fd, runBytes);
  }

  private setSlot(slot: Slot): boolean {
    const { view, address } = this.area;
    const at = ARGUMENT_AT;
    view.setUint32(at + REGION.slot, slot.number, true);
    view.setUint32(at + REGION.flags, slot.isReadOnly ? KVM_CONSTANT.KVM_MEM_READONLY : 0, true);
    view.setBigUint64(at + REGION.guest_phys_addr, BigInt(slot.gpa), true);
    view.setBigUint64(at + REGION.memory_size, BigInt(slot.sizeBytes), true);
    view.setBigUint64(at + REGION.userspace_addr, BigInt(this.base + slot.offset), true);
    return this.calls.ioctl(this.fd, KVM_REQUEST.KVM_SET_USER_MEMORY_REGION, address + at) === 0;
  }
}

/** The refusal of a Linux without what the engine needs. */
export function tooOld(): VmmError {
  const reason = "This host's KVM lacks what the kvm engine needs";
  return new VmmError('ENODEV', `${reason}: Linux 5.10 or newer has it.`);
}

function createVm({ calls, fd }: KvmHost): number {
  for (let tries = 0; tries < CREATE_TRIES; tries++) {
    const vmFd = calls.ioctl(fd, KVM_REQUEST.KVM_CREATE_VM, 0);
    if (vmFd >= 0) return vmFd;
    switch (calls.errno()) {
      case ERRNO.EINTR:
        continue;
      case ERRNO.EBUSY:
        throw new VmmError(
          'EBUSY',
          "The processor's virtualization is in use by another hypervisor: end its machines first.",
        );
      case ERRNO.ENOMEM:
      case ERRNO.EMFILE:
        throw new RangeError(`KVM_CREATE_VM failed with errno ${calls.errno()}`);
      default:
        throw new VmmError('EIO', `KVM cannot make a machine: errno ${calls.errno()}.`);
    }
  }
  throw new VmmError('EBUSY', 'KVM cannot make a machine: signals keep interrupting it.');
}
