// One region to one WebAssembly function. Its shape:
//
//   registers, flags, slice budget into locals
//   block exit
//     the region's blocks, nested as structure.ts says; every way out sets `kind` and `argument`
//     and branches to `exit`
//   end
//   locals back into the state; on to wherever `kind` says
//
// So the state in memory is stale while the region runs, and exact whenever anything outside looks:
// at exits and faults. Helpers called from inside (slow memory accesses, soft floating point) look
// at neither registers nor flags. Each block charges its instructions when it is entered; the
// budget is looked at where loops start over.

import type { Row } from '../../isa/row.ts';
import { c32, type Fn, type I32, i32, i64, type Local } from '../../wasm/expr.ts';
import type { FunctionBuilder, Label } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { Semantic, SemanticTable, Variant } from '../context.ts';
import type { Flow } from '../flow.ts';
import { HANDLER_PARAMS } from '../flow.ts';
import { prelude } from '../handlers.ts';
import type { Runtime } from '../runtime.ts';
import { EXIT, gprSlot, S, SLOT } from '../state.ts';
import { JitContext, LocalFlags, RegionLocals } from './jit-context.ts';
import type { Block, Region } from './region.ts';
import { dominates, type Shape, shapeOf } from './structure.ts';

/** Ways out of a region; the argument is what the comment says. */
const LEAVE = {
  /** To a record of the page: its address. */
  go: 0,
  /** To an offset relative to the page, not necessarily inside it. */
  enterAt: 1,
  /** To S.rip. */
  enter: 2,
  /** Faulted at a record: its address. */
  fault: 3,
  /** To the monitor, to go on at an offset of the page. */
  sliceEnd: 4,
} as const;

/** What the compiler of regions works with. */
export interface CompilerParts {
  readonly module: ModuleBuilder;
  readonly runtime: Runtime;
  readonly flow: Flow;
  /** (cpu, record): goes on at a record, charging its block. */
  readonly go: Fn<'void'>;
  readonly semantics: SemanticTable;
  /** R.left of a record. */
  leftOf(record: number): number;
  /** The record at an offset of the region's page, or 0. */
  recordAt(offset: number): number;
}

const PAGE_BYTES = 4096;

/** Compiles one region; used once. */
export class RegionCompiler {
  private readonly parts: CompilerParts;
  private readonly region: Region;
  private readonly blocks: readonly Block[];
  private readonly nodeOf = new Map<number, number>();
  private readonly shape: Shape;
  private readonly loops: Label[] = [];
  private readonly joins: Label[] = [];
  private f!: FunctionBuilder;
  private cpu!: I32;
  private locals!: RegionLocals;
  private flags!: LocalFlags;
  private kind!: Local<'i32'>;
  private argument!: Local<'i32'>;
  private exit!: Label;

  constructor(parts: CompilerParts, region: Region) {
    this.parts = parts;
    this.region = region;
    const entry = region.blocks.get(region.entry)!;
    this.blocks = [entry, ...[...region.blocks.values()].filter((block) => block !== entry)];
    for (const [node, block] of this.blocks.entries()) this.nodeOf.set(block.offset, node);
    this.shape = shapeOf({ successors: this.blocks.map((block) => this.successors(block)) });
  }

  private successors({ end }: Block): number[] {
    const offsets =
      end.kind === 'leaves' ? [] : end.kind === 'goes on' ? [end.next] : [end.taken, end.next];
    return offsets.flatMap((offset) => {
      const node = offset === undefined ? undefined : this.nodeOf.get(offset);
      return node === undefined ? [] : [node];
    });
  }

  /** Emits the function. */
  compile(name: string): Fn<'void'> {
    return this.parts.module.function(name, HANDLER_PARAMS, 'void', (f) => {
      this.f = f;
      this.cpu = f.param(0, 'i32');
      this.locals = new RegionLocals(f);
      this.flags = new LocalFlags(f, this.cpu, this.locals);
      this.kind = f.keep('i32');
      this.argument = f.keep('i32');
      f.block((exit) => {
        this.exit = exit;
        this.tree(0);
        f.unreachable();
      });
      this.leave();
      f.prologue(() => this.load());
    });
  }

  private load(): void {
    const { f, cpu, locals } = this;
    for (const [n, local] of locals.registers()) f.set(local, i64.load(cpu, gprSlot(n)));
    if (locals.usesFlags) {
      f.set(locals.flagResult, i64.load(cpu, S.flagResult));
      f.set(locals.flagCarry, i64.load(cpu, S.flagCarry));
    }
    // Whoever came here has charged the interpreter's block; the blocks here charge their own.
    const charged = this.parts.leftOf(this.region.record);
    f.set(locals.budget, i32.add(i32.load(cpu, S.budget), c32(charged)));
    f.set(locals.tlb, i32.load(cpu, S.tlb));
    f.set(locals.ripBase, i64.load(cpu, SLOT.ripBase));
    f.set(locals.generation, i32.load(cpu, S.codeGeneration));
  }

  private leave(): void {
    const { f, cpu, locals } = this;
    for (const [n, local] of locals.registers()) f.store64(cpu, local, gprSlot(n));
    if (locals.usesFlags) {
      f.store64(cpu, locals.flagResult, S.flagResult);
      f.store64(cpu, locals.flagCarry, S.flagCarry);
    }
    f.store32(cpu, locals.budget, S.budget);
    const argument = this.argument;
    const { flow, go } = this.parts;
    const toOffset = (): void => {
      f.store64(cpu, i64.add(locals.ripBase, i64.extend_s(argument)), S.rip);
    };
    f.switch(
      this.kind,
      [
        () => f.returnCall(go, cpu, argument),
        () => {
          toOffset();
          f.returnCall(flow.enter, cpu);
        },
        () => f.returnCall(flow.enter, cpu),
        () => f.returnCall(flow.faultAt, cpu, argument),
      ],
      () => {
        toOffset();
        f.store32(cpu, c32(EXIT.none), S.exit);
        f.return();
      },
    );
    f.unreachable();
  }

