// One virtual machine in this process, from power-on to its end: makes the guest's memory, opens
// the disks, starts the worker that runs the machine (vcpu-worker.ts), and serves its console,
// disks and networks on the event loop meanwhile.

import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import {
  type Disk,
  GuestRam,
  type MachineEnd,
  ramRanges,
  type VirtioDevice,
  VirtioNetBackend,
  VmmError,
  virtioBlk,
  virtioNet,
} from 'vmm';
import { type CompileLink, startCompiler } from './compile-service.ts';
import { ConsolePump } from './console-pump.ts';
import { openDisk } from './disk-image.ts';
import { chooseEngine, type EngineChoice } from './engine-choice.ts';
import { closeInterfaces, type OpenInterface, openInterfaces } from './local-network.ts';
import type { RunEnd, RunOptions, RunOutcome, RunStatistics } from './run-options.ts';
import {
  createLinkMemory,
  type MainMessage,
  ThreadLink,
  type VcpuMessage,
  type WorkerStatistics,
} from './thread-link.ts';
import type { VcpuWorkerData } from './vcpu-worker.ts';
import { BackendServer } from './virtio-remote.ts';
import { createVmMemory } from './vm-memory.ts';

/** How long a machine that is to stop may take: a slice takes a millisecond or two. */
const STOP_MS_MAX = 2000;
const TIMEOUT_STATUS = 124;
/**
 * The worker makes much garbage when it builds its processor, and none afterwards, so that what its
 * heap has grown to by then stays. Node's default leaves 30 MB, this 8 MB; building takes no
 * longer.
 */
const YOUNG_MB = 8;

/** Why the main thread ends a run. */
type StopReason = 'left' | 'timeout';

/** How the worker ended. */
type WorkerEnd =
  | { readonly kind: 'ended'; readonly end: MachineEnd; readonly statistics: WorkerStatistics }
  | { readonly kind: 'refused'; readonly error: VmmError }
  | { readonly kind: 'died'; readonly error: Error }
  | { readonly kind: 'overdue' };

/**
 * Runs a virtual machine to its end. Rejects with VmmError when it cannot be started as asked: its
 * memory is more than can be had, a disk or the kernel is no good, a port cannot be forwarded.
 */
export async function runVm(options: RunOptions): Promise<RunOutcome> {
  const choice = chooseEngine(options.engine);
  options.onEngine?.(choice);
  const memory = createVmMemory(options.memoryBytes);
  const disks = await openDisks(options);
  let interfaces: readonly OpenInterface[] = [];
  try {
    interfaces = await openInterfaces(options.interfaces ?? [{}], options.name);
    return await new VmProcess(options, choice.engine, memory, disks, interfaces).run();
  } finally {
    closeInterfaces(interfaces);
    await closeDisks(disks);
  }
}

async function openDisks(options: RunOptions): Promise<Disk[]> {
  const disks: Disk[] = [];
  try {
    for (const disk of options.disks) disks.push(await openDisk(disk, disk.readOnly));
  } catch (error) {
    await closeDisks(disks);
    throw error;
  }
  return disks;
}

