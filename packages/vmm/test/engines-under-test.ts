// The engines that the monitor's acceptance rows run on.

import { test } from 'vitest';
import type { CpuModel } from '../src/vmm/cpu-model.ts';
import type { Engine } from '../src/vmm/engine.ts';
import { FakeEngine } from './fake-engine.ts';
import { kvmAbsence, kvmIsEmulated, kvmModule, makeKvmEngine } from './kvm-engine-under-test.ts';
import { makeCompilingEngine, makeEngine, makeHotEngine } from './soft-engine-under-test.ts';

/** An engine by name. */
export interface EngineUnderTest {
  readonly name: string;
  /** The soft engine shows guests another processor if it is told to. */
  readonly make: (model?: CpuModel) => Engine;
  /**
   * Where another thread finds a factory, relative to this folder or as the URL of compiled code,
   * and what it is called there.
   */
  readonly module: string;
  readonly factory: string;
  /** Tests that do not hold on this engine, by the beginnings of their names, and why. */
  readonly differences?: Readonly<Record<string, string>>;
}

/** `test` for an engine: what does not hold is skipped, and its name then says why. */
export function testOn({ differences = {} }: Omit<EngineUnderTest, 'make'>) {
  return (name: string, body: () => void | Promise<void>): void => {
    const found = Object.entries(differences).find(([start]) => name.startsWith(start));
    if (found) test.skip(`${name} (${found[1]})`, body);
    else test(name, body);
  };
}

/** What KVM does in its own way wherever it runs; kvm-vcpu.ts and vmm(4) say more. */
const KVM_DIFFERENCES = {
  '57:': 'VMCALL is a call to KVM, which answers it',
  '59:': 'KVM writes the clock record when it must, not at every entry',
  '62: a write': 'KVM has stepped over the store when it exits: RIP is past it',
  '63:': 'KVM has no right to execute of its own',
};

/** Where /dev/kvm is an emulator itself, it is one with less than a processor does. */
const EMULATED_KVM_DIFFERENCES = {
  '43:': 'emulated in pieces: the window opens some instructions late',
  '48:': 'emulated: shows features that it was told to hide',
  '49, 55:': 'emulated: shows features that it was told to hide',
  '51:': 'emulated: takes bases that are not canonical',
  '53:': 'emulated: takes memory types that there are not',
  '54:': 'emulated: takes bits of CR0 that there are not',
  '58:': 'emulated: traps an instruction late',
};

const kvm: EngineUnderTest = {
  name: 'kvm',
  make: makeKvmEngine,
  module: kvmModule,
  factory: 'openKvmEngine',
  differences: { ...KVM_DIFFERENCES, ...(kvmIsEmulated ? EMULATED_KVM_DIFFERENCES : {}) },
};

/** The software processor in each way of executing, for what a processor does. */
export const softEngines: readonly EngineUnderTest[] = [
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
];

/** Engines that execute guest code, for what vmm(4) does. */
export const guestEngines: readonly EngineUnderTest[] = [
  ...softEngines,
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
