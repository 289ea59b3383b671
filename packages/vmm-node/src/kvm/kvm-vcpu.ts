// A vCPU on KVM. The guest runs in KVM_RUN until it needs something or its slice is over; what KVM
// says then is put into the engine's form.
//
// An access that the caller answers (IN, INS, MMIO) is not over for KVM until the guest is entered
// again. Whoever wants to see or change the registers before that has KVM finish the instruction
// first, with a value that means nothing, and the answer is then put where it belongs: see
// settle().
//
// What is not as the soft engine has it:
// - A store to a read-only page shows RIP past the instruction: see held-store.ts.
// - There is no page without the right to execute: see memory-slots.ts.
// - INS learns before the exit that its destination is not mapped, but not that it may not be
//   written: the guest then gets its #PF after the device was read.
// - An interrupt is not taken between two elements of a REP INS that KVM has read together.
// - IA32_MISC_ENABLE.LIMIT_CPUID_MAXVAL has no effect, nor have XCR0 and the PDPTEs.
// - KVM writes the record of the paravirtual clock when it must, not at every entry.
// - VMCALL is a call to KVM, which answers that it does not know it.

import {
  type EngineExit,
  EngineExitReason,
  type EngineExitReasonValue,
  type EngineVcpu,
  type EngineVm,
  emptyEngineExit,
  isPvclockValid,
  MSR,
  type PvclockState,
  pvclockAddress,
  type SavedValue,
  type VcpuRegState,
  VM_RWREGS_ALL,
  VM_RWREGS_GPRS,
  VmmError,
} from 'vmm';
import { AccessPieces } from './access-pieces.ts';
import { HeldStore } from './held-store.ts';
import { InstructionReader } from './instruction-reader.ts';
import { internalErrorText } from './internal-error.ts';
import { ERRNO, KVM_CONSTANT, KVM_EXIT, KVM_REQUEST } from './ioctl-numbers.ts';
import { answerReadMsr, answerWriteMsr, RESET_MSRS } from './kvm-msrs.ts';
import { readRegisters, writeRegisters } from './kvm-registers.ts';
import type { KvmVm } from './kvm-vm.ts';
import { EVENTS, FPU, RUN, RUN_IO, RUN_MMIO, SIZE, SREGS } from './struct-layouts.ts';
import { AREA, type VcpuHandle } from './vcpu-handle.ts';

/** Exits that the engine answers itself are bounded too: a slice ends after so many. */
const OWN_EXITS_MAX = 64;
const MISC_ENABLE_RESET = 0x1801n;
const FCW_RESET = 0x40;
const MXCSR_RESET = 0x1f80;
const RFLAGS_IF = 1n << 9n;
const RFLAGS_DF = 1n << 10n;

/** What holds an interrupt off besides RFLAGS.IF: fields of struct kvm_vcpu_events. */
const HOLDS = [
  EVENTS.exception_injected,
  EVENTS.exception_pending,
  EVENTS.interrupt_injected,
  EVENTS.interrupt_shadow,
  EVENTS.nmi_injected,
] as const;

/** What KVM waits for before it goes on with the instruction. */
type Owed = 'nothing' | 'io' | 'mmio';

/** A vCPU, for the thread that made it. */
export class KvmVcpu implements EngineVcpu {
  readonly exit: EngineExit = emptyEngineExit();
  private readonly vm: EngineVm;
  private readonly kvm: KvmVm;
  private readonly handle: VcpuHandle;
  private readonly reader: InstructionReader;
  private readonly pieces = new AccessPieces();
  private readonly kept = { miscEnable: MISC_ENABLE_RESET, xcr0: 1n };
  private owed: Owed = 'nothing';
  /** KVM has finished the IN or INS that the caller has yet to answer. */
  private isSettled = false;
  /** The registers were changed: what the shared page says of interrupts is out of date. */
  private isStale = true;
  private interrupt = -1;
  private exception: { vector: number; code: number | undefined } | undefined;
  private readonly store: HeldStore;
  private pvclockGpa = 0n;
  private pvclockVersion = 0;

