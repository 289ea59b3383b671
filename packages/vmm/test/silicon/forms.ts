// The instruction forms that vectors are made of: row x operand size x register or memory x code
// size; and the rows that no vector is made of, with the reason for each.

import type { CodeMode } from '../../src/isa/instruction.ts';
import { formsOf as formsOfRow } from '../../src/isa/random-encodings.ts';
import { type Feature, featureNames, type Row } from '../../src/isa/row.ts';
import { rows } from '../../src/isa/rows.ts';
import type { VectorMode } from './format.ts';

/** One way to write an instruction down, up to the choice of registers and values. */
export interface Form {
  /** Row name, mode, operand size and kind: unique. */
  readonly name: string;
  readonly row: Row;
  readonly mode: VectorMode;
  /** Operand size in bytes, where the row lets one choose. */
  readonly opsize: 2 | 4 | 8;
  /** ModRM.rm is memory. */
  readonly memory: boolean;
}

const HOST = 'the answer is the host’s: its identity, clock or entropy';
const UMIP = 'under UMIP the host’s kernel answers in the processor’s place';
const KERNEL = 'it enters the host’s kernel, which answers';
const VIRTUAL = 'the host may itself be a guest, and its hypervisor would answer';
const DEBUG = 'INT1 and the single-step trap that ends a vector are the same exception';

/** Mnemonics without vectors, and why. */
export const untestable: Readonly<Record<string, string>> = {
  cpuid: HOST,
  rdtsc: HOST,
  rdtscp: HOST,
  rdpmc: HOST,
  rdrand: HOST,
  rdseed: HOST,
  xgetbv: HOST,
  sgdt: UMIP,
  sidt: UMIP,
  sldt: UMIP,
  str: UMIP,
  smsw: UMIP,
  syscall: KERNEL,
  sysenter: KERNEL,
  int1: DEBUG,
  monitor: VIRTUAL,
  mwait: VIRTUAL,
};

/** Features whose rows have no vectors, and why. */
const untestableFeatures: Partial<Record<Feature, string>> = { vmx: VIRTUAL, svm: VIRTUAL };

/** Linux's names (/proc/cpuinfo) of the features that it calls otherwise. */
const linuxNames: Partial<Record<Feature, string>> = {
  sse3: 'pni',
  clfsh: 'clflush',
  sha: 'sha_ni',
  prefetchw: '3dnowprefetch',
  // LZCNT and PREFETCHW were AMD's first.
  lzcnt: 'abm',
};

/** Why `row` has no vectors, or undefined when it has. */
export function reasonUntestable(row: Row): string | undefined {
  return untestable[row.mnemonic] ?? (row.feature && untestableFeatures[row.feature]);
}

/** True when `has` says of the row's feature that it is there. */
export function isPresent(row: Row, has: (feature: string) => boolean): boolean {
  return row.feature === undefined || has(linuxNames[row.feature] ?? row.feature);
}

/**
 * Every testable form in `mode` whose feature is on the host, which `has` answers by Linux's names,
 * and among `features`, those of the processor to compare with (all, unless given).
 */
export function formsOf(
  mode: VectorMode,
  has: (feature: string) => boolean,
  features: Iterable<Feature> = featureNames,
): Form[] {
  const wanted = new Set(features);
  const forms: Form[] = [];
  for (const row of rows) {
    if (reasonUntestable(row) !== undefined) continue;
    if (!isPresent(row, has)) continue;
    if (row.feature !== undefined && !wanted.has(row.feature)) continue;
    for (const { opsize, form } of formsOfRow(row, (mode / 8) as CodeMode)) {
      const kind = row.encoding.forms === 'none' ? '' : `, ${form}`;
      const name = `${row.name}: ${mode}-bit code, operand size ${opsize}${kind}`;
      forms.push({ name, row, mode, opsize, memory: form === 'memory' });
    }
  }
  return forms;
}
