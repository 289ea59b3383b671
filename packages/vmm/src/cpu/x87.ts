// The instructions of the x87 FPU (SDM vol. 1, 8.3; vol. 2A), and WAIT, FXSAVE and FXRSTOR.
//
// An unmasked exception is reported by the next waiting instruction: all but the FN... control
// instructions begin by raising #MF if ES is set (vol. 1, 8.6). What is not control leaves its
// address in the last instruction pointer; opcode and data pointer are noted when an exception is
// unmasked.

import { c32, c64, call, type Expr, type Fn, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable, Size } from './context.ts';
import { signExtend } from './lazy-flags.ts';
import { constantSignificand, type F80Constant, f80Constants } from './softfloat-f80-convert.ts';
import { C1, ZERO64 } from './softfloat-parts.ts';
import { pendingX87, setCompareFlags } from './sse-operand.ts';
import { CS, S, segmentBase, segmentCache, VECTOR } from './state.ts';
import {
  type ArithmeticName,
  type BinaryName,
  COMPARE_PENDING,
  type PushingName,
  type UnaryName,
} from './x87-arithmetic.ts';
import type { X87Runtime } from './x87-runtime.ts';
import {
  clearFlags,
  controlWord,
  ES_B,
  EXCEPTIONS,
  freeRegister,
  isUsed,
  moveTop,
  pop,
  registerValue,
  SF,
  statusWord,
  writeRegister,
} from './x87-stack.ts';
import { ENVIRONMENT_16, ENVIRONMENT_32, FX_AREA, REGISTERS, RESERVED_MXCSR } from './x87-state.ts';

const CR0_MP_TS = 0x0a;
const CR0_EM_BIT = 0x04;
const CR0_TS_BIT = 0x08;

const runtime = (x: Context): X87Runtime => x.runtime.x87;

/** The operand that is in memory, or -1. */
const memoryOperand = (x: Context): number => x.row.operands.findIndex((_, i) => x.inMemory(i));

/** Begins an instruction that is not control. */
function begin(x: Context): void {
  pendingX87(x);
}

/** Ends one: its address, and after an unmasked exception what else is known of it. */
function end(x: Context, pending: I32): void {
  const { f, cpu } = x;
  const kept = f.let(pending);
  f.store64(cpu, x.rip(), S.fip);
  f.store16(cpu, i32.load16_u(cpu, segmentCache(CS)), S.fcs);
  f.if(kept, () => {
    if (memoryOperand(x) >= 0) noteDataPointer(x);
    const linear = i64.add(x.rip(), i64.load(cpu, segmentBase(CS)));
    f.call(runtime(x).noteOpcode, cpu, linear, c32(x.row.encoding.opcode));
  });
}

/** Notes where the memory operand is, which has been accessed: its address cannot fault. */
function noteDataPointer(x: Context): void {
  const { f, cpu } = x;
  const offset = x.effectiveAddress();
  f.store64(cpu, offset, S.fdp);
  // The selector counts in real-address mode only, where it follows from the base.
  const base = i64.sub(x.linearAddress(1, false), offset);
  f.store16(cpu, i32.wrap(i64.shr_u(base, c64(4))), S.fds);
}

/** ST(i) of the operand that names it; ST(0) and ST(1) where none does. */
function stackIndex(x: Context): I32 {
  const i = x.row.operands.findIndex(({ type }) => type === 'sti');
  return i < 0 ? c32(1) : x.f.let(x.registerNumber(i));
}

/** Memory operand `i` of `bytes`, zero-extended. */
const loadOperand = (x: Context, bytes: Size): I64 => x.load(bytes, x.linearAddress(bytes, false));

const bytesOf = (x: Context, i: number): Size => x.sizeOf(i);

/** The operand in memory as a number in double extended, flags in S.fpFlags. */
function convertedOperand(x: Context, integer: boolean): [I64, I32] {
  const { f, cpu } = x;
  const { operands } = runtime(x);
  const bytes = bytesOf(x, memoryOperand(x));
  const bits = f.let(loadOperand(x, bytes));
  clearFlags(f, cpu);
  const convert = (): I64 => {
    if (integer) return call(operands.fromI64, cpu, signExtend(bits, bytes));
    if (bytes === 4) return call(operands.fromF32, cpu, i32.wrap(bits));
    return call(operands.fromF64, cpu, bits);
  };
  const sig = f.let(convert());
  return [sig, f.let(i32.load(cpu, S.fpScratch))];
}