  constructor(vm: EngineVm, kvm: KvmVm) {
    this.vm = vm;
    this.kvm = kvm;
    this.handle = kvm.vcpu;
    this.reader = new InstructionReader(kvm);
    this.store = new HeldStore(kvm);
    this.handle.run.setBigUint64(RUN.kvm_valid_regs, BigInt(KVM_CONSTANT.KVM_SYNC_X86_REGS), true);
  }

  // Running.

  run(): EngineExitReasonValue {
    if (this.owed !== 'nothing' && this.pieces.next()) return this.presentPiece();
    if (this.store.isHeld && !this.store.release()) return EngineExitReason.protection;
    this.injectPending();
    this.isSettled = false;
    this.kvm.timer.start();
    for (let exits = 0; exits < OWN_EXITS_MAX; exits++) {
      const errno = this.handle.enter();
      this.owed = 'nothing';
      this.isStale = false;
      if (errno !== 0) return this.failedEntry(errno);
      const reason = this.describe(this.handle.run.getUint32(RUN.exit_reason, true));
      if (reason !== undefined) return reason;
    }
    return EngineExitReason.none;
  }

  private failedEntry(errno: number): EngineExitReasonValue {
    if (errno === ERRNO.EINTR || errno === ERRNO.EAGAIN) return EngineExitReason.none;
    const reason =
      errno === ERRNO.EFAULT
        ? 'the guest used memory that the host could not give'
        : `KVM_RUN failed with errno ${errno}`;
    return this.fail(`The guest cannot go on: ${reason}.`);
  }

  /** What an exit is; undefined when the engine has answered it itself. */
  private describe(reason: number): EngineExitReasonValue | undefined {
    switch (reason) {
      case KVM_EXIT.KVM_EXIT_IO:
        return this.describeIo();
      case KVM_EXIT.KVM_EXIT_MMIO:
        return this.describeMmio();
      case KVM_EXIT.KVM_EXIT_HLT:
        this.kvm.timer.stop();
        this.exit.instructionLength = 1;
        return EngineExitReason.hlt;
      case KVM_EXIT.KVM_EXIT_IRQ_WINDOW_OPEN:
        return EngineExitReason.intWindow;
      case KVM_EXIT.KVM_EXIT_SHUTDOWN:
        return EngineExitReason.tripleFault;
      case KVM_EXIT.KVM_EXIT_INTR:
        return EngineExitReason.none;
      case KVM_EXIT.KVM_EXIT_X86_RDMSR:
        answerReadMsr(this.handle.run, this.kept, this.pvclockGpa);
        return undefined;
      case KVM_EXIT.KVM_EXIT_X86_WRMSR:
        answerWriteMsr(this.handle.run, this.kept, (value) => this.setPvclock(value));
        return undefined;
      case KVM_EXIT.KVM_EXIT_INTERNAL_ERROR:
        return this.fail(internalErrorText(this.handle.run));
      case KVM_EXIT.KVM_EXIT_FAIL_ENTRY: {
        const code = this.handle.run.getBigUint64(RUN.hw, true);
        return this.fail(
          `The host's processor refuses the guest's state (0x${code.toString(16)}).`,
        );
      }
      default:
        return this.fail(`KVM gave the guest up for a reason that is not known here: ${reason}.`);
    }
  }

  private fail(error: string): EngineExitReasonValue {
    this.exit.error = error;
    return EngineExitReason.internalError;
  }

  // Accesses.

  private describeIo(): EngineExitReasonValue | undefined {
    const { run } = this.handle;
    const { exit } = this;
    exit.isIn = run.getUint8(RUN.io + RUN_IO.direction) !== KVM_CONSTANT.KVM_EXIT_IO_OUT;
    exit.size = run.getUint8(RUN.io + RUN_IO.size);
    exit.port = run.getUint16(RUN.io + RUN_IO.port, true);
    const count = run.getUint32(RUN.io + RUN_IO.count, true);
    const offset = Number(run.getBigUint64(RUN.io + RUN_IO.data_offset, true));
    this.owed = 'io';
    this.reader.describe(exit);
    if (exit.isIn && exit.isString && !this.isInsMapped()) {
      // The guest's #PF comes first: KVM finds out for itself, and no device is read.
      return undefined;
    }
    this.pieces.startElements(offset, exit.size, count);
    this.pieces.next();
    return this.presentPiece();
  }

