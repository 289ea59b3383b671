// OpenBSD's VMM control interface, vmmci(4): by it the monitor asks a guest to shut down, to
// reboot, or to read the real-time clock anew, and the guest says that it has heard. A legacy
// virtio device (0.9) of OpenBSD's own, without queues: all of it is in the configuration space,
// and a request is a change of that. Follows vmd(8) and its driver, sys/dev/pv/vmmci.c, in what
// they say to each other.

import type { Clock } from '../../base/clock.ts';
import { real, type SavedValue, savedFields, u53, whole } from '../../base/saved-state.ts';
import { PCI_VENDOR_OPENBSD } from '../../bus/pci.ts';
import type { Timer, TimerQueue } from '../../bus/timers.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';

const PRODUCT_CONTROL = 0x0777;
const SUBSYSTEM_CONTROL = 0xffff;
/** OpenBSD's number for it, far from those of virtio. */
const DEVICE_ID = 0xffff;
const CLASS_COMMUNICATIONS_MISC = 0x078000;

/** The device's feature bits. */
export const VMMCI_F_TIMESYNC: bigint = 1n << 0n;
export const VMMCI_F_ACK: bigint = 1n << 1n;
export const VMMCI_F_SYNCRTC: bigint = 1n << 2n;

/** What the command register holds: the monitor's wish, or the driver's answer to it. */
export const VMMCI_NONE = 0;
export const VMMCI_SHUTDOWN = 1;
export const VMMCI_REBOOT = 2;
export const VMMCI_SYNCRTC = 3;

// Offsets in the configuration space; seconds and microseconds have 64 bits.
const COMMAND = 0;
const TIME_SECONDS = 4;
const TIME_MICROSECONDS = 12;
const CONFIG_BYTES = 20;

/** A guest that says that it shuts down is off after this long, unless it reboots (vmd(8)). */
const GUEST_SHUTDOWN_NS = 3e9;
/** How often the clocks are compared, and by how much the host's must have jumped (vmd(8)). */
const COMPARE_NS = 1e9;
const JUMP_MS = 5000;

/** Besides its registers. */
const VMMCI_STATE = savedFields({
  command: whole(VMMCI_NONE, VMMCI_SYNCRTC),
  latchedMs: real,
  aheadMs: real,
  offNs: u53,
});

/** What happens at {@link Vmmci}. */
export interface VmmciEvents {
  /** The guest has heard that it is to shut down, and does. */
  acknowledged(): void;
  /** The guest has shut down by itself. */
  powerOff(): void;
}

/** The device; `device` is for its PCI function, which serves legacy drivers only. */
export class Vmmci implements VirtioBackend {
  readonly device: VirtioDevice;
  readonly busy = false;
  private readonly clock: Clock;
  private readonly events: VmmciEvents;
  private readonly compareTimer: Timer;
  private readonly offTimer: Timer;
  /** Transient: wiring. */
  private front: VirtioEvents | undefined;
  /**
   * What the driver agreed to; undefined while there is none. Transient: the front keeps it, and
   * activates anew.
   */
  private features: bigint | undefined;
  private command: number = VMMCI_NONE;
  /** The wall clock when the low word of the seconds was read last: the rest goes with it. */
  private latchedMs = 0;
  /** How far the wall clock is ahead of the machine's, as far as the guest knows. */
  private aheadMs = 0;
  /** When a guest that said that it shuts down is off; 0 while none did. */
  private offNs = 0;

