// The processors that the soft engine can be: levels of the System V ABI for amd64 (3.1.1, table
// 3.1), with what else this processor has. A guest is shown one of them, and the instructions of
// the other are undefined to it.

import { XSTATE } from '../cpu/xstate.ts';
import type { Feature } from '../isa/row.ts';

/** The models, by the level's name: `v3` has AVX2, BMI, FMA and their like, `v2` has not. */
export const CPU_MODELS = ['v2', 'v3'] as const;
export type CpuModel = (typeof CPU_MODELS)[number];

/** What a machine has unless it is told otherwise. */
export const CPU_MODEL_DEFAULT: CpuModel = 'v3';

// biome-ignore format: a list, not a column
const V2: readonly Feature[] = [
  'fpu', 'mmx', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4_1', 'sse4_2', 'aes', 'pclmulqdq', 'popcnt',
  'cx8', 'cx16', 'fxsr', 'xsave', 'xsaveopt', 'xsavec', 'tsc', 'rdtscp', 'msr', 'sep', 'syscall',
  'rdrand', 'rdseed', 'fsgsbase', 'smap', 'clfsh', 'clflushopt',
];
// biome-ignore format: a list, not a column
const V3: readonly Feature[] = [
  ...V2, 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe',
];

/** Instruction sets beyond the base that a model has. */
export const modelFeatures = (model: CpuModel): readonly Feature[] => (model === 'v3' ? V3 : V2);

/** The bits that XCR0 may have. */
export const modelXcr0 = (model: CpuModel): number =>
  XSTATE.x87 | XSTATE.sse | (model === 'v3' ? XSTATE.avx : 0);

/** All that the processor can be. */
export const SOFT_FEATURES: readonly Feature[] = V3;
