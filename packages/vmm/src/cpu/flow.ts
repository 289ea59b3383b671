// How execution gets from one record to the next: entering a page, linking direct jumps, ending a
// slice, raising faults, and the records that stand for no instruction of the guest.
//
// The limit of CS is checked by jumps, and where execution goes on in the next page. Where CS ends
// within a page, code is decoded up to there only. Deliberately not modelled: that a jump within a
// page may reach below the base of CS, when the same jump has not been beyond the limit of another
// segment before.

import { IF } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder, Table } from '../wasm/function.ts';
import type { Declared, ModuleBuilder } from '../wasm/module.ts';
import { CODE_BOUND_SHIFT, CODE_PAGE, defineFindCodePage } from './code-page.ts';
import { NO_FAULT } from './faults.ts';
import { JUMP_ENTRY, jumpEntry, jumpTag } from './jump-cache.ts';
import { fetchEntry, fetchTag, isFaulted, isOutside, type Mmu } from './mmu.ts';
import { ACCESS, FAULT_NON_CANONICAL, WALK } from './page-walk.ts';
import { R, RECORD_BYTES } from './record.ts';
import type { FlowRuntime } from './runtime.ts';
import {
  CS,
  EVENT,
  EXIT,
  EXIT_FETCH,
  FAULT_EXIT,
  HEAT,
  HEAT_ENTRIES,
  S,
  SEGMENT_LIMIT,
  SLOT,
  SS,
  segmentCache,
  VECTOR,
} from './state.ts';

/**
 * What a new code page takes of a slice, as so many instructions: to forget the old one, to make it
 * and to decode a block takes some 10 microseconds.
 */
const NEW_PAGE_INSTRUCTIONS = 1000;

/** Host functions that decode; see code-cache.ts. */
export interface DecodeHost {
  /** (cpu, code page, offset) -> record, or 0 when the cache was emptied to make room. */
  readonly decode: Fn<'i32'>;
  /** (cpu, physical page, mode) -> a new code page, or 0 when the cache was emptied. */
  readonly newCodePage: Fn<'i32'>;
  /** (cpu, record, second physical page): decodes an instruction that goes on in the next page. */
  readonly decodeCrossing: Fn<'void'>;
}

/** What the interpreter's context needs beyond {@link FlowRuntime}. */
export interface Flow extends FlowRuntime {
  readonly table: Table;
  readonly handlerType: number;
  /** (cpu, record): a fault at that record's instruction. Tail-called. */
  readonly faultAt: Fn<'void'>;
  /** (cpu, record, 0 taken | 1 fall-through): a direct jump that is not linked yet. Tail-called. */
  readonly link: Fn<'void'>;
  /** (cpu, record): goes on at a record of this page, charging its block. Tail-called. */
  readonly go: (f: FunctionBuilder, cpu: I32, record: I32) => void;
  /** (cpu, record, budget): the same from compiled code, which has the budget in a local. */
  readonly goFrom: Fn<'void'>;
  /** (cpu, rip, budget): enters at `rip`, from compiled code. Tail-called. */
  readonly enterFrom: Fn<'void'>;
  /** (cpu): delivers the pending software or hardware event; used by `raise`. */
  readonly findCodePage: Fn<'i32'>;
}

export const HANDLER_PARAMS = ['i32', 'i32'] as const;

/**
 * Places in the function table from here on are those of compiled regions: as signed 16-bit
 * numbers, they are negative.
 */
export const REGION_PLACE = 0x8000;

/** RIP of a record's instruction. */
export const ripOf = (cpu: I32, record: I32): I64 =>
  i64.add(i64.load(cpu, SLOT.ripBase), i64.extend_u(i32.load16_u(record, R.offset)));

const codeLimit = (cpu: I32): I64 => i64.load32_u(cpu, segmentCache(CS) + SEGMENT_LIMIT);

/** Sets a fault with error code 0. */
function setFault(f: FunctionBuilder, cpu: I32, vector: I32): void {
  f.store32(cpu, vector, S.faultVector);
  f.store32(cpu, c32(1), S.faultHasCode);
  f.store32(cpu, c32(0), S.faultCode);
}

