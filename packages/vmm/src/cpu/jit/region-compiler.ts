// One region to one WebAssembly function. Its shape:
//
//   registers, flags, slice budget into locals
//   the region's blocks, nested as structure.ts says
//   the ways out, as region-exits.ts says: locals back into the state, and on to somewhere
//
// So the state in memory is stale while the region runs, and exact whenever anything outside looks:
// at exits and faults, and for the instructions that work on the state. Helpers called from inside
// (slow memory accesses, soft floating point) look at neither registers nor flags.
//
// What a path has done so far is known while it is emitted (Path): which registers it changed, what
// its flags are made of, how many instructions the budget has not been charged for. Where paths
// join, it is put into the locals; the budget is looked at where loops start over.

import { c32, c64, type Fn, type I32, type I64, i32, i64 } from '../../wasm/expr.ts';
import type { FunctionBuilder, Label } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { type SemanticTable, semanticOf } from '../context.ts';
import { type Flow, HANDLER_PARAMS } from '../flow.ts';
import { prelude } from '../handlers.ts';
import type { InterpreterContext } from '../interpreter-context.ts';
import { fetchEntry, fetchTag } from '../mmu.ts';
import type { Runtime } from '../runtime.ts';
import { EXPECTED, S, SLOT } from '../state.ts';
import { isLocal, setsFlagsOnCondition } from './compilable.ts';
import { JitContext, type RegionParts, type RegionWays, StateContext } from './jit-context.ts';
import { type FlagPath, LocalFlags } from './local-flags.ts';
import { NarrowContext } from './narrow-context.ts';
import {
  type Block,
  type Frame,
  type Place,
  placeOf,
  type Region,
  type RegionInstruction,
  type RegionPage,
  recordIn,
} from './region.ts';
import { type DirtyRegisters, type ExitKind, RegionExits } from './region-exits.ts';
import { RegionLocals } from './region-locals.ts';
import { dominates, type Shape, shapeOf } from './structure.ts';

/** What the compiler of regions works with. */
export interface CompilerParts {
  readonly module: ModuleBuilder;
  readonly runtime: Runtime;
  readonly flow: Flow;
  readonly semantics: SemanticTable;
  /** R.left of a record. */
  leftOf(record: number): number;
}

/** A point of a path, to come back to. */
interface Path {
  readonly registers: number;
  readonly isAny: boolean;
  readonly charge: number;
  readonly units: number;
  readonly flags: FlagPath;
}

/** Floating-point units, as bits: what an instruction may trap on before it does anything. */
const UNITS: Readonly<Record<string, number>> = { x87: 1, mmx: 2, sse: 4, 'sse+mmx': 6, avx: 8 };

const PAGE_BYTES = 4096;
/** Callers that may wait at once, on the host's stack: some 30 KB of it. */
const DEPTH_MAX = 64;

/** Compiles one region; used once. */
export class RegionCompiler {
  private readonly parts: CompilerParts;
  private readonly region: Region;
  private readonly blocks: readonly Block[];
  private readonly nodeOf = new Map<Place, number>();
  private readonly shape: Shape;
  private readonly loops: Label[] = [];
  private readonly joins: Label[] = [];
  private readonly dirty: DirtyRegisters = { registers: 0, isAny: false };
  /** Instructions that the path has done and the budget has not been charged for. */
  private charge = 0;
  /** Units that the path has found usable. Only instructions on the state can change that. */
  private units = 0;
  private readonly hasOnState: boolean;
  private f!: FunctionBuilder;
  private cpu!: I32;
  private locals!: RegionLocals;
  private flags!: LocalFlags;
  private exits!: RegionExits;

  constructor(parts: CompilerParts, region: Region) {
    this.parts = parts;
    this.region = region;
    const entry = region.blocks.get(region.entry)!;
    this.blocks = [entry, ...[...region.blocks.values()].filter((block) => block !== entry)];
    for (const [node, { frame, offset }] of this.blocks.entries()) {
      this.nodeOf.set(placeOf(frame, offset), node);
    }
    this.shape = shapeOf({ successors: this.blocks.map((block) => this.successors(block)) });
    this.hasOnState = this.blocks.some(
      ({ instructions, end }) => end.kind === 'call' || !instructions.every(isLocal),
    );
  }

  /** True for 64-bit code. */
  private get wide(): boolean {
    return this.region.kind.mode === 8;
  }

  /** What RIP is at an offset. */
  private ripAt(offset: number): I64 {
    const rip = i64.add(this.locals.ripBase, c64(offset));
    return this.wide ? rip : i64.and(rip, c64(0xffffffff));
  }