  /** The page that INS stores to exists for the guest. */
  private isInsMapped(): boolean {
    this.handle.get('regs');
    return this.handle.translate(this.insAddress(0n)) >= 0;
  }

  /** The linear address that is `back` bytes before the one that ES and RDI show. */
  private insAddress(back: bigint): bigint {
    const { handle } = this;
    handle.get('sregs');
    const offset = (handle.register('rdi') - back) & this.reader.addressMask();
    return handle.view.getBigUint64(AREA.sregs + SREGS.es, true) + offset;
  }

  private describeMmio(): EngineExitReasonValue {
    const { run } = this.handle;
    const { exit, store } = this;
    exit.gpa = Number(run.getBigUint64(RUN.mmio + RUN_MMIO.phys_addr, true));
    exit.isWrite = run.getUint8(RUN.mmio + RUN_MMIO.is_write) !== 0;
    const size = run.getUint32(RUN.mmio + RUN_MMIO.len, true);
    this.owed = 'mmio';
    if (exit.isWrite && this.kvm.slots.isReadOnly(exit.gpa)) {
      store.takeData(exit.gpa, size);
      this.pieces.clear();
      this.settle();
      store.hold();
      exit.isFetch = false;
      return EngineExitReason.protection;
    }
    this.pieces.startBytes(RUN.mmio + RUN_MMIO.data, size);
    this.pieces.next();
    return this.presentPiece();
  }

  /** Hands the current part of the access to the caller. */
  private presentPiece(): EngineExitReasonValue {
    const { run } = this.handle;
    const { exit, pieces } = this;
    const { offset, size } = pieces;
    exit.size = size;
    exit.data = size === 1 ? run.getUint8(offset) : size === 2 ? run.getUint16(offset, true) : 0;
    if (size >= 4) exit.data = run.getUint32(offset, true);
    exit.dataHigh = size === 8 ? run.getUint32(offset + 4, true) : 0;
    if (this.owed === 'io') return EngineExitReason.io;
    const first = Number(run.getBigUint64(RUN.mmio + RUN_MMIO.phys_addr, true));
    exit.gpa = first + (offset - RUN.mmio - RUN_MMIO.data);
    return EngineExitReason.mmio;
  }

  finishIo(data: number): void {
    if (this.isSettled) {
      this.isSettled = false;
      if (this.exit.isString) this.storeElement(data);
      else this.mergeAccumulator(data);
    } else if (this.owed === 'io') {
      this.putAnswer(data, 0);
    }
  }

  finishMmio(low: number, high: number): void {
    if (this.owed === 'mmio' && !this.exit.isWrite) this.putAnswer(low, high);
  }

  private putAnswer(low: number, high: number): void {
    const { run } = this.handle;
    const { offset, size } = this.pieces;
    if (size === 1) run.setUint8(offset, low);
    else if (size === 2) run.setUint16(offset, low, true);
    else run.setUint32(offset, low, true);
    if (size === 8) run.setUint32(offset + 4, high, true);
  }

  // Instructions that are finished before they are answered.

  /**
   * Has KVM finish the instruction that it waits in. An IN leaves RAX as it was, an INS of several
   * elements is as if it had come to the one that was handed out last; finishIo() then does the
   * rest.
   */
  private settle(): void {
    if (this.owed === 'nothing') return;
    const { handle, exit } = this;
    const isIn = this.owed === 'io' && exit.isIn;
    handle.get('regs');
    const [rax, rip] = [handle.register('rax'), handle.register('rip')];
    do {
      // An MMIO access may go on with its second page, for which there is no answer either.
      if (handle.finishInstruction() !== 0) break;
    } while (this.owed === 'mmio' && this.isAskedAgain());
    this.owed = 'nothing';
    this.isStale = true;
    if (!isIn) return;
    this.isSettled = true;
    handle.get('regs');
    if (exit.isString) this.rewindString(rip);
    else handle.setRegister('rax', rax);
    handle.put('regs');
  }

