// The hardware of a machine as vmd(8) builds it, except the processor: which parts there are, at
// which ports, on which interrupt lines. No other file knows an address or an IRQ number.
//
// The ports are an IBM PC/AT's, with the PIIX4's ELCR and reset control, PCI configuration
// mechanism 1, QEMU's fw_cfg and debug exit, and ACPI's power button and switch. On PCI, in this
// order: host bridge, entropy, network interfaces, disks, CD-ROM, vmmci. Not there: DMA
// controllers, keyboard, video, a second serial port; a guest that probes for them reads all ones.

import type { Clock, Entropy } from '../base/clock.ts';
import { IGNORABLE, refuse, type SavedPart, type SavedValue } from '../base/saved-state.ts';
import type { GuestMemory } from '../bus/guest-memory.ts';
import { type InterruptController, type IrqLine, SharedLine } from '../bus/irq.ts';
import { MmioBus } from '../bus/mmio-bus.ts';
import { PciBus } from '../bus/pci.ts';
import { PortBus, type PortDevice } from '../bus/port-bus.ts';
import { TimerQueue } from '../bus/timers.ts';
import { ACPI_PM_PORTS, AcpiPm } from '../devices/acpi-pm.ts';
import { FwCfg } from '../devices/fw-cfg.ts';
import { I8253 } from '../devices/i8253.ts';
import { I8259Pair } from '../devices/i8259.ts';
import { Mc146818 } from '../devices/mc146818.ts';
import { Ns8250, type SerialPeer } from '../devices/ns8250.ts';
import {
  ExitPort,
  I8042,
  PostPort,
  ResetControl,
  SystemControlPortA,
} from '../devices/system-control.ts';
import type { VirtioDevice } from '../devices/virtio/virtio-backend.ts';
import { VirtioPci } from '../devices/virtio/virtio-pci.ts';
import { virtioRng } from '../devices/virtio/virtio-rng.ts';
import { Vmmci } from '../devices/virtio/vmmci.ts';
import { acpiFirmwareFiles } from './acpi/table-loader.ts';
import { type AcpiTables, acpiTables } from './acpi/tables.ts';
import {
  CONVENTIONAL_END,
  EXTENDED_START,
  firmwareMemoryMap,
  lowMemoryEnd,
} from './boot/memory-map.ts';
import { type BootDevice, type FirmwareFacts, firmwareFiles } from './firmware-files.ts';

const PORT = {
  PIC_MASTER: 0x20,
  PIT: 0x40,
  KEYBOARD_DATA: 0x60,
  PORT_B: 0x61,
  KEYBOARD_COMMAND: 0x64,
  RTC: 0x70,
  POST: 0x80,
  PORT_A: 0x92,
  PIC_SLAVE: 0xa0,
  DEBUG_EXIT: 0xf4,
  COM1: 0x3f8,
  ELCR: 0x4d0,
  FW_CFG: 0x510,
  ACPI_PM: 0x600,
  PCI: 0xcf8,
  RESET_CONTROL: 0xcf9,
} as const;

/** SCI, ACPI's, is where PCs have it; a PCI device may have the same line. */
const IRQ = { PIT: 0, COM1: 4, RTC: 8, SCI: 9 } as const;

/**
 * The subsystem of QEMU's host bridges, Red Hat's "Qemu virtual machine". SeaBIOS looks for it, and
 * without it believes that it is on hardware, without fw_cfg. vmd(8)'s firmware is made for its
 * bridge; this one is anybody's.
 */
const FIRMWARE_SUBSYSTEM = { vendor: 0x1af4, id: 0x1100 } as const;

/** Where ACPI finds its registers and those that it uses. */
const ACPI_HARDWARE = {
  pmBase: PORT.ACPI_PM,
  sciIrq: IRQ.SCI,
  resetPort: PORT.RESET_CONTROL,
  pciBase: PORT.PCI,
} as const;

/** What a machine is built of, and what it is wired to. */
export interface PcOptions {
  readonly memory: GuestMemory;
  readonly memoryBytes: number;
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** The far end of the first serial port. */
  readonly console: SerialPeer;
  readonly nics: readonly VirtioDevice[];
  readonly disks: readonly VirtioDevice[];
  readonly cdrom?: VirtioDevice | undefined;
  /** For a machine that a firmware boots. */
  readonly firmware?: { readonly bootDevice: BootDevice } | undefined;
  /** The guest asks for a reset by one of the ports that can; {@link Pc.reset} does it. */
  readonly onReset: () => void;
  /** The guest has switched the machine off. */
  readonly onPowerOff: () => void;
  /** The guest has heard {@link Pc.requestShutdown}. */
  readonly onShutdownHeard: () => void;
  /** The debug exit port, which exists only with this, was written. */
  readonly onExitPort?: (value: number) => void;
}