  private successors({ end, frame }: Block): number[] {
    const places: Place[] = [];
    if (end.kind === 'inlined') places.push(placeOf(end.frame, end.frame.entry));
    else if (end.kind === 'returns') places.push(placeOf(end.frame.caller, end.frame.next));
    else if (end.kind === 'branch') places.push(placeOf(frame, end.taken));
    if ('next' in end && end.next !== undefined) places.push(placeOf(frame, end.next));
    return places.flatMap((place) => {
      const node = this.nodeOf.get(place);
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
      this.exits = new RegionExits(f, this.cpu, this.locals, this.parts.flow, this.wide);
      this.load();
      this.exits.open();
      this.tree(0);
      this.exits.close();
    });
  }

  private load(): void {
    const { f, cpu, locals } = this;
    f.defer(() => locals.loadRegisters(cpu));
    // Whoever came here has charged the interpreter's block; the blocks here charge their own.
    const charged = this.parts.leftOf(this.region.record);
    f.set(locals.budget, i32.add(i32.load(cpu, S.budget), c32(charged)));
    f.set(locals.accounted, locals.budget);
    f.set(locals.tlb, i32.load(cpu, S.tlb));
    f.set(locals.ripBase, i64.load(cpu, SLOT.ripBase));
    f.set(locals.generation, i32.load(cpu, S.codeGeneration));
    f.defer(() => {
      if (!locals.hasCalls) return;
      f.set(locals.epoch, i32.load(cpu, S.epoch));
    });
  }

  // Paths.

  private save(): Path {
    const { dirty, charge, units, flags } = this;
    return { registers: dirty.registers, isAny: dirty.isAny, charge, units, flags: flags.save() };
  }

  private restore({ registers, isAny, charge, units, flags }: Path): void {
    this.dirty.registers = registers;
    this.dirty.isAny = isAny;
    this.charge = charge;
    this.units = units;
    this.flags.restore(flags);
    this.f.recycle(this.flags.temporaries);
  }

  /** Puts what only the path knows into the locals: it joins another. */
  private settle(): void {
    this.flags.settle();
    this.pay();
  }

  /** Goes on where paths join, which had `units` in common. */
  private join(units: number): void {
    this.dirty.isAny = true;
    this.charge = 0;
    this.units = this.hasOnState ? 0 : units;
    this.flags.join();
    this.f.recycle();
  }

  private pay(): void {
    const { budget } = this.locals;
    if (this.charge !== 0) this.f.set(budget, i32.sub(budget, c32(this.charge)));
    this.charge = 0;
  }

  private leave(kind: ExitKind, argument?: number, charge = this.charge): void {
    this.exits.leave(kind, this.dirty, this.flags, charge, argument);
  }

  /** Leaves block `node` to an offset. */
  private leaveTo(node: number, offset: number): void {
    const record = recordIn(this.blocks[node].page, offset);
    if (record !== 0) this.leave('go', record);
    else this.leaveToAddress(offset);
  }

  private leaveToAddress(offset: number): void {
    const { f, locals } = this;
    f.set(locals.target, this.ripAt(offset));
    this.leave('enter');
  }

  // Structure.

  private tree(node: number): void {
    if (!this.shape.isLoop[node]) {
      this.within(node, this.shape.merges[node]);
      return;
    }
    this.settle();
    this.f.loop((label) => {
      this.loops[node] = label;
      this.join(this.units);
      const { budget, isStale } = this.locals;
      const mustLeave = i32.or(i32.lt_s(budget, c32(0)), isStale);
      this.f.if(mustLeave, () => this.leave('sliceEnd', this.blocks[node].offset));
      this.within(node, this.shape.merges[node]);
    });
  }

  private within(node: number, merges: readonly number[]): void {
    if (merges.length === 0) {
      this.block(node);
      return;
    }
    const [last, ...others] = merges;
    const { units } = this;
    this.f.block((label) => {
      this.joins[last] = label;
      this.within(node, others);
    });
    this.join(units);
    this.tree(last);
  }

  /** Goes from block `node` to an offset in a frame, its own or the one that it has to do with. */
  private edge(node: number, offset: number, frame = this.blocks[node].frame): void {
    const target = this.nodeOf.get(placeOf(frame, offset));
    const way = target === undefined ? undefined : this.way(node, target);
    if (target === undefined || way === undefined) {
      this.leaveTo(node, offset);
      return;
    }
    this.turn(node, target);
    if (way === 'inside') {
      this.tree(target);
      return;
    }
    this.settle();
    this.f.br(way === 'join' ? this.joins[target] : this.loops[target]);
  }

  /** How `target` is reached from `node`, if it can be. */
  private way(node: number, target: number): 'inside' | 'join' | 'loop' | undefined {
    const { order, isMerge, isLoop } = this.shape;
    if (order[target] > order[node]) return isMerge[target] ? 'join' : 'inside';
    return isLoop[target] && dominates(this.shape, target, node) ? 'loop' : undefined;
  }