/** Jumps to a record's handler. */
function dispatch(
  f: FunctionBuilder,
  flow: { table: Table; type: number },
  cpu: I32,
  record: I32,
): void {
  f.returnCallIndirect(flow.table, flow.type, i32.load16_u(record, R.handler), cpu, record);
}

/** Declares the flow functions, whose definitions need the memory and system runtimes. */
export class FlowBuilder {
  readonly enter: Declared<'void'>;
  readonly resync: Declared<'void'>;
  readonly raise: Declared<'void'>;
  readonly faultAt: Declared<'void'>;
  readonly link: Declared<'void'>;
  readonly findCodePage: Fn<'i32'>;
  /** (cpu, linear) -> the code page there, in the fetch TLB from now on; 0 on a fault. */
  fetchPage: Fn<'i32'> | undefined;
  readonly goFrom: Declared<'void'>;
  readonly enterFrom: Declared<'void'>;
  private readonly enterSlow: Declared<'void'>;
  private readonly sliceEnd: Declared<'void'>;
  private readonly m: ModuleBuilder;
  private readonly hot: Fn<'void'> | undefined;
  private readonly target: { table: Table; type: number };

  /** `hot`: (cpu, record), called when a block has been entered S.heatLimit times. */
  constructor(m: ModuleBuilder, table: Table, hot?: Fn<'void'>) {
    this.m = m;
    this.hot = hot;
    this.target = { table, type: m.typeIndex(HANDLER_PARAMS, 'void') };
    this.enter = m.declare('enter', ['i32'], 'void');
    this.resync = m.declare('resync', ['i32'], 'void');
    this.raise = m.declare('raise', ['i32'], 'void');
    this.enterSlow = m.declare('enterSlow', ['i32'], 'void');
    this.faultAt = m.declare('faultAt', HANDLER_PARAMS, 'void');
    this.sliceEnd = m.declare('sliceEnd', HANDLER_PARAMS, 'void');
    this.link = m.declare('link', ['i32', 'i32', 'i32'], 'void');
    this.goFrom = m.declare('goFrom', ['i32', 'i32', 'i32'], 'void');
    this.enterFrom = m.declare('enterFrom', ['i32', 'i64', 'i32'], 'void');
    this.findCodePage = defineFindCodePage(m);
  }

  /** The functions as handlers use them. */
  get flow(): Flow {
    return {
      table: this.target.table,
      handlerType: this.target.type,
      enter: this.enter,
      resync: this.resync,
      raise: this.raise,
      faultAt: this.faultAt,
      link: this.link,
      go: (f, cpu, record) => this.go(f, cpu, record),
      goFrom: this.goFrom,
      enterFrom: this.enterFrom,
      findCodePage: this.findCodePage,
    };
  }

  /** Charges the block that starts at `record` to the slice and goes there, or ends the slice. */
  private go(f: FunctionBuilder, cpu: I32, record: I32, budget = i32.load(cpu, S.budget)): void {
    const left = f.let(i32.sub(budget, i32.load16_u(record, R.left)));
    f.store32(cpu, left, S.budget);
    f.if(i32.lt_s(left, c32(0)), () => f.returnCall(this.sliceEnd, cpu, record));
    const isInterpreted = i32.ge_s(i32.load16_s(record, R.handler), c32(0));
    f.if(isInterpreted, () => this.warm(f, cpu, record));
    dispatch(f, this.target, cpu, record);
  }

  /** Counts the entry of a block, and reports it when that makes it hot. */
  private warm(f: FunctionBuilder, cpu: I32, record: I32): void {
    const { hot } = this;
    if (!hot) return;
    // Records are 32 bytes: the number of one, times the 4 bytes of a counter.
    const slot = i32.and(i32.shr_u(record, c32(3)), c32((HEAT_ENTRIES - 1) << 2));
    const counter = f.let(i32.add(cpu, slot));
    const heat = f.let(i32.add(i32.load(counter, HEAT), c32(1)));
    f.store32(counter, heat, HEAT);
    f.if(i32.ge_s(heat, i32.load(cpu, S.heatLimit)), () => f.call(hot, cpu, record));
  }

