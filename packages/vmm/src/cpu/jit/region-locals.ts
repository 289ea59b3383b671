// What a region keeps in locals while it runs, instead of in the state of the vCPU.

import type { I32, Local } from '../../wasm/expr.ts';
import { i64 } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { v128 } from '../../wasm/simd.ts';
import { roundsAsHost } from '../sse-exceptions.ts';
import { gprSlot, S } from '../state.ts';

const REGISTERS = 16;

/** The bit of vector register `n` in a set of registers; general register `n` has bit `n`. */
export const vectorBit = (n: number): number => 1 << (REGISTERS + n);

/** The locals of a region that outlive an instruction. */
export class RegionLocals {
  readonly flagResult: Local<'i64'>;
  readonly flagCarry: Local<'i64'>;
  /** True once anything in the region reads or writes the flag words. */
  usesFlags = false;
  /**
   * 1 when SSE arithmetic may be the host's (roundsAsHost of sse-exceptions.ts), while that is
   * used.
   */
  readonly hostRounding: Local<'i32'>;
  usesRounding = false;
  /** True once a call in the region waits for its callee. */
  hasCalls = false;
  /** Instructions left in the slice, and what that was when they were last accounted for. */
  readonly budget: Local<'i32'>;
  readonly accounted: Local<'i32'>;
  readonly tlb: Local<'i32'>;
  readonly ripBase: Local<'i64'>;
  /** What S.epoch was at entry. */
  readonly epoch: Local<'i32'>;
  /** S.codeGeneration at entry, and whether a store has changed it since. */
  readonly generation: Local<'i32'>;
  readonly isStale: Local<'i32'>;
  /** What an exit takes along: a record, an offset in the page, or where to go on. */
  readonly argument: Local<'i32'>;
  readonly target: Local<'i64'>;
  readonly f: FunctionBuilder;
  private readonly general: (Local<'i64'> | undefined)[] = Array(REGISTERS).fill(undefined);
  private readonly vectors: (Local<'v128'> | undefined)[] = Array(REGISTERS).fill(undefined);
  private readonly registerIndices = new Set<number>();
  /** Registers that anything in the region writes, as bits: see {@link vectorBit}. */
  written = 0;

  constructor(f: FunctionBuilder) {
    this.f = f;
    this.flagResult = f.keep('i64');
    this.flagCarry = f.keep('i64');
    this.budget = f.keep('i32');
    this.accounted = f.keep('i32');
    this.tlb = f.keep('i32');
    this.ripBase = f.keep('i64');
    this.epoch = f.keep('i32');
    this.generation = f.keep('i32');
    this.isStale = f.keep('i32');
    this.argument = f.keep('i32');
    this.target = f.keep('i64');
    this.hostRounding = f.keep('i32');
  }

  /** The local of general register `n`. */
  gpr(n: number): Local<'i64'> {
    const known = this.general[n];
    if (known) return known;
    const local = this.f.keep('i64');
    this.general[n] = local;
    this.registerIndices.add(local.index);
    return local;
  }

  /** The local of vector register `n`. */
  xmm(n: number): Local<'v128'> {
    const known = this.vectors[n];
    if (known) return known;
    const local = this.f.keep('v128');
    this.vectors[n] = local;
    this.registerIndices.add(local.index);
    return local;
  }

  /** True for the local of a register, which instructions change. */
  isRegister(local: Local): boolean {
    return this.registerIndices.has(local.index);
  }

  /**
   * Takes all registers in use, and what derives from MXCSR, from the state. Emit it when the
   * region is complete.
   */
  loadRegisters(cpu: I32): void {
    for (const [n, local] of this.general.entries()) {
      if (local) this.f.set(local, i64.load(cpu, gprSlot(n)));
    }
    for (const [n, local] of this.vectors.entries()) {
      if (local) this.f.set(local, v128.load(cpu, S.xmm + 16 * n));
    }
    if (this.usesRounding) this.f.set(this.hostRounding, roundsAsHost(cpu));
    if (!this.usesFlags) return;
    this.f.set(this.flagResult, i64.load(cpu, S.flagResult));
    this.f.set(this.flagCarry, i64.load(cpu, S.flagCarry));
  }

  /** Puts the registers given as bits into the state. */
  storeRegisters(cpu: I32, registers: number): void {
    for (let n = 0; n < REGISTERS; n++) {
      if (registers & (1 << n)) this.f.store64(cpu, this.gpr(n), gprSlot(n));
      if (registers & vectorBit(n)) this.f.storeV128(cpu, this.xmm(n), S.xmm + 16 * n);
    }
  }

  /** Puts the flag words into the state. Emit it when the region is complete. */
  storeFlags(cpu: I32): void {
    if (!this.usesFlags) return;
    this.f.store64(cpu, this.flagResult, S.flagResult);
    this.f.store64(cpu, this.flagCarry, S.flagCarry);
  }
}
