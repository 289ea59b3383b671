// The first section of a suspended machine: what must be known before a machine can be made to load
// the others, and what is of no single device.

import {
  flag,
  later,
  list,
  real,
  refuse,
  type SavedFields,
  type SavedValue,
  savedFields,
  text,
  u32,
  u53,
  whole,
} from '../../base/saved-state.ts';
import { CPU_MODELS, type CpuModel } from '../../vmm/cpu-model.ts';
import { cpuidFeatures } from '../../vmm/cpuid.ts';
import { MACHINE_SECTION } from './snapshot-writer.ts';

const NAME_LENGTH_MAX = 255;
const FEATURE_WORDS_MAX = 64;
/** What all processors were before there were models. */
export const OLD_MODEL: CpuModel = 'v2';

/** What a suspended machine is. */
export interface MachineSummary {
  readonly name: string;
  readonly memoryBytes: number;
  /** A firmware has booted it, for which there is memory of its own. */
  readonly hasFirmware: boolean;
  readonly vcpus: number;
  /** The engine that it ran on; any that can load the vCPU will do. */
  readonly engine: string;
  /** The model of its processor, which is what the machine must have again. */
  readonly cpu: string;
  /** What CPUID told the guest that the processor can do: see cpuidFeatures(). */
  readonly features: readonly number[];
  /** The machine's time in nanoseconds since its power-on: its clock goes on from here. */
  readonly timeNs: number;
  /** The host's wall clock at that time, in milliseconds since 1970 UTC. */
  readonly wallMs: number;
  /** The processor waits for an interrupt. */
  readonly halted: boolean;
}

/** The fields of the section. */
export const MACHINE_STATE: SavedFields<MachineSummary> = savedFields<MachineSummary>({
  name: text(NAME_LENGTH_MAX),
  memoryBytes: u53,
  hasFirmware: later(flag, false),
  vcpus: whole(1, 1),
  engine: text(NAME_LENGTH_MAX),
  cpu: later(text(NAME_LENGTH_MAX), OLD_MODEL),
  features: list(u32, 0, FEATURE_WORDS_MAX),
  timeNs: real,
  wallMs: real,
  halted: flag,
});

/** What a section says. EINVAL when it makes no sense. */
export function machineSummary(saved: SavedValue): MachineSummary {
  const where = `Section "${MACHINE_SECTION}"`;
  const summary = MACHINE_STATE.decode(saved, where);
  if (summary.timeNs < 0 || summary.timeNs > Number.MAX_SAFE_INTEGER) {
    refuse(where, 'has a time that no machine reaches');
  }
  return summary;
}

/** The model of a suspended machine. EINVAL for one that there is not. */
export function restoredModel({ cpu }: MachineSummary): CpuModel {
  const model = CPU_MODELS.find((candidate) => candidate === cpu);
  return model ?? refuse('The processor', `cannot be a "${cpu}", which the suspended one was`);
}

/** EINVAL when a guest may use something that this processor does not have. */
export function checkFeatures(features: readonly number[], model: CpuModel): void {
  const present = cpuidFeatures(model);
  for (const [word, bits] of features.entries()) {
    const missing = (bits & ~(present[word] ?? 0)) >>> 0;
    if (missing === 0) continue;
    refuse(
      'The processor',
      `lacks what the suspended one had: bits 0x${missing.toString(16)} of feature word ${word}`,
    );
  }
}