/** All devices of one machine. */
export class Pc {
  readonly ports: PortBus = new PortBus();
  readonly mmio: MmioBus = new MmioBus();
  readonly timers: TimerQueue = new TimerQueue();
  readonly com1: Ns8250;
  /** What the machine tells of itself. */
  readonly acpi: AcpiTables;
  private readonly pics = new I8259Pair();
  /** Lines with more than one device. */
  private readonly sharedLines = new Map<number, SharedLine>();
  private readonly pci: PciBus;
  private readonly acpiPm: AcpiPm;
  private readonly vmmci: Vmmci;
  private readonly virtio: VirtioPci[] = [];
  /** The interrupt line of each device on the bus. */
  private readonly routes: { device: number; irq: number }[] = [];
  /** What is saved, by name; in the order of loading, devices that then begin to work last. */
  private readonly saved: readonly (readonly [string, SavedPart])[];
  /** What is reset besides the interrupt controllers and PCI. */
  private readonly parts: { reset(): void }[] = [];

  constructor(options: PcOptions) {
    const { memory, clock, entropy, onReset } = options;
    const { pics, timers } = this;
    const pit = new I8253(clock, timers, pics.line(IRQ.PIT));
    const rtc = new Mc146818(clock, timers, pics.line(IRQ.RTC));
    this.com1 = new Ns8250('com1', clock, timers, pics.line(IRQ.COM1), options.console);
    const fwCfg = new FwCfg(memory);
    const portA = new SystemControlPortA(onReset);
    const keyboard = new I8042(onReset);
    const resetControl = new ResetControl(onReset);
    const { onPowerOff: powerOff, onShutdownHeard: heard } = options;
    this.acpiPm = new AcpiPm(this.sharedLine(IRQ.SCI), { powerOff, buttonSeen: heard });
    this.vmmci = new Vmmci(clock, timers, { powerOff, acknowledged: heard });
    this.parts.push(pit, rtc, this.com1, fwCfg, portA, keyboard, resetControl, this.acpiPm);
    this.pci = new PciBus({
      ports: this.ports,
      mmio: this.mmio,
      line: (irq) => this.sharedLine(irq),
      resetControl,
      ...(options.firmware && { hostSubsystem: FIRMWARE_SUBSYSTEM }),
    });

    this.claim(PORT.PIC_MASTER, 2, pics.master);
    this.claim(PORT.PIC_SLAVE, 2, pics.slave);
    this.claim(PORT.ELCR, 2, pics.elcr);
    this.claim(PORT.PIT, 4, pit);
    this.claim(PORT.PORT_B, 1, pit.portB);
    this.claim(PORT.RTC, 2, rtc);
    this.claim(PORT.COM1, 8, this.com1);
    this.claim(PORT.FW_CFG, 12, fwCfg);
    this.claim(PORT.ACPI_PM, ACPI_PM_PORTS, this.acpiPm);
    this.claim(PORT.PORT_A, 1, portA);
    this.claim(PORT.KEYBOARD_DATA, 1, keyboard.data);
    this.claim(PORT.KEYBOARD_COMMAND, 1, keyboard.command);
    this.claim(PORT.POST, 1, new PostPort());
    this.claim(PORT.PCI, 8, this.pci);
    if (options.onExitPort) this.claim(PORT.DEBUG_EXIT, 4, new ExitPort(options.onExitPort));

    this.plug(virtioRng(memory, entropy));
    const nics = options.nics.map((device) => this.plug(device));
    const disks = options.disks.map((device) => this.plug(device));
    const cdroms = options.cdrom === undefined ? [] : [this.plug(options.cdrom)];
    this.plug(this.vmmci.device, 'legacy');
    this.acpi = acpiTables({ ...ACPI_HARDWARE, routes: this.routes });
    this.saved = [
      ['i8259', pics],
      ['i8253', pit],
      ['mc146818', rtc],
      ['com1', this.com1],
      ['fw_cfg', fwCfg],
      ['port 92', portA],
      ['i8042', keyboard],
      ['reset control', resetControl],
      ['acpi pm', this.acpiPm],
      ['pci', this.pci],
      ['pchb', this.pci.bridge],
      ...this.virtio.map((card): [string, SavedPart] => [card.name, card]),
      ['vmmci control', this.vmmci],
    ];
    this.routeInterrupts();
    this.tellFirmware(fwCfg, options, { nics, disks, cdroms });
    const { memoryBytes } = options;
    rtc.setMemory({
      base: CONVENTIONAL_END,
      extended: lowMemoryEnd(memoryBytes) - EXTENDED_START,
      above4GiB: memoryBytes - lowMemoryEnd(memoryBytes),
    });
  }

