// How the helper functions of the system half report faults. A function that can fault returns an
// i32, non-zero when it has raised one, or a value, in which case S.faultVector tells. Until the
// fault the function has changed nothing that the guest can see, but for accessed bits and for
// stack memory beyond the stack pointer.

import { c32, call, type Expr, type Fn, type I32, i32 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import { S } from './state.ts';

/** {@link S.faultVector} while nothing is wrong. */
export const NO_FAULT = -1;

/** 1 when a memory access or another helper has left a fault or an exit. */
export const faulted = (cpu: I32): I32 => i32.ne(i32.load(cpu, S.faultVector), c32(NO_FAULT));

/**
 * Emits the faults of one function: every method leaves the function with `failure` if it faults.
 */
export class Faults {
  private readonly f: FunctionBuilder;
  private readonly cpu: I32;
  private readonly failure: Expr;

  constructor(f: FunctionBuilder, cpu: I32, failure: Expr = c32(1)) {
    this.f = f;
    this.cpu = cpu;
    this.failure = failure;
  }

  /** Raises exception `vector`, with an error code if `code` is given, and leaves the function. */
  raise(vector: number | I32, code?: number | I32): void {
    const { f, cpu } = this;
    f.store32(cpu, constant(vector), S.faultVector);
    f.store32(cpu, c32(code === undefined ? 0 : 1), S.faultHasCode);
    f.store32(cpu, constant(code ?? 0), S.faultCode);
    f.return(this.failure);
  }

  /** {@link raise}, if `condition` holds. */
  raiseIf(condition: I32, vector: number | I32, code?: number | I32): void {
    this.f.if(condition, () => this.raise(vector, code));
  }

  /** Leaves if the access or helper just called has faulted. */
  check(): void {
    this.f.if(faulted(this.cpu), () => this.f.return(this.failure));
  }

  /** Calls a function that says whether it has faulted, and leaves if so. */
  attempt(fn: Fn<'i32'>, ...args: Expr[]): void {
    this.f.if(call(fn, ...args), () => this.f.return(this.failure));
  }
}

const constant = (value: number | I32): I32 => (typeof value === 'number' ? c32(value) : value);
