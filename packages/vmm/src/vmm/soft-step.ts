// One instruction at a time: for the shadow of STI and MOV SS, for RFLAGS.TF, and while DR7 enables
// a breakpoint. SDM vol. 3B, 18.2 to 18.4. Slow, and rare.
//
// A conditional branch to the instruction right behind it does not count as taken (BTF).

import type { CodeCache } from '../cpu/code-cache.ts';
import { CR4_DE, DEBUGCTL_BTF, DR6_BS, DR7_ENABLES } from '../cpu/control-bits.ts';
import { DELIVERY } from '../cpu/events.ts';
import type { PhysicalMap } from '../cpu/physical-map.ts';
import type { ProcessorExports } from '../cpu/processor.ts';
import { R } from '../cpu/record.ts';
import {
  CS,
  EVENT,
  EXIT,
  S,
  SEGMENT_LIMIT,
  SHADOW,
  SLOT,
  STATE_BYTES,
  segmentCache,
  VECTOR,
} from '../cpu/state.ts';
import { RF, TF } from '../isa/flags.ts';

const PAGE_BYTES = 4096;
const DR6 = S.dr + 8 * 6;
const DR7 = S.dr + 8 * 7;
/** R/W field of DR7: port accesses, under CR4.DE. */
const RW_IO = 2;

/** What a stepper works on. */
export interface StepperParts {
  readonly memory: WebAssembly.Memory;
  /** Address of the vCPU's state. */
  readonly base: number;
  readonly cpu: ProcessorExports;
  readonly cache: CodeCache;
  readonly map: PhysicalMap;
  /** The handler that ends a step. */
  readonly stop: number;
}

/** Steps a vCPU. */
export class Stepper {
  private readonly memory: WebAssembly.Memory;
  private readonly base: number;
  private readonly cpu: ProcessorExports;
  private readonly cache: CodeCache;
  private readonly map: PhysicalMap;
  private readonly stop: number;
  private readonly words: Int32Array;
  private readonly view: DataView;
  private readonly stepBytes = new Uint8Array(32);
  /** The debug registers at the last step. */
  private readonly debugWords = new Int32Array(16);

  constructor(parts: StepperParts) {
    this.memory = parts.memory;
    this.base = parts.base;
    this.cpu = parts.cpu;
    this.cache = parts.cache;
    this.map = parts.map;
    this.stop = parts.stop;
    this.words = new Int32Array(parts.memory.buffer, parts.base, STATE_BYTES / 4);
    this.view = new DataView(parts.memory.buffer);
  }

  private get32(offset: number): number {
    return this.words[offset >>> 2];
  }

  private set32(offset: number, value: number): void {
    this.words[offset >>> 2] = value;
  }

  /**
   * Executes the instruction at RIP, or delivers what comes before it. True when a #DB is due that
   * must wait for the monitor to see to the exit first (DR6 says why).
   */
  step(): boolean {
    const { cpu } = this;
    const trap = (this.get32(S.eflags) & TF) !== 0;
    const resumed = (this.get32(S.eflags) & RF) !== 0;
    const exceptions = this.get32(S.exceptions);
    const overhead = this.get32(S.overhead);
    // What the instruction before held off comes with this one's own traps.
    const isHeld = this.get32(S.shadow) === SHADOW.all;
    const traps = (isHeld ? this.get32(S.debugTraps) : 0) | (trap ? DR6_BS : 0);
    this.set32(S.debugTraps, traps);
    this.set32(S.shadow, SHADOW.none);
    this.set32(S.exit, EXIT.none);
    this.set32(S.budget, 1);
    this.forgetWatched();
    const hit = resumed || isHeld ? 0 : this.instructionBreakpoints();
    // RF is pushed as 0: to go on past the breakpoint its handler sets it (SDM vol. 3B, 18.3.1.1).
    if (hit !== 0) return this.deliverDebug(hit);
    if (!this.prepare()) {
      cpu.raise(this.base);
      return false;
    }
    // What the step has been charged for a new code page must not keep it from being made.
    this.set32(S.budget, 1);
    this.set32(S.overhead, overhead);
    const next = this.nextRip();
    const isBranch = this.cache.isBranch;
    cpu.runRecord(this.base, this.base + S.stepRecords);
    if (this.get32(S.exceptions) !== exceptions) return false;
    const hasBranched = isBranch && this.view.getBigUint64(this.base + S.rip, true) !== next;
    if ((this.get32(S.debugCtl) & DEBUGCTL_BTF) !== 0 && !hasBranched) {
      this.set32(S.debugTraps, this.get32(S.debugTraps) & ~DR6_BS);
    }
    if (this.get32(S.exit) === EXIT.io) this.noteIo();
    if (resumed) this.set32(S.eflags, this.get32(S.eflags) & ~RF);
    return this.trapAfter();
  }

  /** RIP behind the instruction in the step records. */
  private nextRip(): bigint {
    const rip = this.view.getBigUint64(this.base + S.rip, true);
    return rip + BigInt(this.view.getUint8(this.base + S.stepRecords + R.length));
  }

  /** Notes the I/O breakpoints that the port access hits which the monitor is to make. */
  private noteIo(): void {
    if ((this.get32(S.cr4) & CR4_DE) === 0) return;
    const port = this.get32(S.exitPort);
    const last = port + this.get32(S.exitSize) - 1;
    const dr7 = this.get32(DR7);
    let hit = 0;
    for (let i = 0; i < 4; i++) {
      const isEnabled = ((dr7 >> (2 * i)) & 3) !== 0;
      const isIo = ((dr7 >> (16 + 4 * i)) & 3) === RW_IO;
      const bytes = ((dr7 >> (18 + 4 * i)) & 3) + 1;
      const first = this.get32(S.dr + 8 * i) & ~(bytes - 1);
      if (isEnabled && isIo && first <= last && port < first + bytes) hit |= 1 << i;
    }
    this.set32(S.debugTraps, this.get32(S.debugTraps) | hit);
  }

