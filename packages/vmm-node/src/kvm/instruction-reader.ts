// Reads the instruction behind an I/O exit, to describe it. Where an instruction lies is remembered
// by its RIP, since guests have few of them and execute them often; an instruction that does not
// fit the exit was not the one, and is looked for anew.

import type { EngineExit } from 'vmm';
import { emptyIoInstruction, findIoInstruction } from './io-instruction.ts';
import type { KvmVm } from './kvm-vm.ts';
import { REGS, RUN, SEGMENT, SREGS } from './struct-layouts.ts';
import { AREA } from './vcpu-handle.ts';

/** Places remembered; a power of two. */
const PLACES = 64;
/** Bytes before and after RIP that an instruction can have. */
const REACH = 16;
const PAGE_BYTES = 4096;
const MASK_16 = 0xffffn;
const MASK_32 = 0xffff_ffffn;
const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** Describes the I/O instructions of one vCPU. */
export class InstructionReader {
  private readonly kvm: KvmVm;
  /** RIP, in two halves, and the offset in the WebAssembly memory, or -1. */
  private readonly low = new Int32Array(PLACES);
  private readonly high = new Int32Array(PLACES);
  private readonly offsets = new Float64Array(PLACES).fill(-1);
  private readonly code = new Uint8Array(2 * REACH);
  private readonly found = emptyIoInstruction();

  constructor(kvm: KvmVm) {
    this.kvm = kvm;
  }

  /** Completes a record of an I/O exit, whose port, size and direction are known. */
  describe(exit: EngineExit): void {
    const { run } = this.kvm.vcpu;
    const low = run.getInt32(RUN.s + REGS.rip, true);
    const high = run.getInt32(RUN.s + REGS.rip + 4, true);
    const place = (low ^ (low >> 6)) & (PLACES - 1);
    const isKnown = this.low[place] === low && this.high[place] === high;
    if (!isKnown || this.offsets[place] < 0 || !this.matches(this.offsets[place], exit)) {
      const offset = this.locate();
      this.low[place] = low;
      this.high[place] = high;
      this.offsets[place] = offset;
      if (offset < 0 || !this.matches(offset, exit)) {
        Object.assign(this.found, emptyIoInstruction());
      }
    }
    exit.isString = this.found.isString;
    exit.hasRep = this.found.hasRep;
    exit.portIsImmediate = this.found.portIsImmediate;
    exit.instructionLength = this.found.length;
  }

  /**
   * The bits of an address register that the instruction described last uses, for the code segment
   * as last fetched.
   */
  addressMask(): bigint {
    const { view } = this.kvm.vcpu;
    const cs = AREA.sregs + SREGS.cs;
    const { hasAddressSize } = this.found;
    if (view.getUint8(cs + SEGMENT.l) !== 0) return hasAddressSize ? MASK_32 : MASK_64;
    return (view.getUint8(cs + SEGMENT.db) !== 0) === hasAddressSize ? MASK_16 : MASK_32;
  }

  /** Where RIP lies in the WebAssembly memory; -1 where it does not. */
  private locate(): number {
    const { vcpu, slots } = this.kvm;
    vcpu.get('sregs');
    const base = vcpu.view.getBigUint64(AREA.sregs + SREGS.cs, true);
    const gpa = vcpu.translate(base + vcpu.run.getBigUint64(RUN.s + REGS.rip, true));
    return gpa < 0 ? -1 : slots.offsetOf(gpa);
  }

  /** Looks at the bytes around `offset`, as far as its page goes: the next may lie elsewhere. */
  private matches(offset: number, exit: EngineExit): boolean {
    const bytes = this.kvm.bytes();
    const page = offset - (offset % PAGE_BYTES);
    const from = Math.max(page, offset - REACH);
    const to = Math.min(page + PAGE_BYTES, offset + REACH);
    this.code.fill(0);
    for (let at = from; at < to; at++) this.code[at - offset + REACH] = bytes[at];
    const dx = this.kvm.vcpu.run.getUint16(RUN.s + REGS.rdx, true);
    return findIoInstruction(this.code, REACH, dx, exit, this.found);
  }
}