/** FADD, FSUBR, FIDIV, FMULP, ...: `reversed` takes the operands the other way round. */
const arithmetic =
  (name: ArithmeticName, options: { reversed?: boolean; integer?: boolean; pops?: boolean } = {}) =>
  (x: Context): void => {
    const { cpu } = x;
    const { reversed = false, integer = false, pops = false } = options;
    begin(x);
    if (memoryOperand(x) >= 0) {
      const [sig, signExp] = convertedOperand(x, integer);
      end(x, call(runtime(x).operand[name], cpu, sig, signExp, c32(reversed ? 1 : 0)));
      return;
    }
    const i = stackIndex(x);
    const toTop = x.row.operands[0].type === 'st0';
    const [to, other] = toTop ? [c32(0), i] : [i, c32(0)];
    const [a, b] = reversed ? [other, to] : [to, other];
    end(x, call(runtime(x).registers[name], cpu, a, b, to, c32(pops ? 1 : 0)));
  };

/** An operation on ST(0), or on ST(0) and ST(1), that has a function of its own. */
const operation =
  (pick: (rt: X87Runtime) => Fn<'i32'>, ...args: Expr[]): Semantic =>
  (x) => {
    begin(x);
    end(x, call(pick(runtime(x)), x.cpu, ...args));
  };
const unary = (name: UnaryName): Semantic => operation((rt) => rt.unary[name]);
const binary = (name: BinaryName): Semantic => operation((rt) => rt.binary[name]);
const pushing = (name: PushingName): Semantic => operation((rt) => rt.pushing[name]);

/** FCOM and its like: with memory, with ST(i), with zero; `pops` registers go. */
const comparison =
  (options: { signalling: boolean; pops?: number; integer?: boolean; zero?: boolean }): Semantic =>
  (x) => {
    const { f, cpu } = x;
    const { signalling, pops = 0, integer = false, zero = false } = options;
    const rt = runtime(x);
    begin(x);
    const signals = c32(signalling ? 1 : 0);
    const compare = (): I32 => {
      if (memoryOperand(x) >= 0) {
        const [sig, signExp] = convertedOperand(x, integer);
        return call(rt.compareOperand, cpu, sig, signExp, signals);
      }
      if (!zero) return call(rt.compareRegister, cpu, stackIndex(x), signals, c32(C1));
      clearFlags(f, cpu);
      return call(rt.compareOperand, cpu, ZERO64, c32(0), signals);
    };
    const relation = f.let(compare());
    f.call(rt.setRelation, cpu, relation, c32(pops));
    end(x, i32.and(relation, c32(COMPARE_PENDING)));
  };

/** FCOMI and its like: the relation goes to ZF, PF and CF. */
const compareToFlags =
  (signalling: boolean, pops: boolean): Semantic =>
  (x) => {
    const { f, cpu } = x;
    begin(x);
    const signals = c32(signalling ? 1 : 0);
    const { compareRegister } = runtime(x);
    // C1 stays, but for a stack fault.
    const relation = f.let(call(compareRegister, cpu, stackIndex(x), signals, c32(0)));
    const pending = f.let(i32.and(relation, c32(COMPARE_PENDING)));
    const flag = (bit: number): I32 => i32.and(i32.shr_u(relation, c32(bit)), c32(1));
    setCompareFlags(x, flag(6), flag(2), flag(0));
    if (pops) f.if(i32.eqz(pending), () => pop(f, cpu));
    end(x, pending);
  };

/** Where the high two bytes of ten lie: they are an access of their own. */
const HIGH = c64(8);

/** The memory operand of ten bytes. */
function load10(x: Context): [I64, I32] {
  const low = x.f.let(x.load(8, x.linearAddress(8, false)));
  const high = x.f.let(i32.wrap(x.load(2, x.linearAddress(2, false, HIGH))));
  return [low, high];
}

