// The PCI host: configuration mechanism 1 at ports 0xCF8 and 0xCFC (PCI Local Bus Specification
// 3.0, section 3.2.2.3.2), bus 0 with up to 32 single-function devices, and the wiring of their
// ranges to port and memory space and of their INTA pins to interrupt lines. Device 0 is OpenBSD's
// host bridge. As vmd(8) does, the bus hands out interrupt lines in order of creation, one per
// device, and places the ranges itself, so that a kernel started without firmware finds all
// configured. When vmd's ten lines have been handed out, further devices share them. Not modelled:
// mechanism 2, bridges and further buses, multi-function devices, bus errors.

import { VmmError } from '../base/errors.ts';
import { type SavedValue, savedFields, u32 } from '../base/saved-state.ts';
import type { IrqLine } from './irq.ts';
import type { MmioBus } from './mmio-bus.ts';
import { type PciBar, PciFunction } from './pci-function.ts';
import type { PortBus, PortDevice, PortSize } from './port-bus.ts';

/** OpenBSD's PCI vendor id, and that of its subsystems. */
export const PCI_VENDOR_OPENBSD = 0x0b5d;
/** vmd's host bridge, "OpenBSD VMM Host". */
export const PCI_PRODUCT_OPENBSD_PCHB = 0x0666;

/** The lines that devices get, in this order; each is level triggered (vmd). */
export const PCI_IRQS: readonly number[] = [3, 5, 6, 7, 9, 10, 11, 12, 14, 15];

const CLASS_BRIDGE_HOST = 0x060000;
const DEVICES_MAX = 32;
const ENABLE = 0x80000000;
/** Enable, bus, device, function and register; bits 1-0 and 30-24 read zero. */
const ADDRESS_WRITABLE = 0x80fffffc;
const CONFIG_DATA = 4;
const RESET_CONTROL = 1;

/** vmd gives every range of ports a page of its own, from 0x1000 on. */
const IO_FIRST = 0x1000;
const IO_END = 0x10000;
const IO_STRIDE = 0x1000;
const MEMORY_FIRST = 0xf0000000;
const MEMORY_STRIDE = 0x1000;
/** Where the BIOS's 4 MiB below 4 GiB begin. */
const MEMORY_END = 0xffc00000;

/** Addresses, both ends included. */
export interface AddressWindow {
  readonly first: number;
  readonly last: number;
}

/** The ports and the memory that the host bridge passes on to the bus. */
export const PCI_IO_WINDOW: AddressWindow = { first: IO_FIRST, last: IO_END - 1 };
export const PCI_MEMORY_WINDOW: AddressWindow = { first: MEMORY_FIRST, last: MEMORY_END - 1 };

/** What the bus is wired to. */
export interface PciWiring {
  readonly ports: PortBus;
  readonly mmio: MmioBus;
  /** The interrupt line of this number, for one more device to drive. */
  readonly line: (irq: number) => IrqLine;
  /** Answers byte accesses to port 0xCF9, which lies inside the address register. */
  readonly resetControl?: PortDevice;
  /** The subsystem that the host bridge shows; OpenBSD's, 0, unless given. */
  readonly hostSubsystem?: { readonly vendor: number; readonly id: number };
}

/** What a suspension keeps of {@link PciBus}; its functions are parts of their own. */
const PCI_BUS_STATE = savedFields({ address: u32 });

interface Mapping {
  readonly bar: PciBar;
  release(): void;
}

/** Bus 0 and its host bridge; claim its eight ports at 0xCF8. */
export class PciBus implements PortDevice {
  readonly name = 'pci';
  readonly portSizeMax = 4;
  private readonly wiring: PciWiring;
  /** The host bridge, device 0. */
  readonly bridge: PciFunction;
  /** Transient: wiring. */
  private readonly functions: PciFunction[] = [];
  /** Transient: follows from the functions' registers. */
  private mappings: Mapping[] = [];
  private address = 0;
  /** Transient: how the bus is built. */
  private irqsUsed = 0;
  /** Transient: likewise. */
  private nextIo = IO_FIRST;
  /** Transient: likewise. */
  private nextMemory = MEMORY_FIRST;

  constructor(wiring: PciWiring) {
    this.wiring = wiring;
    this.bridge = new PciFunction({
      name: 'pchb',
      vendor: PCI_VENDOR_OPENBSD,
      device: PCI_PRODUCT_OPENBSD_PCHB,
      classCode: CLASS_BRIDGE_HOST,
      subsystemVendor: wiring.hostSubsystem?.vendor ?? PCI_VENDOR_OPENBSD,
      subsystem: wiring.hostSubsystem?.id ?? 0,
    });
    this.add(this.bridge, { interrupt: false });
  }

