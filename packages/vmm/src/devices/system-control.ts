// The small ports by which a PC is reset and told other things: system control port A (0x92), the
// reset control register (0xCF9) of the PIIX and ICH chipsets, an 8042 keyboard controller that has
// only its output port, the POST port (0x80), and QEMU's isa-debug-exit. Follows the IBM PS/2
// hardware reference for ports 0x92, 0x60 and 0x64 and the 82371AB (PIIX4) data sheet, section 4.1,
// for 0xCF9. The address line A20 is always on: its bits are kept, and do nothing else.

import { flag, type SavedValue, savedFields, u8 } from '../base/saved-state.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';

const PORT_A_FAST_RESET = 0x01;
const PORT_A_A20 = 0x02;

/** What a suspension keeps of {@link SystemControlPortA} and {@link ResetControl}. */
const CONTROL_PORT_STATE = savedFields({ value: u8 });

/** System control port A: one port. */
export class SystemControlPortA implements PortDevice {
  readonly name = 'port 92';
  private readonly resetMachine: () => void;
  private value: number = PORT_A_A20;

  constructor(resetMachine: () => void) {
    this.resetMachine = resetMachine;
  }

  readPort(): number {
    return this.value;
  }

  writePort(_offset: number, _size: PortSize, value: number): void {
    const rising = (value & ~this.value & PORT_A_FAST_RESET) !== 0;
    this.value = value;
    if (rising) this.resetMachine();
  }

  /** Power-on. */
  reset(): void {
    this.value = PORT_A_A20;
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return CONTROL_PORT_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    CONTROL_PORT_STATE.load(this, saved, where);
  }
}

const RESET_CPU = 0x04;
const RESET_CONTROL_WRITABLE = 0x0e;

/** The reset control register: one port, inside PCI's address register. */
export class ResetControl implements PortDevice {
  readonly name = 'reset control';
  private readonly resetMachine: () => void;
  private value = 0;

  constructor(resetMachine: () => void) {
    this.resetMachine = resetMachine;
  }

  readPort(): number {
    return this.value;
  }

  writePort(_offset: number, _size: PortSize, value: number): void {
    const rising = (value & ~this.value & RESET_CPU) !== 0;
    this.value = value & RESET_CONTROL_WRITABLE;
    if (rising) this.resetMachine();
  }

  /** Power-on. */
  reset(): void {
    this.value = 0;
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return CONTROL_PORT_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    CONTROL_PORT_STATE.load(this, saved, where);
  }
}

const STATUS_INPUT_BUFFER_FULL = 0x02;
const COMMAND_WRITE_OUTPUT_PORT = 0xd1;
/** Commands 0xF0-0xFF pulse the output port's bits that are 0 in the low nibble. */
const COMMAND_PULSE = 0xf0;
const OUTPUT_PORT_NOT_RESET = 0x01;

/** What a suspension keeps of {@link I8042}. */
const I8042_STATE = savedFields({ outputPortNext: flag });

/**
 * The 8042 of a machine without keyboard and mouse: claim port 0x60 for `data`, 0x64 for
 * `command`. Only its reset line is wired. Reads are those of an empty socket (all ones), which
 * boot loaders look for before they use the controller, and which a driver that drains the output
 * buffer gives up on at once; except that who reads the status again and again, as one does who
 * waits to write the reset, finds that the input buffer is not full.
 */
export class I8042 {
  readonly data: PortDevice;
  readonly command: PortDevice;
  private readonly resetMachine: () => void;
  private outputPortNext = false;
  /** The status was the last to be read. Transient: another read of it says the same. */
  private statusRead = false;

  constructor(resetMachine: () => void) {
    this.resetMachine = resetMachine;
    this.data = {
      name: 'i8042 data',
      readPort: () => this.readData(),
      writePort: (_offset, _size, value) => this.writeData(value),
    };
    this.command = {
      name: 'i8042 command',
      readPort: () => this.readStatus(),
      writePort: (_offset, _size, value) => this.writeCommand(value),
    };
  }

  /** Power-on. */
  reset(): void {
    this.outputPortNext = false;
    this.statusRead = false;
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return I8042_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    I8042_STATE.load(this, saved, where);
  }

  private readData(): number {
    this.statusRead = false;
    return 0xff;
  }

  private readStatus(): number {
    const isWaiting = this.statusRead;
    this.statusRead = true;
    return isWaiting ? 0xff & ~STATUS_INPUT_BUFFER_FULL : 0xff;
  }

  private writeCommand(value: number): void {
    this.outputPortNext = value === COMMAND_WRITE_OUTPUT_PORT;
    if (value >= COMMAND_PULSE && (value & OUTPUT_PORT_NOT_RESET) === 0) this.resetMachine();
  }

  private writeData(value: number): void {
    if (this.outputPortNext && (value & OUTPUT_PORT_NOT_RESET) === 0) this.resetMachine();
    this.outputPortNext = false;
  }
}

/** The POST port: keeps the last byte written. Kernels write it to pass about a microsecond. */
export class PostPort implements PortDevice {
  readonly name = 'post port';
  /** Transient: nobody reads it back but to pass time. */
  private value = 0;

  readPort(): number {
    return this.value;
  }

  writePort(_offset: number, _size: PortSize, value: number): void {
    this.value = value;
  }
}

/** QEMU's isa-debug-exit: a value written ends the run. Up to four ports wide, reads are zero. */
export class ExitPort implements PortDevice {
  readonly name = 'exit port';
  readonly portSizeMax = 4;
  private readonly exit: (value: number) => void;

  /** `exit` receives the value written; its meaning as a status is the caller's. */
  constructor(exit: (value: number) => void) {
    this.exit = exit;
  }

  readPort(): number {
    return 0;
  }

  writePort(_offset: number, _size: PortSize, value: number): void {
    this.exit(value);
  }
}
