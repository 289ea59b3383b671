// The registers of a virtio device, as every transport shows them: status, features, queue set-up,
// interrupt status, configuration. Follows virtio 1.2, sections 2.1 (status), 2.2 (features), 2.5
// (configuration space), 3.1 (initialization) and their legacy interfaces. The backend is only told
// when the driver is ready, and told to stop at a reset.

import { VmmError } from '../../base/errors.ts';
import {
  blob,
  flag,
  list,
  refuse,
  type SavedValue,
  savedFields,
  u8,
  u16,
  u32,
  u53,
  u64,
} from '../../base/saved-state.ts';
import type { IrqLine } from '../../bus/irq.ts';
import {
  type QueueConfig,
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  type VirtioDevice,
  type VirtioEvents,
} from './virtio-backend.ts';

/** The device status bits, section 2.1. */
export const STATUS_ACKNOWLEDGE = 1;
export const STATUS_DRIVER = 2;
export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_NEEDS_RESET = 0x40;
export const STATUS_FAILED = 0x80;

/** The interrupt status bits, section 4.1.4.5. */
export const ISR_QUEUE = 1;
export const ISR_CONFIG = 2;

/** Which drivers the device serves: those of virtio 1.x, the older ones, or both. */
export type VirtioInterface = 'modern' | 'legacy' | 'transitional';

/** A queue's registers. Addresses are split as the driver writes them. */
export interface QueueRegisters {
  readonly sizeMax: number;
  size: number;
  enabled: boolean;
  /** Descriptor table, available ring and used ring: low and high halves in turn. */
  readonly address: Uint32Array;
}

const QUEUES_MAX = 64;
const CONFIG_BYTES_MAX = 256;

/** What a suspension keeps of a queue: its registers, and the available index that is next. */
const QUEUE_STATE = savedFields({
  size: u16,
  enabled: flag,
  address: list(u32, 6, 6),
  position: u16,
});

/** What a suspension keeps of {@link VirtioFront}. */
const VIRTIO_FRONT_STATE = savedFields({
  status: u8,
  driverFeatures: u64,
  isr: u8,
  generation: u53,
  config: blob(CONFIG_BYTES_MAX),
  queues: list(QUEUE_STATE, 0, QUEUES_MAX),
});

type FrontState = ReturnType<typeof VIRTIO_FRONT_STATE.decode>;

const WORD = 0xffffffffn;

/** The register half of a virtio device, behind one transport. */
export class VirtioFront {
  readonly device: VirtioDevice;
  readonly queues: readonly QueueRegisters[];
  /** All that the device offers. */
  readonly features: bigint;
  private readonly irq: IrqLine;
  private driverFeatures = 0n;
  private status = 0;
  private isr = 0;
  private generation = 0;
  private readonly config: Uint8Array;
  /**
   * A reset that the backend has not finished; the status register shows it as unfinished.
   * Transient: there is no saving meanwhile.
   */
  private resetting = false;
  /** Transient: as {@link resetting}. */
  private statusBeforeReset = 0;
  /** Transient: follows from the status. */
  private active = false;
  /** Transient: for logs. */
  private faultReason: string | undefined;

  constructor(device: VirtioDevice, kind: VirtioInterface, irq: IrqLine) {
    this.device = device;
    this.irq = irq;
    this.config = device.config.slice();
    this.queues = device.queueSizes.map((sizeMax) => ({
      sizeMax,
      size: sizeMax,
      enabled: false,
      address: new Uint32Array(6),
    }));
    let { features } = device;
    if (this.queues.length > 0) {
      features |= VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
      if (kind !== 'modern') features |= VIRTIO_F_ANY_LAYOUT;
    }
    if (kind !== 'legacy') features |= VIRTIO_F_VERSION_1;
    this.features = features;
    device.backend.connect(this.events());
  }

  /** Why the device needs a reset, for logs; undefined while it does not. */
  get fault(): string | undefined {
    return this.faultReason;
  }

  /** Power-on. The configuration stays: a cable keeps plugged in over a reset. */
  reset(): void {
    this.beginReset();
  }

  /** 32 bits of the offered features, by word. */
  offered(word: number): number {
    return word > 1 ? 0 : Number((this.features >> BigInt(word * 32)) & WORD);
  }

