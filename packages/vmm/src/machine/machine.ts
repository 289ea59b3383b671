// A machine that runs: the hardware of pc.ts, a VM of the monitor, and the loop between them. Each
// turn of the loop serves the timers that are due, takes in what other threads have, gives the vCPU
// the interrupt that it can take, and executes a slice; then answers the exit.
//
// Where the guest's processor halts, the thread sleeps until the next timer or until something comes
// from outside. A reset, be it asked for at a port or the processor's own (triple fault), stops the
// devices, loads the kernel anew into the RAM as it is, and starts it.

import { assert } from '../base/assert.ts';
import type { Clock, Entropy } from '../base/clock.ts';
import { VmmError } from '../base/errors.ts';
import { refuse, type SavedValue } from '../base/saved-state.ts';
import type { MmioSize } from '../bus/mmio-bus.ts';
import type { PortSize } from '../bus/port-bus.ts';
import type { SerialPeer } from '../devices/ns8250.ts';
import type { VirtioDevice } from '../devices/virtio/virtio-backend.ts';
import { cpuidFeatures } from '../vmm/cpuid.ts';
import { openVmm, type VmmDevice } from '../vmm/device.ts';
import type { Engine } from '../vmm/engine.ts';
import {
  VM_EXIT_NONE,
  VMX_EXIT_EPT_VIOLATION,
  VMX_EXIT_EXTINT,
  VMX_EXIT_HLT,
  VMX_EXIT_INT_WINDOW,
  VMX_EXIT_IO,
  VMX_EXIT_TRIPLE_FAULT,
} from '../vmm/exit-reasons.ts';
import type { VcpuRegState } from '../vmm/registers.ts';
import type { VmRunParams } from '../vmm/structs.ts';
import { runParams, VEI_DIR_IN, VRP_IRQ_NONE } from '../vmm/structs.ts';
import { placeTables } from './acpi/place-tables.ts';
import { detectImage, loadKernel } from './boot/detect.ts';
import { loadFirmware } from './boot/firmware.ts';
import type { BootModule, KernelImage } from './boot/image.ts';
import { bootRegisters, resetRegisters } from './boot-registers.ts';
import type { BootDevice } from './firmware-files.ts';
import { type GuestRam, ramRanges } from './guest-ram.ts';
import { Pc } from './pc.ts';
import { type GapStatistics, RunGaps } from './run-gaps.ts';
import {
  checkFeatures,
  MACHINE_STATE,
  machineSummary,
  OLD_MODEL,
} from './snapshot/machine-section.ts';
import {
  MACHINE_SECTION,
  type SavedParts,
  type SnapshotPiece,
  writeSnapshot,
} from './snapshot/snapshot-writer.ts';

/** What the thread that runs a machine does for it. */
export interface MachineHost {
  /**
   * Takes in what came from outside: input, completions. Called at every exit, so that it must be
   * quick when there is nothing. True ends the run.
   */
  poll(nowNs: number): boolean;
  /**
   * Waits until the machine's clock shows `deadlineNs` (Infinity: for ever), or until
   * {@link poll} has something to do. Returning earlier is harmless.
   */
  idle(deadlineNs: number): void;
  /** The guest is started anew after a reset. */
  restarted?(): void;
  /** The guest has heard {@link Machine.requestShutdown}. */
  shutdownHeard?(): void;
}

/** A machine to build. */
export interface MachineOptions {
  readonly name: string;
  readonly ram: GuestRam;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly host: MachineHost;
  /** A kernel, or a firmware that finds one; `ram` has memory for it then. */
  readonly kernel: KernelImage;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  /** The far end of the first serial port. */
  readonly console: SerialPeer;
  /** In the order of their place on the bus. */
  readonly nics: readonly VirtioDevice[];
  readonly disks: readonly VirtioDevice[];
  readonly cdrom?: VirtioDevice | undefined;
  /** What a firmware is to boot from: `auto`, the disks in their order, then the CD-ROM. */
  readonly bootDevice?: BootDevice;
  /** Whether a write to the debug exit port ends the run. */
  readonly exitPort: boolean;
  /** Whether a reset ends the run. */
  readonly noReboot: boolean;
}

/**
 * Why a run ended: `halt`, the processor stopped with interrupts off; `poweroff`, the guest
 * switched the machine off; `reset`, it reset one that is not to start again; `stopped`, the host
 * asked for it; `error`, the guest cannot go on, for the reason in one sentence.
 */
