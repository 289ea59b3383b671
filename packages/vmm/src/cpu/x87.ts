// The instructions of the x87 FPU (SDM vol. 1, 8.3; vol. 2A): here the arithmetic and the
// comparisons, and the table of all.

import { c32, call, type Expr, type Fn, type I32, i32 } from '../wasm/expr.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { C1, ZERO64 } from './softfloat-parts.ts';
import { setCompareFlags } from './sse-operand.ts';
import {
  type ArithmeticName,
  type BinaryName,
  COMPARE_PENDING,
  type PushingName,
  type UnaryName,
} from './x87-arithmetic.ts';
import { x87ControlSemantics } from './x87-control.ts';
import {
  begin,
  convertedOperand,
  end,
  memoryOperand,
  runtime,
  stackIndex,
} from './x87-instruction.ts';
import { x87MoveSemantics } from './x87-move.ts';
import type { X87Runtime } from './x87-runtime.ts';
import { clearFlags, pop } from './x87-stack.ts';

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

const fxam: Semantic = (x) => {
  begin(x);
  x.f.call(runtime(x).examine, x.cpu);
  end(x, c32(0));
};

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
  fxam,
  ...x87MoveSemantics,
  ...x87ControlSemantics,
};
