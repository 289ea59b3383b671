// IN, OUT, INS and OUTS: SDM vol. 1, chapter 19, vol. 2. The processor has no ports: after the
// privilege checks (IOPL, I/O permission bitmap) and, for INS and OUTS, those of memory, the
// instruction leaves to the monitor, once for each element. S.exitPort, exitSize, exitFlags and
// exitData describe it; RIP is still at the instruction. `advance` then makes it done but for the
// value read, `finish` gives that.

import { DF } from '../isa/flags.ts';
import { c32, c64, call, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { Context, SemanticTable, Size } from './context.ts';
import { hasBits, ioplOf, isReal, isVirtual } from './control-bits.ts';
import { SYSTEM_TYPE } from './descriptor.ts';
import { Faults } from './faults.ts';
import type { MemoryRuntime } from './runtime.ts';
import {
  AR_S,
  ES,
  EXIT,
  EXIT_IMMEDIATE,
  EXIT_IN,
  EXIT_REP,
  EXIT_STRING,
  gprSlot,
  RAX,
  RCX,
  RDI,
  RDX,
  RSI,
  S,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  segmentBase,
  segmentCache,
  TR,
  VECTOR,
} from './state.ts';

/** Functions of port instructions. */
export interface IoRuntime {
  /** (cpu, port, bytes) -> fault: #GP(0) unless the program may use these ports. */
  readonly permission: Fn<'i32'>;
  /**
   * (cpu): after an I/O exit: steps the string's pointer and count, and RIP past the instruction.
   */
  readonly advance: Fn<'void'>;
  /** (cpu, data): after {@link advance}: gives IN and INS their value; nothing for OUT and OUTS. */
  readonly finish: Fn<'void'>;
}

/** The offset of the I/O map base in a TSS (SDM vol. 3A, 8.2.1). */
export const IO_MAP_BASE = 102;

/** Defines {@link IoRuntime}. */
export function defineIo(m: ModuleBuilder, memory: MemoryRuntime): IoRuntime {
  const bitmap = defineBitmap(m, memory);
  return {
    permission: m.function('ioPermission', ['i32', 'i32', 'i32'], 'i32', (f) => {
      const [cpu, port, bytes] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
      // IOPL does not count in virtual-8086 mode (vol. 1, 19.5.2).
      const allowed = i32.and(i32.le_u(i32.load(cpu, S.cpl), ioplOf(cpu)), i32.eqz(isVirtual(cpu)));
      f.if(i32.or(isReal(cpu), allowed), () => f.return(c32(0)));
      f.return(call(bitmap, cpu, port, bytes));
    }),
    advance: defineAdvance(m),
    finish: defineFinish(m, memory),
  };
}

/** (cpu, port, bytes) -> fault: looks the ports up in the TSS's bitmap (vol. 1, 19.5.2). */
function defineBitmap(m: ModuleBuilder, memory: MemoryRuntime): Fn<'i32'> {
  return m.function('ioBitmap', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const [cpu, port, bytes] = [f.param(0, 'i32'), f.param(1, 'i32'), f.param(2, 'i32')];
    const faults = new Faults(f, cpu);
    const limit = f.let(i32.load(cpu, segmentCache(TR) + SEGMENT_LIMIT));
    const type = i32.and(i32.load(cpu, segmentCache(TR) + SEGMENT_AR), c32(AR_S | 0xd));
    const noMap = i32.or(i32.ne(type, c32(SYSTEM_TYPE.tss)), i32.lt_u(limit, c32(IO_MAP_BASE + 1)));
    faults.raiseIf(noMap, VECTOR.GP, 0);
    const base = f.let(i64.load(cpu, segmentBase(TR)));
    const map = f.let(i32.wrap(call(memory.loadSystem[2], cpu, i64.add(base, c64(IO_MAP_BASE)))));
    faults.check();
    // The bits may lie in two bytes, so two are read: the map has a byte of ones behind its end.
    const at = f.let(i32.add(map, i32.shr_u(port, c32(3))));
    faults.raiseIf(i32.ge_u(at, limit), VECTOR.GP, 0);
    const word = f.let(i32.wrap(call(memory.loadSystem[2], cpu, i64.add(base, i64.extend_u(at)))));
    faults.check();
    const ones = i32.sub(i32.shl(c32(1), bytes), c32(1));
    const mask = i32.shl(ones, i32.and(port, c32(7)));
    faults.raiseIf(i32.and(word, mask), VECTOR.GP, 0);
    f.return(c32(0));
  });
}

