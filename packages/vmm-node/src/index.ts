// The public face of the Node adapters.
export { reasonOf } from './errors.ts';
export { FileBlock, openFileBlock } from './file-block.ts';
export type {
  CompilerStatistics,
  EngineName,
  RunConsole,
  RunDisk,
  RunEnd,
  RunModule,
  RunOptions,
  RunOutcome,
  RunStatistics,
  RunVm,
} from './run-options.ts';
export { ENGINES, JIT_MODES } from './run-options.ts';
export { Terminal } from './terminal.ts';
export { runVm } from './vm-process.ts';