/** FLD: from ST(i), or from memory in its three formats. */
const fld: Semantic = (x) => {
  const { f, cpu } = x;
  const rt = runtime(x);
  begin(x);
  if (memoryOperand(x) < 0) {
    end(x, call(rt.pushCopy, cpu, stackIndex(x)));
    return;
  }
  if (x.row.operands[0].type === 'm80') {
    const [low, high] = load10(x);
    clearFlags(f, cpu);
    end(x, call(rt.push, cpu, low, high));
    return;
  }
  const [raw, signExp] = convertedOperand(x, false);
  const sig = f.let(call(rt.operands.quiet, cpu, raw, signExp));
  end(x, call(rt.push, cpu, sig, signExp));
};

const fild: Semantic = (x) => {
  begin(x);
  const [sig, signExp] = convertedOperand(x, true);
  end(x, call(runtime(x).push, x.cpu, sig, signExp));
};

const fbld: Semantic = (x) => {
  const { f, cpu } = x;
  const rt = runtime(x);
  begin(x);
  const [low, high] = load10(x);
  clearFlags(f, cpu);
  const sig = f.let(call(rt.operands.fromBcd, cpu, low, high));
  end(x, call(rt.push, cpu, sig, i32.load(cpu, S.fpScratch)));
};

/** FLD1, FLDPI, ... */
const constant =
  (value: F80Constant): Semantic =>
  (x) => {
    const { f, cpu } = x;
    begin(x);
    clearFlags(f, cpu);
    const sig = constantSignificand(value, controlWord(cpu));
    end(x, call(runtime(x).push, cpu, sig, c32(value.signExp)));
  };

/**
 * A store to memory: of what `convert` makes of ST(0), unless its exceptions forbid. The flags
 * become visible when the store has not faulted.
 */
function storeTo(x: Context, pops: boolean, convert: () => I64, write: (value: I64) => void): void {
  const { f, cpu } = x;
  const rt = runtime(x);
  const value = f.let(convert());
  f.if(i32.eqz(call(rt.storeBlocked, cpu)), () => write(value));
  end(x, call(rt.settleStore, cpu, c32(pops ? 1 : 0)));
}

/** Writes `low` and the 16 bits in S.fpScratch: two stores, the second of which may fault alone. */
function write10(x: Context, low: I64): void {
  x.store(8, x.linearAddress(8, true), low);
  x.store(2, x.linearAddress(2, true, HIGH), i64.load32_u(x.cpu, S.fpScratch));
}

/** FSTP D9 D8+i, which is in no manual: an empty ST(0) is popped, and nothing else. */
const isUnchecked = (x: Context): boolean =>
  x.row.encoding.opcode === 0xd9 && x.row.operands[0].type === 'sti';

function copyUnchecked(x: Context): void {
  const { f, cpu } = x;
  const i = stackIndex(x);
  const { sig, signExp } = registerValue(cpu, c32(0));
  f.if(isUsed(cpu, c32(0)), () => writeRegister(f, cpu, i, sig, signExp));
  clearC1(x);
  pop(f, cpu);
  end(x, c32(0));
}

/** FST and FSTP: to ST(i), or to memory in the three formats. */
const fst =
  (pops: boolean): Semantic =>
  (x) => {
    const { cpu } = x;
    const rt = runtime(x);
    begin(x);
    if (isUnchecked(x)) {
      copyUnchecked(x);
      return;
    }
    if (memoryOperand(x) < 0) {
      end(x, call(rt.copyTo, cpu, stackIndex(x), c32(pops ? 1 : 0)));
      return;
    }
    if (x.row.operands[0].type === 'm80') {
      storeTo(
        x,
        pops,
        () => call(rt.toF80, cpu),
        (value) => write10(x, value),
      );
      return;
    }
    const bytes = bytesOf(x, 0);
    const convert = bytes === 4 ? rt.toF32 : rt.toF64;
    storeTo(
      x,
      pops,
      () => call(convert, cpu),
      (value) => x.write(0, value),
    );
  };

/** FIST, FISTP, FISTTP: `control` is OR-ed to the control word. */
const fist =
  (pops: boolean, control = 0): Semantic =>
  (x) => {
    begin(x);
    const bits = c32(8 * bytesOf(x, 0));
    const convert = (): I64 => call(runtime(x).toInteger, x.cpu, bits, c32(control));
    storeTo(x, pops, convert, (value) => x.write(0, value));
  };

