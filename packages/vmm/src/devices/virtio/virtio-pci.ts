// Virtio over PCI: virtio 1.2, section 4.1, with its legacy interface (4.1.4.10 and what the old
// draft 0.9.5 says of BAR 0). As in vmd(8) one range of I/O ports holds everything, the structures
// 0x100 apart; the legacy registers are at its start, where old drivers want them. Interrupts are
// INTA only. Not modelled: MSI-X (vectors read as "none"), shared memory, queue reset, notification
// data.

import { part, type SavedValue, savedFields, u16, u32 } from '../../base/saved-state.ts';
import { PCI_VENDOR_OPENBSD } from '../../bus/pci.ts';
import { PciFunction } from '../../bus/pci-function.ts';
import type { PortDevice, PortSize } from '../../bus/port-bus.ts';
import type { VirtioDevice } from './virtio-backend.ts';
import type { VirtioInterface } from './virtio-front.ts';
import { type QueueRegisters, VirtioFront } from './virtio-front.ts';

const PCI_VENDOR_QUMRANET = 0x1af4;
/** Modern ids are this plus the device type (4.1.2.1). */
const MODERN_ID = 0x1040;
/** Transitional ids by device type (4.1.2.3). */
const TRANSITIONAL_ID: Readonly<Record<number, number>> = {
  1: 0x1000,
  2: 0x1001,
  3: 0x1003,
  4: 0x1005,
  5: 0x1002,
  8: 0x1004,
};

const CAPABILITY_VENDOR = 0x09;
// cfg_type, section 4.1.4.
const CAP_COMMON_CFG = 1;
const CAP_NOTIFY_CFG = 2;
const CAP_ISR_CFG = 3;
const CAP_DEVICE_CFG = 4;
const CAP_PCI_CFG = 5;

const BAR_BYTES = 0x1000;
const LEGACY = 0x000;
const COMMON = 0x100;
const NOTIFY = 0x200;
const ISR = 0x300;
const DEVICE = 0x400;
const REGION_MASK = 0xf00;

const COMMON_BYTES = 56;
const NOTIFY_BYTES = 2;
const ISR_BYTES = 1;
const NO_VECTOR = 0xffff;

/** Legacy queues have their parts at fixed places from a page on (2.7.2). */
const LEGACY_PAGE_BYTES = 4096;
const LEGACY_CONFIG = 20;

/** A register: reads always, writes if the driver may. */
interface Register {
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  read(): number;
  write?(value: number): void;
}

/** What a suspension keeps of {@link VirtioPci}. */
const VIRTIO_PCI_STATE = savedFields({
  deviceFeatureSelect: u32,
  driverFeatureSelect: u32,
  queueSelect: u16,
  function: part,
  front: part,
});

/** A virtio device as a PCI function: add `function` to the bus, with an interrupt. */
export class VirtioPci implements PortDevice {
  readonly name: string;
  readonly portSizeMax = 4;
  readonly function: PciFunction;
  readonly front: VirtioFront;
  private readonly common: readonly Register[];
  private readonly legacy: readonly Register[];
  private readonly modern: boolean;
  private deviceFeatureSelect = 0;
  private driverFeatureSelect = 0;
  private queueSelect = 0;

  constructor(device: VirtioDevice, kind: VirtioInterface = 'transitional') {
    this.name = device.name;
    this.modern = kind !== 'legacy';
    const transitional = TRANSITIONAL_ID[device.id];
    const modernOnly = kind === 'modern' || (this.modern && transitional === undefined);
    const ids = device.pci ?? {
      vendor: PCI_VENDOR_QUMRANET,
      device: modernOnly ? MODERN_ID + device.id : transitional,
      subsystem: device.id,
    };
    this.function = new PciFunction({
      name: device.name,
      vendor: ids.vendor,
      device: ids.device,
      classCode: device.classCode,
      revision: modernOnly ? 1 : 0,
      subsystemVendor: PCI_VENDOR_OPENBSD,
      subsystem: ids.subsystem,
    });
    this.front = new VirtioFront(device, kind, this.function.intx);
    this.common = this.modern ? this.commonRegisters() : [];
    this.legacy = modernOnly ? [] : this.legacyRegisters();
    const bar = this.function.addRange({ kind: 'io', size: BAR_BYTES, device: this });
    if (this.modern) this.addCapabilities(bar);
  }

  readPort(offset: number, size: PortSize): number {
    const within = offset & ~REGION_MASK;
    switch (offset & REGION_MASK) {
      case LEGACY:
        if (within < LEGACY_CONFIG) return readRegisters(this.legacy, within, size);
        if (this.legacy.length === 0) return 0xffffffff;
        return this.front.readConfig(within - LEGACY_CONFIG, size);
      case COMMON:
        return readRegisters(this.common, within, size);
      case ISR:
        return within === 0 && this.modern ? this.front.readIsr() : 0;
      case DEVICE:
        return this.modern ? this.front.readConfig(within, size) : 0;
      default:
        return 0;
    }
  }

