// Intel 8259A programmable interrupt controller, and the pair of a PC with its edge/level
// registers. Follows the 8259A data sheet (231468-003) in 8086 mode, and for ELCR the 82371AB
// (PIIX4) data sheet, section 4.2.3. Modelled: ICW1-4, OCW1-3, rotation, special mask, poll,
// automatic EOI, special fully nested mode, spurious requests. Not modelled: MCS-80 vectors,
// buffered mode, LTIM (a PC's ELCR takes its place, as in the PIIX4), a slave elsewhere than at
// IR2.

import { flag, list, part, type SavedValue, savedFields, u8, whole } from '../base/saved-state.ts';
import type { InterruptController, IrqLine } from '../bus/irq.ts';
import type { PortDevice, PortSize } from '../bus/port-bus.ts';

// ICW1 and OCW2/3 share address 0; bits 4 and 3 tell them apart.
const ICW1_INIT = 0x10;
const ICW1_IC4 = 0x01;
const ICW1_SNGL = 0x02;
const ICW4_AEOI = 0x02;
const ICW4_SFNM = 0x10;
const OCW3 = 0x08;
const OCW3_RIS = 0x01;
const OCW3_RR = 0x02;
const OCW3_P = 0x04;
const OCW3_SMM = 0x20;
const OCW3_ESMM = 0x40;

/** OCW2's upper three bits, R, SL and EOI (data sheet, figure 8). */
const OCW2 = {
  ROTATE_IN_AEOI_CLEAR: 0,
  NON_SPECIFIC_EOI: 1,
  NO_OPERATION: 2,
  SPECIFIC_EOI: 3,
  ROTATE_IN_AEOI_SET: 4,
  ROTATE_ON_NON_SPECIFIC_EOI: 5,
  SET_PRIORITY: 6,
  ROTATE_ON_SPECIFIC_EOI: 7,
} as const;

/** What a suspension keeps of {@link I8259}. */
const I8259_STATE = savedFields({
  irr: u8,
  isr: u8,
  imr: u8,
  lines: u8,
  levelTriggered: u8,
  vectorBase: u8,
  top: whole(0, 7),
  nextIcw: whole(0, 4),
  icw1: u8,
  icw4: u8,
  readIsr: flag,
  poll: flag,
  specialMask: flag,
  rotateInAeoi: flag,
});

/** One 8259A: two ports. */
export class I8259 implements PortDevice {
  readonly name: string;
  private readonly outputChanged: () => void;
  private readonly cascade: number;
  private irr = 0;
  private isr = 0;
  private imr = 0;
  /** The levels of the eight inputs. */
  private lines = 0;
  private levelTriggered = 0;
  private vectorBase = 0;
  /** The input with the highest priority; it moves by rotation. */
  private top = 0;
  /** The initialization word that the next write to address 1 is: 2, 3, 4, or 0 when done. */
  private nextIcw = 0;
  private icw1 = 0;
  private icw4 = 0;
  private readIsr = false;
  private poll = false;
  private specialMask = false;
  private rotateInAeoi = false;
  /** The input whose request drives INT, or -1. Transient: follows from the registers. */
  private request = -1;

  /** `outputChanged` is called when INT has changed; a slave hangs on input `cascade`, if any. */
  constructor(name: string, outputChanged: () => void, cascade = -1) {
    this.name = name;
    this.outputChanged = outputChanged;
    this.cascade = cascade;
  }

  /** The INT output. */
  get int(): boolean {
    return this.request >= 0;
  }

  /** Drives input `input` (0..7). */
  setLine(input: number, level: boolean): void {
    const bit = 1 << input;
    const was = (this.lines & bit) !== 0;
    if (was === level) return;
    // A request lasts no longer than its input stays high: figure 9 and "Default IR7".
    if (level) {
      this.lines |= bit;
      this.irr |= bit;
    } else {
      this.lines &= ~bit;
      this.irr &= ~bit;
    }
    this.update();
  }

  /** Makes the inputs in `mask` level triggered, all others edge triggered. */
  setLevelTriggered(mask: number): void {
    this.levelTriggered = mask;
    this.irr |= this.lines & mask;
    this.update();
  }