  /**
   * Has the state say that the processor is in the page of `target`, after it has looked whether
   * that page is still there. It is if the region was entered there, or if a callee in the region
   * returns there: nothing in a region changes how code is mapped.
   */
  private turn(node: number, target: number): void {
    const { page, end } = this.blocks[node];
    const { page: next, offset } = this.blocks[target];
    if (next === page) return;
    const { f, cpu, locals } = this;
    if (next.distance !== 0 && end.kind !== 'returns') {
      const linear = i64.add(locals.ripBase, c64(next.distance * PAGE_BYTES));
      const entry = f.let(fetchEntry(i32.load(cpu, S.fetchTlb), linear));
      const isThere = i32.and(
        i64.eq(i64.load(entry), fetchTag(linear, c32(8))),
        i32.eq(i32.load(entry, 8), c32(next.code)),
      );
      f.if(i32.eqz(isThere), () => this.leaveToAddress(offset));
    }
    this.enterPage(next);
  }

  private enterPage({ code, distance }: RegionPage): void {
    const { f, cpu, locals } = this;
    f.store32(cpu, c32(code), S.codePage);
    f.store64(cpu, i64.add(locals.ripBase, c64(distance * PAGE_BYTES)), SLOT.ripBase);
  }

  // Blocks.

  private block(node: number): void {
    const { instructions, end } = this.blocks[node];
    this.flags.nesting = this.f.nesting;
    for (const at of instructions) {
      this.f.recycle(this.flags.temporaries);
      const hasEnded = isLocal(at) ? this.local(node, at) : this.onState(node, at);
      if (hasEnded) return;
    }
    if (end.kind === 'goes on') this.edge(node, end.next);
    else this.leaveToAddress(nextOffset(instructions[instructions.length - 1]));
  }

  /** Emits an instruction on the region's locals; true when it ended the block. */
  private local(node: number, at: RegionInstruction): boolean {
    const known = this.partsOf(node, at);
    const x = this.wide
      ? new JitContext(known, this.flags)
      : new NarrowContext(known, this.flags, this.region.kind);
    if (setsFlagsOnCondition(at)) this.flags.settle();
    const units = UNITS[x.row.unit] ?? 0;
    if ((this.units & units) !== units) prelude(x, at.instruction.codeSize === 8);
    this.units |= units;
    this.run(x);
    if (x.hasEnded) return true;
    this.charge++;
    if (x.hasStored) this.f.if(this.locals.isStale, () => this.leaveToAddress(nextOffset(at)));
    return false;
  }

  private run(x: InterpreterContext): void {
    const { row } = x;
    semanticOf(this.parts.semantics, row)!(x);
  }

  private partsOf(node: number, at: RegionInstruction): RegionParts {
    const { f, locals, dirty, parts } = this;
    return {
      f,
      runtime: parts.runtime,
      flow: parts.flow,
      at,
      locals,
      dirty,
      ways: this.ways(node, at),
    };
  }

  private ways(node: number, at: RegionInstruction): RegionWays {
    return {
      // $faultAt gives back the interpreter's charge, which nobody has made.
      fault: () => this.leave('fault', at.record, this.charge + this.parts.leftOf(at.record)),
      enter: (by) => this.enter(node, by),
      wrap: () => this.leave('enter', undefined, this.charge + 1),
      pause: () => this.leave('sliceEnd', at.offset),
      branch: (condition) => this.branch(node, condition),
    };
  }

  /** Goes to the address in `target`. */
  private enter(node: number, by: 'jump' | 'call' | 'return'): void {
    const { end } = this.blocks[node];
    this.charge++;
    if (by === 'return' && end.kind === 'returns') this.return(node, end.frame);
    else if (by === 'return') this.leave('return');
    else if (by === 'call' && end.kind === 'call') this.call(node, end.next, undefined);
    else this.leave('enter');
  }

  /** Returns from a callee in the region to wherever `target` says. */
  private return(node: number, { caller, next }: Frame): void {
    const { f, locals } = this;
    const before = this.save();
    f.if(i64.ne(locals.target, this.ripAt(next)), () => this.leave('return'));
    this.restore(before);
    this.edge(node, next, caller);
  }

  private branch(node: number, condition: I32 | undefined): void {
    const { end } = this.blocks[node];
    this.charge++;
    if (end.kind === 'inlined') {
      // The return address may have been pushed onto the callee's code.
      this.f.if(this.locals.isStale, () => this.leaveToAddress(end.frame.entry));
      this.edge(node, end.frame.entry, end.frame);
      return;
    }
    if (end.kind === 'call') {
      this.call(node, end.next, end.target);
      return;
    }
    if (end.kind !== 'branch') throw new Error('a direct branch without a target');
    if (!condition || end.next === undefined) {
      this.edge(node, end.taken);
      return;
    }
    const { taken, next } = end;
    const before = this.save();
    this.f.if(
      condition,
      () => this.edge(node, taken),
      () => {
        this.restore(before);
        this.edge(node, next);
      },
    );
    this.f.unreachable();
  }

