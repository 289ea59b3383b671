// The engines that the monitor's acceptance rows run on.

import type { Engine } from '../src/vmm/engine.ts';
import { FakeEngine } from './fake-engine.ts';
import { kvmAbsence, kvmModule, makeKvmEngine } from './kvm-engine-under-test.ts';
import { makeCompilingEngine, makeEngine, makeHotEngine } from './soft-engine-under-test.ts';

/** An engine by name. */
export interface EngineUnderTest {
  readonly name: string;
  readonly make: () => Engine;
  /**
   * Where another thread finds a factory, relative to this folder or as the URL of compiled code,
   * and what it is called there.
   */
  readonly module: string;
  readonly factory: string;
  /** Rows that do not hold on this engine, and why. */
  readonly differences?: Readonly<Record<string, string>>;
}

const kvm: EngineUnderTest = {
  name: 'kvm',
  make: makeKvmEngine,
  module: kvmModule,
  factory: 'openKvmEngine',
};

/** Engines that execute guest code. */
export const guestEngines: readonly EngineUnderTest[] = [
  { name: 'soft', make: makeEngine, module: './soft-engine-under-test.ts', factory: 'makeEngine' },
  {
    name: 'soft, compiling what is hot',
    make: makeHotEngine,
    module: './soft-engine-under-test.ts',
    factory: 'makeHotEngine',
  },
  {
    name: 'soft, compiling',
    make: makeCompilingEngine,
    module: './soft-engine-under-test.ts',
    factory: 'makeCompilingEngine',
  },
  ...(kvmAbsence === '' ? [kvm] : []),
];

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