/** Where exitFlags holds log2 of a string instruction's address size. */
const ADDRESS_SHIFT = 8;

const flagOf = (cpu: I32, bit: number): I32 => hasBits(i32.load(cpu, S.exitFlags), bit);

/** Replaces the part of a register that `mask` covers; 32-bit results are zero-extended. */
function storeMasked(f: FunctionBuilder, cpu: I32, register: number, value: I64, mask: I64): void {
  const merged = f.let(
    i64.or(i64.and(i64.load(cpu, gprSlot(register)), i64.xor(mask, c64(-1))), i64.and(value, mask)),
  );
  f.if(i64.eq(mask, c64(0xffffffff)), () => f.set(merged, i64.and(merged, mask)));
  f.store64(cpu, merged, gprSlot(register));
}

function defineAdvance(m: ModuleBuilder): Fn<'void'> {
  const step = defineStep(m);
  return m.function('advanceIo', ['i32'], 'void', (f) => {
    const cpu = f.param(0, 'i32');
    f.if(flagOf(cpu, EXIT_STRING), () => {
      f.if(call(step, cpu), () => f.return());
    });
    const next = f.let(i64.add(i64.load(cpu, S.rip), i64.load32_u(cpu, S.exitLength)));
    f.if(i32.ne(i32.load(cpu, S.codeMode), c32(8)), () => {
      f.set(next, i64.and(next, c64(0xffffffff)));
    });
    f.store64(cpu, next, S.rip);
  });
}

/** (cpu) -> non-zero while a REP prefix has elements left: moves rSI or rDI, and rCX. */
function defineStep(m: ModuleBuilder): Fn<'i32'> {
  return m.function('advanceString', ['i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const log = i32.and(i32.shr_u(i32.load(cpu, S.exitFlags), c32(ADDRESS_SHIFT)), c32(3));
    const mask = f.let(i64.load(i32.add(cpu, i32.shl(log, c32(3))), S.addressMask));
    const by = f.let(i64.load32_u(cpu, S.exitSize));
    f.if(hasBits(i32.load(cpu, S.eflags), DF), () => f.set(by, i64.sub(c64(0), by)));
    const move = (register: number, distance: I64): void => {
      storeMasked(f, cpu, register, i64.add(i64.load(cpu, gprSlot(register)), distance), mask);
    };
    f.if(
      flagOf(cpu, EXIT_IN),
      () => move(RDI, by),
      () => move(RSI, by),
    );
    f.if(i32.eqz(flagOf(cpu, EXIT_REP)), () => f.return(c32(0)));
    move(RCX, c64(-1));
    f.return(i64.ne(i64.and(i64.load(cpu, gprSlot(RCX)), mask), c64(0)));
  });
}

