// One vCPU of KVM by its descriptor: the page that it shares with the kernel, and the requests that
// carry a structure, each of which has its place in memory that the kernel reads and writes.

import { VmmError } from 'vmm';
import type { HostCalls, HostMemory } from './host-calls.ts';
import { ERRNO, KVM_REQUEST } from './ioctl-numbers.ts';
import { MSR_ENTRY, MSRS, REGS, RUN, SIZE, TRANSLATION } from './struct-layouts.ts';

/** Where the structures lie. */
export const AREA = {
  regs: 0,
  sregs: 256,
  debugregs: 640,
  fpu: 768,
  events: 1280,
  translation: 1408,
  interrupt: 1472,
  msrs: 1536,
} as const;
const AREA_BYTES = 4096;
/** What {@link VcpuHandle.getMsrs} takes at once. */
const MSRS_MAX = (AREA_BYTES - AREA.msrs - MSRS.entries) / SIZE.kvm_msr_entry;

/** Structures that can be read and written back. */
export type RegisterFile = 'regs' | 'sregs' | 'debugregs' | 'events';

const REQUESTS: Readonly<Record<RegisterFile, readonly [get: number, put: number]>> = {
  regs: [KVM_REQUEST.KVM_GET_REGS, KVM_REQUEST.KVM_SET_REGS],
  sregs: [KVM_REQUEST.KVM_GET_SREGS, KVM_REQUEST.KVM_SET_SREGS],
  debugregs: [KVM_REQUEST.KVM_GET_DEBUGREGS, KVM_REQUEST.KVM_SET_DEBUGREGS],
  events: [KVM_REQUEST.KVM_GET_VCPU_EVENTS, KVM_REQUEST.KVM_SET_VCPU_EVENTS],
};

/** A model-specific register and its value. */
export type MsrValue = readonly [index: number, value: bigint];

/** A vCPU's descriptor and what belongs to it. */
export class VcpuHandle {
  /** struct kvm_run and the data of I/O behind it. */
  readonly run: DataView;
  /** The structures, at the offsets of {@link AREA}. */
  readonly view: DataView;
  private readonly calls: HostCalls;
  private readonly fd: number;
  private readonly runMemory: HostMemory;
  private readonly memory: HostMemory;

  /** Takes `fd` over. `runBytes` is what KVM_GET_VCPU_MMAP_SIZE answers. */
  constructor(calls: HostCalls, fd: number, runBytes: number) {
    this.calls = calls;
    this.fd = fd;
    this.runMemory = calls.mapDevice(fd, runBytes);
    this.memory = calls.allocate(AREA_BYTES);
    this.run = this.runMemory.view;
    this.view = this.memory.view;
  }

  /** A request with a number for its argument; answers what ioctl(2) does. */
  call(request: number, argument = 0): number {
    return this.calls.ioctl(this.fd, request, argument);
  }

  /** A request whose structure lies at `area`. */
  callWith(request: number, area: number): number {
    return this.calls.ioctl(this.fd, request, this.memory.address + area);
  }

  errno(): number {
    return this.calls.errno();
  }

  /** KVM_RUN: 0, or the errno. */
  enter(): number {
    return this.calls.ioctl(this.fd, KVM_REQUEST.KVM_RUN, 0) === 0 ? 0 : this.calls.errno();
  }

  /** Has KVM finish the instruction whose access was answered, and run no further. */
  finishInstruction(): number {
    this.run.setUint8(RUN.immediate_exit, 1);
    const errno = this.enter();
    this.run.setUint8(RUN.immediate_exit, 0);
    return errno === ERRNO.EINTR ? 0 : errno;
  }

  /** Fetches a structure to its place. */
  get(file: RegisterFile): void {
    this.check(this.callWith(REQUESTS[file][0], AREA[file]), file);
  }

  /** Hands a structure over; false when KVM says that no processor can be in that state. */
  put(file: RegisterFile): boolean {
    const result = this.callWith(REQUESTS[file][1], AREA[file]);
    if (result < 0 && this.errno() === ERRNO.EINVAL) return false;
    this.check(result, file);
    return true;
  }

  /** A general register as last fetched. */
  register(name: keyof typeof REGS): bigint {
    return this.view.getBigUint64(AREA.regs + REGS[name], true);
  }

  setRegister(name: keyof typeof REGS, value: bigint): void {
    this.view.setBigUint64(AREA.regs + REGS[name], value, true);
  }

  /** The values of model-specific registers; those that KVM does not have are 0. */
  getMsrs(indices: readonly number[]): bigint[] {
    const values = indices.map(() => 0n);
    const count = this.transferMsrs(
      KVM_REQUEST.KVM_GET_MSRS,
      indices.map((index) => [index, 0n]),
    );
    for (let i = 0; i < count; i++) {
      values[i] = this.view.getBigUint64(this.msrEntry(i) + MSR_ENTRY.data, true);
    }
    return values;
  }

  /** Sets model-specific registers, as the host; false when KVM refuses one of them. */
  setMsrs(values: readonly MsrValue[]): boolean {
    return this.transferMsrs(KVM_REQUEST.KVM_SET_MSRS, values) === values.length;
  }

  /** The guest-physical address of a linear one; -1 where the guest has mapped nothing. */
  translate(linear: bigint): number {
    const { view } = this;
    const at = AREA.translation;
    view.setBigUint64(at + TRANSLATION.linear_address, BigInt.asUintN(64, linear), true);
    if (this.callWith(KVM_REQUEST.KVM_TRANSLATE, at) !== 0) return -1;
    if (view.getUint8(at + TRANSLATION.valid) === 0) return -1;
    return Number(view.getBigUint64(at + TRANSLATION.physical_address, true));
  }

  close(): void {
    this.calls.unmap(this.runMemory);
    this.calls.unmap(this.memory);
    this.calls.close(this.fd);
  }

  private msrEntry(i: number): number {
    return AREA.msrs + MSRS.entries + i * SIZE.kvm_msr_entry;
  }

  private transferMsrs(request: number, values: readonly MsrValue[]): number {
    const { view } = this;
    if (values.length > MSRS_MAX) throw new RangeError('too many registers at once');
    view.setUint32(AREA.msrs + MSRS.nmsrs, values.length, true);
    for (const [i, [index, value]] of values.entries()) {
      view.setUint32(this.msrEntry(i) + MSR_ENTRY.index, index, true);
      view.setBigUint64(this.msrEntry(i) + MSR_ENTRY.data, BigInt.asUintN(64, value), true);
    }
    return Math.max(this.callWith(request, AREA.msrs), 0);
  }

  private check(result: number, what: string): void {
    if (result >= 0) return;
    throw new VmmError('EIO', `KVM did not exchange ${what}: errno ${this.errno()}.`);
  }
}
