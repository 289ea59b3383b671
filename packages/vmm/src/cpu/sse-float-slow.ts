// SSE arithmetic out of line, every case: NaNs, denormals, infinities, all roundings, exceptions
// masked or not. SDM vol. 1, 11.5 and appendix E (tables of NaN and exception results).
//
// Each function computes all lanes with the software floating point, then either writes the
// destination register and returns 0, or has raised the exception and returns 1.

import {
  c32,
  c64,
  call,
  type Expr,
  type Fn,
  type I32,
  i32,
  i64,
  type Local,
  select,
  type V128,
} from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { v128 } from '../wasm/simd.ts';
import type { SseOperations } from './softfloat-sse.ts';
import {
  clearFlags,
  MXCSR_DAZ,
  mxcsr,
  type SseSoftFloat,
  settleOrLeave,
} from './sse-exceptions.ts';
import {
  type BitsType,
  double,
  doubles,
  type FloatType,
  type Packed,
  type Scalar,
  single,
  singles,
} from './sse-format.ts';
import { ZERO } from './sse-operand.ts';

/** Operations on two lanes; `minimum` and `maximum` are MIN and MAX, not IEEE's. */
export type BinaryName = 'add' | 'subtract' | 'multiply' | 'divide' | 'minimum' | 'maximum';

/** The out-of-line functions of one format. They return non-zero when they have raised a fault. */
export interface FloatRuntime {
  /** (cpu, destination, a v128, b v128) */
  readonly packed: Readonly<Record<BinaryName | 'addSubtract', Fn<'i32'>>>;
  /** (cpu, destination, b bits): destination = destination op b, in the lowest lane. */
  readonly scalar: Readonly<Record<BinaryName, Fn<'i32'>>>;
  /** (cpu, destination, a v128); (cpu, destination, a bits) */
  readonly packedSqrt: Fn<'i32'>;
  readonly scalarSqrt: Fn<'i32'>;
  /** (cpu, destination, a v128, b v128, imm); (cpu, destination, b bits, imm) */
  readonly packedCompare: Fn<'i32'>;
  readonly scalarCompare: Fn<'i32'>;
  /** (cpu, destination, a v128, imm); (cpu, destination, a bits, imm) */
  readonly packedRound: Fn<'i32'>;
  readonly scalarRound: Fn<'i32'>;
  /**
   * (cpu, a bits, b bits, signalling) -> RFLAGS bits ZF, PF, CF, or -1 when it has raised a fault.
   */
  readonly relation: Fn<'i32'>;
  /** (cpu, destination, b v128, imm): DPPS, DPPD. */
  readonly dotProduct: Fn<'i32'>;
}

/** What the software floating point's compare returns: RFLAGS bits. */
const LESS = 0x01;
const EQUAL = 0x40;
const UNORDERED = 0x45;

/** A function on lanes: (cpu, lane of a, lane of b, mxcsr) -> bits. */
type LaneOperation<B extends BitsType> = (
  f: FunctionBuilder,
  a: Expr<B>,
  b: Expr<B>,
  control: I32,
) => Expr<B>;

/** What the definitions of one format have in common. */
interface Format<B extends BitsType> {
  readonly m: ModuleBuilder;
  readonly settle: Fn<'i32'>;
  readonly scalar: Scalar<B, FloatType>;
  readonly packed: Packed;
  readonly soft: SseOperations<B>;
  readonly round: Fn<B>;
  /** Suffixes of names: PS or PD, SS or SD. */
  readonly suffix: 'S' | 'D';
}

/** Computes one lane after the other; writes them, or faults. */
function packedLanes<B extends BitsType>(
  t: Format<B>,
  f: FunctionBuilder,
  compute: (lane: number, control: I32) => Expr<B>,
): void {
  const cpu = f.param(0, 'i32');
  const destination = f.param(1, 'i32');
  const control = f.let(mxcsr(cpu));
  clearFlags(f, cpu);
  const lanes = Array.from({ length: t.packed.lanes }, (_, lane) => f.let(compute(lane, control)));
  settleOrLeave(f, t.settle, cpu);
  const result = lanes.reduce<V128>((v, bits, lane) => t.scalar.withLane(v, lane, bits), ZERO);
  f.storeV128(destination, result);
  f.return(c32(0));
}