export type MachineEnd =
  | { readonly kind: 'halt' | 'poweroff' | 'reset' | 'stopped' }
  | { readonly kind: 'exit-port'; readonly value: number }
  | { readonly kind: 'error'; readonly message: string };

/** The kinds of exits, as statistics name them. */
export type ExitKind =
  | 'io'
  | 'mmio'
  | 'hlt'
  | 'interrupt window'
  | 'interrupt line'
  | 'slice'
  | 'triple fault';

/** What a machine counted since it was made. */
export interface MachineStatistics {
  readonly exits: Readonly<Record<ExitKind, number>>;
  /** Time in which the processor was halted, in nanoseconds. */
  readonly idleNs: number;
  /** Times from one look at the timers to the next, but for those that it was halted. */
  readonly gaps: GapStatistics;
}

function noExits(): Record<ExitKind, number> {
  return {
    io: 0,
    mmio: 0,
    hlt: 0,
    'interrupt window': 0,
    'interrupt line': 0,
    slice: 0,
    'triple fault': 0,
  };
}

/** The section of the one vCPU. */
const VCPU_SECTION = 'vcpu 0';

/** One machine; made with its kernel loaded, ready to run. Used by one thread. */
export class Machine {
  private readonly options: MachineOptions;
  private readonly device: VmmDevice;
  private readonly pc: Pc;
  private readonly vmId: number;
  private readonly isFirmware: boolean;
  private readonly params: VmRunParams;
  private readonly exits = noExits();
  private readonly wide = new Uint32Array(2);
  private idleNs = 0;
  private readonly gaps = new RunGaps();
  /** When the processor was last set going; 0 after it was halted. */
  private ranNs = 0;
  /** The level that the monitor was told last. */
  private interruptLine = false;
  /** The processor waits for an interrupt. */
  private halted = false;
  private resetAsked = false;
  /** The guest is asked to shut down: what follows is not started again. */
  private shuttingDown = false;
  private end: MachineEnd | undefined;

  /**
   * A machine that goes on where another one stood still: `parts` is from SnapshotReader.finish(),
   * which has filled the memory in `options`. The clock must begin at the machine's time
   * (MachineSummary.timeNs); the kernel is for resets only. EINVAL when the parts are not those of
   * a machine like this.
   */
  static restore(options: MachineOptions, parts: SavedParts): Machine {
    return new Machine(options, parts);
  }

  /**
   * Throws VmmError when the monitor or the kernel's loader refuses what is asked for. `parts` is
   * {@link restore}'s.
   */
  constructor(options: MachineOptions, parts?: SavedParts) {
    const { ram, engine, clock, entropy, console, nics, disks, cdrom } = options;
    this.options = options;
    this.isFirmware = ram.layout.hasFirmware;
    if (parts === undefined) {
      const isFirmware = detectImage(options.kernel) === 'firmware';
      assert(this.isFirmware === isFirmware, 'firmware and its memory come together');
    }
    this.device = openVmm({ engine, memory: ram.memory });
    const ranges = ramRanges(ram.layout);
    this.vmId = this.device.create({
      vcp_name: options.name,
      vcp_ncpus: 1n,
      vcp_nmemranges: BigInt(ranges.length),
      vcp_memranges: ranges.map(({ gpa, offset, sizeBytes }) => {
        return { vmr_gpa: BigInt(gpa), vmr_va: BigInt(offset), vmr_size: BigInt(sizeBytes) };
      }),
      vcp_id: 0,
    });
    this.params = runParams(this.vmId);
    this.device.extMmioExits(this.vmId, true);
    ram.watch((gpa, length) => this.memoryWritten(gpa, length));
    this.pc = new Pc({
      memory: ram,
      memoryBytes: ram.layout.memoryBytes,
      clock,
      entropy,
      console,
      nics,
      disks,
      cdrom,
      firmware: this.isFirmware ? { bootDevice: options.bootDevice ?? 'auto' } : undefined,
      onReset: () => {
        this.resetAsked = true;
      },
      onPowerOff: () => {
        this.end = { kind: 'poweroff' };
      },
      onShutdownHeard: () => options.host.shutdownHeard?.(),
      ...(options.exitPort ? { onExitPort: (value: number) => this.exitPort(value) } : {}),
    });
    if (parts === undefined) this.boot();
    else this.load(parts);
  }

