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
  detectImage,
  GuestRam,
  type MachineEnd,
  type RamLayout,
  ramBytes,
  ramRanges,
  ScsiCdrom,
  type VirtioDevice,
  VirtioNetBackend,
  VmmError,
  virtioBlk,
  virtioNet,
  virtioScsi,
} from 'vmm';
import { type CompileLink, startCompiler } from './compile-service.ts';
import { ConsolePump } from './console-pump.ts';
import { openDisk } from './disk-image.ts';
import { chooseEngine, type EngineChoice } from './engine-choice.ts';
import { closeInterfaces, type OpenInterface, openInterfaces } from './local-network.ts';
import { type Deliver, MachineSaver } from './machine-saver.ts';
import type {
  EngineName,
  RunDisk,
  RunEnd,
  RunOptions,
  RunOutcome,
  RunStatistics,
} from './run-options.ts';
import { saveHost } from './saved-host.ts';
import {
  createLinkMemory,
  type MainMessage,
  ThreadLink,
  type VcpuMessage,
  type WorkerStatistics,
} from './thread-link.ts';
import type { RestoredMachine, VcpuWorkerData } from './vcpu-worker.ts';
import { BackendServer } from './virtio-remote.ts';
import { createVmMemory } from './vm-memory.ts';

/** How long a machine that is to stop may take: a slice takes a millisecond or two. */
const STOP_MS_MAX = 2000;
/** A guest that is asked to shut down says that it has heard; it has vmd(8)'s short timeout. */
const HEARD_MS_MAX = 3000;
const TIMEOUT_STATUS = 124;
/** What OpenBSD's installer takes for the order to install by itself (autoinstall(8)). */
const AUTO_INSTALL = 'auto_install';
/**
 * The worker makes much garbage when it builds its processor, and none afterwards, so that what its
 * heap has grown to by then stays. Node's default leaves 30 MB, this 8 MB; building takes no
 * longer.
 */
const YOUNG_MB = 8;

/** Why the main thread ends a run. */
type StopReason = 'left' | 'timeout' | 'suspended';

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
  const choice = chooseEngine(engineFor(options));
  options.onEngine?.(choice);
  const image = { name: options.kernelPath, bytes: options.kernel };
  const hasFirmware = options.restore?.machine.hasFirmware ?? detectImage(image) === 'firmware';
  checkBootDevice(options, hasFirmware);
  const ram = { memoryBytes: options.memoryBytes, hasFirmware };
  const memory = createVmMemory(ramBytes(ram));
  // Who sent the machine has its disks until all of it is here.
  const restored = options.restore && (await readMachine(ram, options, memory));
  const opened = await openDisks(options);
  const disks = opened.slice(0, options.disks.length);
  const cdrom = opened[disks.length];
  let interfaces: readonly OpenInterface[] = [];
  try {
    interfaces = await openInterfaces(options.interfaces ?? [{}], {
      name: options.name,
      ...(options.bootDevice === 'net' && { bootFile: AUTO_INSTALL }),
    });
    const parts = { ram, memory, disks, cdrom, interfaces };
    return await new VmProcess(options, choice.engine, parts).run(restored);
  } finally {
    closeInterfaces(interfaces);
    await closeDisks(opened);
  }
}

/** What a machine was saved with, the soft engine can go on with. */
function engineFor({ engine, restore }: RunOptions): EngineName {
  return restore !== undefined && engine === 'auto' ? 'soft' : engine;
}

async function readMachine(
  ram: RamLayout,
  { restore, onRestoreProgress }: RunOptions,
  memory: WebAssembly.Memory,
): Promise<RestoredMachine> {
  const { timeNs, wallMs, ...machine } = restore!.machine;
  if (machine.memoryBytes !== ram.memoryBytes) {
    const [has, had] = [ram.memoryBytes, machine.memoryBytes].map((bytes) => bytes / 1024 ** 2);
    throw new VmmError('EINVAL', `The machine has ${has} MB of memory, not the ${had} it had.`);
  }
  const parts = await restore!.finish(new GuestRam(memory, ram), onRestoreProgress);
  return { parts, timeNs, wallMs };
}

