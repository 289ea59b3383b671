// The interpreter's handlers: one WebAssembly function for each variant of each row, and the index
// from a decoded instruction to its handler.
//
// Variants that would be the same code are one handler: the operand size only counts for rows that
// use it, 64-bit code differs from other code only where the stack, RIP or addresses come in.

import type { Instruction } from '../isa/instruction.ts';
import type { Row } from '../isa/row.ts';
import { rows } from '../isa/rows.ts';
import { c32, i32 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import {
  type Addressing,
  type SemanticTable,
  type Size,
  semanticOf,
  type Variant,
} from './context.ts';
import { hasParagraphs } from './control-bits.ts';
import { type Flow, HANDLER_PARAMS, nextRecord } from './flow.ts';
import { InterpreterContext } from './interpreter-context.ts';
import type { Runtime } from './runtime.ts';
import { FPU_TRAP, S, VECTOR } from './state.ts';

/** Rows that use an address beside a ModRM operand, in the address size: by mnemonic. */
const IMPLICIT_ADDRESS = new Set(
  `movs cmps stos lods scas ins outs xlat loop loope loopne jrcxz maskmovq maskmovdqu
  vmaskmovdqu`.split(/\s+/),
);

/** Integer mnemonics whose semantics are the same in 64-bit code and outside. */
const WIDTH_FREE = new Set(
  `add or adc sbb and sub xor cmp inc dec neg not test mul imul div idiv cmpxchg xadd cmpxchg8b
  rol ror rcl rcr shl shr sar shld shrd bt bts btr btc bsf bsr bswap mov movsx movzx xchg lea cmovcc
  setcc cbw cwd popcnt crc32 nop pause clc stc cmc cld std endbr64 endbr32 movnti tzcnt lzcnt movbe`
    .trim()
    .split(/\s+/),
);

/** Families that are frequent enough for the cheapest addressing to have its own handlers. */
const hasBaseForm = (row: Row): boolean => row.unit === 'integer' || row.unit === 'sse';

/**
 * AVX has two thousand handlers without it, and building them takes time whenever a machine starts:
 * in 64-bit code they are those that any address can use. Compiled code does not go by handlers.
 */
const hasFlatForm = (row: Row): boolean => row.unit !== 'avx';

const isMoffs = (row: Row): boolean => row.operands.some((o) => o.place === 'moffs');

/** True when the row's semantics depend on the effective operand size. */
const usesOpsize = (row: Row): boolean => row.opsizeRule !== 'none' && row.opsizeRule !== 'byte';

const isWidthFree = (row: Row): boolean =>
  row.modes === 'all' &&
  (row.unit !== 'integer' || WIDTH_FREE.has(row.mnemonic)) &&
  !row.operands.some((o) => o.place === 'fixed' && /^[escdfg]s$/.test(o.type));

function opsizesOf(row: Row, wide: boolean): readonly Size[] {
  if (row.opsizeRule === 'byte') return [1];
  if (row.encoding.onlyOpsize !== 0) return [row.encoding.onlyOpsize];
  if (row.encoding.vex) return [4];
  if (!usesOpsize(row)) return [4];
  if (!wide || row.opsizeRule === 'z') return [2, 4];
  if (row.opsizeRule === 'd64') return [2, 8];
  if (row.opsizeRule === 'f64') return [8];
  return [2, 4, 8];
}

function addressingsOf(row: Row, wide: boolean): readonly Addressing[] {
  const { forms } = row.encoding;
  if (IMPLICIT_ADDRESS.has(row.mnemonic) || isMoffs(row))
    return wide && hasFlatForm(row) ? ['flat', 'checked'] : ['checked'];
  const memory: Addressing[] = wide && hasFlatForm(row) ? ['flat', 'checked'] : ['checked'];
  if (wide && hasBaseForm(row)) memory.unshift('base');
  if (forms === 'both') return ['register', ...memory];
  if (forms === 'memory') return memory;
  return ['register'];
}

/** The variants of a row that need a handler of their own. */
function* variantsOf(row: Row): Generator<Variant> {
  const modes = row.modes === 'only64' ? [true] : row.modes === 'not64' ? [false] : [true, false];
  const reps = { none: [0], rep: [0, 0xf3], repz: [0, 0xf2, 0xf3] }[row.rep] as (0 | 0xf2 | 0xf3)[];
  for (const wide of isWidthFree(row) ? [true] : modes) {
    for (const opsize of opsizesOf(row, wide)) {
      for (const addressing of addressingsOf(row, wide)) {
        for (const lock of row.lockable && addressing !== 'register' ? [false, true] : [false]) {
          for (const rep of reps) yield { row, opsize, addressing, lock, rep, wide };
        }
      }
    }
  }
}

const ADDRESSING_CODE: Record<Addressing, number> = { register: 0, base: 1, flat: 2, checked: 3 };

function keyOf(
  row: number,
  opsize: number,
  addressing: number,
  lock: boolean,
  rep: number,
  wide: boolean,
): number {
  const repCode = rep === 0 ? 0 : rep === 0xf2 ? 1 : 2;
  const flags = (lock ? 1 : 0) | (wide ? 2 : 0) | (repCode << 2) | (addressing << 4);
  return (row << 12) | (opsize << 6) | flags;
}

const keyOfVariant = ({ row, opsize, addressing, lock, rep, wide }: Variant): number =>
  keyOf(row.id, opsize, ADDRESSING_CODE[addressing], lock, rep, wide);

/** How the memory operand of a decoded instruction is addressed. */
export function addressingOf(instruction: Instruction): Addressing {
  const { row, mod, codeSize, addrSize } = instruction;
  const implicit = IMPLICIT_ADDRESS.has(row.mnemonic) || isMoffs(row);
  const hasMemory = row.encoding.modrm && mod !== 3;
  if (!implicit && !hasMemory) return 'register';
  if (codeSize !== 8 || addrSize !== 8) return 'checked';
  if (implicit || !hasBaseForm(row)) return 'flat';
  const plain = instruction.index < 0 && instruction.segmentOverride < 4;
  return plain ? 'base' : 'flat';
}

/** A {@link HandlerIndex} as numbers: keys and places in turn. */
export interface SavedHandlers {
  readonly byKey: Int32Array;
  readonly fused: Int32Array;
}

function* pairsOf(words: Int32Array): Generator<[number, number]> {
  for (let i = 0; i < words.length; i += 2) yield [words[i], words[i + 1]];
}

/** From decoded instructions to places in the function table. */
export class HandlerIndex {
  private readonly byKey = new Map<number, number>();
  /** By place of the first handler × 16 + condition. */
  private readonly fused = new Map<number, number>();
  private readonly widthFree: boolean[];
  private readonly sizeFree: boolean[];
  /** Rows that have no semantics: they raise #UD. */
  readonly missing: Row[] = [];

  /** Empty, or what another one {@link saved}. */
  constructor(saved?: SavedHandlers) {
    this.widthFree = rows.map(isWidthFree);
    this.sizeFree = rows.map((row) => row.opsizeRule !== 'byte' && !usesOpsize(row));
    if (!saved) return;
    this.byKey = new Map(pairsOf(saved.byKey));
    this.fused = new Map(pairsOf(saved.fused));
  }

  /** What it knows. */
  get saved(): SavedHandlers {
    return {
      byKey: Int32Array.from([...this.byKey].flat()),
      fused: Int32Array.from([...this.fused].flat()),
    };
  }

  /** Enters the handler of a variant. */
  add(variant: Variant, place: number): void {
    this.byKey.set(keyOfVariant(variant), place);
  }

  /** Enters the handler of a variant together with the conditional branch behind it. */
  addFused(variant: Variant, condition: number, place: number): void {
    const alone = this.byKey.get(keyOfVariant(variant));
    if (alone !== undefined) this.fused.set(alone * 16 + condition, place);
  }

  /** The handler that does what `handler` does and the branch on `condition`; or undefined. */
  findFused(handler: number, condition: number): number | undefined {
    return this.fused.get(handler * 16 + condition);
  }

  /** The handler of an instruction, or undefined when there is none. */
  find(instruction: Instruction, addressing: Addressing): number | undefined {
    const { row } = instruction;
    const size = row.encoding.onlyOpsize || (this.sizeFree[row.id] ? 4 : instruction.opsize);
    const rep =
      row.rep === 'none' ? 0 : row.rep === 'rep' && instruction.rep ? 0xf3 : instruction.rep;
    const wide = this.widthFree[row.id] || instruction.codeSize === 8;
    const lock = instruction.lock && addressing !== 'register';
    const form = addressing === 'flat' && !hasFlatForm(row) ? 'checked' : addressing;
    return this.byKey.get(keyOf(row.id, size, ADDRESSING_CODE[form], lock, rep, wide));
  }
}

/**
 * Faults that depend on the row alone, before its semantics. `isLong`: the code is known to be
 * 64-bit code, not only to be like it.
 */
export function prelude(x: InterpreterContext, isLong = false): void {
  const { row, cpu } = x;
  const traps = i32.load(cpu, S.fpuTraps);
  const trap = (bit: number, vector: number): void => {
    x.raise(vector, { when: i32.and(traps, c32(bit)) });
  };
  // Instructions with a VEX prefix do not exist there either (SDM vol. 2A, 2.5 and 2.6).
  if (row.protectedOnly || (row.encoding.vex && row.unit === 'integer' && !x.wide)) {
    x.raise(VECTOR.UD, { when: hasParagraphs(cpu) });
  }
  if (row.unit === 'x87' && row.mnemonic !== 'wait') trap(FPU_TRAP.x87, VECTOR.NM);
  if (row.unit === 'mmx' || row.unit === 'sse+mmx') {
    trap(FPU_TRAP.mmxUd, VECTOR.UD);
    trap(FPU_TRAP.mmxNm, VECTOR.NM);
  }
  if (row.unit === 'sse' || row.unit === 'sse+mmx') {
    trap(FPU_TRAP.sseUd, VECTOR.UD);
    trap(FPU_TRAP.sseNm, VECTOR.NM);
  }
  if (row.unit === 'avx') {
    const unusable = i32.and(traps, c32(FPU_TRAP.avxUd));
    x.raise(VECTOR.UD, { when: isLong ? unusable : i32.or(unusable, hasParagraphs(cpu)) });
    trap(FPU_TRAP.avxNm, VECTOR.NM);
  }
  if (row.cpl0) x.raise(VECTOR.GP, { code: c32(0), when: i32.load(cpu, S.cpl) });
}

/** The comparisons that a conditional branch mostly follows, by row name. */
const COMPARISONS = new Set([
  'cmp rmv, rv',
  'cmp rv, rmv',
  'cmp rmv, imm8s',
  'cmp rmv, immz',
  'cmp rm8, imm8 (80 /7 ib)',
  'cmp rm8, r8',
  'cmp al, imm8',
  'cmp av, immz',
  'test rmv, rv',
  'test rm8, r8',
  'test al, imm8',
  'test rm8, imm8 (F6 /0 ib)',
  'test rmv, immz (F7 /0 iz)',
  'add rmv, imm8s',
  'sub rmv, imm8s',
  'sub rmv, rv',
  'dec rmv',
  'and rmv, imm8s',
]);

/** True for comparisons that get handlers which do the branch behind them as well. */
const isFusible = ({ row, opsize, addressing, lock, wide }: Variant): boolean =>
  wide &&
  !lock &&
  opsize !== 2 &&
  COMPARISONS.has(row.name) &&
  (addressing === 'register' || (addressing === 'base' && /^(cmp|test)/.test(row.mnemonic)));

/**
 * Builds, for each comparison in COMPARISONS and each condition, a handler that runs the comparison
 * and the conditional branch in the record behind it. That record stays as it is, for those who jump
 * to it; a fault in the second half is its own.
 */
function defineFused(
  m: ModuleBuilder,
  runtime: Runtime,
  flow: Flow,
  semantics: SemanticTable,
  index: HandlerIndex,
): void {
  const branches = rows.filter(
    (row) => row.name.startsWith('j') && row.mnemonic === 'jcc' && row.operands[0].type === 'rel8',
  );
  for (const row of rows) {
    for (const variant of variantsOf(row)) {
      if (!isFusible(variant)) continue;
      for (const branch of branches) {
        const jcc: Variant = {
          row: branch,
          opsize: 8,
          addressing: 'register',
          lock: false,
          rep: 0,
          wide: true,
        };
        const name = `${handlerName(variant)} + ${handlerName(jcc)}`;
        const fn = m.function(name, HANDLER_PARAMS, 'void', (f) => {
          const first = new InterpreterContext(f, runtime, flow, variant);
          semantics[row.mnemonic](first);
          const record = f.let(nextRecord(first.record));
          const before = { record, flags: first.flags };
          const second = new InterpreterContext(f, runtime, flow, jcc, before);
          semantics.jcc(second);
          f.unreachable();
        });
        index.addFused(variant, branch.condition, m.element(fn));
      }
    }
  }
}

/** Builds all handlers into the module's table and returns their index. */
export function defineHandlers(
  m: ModuleBuilder,
  runtime: Runtime,
  flow: Flow,
  semantics: SemanticTable,
): HandlerIndex {
  const index = new HandlerIndex();
  for (const row of rows) {
    const semantic = semanticOf(semantics, row);
    if (!semantic) {
      index.missing.push(row);
      continue;
    }
    for (const variant of variantsOf(row)) {
      const name = handlerName(variant);
      const fn = m.function(name, HANDLER_PARAMS, 'void', (f) => {
        const x = new InterpreterContext(f, runtime, flow, variant);
        prelude(x);
        semantic(x);
        x.finish();
        f.unreachable();
      });
      index.add(variant, m.element(fn));
    }
  }
  defineFused(m, runtime, flow, semantics, index);
  return index;
}

function handlerName(variant: Variant): string {
  const { row, opsize, addressing, lock, rep, wide } = variant;
  const marks = [lock ? 'lock' : '', rep ? rep.toString(16) : '', wide ? '' : 'narrow'];
  return [row.name, 8 * opsize, addressing, ...marks.filter(Boolean)].join('.');
}
