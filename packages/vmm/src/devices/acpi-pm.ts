// The fixed power management hardware of ACPI 6.5, section 4.8.3.1 and 4.8.3.2: the PM1a event and
// control registers, a power button, and the way into the sleeping state S5, which is off. Since
// there is no system management mode to take over from, ACPI is always on (SCI_EN reads one).
//
// Not modelled, and not claimed by the tables: the power management timer (optional since ACPI
// 5.0A; the processor's counter and the paravirtual clock are better), the sleep button, other
// sleeping states and so waking from them by the real-time clock, the global lock's events.

import { type SavedValue, savedFields, u16 } from '../base/saved-state.ts';
import type { IrqLine } from '../bus/irq.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';

/** Offsets of the register blocks from the first of {@link ACPI_PM_PORTS} ports. */
export const PM1_EVT = 0;
export const PM1_CNT = 4;
export const ACPI_PM_PORTS = 8;
/** Status and enable register together. */
export const PM1_EVT_BYTES = 4;

/** What SLP_TYP selects S5 by; the number is the machine's choice. */
export const SLP_TYP_S5 = 5;

const STATUS = PM1_EVT;
const ENABLE = PM1_EVT + 2;

// Bits of status and enable register, tables 4.13 and 4.14.
const GBL = 1 << 5;
const PWRBTN = 1 << 8;
const RTC = 1 << 10;
/**
 * Linux enables the global lock's event and the clock's to see whether they can be, and complains
 * otherwise. They never come: no firmware shares the lock, and there is no sleep to wake from.
 */
const ENABLE_WRITABLE = GBL | PWRBTN | RTC;

// The control register, table 4.15.
const SCI_EN = 1 << 0;
const BM_RLD = 1 << 1;
const SLP_TYP_SHIFT = 10;
const SLP_TYP = 7 << SLP_TYP_SHIFT;
const SLP_EN = 1 << 13;

const ACPI_PM_STATE = savedFields({ status: u16, enable: u16, control: u16 });

/** What happens at {@link AcpiPm}. */
export interface AcpiPmEvents {
  /** The guest has seen that the button was pressed. */
  buttonSeen(): void;
  /** The guest has switched the machine off. */
  powerOff(): void;
}

/** The registers: {@link ACPI_PM_PORTS} ports, and the system control interrupt. */
export class AcpiPm implements PortDevice {
  readonly name = 'acpi pm';
  readonly portSizeMax = 2;
  private readonly sci: IrqLine;
  private readonly events: AcpiPmEvents;
  private status = 0;
  private enable = 0;
  private control: number = SCI_EN;

  constructor(sci: IrqLine, events: AcpiPmEvents) {
    this.sci = sci;
    this.events = events;
  }

  /** Presses the power button. False when the guest does not listen, and nothing happens. */
  pressButton(): boolean {
    if ((this.enable & PWRBTN) === 0) return false;
    this.status |= PWRBTN;
    this.drive();
    return true;
  }

  readPort(offset: number, size: PortSize): number {
    const value = this.word(offset & ~1) >> ((offset & 1) * 8);
    return size === 1 ? value & 0xff : value;
  }

  writePort(offset: number, size: PortSize, value: number): void {
    const register = offset & ~1;
    if (size === 2) {
      this.writeWord(register, value);
      return;
    }
    // In the status register, the half that is not written must not be cleared.
    const shift = (offset & 1) * 8;
    const other = register === STATUS ? 0 : this.word(register) & ~(0xff << shift);
    this.writeWord(register, other | (value << shift));
  }

  /** Power-on. */
  reset(): void {
    this.status = this.enable = 0;
    this.control = SCI_EN;
    this.drive();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return ACPI_PM_STATE.save(this);
  }

  /** Takes back what {@link save} gave; the line's level follows. */
  load(saved: SavedValue, where: string): void {
    ACPI_PM_STATE.load(this, saved, where);
    this.drive();
  }

  private word(register: number): number {
    switch (register) {
      case STATUS:
        return this.status;
      case ENABLE:
        return this.enable;
      case PM1_CNT:
        return this.control;
      default:
        return 0;
    }
  }

  private writeWord(register: number, value: number): void {
    switch (register) {
      case STATUS: {
        // Ones clear.
        const seen = (this.status & value & PWRBTN) !== 0;
        this.status &= ~value;
        this.drive();
        if (seen) this.events.buttonSeen();
        return;
      }
      case ENABLE:
        this.enable = value & ENABLE_WRITABLE;
        this.drive();
        return;
      case PM1_CNT:
        // SLP_EN reads zero; a state that the machine does not have is not entered.
        this.control = SCI_EN | (value & (BM_RLD | SLP_TYP));
        if ((value & SLP_EN) === 0) return;
        if ((value & SLP_TYP) >> SLP_TYP_SHIFT === SLP_TYP_S5) this.events.powerOff();
    }
  }

  private drive(): void {
    this.sci.set((this.status & this.enable) !== 0);
  }
}
