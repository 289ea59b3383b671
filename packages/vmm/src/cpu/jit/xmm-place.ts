// An XMM register of a region: semantics read and write it as memory, of which it is a local. Upper
// halves of YMM registers stay in the state, where they are reached by an offset.

import { c32, type Expr, type I32, i32, type Local, Place, type V128 } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { v128 } from '../../wasm/simd.ts';
import { S } from '../state.ts';
import { VectorPlace } from '../vector-place.ts';
import type { RegionLocals } from './region-locals.ts';

/** XMM register `n`, `offset` bytes in. `written` is told of stores. */
export class XmmPlace extends VectorPlace {
  readonly n: number;
  private readonly locals: RegionLocals;
  private readonly written: (n: number) => void;

  constructor(locals: RegionLocals, n: number, written: (n: number) => void, offset = 0) {
    super(offset);
    this.locals = locals;
    this.n = n;
    this.written = written;
  }

  protected local(): Local<'v128'> {
    return this.locals.xmm(this.n);
  }

  protected set(value: V128): void {
    const local = this.locals.xmm(this.n);
    this.written(this.n);
    this.locals.f.set(local, value);
  }

  at(bytes: number): XmmPlace {
    return new XmmPlace(this.locals, this.n, this.written, this.offset + bytes);
  }

  spill(cpu: I32): I32 {
    this.locals.f.storeV128(cpu, this.locals.xmm(this.n), S.xmm + 16 * this.n);
    return i32.add(cpu, c32(S.xmm + 16 * this.n + this.offset));
  }

  reload(cpu: I32): void {
    this.set(v128.load(cpu, S.xmm + 16 * this.n));
  }
}

/** Bits 255:128 of YMM register `n`: loaded and stored whole. */
export class UpperPlace extends Place {
  private readonly f: FunctionBuilder;
  private readonly cpu: I32;
  private readonly n: number;

  constructor(f: FunctionBuilder, cpu: I32, n: number) {
    super();
    this.f = f;
    this.cpu = cpu;
    this.n = n;
  }

  load(): Expr {
    return v128.load(this.cpu, S.ymmHigh + 16 * this.n);
  }

  store(_opcode: number, value: Expr): void {
    this.f.storeV128(this.cpu, value as V128, S.ymmHigh + 16 * this.n);
  }

  at(): never {
    throw new TypeError('the upper half of a vector register is used in parts');
  }
}
