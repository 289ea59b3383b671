// The two halves of a virtio device and what they say to each other. The front holds the registers
// and runs in the processor's thread; the backend works on the queues and may run there too, or on
// any thread that sees the guest's memory. All calls are one-way, so that an adapter can carry them
// between threads as messages.

/** Feature bits that belong to the transport and the queues (virtio 1.2, section 6). */
export const VIRTIO_F_ANY_LAYOUT: bigint = 1n << 27n;
export const VIRTIO_F_INDIRECT_DESC: bigint = 1n << 28n;
export const VIRTIO_F_EVENT_IDX: bigint = 1n << 29n;
export const VIRTIO_F_VERSION_1: bigint = 1n << 32n;

/** A queue as the driver has set it up; addresses are guest-physical. */
export interface QueueConfig {
  readonly index: number;
  /** Entries, a power of two. */
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  /** The available index to begin at: 0, except after a restore. */
  readonly nextAvailable: number;
}

/** What a backend tells its front. */
export interface VirtioEvents {
  /** A queue has news, and the driver wants to be interrupted. */
  queueInterrupt(): void;
  /** Bytes of the device's configuration have changed: replaces them from `offset` on. */
  configChanged(offset: number, bytes: Uint8Array): void;
  /** The driver broke the rules of a queue (`reason`); the device does nothing until a reset. */
  needsReset(reason: string): void;
  /** After `reset`: nothing touches guest memory any more. */
  quiesced(): void;
}

/** The half of a device that works on the queues. */
export interface VirtioBackend {
  /** Called once, before anything else. */
  connect(events: VirtioEvents): void;
  /** The driver is ready: these queues are enabled, these features agreed. */
  activate(queues: readonly QueueConfig[], features: bigint): void;
  /** The driver has made buffers of a queue available. */
  kick(queue: number): void;
  /**
   * True when the last {@link kick} stopped early, so that a driver which always has more does not
   * keep everything else waiting: it is to be kicked again.
   */
  readonly hasMore?: boolean;
  /** Stops; calls {@link VirtioEvents.quiesced} when nothing is in flight, at once or later. */
  reset(): void;
  /** True while requests are in flight: a suspension must wait. */
  readonly busy: boolean;
  /**
   * With `held`, begins no request, and so, once it is not {@link busy}, leaves guest memory alone.
   * Without, goes on with what the driver has made available meanwhile.
   */
  hold(held: boolean): void;
  /** By queue index, the next available index; 0 for queues that are not enabled. */
  positions(): number[];
}

/** The ids of a PCI function. */
export interface PciIds {
  readonly vendor: number;
  readonly device: number;
  readonly subsystem: number;
}

/** A kind of device: what its registers show, and the backend behind them. */
export interface VirtioDevice {
  readonly name: string;
  /** The device type of virtio 1.2, section 5. */
  readonly id: number;
  /** Ids of its own, for a device that is not one of virtio's. */
  readonly pci?: PciIds;
  /** The PCI class code, 24 bits. */
  readonly classCode: number;
  /** The device's own feature bits; the transport adds its own. */
  readonly features: bigint;
  /** The largest size of each queue. */
  readonly queueSizes: readonly number[];
  /** The device's configuration at power-on. */
  readonly config: Uint8Array;
  readonly backend: VirtioBackend;
  /** The configuration cannot change, nor be another one after a suspension. */
  readonly configIsFixed?: boolean;
  /** Answers a driver's read of what changes all the time; undefined leaves it to `config`. */
  readConfig?(offset: number, size: 1 | 2 | 4): number | undefined;
  /** Takes a driver's write to the configuration; without it the configuration is read-only. */
  writeConfig?(offset: number, size: 1 | 2 | 4, value: number): void;
}
