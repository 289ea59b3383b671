// Which engine a machine runs on: the one that was asked for, or with `auto`, KVM where it is there
// and runs guests well, and the soft engine everywhere else.

import { VmmError } from 'vmm';
import { openKvmEngine } from './kvm/kvm-engine.ts';
import { measureKvm, slowness } from './kvm/probe.ts';
import type { EngineName } from './run-options.ts';

/** An engine, and why it was chosen. */
export interface EngineChoice {
  readonly engine: 'soft' | 'kvm';
  /** A line without a full stop, for the person who runs the machine. */
  readonly reason: string;
}

/**
 * Chooses. Takes less than 50 ms. With `kvm`, throws VmmError where KVM cannot be used, which says
 * what to do; whether it is fast is not asked.
 */
export function chooseEngine(wanted: EngineName): EngineChoice {
  switch (wanted) {
    case 'soft':
      return { engine: 'soft', reason: 'asked for' };
    case 'kvm':
      openKvmEngine().close();
      return { engine: 'kvm', reason: 'asked for' };
    case 'auto':
      return probed();
  }
}

function probed(): EngineChoice {
  try {
    const engine = openKvmEngine();
    try {
      const speed = measureKvm(engine);
      const slow = slowness(speed);
      if (slow !== undefined) return { engine: 'soft', reason: `KVM is slow here, ${slow}` };
      const { rate, exitMicroseconds } = speed;
      const measured = `${rate.toFixed(0)} MIPS, ${exitMicroseconds.toFixed(1)} us per exit`;
      return { engine: 'kvm', reason: `KVM runs guests well here (${measured})` };
    } finally {
      engine.close();
    }
  } catch (error) {
    // What the host throws when it is out of memory for KVM is no reason to run nothing.
    if (!(error instanceof VmmError) && !(error instanceof RangeError)) throw error;
    return { engine: 'soft', reason: error.message.replace(/\.$/, '') };
  }
}
