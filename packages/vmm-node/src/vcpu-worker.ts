// The thread that runs a machine: the processor, and the registers of all devices. It is started with
// everything it needs, and its script is the whole run; it never returns to its event loop before
// the machine has ended. What comes from outside is found in shared memory after the bell has rung.

import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  type BootDevice,
  type Clock,
  type CpuModel,
  type Engine,
  type EngineVm,
  type Entropy,
  GuestRam,
  type JitMode,
  Machine,
  type MachineHost,
  type MachineOptions,
  type RamLayout,
  type SavedParts,
  type SerialPeer,
  SoftEngine,
  type SoftStatistics,
  type SoftVcpu,
  VmmError,
} from 'vmm';
import { type CompileLink, RemoteCompiler } from './compile-service.ts';
import type { EngineChoice } from './engine-choice.ts';
import { CATCH_UP_RATE, CATCH_UP_STEP_MS, HostClock, HostEntropy } from './host-capabilities.ts';
import { openKvmEngine } from './kvm/kvm-engine.ts';
import { readProcessorImage } from './processor-image.ts';
import type { RunModule } from './run-options.ts';
import {
  type DeviceDescription,
  type MainMessage,
  ThreadLink,
  type VcpuMessage,
} from './thread-link.ts';
import { RemoteBackend, remoteDevice } from './virtio-remote.ts';
import { CODE_BYTES } from './vm-memory.ts';

/** A machine that was saved, for the worker to go on with. */
export interface RestoredMachine {
  readonly parts: SavedParts;
  /** Its time, and the world's at that time. */
  readonly timeNs: number;
  readonly wallMs: number;
}

/** What the main thread starts the worker with. */
export interface VcpuWorkerData {
  readonly name: string;
  readonly memory: WebAssembly.Memory;
  readonly ram: RamLayout;
  readonly link: SharedArrayBuffer;
  readonly addressBytes: number;
  readonly port: MessagePort;
  readonly kernel: Uint8Array;
  readonly kernelPath: string;
  readonly modules: readonly RunModule[];
  readonly commandLine: string;
  /** Network interfaces first, then disks; the last may be a CD-ROM drive. */
  readonly devices: readonly DeviceDescription[];
  readonly nics: number;
  readonly disks: number;
  readonly bootDevice: BootDevice;
  readonly engine: EngineChoice['engine'];
  readonly jit: JitMode;
  readonly cpu: CpuModel;
  /** What compiles in another thread. */
  readonly compiler: CompileLink | undefined;
  readonly exitPort: boolean;
  readonly noReboot: boolean;
  /** Instead of booting. */
  readonly restored: RestoredMachine | undefined;
}

/** Output is shown this often while the guest is busy; at once when it idles. */
const OUTPUT_INTERVAL_NS = 1e6;
/** Sleeping for less is not worth it: the guest's timer is due by the time the thread is back. */
const SLEEP_MS_MIN = 0.02;

/** The console and the backends of the main thread, as the machine in this thread sees them. */
class VcpuHost implements MachineHost {
  readonly console: SerialPeer = {
    transmit: (byte) => this.transmit(byte),
    onSpace: () => this.feed(),
  };
  readonly backends: readonly RemoteBackend[];
  /** Set when it is made. */
  machine: Machine | undefined;
  private readonly link: ThreadLink;
  private readonly port: MessagePort;
  private readonly clock: HostClock;
  private ringsSeen = 0;
  private hasOutput = false;
  private outputDueNs = 0;

  constructor(data: VcpuWorkerData, clock: HostClock) {
    this.link = new ThreadLink(data.link, data.addressBytes);
    this.port = data.port;
    this.clock = clock;
    this.backends = data.devices.map(
      (_, index) => new RemoteBackend(index, this.link, (message) => this.post(message)),
    );
  }

  post(message: VcpuMessage): void {
    this.port.postMessage(message);
  }

  poll(nowNs: number): boolean {
    if (this.hasOutput && nowNs >= this.outputDueNs) this.showOutput();
    const { rings } = this.link;
    if (rings === this.ringsSeen) return false;
    this.ringsSeen = rings;
    this.takeIn();
    if (this.link.pausing) this.standStill();
    return this.link.stopping;
  }

  idle(deadlineNs: number): void {
    const nowNs = this.clock.now();
    if (this.hasOutput) this.showOutput();
    let timeoutMs = (deadlineNs - nowNs) / 1e6;
    if (this.clock.isBehind) timeoutMs = Math.min(timeoutMs / CATCH_UP_RATE, CATCH_UP_STEP_MS);
    if (timeoutMs > SLEEP_MS_MIN) this.link.awaitRing(this.ringsSeen, timeoutMs);
  }

  restarted(): void {
    this.post({ kind: 'restarted' });
  }

  shutdownHeard(): void {
    this.post({ kind: 'shutdown', heard: true });
  }

  /** Time does not pass for the machine until the main thread goes on with it, or ends it. */
  private standStill(): void {
    const { link, clock } = this;
    const sinceNs = clock.now();
    if (this.hasOutput) this.showOutput();
    for (let told = 0; ; ) {
      const { rings, pauseNumber } = link;
      if (pauseNumber === 0 || link.stopping) break;
      if (pauseNumber !== told) this.post({ kind: 'paused' });
      told = pauseNumber;
      // What backends finish meanwhile reaches the devices before they are saved.
      if (this.takeIn()) this.save();
      link.awaitRing(rings, Infinity);
    }
    clock.leaveOut(clock.now() - sinceNs);
  }