const fbstp: Semantic = (x) => {
  begin(x);
  storeTo(
    x,
    true,
    () => call(runtime(x).toBcd, x.cpu),
    (value) => write10(x, value),
  );
};

const fxch: Semantic = (x) => {
  begin(x);
  end(x, call(runtime(x).exchange, x.cpu, stackIndex(x)));
};

/** FCMOVcc; `condition` is Jcc's number. */
const fcmov =
  (condition: number): Semantic =>
  (x) => {
    begin(x);
    const holds = x.flags.condition(condition);
    end(x, call(runtime(x).moveIf, x.cpu, stackIndex(x), holds));
  };

/** What changes the stack but not its contents, and clears C1 or not. */
const stackOnly =
  (change: (x: Context) => void): Semantic =>
  (x) => {
    begin(x);
    change(x);
    end(x, c32(0));
  };
const clearC1 = (x: Context): void =>
  x.f.store16(x.cpu, i32.and(statusWord(x.cpu), c32(~C1)), S.fsw);

/** A control instruction; the waiting ones take a pending exception first. */
const control =
  (waits: boolean, body: (x: Context, rt: X87Runtime) => void): Semantic =>
  (x) => {
    if (waits) pendingX87(x);
    body(x, runtime(x));
  };

/** FLDENV, FNSTENV, FRSTOR, FNSAVE. */
const environment =
  (waits: boolean, pick: (rt: X87Runtime) => Fn<'i32'>, write: boolean, more = 0): Semantic =>
  (x) => {
    if (waits) pendingX87(x);
    const large = x.opsize !== 2;
    const bytes = (large ? ENVIRONMENT_32 : ENVIRONMENT_16) + more;
    x.attempt(pick(runtime(x)), x.cpu, x.linearAddress(bytes, write), c32(large ? 1 : 0));
  };

const wait: Semantic = (x) => {
  const cr0 = i32.wrap(i64.load(x.cpu, S.cr0));
  x.raise(VECTOR.NM, { when: i32.eq(i32.and(cr0, c32(CR0_MP_TS)), c32(CR0_MP_TS)) });
  pendingX87(x);
};

/** FXSAVE and FXRSTOR: SDM vol. 2A; the area is aligned to 16 bytes. */
const fx =
  (pick: (rt: X87Runtime) => Fn<'i32'>, write: boolean): Semantic =>
  (x) => {
    const { f, cpu } = x;
    const cr0 = f.let(i32.wrap(i64.load(cpu, S.cr0)));
    x.raise(VECTOR.UD, { when: i32.and(cr0, c32(CR0_EM_BIT)) });
    x.raise(VECTOR.NM, { when: i32.and(cr0, c32(CR0_TS_BIT)) });
    // Alignment is looked at before the limit that the area may cross.
    const misaligned = i32.and(i32.wrap(x.linearAddress(16, write)), c32(15));
    x.raise(VECTOR.GP, { code: c32(0), when: misaligned });
    const linear = f.let(x.linearAddress(FX_AREA, write));
    const rexW = c32(x.opsize === 8 ? 1 : 0);
    const registers = c32(x.wide ? 16 : 8);
    const failed = f.let(call(pick(runtime(x)), cpu, linear, rexW, registers));
    x.raise(VECTOR.GP, { code: c32(0), when: i32.eq(failed, c32(RESERVED_MXCSR)) });
    x.faultIf(failed);
  };

const nothing = (): void => {};