  constructor(clock: Clock, timers: TimerQueue, events: VmmciEvents) {
    this.clock = clock;
    this.events = events;
    this.compareTimer = timers.create(() => this.compare());
    this.offTimer = timers.create(() => events.powerOff());
    this.device = {
      name: 'vmmci',
      id: DEVICE_ID,
      pci: {
        vendor: PCI_VENDOR_OPENBSD,
        device: PRODUCT_CONTROL,
        subsystem: SUBSYSTEM_CONTROL,
      },
      classCode: CLASS_COMMUNICATIONS_MISC,
      features: VMMCI_F_TIMESYNC | VMMCI_F_ACK | VMMCI_F_SYNCRTC,
      queueSizes: [],
      config: new Uint8Array(CONFIG_BYTES),
      backend: this,
      readConfig: (offset, size) => (size === 4 ? this.read(offset) : undefined),
      writeConfig: (offset, size, value) => {
        if (offset === COMMAND && size === 4) this.answered(value);
      },
    };
  }

  /**
   * Asks the guest to shut down and reboot. False when it has no driver for this device, and
   * nothing happens. One that does not acknowledge requests is taken to have heard.
   */
  requestReboot(): boolean {
    if (this.features === undefined) return false;
    this.request(VMMCI_REBOOT);
    if ((this.features & VMMCI_F_ACK) === 0n) this.events.acknowledged();
    return true;
  }

  connect(events: VirtioEvents): void {
    this.front = events;
  }

  activate(_queues: readonly QueueConfig[], features: bigint): void {
    this.features = features;
    if ((features & VMMCI_F_SYNCRTC) === 0n) return;
    this.aheadMs = this.wallAheadMs();
    this.armComparison();
  }

  kick(): void {}

  reset(): void {
    this.features = undefined;
    this.compareTimer.cancel();
    this.offTimer.cancel();
    this.offNs = 0;
    this.latchedMs = 0;
    this.command = VMMCI_NONE;
    this.front?.quiesced();
  }

  positions(): number[] {
    return [];
  }

  /** There are no requests that could be in flight. */
  hold(): void {}

  /** What a suspension keeps. */
  save(): SavedValue {
    return VMMCI_STATE.save(this);
  }

  /** Takes back what {@link save} gave, after the registers: a jump meanwhile is then found. */
  load(saved: SavedValue, where: string): void {
    VMMCI_STATE.load(this, saved, where);
    if (this.offNs !== 0) this.offTimer.arm(this.offNs);
  }

  private request(command: number): void {
    this.command = command;
    this.front?.configChanged(COMMAND, new Uint8Array([command]));
  }

  /** The driver has written the command register. */
  private answered(value: number): void {
    switch (value) {
      case VMMCI_SHUTDOWN:
      case VMMCI_REBOOT:
        if (value === this.command) this.events.acknowledged();
        else if (value === VMMCI_SHUTDOWN && this.command === VMMCI_NONE) {
          this.offNs = Math.ceil(this.clock.now() + GUEST_SHUTDOWN_NS);
          this.offTimer.arm(this.offNs);
        }
        return;
      case VMMCI_SYNCRTC:
        if (this.command === VMMCI_SYNCRTC) this.command = VMMCI_NONE;
    }
  }

  private read(offset: number): number | undefined {
    switch (offset) {
      case COMMAND:
        return this.command;
      case TIME_SECONDS:
        this.latchedMs = this.clock.wallMs();
        return Math.floor(this.latchedMs / 1000) >>> 0;
      case TIME_SECONDS + 4:
        return Math.floor(this.latchedMs / 1000 / 2 ** 32);
      case TIME_MICROSECONDS:
        return Math.floor((this.latchedMs % 1000) * 1000);
      default:
        return undefined;
    }
  }

  private wallAheadMs(): number {
    return this.clock.wallMs() - this.clock.now() / 1e6;
  }

  private armComparison(): void {
    this.compareTimer.arm(this.clock.now() + COMPARE_NS);
  }

  /** Looks whether the host's clock was set, or the machine stood still. */
  private compare(): void {
    const aheadMs = this.wallAheadMs();
    if (Math.abs(aheadMs - this.aheadMs) > JUMP_MS && this.command === VMMCI_NONE) {
      this.aheadMs = aheadMs;
      this.request(VMMCI_SYNCRTC);
    }
    this.armComparison();
  }
}
