// From the PC16550D data sheet (TL/C/8652), section 8, driven through the ports as a driver does.

import { beforeEach, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { PortBus } from '../bus/port-bus.ts';
import { TimerQueue } from '../bus/timers.ts';
import { Ns8250 } from './ns8250.ts';

const RBR = 0x3f8;
const IER = 0x3f9;
const IIR = 0x3fa;
const FCR = 0x3fa;
const LCR = 0x3fb;
const MCR = 0x3fc;
const LSR = 0x3fd;
const MSR = 0x3fe;
const SCR = 0x3ff;

let clock: VirtualClock;
let timers: TimerQueue;
let bus: PortBus;
let uart: Ns8250;
let sent: number[];
let breaks: boolean[];
let spaces: number;
let irq: boolean;

const out = (port: number, value: number): void => bus.write(port, 1, value);
const inb = (port: number): number => bus.read(port, 1);
const give = (text: string): number => uart.receive(new TextEncoder().encode(text));

function pass(ns: number): void {
  clock.advance(ns);
  timers.run(clock.now());
}

beforeEach(() => {
  clock = new VirtualClock();
  timers = new TimerQueue();
  bus = new PortBus();
  sent = [];
  breaks = [];
  spaces = 0;
  irq = false;
  const peer = {
    transmit: (byte: number) => void sent.push(byte),
    onSpace: () => void spaces++,
    onBreak: (on: boolean) => void breaks.push(on),
  };
  const line = { set: (level: boolean) => void (irq = level) };
  uart = new Ns8250('com1', clock, timers, line, peer);
  bus.claim({ base: 0x3f8, size: 8, owner: uart });
});

test('master reset leaves the registers as in table III', () => {
  uart.reset();
  expect([inb(IER), inb(IIR), inb(LCR), inb(MCR)]).toEqual([0, 0x01, 0, 0]);
  expect(inb(LSR)).toBe(0x60);
  expect(inb(MSR) & 0x0f).toBe(0);
});

test('a byte written is sent, and the transmitter is empty again (8.4)', () => {
  for (const byte of [0x68, 0x69]) {
    expect(inb(LSR) & 0x60).toBe(0x60);
    out(RBR, byte);
  }
  expect(sent).toEqual([0x68, 0x69]);
});

test('the divisor latch hides behind DLAB and sets the rate (8.2)', () => {
  out(LCR, 0x83);
  out(RBR, 0x0c);
  out(IER, 0x00);
  expect([inb(RBR), inb(IER)]).toEqual([0x0c, 0]);
  expect(uart.baudRate).toBe(9600);
  out(LCR, 0x03);
  expect(inb(IER)).toBe(0);
  expect(sent).toEqual([]);
});

test('the scratch register keeps a byte (8.8)', () => {
  out(SCR, 0xa5);
  expect(inb(SCR)).toBe(0xa5);
});

test('IIR shows working FIFOs, and no 64-byte ones (8.5)', () => {
  expect(inb(IIR) >> 6).toBe(0);
  out(FCR, 0x01);
  expect(inb(IIR)).toBe(0xc1);
  out(FCR, 0x21);
  expect(inb(IIR)).toBe(0xc1);
  out(FCR, 0x00);
  expect(inb(IIR)).toBe(0x01);
});

test('without FIFOs one character waits, and interrupts through OUT2 (8.5, 8.6)', () => {
  out(IER, 0x01);
  expect(give('ab')).toBe(1);
  expect(irq).toBe(false);
  out(MCR, 0x08);
  expect(irq).toBe(true);
  expect(inb(IIR)).toBe(0x04);
  expect(inb(LSR)).toBe(0x61);
  expect(spaces).toBe(0);
  expect(inb(RBR)).toBe(0x61);
  expect(spaces).toBe(1);
  expect(irq).toBe(false);
  expect(inb(LSR)).toBe(0x60);
});

test('the receive FIFO interrupts at its trigger level (8.6.1)', () => {
  const levels = [1, 4, 8, 14];
  out(MCR, 0x08);
  out(IER, 0x01);
  for (const [code, level] of levels.entries()) {
    out(FCR, (code << 6) | 0x03);
    for (let i = 1; i < level; i++) give('x');
    expect(irq).toBe(false);
    give('x');
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xc4);
    inb(RBR);
    expect(irq).toBe(false);
  }
});