  writePort(offset: number, size: PortSize, value: number): void {
    const within = offset & ~REGION_MASK;
    switch (offset & REGION_MASK) {
      case LEGACY:
        if (within < LEGACY_CONFIG) writeRegister(this.legacy, within, size, value);
        else if (this.legacy.length > 0) {
          this.front.writeConfig(within - LEGACY_CONFIG, size, value);
        }
        return;
      case COMMON:
        writeRegister(this.common, within, size, value);
        return;
      case NOTIFY:
        if (within === 0 && this.modern) this.front.notify(value & 0xffff);
        return;
      case DEVICE:
        if (this.modern) this.front.writeConfig(within, size, value);
    }
  }

  /** Power-on; the PCI function is reset by its bus. */
  reset(): void {
    this.deviceFeatureSelect = this.driverFeatureSelect = this.queueSelect = 0;
    this.front.reset();
  }

  /** What a suspension keeps; the backend must not be busy. */
  save(): SavedValue {
    return VIRTIO_PCI_STATE.save(this);
  }

  /** Takes back what {@link save} gave, on a device that has just been made. */
  load(saved: SavedValue, where: string): void {
    VIRTIO_PCI_STATE.load(this, saved, where);
  }

  private get queue(): QueueRegisters | undefined {
    return this.front.queues[this.queueSelect];
  }

  /** The common configuration structure, section 4.1.4.3. */
  private commonRegisters(): Register[] {
    const { front } = this;
    const registers: Register[] = [
      {
        offset: 0x00, // device_feature_select
        size: 4,
        read: () => this.deviceFeatureSelect,
        write: (value) => void (this.deviceFeatureSelect = value),
      },
      { offset: 0x04, size: 4, read: () => front.offered(this.deviceFeatureSelect) },
      {
        offset: 0x08, // driver_feature_select
        size: 4,
        read: () => this.driverFeatureSelect,
        write: (value) => void (this.driverFeatureSelect = value),
      },
      {
        offset: 0x0c, // driver_feature
        size: 4,
        read: () => front.accepted(this.driverFeatureSelect),
        write: (value) => front.accept(this.driverFeatureSelect, value),
      },
      { offset: 0x10, size: 2, read: () => NO_VECTOR }, // config_msix_vector
      { offset: 0x12, size: 2, read: () => front.queues.length },
      {
        offset: 0x14, // device_status
        size: 1,
        read: () => front.readStatus(),
        write: (value) => front.writeStatus(value),
      },
      { offset: 0x15, size: 1, read: () => front.configGeneration },
      {
        offset: 0x16, // queue_select
        size: 2,
        read: () => this.queueSelect,
        write: (value) => void (this.queueSelect = value),
      },
      {
        offset: 0x18, // queue_size: zero says that there is no such queue
        size: 2,
        read: () => this.queue?.size ?? 0,
        write: (value) => this.setQueueSize(value),
      },
      { offset: 0x1a, size: 2, read: () => NO_VECTOR }, // queue_msix_vector
      {
        offset: 0x1c, // queue_enable: a driver cannot disable a queue by it
        size: 2,
        read: () => (this.queue?.enabled === true ? 1 : 0),
        write: (value) => {
          if (value === 1 && this.queue !== undefined) this.queue.enabled = true;
        },
      },
      { offset: 0x1e, size: 2, read: () => 0 }, // queue_notify_off
    ];
    // queue_desc, queue_driver and queue_device, each as two halves.
    for (let half = 0; half < 6; half++) {
      registers.push({
        offset: 0x20 + half * 4,
        size: 4,
        read: () => this.queue?.address[half] ?? 0,
        write: (value) => {
          if (this.queue?.enabled === false) this.queue.address[half] = value;
        },
      });
    }
    return registers;
  }

  private setQueueSize(value: number): void {
    const { queue } = this;
    if (queue === undefined || queue.enabled || value === 0 || value > queue.sizeMax) return;
    if ((value & (value - 1)) === 0) queue.size = value;
  }