async function closeDisks(disks: readonly Disk[]): Promise<void> {
  const results = await Promise.allSettled(disks.map((disk) => disk.close()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** The run of one machine, seen from the main thread. */
class VmProcess {
  private readonly options: RunOptions;
  private readonly engine: EngineChoice['engine'];
  private readonly memory: WebAssembly.Memory;
  private readonly linkMemory: SharedArrayBuffer;
  private readonly addressBytes: number;
  private readonly link: ThreadLink;
  private readonly servers: readonly BackendServer[];
  private readonly nics: number;
  private readonly console: ConsolePump;
  private readonly port: MessagePort;
  private readonly workerPort: MessagePort;
  private stopReason: StopReason | undefined;
  private overdue: NodeJS.Timeout | undefined;
  private settle: (end: WorkerEnd) => void = () => {};
  private held: (() => void)[] = [];

  constructor(
    options: RunOptions,
    engine: EngineChoice['engine'],
    memory: WebAssembly.Memory,
    disks: readonly Disk[],
    interfaces: readonly OpenInterface[],
  ) {
    this.options = options;
    this.engine = engine;
    this.memory = memory;
    const last = ramRanges(options.memoryBytes).at(-1)!;
    this.addressBytes = last.gpa + last.sizeBytes;
    this.linkMemory = createLinkMemory(this.addressBytes);
    this.link = new ThreadLink(this.linkMemory, this.addressBytes);
    const channel = new MessageChannel();
    this.port = channel.port1;
    this.workerPort = channel.port2;
    this.console = new ConsolePump(options.console, this.link);

    const ram = new GuestRam(memory, options.memoryBytes);
    ram.watch((gpa, length) => this.link.writtenPages.add(gpa, length));
    const nics = interfaces.map((it, index) => networkInterface(ram, it, index));
    const blocks = disks.map((disk, index) =>
      virtioBlk(`vioblk${index}`, ram, disk, `disk${index}`),
    );
    this.nics = nics.length;
    const post = (message: MainMessage): void => this.port.postMessage(message);
    this.servers = [...nics, ...blocks].map(
      (device, index) => new BackendServer(index, device, this.link, post),
    );
  }

  async run(): Promise<RunOutcome> {
    const { timeoutMs, stop } = this.options;
    const ended = new Promise<WorkerEnd>((resolve) => {
      this.settle = resolve;
    });
    const compiles = this.engine === 'soft' && this.options.jit === 'on';
    const compiler = compiles ? startCompiler(this.memory) : undefined;
    const worker = this.startWorker(compiler?.link);
    const onStop = (): void => this.stop('left');
    stop.addEventListener('abort', onStop);
    if (stop.aborted) onStop();
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => this.stop('timeout'), timeoutMs);
    this.console.start();
    const end = await ended;
    this.standsStill();
    stop.removeEventListener('abort', onStop);
    clearTimeout(timer);
    clearTimeout(this.overdue);
    await Promise.all([worker.terminate(), compiler?.worker.terminate()]);
    await this.console.finish(this.stopReason === undefined ? Infinity : STOP_MS_MAX);
    await Promise.all(this.servers.map((server) => server.quiesce()));
    this.port.close();
    return this.outcome(end);
  }

  private startWorker(compiler: CompileLink | undefined): Worker {
    const { options } = this;
    const data: VcpuWorkerData = {
      name: options.name,
      memory: this.memory,
      memoryBytes: options.memoryBytes,
      link: this.linkMemory,
      addressBytes: this.addressBytes,
      port: this.workerPort,
      kernel: options.kernel,
      kernelPath: options.kernelPath,
      modules: options.modules,
      commandLine: options.commandLine,
      devices: this.servers.map((server) => server.description),
      nics: this.nics,
      engine: this.engine,
      jit: options.jit,
      compiler,
      exitPort: options.exitPort,
      noReboot: options.noReboot,
    };
    const worker = new Worker(new URL('./vcpu-worker.js', import.meta.url), {
      workerData: data,
      transferList: compiler ? [this.workerPort, compiler.port] : [this.workerPort],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.port.on('message', (message: VcpuMessage) => this.receive(message));
    worker.on('error', (error: Error) => this.settle({ kind: 'died', error }));
    worker.on('exit', (code) => {
      // What it posted before it ended may still be on its way.
      for (;;) {
        const received = receiveMessageOnPort(this.port);
        if (received === undefined) break;
        this.receive(received.message);
      }
      this.settle({ kind: 'died', error: new Error(`its thread ended with status ${code}`) });
    });
    return worker;
  }

  /** Asks the machine to stop; it is ended by force when it does not. */
  private stop(reason: StopReason): void {
    if (this.stopReason !== undefined) return;
    this.stopReason = reason;
    this.link.stop();
    this.overdue = setTimeout(() => this.settle({ kind: 'overdue' }), STOP_MS_MAX);
  }

  private receive(message: VcpuMessage): void {
    switch (message.kind) {
      case 'attention':
        this.attend();
        return;
      case 'running':
        this.options.onRunning?.({
          pause: () => this.pause(),
          unpause: () => this.unpause(),
        });
        return;
      case 'paused':
        this.standsStill();
        return;
      case 'restarted':
        this.options.onRestart?.();
        return;
      case 'activate':
        this.servers[message.device].activate(message.queues, message.features);
        return;
      case 'reset':
        this.servers[message.device].reset();
        return;
      case 'query':
        this.servers[message.device].query();
        return;
      case 'refused':
        this.settle({ kind: 'refused', error: new VmmError(message.code, message.message) });
        return;
      case 'ended':
        this.settle(message);
    }
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      this.held.push(resolve);
      this.link.pausing = true;
    });
  }

  private unpause(): void {
    this.link.pausing = false;
  }

  private standsStill(): void {
    for (const resolve of this.held.splice(0)) resolve();
  }

  private attend(): void {
    const { console, devices } = this.link.takeAttention();
    if (console) this.console.attend();
    for (const [index, server] of this.servers.entries()) {
      if ((devices & (1 << index)) !== 0) server.kick();
    }
  }

  private outcome(end: WorkerEnd): RunOutcome {
    switch (end.kind) {
      case 'refused':
        throw end.error;
      case 'died':
        return failure(deathNotice(end.error, this.options.verbose));
      case 'overdue':
        return endedAs(this.stopReason ?? 'left');
    }
    const statistics = this.options.verbose ? runStatistics(end.statistics) : undefined;
    const outcome = machineOutcome(end.end, this.stopReason);
    return statistics === undefined ? outcome : { ...outcome, statistics };
  }
}

function networkInterface(
  ram: GuestRam,
  { mac, network }: OpenInterface,
  index: number,
): VirtioDevice {
  const backend = new VirtioNetBackend(ram);
  if (network !== undefined) backend.attach(network);
  return virtioNet(`vio${index}`, mac, backend);
}

function machineOutcome(end: MachineEnd, stopReason: StopReason | undefined): RunOutcome {
  switch (end.kind) {
    case 'error':
      return failure(end.message);
    case 'exit-port':
      return { kind: 'exit-port', status: ((end.value & 0xff) << 1) | 1 };
    case 'stopped':
      return endedAs(stopReason ?? 'left');
    default:
      return endedAs(end.kind);
  }
}

/** A defect of ours: with -v, also where it is. */
function deathNotice(error: Error, verbose: boolean): string {
  const notice = `The virtual machine died of a defect of its monitor: ${error.message}.`;
  return verbose && error.stack !== undefined ? `${notice}\n${error.stack}` : notice;
}

function endedAs(kind: RunEnd): RunOutcome {
  return { kind, status: kind === 'timeout' ? TIMEOUT_STATUS : 0 };
}

function failure(message: string): RunOutcome {
  return { kind: 'error', status: 1, message };
}

function runStatistics({ machine, processor, ranNs }: WorkerStatistics): RunStatistics {
  return {
    ...(processor && {
      instructions: processor.instructions,
      tlbMisses: processor.tlbMisses,
    }),
    seconds: ranNs / 1e9,
    idleSeconds: machine.idleNs / 1e9,
    ...(processor?.jit && { compiler: { ...processor.jit, executed: processor.compiled } }),
    gaps: machine.gaps,
    exits: Object.fromEntries(Object.entries(machine.exits).filter(([, count]) => count > 0)),
    faults: processor?.faults ?? {},
  };
}