  private isAskedAgain(): boolean {
    const { run } = this.handle;
    const isAgain = run.getUint32(RUN.exit_reason, true) === KVM_EXIT.KVM_EXIT_MMIO;
    run.setUint32(RUN.exit_reason, KVM_EXIT.KVM_EXIT_INTR, true);
    return isAgain;
  }

  /** Takes the elements back that KVM has moved and the caller has not seen. */
  private rewindString(start: bigint): void {
    const { handle, pieces, exit } = this;
    const count = BigInt(pieces.remaining);
    handle.get('sregs');
    if (count === 0n) {
      // KVM's emulator leaves a REP of no elements to be stepped over.
      const isOver = exit.hasRep && (handle.register('rcx') & this.reader.addressMask()) === 0n;
      if (!isOver || handle.register('rip') !== start) return;
      handle.setRegister('rip', start + BigInt(exit.instructionLength));
      return;
    }
    const bytes = count * BigInt(pieces.size);
    const isDown = (handle.register('rflags') & RFLAGS_DF) !== 0n;
    this.addToRegister('rdi', isDown ? bytes : -bytes);
    this.addToRegister('rcx', count);
    handle.setRegister('rip', start);
    pieces.clear();
  }

  /** Adds to the part of a register that string instructions use. */
  private addToRegister(name: 'rcx' | 'rdi', amount: bigint): void {
    const mask = this.reader.addressMask();
    const value = this.handle.register(name);
    this.handle.setRegister(name, (value & ~mask) | ((value + amount) & mask));
  }

  private mergeAccumulator(data: number): void {
    const { handle, exit } = this;
    const bits = 8 * exit.size;
    handle.get('regs');
    const rax = handle.register('rax');
    const low = BigInt.asUintN(bits, BigInt(data));
    const kept = bits === 32 ? 0n : (rax >> BigInt(bits)) << BigInt(bits);
    handle.setRegister('rax', kept | low);
    handle.put('regs');
  }

  private storeElement(data: number): void {
    const { handle, exit } = this;
    handle.get('regs');
    const isDown = (handle.register('rflags') & RFLAGS_DF) !== 0n;
    const address = this.insAddress(BigInt(isDown ? -exit.size : exit.size));
    const bytes = this.kvm.bytes();
    for (let i = 0; i < exit.size; i++) {
      const offset = this.kvm.slots.offsetOf(handle.translate(address + BigInt(i)));
      if (offset >= 0) bytes[offset] = data >>> (8 * i);
    }
  }

  // Registers.

  readRegs(into: VcpuRegState, mask: number): void {
    if (this.owed === 'io') this.settle();
    readRegisters(this.handle, this.kept, into, mask);
  }

  writeRegs(from: VcpuRegState, mask: number): boolean {
    if (mask & VM_RWREGS_GPRS || this.owed === 'io') this.settle();
    this.isStale = true;
    return writeRegisters(this.handle, this.kept, from, mask);
  }

  reset(state: VcpuRegState): boolean {
    this.settle();
    this.isSettled = false;
    this.store.drop();
    this.interrupt = -1;
    this.exception = undefined;
    this.pvclockGpa = 0n;
    this.handle.setMsrs(RESET_MSRS);
    this.clearEvents();
    this.resetFpu();
    this.handle.run.setBigUint64(RUN.cr8, 0n, true);
    return this.writeRegs(state, VM_RWREGS_ALL);
  }

  private resetFpu(): void {
    const { handle } = this;
    const { view } = handle;
    for (let i = 0; i < SIZE.kvm_fpu; i++) view.setUint8(AREA.fpu + i, 0);
    view.setUint16(AREA.fpu + FPU.fcw, FCW_RESET, true);
    view.setUint8(AREA.fpu + FPU.ftwx, 0xff);
    view.setUint32(AREA.fpu + FPU.mxcsr, MXCSR_RESET, true);
    handle.callWith(KVM_REQUEST.KVM_SET_FPU, AREA.fpu);
  }