  /** Puts into fw_cfg what a firmware asks for: what it boots, if there is any; ACPI's tables. */
  private tellFirmware(
    fwCfg: FwCfg,
    { memoryBytes, firmware }: PcOptions,
    devices: Pick<FirmwareFacts, 'nics' | 'disks' | 'cdroms'>,
  ): void {
    if (firmware !== undefined) {
      const { bootDevice } = firmware;
      const ram = firmwareMemoryMap(memoryBytes);
      const facts = { ...devices, bootDevice, ram, serialPort: PORT.COM1 };
      for (const [name, content] of firmwareFiles(facts)) fwCfg.addFile(name, content);
    }
    for (const { name, content } of acpiFirmwareFiles(this.acpi)) fwCfg.addFile(name, content);
  }

  /** Where the interrupt lines end. */
  get interrupts(): InterruptController {
    return this.pics;
  }

  /** True when no device works on guest memory, after a {@link reset}. */
  get quiet(): boolean {
    return this.virtio.every((card) => card.front.readStatus() === 0);
  }

  /**
   * Asks the guest to shut down: by vmmci, if there is a driver for it, or by the power button.
   * False when it listens to neither. Guests that vmmci asks reboot when they are down, as not
   * all of them can switch the machine off.
   */
  requestShutdown(): boolean {
    return this.vmmci.requestReboot() || this.acpiPm.pressButton();
  }

  /** Power-on. Backends in other threads may take until {@link quiet} to leave the memory. */
  reset(): void {
    this.pics.reset();
    this.routeInterrupts();
    for (const part of this.parts) part.reset();
    for (const card of this.virtio) card.reset();
    this.pci.reset();
  }

  /** What a suspension keeps of the devices, by name. EBUSY while one has requests in flight. */
  save(): Map<string, SavedValue> {
    return new Map(this.saved.map(([name, part]) => [name, part.save()]));
  }

  /**
   * Takes back what {@link save} of the same hardware gave, on devices that have just been made;
   * those that it does not have stay so. EINVAL for anything else.
   */
  load(saved: ReadonlyMap<string, SavedValue>): void {
    const known = new Set(this.saved.map(([name]) => name));
    for (const name of saved.keys()) {
      if (known.has(name) || name.startsWith(IGNORABLE)) continue;
      refuse('The machine', `has no device "${name}", which the suspended one had`);
    }
    for (const [name, part] of this.saved) {
      const state = saved.get(name);
      if (state !== undefined) part.load(state, `Section "${name}"`);
    }
  }

  /** ACPI's and PCI's interrupts are level triggered: firmware tells the controllers. */
  private routeInterrupts(): void {
    this.pics.setLevelTriggered(IRQ.SCI);
    for (const card of this.virtio) this.pics.setLevelTriggered(card.function.irq);
  }

  /** Line `irq` for one more device. */
  private sharedLine(irq: number): IrqLine {
    let line = this.sharedLines.get(irq);
    if (line === undefined) {
      line = new SharedLine(this.pics.line(irq));
      this.sharedLines.set(irq, line);
    }
    return line.input();
  }

  /** Puts a device on the PCI bus, and returns its number there. */
  private plug(device: VirtioDevice, kind?: 'legacy'): number {
    const card = new VirtioPci(device, kind);
    this.virtio.push(card);
    const number = this.pci.add(card.function, { interrupt: true });
    this.routes.push({ device: number, irq: card.function.irq });
    return number;
  }

  private claim(base: number, size: number, owner: PortDevice): void {
    this.ports.claim({ base, size, owner });
  }
}
