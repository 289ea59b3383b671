// What it takes to run one virtual machine in this process, and how such a run ends. The exit
// statuses are those of vmctl(8), "run".

import type {
  BootDevice,
  CpuModel,
  Endpoint,
  GapStatistics,
  HotSpot,
  ImageReference,
  IpAddress,
  JitMode,
  JitStatistics,
  NetBackend,
  Prefix,
  SnapshotReader,
} from 'vmm';
import type { EngineChoice } from './engine-choice.ts';
import type { Deliver } from './machine-saver.ts';

export type { EngineChoice } from './engine-choice.ts';
export type { Deliver } from './machine-saver.ts';

/** A file loaded beside the kernel: Linux's initrd, or a Multiboot module. */
export interface RunModule {
  /** The module's string: file name and arguments. */
  readonly commandLine: string;
  readonly bytes: Uint8Array;
}

/** A disk: an image file or a block device. */
export interface RunDisk extends ImageReference {
  readonly readOnly: boolean;
}

/** A port of the host's whose connections or datagrams are the guest's. */
export interface RunForward {
  readonly protocol: 'tcp' | 'udp';
  /** Where the host listens. */
  readonly at: Endpoint;
  readonly guestPort: number;
}

/** What tells the local interfaces of one host's machines apart; see localInterface() of vmm. */
export interface RunNumbering {
  readonly prefix: Prefix;
  /** The number of the machine, from 1. */
  readonly vmId: number;
  /** With IPv6: an address whose first 64 bits are those of the gateway's. */
  readonly prefix6?: IpAddress;
}

/** A local interface: a network of the guest and a gateway (vmctl(8), "-L"). */
export interface RunNetwork {
  /** As the first machine in 100.64.0.0/10, and a random prefix of IPv6, unless given. */
  readonly numbering?: RunNumbering;
  /** Whether the host's network is behind the gateway. */
  readonly nat: boolean;
  readonly inet6: boolean;
  /** Whether the gateway's address is the host's loopback address. */
  readonly hostLoopback: boolean;
  readonly forwards: readonly RunForward[];
}

/** A network beyond this machine's own: a switch, or a tap. */
export interface RunUplink {
  readonly backend: NetBackend;
  /** Called when the machine has ended, and also when it cannot be started. */
  close(): void;
}

/** A network interface of the guest's. Without any network its cable is unplugged. */
export interface RunInterface {
  /** Its hardware address, six octets; vmd(8)'s prefix and random octets unless given. */
  readonly mac?: Uint8Array;
  readonly network?: RunNetwork;
  /** With {@link network} too, the guest has both, and finds others of its prefix by this. */
  readonly uplink?: RunUplink;
}

/** The far end of the machine's first serial port. */
export interface RunConsole {
  /** What is typed. Its end is the end of the input, not of the machine. */
  readonly input: AsyncIterable<Uint8Array>;
  /**
   * Shows what the guest wrote; `bytes` may be reused after the call. False asks the caller to wait
   * for {@link drained} before the next call, as nobody reads fast enough.
   */
  output(bytes: Uint8Array): boolean;
  /** Resolves when there is room for more output. */
  drained(): Promise<void>;
}

/** What can be done with a machine that runs. */
export interface RunControl {
  /** Holds the processor and the machine's time; resolves when they stand still. */
  pause(): Promise<void>;
  /** Lets them go on. */
  unpause(): void;
  /**
   * Saves the machine, which stands still meanwhile, and ends the run as `suspended` when `deliver`
   * has resolved. When it rejects, or the machine cannot be saved, so does this, and the machine is
   * as it was, paused or not. EBUSY when it is being saved already; ENODEV on an engine that
   * cannot.
   */
  suspend(deliver: Deliver): Promise<void>;
  /**
   * Asks the guest to shut down, by vmmci(4) or the power button of ACPI; that ends the run in time
   * if it complies. Resolves with whether the guest has heard: false when it does not listen, or
   * has not answered in three seconds.
   */
  requestShutdown(): Promise<boolean>;
}

/** The engines a virtual machine can run on; `auto` takes the better one. */
export const ENGINES = ['auto', 'soft', 'kvm'] as const;
export type EngineName = (typeof ENGINES)[number];

/** What a machine can be told to boot from. */
export const BOOT_DEVICES: readonly Exclude<BootDevice, 'auto'>[] = ['cdrom', 'disk', 'net'];

/** What "vmctl run" and vmd(8) take unless told otherwise. */
export const ENGINE_DEFAULT: EngineName = 'auto';

/** When the soft engine compiles guest code; see JitMode of vmm. */
export const JIT_MODES: readonly JitMode[] = ['off', 'on', 'always'];
/** What "vmctl run" and vmd(8) take unless told otherwise. */
export const JIT_DEFAULT: JitMode = 'on';