/** As vmd(8) has it: firmware boots disks and CD-ROMs, and what is booted by net is a kernel. */
function checkBootDevice(options: RunOptions, hasFirmware: boolean): void {
  const { bootDevice = 'auto', kernelPath, disks, cdrom } = options;
  const refuse = (reason: string): never => {
    throw new VmmError('EINVAL', `Cannot boot from device ${bootDevice}: ${reason}.`);
  };
  if (bootDevice === 'auto') return;
  if (bootDevice === 'net') {
    if (hasFirmware)
      refuse('that takes a kernel, which is loaded in place of what a net would send');
    return;
  }
  if (!hasFirmware) refuse(`${kernelPath} is a kernel, not a firmware`);
  if (bootDevice === 'disk' && disks.length === 0) refuse('there is none');
  if (bootDevice === 'cdrom' && cdrom === undefined) refuse('there is none');
}

/** The disks in their order, and behind them the CD-ROM if there is one. */
async function openDisks({ disks, cdrom }: RunOptions): Promise<Disk[]> {
  const images = [...disks, ...(cdrom === undefined ? [] : [isoImage(cdrom)])];
  const opened: Disk[] = [];
  try {
    for (const image of images) opened.push(await openDisk(image, image.readOnly));
  } catch (error) {
    await closeDisks(opened);
    throw error;
  }
  return opened;
}

/** Never anything but the bytes of a medium: one that begins like a qcow2 image is none. */
const isoImage = (path: string): RunDisk => ({ path, format: 'raw', readOnly: true });