  private refund(f: FunctionBuilder, cpu: I32, record: I32): void {
    const budget = i32.add(i32.load(cpu, S.budget), i32.load16_u(record, R.left));
    f.store32(cpu, budget, S.budget);
    f.store64(cpu, ripOf(cpu, record), S.rip);
  }

  /** Defines everything. `deliver` is that of SystemRuntime. */
  define(mmu: Mmu, deliver: Fn<'i32'>, host: DecodeHost): void {
    this.defineEnter();
    this.defineFrom();
    this.defineEnterSlow(mmu, host);
    this.defineLink(host);
    this.defineEnds();
    this.defineRaise(deliver);
  }

  private linearRip(f: FunctionBuilder, cpu: I32, mode: I32): I64 {
    // The base of CS is zero in 64-bit code, and linear addresses have 32 bits elsewhere.
    const sum = f.let(i64.add(i64.load(cpu, S.rip), i64.load(cpu, SLOT.segmentBase + 8 * CS)));
    f.if(i32.ne(mode, c32(8)), () => {
      f.set(sum, i64.and(sum, c64(0xffffffff)));
    });
    return sum;
  }

  private settle(f: FunctionBuilder, cpu: I32, code: I32, linear: I64): void {
    const offset = i64.and(linear, c64(4095));
    f.store64(cpu, i64.sub(i64.load(cpu, S.rip), offset), SLOT.ripBase);
    f.store32(cpu, code, S.codePage);
  }

  private defineEnter(): void {
    this.enter.define((f) => {
      const cpu = f.param(0, 'i32');
      const mode = f.let(i32.load(cpu, S.codeMode));
      const linear = this.linearRip(f, cpu, mode);
      const entry = f.let(fetchEntry(i32.load(cpu, S.fetchTlb), linear));
      f.if(i64.eq(i64.load(entry), fetchTag(linear, mode)), () => {
        const code = f.let(i32.load(entry, 8));
        const record = f.let(i32.load(mapSlot(code, linear), CODE_PAGE.map));
        f.if(record, () => {
          this.settle(f, cpu, code, linear);
          this.go(f, cpu, record);
        });
      });
      f.returnCall(this.enterSlow, cpu);
    });
  }