/** The processors that the soft engine can be, and which it is unless it is told. */
export const CPU_MODELS: readonly CpuModel[] = ['v2', 'v3'];
export const CPU_DEFAULT: CpuModel = 'v3';

/** A virtual machine to run. */
export interface RunOptions {
  readonly name: string;
  /** A whole number of MiB. */
  readonly memoryBytes: number;
  /** A kernel, or a firmware that finds one. */
  readonly kernel: Uint8Array;
  /** What to call the kernel in messages and on a Multiboot command line. */
  readonly kernelPath: string;
  /** Loaded in this order. */
  readonly modules: readonly RunModule[];
  readonly commandLine: string;
  readonly disks: readonly RunDisk[];
  /** The path of the image of a CD or DVD, or of a drive with one. */
  readonly cdrom?: string;
  /**
   * What a firmware boots from; all there is in turn, disks first, unless given. With a kernel
   * `net` is possible, which then finds by DHCP that it is to install its system.
   */
  readonly bootDevice?: BootDevice;
  /** In the order in which the guest finds them; one with its cable unplugged unless given. */
  readonly interfaces?: readonly RunInterface[];
  /**
   * A suspended machine to go on with: the kernel is then for resets only. It must have this memory
   * and these disks and interfaces.
   */
  readonly restore?: SnapshotReader;
  /** Told how many bytes of its memory have come. */
  readonly onRestoreProgress?: (bytes: number) => void;
  readonly engine: EngineName;
  /** Told which engine was taken, before the machine starts. */
  readonly onEngine?: (choice: EngineChoice) => void;
  /** Only the soft engine compiles. */
  readonly jit: JitMode;
  /** Which processor the soft engine is. */
  readonly cpu: CpuModel;
  /** Ends the run after this many milliseconds of real time. */
  readonly timeoutMs?: number;
  /** Whether a byte written to I/O port 0xf4 ends the run. */
  readonly exitPort: boolean;
  /** Whether a reset ends the run instead of starting the guest anew. */
  readonly noReboot: boolean;
  /** Whether to collect {@link RunStatistics}. */
  readonly verbose: boolean;
  readonly console: RunConsole;
  /** Called once when the machine is made and its guest starts. */
  readonly onRunning?: (control: RunControl) => void;
  /** Called when the guest is started anew after a reset. */
  readonly onRestart?: () => void;
  /** Ends the run from outside: the user left, or the process is told to stop. */
  readonly stop: AbortSignal;
}

/** What the compiler of guest code did in a run. */
export interface CompilerStatistics extends JitStatistics {
  /** Guest instructions that compiled code executed. */
  readonly executed: number;
  /** How often all decoded and compiled code was dropped to make room. */
  readonly flushes: number;
  /** How often the code of a page was dropped because the guest wrote into it. */
  readonly invalidations: number;
}

/** What a run counted. */
export interface RunStatistics {
  /** Guest instructions executed; absent where the engine cannot count, as {@link tlbMisses}. */
  readonly instructions?: number;
  /** Real time from the guest's first instruction to the end of the run, idle time included. */
  readonly seconds: number;
  /** The part of {@link seconds} in which the processor was halted. */
  readonly idleSeconds: number;
  readonly tlbMisses?: number;
  /** Full slices, where the engine has such, and the addresses where the most of them ended. */
  readonly slices?: number;
  readonly hottest?: readonly HotSpot[];
  /** What the compiler did; absent when it was off. */
  readonly compiler?: CompilerStatistics;
  /** How long the guest was left alone at once; classes as in GAP_CLASSES_MS of vmm. */
  readonly gaps: GapStatistics;
  /** Exits from the processor, by reason. */
  readonly exits: Readonly<Record<string, number>>;
  /** Exceptions delivered to the guest, by name, where the engine sees them. */
  readonly faults: Readonly<Record<string, number>>;
}

/**
 * Why a run ended: `halt`, the guest stopped its processor with interrupts off; `poweroff`, it
 * switched the machine off; `exit-port`, it wrote to the exit port; `timeout`; `reset`, only with
 * {@link RunOptions.noReboot}; `left`, by {@link RunOptions.stop}; `suspended`, by {@link
 * RunControl.suspend}; `error`, the machine cannot go on.
 */
export type RunEnd =
  | 'halt'
  | 'poweroff'
  | 'exit-port'
  | 'timeout'
  | 'reset'
  | 'left'
  | 'suspended'
  | 'error';

/** How a run ended. */
export interface RunOutcome {
  readonly kind: RunEnd;
  /**
   * The exit status for the process: 0, but (v << 1) | 1 for exit-port, 124 for timeout, 1 for
   * error.
   */
  readonly status: number;
  /** For `error`: one sentence. */
  readonly message?: string;
  readonly statistics?: RunStatistics;
}

/** Runs a virtual machine to its end. Rejects with VmmError when it cannot be started as asked. */
export type RunVm = (options: RunOptions) => Promise<RunOutcome>;
