// Interrupt wiring. A device drives a line; where the line ends (a PIC input, later an I/O APIC
// pin) is the machine's business.

/** One interrupt line, seen from the device that drives it. */
export interface IrqLine {
  /** Drives the line high (true) or low (false). Setting the level it already has is harmless. */
  set(level: boolean): void;
}

/** What the run loop asks of whatever collects the lines (an i8259 pair here). */
export interface InterruptController {
  /** True when a vector waits to be delivered (the INTR output is high). */
  pending(): boolean;
  /** The INTA cycle: returns the vector (0..255) and moves the request into service. */
  acknowledge(): number;
}