/** Computes the lowest lane; writes it, or faults. */
function scalarLane<B extends BitsType>(
  t: Format<B>,
  f: FunctionBuilder,
  compute: (control: I32) => Expr<B>,
): void {
  const cpu = f.param(0, 'i32');
  clearFlags(f, cpu);
  const bits = f.let(compute(mxcsr(cpu)));
  settleOrLeave(f, t.settle, cpu);
  f.storeLow(t.scalar.bytes, f.param(1, 'i32'), t.scalar.toI64(bits));
  f.return(c32(0));
}

function definePacked<B extends BitsType>(
  t: Format<B>,
  name: string,
  operation: (lane: number) => LaneOperation<B>,
): Fn<'i32'> {
  const params = ['i32', 'i32', 'v128', 'v128'] as const;
  return t.m.function(`sse${name}P${t.suffix}`, params, 'i32', (f) => {
    const a = f.param(2, 'v128');
    const b = f.param(3, 'v128');
    packedLanes(t, f, (lane, control) =>
      operation(lane)(f, t.scalar.lane(a, lane), t.scalar.lane(b, lane), control),
    );
  });
}

function defineScalar<B extends BitsType>(
  t: Format<B>,
  name: string,
  operation: LaneOperation<B>,
): Fn<'i32'> {
  return t.m.function(`sse${name}S${t.suffix}`, ['i32', 'i32', t.scalar.bits], 'i32', (f) => {
    const a = f.let(t.scalar.load(f.param(1, 'i32')));
    const b = f.param(2, t.scalar.bits) as Expr<B>;
    scalarLane(t, f, (control) => operation(f, a, b, control));
  });
}

/** MIN, MAX: op0 if it is less (greater), else op1, also when they are equal or unordered. */
const extreme =
  <B extends BitsType>(t: Format<B>, wanted: number): LaneOperation<B> =>
  (f, a, b, control) => {
    const { scalar } = t;
    const cpu = f.param(0, 'i32');
    const relation = f.let(call(t.soft.compare, cpu, a, b, control, c32(1)));
    const chosen = f.let(select(i32.eq(relation, c32(wanted)), a, b));
    const flushed = i32.and(
      i32.ne(i32.and(control, c32(MXCSR_DAZ)), c32(0)),
      scalar.isDenormal(chosen),
    );
    return select(flushed, scalar.signOf(chosen), chosen);
  };

/** The relations of two operands, as bits of a set. */
export const RELATION = { less: 1, equal: 2, greater: 4, unordered: 8 } as const;

/**
 * For which relations each predicate of CMPPS holds, four bits each, the first lowest: SDM vol. 2A,
 * CMPPD, table 3-1. Predicates 16 to 31 are these again, but for the NaNs that are invalid.
 */
const RELATIONS = [2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15].reduce(
  (word, set, i) => word | (BigInt(set) << BigInt(4 * i)),
  0n,
);

/** The set of relations for which predicate 0..31 holds. */
export function heldRelations(predicate: I32): I32 {
  const place = i64.extend_u(i32.shl(i32.and(predicate, c32(15)), c32(2)));
  return i32.and(i32.wrap(i64.shr_u(c64(RELATIONS), place)), c32(15));
}