  /** How compiled code, which is 64-bit code, goes on elsewhere. */
  private defineFrom(): void {
    this.goFrom.define((f) => {
      this.go(f, f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32'));
    });
    this.enterFrom.define((f) => {
      const [cpu, rip, budget] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const jump = f.let(jumpEntry(cpu, rip));
      const tag = f.let(jumpTag(cpu, rip));
      f.if(i64.eq(i64.load(jump, JUMP_ENTRY.tag), tag), () => {
        const left = f.let(i32.sub(budget, i32.load16_u(jump, JUMP_ENTRY.left)));
        f.if(i32.ge_s(left, c32(0)), () => {
          f.store32(cpu, left, S.budget);
          f.store64(cpu, i64.and(rip, c64(-4096)), SLOT.ripBase);
          f.store32(cpu, i32.load(jump, JUMP_ENTRY.code), S.codePage);
          const { table, type } = this.target;
          const handler = i32.load16_u(jump, JUMP_ENTRY.handler);
          // Compiled code knows its record.
          f.returnCallIndirect(table, type, handler, cpu, c32(0));
        });
      });
      f.returnCall(this.lookUp(), cpu, rip, budget);
    });
  }

  /** (cpu, rip, budget): enters at `rip` by the fetch TLB, and remembers compiled code. */
  private lookUp(): Fn<'void'> {
    return this.m.function('lookUp', ['i32', 'i64', 'i32'], 'void', (f) => {
      const [cpu, rip, budget] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i32')];
      const entry = f.let(fetchEntry(i32.load(cpu, S.fetchTlb), rip));
      f.if(i64.eq(i64.load(entry), fetchTag(rip, c32(8))), () => {
        const code = f.let(i32.load(entry, 8));
        const record = f.let(i32.load(mapSlot(code, rip), CODE_PAGE.map));
        f.if(record, () => {
          f.store64(cpu, i64.and(rip, c64(-4096)), SLOT.ripBase);
          f.store32(cpu, code, S.codePage);
          const handler = f.let(i32.load16_u(record, R.handler));
          f.if(i32.ge_u(handler, c32(REGION_PLACE)), () => {
            const jump = f.let(jumpEntry(cpu, rip));
            f.store64(jump, jumpTag(cpu, rip), JUMP_ENTRY.tag);
            f.store16(jump, handler, JUMP_ENTRY.handler);
            f.store16(jump, i32.load16_u(record, R.left), JUMP_ENTRY.left);
            f.store32(jump, code, JUMP_ENTRY.code);
          });
          this.go(f, cpu, record, budget);
        });
      });
      f.store64(cpu, rip, S.rip);
      f.store32(cpu, budget, S.budget);
      f.returnCall(this.enterSlow, cpu);
    });
  }

  private defineEnterSlow(mmu: Mmu, host: DecodeHost): void {
    const fetchPage = this.defineFetchPage(mmu, host);
    this.fetchPage = fetchPage;
    this.enterSlow.define((f) => {
      const cpu = f.param(0, 'i32');
      // At the end of a slice the next instruction is not even looked at: its fetch might fault,
      // and a trap after the last instruction comes first.
      f.if(i32.le_s(i32.load(cpu, S.budget), c32(0)), () => {
        f.store32(cpu, c32(EXIT.none), S.exit);
        f.return();
      });
      const mode = f.let(i32.load(cpu, S.codeMode));
      const linear = this.linearRip(f, cpu, mode);
      f.if(i32.ne(mode, c32(8)), () => {
        f.store64(cpu, i64.load32_u(cpu, S.rip), S.rip);
        f.if(i64.gt_u(i64.load(cpu, S.rip), codeLimit(cpu)), () => {
          setFault(f, cpu, c32(VECTOR.GP));
          f.returnCall(this.raise, cpu);
        });
      });
      const code = f.let(call(fetchPage, cpu, linear));
      f.if(i32.eqz(code), () => f.returnCall(this.raise, cpu));
      const record = f.let(i32.load(mapSlot(code, linear), CODE_PAGE.map));
      f.if(i32.eqz(record), () => {
        const offset = i32.and(i32.wrap(linear), c32(4095));
        f.set(record, call(host.decode, cpu, code, offset));
        // The cache was full and is empty now: the code page is gone too.
        f.if(i32.eqz(record), () => f.returnCall(this.enterSlow, cpu));
      });
      this.settle(f, cpu, code, linear);
      this.go(f, cpu, record);
    });
  }

  private defineFetchPage(mmu: Mmu, host: DecodeHost): Fn<'i32'> {
    return this.m.function('fetchPage', ['i32', 'i64'], 'i32', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const user = i32.shl(i32.eq(i32.load(cpu, S.cpl), c32(3)), c32(2));
      const access = i32.or(user, c32(ACCESS.fetch));
      const address = f.let(call(mmu.translate, cpu, c32(0), linear, access));
      f.if(isFaulted(address), () => f.return(c32(0)));
      f.if(isOutside(address), () => {
        f.store64(cpu, i64.load(cpu, S.lastPhysical), S.exitGpa);
        f.store32(cpu, c32(EXIT_FETCH), S.exitFlags);
        f.store32(cpu, c32(EXIT.mmio), S.exit);
        f.store32(cpu, c32(FAULT_EXIT), S.faultVector);
        f.return(c32(0));
      });
      const page = f.let(i32.wrap(i64.shr_u(i64.load(cpu, S.lastPhysical), c64(12))));
      const mode = f.let(i32.load(cpu, S.codeMode));
      const key = f.let(mode);
      const bound = f.let(i64.load(cpu, S.codeBound));
      f.if(i64.eq(i64.and(i64.xor(bound, linear), c64(-4096)), c64(0)), () => {
        const offset = i32.and(i32.wrap(bound), c32(4095));
        f.set(key, i32.or(mode, i32.shl(offset, c32(CODE_BOUND_SHIFT))));
      });
      const code = f.let(call(this.findCodePage, cpu, page, key));
      f.loop((again) => {
        f.if(i32.eqz(code), () => {
          f.set(code, call(host.newCodePage, cpu, page, key));
          this.chargeForPage(f, cpu);
          f.br(again);
        });
      });
      const entry = f.let(fetchEntry(i32.load(cpu, S.fetchTlb), linear));
      f.store64(entry, fetchTag(linear, mode));
      f.store32(entry, code, 8);
      f.store32(entry, page, 12);
      const global = i32.and(i32.load(cpu, S.walkFlags), c32(WALK.global));
      f.if(i32.eqz(i32.or(global, user)), () => f.store32(cpu, c32(1), S.fetchNonGlobal));
      f.return(code);
    });
  }

