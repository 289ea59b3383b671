// Our processor against the host's, for the test and for the command line.

import { VirtualClock } from '../../src/base/clock.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import type { CodeMode, Instruction } from '../../src/isa/instruction.ts';
import type { Row } from '../../src/isa/row.ts';
import { SOFT_FEATURES } from '../../src/vmm/cpu-model.ts';
import type { Engine, EngineVm } from '../../src/vmm/engine.ts';
import { SoftEngine, type SoftVcpu } from '../../src/vmm/soft-engine.ts';
import { HotEngine } from '../hot-engine.ts';
import { operandLinear } from './address.ts';
import { compareAll, type Mismatch } from './compare.ts';
import { EngineTarget } from './engine-target.ts';
import type { SiliconResult, SiliconVector, VectorMode } from './format.ts';
import { type Form, formsOf } from './forms.ts';
import { type GeneratedVector, Generator } from './generate.ts';
import { CODE_REGION, Selector } from './layout.ts';
import { hostFeatures, runOnSilicon } from './runner.ts';

/** Vectors in one run of the runner: what its results need of memory stays moderate. */
const BATCH = 20_000;
/** Decoded code of the vectors is short-lived. */
const CODE_BYTES = 8 << 20;

/** How vectors are executed: interpreted; compiled when they run again; compiled at once. */
export const EXECUTIONS = ['interpreted', 'hot', 'always'] as const;
export type Execution = (typeof EXECUTIONS)[number];

/** Runs of a vector until its block has been compiled, and has run so. */
const RUNS_UNTIL_HOT = 5;

/** A soft engine that has no source of chance and a clock that stands still. */
function quietEngine(execution: Execution): Engine {
  const jit = execution === 'interpreted' ? 'off' : execution === 'hot' ? 'on' : 'always';
  const entropy = { fill: (bytes: Uint8Array): void => void bytes.fill(0) };
  const engine = new SoftEngine({ clock: new VirtualClock(), entropy, codeBytes: CODE_BYTES, jit });
  return execution === 'hot' ? new HotEngine(engine) : engine;
}

/** An engine that tells how many regions its vCPUs have compiled. */
class CountingEngine implements Engine {
  readonly name = 'soft';
  private readonly engine: Engine;
  private readonly vcpus: SoftVcpu[] = [];

  constructor(engine: Engine) {
    this.engine = engine;
  }

  createVcpu(vm: EngineVm): SoftVcpu {
    const vcpu = this.engine.createVcpu(vm) as SoftVcpu;
    this.vcpus.push(vcpu);
    return vcpu;
  }

  get regions(): number {
    return this.vcpus.reduce((sum, { statistics }) => sum + (statistics.jit?.regions ?? 0), 0);
  }
}

/** Instructions of which the trap flag is an operand, or that hold the trap off. */
const needsTrap = (row: Row): boolean =>
  /^(pushf|popf)$/.test(row.mnemonic) || row.operands.some(({ type }) => /^(sreg|ss)$/.test(type));

const isString = (row: Row): boolean => /^(movs|cmps|stos|lods|scas|outs|xlat)$/.test(row.mnemonic);
const CS = 1;

const isInCode = (linear: bigint): boolean =>
  linear + 64n >= CODE_REGION.address && linear < CODE_REGION.address + BigInt(CODE_REGION.length);

const decoder = new Decoder();

function decoded({ code, mode }: SiliconVector): Instruction {
  const instruction = createInstruction();
  decoder.decode(code, 0, code.length, (mode / 8) as CodeMode, instruction);
  return instruction;
}

/** Whether a vector can be run without the trap flag, which ended it on silicon. */
function runsFreely({ form, vector }: GeneratedVector, silicon: SiliconResult): boolean {
  if (needsTrap(form.row)) return false;
  // Its operand is what fills the code pages.
  const instruction = decoded(vector);
  if (form.memory && isInCode(operandLinear(vector, instruction))) return false;
  if (isString(form.row) && instruction.segment === CS && vector.mode === 16) return false;
  if (silicon.trap !== 1) return true;
  // What ends it then must be a HLT: in the pages of code, but not among the vector's own bytes.
  const offset = offsetInCode(silicon.rip, silicon.cs === Selector.code16);
  if (offset < 0n || offset >= BigInt(CODE_REGION.length)) return false;
  const own = offsetInCode(vector.rip, vector.mode === 16);
  return offset < own || offset >= own + BigInt(vector.code.length);
}

/** Where an instruction pointer is in the pages of code. */
const offsetInCode = (rip: bigint, isBased: boolean): bigint =>
  isBased ? rip : rip - CODE_REGION.address;

/** The forms in `modes` that the host and our processor have. */
export function sharedForms(modes: readonly VectorMode[]): Form[] {
  const host = hostFeatures();
  return modes.flatMap((mode) => formsOf(mode, (feature) => host.has(feature), SOFT_FEATURES));
}

/** What came of vectors. */
export interface Checked {
  readonly mismatches: readonly Mismatch[];
  /** Vectors that were run. */
  readonly count: number;
  /** Regions that were compiled. */
  readonly regions: number;
}

/** Runs vectors number `first` to `first + count - 1` of each form on both processors. */
export function checkForms(
  forms: readonly Form[],
  first: number,
  count: number,
  execution: Execution = 'interpreted',
): Checked {
  const vectors = generate(forms, first, count);
  const engine = new CountingEngine(quietEngine(execution));
  const isFree = execution !== 'interpreted';
  const times = execution === 'hot' ? RUNS_UNTIL_HOT : 1;
  const target = (): EngineTarget =>
    isFree ? new EngineTarget(engine, { end: 'halt', times }) : new EngineTarget(engine);
  const mismatches: Mismatch[] = [];
  let run = 0;
  for (let start = 0; start < vectors.length; start += BATCH) {
    const batch = vectors.slice(start, start + BATCH);
    const { results } = runOnSilicon(batch.map(({ vector }) => vector));
    const chosen = batch.map((generated, i) => ({ generated, silicon: results[i] }));
    const pairs = isFree
      ? chosen
          .filter(({ generated, silicon }) => runsFreely(generated, silicon))
          .map(({ generated, silicon }) => ({ generated, silicon: { ...silicon, steps: 1 } }))
      : chosen;
    run += pairs.length;
    const generated = pairs.map((pair) => pair.generated);
    const silicon = pairs.map((pair) => pair.silicon);
    mismatches.push(...compareAll(target, generated, silicon));
  }
  return { mismatches, count: run, regions: engine.regions };
}

function generate(forms: readonly Form[], first: number, count: number): GeneratedVector[] {
  const generator = new Generator(SOFT_FEATURES);
  const vectors: GeneratedVector[] = [];
  for (const form of forms) {
    for (let index = first; index < first + count; index++) {
      const generated = generator.generate(form, index);
      if (generated !== undefined) vectors.push(generated);
    }
  }
  return vectors;
}

/** A mismatch in words, with all that it takes to see it again. */
export function describeMismatch({ generated, text, differences }: Mismatch): string {
  const { form, vector } = generated;
  const code = Array.from(vector.code, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return [`${text}   [${code}]   ${form.name}`, ...differences.slice(0, 12)].join('\n    ');
}
