// The flags of a region. Words that an instruction has set are kept as expressions over its
// temporaries, and computed only where somebody may look: most are overwritten before that. They
// go into the region's two locals where paths join, and on the way out.

import type { Expr, I32, I64, Local } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import { type FlagSource, type FlagWords, LazyFlags } from '../lazy-flags.ts';
import type { RegionLocals } from './region-locals.ts';

/** Words that are not in the locals yet, with the temporaries that they are made of. */
interface Pending extends FlagWords {
  readonly temporaries: readonly Local[];
}

/** Where the flags are at some point of a path. */
export interface FlagPath {
  readonly pending: Pending | undefined;
  readonly isDirty: boolean;
  readonly known: FlagWords | undefined;
  readonly source: FlagSource | undefined;
}

/** The flag words of a region, along the path that is being emitted. */
export class LocalFlags extends LazyFlags {
  private readonly locals: RegionLocals;
  private pending: Pending | undefined;
  /** True when the words are not those in the state. */
  private changed = false;

  constructor(f: FunctionBuilder, cpu: I32, locals: RegionLocals) {
    super(f, cpu);
    this.locals = locals;
  }

  /** True when an exit must write the words back. */
  get isDirty(): boolean {
    return this.changed;
  }

  /** Temporaries that must live on. */
  get temporaries(): readonly Local[] {
    return this.pending?.temporaries ?? [];
  }

  /** This point of the path, to come back to. */
  save(): FlagPath {
    const { pending, changed, known, source } = this;
    return { pending, isDirty: changed, known, source };
  }

  /** Goes on from a point of a path. */
  restore({ pending, isDirty, known, source }: FlagPath): void {
    this.pending = pending;
    this.changed = isDirty;
    this.known = known;
    this.source = source;
  }

  /** Goes on where paths join: the words are in the locals. */
  join(): void {
    this.restore({ pending: undefined, isDirty: true, known: undefined, source: undefined });
  }

  /** Goes on where the words are in the state and the locals alike. */
  reload(): void {
    this.restore({ pending: undefined, isDirty: false, known: undefined, source: undefined });
  }

  /**
   * Computes what is pending into the locals, for somebody who leaves; the path knows nothing of
   * it.
   */
  compute(): void {
    const { pending, locals } = this;
    if (!pending) return;
    const pairs: [Local, Expr][] = [[locals.flagCarry, pending.carry]];
    if (pending.result !== locals.flagResult) pairs.push([locals.flagResult, pending.result]);
    this.f.setAll(pairs);
  }

  /** Computes what is pending into the locals. */
  settle(): void {
    if (!this.pending) return;
    this.compute();
    this.restore({ pending: undefined, isDirty: true, known: undefined, source: undefined });
  }

  /** True when `value` may be computed later as well as now; its temporaries go to `into`. */
  private isLasting(value: Expr, into: Local[]): boolean {
    const start = into.length;
    if (!value.isSteady(into)) return false;
    for (let i = start; i < into.length; i++) {
      if (this.locals.isRegister(into[i])) return false;
    }
    return true;
  }

  protected override fix(value: I64): I64 {
    return this.isLasting(value, []) ? value : this.f.fix(value);
  }

  override once(value: I32): I32 {
    return this.isLasting(value, []) ? value : this.f.fix(value);
  }

  protected override put(result: I64, carry: I64): FlagWords {
    return this.keep(this.fix(result), this.fix(carry));
  }

  protected override putCarry(carry: I64): FlagWords | undefined {
    const word = this.fix(carry);
    if (this.isCertain) return this.keep(this.known?.result ?? this.keptResult(), word);
    this.setNow(undefined, word);
    return undefined;
  }

  private keep(result: I64, carry: I64): FlagWords {
    this.locals.usesFlags = true;
    if (!this.isCertain) {
      this.setNow(result, carry);
      return { result, carry };
    }
    const temporaries: Local[] = [];
    result.isSteady(temporaries);
    carry.isSteady(temporaries);
    this.changed = true;
    this.pending = { result, carry, temporaries };
    return this.pending;
  }

  /** In a branch that not every run takes: what was before must be in the locals already. */
  private setNow(result: I64 | undefined, carry: I64): void {
    if (this.pending) throw new Error('flags are set on condition while others are pending');
    this.locals.usesFlags = true;
    this.changed = true;
    const pairs: [Local, Expr][] = [[this.locals.flagCarry, carry]];
    if (result) pairs.push([this.locals.flagResult, result]);
    this.f.setAll(pairs);
  }

  protected override keptResult(): I64 {
    this.locals.usesFlags = true;
    return this.locals.flagResult;
  }

  protected override keptCarry(): I64 {
    this.locals.usesFlags = true;
    return this.locals.flagCarry;
  }
}
