// Runs vectors on semantics alone, without the rest of the processor: register forms in 64-bit
// code, one WebAssembly function for each, no memory, no decoder cache, no event delivery. So an
// error in a semantic function shows as that, and thousands of cases take a second.

import type { SemanticTable, Size } from '../../src/cpu/context.ts';
import { type Flow, HANDLER_PARAMS } from '../../src/cpu/flow.ts';
import { InterpreterContext } from '../../src/cpu/interpreter-context.ts';
import { LazyFlags } from '../../src/cpu/lazy-flags.ts';
import { R, RECORD_BYTES } from '../../src/cpu/record.ts';
import type { Runtime } from '../../src/cpu/runtime.ts';
import { GPR, gprSlot, S } from '../../src/cpu/state.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { STATUS_FLAGS } from '../../src/isa/flags.ts';
import type { Instruction } from '../../src/isa/instruction.ts';
import { operandShapes } from '../../src/isa/operand.ts';
import type { Operand, Row } from '../../src/isa/row.ts';
import { c32 } from '../../src/wasm/expr.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';
import type { SiliconTarget } from '../silicon/compare.ts';
import type { SiliconResult, SiliconVector } from '../silicon/format.ts';
import { Fx } from '../silicon/vectors.ts';

/** Where state and record lie in the memory. */
const CPU = 0x1000;
const RECORD = 0x800;
const CR4_OSXMMEXCPT = 1n << 10n;
const NO_FAULT = -1;
const SINGLE_STEP = 1;
const TF = 0x100;

interface Exports {
  pack(cpu: number): number;
  unpack(cpu: number, flags: number): void;
  // biome-ignore lint/suspicious/noConfusingVoidType: handlers and `unpack` return nothing
  [handler: string]: (cpu: number, record: number) => number | void;
}

const keyOf = (row: Row, opsize: number): string => `${row.id}.${opsize}`;

/** The semantics of `rows`, in the operand sizes in which they come. */
export class RegisterTarget implements SiliconTarget {
  private readonly view: DataView;
  private readonly exports: Exports;
  private readonly decoder = new Decoder();
  private readonly instruction: Instruction = createInstruction();
  private vector: SiliconVector | undefined;
  /** CR4 of the vectors to come. */
  cr4: bigint = CR4_OSXMMEXCPT;

  /** Nothing is held that the garbage collector does not find. */
  close(): void {}

  /** `define` defines in the module what the semantics call. */
  constructor(
    rows: readonly Row[],
    semantics: SemanticTable,
    define: (m: ModuleBuilder) => Partial<Runtime>,
  ) {
    const m = new ModuleBuilder();
    m.importMemory('env', 'memory', 1, 1);
    const table = m.importTable('env', 'table', 1);
    const handlerType = m.typeIndex(HANDLER_PARAMS, 'void');
    const stop = m.function('stop', HANDLER_PARAMS, 'void', () => {});
    m.element(stop);
    const runtime = { module: m, ...define(m) } as Runtime;
    const flow = { table, handlerType, faultAt: stop } as unknown as Flow;
    for (const row of rows) {
      const semantic = semantics[row.name] ?? semantics[row.mnemonic];
      if (!semantic || row.encoding.forms === 'memory') continue;
      for (const opsize of [2, 4, 8] as const) this.define(m, row, opsize, semantic, runtime, flow);
    }
    defineFlags(m);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    this.view = new DataView(memory.buffer);
    const tableObject = new WebAssembly.Table({ element: 'anyfunc', initial: m.elementCount });
    const module = new WebAssembly.Module(m.encode());
    const instance = new WebAssembly.Instance(module, { env: { memory, table: tableObject } });
    this.exports = instance.exports as unknown as Exports;
  }

  private define(
    m: ModuleBuilder,
    row: Row,
    opsize: Size,
    semantic: (x: InterpreterContext) => void,
    runtime: Runtime,
    flow: Flow,
  ): void {
    const variant = {
      row,
      opsize,
      addressing: 'register',
      lock: false,
      rep: 0,
      wide: true,
    } as const;
    const fn = m.function(keyOf(row, opsize), HANDLER_PARAMS, 'void', (f) => {
      const x = new InterpreterContext(f, runtime, flow, variant);
      semantic(x);
      x.finish();
      f.unreachable();
    });
    m.export(keyOf(row, opsize), fn);
  }