/** Predicate `imm`, 0..31, on a lane. */
function comparison<B extends BitsType>(
  t: Format<B>,
  f: FunctionBuilder,
  imm: I32,
): LaneOperation<B> {
  const held = f.let(heldRelations(imm));
  const kind = i32.and(imm, c32(3));
  // Of the first sixteen, those that ask for an order signal quiet NaNs too; of the rest, the
  // others.
  const asksOrder = i32.lt_u(i32.sub(kind, c32(1)), c32(2));
  const signalling = f.let(i32.xor(asksOrder, i32.shr_u(imm, c32(4))));
  return (_f, a, b, control) => {
    const cpu = f.param(0, 'i32');
    const flags = f.let(call(t.soft.compare, cpu, a, b, control, signalling));
    const is = (value: number, relation: number): I32 =>
      i32.mul(i32.eq(flags, c32(value)), c32(relation));
    const ordered = i32.or(is(LESS, RELATION.less), is(EQUAL, RELATION.equal));
    const other = i32.or(is(0, RELATION.greater), is(UNORDERED, RELATION.unordered));
    return t.scalar.mask(i32.ne(i32.and(held, i32.or(ordered, other)), c32(0)));
  };
}

function defineCompares<B extends BitsType>(
  t: Format<B>,
): Pick<FloatRuntime, 'packedCompare' | 'scalarCompare' | 'relation'> {
  const { m, scalar, suffix } = t;
  const packed = ['i32', 'i32', 'v128', 'v128', 'i32'] as const;
  return {
    packedCompare: m.function(`sseCompareP${suffix}`, packed, 'i32', (f) => {
      const operation = comparison(t, f, f.param(4, 'i32'));
      const a = f.param(2, 'v128');
      const b = f.param(3, 'v128');
      packedLanes(t, f, (lane, control) =>
        operation(f, scalar.lane(a, lane), scalar.lane(b, lane), control),
      );
    }),
    scalarCompare: m.function(
      `sseCompareS${suffix}`,
      ['i32', 'i32', scalar.bits, 'i32'],
      'i32',
      (f) => {
        const operation = comparison(t, f, f.param(3, 'i32'));
        const a = f.let(scalar.load(f.param(1, 'i32')));
        const b = f.param(2, scalar.bits) as Expr<B>;
        scalarLane(t, f, (control) => operation(f, a, b, control));
      },
    ),
    relation: m.function(
      `sseRelation${suffix}`,
      ['i32', scalar.bits, scalar.bits, 'i32'],
      'i32',
      (f) => {
        const [, a, b, signalling] = f.params;
        const cpu = f.param(0, 'i32');
        clearFlags(f, cpu);
        const relation = f.let(call(t.soft.compare, cpu, a, b, mxcsr(cpu), signalling));
        f.if(call(t.settle, cpu), () => f.return(c32(-1)));
        f.return(relation);
      },
    ),
  };
}

function defineUnary<B extends BitsType>(
  t: Format<B>,
): Pick<FloatRuntime, 'packedSqrt' | 'scalarSqrt' | 'packedRound' | 'scalarRound'> {
  const { m, scalar, suffix } = t;
  const { bits } = scalar;
  const packed = (name: string, fn: Fn<B>, extra: readonly 'i32'[]): Fn<'i32'> =>
    m.function(`sse${name}P${suffix}`, ['i32', 'i32', 'v128', ...extra], 'i32', (f) => {
      const a = f.param(2, 'v128');
      const rest = f.params.slice(3);
      packedLanes(t, f, (lane, control) =>
        call(fn, f.param(0, 'i32'), scalar.lane(a, lane), control, ...rest),
      );
    });
  const single = (name: string, fn: Fn<B>, extra: readonly 'i32'[]): Fn<'i32'> =>
    m.function(`sse${name}S${suffix}`, ['i32', 'i32', bits, ...extra], 'i32', (f) => {
      const rest = f.params.slice(3);
      scalarLane(t, f, (control) =>
        call(fn, f.param(0, 'i32'), f.param(2, bits), control, ...rest),
      );
    });
  return {
    packedSqrt: packed('Sqrt', t.soft.sqrt, []),
    scalarSqrt: single('Sqrt', t.soft.sqrt, []),
    packedRound: packed('Round', t.round, ['i32']),
    scalarRound: single('Round', t.round, ['i32']),
  };
}

/**
 * DPPS, DPPD: products of the lanes that bits 7:4 of the immediate choose, +0 for the others; sums
 * of neighbours, then of those; the total in the lanes that bits 3:0 choose. The exceptions of
 * each of these stages are decided before the next. Processors add in every lane, in the last sum
 * the lane's own term first, before that its partner's, which shows when there are several NaNs.
 */
