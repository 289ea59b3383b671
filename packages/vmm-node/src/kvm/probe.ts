// Whether KVM on this host is worth having. There are hosts whose /dev/kvm opens and works but
// emulates nearly every instruction, a hundred times slower than the soft engine's compiler; and
// hosts, virtual machines themselves, where each exit costs more than it saves. So a guest of a few
// instructions is timed: a loop, and some exits.
//
// It never hangs, since every RUN of the engine is a slice, and takes some milliseconds where KVM
// is good, PROBE_MS_MAX and a slice where it is not.

import {
  EngineExitReason,
  type EngineVcpu,
  emptyRegState,
  VCPU_CRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  VmmError,
} from 'vmm';
import type { KvmEngine } from './kvm-engine.ts';

/** After this the probe knows enough. */
const PROBE_MS_MAX = 10;
/** Times that the loop is measured; the best counts, as others may use the host too. */
const LOOPS = 3;
const ITERATIONS = 50_000;
const EXITS = 50;

/** In million a second. The soft engine's best is about a thousand, which a processor triples. */
const RATE_MIN = 1000;
/** Linux boots with some ten thousand exits. */
const EXIT_MICROSECONDS_MAX = 100;

/** What the probe measured. */
export interface KvmSpeed {
  /** Instructions of the loop, in million a second; 0 when it did not end in time. */
  readonly rate: number;
  /** Of an OUT, there and back, in microseconds; Infinity when it was not come to. */
  readonly exitMicroseconds: number;
}

const PAGE_TABLES = 0x1000;
const CODE = 0x4000;
const MEMORY_PAGES = 1;
/** mov ecx, ITERATIONS; 1: dec ecx; jnz 1b; out 0x80, al; 2: out 0x80, al; jmp 2b */
const PROGRAM = [
  0xb9,
  ...new Uint8Array(Uint32Array.of(ITERATIONS).buffer),
  ...[0xff, 0xc9, 0x75, 0xfc, 0xe6, 0x80, 0xe6, 0x80, 0xeb, 0xfc],
];

/** 64-bit mode, with the first 2 MiB mapped to themselves. */
function guestState(): VcpuRegState {
  const state = emptyRegState();
  const { vrs_gprs, vrs_crs, vrs_msrs, vrs_sregs, vrs_gdtr, vrs_idtr } = state;
  vrs_gprs[VCPU_REGS.RIP] = BigInt(CODE);
  vrs_gprs[VCPU_REGS.RFLAGS] = 2n;
  vrs_crs[VCPU_CRS.CR0] = 0x8000_0031n; // PG, NE, ET, PE
  vrs_crs[VCPU_CRS.CR3] = BigInt(PAGE_TABLES);
  vrs_crs[VCPU_CRS.CR4] = 0x20n; // PAE
  vrs_crs[VCPU_CRS.XCR0] = 1n;
  vrs_msrs[VCPU_MSRS.EFER] = 0x500n; // LMA, LME
  for (const segment of vrs_sregs) {
    Object.assign(segment, { vsi_sel: 0x10, vsi_limit: 0xffff_ffff, vsi_ar: 0xc093 });
  }
  Object.assign(vrs_sregs[VCPU_SREGS.CS], { vsi_sel: 8, vsi_ar: 0xa09b });
  Object.assign(vrs_sregs[VCPU_SREGS.LDTR], { vsi_sel: 0, vsi_limit: 0xffff, vsi_ar: 0x82 });
  Object.assign(vrs_sregs[VCPU_SREGS.TR], { vsi_sel: 0, vsi_limit: 0xffff, vsi_ar: 0x8b });
  vrs_gdtr.vsi_limit = 0xffff;
  vrs_idtr.vsi_limit = 0xffff;
  return state;
}

function guestMemory(): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  const view = new DataView(memory.buffer);
  view.setBigUint64(PAGE_TABLES, BigInt(PAGE_TABLES + 0x1003), true);
  view.setBigUint64(PAGE_TABLES + 0x1000, BigInt(PAGE_TABLES + 0x2003), true);
  view.setBigUint64(PAGE_TABLES + 0x2000, 0x83n, true);
  new Uint8Array(memory.buffer).set(PROGRAM, CODE);
  return memory;
}

/** Runs to the next OUT; false when it was not there by `endMs`. */
function runToExit(vcpu: EngineVcpu, endMs: number): boolean {
  for (;;) {
    const reason = vcpu.run();
    if (reason === EngineExitReason.io) return true;
    if (reason !== EngineExitReason.none) {
      throw new VmmError('EIO', `KVM does not run guests here: ${vcpu.exit.error || 'it stops'}`);
    }
    if (performance.now() > endMs) return false;
  }
}

/** Measures. Throws VmmError when KVM cannot run the guest at all. */
export function measureKvm(engine: KvmEngine): KvmSpeed {
  const endMs = performance.now() + PROBE_MS_MAX;
  const memory = guestMemory();
  const ranges = [{ gpa: 0, offset: 0, sizeBytes: memory.buffer.byteLength }];
  const vcpu = engine.createVcpu({ memory, ranges, vcpuId: 0, kick: new Int32Array(1) });
  try {
    let rate = 0;
    for (let i = 0; i < LOOPS; i++) {
      if (!vcpu.reset(guestState())) throw new VmmError('EIO', 'KVM refuses 64-bit guests here.');
      const startMs = performance.now();
      if (!runToExit(vcpu, endMs)) return { rate, exitMicroseconds: Infinity };
      rate = Math.max(rate, (2 * ITERATIONS) / (performance.now() - startMs) / 1000);
    }
    const startMs = performance.now();
    for (let i = 0; i < EXITS; i++) {
      if (!runToExit(vcpu, endMs)) return { rate, exitMicroseconds: Infinity };
    }
    return { rate, exitMicroseconds: ((performance.now() - startMs) / EXITS) * 1000 };
  } finally {
    vcpu.close();
  }
}

/** Why guests had better run on the soft engine; undefined when they had not. */
export function slowness({ rate, exitMicroseconds }: KvmSpeed): string | undefined {
  if (rate === 0) return `it emulates instructions: a loop did not end in ${PROBE_MS_MAX} ms`;
  if (rate < RATE_MIN) {
    return `it emulates instructions: ${rate.toFixed(0)} million a second in a loop`;
  }
  if (exitMicroseconds > EXIT_MICROSECONDS_MAX) {
    return `an exit takes ${exitMicroseconds.toFixed(0)} microseconds`;
  }
  return undefined;
}
