// Our processor against the host's, for the test and for the command line.

import { VirtualClock } from '../../src/base/clock.ts';
import { SOFT_FEATURES, SoftEngine } from '../../src/vmm/soft-engine.ts';
import { compareAll, type Mismatch } from './compare.ts';
import { EngineTarget } from './engine-target.ts';
import type { VectorMode } from './format.ts';
import { type Form, formsOf } from './forms.ts';
import { type GeneratedVector, Generator } from './generate.ts';
import { hostFeatures, runOnSilicon } from './runner.ts';

/** Vectors in one run of the runner: what its results need of memory stays moderate. */
const BATCH = 20_000;
/** Decoded code of the vectors is short-lived. */
const CODE_BYTES = 8 << 20;

/** A soft engine that has no source of chance and a clock that stands still. */
function quietEngine(): SoftEngine {
  const entropy = { fill: (bytes: Uint8Array): void => void bytes.fill(0) };
  return new SoftEngine({ clock: new VirtualClock(), entropy, codeBytes: CODE_BYTES });
}

/** The forms in `modes` that the host and our processor have. */
export function sharedForms(modes: readonly VectorMode[]): Form[] {
  const host = hostFeatures();
  return modes.flatMap((mode) => formsOf(mode, (feature) => host.has(feature), SOFT_FEATURES));
}

/** Runs vectors number `first` to `first + count - 1` of each form on both processors. */
export function checkForms(forms: readonly Form[], first: number, count: number): Mismatch[] {
  const generator = new Generator(SOFT_FEATURES);
  const vectors: GeneratedVector[] = [];
  for (const form of forms) {
    for (let index = first; index < first + count; index++) {
      const generated = generator.generate(form, index);
      if (generated !== undefined) vectors.push(generated);
    }
  }
  const engine = quietEngine();
  const mismatches: Mismatch[] = [];
  for (let start = 0; start < vectors.length; start += BATCH) {
    const batch = vectors.slice(start, start + BATCH);
    const { results } = runOnSilicon(batch.map(({ vector }) => vector));
    mismatches.push(...compareAll(() => new EngineTarget(engine), batch, results));
  }
  return mismatches;
}

/** A mismatch in words, with all that it takes to see it again. */
export function describeMismatch({ generated, text, differences }: Mismatch): string {
  const { form, vector } = generated;
  const code = Array.from(vector.code, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return [`${text}   [${code}]   ${form.name}`, ...differences.slice(0, 12)].join('\n    ');
}