  /** A guest that writes over the code that it runs must not keep the processor for long. */
  private chargeForPage(f: FunctionBuilder, cpu: I32): void {
    f.store32(cpu, i32.sub(i32.load(cpu, S.budget), c32(NEW_PAGE_INSTRUCTIONS)), S.budget);
    f.store32(cpu, i32.add(i32.load(cpu, S.pageCharge), c32(NEW_PAGE_INSTRUCTIONS)), S.pageCharge);
  }

  private defineLink(host: DecodeHost): void {
    this.link.define((f) => {
      const [cpu, record, fallThrough] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
      const next = i32.add(i32.load16_u(record, R.offset), i32.load8_u(record, R.length));
      // Relative to the page, and more than 32 bits: a displacement may be near 2^31.
      const target = f.let(i64.extend_u(next));
      f.if(i32.eqz(fallThrough), () => {
        f.set(target, i64.add(target, i64.load32_s(record, R.disp)));
      });
      const rip = f.let(i64.add(i64.load(cpu, SLOT.ripBase), target));
      f.if(i32.ne(i32.load(cpu, S.codeMode), c32(8)), () => {
        f.set(rip, i64.and(rip, c64(0xffffffff)));
        const jumps = i32.eqz(fallThrough);
        f.if(i32.and(jumps, i64.gt_u(rip, codeLimit(cpu))), () => {
          setFault(f, cpu, c32(VECTOR.GP));
          f.returnCall(this.faultAt, cpu, record);
        });
      });
      const code = f.let(i32.load(cpu, S.codePage));
      f.if(i32.and(i64.lt_u(target, c64(4096)), i32.ne(code, c32(0))), () => {
        const offset = f.let(i32.wrap(target));
        const slot = i32.add(code, i32.shl(offset, c32(2)));
        const found = f.let(i32.load(slot, CODE_PAGE.map));
        f.if(i32.eqz(found), () => f.set(found, call(host.decode, cpu, code, offset)));
        f.if(found, () => {
          const where = i32.add(record, i32.shl(fallThrough, c32(2)));
          f.store32(where, found, R.taken);
          this.go(f, cpu, found);
        });
      });
      f.store64(cpu, rip, S.rip);
      this.enterWithin(f, cpu);
    });
  }

  private defineEnds(): void {
    this.sliceEnd.define((f) => {
      const cpu = f.param(0, 'i32');
      this.refund(f, cpu, f.param(1, 'i32'));
      f.store32(cpu, c32(EXIT.none), S.exit);
    });
    this.faultAt.define((f) => {
      const [cpu, record] = [f.param(0, 'i32'), f.param(1, 'i32')];
      this.refund(f, cpu, record);
      f.if(i32.eq(i32.load(cpu, S.faultVector), c32(FAULT_NON_CANONICAL)), () => {
        const stack = i32.eq(i32.load8_u(record, R.segmentIndex), c32(SS));
        setFault(f, cpu, i32.sub(c32(VECTOR.GP), stack));
      });
      f.returnCall(this.raise, cpu);
    });
    this.resync.define((f) => {
      const cpu = f.param(0, 'i32');
      f.if(i32.or(i32.load(cpu, S.stepping), i32.load(cpu, S.shadow)), () => {
        f.store32(cpu, c32(EXIT.step), S.exit);
        f.return();
      });
      const enabled = i32.ne(i32.and(i32.load(cpu, S.eflags), c32(IF)), c32(0));
      f.if(i32.and(i32.ne(i32.load(cpu, S.window), c32(0)), enabled), () => {
        f.store32(cpu, c32(EXIT.window), S.exit);
        f.return();
      });
      f.returnCall(this.enter, cpu);
    });
  }

