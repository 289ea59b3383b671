// The ways out of a region. An exit writes back what its path may have changed, and goes on
// somewhere. Exits that write back the same registers and go on alike share their code, which lies
// behind the region's own: the function is
//
//   block 2; block 1; block 0     one for each kind of exit that there turned out to be
//     the region
//   end; code of exit 0
//   end; code of exit 1
//   end; code of exit 2

import { c32, c64, type I32, i32, i64 } from '../../wasm/expr.ts';
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Flow } from '../flow.ts';
import { EXIT, EXPECTED, S } from '../state.ts';
import type { LocalFlags } from './local-flags.ts';
import type { RegionLocals } from './region-locals.ts';

/** Where an exit goes on, and what `argument` or `target` of the region's locals is then. */
export type ExitKind =
  /** At a record of the page, `argument`. */
  | 'go'
  /** At the address `target`. */
  | 'enter'
  /** At the address `target`, where a region may wait for it. */
  | 'return'
  /** To the delivery of a fault of the record `argument`. */
  | 'fault'
  /** To the monitor; in the next slice at the offset `argument` of the page. */
  | 'sliceEnd';

/** Registers that a path may have changed. */
export interface DirtyRegisters {
  /** General and vector registers, as bits: see vectorBit of region-locals.ts. */
  registers: number;
  /** Paths have joined: any register that the region writes. */
  isAny: boolean;
}

interface ExitClass extends DirtyRegisters {
  readonly kind: ExitKind;
  readonly hasFlags: boolean;
}

/** The exits of one region. */
export class RegionExits {
  private readonly f: FunctionBuilder;
  private readonly cpu: I32;
  private readonly locals: RegionLocals;
  private readonly flow: Flow;
  private readonly wide: boolean;
  private readonly classes: ExitClass[] = [];
  private readonly indices = new Map<string, number>();

  /** `wide`: for 64-bit code. */
  constructor(f: FunctionBuilder, cpu: I32, locals: RegionLocals, flow: Flow, wide: boolean) {
    this.f = f;
    this.cpu = cpu;
    this.locals = locals;
    this.flow = flow;
    this.wide = wide;
  }

  /** Begins the region. */
  open(): void {
    this.f.defer(() => this.f.openBlocks(this.classes.length));
  }

  /**
   * Leaves: `charge` is what the budget has not been charged yet. `argument` is set unless the
   * caller has set what the kind of exit needs.
   */
  leave(
    kind: ExitKind,
    registers: Readonly<DirtyRegisters>,
    flags: LocalFlags,
    charge: number,
    argument?: number,
  ): void {
    const { f, locals } = this;
    flags.compute();
    if (charge !== 0) f.set(locals.budget, i32.sub(locals.budget, c32(charge)));
    if (argument !== undefined) f.set(locals.argument, c32(argument));
    f.br(f.outer(this.indexOf(kind, registers, flags.isDirty)));
  }

  private indexOf(
    kind: ExitKind,
    { registers, isAny }: Readonly<DirtyRegisters>,
    hasFlags: boolean,
  ): number {
    const key = `${kind} ${isAny ? 'any' : registers} ${hasFlags}`;
    const known = this.indices.get(key);
    if (known !== undefined) return known;
    const index = this.classes.push({ kind, registers, isAny, hasFlags }) - 1;
    this.indices.set(key, index);
    return index;
  }

  /** Ends the region, which must not be left by its end, and writes the code of its exits. */
  close(): void {
    // Its code never falls through to here, but its type must allow for it.
    this.f.unreachable();
    this.f.defer(() => {
      for (const exit of this.classes) {
        this.f.endBlock();
        this.emit(exit);
      }
    });
    this.f.unreachable();
  }

  private emit({ kind, registers, isAny, hasFlags }: ExitClass): void {
    const { f, cpu, locals, flow } = this;
    locals.storeRegisters(cpu, isAny ? locals.written : registers);
    if (hasFlags) locals.storeFlags(cpu);
    this.account();
    const { budget, argument, target } = locals;
    const enterFrom = this.wide ? flow.enterFrom : flow.enterNarrowFrom;
    if (kind === 'go') {
      f.returnCall(flow.goFrom, cpu, argument, budget);
    } else if (kind === 'enter') {
      f.returnCall(enterFrom, cpu, target, budget);
    } else if (kind === 'return') {
      const address = this.wide ? target : i64.or(target, c64(EXPECTED.narrow));
      f.if(i64.eq(address, i64.load(cpu, S.expected)), () => {
        f.store64(cpu, c64(EXPECTED.met), S.expected);
        f.store32(cpu, budget, S.budget);
        f.return();
      });
      f.returnCall(enterFrom, cpu, target, budget);
    } else if (kind === 'fault') {
      f.store32(cpu, budget, S.budget);
      f.returnCall(flow.faultAt, cpu, argument);
    } else {
      f.store32(cpu, budget, S.budget);
      f.store64(cpu, i64.add(locals.ripBase, i64.extend_s(argument)), S.rip);
      f.store32(cpu, c32(EXIT.none), S.exit);
      f.return();
    }
  }

  /** Counts what compiled code has retired since it was last counted. */
  account(): void {
    const { f, cpu, locals } = this;
    const retired = i32.sub(locals.accounted, locals.budget);
    f.store32(cpu, i32.add(i32.load(cpu, S.compiled), retired), S.compiled);
  }
}
