// From the 8259A data sheet (231468-003), by section, driven through the ports of a PC.

import { beforeEach, expect, test } from 'vitest';
import { PortBus } from '../bus/port-bus.ts';
import { I8259Pair } from './i8259.ts';

let bus: PortBus;
let pics: I8259Pair;

const out = (port: number, value: number): void => bus.write(port, 1, value);
const inb = (port: number): number => bus.read(port, 1);
const raise = (irq: number): void => pics.line(irq).set(true);
const lower = (irq: number): void => pics.line(irq).set(false);

/** Initializes both as PC firmware and kernels do: vectors 0x20 and 0x28, nothing masked. */
function initialize(icw4 = 0x01): void {
  out(0x20, 0x11);
  out(0x21, 0x20);
  out(0x21, 0x04);
  out(0x21, icw4);
  out(0xa0, 0x11);
  out(0xa1, 0x28);
  out(0xa1, 0x02);
  out(0xa1, icw4);
}

function served(): number | undefined {
  return pics.pending() ? pics.acknowledge() : undefined;
}

beforeEach(() => {
  bus = new PortBus();
  pics = new I8259Pair();
  bus.claim({ base: 0x20, size: 2, owner: pics.master });
  bus.claim({ base: 0xa0, size: 2, owner: pics.slave });
  bus.claim({ base: 0x4d0, size: 2, owner: pics.elcr });
  initialize();
});

test('ICW2 gives the vectors, of both chips (ICW2)', () => {
  raise(0);
  expect(served()).toBe(0x20);
  out(0x20, 0x20);
  raise(8);
  expect(served()).toBe(0x28);
  expect(inb(0x20)).toBe(0);
});

test('ICW1 clears masks and makes a high input wait for its next edge (ICW1)', () => {
  out(0x21, 0xfb);
  raise(3);
  initialize();
  expect(inb(0x21)).toBe(0);
  expect(pics.pending()).toBe(false);
  lower(3);
  raise(3);
  expect(served()).toBe(0x23);
});

test('ICW1 with SNGL and without IC4 is followed by ICW2 alone (figure 7)', () => {
  out(0x20, 0x12);
  out(0x21, 0x48);
  out(0x21, 0xf0);
  expect(inb(0x21)).toBe(0xf0);
  raise(1);
  expect(served()).toBe(0x49);
});

test('OCW1 masks, and the mask reads back before and after initialization (OCW1)', () => {
  out(0x21, 0x02);
  raise(1);
  expect(pics.pending()).toBe(false);
  expect(inb(0x20)).toBe(0x02);
  out(0x21, 0x00);
  expect(served()).toBe(0x21);
  out(0xa1, 0xfb);
  expect(inb(0xa1)).toBe(0xfb);
});

test('lower requests wait for the end of interrupt, higher ones nest (Fully nested mode)', () => {
  raise(4);
  expect(served()).toBe(0x24);
  raise(5);
  expect(served()).toBeUndefined();
  raise(1);
  expect(served()).toBe(0x21);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0x12);
  out(0x20, 0x20);
  expect(inb(0x20)).toBe(0x10);
  expect(served()).toBeUndefined();
  out(0x20, 0x20);
  expect(served()).toBe(0x25);
});

test('a slave request nests above IRQ 3 and needs both ends of interrupt (Cascade mode)', () => {
  raise(3);
  expect(served()).toBe(0x23);
  raise(12);
  expect(served()).toBe(0x2c);
  raise(9);
  expect(served()).toBeUndefined();
  out(0x20, 0x62);
  expect(served()).toBe(0x29);
  out(0xa0, 0x20);
  out(0x20, 0x62);
  out(0xa0, 0x0b);
  expect(inb(0xa0)).toBe(0x10);
});

test('a second slave request is served after the ends of the first', () => {
  raise(9);
  raise(10);
  expect(served()).toBe(0x29);
  out(0xa0, 0x20);
  out(0x20, 0x20);
  expect(served()).toBe(0x2a);
});

test('a specific end of interrupt picks its level (OCW2)', () => {
  raise(5);
  served();
  raise(2 + 1);
  served();
  out(0x20, 0x65);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0x08);
});

test('rotation on EOI makes the served level the lowest (Automatic rotation)', () => {
  raise(4);
  raise(6);
  expect(served()).toBe(0x24);
  out(0x20, 0xa0);
  lower(4);
  raise(4);
  raise(5);
  expect(served()).toBe(0x25);
  out(0x20, 0x20);
  expect(served()).toBe(0x26);
  out(0x20, 0x20);
  expect(served()).toBe(0x24);
});

