// The soft engine with the compiler `on`, for guests too short to have blocks that it would take
// for hot: a few entries are enough. Unlike with `always`, blocks are compiled between slices, and
// several together.

import { HEAT_ENTRIES, S } from '../src/cpu/state.ts';
import type { Engine, EngineVm } from '../src/vmm/engine.ts';
import type { SoftEngine, SoftVcpu } from '../src/vmm/soft-engine.ts';

/** Entries that make a block hot here. */
const HEAT_LIMIT = 3;

/** A soft engine whose vCPUs take blocks for hot soon. */
export class HotEngine implements Engine {
  readonly name = 'soft';
  private readonly engine: SoftEngine;

  /** `engine` must have been made with the compiler `on`. */
  constructor(engine: SoftEngine) {
    this.engine = engine;
  }

  get model(): SoftEngine['model'] {
    return this.engine.model;
  }

  createVcpu(vm: EngineVm): SoftVcpu {
    const vcpu = this.engine.createVcpu(vm);
    const [reset, run] = [vcpu.reset.bind(vcpu), vcpu.run.bind(vcpu)];
    let base = 0;
    let isSet = false;
    vcpu.reset = (state) => {
      // The first thing a vCPU takes of the memory is its state.
      if (base === 0) base = vm.memory.buffer.byteLength;
      return reset(state);
    };
    vcpu.run = () => {
      const reason = run();
      if (!isSet && base !== 0) {
        const words = new Int32Array(vm.memory.buffer, base, HEAT_ENTRIES);
        words[S.heatLimit >>> 2] = HEAT_LIMIT;
        isSet = true;
      }
      return reason;
    };
    return vcpu;
  }
}
