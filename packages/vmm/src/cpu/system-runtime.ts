// The system half of the processor, put together: its helper functions and its semantics.

import type { Fn } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { defineCodeTarget } from './code-target.ts';
import type { SemanticTable } from './context.ts';
import { defineControlRegisters } from './control-registers.ts';
import { controlSemantics } from './control-semantics.ts';
import { defineDebugRegisters } from './debug-registers.ts';
import { defineEvents } from './events.ts';
import { defineFarReturn } from './far-return.ts';
import { defineFarTransfer } from './far-transfer.ts';
import { defineFastCall } from './fast-call.ts';
import { defineIo, ioSemantics } from './io.ts';
import { defineModes } from './modes.ts';
import { defineMsrs } from './msr.ts';
import type { HostRuntime, MemoryRuntime, SystemRuntime } from './runtime.ts';
import { segmentSemantics } from './segment-semantics.ts';
import { defineSegments } from './segments.ts';
import { defineStackSwitch } from './stack-switch.ts';
import { defineStage } from './stage.ts';
import { defineStageStack } from './stage-stack.ts';
import { defineSystemSegments } from './system-segments.ts';
import { defineTaskSwitch } from './task-switch.ts';
import { transferSemantics } from './transfer-semantics.ts';
import { defineVirtual8086 } from './virtual-8086.ts';

/** The memory functions, and what PDPTEs are read and task switches are prepared with. */
export type SystemMemory = MemoryRuntime & {
  readonly physicalEntry: Fn<'i32'>;
  readonly translate: Fn<'i32'>;
};

/** Defines the helper functions of the system half in module `m`. */
export function defineSystem(
  m: ModuleBuilder,
  memory: SystemMemory,
  host: HostRuntime,
): SystemRuntime {
  const modes = defineModes(m, memory);
  const segments = defineSegments(m, memory, modes);
  const stage = defineStage(m, modes);
  const stack = defineStageStack(m, memory);
  const stackSwitch = defineStackSwitch(m, memory, segments, stage);
  const target = defineCodeTarget(m, segments, stage);
  const { physicalEntry, translate } = memory;
  const control = defineControlRegisters(m, { memory, physicalEntry, modes });
  const task = defineTaskSwitch(m, { memory, translate, modes, segments, control, stage, stack });
  const virtual = defineVirtual8086(m, { memory, modes, segments, stage, stack, target });
  return {
    ...defineEvents(m, { memory, modes, stage, stack, stackSwitch, target, task, virtual }),
    updateModes: modes.updateModes,
    modes,
    segments,
    systemSegments: defineSystemSegments(m, memory, segments),
    far: defineFarTransfer(m, { memory, segments, stage, stack, stackSwitch, target, task }),
    back: defineFarReturn(m, { modes, segments, stage, stack, target, task, virtual }),
    fast: defineFastCall(m, modes),
    control,
    debug: defineDebugRegisters(m, modes),
    msrs: defineMsrs(m, host, control),
    io: defineIo(m, memory),
  };
}

/** Semantics of the system instructions, by mnemonic or row name. */
export const systemSemantics: SemanticTable = {
  ...transferSemantics,
  ...segmentSemantics,
  ...controlSemantics,
  ...ioSemantics,
};
