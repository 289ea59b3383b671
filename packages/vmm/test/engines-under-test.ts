// The engines that the monitor's acceptance rows run on.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Engine } from '../src/vmm/engine.ts';
import { FakeEngine } from './fake-engine.ts';

/** An engine by name. */
export interface EngineUnderTest {
  readonly name: string;
  readonly make: () => Engine;
  /** Where its factory lies, relative to this folder, and what it is called there. */
  readonly module: string;
  readonly factory: string;
}

const SOFT_ENGINE = '../src/vmm/soft-engine.ts';

async function softEngines(): Promise<EngineUnderTest[]> {
  if (!existsSync(fileURLToPath(new URL(SOFT_ENGINE, import.meta.url)))) return [];
  const { makeEngine } = (await import(SOFT_ENGINE)) as { makeEngine: () => Engine };
  return [{ name: 'soft', make: makeEngine, module: SOFT_ENGINE, factory: 'makeEngine' }];
}

/** Engines that execute guest code. */
export const guestEngines: readonly EngineUnderTest[] = await softEngines();

/** Those, and one that only keeps registers: for what needs no guest. */
export const allEngines: readonly EngineUnderTest[] = [
  {
    name: 'fake',
    make: () => new FakeEngine(),
    module: './fake-engine.ts',
    factory: 'makeBusyEngine',
  },
  ...guestEngines,
];