  /**
   * Puts a function at the next device number, which it returns, places its ranges and gives it an
   * interrupt line. Refuses (ENOSPC) when devices or addresses have run out.
   */
  add(pciFunction: PciFunction, options: { interrupt: boolean }): number {
    const { name } = pciFunction;
    if (this.functions.length === DEVICES_MAX) {
      throw new VmmError('ENOSPC', `No room for ${name}: the PCI bus has ${DEVICES_MAX} devices.`);
    }
    if (options.interrupt) {
      const irq = PCI_IRQS[this.irqsUsed % PCI_IRQS.length];
      this.irqsUsed++;
      pciFunction.connectInterrupt(irq, this.wiring.line(irq));
    }
    const bases = pciFunction.layout.map(({ kind, size }) =>
      kind === 'io' ? this.placeIo(name, size) : this.placeMemory(name, size),
    );
    this.functions.push(pciFunction);
    pciFunction.configure(bases, () => this.remap());
    return this.functions.length - 1;
  }

  readPort(offset: number, size: PortSize): number {
    if (offset >= CONFIG_DATA) return this.readData(offset - CONFIG_DATA, size);
    if (size === 4) return this.address;
    // Narrower accesses are not for the address register: they pass to the bus as usual ports.
    if (offset === RESET_CONTROL && size === 1 && this.wiring.resetControl !== undefined) {
      return this.wiring.resetControl.readPort(0, 1);
    }
    return 0xffff;
  }

  writePort(offset: number, size: PortSize, value: number): void {
    if (offset >= CONFIG_DATA) this.writeData(offset - CONFIG_DATA, size, value);
    else if (size === 4) this.address = (value & ADDRESS_WRITABLE) >>> 0;
    else if (offset === RESET_CONTROL && size === 1) {
      this.wiring.resetControl?.writePort(0, 1, value);
    }
  }

  /** Power-on: every function as firmware would leave it. */
  reset(): void {
    this.address = 0;
    for (const pciFunction of this.functions) pciFunction.reset();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return PCI_BUS_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    PCI_BUS_STATE.load(this, saved, where);
  }

  private readData(offset: number, size: PortSize): number {
    const selected = this.selected();
    if (selected === undefined || offset + size > 4) return 0xffffffff;
    return selected.readConfig((this.address & 0xfc) + offset, size);
  }

  private writeData(offset: number, size: PortSize, value: number): void {
    if (offset + size > 4) return;
    this.selected()?.writeConfig((this.address & 0xfc) + offset, size, value);
  }

  /** The function that the address register names: bus 0, function 0, a device that is there. */
  private selected(): PciFunction | undefined {
    if ((this.address & ENABLE) === 0 || (this.address & 0x00ff0700) !== 0) return undefined;
    return this.functions[(this.address >>> 11) & 31];
  }

  private placeIo(name: string, size: number): number {
    const step = Math.max(size, IO_STRIDE);
    const base = Math.ceil(this.nextIo / step) * step;
    if (base + step > IO_END) throw new VmmError('ENOSPC', `No I/O ports are left for ${name}.`);
    this.nextIo = base + step;
    return base;
  }

  private placeMemory(name: string, size: number): number {
    const step = Math.max(size, MEMORY_STRIDE);
    const base = Math.ceil(this.nextMemory / step) * step;
    if (base + step > MEMORY_END) {
      throw new VmmError('ENOSPC', `No PCI memory addresses are left for ${name}.`);
    }
    this.nextMemory = base + step;
    return base;
  }

  /**
   * Claims every enabled range where its register says. A range that the guest has put over another
   * device is not decoded until one of the two moves; which of them answers is undefined in the
   * specification, and firmware sizing its way through the registers does this for moments.
   */
  private remap(): void {
    for (const mapping of this.mappings) mapping.release();
    this.mappings = [];
    for (const pciFunction of this.functions) {
      for (const bar of pciFunction.bars()) {
        const mapping = bar.enabled ? this.map(bar) : undefined;
        if (mapping !== undefined) this.mappings.push(mapping);
      }
    }
  }

  private map(bar: PciBar): Mapping | undefined {
    const { range, base } = bar;
    if (base === 0) return undefined;
    if (range.kind === 'io') {
      const { ports } = this.wiring;
      if (base + range.size > IO_END || ports.ownerIn(base, range.size)) return undefined;
      const claim = ports.claim({ base, size: range.size, owner: range.device });
      return { bar, release: () => claim.release() };
    }
    const { mmio } = this.wiring;
    if (base < MEMORY_FIRST || mmio.ownerIn(base, range.size)) return undefined;
    const claim = mmio.claim({ base, size: range.size, owner: range.device });
    return { bar, release: () => claim.release() };
  }
}