async function closeDisks(disks: readonly Disk[]): Promise<void> {
  const results = await Promise.allSettled(disks.map((disk) => disk.close()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** What a machine is made of in this thread. */
interface VmParts {
  readonly ram: RamLayout;
  readonly memory: WebAssembly.Memory;
  readonly disks: readonly Disk[];
  readonly cdrom: Disk | undefined;
  readonly interfaces: readonly OpenInterface[];
}

/** The run of one machine, seen from the main thread. */
class VmProcess {
  private readonly options: RunOptions;
  private readonly engine: EngineChoice['engine'];
  private readonly layout: RamLayout;
  private readonly memory: WebAssembly.Memory;
  private readonly linkMemory: SharedArrayBuffer;
  private readonly addressBytes: number;
  private readonly link: ThreadLink;
  private readonly servers: readonly BackendServer[];
  private readonly nics: number;
  private readonly disks: number;
  private readonly console: ConsolePump;
  private readonly port: MessagePort;
  private readonly workerPort: MessagePort;
  private stopReason: StopReason | undefined;
  private overdue: NodeJS.Timeout | undefined;
  private settle: (end: WorkerEnd) => void = () => {};
  private held: (() => void)[] = [];
  private readonly saver: MachineSaver;
  /** The worker has said so, and was not told to go on since. */
  private isStill = false;
  private asking: ((heard: boolean) => void)[] = [];
  private unheard: NodeJS.Timeout | undefined;

  constructor(
    options: RunOptions,
    engine: EngineChoice['engine'],
    { ram: layout, memory, disks, cdrom, interfaces }: VmParts,
  ) {
    this.options = options;
    this.engine = engine;
    this.layout = layout;
    this.memory = memory;
    const last = ramRanges(layout).at(-1)!;
    this.addressBytes = last.gpa + last.sizeBytes;
    this.linkMemory = createLinkMemory(this.addressBytes);
    this.link = new ThreadLink(this.linkMemory, this.addressBytes);
    const channel = new MessageChannel();
    this.port = channel.port1;
    this.workerPort = channel.port2;
    this.console = new ConsolePump(options.console, this.link);

    const ram = new GuestRam(memory, layout);
    ram.watch((gpa, length) => this.link.writtenPages.add(gpa, length));
    const nics = interfaces.map((it, index) => networkInterface(ram, it, index));
    const blocks = disks.map((disk, index) =>
      virtioBlk(`vioblk${index}`, ram, disk, `disk${index}`),
    );
    const drives = cdrom === undefined ? [] : [virtioScsi('vioscsi0', ram, new ScsiCdrom(cdrom))];
    this.nics = nics.length;
    this.disks = blocks.length;
    const post = (message: MainMessage): void => this.port.postMessage(message);
    this.servers = [...nics, ...blocks, ...drives].map(
      (device, index) => new BackendServer(index, device, this.link, post),
    );
    this.saver = new MachineSaver({
      ram,
      servers: this.servers,
      host: saveHost(options, interfaces),
      post: (message) => {
        post(message);
        this.link.ring();
      },
    });
  }

  async run(restored: RestoredMachine | undefined): Promise<RunOutcome> {
    const { timeoutMs, stop } = this.options;
    const ended = new Promise<WorkerEnd>((resolve) => {
      this.settle = resolve;
    });
    const compiles = this.engine === 'soft' && this.options.jit === 'on';
    const compiler = compiles ? startCompiler(this.memory, this.options.cpu) : undefined;
    const worker = this.startWorker(compiler?.link, restored);
    const onStop = (): void => this.stop('left');
    stop.addEventListener('abort', onStop);
    if (stop.aborted) onStop();
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => this.stop('timeout'), timeoutMs);
    this.console.start();
    const end = await ended;
    this.standsStill();
    this.saver.ended();
    // What was asked of it has come about.
    this.answerShutdown(true);
    stop.removeEventListener('abort', onStop);
    clearTimeout(timer);
    clearTimeout(this.overdue);
    await Promise.all([worker.terminate(), compiler?.worker.terminate()]);
    await this.console.finish(this.stopReason === undefined ? Infinity : STOP_MS_MAX);
    await Promise.all(this.servers.map((server) => server.quiesce()));
    this.port.close();
    return this.outcome(end);
  }

  private startWorker(
    compiler: CompileLink | undefined,
    restored: RestoredMachine | undefined,
  ): Worker {
    const { options } = this;
    const data: VcpuWorkerData = {
      name: options.name,
      memory: this.memory,
      ram: this.layout,
      link: this.linkMemory,
      addressBytes: this.addressBytes,
      port: this.workerPort,
      kernel: options.kernel,
      kernelPath: options.kernelPath,
      modules: options.modules,
      commandLine: options.commandLine,
      devices: this.servers.map((server) => server.description),
      nics: this.nics,
      disks: this.disks,
      bootDevice: options.bootDevice ?? 'auto',
      engine: this.engine,
      jit: options.jit,
      cpu: options.cpu,
      compiler,
      exitPort: options.exitPort,
      noReboot: options.noReboot,
      restored,
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
          suspend: (deliver) => this.suspend(deliver),
          requestShutdown: () => this.requestShutdown(),
        });
        return;
      case 'paused':
        this.isStill = this.link.pausing;
        this.standsStill();
        return;
      case 'shutdown':
        this.answerShutdown(message.heard);
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
      case 'saved':
        this.saver.answered(message.parts);
        return;
      case 'not-saved':
        this.saver.answered(new VmmError(message.code, message.message));
        return;
      case 'refused':
        this.settle({ kind: 'refused', error: new VmmError(message.code, message.message) });
        return;
      case 'ended':
        this.settle(message);
    }
  }

  private pause(): Promise<void> {
    if (this.isStill) return Promise.resolve();
    return new Promise((resolve) => {
      this.held.push(resolve);
      this.link.pausing = true;
    });
  }

  private unpause(): void {
    this.isStill = false;
    this.link.pausing = false;
  }

  private async suspend(deliver: Deliver): Promise<void> {
    const wasPaused = this.link.pausing;
    try {
      await this.pause();
      await this.saver.save(deliver);
    } catch (error) {
      if (!wasPaused) this.unpause();
      throw error;
    }
    this.stop('suspended');
  }

  private requestShutdown(): Promise<boolean> {
    return new Promise((resolve) => {
      this.asking.push(resolve);
      this.unheard ??= setTimeout(() => this.answerShutdown(false), HEARD_MS_MAX);
      this.link.requestShutdown();
    });
  }

  private answerShutdown(heard: boolean): void {
    clearTimeout(this.unheard);
    this.unheard = undefined;
    for (const resolve of this.asking.splice(0)) resolve(heard);
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
  { mac, backend: network }: OpenInterface,
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
      slices: processor.slices,
      hottest: processor.hottest,
    }),
    seconds: ranNs / 1e9,
    idleSeconds: machine.idleNs / 1e9,
    ...(processor?.jit && {
      compiler: {
        ...processor.jit,
        executed: processor.compiled,
        flushes: processor.codeFlushes,
        invalidations: processor.codeInvalidations,
      },
    }),
    gaps: machine.gaps,
    exits: Object.fromEntries(Object.entries(machine.exits).filter(([, count]) => count > 0)),
    faults: processor?.faults ?? {},
  };
}
