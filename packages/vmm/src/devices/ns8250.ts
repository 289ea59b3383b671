// National Semiconductor 16550A UART, the FIFO successor of the NS8250. Follows the PC16550D data
// sheet (TL/C/8652, June 1995), section 8. Modelled: all registers, FIFOs with trigger levels and
// the character timeout, interrupt priorities, loopback, break in both directions, OUT2 as the gate
// of the interrupt line (IBM PC/AT). A character that the guest sends leaves at once: the
// transmitter is always empty. Input is not paced either, but never overruns: what does not fit in
// the FIFO stays with the sender, which is told when there is room. Not modelled: framing and
// parity errors, DMA modes, ring indication, flow control by RTS.

import type { Clock } from '../base/clock.ts';
import { flag, list, type SavedValue, savedFields, u8, u16 } from '../base/saved-state.ts';
import type { IrqLine } from '../bus/irq.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';
import type { Timer, TimerQueue } from '../bus/timers.ts';

// Registers, table II; the first two are the divisor while LCR_DLAB is set.
const RBR_THR = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_ERBFI = 0x01;
const IER_ETBEI = 0x02;
const IER_ELSI = 0x04;
const IER_EDSSI = 0x08;

const IIR_NONE = 0x01;
const IIR_MODEM_STATUS = 0x00;
const IIR_THR_EMPTY = 0x02;
const IIR_DATA = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFOS = 0xc0;

const FCR_ENABLE = 0x01;
const FCR_RESET_RECEIVER = 0x02;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

const LCR_BREAK = 0x40;
const LCR_DLAB = 0x80;

const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT1 = 0x04;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;

const LSR_DR = 0x01;
const LSR_OE = 0x02;
const LSR_BI = 0x10;
const LSR_THRE = 0x20;
const LSR_TEMT = 0x40;
const LSR_FIFO_ERROR = 0x80;

const MSR_DDCD = 0x08;
const MSR_TERI = 0x04;
const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;

const FIFO_SIZE = 16;
/** The clock of 1.8432 MHz divided by 16: characters are timed by it and the divisor. */
const BAUD_BASE = 115200;
/** A break in the FIFO: a zero byte with its flag, section 8.6.3. */
const BREAK = LSR_BI << 8;

/** The far end of the line. */
export interface SerialPeer {
  /** Takes a byte that the guest sent. */
  transmit(byte: number): void;
  /** Called when `receive` has refused bytes and there is room again. */
  onSpace?(): void;
  /** The guest starts (true) or ends (false) sending a break. */
  onBreak?(on: boolean): void;
}

/** What a suspension keeps of {@link Ns8250}. */
const NS8250_STATE = savedFields({
  ier: u8,
  fcr: u8,
  lcr: u8,
  mcr: u8,
  lsr: u8,
  msr: u8,
  scr: u8,
  divisor: u16,
  fifo: list(u16, 0, FIFO_SIZE),
  transmitIdle: flag,
  timedOut: flag,
});

/** A serial port: eight ports and an interrupt line. */
export class Ns8250 implements PortDevice {
  readonly name: string;
  private readonly clock: Clock;
  private readonly timer: Timer;
  private readonly irq: IrqLine;
  private readonly peer: SerialPeer;
  private ier = 0;
  private fcr = 0;
  private lcr = 0;
  private mcr = 0;
  /** The error bits; data ready and transmitter empty are computed. */
  private lsr = 0;
  private msr = 0;
  private scr = 0;
  private divisor = 1;
  private fifo: number[] = [];
  /** The interrupt source "transmitter holding register empty", cleared by reading it from IIR. */
  private transmitIdle = false;
  /** Four character times have passed with data below the trigger level in the FIFO. */
  private timedOut = false;
  /** Transient: the far end after a suspension is another one. */
  private refused = false;

  constructor(name: string, clock: Clock, timers: TimerQueue, irq: IrqLine, peer: SerialPeer) {
    this.name = name;
    this.clock = clock;
    this.irq = irq;
    this.peer = peer;
    this.timer = timers.create(() => this.timeout());
    this.msr = this.modemLines();
  }

  /** Gives the guest bytes; returns how many fit. See {@link SerialPeer.onSpace} for the others. */
  receive(bytes: Uint8Array): number {
    let accepted = 0;
    // In loopback the receiver is cut off from the line.
    if ((this.mcr & MCR_LOOP) === 0) {
      while (accepted < bytes.length && this.fifo.length < this.capacity) {
        this.fifo.push(bytes[accepted++]);
      }
    }
    if (accepted < bytes.length) this.refused = true;
    if (accepted > 0) this.received();
    return accepted;
  }

