// The soft engine as the monitor's tests use it: on the host's clock, with little room for code.
// Interpreting, compiling what is entered a few times, and compiling every block at once.

import { randomFillSync } from 'node:crypto';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';
import { HotEngine } from './hot-engine.ts';

const CODE_BYTES = 2 << 20;

const makeWith = (jit: JitMode): SoftEngine =>
  new SoftEngine({
    clock: { now: () => performance.now() * 1e6, wallMs: () => Date.now() },
    entropy: { fill: (bytes) => void randomFillSync(bytes) },
    codeBytes: CODE_BYTES,
    jit,
  });

const engine = makeWith('off');
const hot = new HotEngine(makeWith('on'));
const compiler = makeWith('always');

/** The soft engine of this thread: one for all tests, since it builds its processor's code once. */
export function makeEngine(): Engine {
  return engine;
}

/** Likewise, one that compiles what is entered a few times. */
export function makeHotEngine(): Engine {
  return hot;
}

/** Likewise, one that compiles whatever is executed. */
export function makeCompilingEngine(): Engine {
  return compiler;
}