function defineDotProduct<B extends BitsType>(t: Format<B>): Fn<'i32'> {
  const { m, scalar, packed, soft } = t;
  const name = `sseDotProductP${t.suffix}`;
  return m.function(name, ['i32', 'i32', 'v128', 'i32'], 'i32', (f) => {
    const cpu = f.param(0, 'i32');
    const destination = f.param(1, 'i32');
    const b = f.param(2, 'v128');
    const imm = f.param(3, 'i32');
    const a = f.let(v128.load(destination));
    const chosen = (bit: number): I32 => i32.and(imm, c32(1 << bit));
    clearFlags(f, cpu);
    let terms = Array.from({ length: packed.lanes }, (_, lane) => {
      const product = f.local(scalar.bits) as Local<B>;
      f.if(chosen(lane + 4), () => {
        const [left, right] = [scalar.lane(a, lane), scalar.lane(b, lane)];
        f.set(product, call(soft.multiply, cpu, left, right, mxcsr(cpu)));
      });
      return product;
    });
    settleOrLeave(f, t.settle, cpu);
    for (let distance = 1; distance < packed.lanes; distance *= 2) {
      const last = 2 * distance === packed.lanes;
      terms = terms.map((term, lane) => {
        const partner = terms[lane ^ distance];
        const [first, second] = last ? [term, partner] : [partner, term];
        return f.let(call(soft.add, cpu, first, second, mxcsr(cpu)));
      });
      settleOrLeave(f, t.settle, cpu);
    }
    const zero = scalar.ofFloat(scalar.constant(0));
    const result = terms.reduce<V128>(
      (v, total, lane) => scalar.withLane(v, lane, select(chosen(lane), total, zero)),
      ZERO,
    );
    f.storeV128(destination, result);
    f.return(c32(0));
  });
}

function defineFormat<B extends BitsType>(t: Format<B>): FloatRuntime {
  const direct =
    (fn: Fn<B>): LaneOperation<B> =>
    (f, a, b, control) =>
      call(fn, f.param(0, 'i32'), a, b, control);
  const operations: Record<BinaryName, LaneOperation<B>> = {
    add: direct(t.soft.add),
    subtract: direct(t.soft.subtract),
    multiply: direct(t.soft.multiply),
    divide: direct(t.soft.divide),
    minimum: extreme(t, LESS),
    maximum: extreme(t, 0),
  };
  const all = (define: (name: string, operation: LaneOperation<B>) => Fn<'i32'>) =>
    Object.fromEntries(
      Object.entries(operations).map(([name, operation]) => [
        name,
        define(name.charAt(0).toUpperCase() + name.slice(1), operation),
      ]),
    ) as Record<BinaryName, Fn<'i32'>>;
  return {
    packed: {
      ...all((name, operation) => definePacked(t, name, () => operation)),
      addSubtract: definePacked(t, 'AddSubtract', (lane) =>
        lane % 2 === 0 ? operations.subtract : operations.add,
      ),
    },
    scalar: all((name, operation) => defineScalar(t, name, operation)),
    ...defineUnary(t),
    ...defineCompares(t),
    dotProduct: defineDotProduct(t),
  };
}

/** Defines the functions of both formats in `m`. */
export function defineFloatRuntime(
  m: ModuleBuilder,
  settle: Fn<'i32'>,
  soft: SseSoftFloat,
): { readonly single: FloatRuntime; readonly double: FloatRuntime } {
  const { convert } = soft;
  return {
    single: defineFormat({
      m,
      settle,
      scalar: single,
      packed: singles,
      soft: soft.f32,
      round: convert.f32Round,
      suffix: 'S',
    }),
    double: defineFormat({
      m,
      settle,
      scalar: double,
      packed: doubles,
      soft: soft.f64,
      round: convert.f64Round,
      suffix: 'D',
    }),
  };
}
