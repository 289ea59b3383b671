// The soft engine as the monitor's tests use it: on the host's clock, with little room for code.
// Interpreting, and compiling every block when it is first entered.

import { randomFillSync } from 'node:crypto';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';

const CODE_BYTES = 2 << 20;

const makeWith = (jit: JitMode): SoftEngine =>
  new SoftEngine({
    clock: { now: () => performance.now() * 1e6, wallMs: () => Date.now() },
    entropy: { fill: (bytes) => void randomFillSync(bytes) },
    codeBytes: CODE_BYTES,
    jit,
  });

const engine = makeWith('off');
const compiler = makeWith('always');

/** The soft engine of this thread: one for all tests, since it builds its processor's code once. */
export function makeEngine(): Engine {
  return engine;
}

/** Likewise, one that compiles. */
export function makeCompilingEngine(): Engine {
  return compiler;
}