  /** Runs until the machine ends. What it throws is a defect of ours. */
  run(): MachineEnd {
    for (;;) {
      this.turn();
      if (this.end !== undefined) return this.end;
    }
  }

  /** Gives the guest's serial port bytes; returns how many it took. */
  receive(bytes: Uint8Array): number {
    return this.pc.com1.receive(bytes);
  }

  /** Says that another thread wrote guest memory, before the guest can know it by an interrupt. */
  memoryWritten(gpa: number, length: number): void {
    this.device.extMemoryWritten(this.vmId, gpa, length);
  }

  /**
   * The machine as a file, piece by piece. The machine must not run before the last one, but may
   * then go on. `host` is kept for {@link SnapshotReader.host}. EBUSY while a device has requests
   * in flight: VirtioBackend.hold() ends that.
   */
  save(host?: SavedValue): Generator<SnapshotPiece> {
    return writeSnapshot({ parts: this.saveParts(), host, ram: this.options.ram });
  }

  /** The machine but for its memory. Between two turns, which MachineHost.poll() is as well. */
  saveParts(): SavedParts {
    const { clock, engine, name, ram } = this.options;
    const timeNs = clock.now();
    // What is due by then has happened: it must be neither lost nor late in what is saved.
    this.pc.timers.run(timeNs);
    const vcpu = this.device.extSaveVcpu(this.params);
    const machine = MACHINE_STATE.encode({
      name,
      memoryBytes: ram.layout.memoryBytes,
      hasFirmware: ram.layout.hasFirmware,
      vcpus: 1,
      engine: engine.name,
      cpu: engine.model ?? OLD_MODEL,
      features: cpuidFeatures(engine.model ?? OLD_MODEL),
      timeNs,
      wallMs: clock.wallMs(),
      halted: this.halted,
    });
    return new Map([[MACHINE_SECTION, machine], [VCPU_SECTION, vcpu], ...this.pc.save()]);
  }

  /**
   * Asks the guest to shut down, after which it ends whichever way it stops. False when it does
   * not listen, and nothing happens. Whether it does, and how soon, is up to it.
   */
  requestShutdown(): boolean {
    const asked = this.pc.requestShutdown();
    this.shuttingDown ||= asked;
    return asked;
  }

  get statistics(): MachineStatistics {
    return { exits: { ...this.exits }, idleNs: this.idleNs, gaps: this.gaps.statistics };
  }

  private boot(): void {
    this.device.resetcpu({
      vrp_vm_id: this.vmId,
      vrp_vcpu_id: 0,
      vrp_init_state: this.isFirmware ? this.loadFirmware() : this.loadKernel(),
    });
    this.params.vrp_continue = 0;
    this.params.vrp_irqready = 0;
    this.halted = false;
  }

  private loadFirmware(): VcpuRegState {
    loadFirmware(this.options.ram, this.options.kernel);
    return resetRegisters();
  }

  private loadKernel(): VcpuRegState {
    const { ram, kernel, modules, commandLine, entropy } = this.options;
    const { memoryBytes } = ram.layout;
    const acpiRoot = placeTables(ram, this.pc.acpi);
    const options = { memoryBytes, commandLine, modules, entropy, acpiRoot };
    return bootRegisters(loadKernel(ram, kernel, options));
  }

  private load(parts: SavedParts): void {
    const { clock, ram } = this.options;
    const summary = machineSummary(parts.get(MACHINE_SECTION) ?? false);
    const vcpu = parts.get(VCPU_SECTION);
    if (vcpu === undefined) refuse('The suspended machine', 'has no vCPU');
    if (summary.memoryBytes !== ram.layout.memoryBytes) {
      refuse(
        'The machine',
        `has ${ram.layout.memoryBytes} bytes of memory, not ${summary.memoryBytes}`,
      );
    }
    if (clock.now() < summary.timeNs) refuse('The clock', 'is behind the time of the machine');
    checkFeatures(summary.features, this.options.engine.model ?? OLD_MODEL);
    const isReady = this.device.extLoadVcpu(this.vmId, 0, vcpu, `Section "${VCPU_SECTION}"`);
    this.params.vrp_continue = 0;
    this.params.vrp_irqready = isReady ? 1 : 0;
    this.halted = summary.halted;
    const ours = [MACHINE_SECTION, VCPU_SECTION];
    this.pc.load(new Map([...parts].filter(([name]) => !ours.includes(name))));
  }