  /** 32 bits of the features that the driver accepted. */
  accepted(word: number): number {
    return word > 1 ? 0 : Number((this.driverFeatures >> BigInt(word * 32)) & WORD);
  }

  /** The driver accepts features; not after FEATURES_OK (2.2.1). */
  accept(word: number, value: number): void {
    if (word > 1 || (this.status & STATUS_FEATURES_OK) !== 0) return;
    const shift = BigInt(word * 32);
    this.driverFeatures = (this.driverFeatures & ~(WORD << shift)) | (BigInt(value) << shift);
  }

  /** The status register; a reset reads as zero when it is complete (4.1.4.3.1). */
  readStatus(): number {
    return this.resetting && this.status === 0 ? this.statusBeforeReset : this.status;
  }

  writeStatus(value: number): void {
    if (value === 0) {
      this.beginReset();
      return;
    }
    const set = value & ~this.status;
    let next = value | (this.status & STATUS_NEEDS_RESET);
    if ((set & STATUS_FEATURES_OK) !== 0 && !this.featuresAcceptable()) next &= ~STATUS_FEATURES_OK;
    this.status = next;
    // Once is enough until the next reset, however often a driver says so.
    const isReady = (set & STATUS_DRIVER_OK) !== 0 && !this.active;
    if (isReady && !this.resetting) this.activate();
  }

  /** Reading the interrupt status clears it and lowers the line (4.1.4.5). */
  readIsr(): number {
    const value = this.isr;
    this.isr = 0;
    this.irq.set(false);
    return value;
  }

  /** The driver has made buffers of a queue available. */
  notify(queue: number): void {
    const running = this.active && (this.status & STATUS_NEEDS_RESET) === 0;
    if (!running || this.queues[queue]?.enabled !== true) return;
    const { backend } = this.device;
    // In one thread with the driver, which adds nothing meanwhile.
    do backend.kick(queue);
    while (backend.hasMore === true);
  }

  /** Counts changes of the configuration, so that a driver sees torn reads (2.5.1). */
  get configGeneration(): number {
    return this.generation & 0xff;
  }

  /** Reads the device's configuration; zero beyond its end. */
  readConfig(offset: number, size: 1 | 2 | 4): number {
    const answer = this.device.readConfig?.(offset, size);
    if (answer !== undefined) return answer;
    let value = 0;
    for (let byte = size - 1; byte >= 0; byte--) {
      value = (value << 8) | (this.config[offset + byte] ?? 0);
    }
    return value >>> 0;
  }

