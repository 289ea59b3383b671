// The kvm engine as the monitor's tests use it, where this host has one: the Node adapters as
// compiled, since the tests of this package reach no other package's sources.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type KvmEngine, measureKvm, openKvmEngine, slowness } from 'vmm-node';

/** Where another thread finds {@link openKvmEngine}. */
export const kvmModule: string = pathToFileURL(
  createRequire(import.meta.url).resolve('vmm-node'),
).href;

let engine: KvmEngine | undefined;
let reason = '';
let isEmulated = false;
try {
  engine = openKvmEngine();
  isEmulated = slowness(measureKvm(engine)) !== undefined;
} catch (error) {
  reason = (error as Error).message;
}

/** Why there is none; empty where there is. */
export const kvmAbsence: string = reason;

/** What runs here emulates instructions, and is not exact at it. */
export const kvmIsEmulated: boolean = isEmulated;

/** The engine of this thread. */
export function makeKvmEngine(): KvmEngine {
  if (!engine) throw new Error(kvmAbsence);
  return engine;
}