  /** The legacy registers, section 4.1.4.10, without MSI-X. */
  private legacyRegisters(): Register[] {
    const { front } = this;
    return [
      { offset: 0, size: 4, read: () => front.offered(0) },
      {
        offset: 4, // driver features
        size: 4,
        read: () => front.accepted(0),
        write: (value) => front.accept(0, value),
      },
      {
        offset: 8, // queue address, in pages
        size: 4,
        read: () => {
          const address = this.queue?.address;
          if (address === undefined) return 0;
          return (address[0] + address[1] * 2 ** 32) / LEGACY_PAGE_BYTES;
        },
        write: (value) => this.setLegacyQueue(value),
      },
      { offset: 12, size: 2, read: () => this.queue?.sizeMax ?? 0 },
      {
        offset: 14, // queue select
        size: 2,
        read: () => this.queueSelect,
        write: (value) => void (this.queueSelect = value),
      },
      { offset: 16, size: 2, read: () => 0, write: (value) => front.notify(value) },
      {
        offset: 18, // device status
        size: 1,
        read: () => front.readStatus(),
        write: (value) => front.writeStatus(value),
      },
      { offset: 19, size: 1, read: () => front.readIsr() },
    ];
  }

  /** A legacy queue: all parts in one piece, the used ring on a page of its own (2.7.2). */
  private setLegacyQueue(page: number): void {
    const { queue } = this;
    if (queue === undefined) return;
    const descriptors = page * LEGACY_PAGE_BYTES;
    const available = descriptors + 16 * queue.sizeMax;
    const end = available + 6 + 2 * queue.sizeMax;
    const used = Math.ceil(end / LEGACY_PAGE_BYTES) * LEGACY_PAGE_BYTES;
    queue.size = queue.sizeMax;
    for (const [part, address] of [descriptors, available, used].entries()) {
      queue.address[part * 2] = address % 2 ** 32;
      queue.address[part * 2 + 1] = Math.floor(address / 2 ** 32);
    }
    queue.enabled = page !== 0;
  }

  /** The structures' places, section 4.1.4; every one is in the same range. */
  private addCapabilities(bar: number): void {
    const add = (type: number, offset: number, length: number, more: number[] = []): number => {
      const body = new Uint8Array(14 + more.length);
      const view = new DataView(body.buffer);
      body[0] = 2 + body.length;
      body[1] = type;
      body[2] = bar;
      view.setUint32(6, offset, true);
      view.setUint32(10, length, true);
      body.set(more, 14);
      return this.function.addCapability(CAPABILITY_VENDOR, body);
    };
    add(CAP_COMMON_CFG, COMMON, COMMON_BYTES);
    // A notify_off_multiplier of zero: all queues notify at one place (4.1.4.4).
    add(CAP_NOTIFY_CFG, NOTIFY, NOTIFY_BYTES, [0, 0, 0, 0]);
    add(CAP_ISR_CFG, ISR, ISR_BYTES);
    const { length } = this.front.device.config;
    if (length > 0) add(CAP_DEVICE_CFG, DEVICE, length);
    this.addConfigurationWindow(add(CAP_PCI_CFG, 0, 0, [0, 0, 0, 0]));
  }

  /** Access to the range through configuration space, for firmware: section 4.1.4.9. */
  private addConfigurationWindow(capability: number): void {
    const pci = this.function;
    pci.allowWrites(capability + 4, 1);
    pci.allowWrites(capability + 8, 8);
    const target = (): { offset: number; size: PortSize } | undefined => {
      const offset = pci.readConfig(capability + 8, 4);
      const size = pci.readConfig(capability + 12, 4);
      const there = pci.readConfig(capability + 4, 1) === 0 && offset + size <= BAR_BYTES;
      return there && (size === 1 || size === 2 || size === 4) ? { offset, size } : undefined;
    };
    pci.addWindow({
      offset: capability + 16,
      size: 4,
      read: () => {
        const at = target();
        return at === undefined ? 0 : this.readPort(at.offset, at.size);
      },
      write: (_offset, _size, value) => {
        const at = target();
        if (at !== undefined) this.writePort(at.offset, at.size, value);
      },
    });
  }
}

/**
 * Reads a register by its own width. Drivers must (4.1.3.1); a wider access gets its neighbours
 * too, a narrower one its part, as in memory.
 */
function readRegisters(registers: readonly Register[], offset: number, size: PortSize): number {
  const exact = registers.find((it) => it.offset === offset && it.size === size);
  if (exact !== undefined) return exact.read();
  let value = 0;
  for (let byte = 0; byte < size; byte++) {
    const at = offset + byte;
    const register = registers.find((it) => at >= it.offset && at < it.offset + it.size);
    if (register === undefined) continue;
    const part = (register.read() >>> ((at - register.offset) * 8)) & 0xff;
    value |= part << (byte * 8);
  }
  return value >>> 0;
}

/** Writes a register of exactly this place and width; others are ignored. */
function writeRegister(
  registers: readonly Register[],
  offset: number,
  size: PortSize,
  value: number,
): void {
  registers.find((it) => it.offset === offset && it.size === size)?.write?.(value);
}