  /** Passes a write to the device, if it has anything to write. */
  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.device.writeConfig?.(offset, size, value);
  }

  /** What a suspension keeps. EBUSY while the backend is busy. */
  save(): SavedValue {
    const { backend, name } = this.device;
    if (this.resetting || backend.busy) {
      throw new VmmError('EBUSY', `The device ${name} has requests in flight.`);
    }
    const positions = this.active ? backend.positions() : [];
    return VIRTIO_FRONT_STATE.encode({
      status: this.status,
      driverFeatures: this.driverFeatures,
      isr: this.isr,
      generation: this.generation,
      config: this.config.slice(),
      queues: this.queues.map(({ size, enabled, address }, index) => {
        return { size, enabled, address: [...address], position: positions[index] ?? 0 };
      }),
    });
  }

  /**
   * Takes back what {@link save} gave, on a device that has just been made. EINVAL when it cannot
   * be this device's.
   */
  load(saved: SavedValue, where: string): void {
    const state = VIRTIO_FRONT_STATE.decode(saved, where);
    this.checkState(state, where);
    this.status = state.status;
    this.driverFeatures = state.driverFeatures;
    this.isr = state.isr;
    this.generation = state.generation;
    this.config.set(state.config);
    for (const [index, saved] of state.queues.entries()) {
      const queue = this.queues[index];
      queue.size = saved.size;
      queue.enabled = saved.enabled;
      queue.address.set(saved.address);
    }
    const needsReset = (this.status & STATUS_NEEDS_RESET) !== 0;
    if ((this.status & STATUS_DRIVER_OK) === 0 || needsReset) return;
    this.activate(state.queues.map((queue) => queue.position));
    // What the driver made available while nobody looked is found by looking once.
    for (const index of this.queues.keys()) this.notify(index);
  }

  /** A driver relies on what it has found and agreed on. */
  private checkState(state: FrontState, where: string): void {
    const { config, driverFeatures, queues, status } = state;
    const { configIsFixed = false } = this.device;
    const same = config.every((byte, at) => byte === this.config[at]);
    if (config.length !== this.config.length || (configIsFixed && !same)) {
      refuse(where, 'is of a device with another configuration');
    }
    const agreed = (status & STATUS_DRIVER_OK) !== 0;
    if (agreed && this.lacks(driverFeatures)) {
      refuse(where, 'is of a device with more features');
    }
    if (queues.length !== this.queues.length) {
      refuse(where, `has ${queues.length} queues, not ${this.queues.length}`);
    }
    for (const [index, { size }] of queues.entries()) {
      const { sizeMax } = this.queues[index];
      if (size === 0 || size > sizeMax || (size & (size - 1)) !== 0) {
        refuse(where, `has a queue of ${size} entries, of which there are 1 to ${sizeMax}`);
      }
    }
  }

  /** An old driver may have accepted what was not offered; that was ignored. */
  private lacks(features: bigint): boolean {
    const isModern = (features & VIRTIO_F_VERSION_1) !== 0n;
    return isModern && (features & ~this.features) !== 0n;
  }

  private events(): VirtioEvents {
    return {
      queueInterrupt: () => this.interrupt(ISR_QUEUE),
      configChanged: (offset, bytes) => {
        this.config.set(bytes, offset);
        this.generation++;
        if ((this.status & STATUS_DRIVER_OK) !== 0) this.interrupt(ISR_CONFIG);
      },
      needsReset: (reason) => this.needsReset(reason),
      quiesced: () => this.endReset(),
    };
  }

  private interrupt(bit: number): void {
    // What a backend says about the time before a reset is not for the driver after it.
    if (this.resetting) return;
    this.isr |= bit;
    this.irq.set(true);
  }

  private needsReset(reason: string): void {
    if (this.resetting) return;
    this.faultReason = reason;
    this.status |= STATUS_NEEDS_RESET;
    if ((this.status & STATUS_DRIVER_OK) !== 0) this.interrupt(ISR_CONFIG);
  }

  /** Section 3.1.1, step 5: a subset of the offer, and virtio 1.x by whoever knows FEATURES_OK. */
  private featuresAcceptable(): boolean {
    if ((this.driverFeatures & ~this.features) !== 0n) return false;
    return (this.driverFeatures & this.features & VIRTIO_F_VERSION_1) !== 0n;
  }

  private activate(positions: readonly number[] = []): void {
    const configs: QueueConfig[] = [];
    for (const [index, { size, enabled, address }] of this.queues.entries()) {
      if (!enabled) continue;
      configs.push({
        index,
        size,
        descriptors: address[0] + address[1] * 2 ** 32,
        available: address[2] + address[3] * 2 ** 32,
        used: address[4] + address[5] * 2 ** 32,
        nextAvailable: positions[index] ?? 0,
      });
    }
    this.active = true;
    this.device.backend.activate(configs, this.driverFeatures & this.features);
  }

  private beginReset(): void {
    this.statusBeforeReset = this.readStatus();
    const isUnderWay = this.resetting;
    this.resetting = true;
    this.active = false;
    this.status = 0;
    this.isr = 0;
    this.driverFeatures = 0n;
    this.faultReason = undefined;
    for (const queue of this.queues) {
      queue.size = queue.sizeMax;
      queue.enabled = false;
      queue.address.fill(0);
    }
    this.irq.set(false);
    // The one that is under way serves this as well. A backend in another thread is told by a
    // message, of which a driver that does nothing but reset must not make any number.
    if (!isUnderWay) this.device.backend.reset();
  }

  private endReset(): void {
    if (!this.resetting) return;
    this.resetting = false;
    // An old driver does not wait for the reset, and may be ready before it is over.
    if ((this.status & STATUS_DRIVER_OK) !== 0) this.activate();
  }
}