  private defineRaise(deliver: Fn<'i32'>): void {
    this.raise.define((f) => {
      const cpu = f.param(0, 'i32');
      const vector = f.let(i32.load(cpu, S.faultVector));
      f.store32(cpu, c32(NO_FAULT), S.faultVector);
      f.if(i32.eq(vector, c32(FAULT_EXIT)), () => f.return());
      f.if(i32.eq(vector, c32(FAULT_NON_CANONICAL)), () => {
        setFault(f, cpu, c32(NO_FAULT));
        f.set(vector, c32(VECTOR.GP));
      });
      // An exception takes as much of the slice as an instruction: a handler whose first
      // instruction faults again must not keep the processor for ever.
      f.store64(cpu, i64.add(i64.load(cpu, S.exceptions), c64(1)), S.exceptions);
      const counter = f.let(i32.add(cpu, i32.shl(vector, c32(2))));
      const count = i32.add(i32.load(counter, S.exceptionCounts), c32(1));
      f.store32(counter, count, S.exceptionCounts);
      f.store32(cpu, i32.sub(i32.load(cpu, S.budget), c32(1)), S.budget);
      f.store64(cpu, i64.load(cpu, S.rip), S.eventRip);
      const [hasCode, code] = [i32.load(cpu, S.faultHasCode), i32.load(cpu, S.faultCode)];
      const down = call(deliver, cpu, vector, c32(EVENT.exception), hasCode, code);
      f.if(down, () => f.return());
      f.returnCall(this.resync, cpu);
    });
  }

  /**
   * Defines the handlers of records that are no instructions; returns their functions:
   * - `stale`: the page's code was dropped under the record's feet: look again.
   * - `goOn`: the block was cut here; go on at its offset (linked like a jump).
   * - `crossing`: the instruction goes on in the next page: run its own record at R.taken.
   * - `leavePage`: behind such an instruction: enter at this record's offset.
   * - `stop`: behind the one instruction of a step: return to the monitor.
   */
  defineSpecial(host: DecodeHost): Record<SpecialHandler, Fn<'void'>> {
    const { fetchPage } = this;
    if (!fetchPage) throw new Error('define() comes first');
    const define = (name: string, build: (f: FunctionBuilder, cpu: I32, record: I32) => void) =>
      this.m.function(name, HANDLER_PARAMS, 'void', (f) => {
        build(f, f.param(0, 'i32'), f.param(1, 'i32'));
      });
    return {
      stale: define('stale', (f, cpu, record) => {
        this.refund(f, cpu, record);
        f.returnCall(this.enter, cpu);
      }),
      goOn: define('goOn', (f, cpu, record) => {
        const next = f.let(i32.load(record, R.taken));
        f.if(next, () => this.go(f, cpu, next));
        f.returnCall(this.link, cpu, record, c32(0));
      }),
      crossing: define('crossing', (f, cpu, record) =>
        this.crossing(f, cpu, record, fetchPage, host),
      ),
      leavePage: define('leavePage', (f, cpu, record) => {
        this.storeRip(f, cpu, ripOf(cpu, record));
        this.enterWithin(f, cpu);
      }),
      stop: define('stop', (f, cpu, record) => {
        this.storeRip(f, cpu, ripOf(cpu, record));
        f.store32(cpu, c32(EXIT.none), S.exit);
      }),
    };
  }

