// Moves of the x87 FPU: loads, stores, constants, exchanges (SDM vol. 1, 8.3.3 and 8.3.4; vol. 2A).

import { c32, c64, call, type I32, type I64, i32, i64 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { constantSignificand, type F80Constant, f80Constants } from './softfloat-f80-convert.ts';
import { S } from './state.ts';
import {
  begin,
  convertedOperand,
  end,
  memoryOperand,
  runtime,
  stackIndex,
} from './x87-instruction.ts';
import {
  clearC1,
  clearFlags,
  controlWord,
  freeRegister,
  isUsed,
  moveTop,
  pop,
  registerValue,
  writeRegister,
} from './x87-stack.ts';

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
  clearC1(f, cpu);
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
    const bytes = x.sizeOf(0);
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
    const bits = c32(8 * x.sizeOf(0));
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

/** What changes the stack but not its contents. */
const stackOnly =
  (change: (x: Context) => void): Semantic =>
  (x) => {
    begin(x);
    change(x);
    end(x, c32(0));
  };

/** FINCSTP and FDECSTP. */
const rotate = (count: number): Semantic =>
  stackOnly((x) => {
    clearC1(x.f, x.cpu);
    moveTop(x.f, x.cpu, count);
  });

/** Semantics by mnemonic. */
export const x87MoveSemantics: SemanticTable = {
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
  fincstp: rotate(1),
  fdecstp: rotate(-1),
  ffree: stackOnly((x) => freeRegister(x.f, x.cpu, stackIndex(x))),
  ffreep: stackOnly((x) => {
    freeRegister(x.f, x.cpu, stackIndex(x));
    pop(x.f, x.cpu);
  }),
  fnop: stackOnly(() => {}),
};