  private leaveBy(kind: number, argument: number): void {
    const { f } = this;
    f.set(this.kind, c32(kind));
    f.set(this.argument, c32(argument));
    f.br(this.exit);
  }

  // Structure.

  private tree(node: number): void {
    if (!this.shape.isLoop[node]) {
      this.within(node, this.shape.merges[node]);
      return;
    }
    this.f.loop((label) => {
      this.loops[node] = label;
      const { budget, isStale } = this.locals;
      const mustLeave = i32.or(i32.lt_s(budget, c32(0)), isStale);
      this.f.if(mustLeave, () => this.leaveBy(LEAVE.sliceEnd, this.blocks[node].offset));
      this.within(node, this.shape.merges[node]);
    });
  }

  private within(node: number, merges: readonly number[]): void {
    if (merges.length === 0) {
      this.block(node);
      return;
    }
    const [last, ...others] = merges;
    this.f.block((label) => {
      this.joins[last] = label;
      this.within(node, others);
    });
    this.tree(last);
  }

  /** Goes from block `node` to an offset of the page. */
  private edge(node: number, offset: number): void {
    const target = this.nodeOf.get(offset);
    if (target === undefined) {
      this.leaveTo(offset);
      return;
    }
    const { order, isMerge, isLoop } = this.shape;
    if (order[target] > order[node]) {
      if (isMerge[target]) this.f.br(this.joins[target]);
      else this.tree(target);
    } else if (isLoop[target] && dominates(this.shape, target, node)) {
      this.f.br(this.loops[target]);
    } else {
      this.leaveTo(offset);
    }
  }

  private leaveTo(offset: number): void {
    const record = offset >= 0 && offset < PAGE_BYTES ? this.parts.recordAt(offset) : 0;
    if (record !== 0) this.leaveBy(LEAVE.go, record);
    else this.leaveBy(LEAVE.enterAt, offset);
  }

  // Blocks.

  private block(node: number): void {
    const { f, flags, locals } = this;
    const { instructions, end } = this.blocks[node];
    flags.nesting = f.nesting;
    flags.forget();
    f.set(locals.budget, i32.sub(locals.budget, c32(instructions.length)));
    for (let i = 0; i < instructions.length; i++) {
      this.startInstruction(instructions[i].instruction.row);
      if (this.instruction(node, i)) return;
    }
    if (end.kind === 'goes on') this.edge(node, end.next);
  }

  /** Temporaries live for one instruction, and for the comparison that the next one uses. */
  private startInstruction(row: Row): void {
    if (this.flags.hasSource && row.flagsRead !== 0) return;
    this.flags.forget();
    this.f.recycle();
  }

  /** Emits instruction `i` of a block; true when it ended the block. */
  private instruction(node: number, i: number): boolean {
    const { f, locals, parts } = this;
    const { instructions } = this.blocks[node];
    const at = instructions[i];
    const { row } = at.instruction;
    const rest = instructions.length - i;
    const x = new JitContext({
      f,
      runtime: parts.runtime,
      flow: parts.flow,
      variant: variantOf(at.instruction, at.addressing),
      at,
      locals,
      flags: this.flags,
      // What $faultAt gives back is R.left; what was charged and not done is `rest`.
      refund: rest - parts.leftOf(at.record),
      exits: {
        fault: (record, refund) => {
          f.set(locals.budget, i32.add(locals.budget, c32(refund)));
          this.leaveBy(LEAVE.fault, record);
        },
        enter: () => this.leaveBy(LEAVE.enter, 0),
        pause: () => {
          f.set(locals.budget, i32.add(locals.budget, c32(rest)));
          this.leaveBy(LEAVE.sliceEnd, at.offset);
        },
        branch: (condition) => this.branch(node, condition),
      },
    });
    prelude(x);
    semanticOf(parts.semantics, row)(x);
    if (x.hasEnded) return true;
    if (x.hasStored) {
      f.if(locals.isStale, () => {
        f.set(locals.budget, i32.add(locals.budget, c32(rest - 1)));
        this.leaveBy(LEAVE.enterAt, at.offset + at.instruction.length);
      });
    }
    return false;
  }

  private branch(node: number, condition: I32 | undefined): void {
    const { end } = this.blocks[node];
    if (end.kind !== 'branch') throw new Error('a direct branch without a target');
    if (!condition || end.next === undefined) {
      this.edge(node, end.taken);
      return;
    }
    const { taken, next } = end;
    this.f.if(
      condition,
      () => this.edge(node, taken),
      () => this.edge(node, next),
    );
    this.f.unreachable();
  }
}

function semanticOf(semantics: SemanticTable, row: Row): Semantic {
  const semantic = semantics[row.name] ?? semantics[row.mnemonic];
  if (!semantic) throw new Error(`${row.name} has no semantics`);
  return semantic;
}

function variantOf(
  instruction: Block['instructions'][number]['instruction'],
  addressing: Variant['addressing'],
): Variant {
  const { row, opsize, lock, rep } = instruction;
  const repeats = row.rep === 'none' ? 0 : row.rep === 'rep' && rep !== 0 ? 0xf3 : rep;
  const size = row.opsizeRule === 'none' ? row.encoding.onlyOpsize || 4 : opsize;
  return {
    row,
    opsize: size,
    addressing,
    lock: lock && addressing !== 'register',
    rep: repeats,
    wide: true,
  };
}
