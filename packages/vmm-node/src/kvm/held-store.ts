// A store to a read-only page. KVM's emulator performs it as an access to a device, and has stepped
// over the instruction by the time that the engine learns of it, so that the instruction cannot be
// tried again as on a processor. Instead the store is kept: it is done when the guest goes on and
// the page may be written by then. A guest that was sent elsewhere meanwhile has not made it.

import type { KvmVm } from './kvm-vm.ts';
import { RUN, RUN_MMIO } from './struct-layouts.ts';

/** At most one store of a vCPU. */
export class HeldStore {
  private readonly kvm: KvmVm;
  private readonly data = new Uint8Array(8);
  private gpa = 0;
  private size = 0;
  /** Where the guest was when it had made the store. */
  private rip = 0n;
  private held = false;

  constructor(kvm: KvmVm) {
    this.kvm = kvm;
  }

  get isHeld(): boolean {
    return this.held;
  }

  /** Takes what an exit of KVM wants to store, 1 to 8 bytes. */
  takeData(gpa: number, size: number): void {
    const { run } = this.kvm.vcpu;
    this.gpa = gpa;
    this.size = size;
    for (let i = 0; i < size; i++) this.data[i] = run.getUint8(RUN.mmio + RUN_MMIO.data + i);
  }

  /** Keeps the store for a guest whose instruction KVM has finished. */
  hold(): void {
    this.held = true;
    this.rip = this.currentRip();
  }

  drop(): void {
    this.held = false;
  }

  /** The guest goes on: does the store, or drops it; false while the page is read-only. */
  release(): boolean {
    const { slots } = this.kvm;
    const isMoved = this.currentRip() !== this.rip;
    if (!isMoved && slots.isReadOnly(this.gpa)) return false;
    this.held = false;
    const offset = isMoved ? -1 : slots.offsetOf(this.gpa);
    if (offset >= 0) this.kvm.bytes().set(this.data.subarray(0, this.size), offset);
    return true;
  }

  private currentRip(): bigint {
    const { vcpu } = this.kvm;
    vcpu.get('regs');
    return vcpu.register('rip');
  }
}
