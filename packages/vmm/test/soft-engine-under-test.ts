// The soft engine as the monitor's tests use it: on the host's clock, with little room for code.
// Interpreting, compiling what is entered a few times, and compiling every block at once.

import { randomFillSync } from 'node:crypto';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import { CPU_MODEL_DEFAULT, type CpuModel } from '../src/vmm/cpu-model.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { SoftEngine } from '../src/vmm/soft-engine.ts';
import { HotEngine } from './hot-engine.ts';

const CODE_BYTES = 2 << 20;

const makeWith = (jit: JitMode, model: CpuModel = CPU_MODEL_DEFAULT): SoftEngine =>
  new SoftEngine({
    model,
    clock: { now: () => performance.now() * 1e6, wallMs: () => Date.now() },
    entropy: { fill: (bytes) => void randomFillSync(bytes) },
    codeBytes: CODE_BYTES,
    jit,
  });

const engine = makeWith('off');
const hot = new HotEngine(makeWith('on'));
const compiler = makeWith('always');

/** Engines of the older processor, made when a test wants them. */
const older = new Map<JitMode, Engine>();

function olderEngine(jit: JitMode, wrap: (engine: SoftEngine) => Engine): Engine {
  const known = older.get(jit) ?? wrap(makeWith(jit, 'v2'));
  older.set(jit, known);
  return known;
}

/** The soft engine of this thread: one for all tests, since it builds its processor's code once. */
export function makeEngine(model?: CpuModel): Engine {
  return model === 'v2' ? olderEngine('off', (it) => it) : engine;
}

/** Likewise, one that compiles what is entered a few times. */
export function makeHotEngine(model?: CpuModel): Engine {
  return model === 'v2' ? olderEngine('on', (it) => new HotEngine(it)) : hot;
}

/** Likewise, one that compiles whatever is executed. */
export function makeCompilingEngine(model?: CpuModel): Engine {
  return model === 'v2' ? olderEngine('always', (it) => it) : compiler;
}