  // Interrupts.

  interruptReady(): boolean {
    if (this.interrupt >= 0 || this.exception !== undefined) return false;
    if (this.owed === 'mmio' || (this.owed === 'io' && this.pieces.remaining > 0)) return false;
    if (!this.isStale) return this.handle.run.getUint8(RUN.ready_for_interrupt_injection) !== 0;
    const { handle } = this;
    handle.get('events');
    const isHeld = HOLDS.some((field) => handle.view.getUint8(AREA.events + field) !== 0);
    handle.get('regs');
    return !isHeld && (handle.register('rflags') & RFLAGS_IF) !== 0n;
  }

  requestWindow(on: boolean): void {
    this.handle.run.setUint8(RUN.request_interrupt_window, on ? 1 : 0);
  }

  injectInterrupt(vector: number): void {
    this.interrupt = vector;
  }

  injectException(vector: number, errorCode: number | undefined): void {
    this.exception = { vector, code: errorCode };
  }

  private injectPending(): void {
    const { handle, exception, interrupt } = this;
    if (exception !== undefined) {
      this.settle();
      this.exception = undefined;
      this.raise(exception.vector, exception.code);
    } else if (interrupt >= 0) {
      this.settle();
      this.interrupt = -1;
      handle.view.setUint32(AREA.interrupt, interrupt, true);
      handle.callWith(KVM_REQUEST.KVM_INTERRUPT, AREA.interrupt);
    }
  }

  /** Has KVM deliver an exception. */
  private raise(vector: number, code: number | undefined): void {
    const { handle } = this;
    const { view } = handle;
    const at = AREA.events;
    handle.get('events');
    view.setUint8(at + EVENTS.exception_injected, 1);
    view.setUint8(at + EVENTS.exception_nr, vector);
    view.setUint8(at + EVENTS.exception_has_error_code, code === undefined ? 0 : 1);
    view.setUint32(at + EVENTS.exception_error_code, code ?? 0, true);
    handle.put('events');
  }

  /** Leaves KVM with nothing to deliver, and no shadow. */
  private clearEvents(): void {
    const { view } = this.handle;
    for (let i = 0; i < SIZE.kvm_vcpu_events; i++) view.setUint8(AREA.events + i, 0);
    const { KVM_VCPUEVENT_VALID_SHADOW: flags } = KVM_CONSTANT;
    view.setUint32(AREA.events + EVENTS.flags, flags, true);
    this.handle.put('events');
  }

  // Memory.

  /** KVM sees what was written: its processor's caches are coherent. */
  invalidate(): void {}

  protect(gpa: number, sizeBytes: number, prot: number): void {
    this.kvm.slots.protect(gpa, sizeBytes, prot);
  }

  usedPages(): number {
    return this.kvm.resident.pages;
  }

  // The paravirtual clock: KVM's own, whose version counter is the record's.

  get pvclock(): PvclockState {
    const at = this.pvclockRecord();
    const version = at < 0 ? this.pvclockVersion : this.kvm.data().getUint32(at, true);
    return { gpa: this.pvclockGpa, version };
  }

  setPvclock(gpa: bigint): boolean {
    if (!isPvclockValid(this.vm.ranges, gpa)) return false;
    this.pvclockGpa = gpa;
    return this.handle.setMsrs([[MSR.KVM_SYSTEM_TIME, gpa]]);
  }

  setPvclockVersion(version: number): void {
    this.pvclockVersion = version >>> 0;
    const at = this.pvclockRecord();
    if (at >= 0) this.kvm.data().setUint32(at, version, true);
  }

  private pvclockRecord(): number {
    if ((this.pvclockGpa & 1n) === 0n) return -1;
    return this.kvm.slots.offsetOf(Number(pvclockAddress(this.pvclockGpa)));
  }

  save(): SavedValue {
    throw new VmmError('ENODEV', 'A machine on the kvm engine cannot be saved yet.');
  }

  load(): void {
    throw new VmmError('ENODEV', 'The kvm engine cannot go on with a saved machine yet.');
  }

  close(): void {
    this.kvm.close();
  }
}