  /** The line sends a break; false when it does not fit. */
  receiveBreak(): boolean {
    if ((this.mcr & MCR_LOOP) !== 0 || this.fifo.length >= this.capacity) return false;
    this.fifo.push(BREAK);
    this.received();
    return true;
  }

  /** The rate that the guest has set, in bits per second. */
  get baudRate(): number {
    return BAUD_BASE / Math.max(1, this.divisor);
  }

  /** Master reset, table III. Divisor, scratch and line stay as they are there; here they clear. */
  reset(): void {
    this.ier = this.fcr = this.lcr = this.mcr = this.lsr = this.scr = 0;
    this.divisor = 1;
    this.fifo = [];
    this.transmitIdle = this.timedOut = this.refused = false;
    this.msr = this.modemLines();
    this.timer.cancel();
    this.update();
  }

  readPort(offset: number, _size: PortSize): number {
    switch (offset) {
      case RBR_THR:
        return (this.lcr & LCR_DLAB) !== 0 ? this.divisor & 0xff : this.readData();
      case IER:
        return (this.lcr & LCR_DLAB) !== 0 ? this.divisor >> 8 : this.ier;
      case IIR_FCR:
        return this.readIdentification();
      case LCR:
        return this.lcr;
      case MCR:
        return this.mcr;
      case LSR:
        return this.readLineStatus();
      case MSR:
        return this.readModemStatus();
      default:
        return this.scr;
    }
  }

  writePort(offset: number, _size: PortSize, value: number): void {
    switch (offset) {
      case RBR_THR:
        if ((this.lcr & LCR_DLAB) !== 0) this.divisor = (this.divisor & 0xff00) | value;
        else this.writeData(value);
        break;
      case IER:
        if ((this.lcr & LCR_DLAB) !== 0) this.divisor = (this.divisor & 0xff) | (value << 8);
        else this.writeEnables(value & 0x0f);
        break;
      case IIR_FCR:
        this.writeFifoControl(value);
        break;
      case LCR:
        if (((this.lcr ^ value) & LCR_BREAK) !== 0) this.peer.onBreak?.((value & LCR_BREAK) !== 0);
        this.lcr = value;
        break;
      case MCR:
        this.writeModemControl(value & 0x1f);
        break;
      case SCR:
        this.scr = value;
        break;
      default:
      // LSR and MSR are for factory testing when written (8.4, 8.7).
    }
    this.update();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return NS8250_STATE.save(this);
  }

  /** Takes back what {@link save} gave; the level of the line is the controller's to restore. */
  load(saved: SavedValue, where: string): void {
    NS8250_STATE.load(this, saved, where);
    this.armTimeout();
  }

  private get capacity(): number {
    return (this.fcr & FCR_ENABLE) === 0 ? 1 : FIFO_SIZE;
  }

  private get trigger(): number {
    return (this.fcr & FCR_ENABLE) === 0 ? 1 : TRIGGER_LEVELS[(this.fcr >> 6) as 0 | 1 | 2 | 3];
  }

  private readData(): number {
    const entry = this.fifo.shift() ?? 0;
    this.timedOut = false;
    this.armTimeout();
    this.exposeBreak();
    this.update();
    this.offerSpace();
    return entry & 0xff;
  }

  private writeData(value: number): void {
    if ((this.mcr & MCR_LOOP) === 0) this.peer.transmit(value);
    else if (this.fifo.length < this.capacity) {
      this.fifo.push(value);
      this.received();
    } else this.lsr |= LSR_OE;
    // The byte is on its way already, so that the register is empty again: a new event.
    this.transmitIdle = true;
  }

  private writeEnables(value: number): void {
    // Enabling the interrupt while the register is empty raises it (8.5, table V).
    if ((value & ~this.ier & IER_ETBEI) !== 0) this.transmitIdle = true;
    this.ier = value;
  }

  private writeFifoControl(value: number): void {
    // Changing the enable bit clears both FIFOs; the other bits count only with it set (8.3).
    const toggled = ((this.fcr ^ value) & FCR_ENABLE) !== 0;
    const enabled = (value & FCR_ENABLE) !== 0;
    this.fcr = enabled ? value & 0xc9 : 0;
    if (!toggled && !(enabled && (value & FCR_RESET_RECEIVER) !== 0)) return;
    this.fifo = [];
    this.timedOut = false;
    this.lsr &= ~LSR_BI;
    this.armTimeout();
    this.offerSpace();
  }