  /**
   * The INTA cycle. Returns the input served, or -1 when the request has gone: the vector is then
   * that of input 7, and nothing is in service.
   */
  acknowledge(): number {
    const input = this.request;
    if (input < 0) return -1;
    const bit = 1 << input;
    if ((this.levelTriggered & bit) === 0) this.irr &= ~bit;
    if ((this.icw4 & ICW4_AEOI) === 0) this.isr |= bit;
    else if (this.rotateInAeoi) this.top = (input + 1) & 7;
    this.update();
    return input;
  }

  /** The vector that the chip puts on the bus for an input. */
  vector(input: number): number {
    return this.vectorBase | input;
  }

  /** Power-on. The data sheet leaves the registers undefined until ICW1; here nothing is masked. */
  reset(): void {
    this.irr = this.isr = this.imr = this.lines = 0;
    this.vectorBase = this.top = this.nextIcw = this.icw1 = this.icw4 = 0;
    this.readIsr = this.poll = this.specialMask = this.rotateInAeoi = false;
    this.levelTriggered = 0;
    this.update();
  }

  readPort(offset: number, _size: PortSize): number {
    if (this.poll) {
      this.poll = false;
      const input = this.acknowledge();
      return input < 0 ? 0 : 0x80 | input;
    }
    if (offset === 1) return this.imr;
    return this.readIsr ? this.isr : this.irr;
  }

  writePort(offset: number, _size: PortSize, value: number): void {
    if (offset === 1) this.writeData(value);
    else if ((value & ICW1_INIT) !== 0) this.initialize(value);
    else if ((value & OCW3) !== 0) this.writeOcw3(value);
    else this.writeOcw2(value >> 5, value & 7);
    this.update();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return I8259_STATE.save(this);
  }

  /** Takes back what {@link save} gave. The inputs keep their saved levels, without edges. */
  load(saved: SavedValue, where: string): void {
    I8259_STATE.load(this, saved, where);
    this.update();
  }

  /** ICW1, and what it does by itself: data sheet, "Initialization command words 1 and 2". */
  private initialize(value: number): void {
    this.icw1 = value;
    this.nextIcw = 2;
    this.imr = 0;
    this.isr = 0;
    this.top = 0;
    // The edge sense circuit is reset: an input must fall and rise to request again.
    this.irr = this.lines & this.levelTriggered;
    this.specialMask = this.readIsr = this.poll = this.rotateInAeoi = false;
    if ((value & ICW1_IC4) === 0) this.icw4 = 0;
  }

  private writeData(value: number): void {
    switch (this.nextIcw) {
      case 2:
        this.vectorBase = value & 0xf8;
        if ((this.icw1 & ICW1_SNGL) === 0) this.nextIcw = 3;
        else this.nextIcw = (this.icw1 & ICW1_IC4) === 0 ? 0 : 4;
        return;
      case 3:
        // Which input a slave hangs on is soldered in a PC.
        this.nextIcw = (this.icw1 & ICW1_IC4) === 0 ? 0 : 4;
        return;
      case 4:
        this.icw4 = value;
        this.nextIcw = 0;
        return;
      default:
        this.imr = value;
    }
  }

  private writeOcw3(value: number): void {
    if ((value & OCW3_P) !== 0) this.poll = true;
    if ((value & OCW3_RR) !== 0) this.readIsr = (value & OCW3_RIS) !== 0;
    if ((value & OCW3_ESMM) !== 0) this.specialMask = (value & OCW3_SMM) !== 0;
  }

  private writeOcw2(command: number, level: number): void {
    switch (command) {
      case OCW2.ROTATE_IN_AEOI_CLEAR:
      case OCW2.ROTATE_IN_AEOI_SET:
        this.rotateInAeoi = command === OCW2.ROTATE_IN_AEOI_SET;
        return;
      case OCW2.NON_SPECIFIC_EOI:
      case OCW2.ROTATE_ON_NON_SPECIFIC_EOI: {
        // In special mask mode a masked level is not reached by the non-specific command.
        const input = this.highest(this.specialMask ? this.isr & ~this.imr : this.isr);
        if (input < 0) return;
        this.isr &= ~(1 << input);
        if (command === OCW2.ROTATE_ON_NON_SPECIFIC_EOI) this.top = (input + 1) & 7;
        return;
      }
      case OCW2.SPECIFIC_EOI:
        this.isr &= ~(1 << level);
        return;
      case OCW2.ROTATE_ON_SPECIFIC_EOI:
        this.isr &= ~(1 << level);
        this.top = (level + 1) & 7;
        return;
      case OCW2.SET_PRIORITY:
        this.top = (level + 1) & 7;
        return;
    }
  }