  load(vector: SiliconVector): void {
    const { view, instruction } = this;
    this.vector = vector;
    this.decoder.decode(vector.code, 0, vector.code.length, 8, instruction);
    for (const [n, value] of vector.gpr.entries()) view.setBigUint64(CPU + gprSlot(n), value, true);
    const fx = new DataView(vector.fx.buffer, vector.fx.byteOffset);
    for (let n = 0; n < 16; n++) copy(fx, Fx.xmm + 16 * n, view, CPU + S.xmm + 16 * n);
    const status = fx.getUint16(Fx.fsw, true);
    for (let n = 0; n < 8; n++) {
      const physical = (n + (status >> 11)) & 7;
      copy(fx, Fx.st + 16 * n, view, CPU + S.fpr + 16 * physical);
    }
    view.setUint16(CPU + S.fcw, fx.getUint16(Fx.fcw, true), true);
    view.setUint16(CPU + S.fsw, status, true);
    view.setUint8(CPU + S.ftw, fx.getUint8(Fx.ftw));
    view.setUint32(CPU + S.mxcsr, fx.getUint32(Fx.mxcsr, true), true);
    view.setBigUint64(CPU + S.cr4, this.cr4, true);
    view.setInt32(CPU + S.faultVector, NO_FAULT, true);
    this.exports.unpack(CPU, vector.rflags);
    this.fillRecord();
  }

  private fillRecord(): void {
    const { view, instruction } = this;
    view.setUint16(RECORD + R.reg, this.slot('reg'), true);
    view.setUint16(RECORD + R.rm, this.slot('rm'), true);
    view.setInt32(RECORD + R.imm, instruction.immLo, true);
    view.setInt32(RECORD + R.imm + 4, instruction.immHi, true);
    view.setUint16(RECORD + RECORD_BYTES + R.handler, 0, true);
  }

  private slot(place: 'reg' | 'rm'): number {
    const { row, reg, rm } = this.instruction;
    const operand = row.operands.find((each: Operand) => each.place === place);
    if (!operand) return 0;
    const number = place === 'reg' ? reg : rm;
    const { file } = operandShapes[operand.type];
    if (file === 'xmm') return S.xmm + 16 * number;
    if (file === 'mm') return S.fpr + 16 * (number & 7);
    const { rexPresent } = this.instruction;
    const high = operand.type === 'rm8' && !rexPresent && number >= 4 && number < 8;
    return high ? GPR + 8 * (number - 4) + 1 : gprSlot(number);
  }

  run(): SiliconResult {
    const { vector, view, instruction, exports } = this;
    if (!vector) throw new Error('There is no vector to run.');
    exports[keyOf(instruction.row, instruction.opsize)](CPU, RECORD);
    const fault = view.getInt32(CPU + S.faultVector, true);
    const done = fault === NO_FAULT;
    return {
      trap: done ? SINGLE_STEP : fault,
      errorCode: 0,
      steps: 1,
      rip: vector.rip + (done ? BigInt(instruction.length) : 0n),
      rflags: ((vector.rflags & ~STATUS_FLAGS) | TF | (exports.pack(CPU) as number)) >>> 0,
      gpr: vector.gpr.map((_, n) => view.getBigUint64(CPU + gprSlot(n), true)),
      fsBase: vector.fsBase,
      gsBase: vector.gsBase,
      selectors: vector.selectors,
      cs: 0x33,
      cr2: 0n,
      fx: this.readFx(vector),
      ymm: vector.ymm,
      changes: [],
    };
  }

  private readFx(vector: SiliconVector): Uint8Array {
    const { view } = this;
    const bytes = vector.fx.slice();
    const fx = new DataView(bytes.buffer);
    for (let n = 0; n < 16; n++) copy(view, CPU + S.xmm + 16 * n, fx, Fx.xmm + 16 * n);
    const status = view.getUint16(CPU + S.fsw, true);
    for (let n = 0; n < 8; n++) {
      const physical = (n + (status >> 11)) & 7;
      copy(view, CPU + S.fpr + 16 * physical, fx, Fx.st + 16 * n);
    }
    fx.setUint16(Fx.fsw, status, true);
    fx.setUint8(Fx.ftw, view.getUint8(CPU + S.ftw));
    fx.setUint32(Fx.mxcsr, view.getUint32(CPU + S.mxcsr, true), true);
    return bytes;
  }
}

function copy(from: DataView, at: number, to: DataView, where: number): void {
  to.setBigUint64(where, from.getBigUint64(at, true), true);
  to.setBigUint64(where + 8, from.getBigUint64(at + 8, true), true);
}

/** Exports `pack` (cpu) -> RFLAGS bits and `unpack` (cpu, RFLAGS bits). */
function defineFlags(m: ModuleBuilder): void {
  const pack = m.function('pack', ['i32'], 'i32', (f) =>
    f.return(new LazyFlags(f, f.param(0, 'i32')).pack()),
  );
  const unpack = m.function('unpack', ['i32', 'i32'], 'void', (f) => {
    new LazyFlags(f, f.param(0, 'i32')).unpack(f.param(1, 'i32'));
    f.drop(c32(0));
  });
  m.export('pack', pack);
  m.export('unpack', unpack);
}