test('characters below the trigger interrupt after four character times (8.6.1)', () => {
  out(LCR, 0x83);
  out(RBR, 12);
  out(LCR, 0x03);
  out(MCR, 0x08);
  out(FCR, 0xc1);
  out(IER, 0x01);
  give('abc');
  const fourCharacters = (4 * 13 * 1e9) / 9600;
  pass(fourCharacters - 1000);
  expect(irq).toBe(false);
  give('d');
  pass(fourCharacters - 1000);
  expect(irq).toBe(false);
  pass(1001);
  expect(irq).toBe(true);
  expect(inb(IIR)).toBe(0xcc);
  expect(inb(RBR)).toBe(0x61);
  expect(irq).toBe(false);
  pass(fourCharacters + 1);
  expect(inb(IIR)).toBe(0xcc);
});

test('receive() takes what fits and onSpace() asks for the rest', () => {
  out(FCR, 0x01);
  expect(give('0123456789abcdefgh')).toBe(16);
  expect(give('gh')).toBe(0);
  inb(RBR);
  expect(spaces).toBe(1);
  inb(RBR);
  expect(spaces).toBe(1);
  expect(give('gh')).toBe(2);
  let text = '';
  while ((inb(LSR) & 1) !== 0) text += String.fromCharCode(inb(RBR));
  expect(text).toBe('23456789abcdefgh');
  expect(inb(LSR) & 0x02).toBe(0);
});

test('clearing the FIFO drops what is in it (8.3)', () => {
  out(FCR, 0x01);
  give('0123456789abcdefgh');
  out(FCR, 0x03);
  expect(inb(LSR) & 1).toBe(0);
  expect(spaces).toBe(1);
  give('abc');
  out(FCR, 0x00);
  expect(inb(LSR) & 1).toBe(0);
});

test('enabling ETBEI with an empty transmitter interrupts each time (table V)', () => {
  out(MCR, 0x08);
  for (let i = 0; i < 2; i++) {
    out(IER, 0x02);
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0x02);
    expect(irq).toBe(false);
    expect(inb(IIR)).toBe(0x01);
    out(IER, 0x00);
  }
  out(IER, 0x02);
  inb(IIR);
  out(RBR, 0x61);
  expect(irq).toBe(true);
});

test('sources have the priorities of table V', () => {
  out(MCR, 0x08);
  out(FCR, 0x01);
  out(MCR, 0x18);
  out(MCR, 0x08);
  out(IER, 0x0f);
  uart.receiveBreak();
  expect(inb(IIR)).toBe(0xc6);
  inb(LSR);
  expect(inb(IIR)).toBe(0xc4);
  inb(RBR);
  expect(inb(IIR)).toBe(0xc2);
  expect(inb(IIR)).toBe(0xc0);
  inb(MSR);
  expect(inb(IIR)).toBe(0xc1);
});

test('a received break is a zero with BI, shown when it is at the top (8.4)', () => {
  out(FCR, 0x01);
  give('a');
  expect(uart.receiveBreak()).toBe(true);
  give('b');
  expect(inb(LSR)).toBe(0xe1);
  expect(inb(RBR)).toBe(0x61);
  expect(inb(LSR)).toBe(0xf1);
  expect(inb(LSR)).toBe(0x61);
  expect(inb(RBR)).toBe(0);
  expect(inb(RBR)).toBe(0x62);
});

test('LCR bit 6 sends a break (8.1)', () => {
  out(LCR, 0x43);
  out(LCR, 0x43);
  out(LCR, 0x03);
  expect(breaks).toEqual([true, false]);
});

test('loopback joins outputs and inputs, and shuts the line out (8.6, 8.7)', () => {
  out(MCR, 0x1a);
  expect(inb(MSR) & 0xf0).toBe(0x90);
  out(MCR, 0x15);
  expect(inb(MSR) & 0xf0).toBe(0x60);
  out(RBR, 0x55);
  expect(give('x')).toBe(0);
  expect(sent).toEqual([]);
  expect(inb(RBR)).toBe(0x55);
  out(RBR, 1);
  out(RBR, 2);
  expect(inb(LSR) & 0x03).toBe(0x03);
  out(MCR, 0x10);
  expect(inb(MSR) & 0x04).toBe(0x04);
  out(MCR, 0x00);
  expect(spaces).toBe(1);
  expect(inb(MSR)).toBe(0xbb);
  expect(inb(MSR)).toBe(0xb0);
});

test('load() goes on where save() was', () => {
  out(FCR, 0xc1);
  out(MCR, 0x08);
  out(IER, 0x01);
  give('abc');
  const state = structuredClone(uart.save());
  uart.reset();
  uart.load(state, 'com1');
  pass(1e9);
  expect(irq).toBe(true);
  expect([inb(IIR), inb(RBR), inb(MCR)]).toEqual([0xcc, 0x61, 0x08]);
});
