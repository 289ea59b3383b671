// Small guests for the monitor's tests: assembles code with the system's assembler, makes a VM with
// it in one of three processor modes, and runs it until it says that it is done.
//
// Memory of every guest: 0x1000 GDT, 0x2000 IDT (the IVT is at 0), 0x4000 page tables, 0x8000 top
// of the stack, 0x10000 the program, 0x20000 handlers, one per 0x100; free from 0x30000 to 2 MiB. A
// guest reports 32-bit values at port REPORT and stops at port DONE.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openVmm, type VmmDevice } from '../src/vmm/device.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { VMX_EXIT_IO } from '../src/vmm/exit-reasons.ts';
import {
  emptyRegState,
  powerOnState,
  VCPU_CRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  VM_RWREGS_ALL,
} from '../src/vmm/registers.ts';
import { runParams, type VmRunParams } from '../src/vmm/structs.ts';

/** Ports by which a guest talks to its test. */
export const REPORT = 0x10;
export const DONE = 0x1f;

const GDT = 0x1000;
const IDT = 0x2000;
const PAGE_TABLES = 0x4000;
const STACK_TOP = 0x8000;
const PROGRAM = 0x10000;
const HANDLERS = 0x20000;
/** Where guest memory begins in the address space. */
const RAM_OFFSET = 0x100000;
const RAM_BYTES = 2 << 20;
const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;

/** How many RUNs a guest may take: a slice each, so that a guest that hangs is found out. */
const RUN_COUNT_MAX = 2000;

export type Mode = 16 | 32 | 64;

const PROLOGUE = `.intel_syntax noprefix
.macro report
  out ${REPORT}, eax
.endm
.macro done
  out ${DONE}, al
.endm
.macro wrmsr64 index, high, low
  mov ecx, \\index
  mov edx, \\high
  mov eax, \\low
  wrmsr
.endm
.text
`;

