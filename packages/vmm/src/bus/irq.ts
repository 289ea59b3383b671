// Interrupt wiring. A device drives a line; where the line ends (a PIC input, later an I/O APIC
// pin) is the machine's business.

/** One interrupt line, seen from the device that drives it. */
export interface IrqLine {
  /** Drives the line high (true) or low (false). Setting the level it already has is harmless. */
  set(level: boolean): void;
}

/** A line that several devices drive: high while any of them has it high, as on PCI. */
export class SharedLine {
  private readonly line: IrqLine;
  /** Transient: devices that are loaded drive their lines anew. */
  private drivers = 0;

  constructor(line: IrqLine) {
    this.line = line;
  }

  /** The line as one more device sees it. */
  input(): IrqLine {
    let driven = false;
    return {
      set: (level: boolean): void => {
        if (level === driven) return;
        driven = level;
        this.drivers += level ? 1 : -1;
        this.line.set(this.drivers > 0);
      },
    };
  }
}

/** What the run loop asks of whatever collects the lines (an i8259 pair here). */
export interface InterruptController {
  /** True when a vector waits to be delivered (the INTR output is high). */
  pending(): boolean;
  /** The INTA cycle: returns the vector (0..255) and moves the request into service. */
  acknowledge(): number;
}
