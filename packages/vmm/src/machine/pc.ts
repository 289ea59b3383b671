// The hardware of a machine as vmd(8) builds it, except the processor: which parts there are, at
// which ports, on which interrupt lines. No other file knows an address or an IRQ number.
//
// The ports are an IBM PC/AT's, with the PIIX4's ELCR and reset control, PCI configuration mechanism
// 1, and QEMU's fw_cfg and debug exit. On PCI, in this order: host bridge, entropy, network
// interfaces, disks, CD-ROM. Not there: DMA controllers, keyboard, video, ACPI, a second serial
// port; a guest that probes for them reads all ones.

import type { Clock, Entropy } from '../base/clock.ts';
import type { GuestMemory } from '../bus/guest-memory.ts';
import type { InterruptController } from '../bus/irq.ts';
import { MmioBus } from '../bus/mmio-bus.ts';
import { PciBus } from '../bus/pci.ts';
import { PortBus, type PortDevice } from '../bus/port-bus.ts';
import { TimerQueue } from '../bus/timers.ts';
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
import {
  CONVENTIONAL_END,
  EXTENDED_START,
  firmwareMemoryMap,
  lowMemoryEnd,
} from './boot/memory-map.ts';
import { type BootDevice, firmwareFiles } from './firmware-files.ts';

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
  PCI: 0xcf8,
} as const;

const IRQ = { PIT: 0, COM1: 4, RTC: 8 } as const;

/**
 * The subsystem of QEMU's host bridges, Red Hat's "Qemu virtual machine". SeaBIOS looks for it, and
 * without it believes that it is on hardware, without fw_cfg. vmd(8)'s firmware is made for its
 * bridge; this one is anybody's.
 */
const FIRMWARE_SUBSYSTEM = { vendor: 0x1af4, id: 0x1100 } as const;

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
  /** The debug exit port, which exists only with this, was written. */
  readonly onExitPort?: (value: number) => void;
}

/** All devices of one machine. */
export class Pc {
  readonly ports: PortBus = new PortBus();
  readonly mmio: MmioBus = new MmioBus();
  readonly timers: TimerQueue = new TimerQueue();
  readonly com1: Ns8250;
  private readonly pics = new I8259Pair();
  private readonly pci: PciBus;
  private readonly virtio: VirtioPci[] = [];
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
    this.parts.push(pit, rtc, this.com1, fwCfg, portA, keyboard, resetControl);
    this.pci = new PciBus({
      ports: this.ports,
      mmio: this.mmio,
      line: (irq) => pics.line(irq),
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
    this.routeInterrupts();
    const { memoryBytes, firmware } = options;
    if (firmware !== undefined) {
      const { bootDevice } = firmware;
      const ram = firmwareMemoryMap(memoryBytes);
      const facts = { bootDevice, nics, disks, cdroms, ram, serialPort: PORT.COM1 };
      for (const [name, content] of firmwareFiles(facts)) fwCfg.addFile(name, content);
    }
    rtc.setMemory({
      base: CONVENTIONAL_END,
      extended: lowMemoryEnd(memoryBytes) - EXTENDED_START,
      above4GiB: memoryBytes - lowMemoryEnd(memoryBytes),
    });
  }

  /** Where the interrupt lines end. */
  get interrupts(): InterruptController {
    return this.pics;
  }

  /** True when no device works on guest memory, after a {@link reset}. */
  get quiet(): boolean {
    return this.virtio.every((card) => card.front.readStatus() === 0);
  }

  /** Power-on. Backends in other threads may take until {@link quiet} to leave the memory. */
  reset(): void {
    this.pics.reset();
    this.routeInterrupts();
    for (const part of this.parts) part.reset();
    for (const card of this.virtio) card.reset();
    this.pci.reset();
  }

  /** PCI's interrupts are level triggered, which is firmware's to tell the controllers. */
  private routeInterrupts(): void {
    for (const card of this.virtio) this.pics.setLevelTriggered(card.function.irq);
  }

  /** Puts a device on the PCI bus, and returns its number there. */
  private plug(device: VirtioDevice): number {
    const card = new VirtioPci(device);
    this.virtio.push(card);
    return this.pci.add(card.function, { interrupt: true });
  }

  private claim(base: number, size: number, owner: PortDevice): void {
    this.ports.claim({ base, size, owner });
  }
}
