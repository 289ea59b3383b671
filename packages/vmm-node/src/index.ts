// The public face of the Node adapters.
export type { NewImage } from './create-image.ts';
export { createImage } from './create-image.ts';
export { openDisk } from './disk-image.ts';
export type { EngineChoice } from './engine-choice.ts';
export { chooseEngine } from './engine-choice.ts';
export { reasonOf } from './errors.ts';
export { HostFile, openHostFile } from './host-file.ts';
export { HostAlarm, NodeNetwork } from './host-network.ts';
export { KvmEngine, openKvmEngine } from './kvm/kvm-engine.ts';
export { type KvmSpeed, measureKvm, slowness } from './kvm/probe.ts';
export type { Deliver } from './machine-saver.ts';
export { OrderlyStop } from './orderly-stop.ts';
export type {
  CompilerStatistics,
  EngineName,
  RunConsole,
  RunControl,
  RunDisk,
  RunEnd,
  RunForward,
  RunInterface,
  RunModule,
  RunNetwork,
  RunNumbering,
  RunOptions,
  RunOutcome,
  RunStatistics,
  RunUplink,
  RunVm,
} from './run-options.ts';
export {
  CPU_DEFAULT,
  CPU_MODELS,
  ENGINE_DEFAULT,
  ENGINES,
  JIT_DEFAULT,
  JIT_MODES,
} from './run-options.ts';
export type { SavedDisk, SavedHost } from './saved-host.ts';
export { loadHost, restoredNetwork, savedNumbering } from './saved-host.ts';
export { readSuspendFile, writeSuspendFile } from './suspend-file.ts';
export { SwitchMember } from './switch-link.ts';
export { Terminal } from './terminal.ts';
export { runVm } from './vm-process.ts';