/** Semantics by mnemonic. */
export const x87Semantics: SemanticTable = {
  fadd: arithmetic('add'),
  faddp: arithmetic('add', { pops: true }),
  fiadd: arithmetic('add', { integer: true }),
  fmul: arithmetic('multiply'),
  fmulp: arithmetic('multiply', { pops: true }),
  fimul: arithmetic('multiply', { integer: true }),
  fsub: arithmetic('subtract'),
  fsubp: arithmetic('subtract', { pops: true }),
  fisub: arithmetic('subtract', { integer: true }),
  fsubr: arithmetic('subtract', { reversed: true }),
  fsubrp: arithmetic('subtract', { reversed: true, pops: true }),
  fisubr: arithmetic('subtract', { reversed: true, integer: true }),
  fdiv: arithmetic('divide'),
  fdivp: arithmetic('divide', { pops: true }),
  fidiv: arithmetic('divide', { integer: true }),
  fdivr: arithmetic('divide', { reversed: true }),
  fdivrp: arithmetic('divide', { reversed: true, pops: true }),
  fidivr: arithmetic('divide', { reversed: true, integer: true }),
  fsqrt: unary('sqrt'),
  frndint: unary('roundIntegral'),
  f2xm1: unary('exp2m1'),
  fsin: unary('sin'),
  fcos: unary('cos'),
  fptan: pushing('tan'),
  fsincos: pushing('sincos'),
  fxtract: pushing('extract'),
  fscale: binary('scale'),
  fprem: binary('prem'),
  fprem1: binary('prem1'),
  fyl2x: binary('yLog2x'),
  fyl2xp1: binary('yLog2xp1'),
  fpatan: binary('atan2'),
  fabs: operation((rt) => rt.sign, c32(0x7fff), c32(0)),
  fchs: operation((rt) => rt.sign, c32(0xffff), c32(0x8000)),
  fcom: comparison({ signalling: true }),
  fcomp: comparison({ signalling: true, pops: 1 }),
  fcompp: comparison({ signalling: true, pops: 2 }),
  fucom: comparison({ signalling: false }),
  fucomp: comparison({ signalling: false, pops: 1 }),
  fucompp: comparison({ signalling: false, pops: 2 }),
  ficom: comparison({ signalling: true, integer: true }),
  ficomp: comparison({ signalling: true, integer: true, pops: 1 }),
  ftst: comparison({ signalling: true, zero: true }),
  fcomi: compareToFlags(true, false),
  fcomip: compareToFlags(true, true),
  fucomi: compareToFlags(false, false),
  fucomip: compareToFlags(false, true),
  fxam: stackOnly((x) => x.f.call(runtime(x).examine, x.cpu)),
  fld,
  fild,
  fbld,
  ...Object.fromEntries(Object.entries(f80Constants).map(([name, v]) => [name, constant(v)])),
  fst: fst(false),
  fstp: fst(true),
  fist: fist(false),
  fistp: fist(true),
  fisttp: fist(true, 0xc00),
  fbstp,
  fxch,
  fcmovb: fcmov(2),
  fcmovnb: fcmov(3),
  fcmove: fcmov(4),
  fcmovne: fcmov(5),
  fcmovbe: fcmov(6),
  fcmovnbe: fcmov(7),
  fcmovu: fcmov(10),
  fcmovnu: fcmov(11),
  fincstp: stackOnly((x) => {
    clearC1(x);
    moveTop(x.f, x.cpu, 1);
  }),
  fdecstp: stackOnly((x) => {
    clearC1(x);
    moveTop(x.f, x.cpu, -1);
  }),
  ffree: stackOnly((x) => freeRegister(x.f, x.cpu, stackIndex(x))),
  ffreep: stackOnly((x) => {
    freeRegister(x.f, x.cpu, stackIndex(x));
    pop(x.f, x.cpu);
  }),
  fnop: stackOnly(nothing),
  fldcw: control(true, (x, rt) => x.f.call(rt.loadControl, x.cpu, i32.wrap(x.read(0)))),
  fnstcw: control(false, (x) => x.write(0, i64.load16_u(x.cpu, S.fcw))),
  fnstsw: control(false, (x) => x.write(0, i64.load16_u(x.cpu, S.fsw))),
  fnclex: control(false, (x) => {
    const kept = i32.and(statusWord(x.cpu), c32(~(ES_B | EXCEPTIONS | SF)));
    x.f.store16(x.cpu, kept, S.fsw);
  }),
  fninit: control(false, (x, rt) => x.f.call(rt.init, x.cpu)),
  fneni: control(false, nothing),
  fndisi: control(false, nothing),
  fnsetpm: control(false, nothing),
  fldenv: environment(true, (rt) => rt.loadEnvironment, false),
  fnstenv: environment(false, (rt) => rt.storeEnvironment, true),
  frstor: environment(true, (rt) => rt.restore, false, REGISTERS),
  fnsave: environment(false, (rt) => rt.save, true, REGISTERS),
  wait,
  fxsave: fx((rt) => rt.fxsave, true),
  fxrstor: fx((rt) => rt.fxrstor, false),
};
