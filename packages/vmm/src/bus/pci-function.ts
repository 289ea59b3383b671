// One PCI function's configuration space: a type 0 header (PCI Local Bus Specification 3.0, section
// 6.1 and 6.2). Modelled: ids, command and status, base address registers in I/O and 32-bit memory
// space with sizing, the capability list, the interrupt pin and line with the status and disable
// bits of INTx. The interrupt line register can only be read, since firmware that knows no routing
// of this bus would write 0 there, and systems would believe it. Not modelled: 64-bit BARs,
// expansion ROMs (writes are discarded, reads are zero), MSI and MSI-X, BIST, parity and system
// errors, latency timers, which no device of ours has.

import { assert } from '../base/assert.ts';
import { bytes, flag, refuse, type SavedValue, savedFields, u8 } from '../base/saved-state.ts';
import type { IrqLine } from './irq.ts';
import type { MmioDevice } from './mmio-bus.ts';
import type { PortDevice } from './port-bus.ts';

// Offsets in the header, section 6.1, figure 6-1.
const VENDOR_ID = 0x00;
const DEVICE_ID = 0x02;
const COMMAND = 0x04;
const STATUS = 0x06;
const REVISION_ID = 0x08;
const BAR0 = 0x10;
const SUBSYSTEM_VENDOR_ID = 0x2c;
const SUBSYSTEM_ID = 0x2e;
const CAPABILITIES = 0x34;
const INTERRUPT_LINE = 0x3c;
const INTERRUPT_PIN = 0x3d;
const FIRST_CAPABILITY = 0x40;

/** The command register's bits, section 6.2.2, that this model implements. */
export const PCI_COMMAND = { IO: 1, MEMORY: 2, MASTER: 4, INTX_DISABLE: 0x400 } as const;
const COMMAND_WRITABLE = 0x0547;

const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES = 1 << 4;

/** The smallest range a BAR can ask for: 4 bytes of ports, 16 of memory (section 6.2.5.1). */
const BAR_SIZE_MIN = { io: 4, memory: 16 } as const;

/** What a function says it is. */
export interface PciIdentity {
  /** Names the function in refusals. */
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  /** Base class, subclass and programming interface as one 24-bit number: 0x060000 host bridge. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
}

/** A range that the function decodes: its size in bytes is a power of two. */
export type PciRange =
  | { readonly kind: 'io'; readonly size: number; readonly device: PortDevice }
  | { readonly kind: 'memory'; readonly size: number; readonly device: MmioDevice };

/** A base address register, as the bus sees it. */
export interface PciBar {
  readonly range: PciRange;
  /** Where the guest has put it. */
  readonly base: number;
  /** True when the command register has its kind of decoding on. */
  readonly enabled: boolean;
}

/** Replaces the configuration bytes from `offset` on, for capabilities that are windows. */
export interface PciWindow {
  readonly offset: number;
  readonly size: number;
  read(offset: number, size: 1 | 2 | 4): number;
  write(offset: number, size: 1 | 2 | 4, value: number): void;
}

const CONFIG_BYTES = 256;

/** What a suspension keeps of {@link PciFunction}. */
const PCI_FUNCTION_STATE = savedFields({
  config: bytes(CONFIG_BYTES),
  intxLevel: flag,
  irqNumber: u8,
});

/** A function at bus 0. Build it, add ranges and capabilities, then add it to the bus. */
export class PciFunction {
  readonly name: string;
  private readonly config = new Uint8Array(CONFIG_BYTES);
  /** Which bits the guest may change. Transient: how the function is built. */
  private readonly writable = new Uint8Array(CONFIG_BYTES);
  private readonly view = new DataView(this.config.buffer);
  /** Transient: how the function is built. */
  private readonly ranges: PciRange[] = [];
  /** Transient: likewise. */
  private readonly initialBars: number[] = [];
  /** Transient: likewise. */
  private readonly windows: PciWindow[] = [];
  /** Transient: likewise. */
  private capabilityEnd = FIRST_CAPABILITY;
  /** Transient: likewise. */
  private lastCapability = 0;
  private intxLevel = false;
  /** Transient: wiring. */
  private irqLine: IrqLine | undefined;
  private irqNumber = 0;
  /** Transient: wiring. */
  private decodingChanged: () => void = () => {};

  constructor(identity: PciIdentity) {
    this.name = identity.name;
    this.view.setUint16(VENDOR_ID, identity.vendor, true);
    this.view.setUint16(DEVICE_ID, identity.device, true);
    this.view.setUint32(REVISION_ID, (identity.classCode << 8) | (identity.revision ?? 0), true);
    this.view.setUint16(SUBSYSTEM_VENDOR_ID, identity.subsystemVendor ?? 0, true);
    this.view.setUint16(SUBSYSTEM_ID, identity.subsystem ?? 0, true);
    this.writable[COMMAND] = COMMAND_WRITABLE & 0xff;
    this.writable[COMMAND + 1] = COMMAND_WRITABLE >> 8;
    this.writable[0x0c] = 0xff; // Cache line size: scratch for the operating system.
  }

  /** Adds the next base address register; returns its number. */
  addRange(range: PciRange): number {
    const index = this.ranges.length;
    assert(index < 6, `${this.name} has six base address registers already`);
    assert(
      (range.size & (range.size - 1)) === 0 && range.size >= BAR_SIZE_MIN[range.kind],
      `${this.name}: a range is a power of two`,
    );
    this.ranges.push(range);
    const mask = ~(range.size - 1);
    for (let byte = 0; byte < 4; byte++) {
      this.writable[BAR0 + index * 4 + byte] = (mask >> (byte * 8)) & 0xff;
    }
    this.view.setUint32(BAR0 + index * 4, range.kind === 'io' ? 1 : 0, true);
    return index;
  }

