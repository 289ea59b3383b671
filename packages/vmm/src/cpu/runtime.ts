// The helper functions that handlers call: declared here, defined by the file named at each group.
// All live in the one module of the engine and take the state's base, `cpu`, first.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { AvxRuntime } from './avx-runtime.ts';
import type { Size } from './context.ts';
import type { ControlRegisters } from './control-registers.ts';
import type { DebugRegisters } from './debug-registers.ts';
import type { Events } from './events.ts';
import type { FarReturn } from './far-return.ts';
import type { FarTransfer } from './far-transfer.ts';
import type { FastCall } from './fast-call.ts';
import type { BitFieldRuntime } from './integer-bmi.ts';
import type { IoRuntime } from './io.ts';
import type { Modes } from './modes.ts';
import type { Msrs } from './msr.ts';
import type { Segments } from './segments.ts';
import type { SseRuntime } from './sse-runtime.ts';
import type { SystemSegments } from './system-segments.ts';
import type { X87Runtime } from './x87-runtime.ts';

type BySize<T> = Readonly<Record<Size, T>>;

/** Memory accesses through the slow path; defined in mmu.ts. */
export interface MemoryRuntime {
  /** (cpu, linear) -> value, zero-extended. A fault leaves S.faultVector >= 0 or FAULT_EXIT. */
  readonly load: BySize<Fn<'i64'>>;
  /** (cpu, linear, value) -> non-zero on a fault. */
  readonly store: BySize<Fn<'i32'>>;
  /**
   * The same with supervisor rights whatever CPL is, for descriptor tables, TSS and event stacks:
   * (cpu, linear) -> value; (cpu, linear, value) -> non-zero on a fault.
   */
  readonly loadSystem: BySize<Fn<'i64'>>;
  readonly storeSystem: BySize<Fn<'i32'>>;
  /** (cpu, linear, bytes) -> address to read `bytes` at (RAM or bounce buffer), -1 on a fault. */
  readonly readable: Fn<'i32'>;
  /** (cpu, linear, bytes) -> address to modify `bytes` at, -1 on a fault; modified: commit. */
  readonly writable: Fn<'i32'>;
  /** (cpu, linear, bytes, address) -> writes back what {@link writable} buffered; non-zero: fault. */
  readonly commit: Fn<'i32'>;
  /** (cpu, linear, bytes) -> non-zero and a fault if a store there would fault. Changes A/D bits only. */
  readonly probeWrite: Fn<'i32'>;
  /** (cpu, linear, mask) -> non-zero and #AC if alignment is checked and `mask` bits are set. */
  readonly checkAligned: Fn<'i32'>;
  /** (cpu): drops all translations; (cpu): all but global ones; (cpu, linear): those of a page. */
  readonly flushAll: Fn<'void'>;
  readonly flushNonGlobal: Fn<'void'>;
  readonly flushPage: Fn<'void'>;
  /** (cpu): sets S.tlb and S.fetchTlb from CPL, CR4.SMAP and RFLAGS.AC: after any of them changed. */
  readonly selectTlb: Fn<'void'>;
  /** (cpu, segment, offset, bytes, write) -> linear; a limit or type violation sets the fault. */
  readonly checkedAddress: Fn<'i64'>;
}

/** Control flow; defined in interpreter.ts. */
export interface FlowRuntime {
  /** (cpu): goes on at S.rip. To be tail-called. */
  readonly enter: Fn<'void'>;
  /** (cpu): like enter, but first leaves if S.window or S.stepping ask for it. Tail-called. */
  readonly resync: Fn<'void'>;
  /** (cpu): delivers the fault in S.faultVector (or exits for FAULT_EXIT) at S.rip. Tail-called. */
  readonly raise: Fn<'void'>;
}

/** The system half of the processor; defined in system-runtime.ts. */
export interface SystemRuntime extends Events {
  /** (cpu): after control registers, CS, SS or CPL were changed from outside. */
  readonly updateModes: Fn<'void'>;
  readonly modes: Modes;
  readonly segments: Segments;
  readonly systemSegments: SystemSegments;
  readonly far: FarTransfer;
  readonly back: FarReturn;
  readonly fast: FastCall;
  readonly control: ControlRegisters;
  readonly debug: DebugRegisters;
  readonly msrs: Msrs;
  readonly io: IoRuntime;
}

/** 128-bit integer arithmetic; defined in integer-wide.ts. */
export interface IntegerRuntime {
  /** (a, b) -> upper half of the unsigned, of the signed product. */
  readonly mulHighU: Fn<'i64'>;
  readonly mulHighS: Fn<'i64'>;
  /**
   * (cpu, high, low, divisor) -> non-zero when the quotient does not fit (or the divisor is 0);
   * else quotient and remainder are in S.scratch and S.scratch + 8.
   */
  readonly divideU: Fn<'i32'>;
  readonly divideS: Fn<'i32'>;
  /** (cpu, source, destination, bytes, log2 of the element) -> bytes copied, 0 without TLB entries. */
  readonly copyForward: Fn<'i64'>;
  /** (cpu, destination, bytes, pattern, log2 of its size) -> bytes filled, 0 as above. */
  readonly fillForward: Fn<'i64'>;
  /** integer-bmi.ts. */
  readonly bitFields: BitFieldRuntime;
}

/** Functions of the host. */
export interface HostRuntime {
  /** () -> nanoseconds of machine time, a double: the TSC at 1 GHz. */
  readonly now: Fn<'f64'>;
  /** () -> 32 random bits. */
  readonly random: Fn<'i32'>;
  /** (cpu): CPUID of EAX, ECX into S.scratch: four i32, EAX EBX ECX EDX. */
  readonly cpuid: Fn<'void'>;
  /** (cpu, index) -> non-zero when RDMSR/WRMSR of an MSR unknown to system.ts is allowed: value in S.scratch. */
  readonly readMsr: Fn<'i32'>;
  readonly writeMsr: Fn<'i32'>;
}

/** Everything a semantic function may call. */
export interface Runtime {
  readonly module: ModuleBuilder;
  readonly memory: MemoryRuntime;
  readonly flow: FlowRuntime;
  readonly system: SystemRuntime;
  readonly integer: IntegerRuntime;
  readonly host: HostRuntime;
  /** Vector instructions; sse-runtime.ts. */
  readonly sse: SseRuntime;
  /** What AVX, FMA and F16C need besides; avx-runtime.ts. */
  readonly avx: AvxRuntime;
  /** The x87 FPU; x87-runtime.ts. */
  readonly x87: X87Runtime;
}
