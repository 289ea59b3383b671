// The soft engine with its counters in view, for tests of the processor: interpreting, and
// compiling whatever is executed.

import { randomFillSync } from 'node:crypto';
import type { JitMode } from '../src/cpu/jit/jit.ts';
import type { Engine, EngineVm } from '../src/vmm/engine.ts';
import { SoftEngine, type SoftStatistics, type SoftVcpu } from '../src/vmm/soft-engine.ts';

/** The ways to execute guest code that must not differ. */
export const EXECUTIONS: readonly JitMode[] = ['off', 'always'];

const CODE_BYTES = 2 << 20;

function makeSoftEngine(jit: JitMode, codeBytes: number): SoftEngine {
  return new SoftEngine({
    clock: { now: () => performance.now() * 1e6, wallMs: () => Date.now() },
    entropy: { fill: (bytes) => void randomFillSync(bytes) },
    codeBytes,
    jit,
  });
}

/** Building an engine takes a third of a second, so tests share those of the usual size. */
const engines = new Map<JitMode, SoftEngine>();

/** An engine that keeps hold of the last vCPU that it made. */
export class ObservedEngine implements Engine {
  readonly name = 'soft';
  private readonly engine: SoftEngine;
  private vcpu: SoftVcpu | undefined;

  /** `codeBytes`: the room for decoded code, in an engine of its own. */
  constructor(jit: JitMode, codeBytes?: number) {
    const shared = engines.get(jit) ?? makeSoftEngine(jit, CODE_BYTES);
    engines.set(jit, shared);
    this.engine = codeBytes === undefined ? shared : makeSoftEngine(jit, codeBytes);
  }

  createVcpu(vm: EngineVm): SoftVcpu {
    this.vcpu = this.engine.createVcpu(vm);
    return this.vcpu;
  }

  /** The counters of the vCPU made last. */
  get statistics(): SoftStatistics {
    return this.vcpu!.statistics;
  }
}