  /** Appends a capability; `body` follows its id and link. Returns the capability's offset. */
  addCapability(id: number, body: Uint8Array): number {
    const offset = this.capabilityEnd;
    assert(offset + 2 + body.length <= 256, `${this.name} has no room for capability ${id}`);
    this.config[offset] = id;
    this.config.set(body, offset + 2);
    this.config[this.lastCapability === 0 ? CAPABILITIES : this.lastCapability + 1] = offset;
    this.config[STATUS] |= STATUS_CAPABILITIES;
    this.lastCapability = offset;
    this.capabilityEnd = (offset + 2 + body.length + 3) & ~3;
    return offset;
  }

  /** Makes `size` bytes of the configuration space writable by the guest. */
  allowWrites(offset: number, size: number): void {
    this.writable.fill(0xff, offset, offset + size);
  }

  /** Lets `window` answer for its bytes of the configuration space. */
  addWindow(window: PciWindow): void {
    this.windows.push(window);
  }

  /** The function's INTA pin. Its level reaches the line while INTx is not disabled. */
  readonly intx: IrqLine = {
    set: (level: boolean): void => {
      if (level === this.intxLevel) return;
      this.intxLevel = level;
      this.driveIntx();
    },
  };

  /** The number of the interrupt line that INTA is routed to; 0 when the function uses none. */
  get irq(): number {
    return this.irqNumber;
  }

  /** Called by the bus: INTA goes to `line`, which the guest knows as `irq`. */
  connectInterrupt(irq: number, line: IrqLine): void {
    this.irqNumber = irq;
    this.irqLine = line;
    this.config[INTERRUPT_PIN] = 1;
    this.config[INTERRUPT_LINE] = irq;
  }

  /** Called by the bus: `bases` are where firmware has put the ranges, all decoding is on. */
  configure(bases: readonly number[], decodingChanged: () => void): void {
    this.initialBars.splice(0, Infinity, ...bases);
    this.decodingChanged = decodingChanged;
    this.reset();
  }

  /** Power-on, after the firmware's work: ranges in place and decoded, interrupt line known. */
  reset(): void {
    let command = 0;
    for (const [index, range] of this.ranges.entries()) {
      const flags = range.kind === 'io' ? 1 : 0;
      command |= range.kind === 'io' ? PCI_COMMAND.IO : PCI_COMMAND.MEMORY;
      this.view.setUint32(BAR0 + index * 4, this.initialBars[index] | flags, true);
    }
    this.view.setUint16(COMMAND, command, true);
    this.config[INTERRUPT_LINE] = this.irqNumber;
    this.intxLevel = false;
    this.driveIntx();
    this.decodingChanged();
  }

  /** The base address registers as they stand. */
  bars(): PciBar[] {
    const command = this.config[COMMAND];
    const bars: PciBar[] = [];
    for (const [index, range] of this.ranges.entries()) {
      const base = this.view.getUint32(BAR0 + index * 4, true) & ~(range.size - 1);
      const bit = range.kind === 'io' ? PCI_COMMAND.IO : PCI_COMMAND.MEMORY;
      bars.push({ range, base: base >>> 0, enabled: (command & bit) !== 0 });
    }
    return bars;
  }

  /** The current ranges' sizes, for whoever assigns addresses. */
  get layout(): readonly { readonly kind: 'io' | 'memory'; readonly size: number }[] {
    return this.ranges;
  }

  /** Reads the configuration space; the bus has checked that the access is aligned. */
  readConfig(offset: number, size: 1 | 2 | 4): number {
    const window = this.windowAt(offset, size);
    if (window !== undefined) return window.read(offset - window.offset, size);
    let value = 0;
    for (let byte = size - 1; byte >= 0; byte--) value = (value << 8) | this.byte(offset + byte);
    return value >>> 0;
  }

  /** Writes the bits of the configuration space that are writable. */
  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    const window = this.windowAt(offset, size);
    if (window !== undefined) {
      window.write(offset - window.offset, size, value);
      return;
    }
    for (let byte = 0; byte < size; byte++) {
      const at = offset + byte;
      const mask = this.writable[at];
      this.config[at] = (this.config[at] & ~mask) | ((value >>> (byte * 8)) & mask);
    }
    const bars = offset < BAR0 + 24 && offset + size > BAR0;
    if (offset >= COMMAND && offset < STATUS) {
      this.driveIntx();
      this.decodingChanged();
    } else if (bars) {
      this.decodingChanged();
    }
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return PCI_FUNCTION_STATE.save(this);
  }

  /**
   * Takes back what {@link save} of the same function gave; the line, which may be shared, is
   * driven again. EINVAL when it is another function, or at another line.
   */
  load(saved: SavedValue, where: string): void {
    const { config, irqNumber } = PCI_FUNCTION_STATE.decode(saved, where);
    const fixed = config.every((byte, at) => ((byte ^ this.config[at]) & ~this.writable[at]) === 0);
    if (!fixed || irqNumber !== this.irqNumber) {
      refuse(where, 'is of another device, or of one elsewhere');
    }
    PCI_FUNCTION_STATE.load(this, saved, where);
    this.driveIntx();
    this.decodingChanged();
  }

  private byte(offset: number): number {
    const level = offset === STATUS && this.intxLevel ? STATUS_INTERRUPT : 0;
    return this.config[offset] | level;
  }

  private windowAt(offset: number, size: number): PciWindow | undefined {
    return this.windows.find(
      (window) => offset >= window.offset && offset + size <= window.offset + window.size,
    );
  }

  private driveIntx(): void {
    const disabled = (this.view.getUint16(COMMAND, true) & PCI_COMMAND.INTX_DISABLE) !== 0;
    this.irqLine?.set(this.intxLevel && !disabled);
  }
}