  /** Answers with the machine but for its memory. */
  private save(): void {
    try {
      this.post({ kind: 'saved', parts: this.machine!.saveParts() });
    } catch (error) {
      if (!(error instanceof VmmError)) throw error;
      this.post({ kind: 'not-saved', code: error.code, message: error.message });
    }
  }

  /** Takes in what the main thread has; true when that asks for the machine. */
  private takeIn(): boolean {
    let isAsked = false;
    const interrupts = this.link.takeInterrupts();
    // Before the guest learns by an interrupt what was written, so does the processor.
    this.link.writtenPages.take((address) => this.machine?.memoryWritten(address, 4096));
    for (const [index, backend] of this.backends.entries()) {
      if ((interrupts & (1 << index)) !== 0) backend.interrupt();
    }
    for (;;) {
      const received = receiveMessageOnPort(this.port);
      if (received === undefined) break;
      const message: MainMessage = received.message;
      if (message.kind === 'save') isAsked = true;
      else this.backends[message.device].receive(message);
    }
    if (this.link.takeShutdownRequest() && this.machine?.requestShutdown() !== true) {
      this.post({ kind: 'shutdown', heard: false });
    }
    this.feed();
    return isAsked;
  }

  /** Gives the guest what is typed, as much as it takes. */
  private feed(): void {
    const { input } = this.link;
    let fed = false;
    for (;;) {
      const bytes = input.peek();
      const taken = bytes.length > 0 ? (this.machine?.receive(bytes) ?? 0) : 0;
      if (taken > 0) {
        input.advance(taken);
        fed = true;
      }
      if (taken < bytes.length || bytes.length === 0) break;
    }
    if (fed && this.link.inputWaits) this.tellConsole();
  }

  private transmit(byte: number): void {
    const { output } = this.link;
    if (output.free === 0 && !this.awaitRoom()) return;
    output.push(byte);
    if (this.hasOutput) return;
    this.hasOutput = true;
    this.outputDueNs = this.clock.now() + OUTPUT_INTERVAL_NS;
  }

  /** Nobody takes the output: the guest waits. False when the run is to end, output or not. */
  private awaitRoom(): boolean {
    const { link } = this;
    this.showOutput();
    link.outputWaits = true;
    for (;;) {
      const { rings } = link;
      if (link.output.free > 0 || link.stopping) break;
      link.awaitRing(rings, Infinity);
    }
    link.outputWaits = false;
    return link.output.free > 0;
  }

  private showOutput(): void {
    this.hasOutput = false;
    this.tellConsole();
  }

  private tellConsole(): void {
    if (this.link.attentionConsole()) this.post({ kind: 'attention' });
  }
}

/** An engine, and what the one vCPU that it makes here has counted. */
interface WatchedEngine {
  readonly engine: Engine;
  statistics(): SoftStatistics | undefined;
}

/** The engine that the main thread chose. Throws VmmError where KVM is gone meanwhile. */
function openEngine(data: VcpuWorkerData, clock: Clock, entropy: Entropy): WatchedEngine {
  if (data.engine === 'kvm') return { engine: openKvmEngine(), statistics: () => undefined };
  const image = readProcessorImage();
  const soft = new SoftEngine({
    clock,
    entropy,
    ...(image && { image }),
    codeBytes: CODE_BYTES,
    jit: data.jit,
    model: data.cpu,
    ...(data.compiler && { service: new RemoteCompiler(data.compiler) }),
  });
  soft.build();
  let vcpu: SoftVcpu | undefined;
  const createVcpu = (vm: EngineVm): SoftVcpu => {
    vcpu = soft.createVcpu(vm);
    return vcpu;
  };
  const engine: Engine = { name: soft.name, model: soft.model, createVcpu };
  return { engine, statistics: () => vcpu?.statistics };
}

function main(data: VcpuWorkerData): void {
  const { restored } = data;
  const clock = restored
    ? new HostClock(restored.timeNs, Date.now() - restored.wallMs)
    : new HostClock();
  const entropy = new HostEntropy();
  const host = new VcpuHost(data, clock);
  const devices = data.devices.map((it, index) => remoteDevice(it, host.backends[index]));
  let watched: WatchedEngine;
  try {
    watched = openEngine(data, clock, entropy);
    const options: MachineOptions = {
      name: data.name,
      ram: new GuestRam(data.memory, data.ram),
      engine: watched.engine,
      clock,
      entropy,
      host,
      kernel: { name: data.kernelPath, bytes: data.kernel },
      modules: data.modules,
      commandLine: data.commandLine,
      console: host.console,
      nics: devices.slice(0, data.nics),
      disks: devices.slice(data.nics, data.nics + data.disks),
      cdrom: devices[data.nics + data.disks],
      bootDevice: data.bootDevice,
      exitPort: data.exitPort,
      noReboot: data.noReboot,
    };
    host.machine = restored ? Machine.restore(options, restored.parts) : new Machine(options);
  } catch (error) {
    if (!(error instanceof VmmError)) throw error;
    host.post({ kind: 'refused', code: error.code, message: error.message });
    return;
  }
  host.post({ kind: 'running' });
  const startNs = clock.now();
  const end = host.machine.run();
  const ranNs = clock.now() - startNs;
  const processor = watched.statistics();
  const statistics = { machine: host.machine.statistics, processor, ranNs };
  host.post({ kind: 'ended', end, statistics });
}

main(workerData as VcpuWorkerData);