  /**
   * Calls, to an offset of the page or to the address in `target`: the region's function waits
   * while the guest's callee runs, and goes on at `next` when it returns there. It returns itself,
   * up to the monitor, when the slice has ended meanwhile.
   */
  private call(node: number, next: number, offset: number | undefined): void {
    const { page, frame } = this.blocks[node];
    if (!this.nodeOf.has(placeOf(frame, next))) {
      if (offset === undefined) this.leave('enter');
      else this.leaveTo(node, offset);
      return;
    }
    const { f, cpu, locals, flags, parts } = this;
    locals.hasCalls = true;
    const depth = f.let(i32.load(cpu, S.depth));
    f.if(i32.ge_u(depth, c32(DEPTH_MAX)), () => {
      if (offset === undefined) this.leave('enter');
      else this.leaveTo(node, offset);
    });
    flags.compute();
    this.pay();
    this.storeAll();
    this.exits.account();
    const saved = f.let(i64.load(cpu, S.expected));
    const back = this.ripAt(next);
    f.store64(cpu, this.wide ? back : i64.or(back, c64(EXPECTED.narrow)), S.expected);
    f.store32(cpu, i32.add(depth, c32(1)), S.depth);
    const record = offset === undefined ? 0 : recordIn(page, offset);
    const target = offset === undefined ? locals.target : this.ripAt(offset);
    const { goFrom, enterFrom, enterNarrowFrom } = parts.flow;
    if (record !== 0) f.call(goFrom, cpu, c32(record), locals.budget);
    else f.call(this.wide ? enterFrom : enterNarrowFrom, cpu, target, locals.budget);
    f.if(i64.ne(i64.load(cpu, S.expected), c64(EXPECTED.met)), () => f.return());
    f.store64(cpu, saved, S.expected);
    f.store32(cpu, depth, S.depth);
    this.enterPage(page);
    f.set(locals.budget, i32.load(cpu, S.budget));
    this.takeUp(0);
    const isElsewhere = i32.ne(i32.load(cpu, S.epoch), locals.epoch);
    f.if(this.orOtherKind(isElsewhere), () => this.leaveToAddress(next));
    this.edge(node, next);
  }

  /** Takes registers and flags from the state, behind something that worked on it. */
  private takeUp(charge: number): void {
    const { f, cpu, locals, dirty, flags } = this;
    f.recycle();
    this.charge = charge;
    this.units = 0;
    f.set(locals.accounted, locals.budget);
    f.defer(() => locals.loadRegisters(cpu));
    f.set(locals.tlb, i32.load(cpu, S.tlb));
    dirty.registers = 0;
    dirty.isAny = false;
    flags.reload();
  }

  /** Emits an instruction on the state of the vCPU; true when it ended the block. */
  private onState(node: number, at: RegionInstruction): boolean {
    const { f, cpu, locals, exits, parts } = this;
    this.settle();
    f.recycle();
    this.storeAll();
    exits.account();
    // As the interpreter would have it that comes to this instruction.
    f.store32(cpu, i32.sub(locals.budget, c32(parts.leftOf(at.record))), S.budget);
    const known = this.partsOf(node, at);
    const branch = (condition: I32 | undefined): void => {
      const taken = condition && f.let(condition);
      this.takeUp(0);
      this.branch(node, taken);
    };
    const x = new StateContext({ ...known, ways: { ...known.ways, branch } });
    prelude(x);
    this.run(x);
    if (x.hasEnded) return true;
    this.takeUp(1);
    const isStale = i32.ne(i32.load(cpu, S.codeGeneration), locals.generation);
    f.if(this.orOtherKind(isStale), () => this.leaveToAddress(nextOffset(at)));
    return false;
  }

  /** `condition`; or, outside 64-bit code, that segments changed what the region relies on. */
  private orOtherKind(condition: I32): I32 {
    const { key } = this.region.kind;
    if (this.wide) return condition;
    return i32.or(condition, i32.ne(i32.load(this.cpu, S.codeKey), c32(key)));
  }

  private storeAll(): void {
    const { f, cpu, locals, dirty, flags } = this;
    if (dirty.isAny) f.defer(() => locals.storeRegisters(cpu, locals.written));
    else locals.storeRegisters(cpu, dirty.registers);
    if (flags.isDirty) f.defer(() => locals.storeFlags(cpu));
  }
}

const nextOffset = ({ offset, instruction }: RegionInstruction): number =>
  offset + instruction.length;