  /** The input of highest priority among the bits, or -1. */
  private highest(bits: number): number {
    if (bits === 0) return -1;
    for (let step = 0; step < 8; step++) {
      const input = (this.top + step) & 7;
      if ((bits & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  /** How far an input is from the top; 8 for none. */
  private rank(input: number): number {
    return input < 0 ? 8 : (input - this.top) & 7;
  }

  /** The priority resolver. */
  private update(): void {
    const candidate = this.highest(this.irr & ~this.imr);
    let serving = this.isr;
    if (this.specialMask) serving &= ~this.imr;
    let blocked = this.rank(this.highest(serving));
    // Special fully nested: a slave in service may bring requests of its own higher levels.
    const nested = (this.icw4 & ICW4_SFNM) !== 0 && candidate === this.cascade;
    if (nested && this.rank(candidate) === blocked) blocked++;
    const request = this.rank(candidate) < blocked ? candidate : -1;
    if (request === this.request) return;
    this.request = request;
    this.outputChanged();
  }
}

const CASCADE = 2;
/** Lines that are edge triggered whatever ELCR says: timer, keyboard, cascade; clock and FPU. */
const ELCR_WRITABLE = [0xf8, 0xde] as const;

/** What a suspension keeps of {@link I8259Pair}. */
const I8259_PAIR_STATE = savedFields({
  elcrBits: list(u8, 2, 2),
  // The slave's request reaches the master's input.
  slave: part,
  master: part,
});

/** Master and slave of a PC: sixteen lines, one INTR. Ports: each chip's two, and ELCR's two. */
export class I8259Pair implements InterruptController {
  readonly master: I8259 = new I8259('i8259 master', () => {}, CASCADE);
  readonly slave: I8259 = new I8259('i8259 slave', () => this.cascade());
  /** ELCR1 and ELCR2: a set bit makes the line level triggered. */
  readonly elcr: PortDevice;
  private elcrBits: readonly number[] = [0, 0];

  constructor() {
    this.elcr = {
      name: 'i8259 elcr',
      readPort: (offset) => this.elcrBits[offset & 1]!,
      writePort: (offset, _size, value) => this.writeElcr(offset & 1, value),
    };
  }

  /** Line `irq`, 0..15 without 2, for the device that drives it. */
  line(irq: number): IrqLine {
    const chip = irq < 8 ? this.master : this.slave;
    return { set: (level) => chip.setLine(irq & 7, level) };
  }

  /** Makes line `irq` level triggered, as firmware does for PCI interrupts. */
  setLevelTriggered(irq: number): void {
    const register = irq >> 3;
    this.writeElcr(register, this.elcrBits[register] | (1 << (irq & 7)));
  }

  pending(): boolean {
    return this.master.int;
  }

  acknowledge(): number {
    const input = this.master.acknowledge();
    if (input < 0) return this.master.vector(7);
    if (input !== CASCADE) return this.master.vector(input);
    // The slave's INT falls in the INTA cycle, so that what it asks next is an edge for the master.
    this.master.setLine(CASCADE, false);
    const slaveInput = this.slave.acknowledge();
    this.cascade();
    return this.slave.vector(slaveInput < 0 ? 7 : slaveInput);
  }

  /** Power-on. */
  reset(): void {
    this.elcrBits = [0, 0];
    this.master.reset();
    this.slave.reset();
  }

  /** What a suspension keeps. */
  save(): SavedValue {
    return I8259_PAIR_STATE.save(this);
  }

  /** Takes back what {@link save} gave. */
  load(saved: SavedValue, where: string): void {
    I8259_PAIR_STATE.load(this, saved, where);
  }

  private cascade(): void {
    this.master.setLine(CASCADE, this.slave.int);
  }

  private writeElcr(register: number, value: number): void {
    const bits = value & ELCR_WRITABLE[register & 1];
    this.elcrBits = this.elcrBits.map((old, index) => (index === register ? bits : old));
    const chip = register === 0 ? this.master : this.slave;
    chip.setLevelTriggered(bits);
  }
}