test('Set Priority names the lowest level (Specific rotation)', () => {
  out(0x20, 0xc5);
  raise(0);
  raise(6);
  expect(served()).toBe(0x26);
  out(0x20, 0xe6);
  raise(7);
  expect(served()).toBe(0x27);
});

test('automatic EOI leaves nothing in service, and rotates when told (AEOI)', () => {
  initialize(0x03);
  raise(4);
  raise(6);
  expect(served()).toBe(0x24);
  expect(served()).toBe(0x26);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0);
  out(0x20, 0x80);
  for (const irq of [4, 6]) lower(irq);
  for (const irq of [4, 6]) raise(irq);
  expect(served()).toBe(0x24);
  lower(4);
  raise(4);
  expect(served()).toBe(0x26);
  raise(9);
  raise(10);
  expect([served(), served(), served()]).toEqual([0x29, 0x24, 0x2a]);
});

test('special mask mode lets lower levels in past a masked one in service (Special mask)', () => {
  raise(4);
  served();
  out(0x21, 0x10);
  raise(6);
  expect(pics.pending()).toBe(false);
  out(0x20, 0x68);
  expect(served()).toBe(0x26);
  out(0x20, 0x20);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0x10);
  out(0x20, 0x20);
  expect(inb(0x20)).toBe(0x10);
  out(0x20, 0x48);
  out(0x20, 0x20);
  expect(inb(0x20)).toBe(0);
});

test('special fully nested mode lets a slave nest in itself (Special fully nested mode)', () => {
  raise(12);
  expect(served()).toBe(0x2c);
  raise(8);
  expect(served()).toBeUndefined();
  lower(8);
  lower(12);
  initialize(0x11);
  raise(12);
  expect(served()).toBe(0x2c);
  raise(8);
  expect(served()).toBe(0x28);
  raise(3);
  expect(served()).toBeUndefined();
});

test('a poll acknowledges and names the level (Poll command)', () => {
  out(0x21, 0xff);
  out(0x20, 0x0c);
  expect(inb(0x20)).toBe(0);
  out(0x21, 0);
  raise(5);
  out(0x20, 0x0c);
  expect(inb(0x20)).toBe(0x85);
  expect(pics.pending()).toBe(false);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0x20);
});

test('a request that goes away is level 7, nothing in service (IR triggering)', () => {
  raise(5);
  expect(pics.pending()).toBe(true);
  lower(5);
  expect(pics.acknowledge()).toBe(0x27);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0);
});

test('a slave that lost its request gives 15, with the cascade in service', () => {
  raise(14);
  // As if the slave dropped its request between the two INTA pulses: only the master serves.
  const { master, slave } = pics;
  expect(master.int).toBe(true);
  expect(slave.acknowledge()).toBe(6);
  master.setLine(2, true);
  expect(pics.acknowledge()).toBe(0x2f);
  out(0x20, 0x0b);
  expect(inb(0x20)).toBe(0x04);
});

test('an edge triggers once; ELCR makes a line ask while it is high (PIIX4 4.2.3)', () => {
  raise(5);
  expect(served()).toBe(0x25);
  out(0x20, 0x20);
  expect(served()).toBeUndefined();
  out(0x4d0, 0xff);
  out(0x4d1, 0xff);
  expect([inb(0x4d0), inb(0x4d1)]).toEqual([0xf8, 0xde]);
  expect(served()).toBe(0x25);
  out(0x20, 0x20);
  expect(served()).toBe(0x25);
  lower(5);
  out(0x20, 0x20);
  expect(served()).toBeUndefined();
});

test('setLevelTriggered() does what firmware writes to ELCR', () => {
  pics.setLevelTriggered(11);
  pics.setLevelTriggered(0);
  expect([inb(0x4d0), inb(0x4d1)]).toEqual([0, 0x08]);
});

test('load() restores requests and service without new edges', () => {
  raise(4);
  served();
  raise(3);
  raise(10);
  const state = structuredClone(pics.save());
  pics.reset();
  expect(pics.pending()).toBe(false);
  pics.load(state, 'i8259');
  expect(served()).toBe(0x2a);
  out(0xa0, 0x20);
  out(0x20, 0x20);
  expect(served()).toBe(0x23);
  raise(3);
  out(0x20, 0x20);
  out(0x20, 0x20);
  expect(served()).toBeUndefined();
});