/** Assembles code (GNU as, Intel syntax) for a mode, to lie at linear address `origin`. */
export function assemble(source: string, mode: Mode, origin: number = PROGRAM): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'vmm-guest-'));
  try {
    const path = join(folder, 'guest');
    writeFileSync(`${path}.s`, `${PROLOGUE}.code${mode}\n${source}\n`);
    execFileSync('as', ['--64', '-o', `${path}.o`, `${path}.s`]);
    const flags = ['-m', 'elf_x86_64', '-Ttext', `0x${origin.toString(16)}`, '-e', '0'];
    execFileSync('ld', [...flags, '--oformat', 'binary', '-o', path, `${path}.o`]);
    return Uint8Array.from(readFileSync(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const segment = (sel: number, limit: number, ar: number, base = 0n) => ({
  vsi_sel: sel,
  vsi_limit: limit,
  vsi_ar: ar,
  vsi_base: base,
});

function realState(): VcpuRegState {
  const state = powerOnState(0);
  state.vrs_sregs[VCPU_SREGS.CS] = segment(PROGRAM >> 4, 0xffff, 0x9b, BigInt(PROGRAM));
  state.vrs_gprs[VCPU_REGS.RIP] = 0n;
  state.vrs_gprs[VCPU_REGS.RSP] = BigInt(STACK_TOP);
  state.vrs_idtr = segment(0, 0x3ff, 0);
  return state;
}

/** Access rights: present, DPL 0, accessed; G and D, or G and L. */
const AR_CODE32 = 0xc09b;
const AR_CODE64 = 0xa09b;
const AR_DATA = 0xc093;

function protectedState(): VcpuRegState {
  const state = powerOnState(0);
  state.vrs_crs[VCPU_CRS.CR0] = 0x31n; // PE, ET, NE
  state.vrs_gprs[VCPU_REGS.RIP] = BigInt(PROGRAM);
  state.vrs_gprs[VCPU_REGS.RSP] = BigInt(STACK_TOP);
  state.vrs_sregs[VCPU_SREGS.CS] = segment(CODE_SELECTOR, 0xffffffff, AR_CODE32);
  for (const index of [VCPU_SREGS.DS, VCPU_SREGS.ES, VCPU_SREGS.FS, VCPU_SREGS.GS, VCPU_SREGS.SS]) {
    state.vrs_sregs[index] = segment(DATA_SELECTOR, 0xffffffff, AR_DATA);
  }
  state.vrs_gdtr = segment(0, 0x17, 0, BigInt(GDT));
  state.vrs_idtr = segment(0, 0x7ff, 0, BigInt(IDT));
  return state;
}

function longState(): VcpuRegState {
  const state = protectedState();
  state.vrs_crs[VCPU_CRS.CR0] = 0x80000031n; // and PG
  state.vrs_crs[VCPU_CRS.CR3] = BigInt(PAGE_TABLES);
  state.vrs_crs[VCPU_CRS.CR4] = 0x20n; // PAE
  state.vrs_msrs[VCPU_MSRS.EFER] = 0xd00n; // NXE, LMA, LME
  state.vrs_sregs[VCPU_SREGS.CS] = segment(CODE_SELECTOR, 0xffffffff, AR_CODE64);
  state.vrs_idtr = segment(0, 0xfff, 0, BigInt(IDT));
  return state;
}

/** The register state in which a guest of a mode starts. */
export function initialState(mode: Mode): VcpuRegState {
  if (mode === 16) return realState();
  return mode === 32 ? protectedState() : longState();
}

/** An address space of `megabytes`, with room to grow for engines that keep their state in it. */
export function guestAddressSpace(megabytes: number): WebAssembly.Memory {
  const pages = megabytes * 16;
  return new WebAssembly.Memory({ initial: pages, maximum: pages + 4096, shared: true });
}

/** A VM of 2 MiB with a program in it. */
export class Guest {
  readonly mode: Mode;
  readonly memory: WebAssembly.Memory = guestAddressSpace(4);
  readonly device: VmmDevice;
  readonly id: number;
  readonly params: VmRunParams;

  private readonly ramOffset: number;

  /** `ramOffset`: where guest memory begins in the address space. */
  constructor(engine: Engine, mode: Mode, source: string, ramOffset: number = RAM_OFFSET) {
    this.mode = mode;
    this.ramOffset = ramOffset;
    this.device = openVmm({ engine, memory: this.memory });
    this.id = this.device.create({
      vcp_nmemranges: 1n,
      vcp_ncpus: 1n,
      vcp_memranges: [{ vmr_gpa: 0n, vmr_va: BigInt(ramOffset), vmr_size: BigInt(RAM_BYTES) }],
      vcp_name: 'guest',
      vcp_id: 0,
    });
    this.params = runParams(this.id);
    this.load(PROGRAM, assemble(source, mode));
    this.buildTables();
    this.reset(initialState(mode));
  }

  /** Guest memory, little endian, by guest-physical address. */
  get view(): DataView {
    return new DataView(this.memory.buffer, this.ramOffset, RAM_BYTES);
  }

  load(gpa: number, bytes: Uint8Array): void {
    new Uint8Array(this.memory.buffer, this.ramOffset, RAM_BYTES).set(bytes, gpa);
  }

  reset(state: VcpuRegState): void {
    this.device.resetcpu({ vrp_vm_id: this.id, vrp_vcpu_id: 0, vrp_init_state: state });
  }

  registers(): VcpuRegState {
    const regs = emptyRegState();
    this.device.readregs(this.rwregs(VM_RWREGS_ALL, regs));
    return regs;
  }

  setRegisters(mask: number, regs: VcpuRegState): void {
    this.device.writeregs(this.rwregs(mask, regs));
  }

  /** Has `vector` go to `source`, which is code of the guest's mode. */
  handler(vector: number, source: string): void {
    const address = HANDLERS + vector * 0x100;
    this.load(address, assemble(source, this.mode, address));
    const { view } = this;
    if (this.mode === 16) {
      view.setUint32(vector * 4, ((address >> 4) << 16) | 0, true);
      return;
    }
    const gate = IDT + vector * (this.mode === 64 ? 16 : 8);
    view.setUint16(gate, address & 0xffff, true);
    view.setUint16(gate + 2, CODE_SELECTOR, true);
    view.setUint16(gate + 4, 0x8e00, true); // present interrupt gate
    view.setUint16(gate + 6, address >> 16, true);
  }

  /** Has the exceptions report 0xfa000000 + vector and end the guest. */
  reportExceptions(...vectors: number[]): void {
    for (const vector of vectors) {
      this.handler(vector, `mov eax, ${0xfa000000 + vector}\nreport\ndone`);
    }
  }

  /** One RUN; a continuation of the one before. Answers the exit reason. */
  run(): number {
    this.device.run(this.params);
    this.params.vrp_continue = 1;
    return this.params.vrp_exit_reason;
  }

  /** RUNs until `stop` accepts an exit reason; a guest that never gets there fails the test. */
  runUntil(stop: (reason: number) => boolean): number {
    for (let count = 0; count < RUN_COUNT_MAX; count++) {
      const reason = this.run();
      if (stop(reason)) return reason;
    }
    throw new Error('the guest did not get there');
  }

  /** RUNs to the next I/O exit at a port. */
  runToPort(port: number): void {
    const { vei } = this.params.vrp_exit;
    this.runUntil((reason) => reason === VMX_EXIT_IO && vei.vei_port === port);
  }

  /** RUNs until the guest is done, and answers what it reported, as unsigned 32-bit numbers. */
  reports(): number[] {
    const values: number[] = [];
    const { vei } = this.params.vrp_exit;
    this.runUntil((reason) => {
      if (reason !== VMX_EXIT_IO) return false;
      if (vei.vei_port === REPORT) values.push(vei.vei_data >>> 0);
      return vei.vei_port === DONE;
    });
    return values;
  }

  private rwregs(mask: number, regs: VcpuRegState) {
    return {
      vrwp_vm_id: this.id,
      vrwp_vcpu_id: 0,
      vrwp_mask: BigInt(mask),
      vrwp_regs: regs,
    };
  }

  private buildTables(): void {
    const { view } = this;
    const code = this.mode === 64 ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn;
    view.setBigUint64(GDT + CODE_SELECTOR, code, true);
    view.setBigUint64(GDT + DATA_SELECTOR, 0x00cf93000000ffffn, true);
    // The first GiB, as itself, in pages of 2 MiB: present, writable.
    view.setBigUint64(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1003), true);
    view.setBigUint64(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2003), true);
    for (let i = 0; i < 512; i++) {
      view.setBigUint64(PAGE_TABLES + 0x2000 + 8 * i, (BigInt(i) << 21n) | 0x83n, true);
    }
  }
}

/** Makes a guest and answers what it reports; exceptions 1, 6, 13 and 14 end it with a report. */
export function reportsOf(engine: Engine, mode: Mode, source: string): number[] {
  const guest = new Guest(engine, mode, source);
  guest.reportExceptions(1, 6, 13, 14);
  return guest.reports();
}