  private turn(): void {
    const { clock, host } = this.options;
    const { timers, interrupts } = this.pc;
    const nowNs = clock.now();
    if (this.ranNs !== 0) this.gaps.count(nowNs - this.ranNs);
    timers.run(nowNs);
    if (host.poll(nowNs)) {
      this.end = { kind: 'stopped' };
      return;
    }
    if (this.halted && !interrupts.pending()) {
      host.idle(timers.next());
      this.idleNs += clock.now() - nowNs;
      this.ranNs = 0;
      return;
    }
    this.halted = false;
    this.ranNs = nowNs;
    this.offerInterrupt();
    try {
      this.device.run(this.params);
    } catch (error) {
      this.end = endOf(error);
      return;
    }
    this.answer();
    if (this.resetAsked) this.reset();
  }

  /** Gives the next RUN a vector, or asks the monitor to say when it can take one. */
  private offerInterrupt(): void {
    const { params } = this;
    const { interrupts } = this.pc;
    const canTake = params.vrp_irqready !== 0 && interrupts.pending();
    params.vrp_irq = canTake ? interrupts.acknowledge() : VRP_IRQ_NONE;
    const line = interrupts.pending();
    if (line === this.interruptLine) return;
    this.interruptLine = line;
    this.device.intr({ vip_vm_id: this.vmId, vip_vcpu_id: 0, vip_intr: line ? 1 : 0 });
  }

  private answer(): void {
    const { params, exits } = this;
    params.vrp_continue = 0;
    switch (params.vrp_exit_reason) {
      case VM_EXIT_NONE:
        exits.slice++;
        return;
      case VMX_EXIT_IO:
        exits.io++;
        this.answerIo();
        return;
      case VMX_EXIT_HLT:
        exits.hlt++;
        this.halted = true;
        return;
      case VMX_EXIT_INT_WINDOW:
        exits['interrupt window']++;
        return;
      case VMX_EXIT_EXTINT:
        exits['interrupt line']++;
        return;
      case VMX_EXIT_EPT_VIOLATION:
        exits.mmio++;
        this.answerMmio();
        return;
      case VMX_EXIT_TRIPLE_FAULT:
        exits['triple fault']++;
        this.resetAsked = true;
        return;
      default:
        // Somebody with another opening of the monitor has terminated the VM.
        this.end = { kind: 'stopped' };
    }
  }

  private answerIo(): void {
    const { vei } = this.params.vrp_exit;
    const { ports } = this.pc;
    const size = vei.vei_size as PortSize;
    if (vei.vei_dir === VEI_DIR_IN) {
      vei.vei_data = ports.read(vei.vei_port, size);
      this.params.vrp_continue = 1;
    } else {
      ports.write(vei.vei_port, size, vei.vei_data);
    }
  }

  private answerMmio(): void {
    const { mmio } = this.params.vrp_exit;
    const { mmio: bus } = this.pc;
    if (mmio.isWrite) {
      if (mmio.sizeBytes === 8) bus.writeWide(mmio.gpa, mmio.dataLow, mmio.dataHigh);
      else bus.write(mmio.gpa, mmio.sizeBytes as MmioSize, mmio.dataLow);
    } else if (mmio.sizeBytes === 8) {
      bus.readWide(mmio.gpa, this.wide);
      mmio.dataLow = this.wide[0];
      mmio.dataHigh = this.wide[1];
    } else {
      mmio.dataLow = bus.read(mmio.gpa, mmio.sizeBytes as MmioSize);
      mmio.dataHigh = 0;
    }
    this.params.vrp_continue = 1;
  }

  private exitPort(value: number): void {
    this.end = { kind: 'exit-port', value };
  }

  private reset(): void {
    const { host, clock, noReboot } = this.options;
    this.resetAsked = false;
    if (noReboot || this.shuttingDown) {
      this.end = { kind: 'reset' };
      return;
    }
    this.pc.reset();
    // A backend in another thread may be writing to memory that the kernel is about to be loaded to.
    while (!this.pc.quiet) {
      host.idle(Infinity);
      if (host.poll(clock.now())) {
        this.end = { kind: 'stopped' };
        return;
      }
    }
    this.boot();
    host.restarted?.();
  }
}

/** What a failed RUN means: EIO is the halt that nothing can end, which is how guests switch off. */
function endOf(error: unknown): MachineEnd {
  if (!(error instanceof VmmError)) throw error;
  return error.code === 'EIO' ? { kind: 'halt' } : { kind: 'error', message: error.message };
}