function defineFinish(m: ModuleBuilder, memory: MemoryRuntime): Fn<'void'> {
  return m.function('finishIo', ['i32', 'i32'], 'void', (f) => {
    const [cpu, data] = [f.param(0, 'i32'), f.param(1, 'i32')];
    f.if(i32.eqz(flagOf(cpu, EXIT_IN)), () => f.return());
    const size = i32.load(cpu, S.exitSize);
    f.if(flagOf(cpu, EXIT_STRING), () => {
      const store = (bytes: Size) => (): void => {
        // The address was checked before the exit: what it says now does not matter.
        const linear = i64.load(cpu, S.exitGpa);
        f.drop(call(memory.store[bytes], cpu, linear, i64.extend_u(data)));
      };
      f.switch(i32.shr_u(size, c32(1)), [store(1), store(2)], store(4));
      f.return();
    });
    const rax = gprSlot(RAX);
    f.switch(
      i32.shr_u(size, c32(1)),
      [() => f.store8(cpu, data, rax), () => f.store16(cpu, data, rax)],
      () => f.store64(cpu, i64.extend_u(data), rax),
    );
  });
}

/** Checks the ports and fills the exit fields that all forms share. */
function describe(x: Context, port: I32, flags: number): void {
  const { f, cpu } = x;
  const number = f.let(i32.and(port, c32(0xffff)));
  x.attempt(x.runtime.system.io.permission, cpu, number, c32(x.opsize));
  f.store32(cpu, number, S.exitPort);
  f.store32(cpu, c32(x.opsize), S.exitSize);
  f.store32(cpu, c32(flags), S.exitFlags);
}

const portOf = (x: Context, i: number): I32 => i32.wrap(x.read(i));
const immediateFlag = (x: Context, i: number): number =>
  x.row.operands[i].place === 'imm' ? EXIT_IMMEDIATE : 0;

function input(x: Context): void {
  describe(x, portOf(x, 1), EXIT_IN | immediateFlag(x, 1));
  x.exitBefore(EXIT.io);
}

function output(x: Context): void {
  describe(x, portOf(x, 0), immediateFlag(x, 0));
  x.f.store64(x.cpu, x.gprLow(RAX, x.opsize), S.exitData);
  x.exitBefore(EXIT.io);
}

/** log2 of the address size, from its mask: 16, 32 and 64 ones. */
function addressLog(x: Context): I32 {
  const mask = x.f.let(x.addressMask());
  const over16 = i64.gt_u(mask, c64(0xffff));
  const over32 = i64.gt_u(mask, c64(0xffffffff));
  return i32.add(c32(1), i32.add(over16, over32));
}

/**
 * One element of INS or OUTS: `element` checks its memory and says where it is or what it holds.
 */
function stringIo(x: Context, direction: number, element: () => void): void {
  const { f, cpu } = x;
  const rep = x.variant.rep === 0 ? 0 : EXIT_REP;
  // Ports are checked even if the count is zero.
  describe(x, i32.wrap(x.gprLow(RDX, 2)), direction | EXIT_STRING | rep);
  const body = (): void => {
    element();
    const flags = i32.or(i32.load(cpu, S.exitFlags), i32.shl(addressLog(x), c32(ADDRESS_SHIFT)));
    f.store32(cpu, flags, S.exitFlags);
    x.exitBefore(EXIT.io);
  };
  if (rep === 0) {
    body();
    return;
  }
  const count = i64.and(x.gpr(RCX), x.addressMask());
  f.if(i64.ne(count, c64(0)), body);
}

function ins(x: Context): void {
  stringIo(x, EXIT_IN, () => {
    const { f, cpu } = x;
    const offset = f.let(i64.and(x.gpr(RDI), x.addressMask()));
    const linear = f.let(x.segmentAddress(ES, offset, x.opsize, true));
    x.attempt(x.runtime.memory.probeWrite, cpu, linear, c32(x.opsize));
    f.store64(cpu, linear, S.exitGpa);
  });
}

function outs(x: Context): void {
  stringIo(x, 0, () => {
    const { f, cpu } = x;
    const offset = f.let(i64.and(x.gpr(RSI), x.addressMask()));
    const value = f.let(x.load(x.opsize, x.sourceAddress(offset, x.opsize, false)));
    f.store64(cpu, value, S.exitData);
  });
}

/** Semantics of the port instructions, by mnemonic. */
export const ioSemantics: SemanticTable = { in: input, out: output, ins, outs };