  private writeModemControl(value: number): void {
    const leaving = (this.mcr & ~value & MCR_LOOP) !== 0;
    this.mcr = value;
    this.updateModemStatus();
    if (leaving) this.offerSpace();
  }

  private readIdentification(): number {
    const source = this.source();
    if (source === IIR_THR_EMPTY) {
      this.transmitIdle = false;
      this.update();
    }
    return source | ((this.fcr & FCR_ENABLE) === 0 ? 0 : IIR_FIFOS);
  }

  private readLineStatus(): number {
    const ready = this.fifo.length > 0 ? LSR_DR : 0;
    const inFifo = (this.fcr & FCR_ENABLE) !== 0 && this.fifo.some((entry) => entry > 0xff);
    const status = this.lsr | ready | LSR_THRE | LSR_TEMT | (inFifo ? LSR_FIFO_ERROR : 0);
    this.lsr = 0;
    if (this.fifo.length > 0) this.fifo[0] &= 0xff;
    this.update();
    return status;
  }

  private readModemStatus(): number {
    const status = this.msr;
    this.msr &= 0xf0;
    this.update();
    return status;
  }

  /** The modem inputs: a peer that is always there, or in loopback the outputs (8.7). */
  private modemLines(): number {
    if ((this.mcr & MCR_LOOP) === 0) return MSR_CTS | MSR_DSR | MSR_DCD;
    return (
      ((this.mcr & MCR_RTS) !== 0 ? MSR_CTS : 0) |
      ((this.mcr & MCR_DTR) !== 0 ? MSR_DSR : 0) |
      ((this.mcr & MCR_OUT1) !== 0 ? MSR_RI : 0) |
      ((this.mcr & MCR_OUT2) !== 0 ? MSR_DCD : 0)
    );
  }

  private updateModemStatus(): void {
    const lines = this.modemLines();
    const changed = lines ^ (this.msr & 0xf0);
    // Deltas lie four bits below their lines; for RI only the trailing edge counts.
    let deltas = (changed >> 4) & (MSR_DDCD | 3);
    if ((changed & MSR_RI) !== 0 && (lines & MSR_RI) === 0) deltas |= MSR_TERI;
    this.msr = lines | (this.msr & 0x0f) | deltas;
  }

  private received(): void {
    this.timedOut = false;
    this.exposeBreak();
    this.armTimeout();
    this.update();
  }

  /** A break shows in LSR when its character is at the top of the FIFO (8.4). */
  private exposeBreak(): void {
    if (this.fifo.length > 0 && this.fifo[0] > 0xff) this.lsr |= LSR_BI;
  }

  /** The timeout runs while there are characters in the FIFO, too few for the trigger (8.6.1). */
  private armTimeout(): void {
    const { length } = this.fifo;
    if ((this.fcr & FCR_ENABLE) === 0 || length === 0 || length >= this.trigger || this.timedOut) {
      this.timer.cancel();
      return;
    }
    const characterBits = 10 + (this.lcr & 3);
    this.timer.arm(this.clock.now() + (4 * characterBits * 1e9) / this.baudRate);
  }

  private timeout(): void {
    this.timedOut = true;
    this.update();
  }

  private offerSpace(): void {
    if (!this.refused || (this.mcr & MCR_LOOP) !== 0) return;
    this.refused = false;
    this.peer.onSpace?.();
  }

  /** The pending source of the highest priority, as IIR names it (table V). */
  private source(): number {
    const { ier } = this;
    if ((ier & IER_ELSI) !== 0 && (this.lsr & (LSR_OE | LSR_BI)) !== 0) return IIR_LINE_STATUS;
    if ((ier & IER_ERBFI) !== 0) {
      if (this.fifo.length >= this.trigger) return IIR_DATA;
      if (this.timedOut && this.fifo.length > 0) return IIR_TIMEOUT;
    }
    if ((ier & IER_ETBEI) !== 0 && this.transmitIdle) return IIR_THR_EMPTY;
    if ((ier & IER_EDSSI) !== 0 && (this.msr & 0x0f) !== 0) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  private update(): void {
    // OUT2 gates the line on a PC; in loopback its pin is inactive (8.6).
    const gated = (this.mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2;
    this.irq.set(gated && this.source() !== IIR_NONE);
  }
}