  /** S.rip = `rip`, which execution has reached; EIP wraps at 4 GiB, if CS reaches that far. */
  private storeRip(f: FunctionBuilder, cpu: I32, rip: I64): void {
    const reached = f.let(rip);
    f.if(i32.ne(i32.load(cpu, S.codeMode), c32(8)), () => {
      f.set(reached, i64.and(reached, c64(0xffffffff)));
    });
    f.store64(cpu, reached, S.rip);
  }

  /** Goes on at S.rip, which execution has reached without a jump: it may be beyond CS. */
  private enterWithin(f: FunctionBuilder, cpu: I32): void {
    const narrow = i32.ne(i32.load(cpu, S.codeMode), c32(8));
    f.if(i32.and(narrow, i64.gt_u(i64.load(cpu, S.rip), codeLimit(cpu))), () => {
      setFault(f, cpu, c32(VECTOR.GP));
      f.returnCall(this.raise, cpu);
    });
    f.returnCall(this.enter, cpu);
  }

  /** Raises #GP(0) at `record` if `rip`, of a byte of its instruction, is beyond CS. */
  private checkLimit(f: FunctionBuilder, cpu: I32, record: I32, rip: I64): void {
    f.if(i64.gt_u(i64.and(rip, c64(0xffffffff)), codeLimit(cpu)), () => {
      setFault(f, cpu, c32(VECTOR.GP));
      f.returnCall(this.faultAt, cpu, record);
    });
  }

  private crossing(
    f: FunctionBuilder,
    cpu: I32,
    record: I32,
    fetchPage: Fn<'i32'>,
    host: DecodeHost,
  ): void {
    const base = i64.add(i64.load(cpu, SLOT.ripBase), i64.load(cpu, SLOT.segmentBase + 8 * CS));
    const linear = f.let(i64.add(base, c64(4096)));
    const mode = f.let(i32.load(cpu, S.codeMode));
    f.if(i32.ne(mode, c32(8)), () => {
      f.set(linear, i64.and(linear, c64(0xffffffff)));
      this.checkLimit(f, cpu, record, i64.add(i64.load(cpu, SLOT.ripBase), c64(4096)));
    });
    const entry = f.let(fetchEntry(i32.load(cpu, S.fetchTlb), linear));
    f.if(i64.ne(i64.load(entry), fetchTag(linear, mode)), () => {
      const rip = f.let(ripOf(cpu, record));
      const left = f.let(i32.load16_u(record, R.left));
      f.if(i32.eqz(call(fetchPage, cpu, linear)), () => f.returnCall(this.faultAt, cpu, record));
      // To make room for the second page, all code may have been dropped, with this record.
      f.if(i32.eqz(i32.load(cpu, S.codePage)), () => {
        f.store32(cpu, i32.add(i32.load(cpu, S.budget), left), S.budget);
        f.store64(cpu, rip, S.rip);
        f.returnCall(this.enter, cpu);
      });
    });
    const page = f.let(i32.load(entry, 12));
    const current = i32.and(
      i32.eq(i32.load(record, R.disp), page),
      i32.eq(i32.load(record, R.fallThrough), i32.load(cpu, S.codeGeneration)),
    );
    f.if(i32.eqz(current), () => f.call(host.decodeCrossing, cpu, record, page));
    f.if(i32.ne(mode, c32(8)), () => {
      const length = i64.load8_u(i32.load(record, R.taken), R.length);
      this.checkLimit(f, cpu, record, i64.sub(i64.add(ripOf(cpu, record), length), c64(1)));
    });
    dispatch(f, this.target, cpu, i32.load(record, R.taken));
  }
}

/** Names of the handlers that stand for no guest instruction. */
export type SpecialHandler = 'stale' | 'goOn' | 'crossing' | 'leavePage' | 'stop';

const mapSlot = (code: I32, linear: I64): I32 =>
  i32.add(code, i32.shl(i32.and(i32.wrap(linear), c32(4095)), c32(2)));

/** The record after `record` in its block. */
export const nextRecord = (record: I32): I32 => i32.add(record, c32(RECORD_BYTES));
