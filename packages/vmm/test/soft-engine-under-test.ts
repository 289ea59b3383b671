// The soft engine as the monitor's tests use it: on the host's clock, with little room for code.

import { randomFillSync } from 'node:crypto';
import type { Engine } from '../src/vmm/engine.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';

const CODE_BYTES = 2 << 20;

const engine = new SoftEngine({
  clock: { now: () => performance.now() * 1e6, wallMs: () => Date.now() },
  entropy: { fill: (bytes) => void randomFillSync(bytes) },
  codeBytes: CODE_BYTES,
});

/** The soft engine of this thread: one for all tests, since it builds its processor's code once. */
export function makeEngine(): Engine {
  return engine;
}