  /** Raises #DB behind the instruction just done, at once or when the monitor has completed it. */
  private trapAfter(): boolean {
    if (this.get32(S.shadow) === SHADOW.all) {
      this.set32(S.debugTraps, this.get32(S.debugTraps) & ~DR6_BS);
      return false;
    }
    const traps = this.get32(S.debugTraps);
    if (traps === 0) return false;
    switch (this.get32(S.exit)) {
      case EXIT.hlt:
        // The trap ends the halt at once.
        this.set32(S.exit, EXIT.none);
        return this.deliverDebug(traps);
      case EXIT.none:
      case EXIT.step:
      case EXIT.window:
        return this.deliverDebug(traps);
      case EXIT.io:
        this.set32(DR6, this.get32(DR6) | traps);
        return true;
      default:
        return false;
    }
  }

  /** Delivers #DB at RIP; true when that needs the monitor first. */
  private deliverDebug(dr6: number): boolean {
    const { base, view } = this;
    this.set32(DR6, this.get32(DR6) | dr6);
    view.setBigUint64(base + S.eventRip, view.getBigUint64(base + S.rip, true), true);
    return this.cpu.deliver(base, VECTOR.DB, EVENT.exception, 0, 0) === DELIVERY.waits;
  }

  /** Watched pages must not be in the TLB: empties it whenever a debug register has changed. */
  private forgetWatched(): void {
    let changed = false;
    for (let i = 0; i < 16; i++) {
      const word = this.get32(S.dr + 4 * i);
      // DR6 reports; it arms nothing.
      if (i >> 1 !== 6 && word !== this.debugWords[i]) changed = true;
      this.debugWords[i] = word;
    }
    if (changed) this.cpu.flushAll(this.base);
  }

  /** The instruction breakpoints at RIP, as bits of DR6. */
  private instructionBreakpoints(): number {
    const dr7 = this.get32(DR7);
    if ((dr7 & DR7_ENABLES) === 0) return 0;
    const linear = this.linearRip();
    let hit = 0;
    for (let i = 0; i < 4; i++) {
      const isEnabled = ((dr7 >> (2 * i)) & 3) !== 0;
      const isExecute = ((dr7 >> (16 + 4 * i)) & 3) === 0;
      const address = this.view.getBigUint64(this.base + S.dr + 8 * i, true);
      if (isEnabled && isExecute && address === linear) hit |= 1 << i;
    }
    return hit;
  }

  private linearRip(): bigint {
    const rip = this.view.getBigUint64(this.base + S.rip, true);
    if (this.get32(S.codeMode) === 8) return rip;
    return (rip + this.view.getBigUint64(this.base + SLOT.segmentBase + 8, true)) & 0xffffffffn;
  }

  /** Decodes the instruction at RIP into the step records; false with a fault set. */
  private prepare(): boolean {
    const { cpu } = this;
    const mode = this.get32(S.codeMode) as 2 | 4 | 8;
    const rip = this.view.getBigUint64(this.base + S.rip, true);
    const linear = this.linearRip();
    if (mode !== 8 && !this.isWithin(rip, 0)) return this.protectionFault();
    const code = cpu.fetchPage(this.base, linear);
    if (code === 0) return false;
    const offset = Number(linear & 0xfffn);
    const host = this.hostOf(code);
    const head = Math.min(PAGE_BYTES - offset, 16);
    const bytes = new Uint8Array(this.memory.buffer);
    this.stepBytes.fill(0);
    this.stepBytes.set(bytes.subarray(host + offset, host + offset + head));
    this.view.setBigUint64(
      this.base + SLOT.ripBase,
      BigInt.asUintN(64, rip - BigInt(offset)),
      true,
    );
    this.set32(S.codePage, code);
    if (this.cache.lengthAt(this.stepBytes, head, mode) === 0) {
      if (mode !== 8 && !this.isWithin(rip, head)) return this.protectionFault();
      const behind = linear + BigInt(head);
      const next = cpu.fetchPage(this.base, mode === 8 ? behind : behind & 0xffffffffn);
      if (next === 0) return false;
      // To make room for the second page, all code may have been dropped, the first page's too.
      if (this.get32(S.codePage) === 0) return this.prepare();
      const second = this.hostOf(next);
      this.stepBytes.set(bytes.subarray(second, second + 16 - head), head);
    }
    const length = mode === 8 ? 1 : this.cache.lengthAt(this.stepBytes, 16, mode);
    if (mode !== 8 && !this.isWithin(rip, length - 1)) return this.protectionFault();
    this.cache.fillPair(this.base + S.stepRecords, this.stepBytes, 0, offset, mode, this.stop);
    return true;
  }

  /** Outside 64-bit code: whether the byte at `rip` + `bytes` is in CS. EIP wraps at 4 GiB. */
  private isWithin(rip: bigint, bytes: number): boolean {
    const limit = this.get32(segmentCache(CS) + SEGMENT_LIMIT) >>> 0;
    return (Number(rip) + bytes) % 2 ** 32 <= limit;
  }

  /** Sets #GP(0), which the caller has raised. */
  private protectionFault(): false {
    this.set32(S.faultVector, VECTOR.GP);
    this.set32(S.faultHasCode, 1);
    this.set32(S.faultCode, 0);
    return false;
  }

  private hostOf(code: number): number {
    return this.map.hostOf(this.cache.pageOf(code));
  }
}
