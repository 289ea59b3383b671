// Ports 0x92, 0x60, 0x64: IBM PS/2 hardware reference; 0xCF9: PIIX4 data sheet, section 4.1.

import { beforeEach, expect, test } from 'vitest';
import { PortBus } from '../bus/port-bus.ts';
import { ExitPort, I8042, PostPort, ResetControl, SystemControlPortA } from './system-control.ts';

let bus: PortBus;
let resets: number;
let exits: number[];

const out = (port: number, value: number): void => bus.write(port, 1, value);
const inb = (port: number): number => bus.read(port, 1);

beforeEach(() => {
  bus = new PortBus();
  resets = 0;
  exits = [];
  const resetMachine = (): void => void resets++;
  const keyboard = new I8042(resetMachine);
  bus.claim({ base: 0x92, size: 1, owner: new SystemControlPortA(resetMachine) });
  bus.claim({ base: 0xcf9, size: 1, owner: new ResetControl(resetMachine) });
  bus.claim({ base: 0x60, size: 1, owner: keyboard.data });
  bus.claim({ base: 0x64, size: 1, owner: keyboard.command });
  bus.claim({ base: 0x80, size: 1, owner: new PostPort() });
  bus.claim({ base: 0xf4, size: 4, owner: new ExitPort((value) => void exits.push(value)) });
});

test('port 0x92 resets when bit 0 rises, and shows A20 on', () => {
  expect(inb(0x92)).toBe(0x02);
  out(0x92, 0x00);
  out(0x92, 0x02);
  expect(resets).toBe(0);
  out(0x92, 0x03);
  expect(resets).toBe(1);
  out(0x92, 0x03);
  expect(resets).toBe(1);
});

test('port 0xCF9 resets when bit 2 rises', () => {
  out(0xcf9, 0x02);
  expect([resets, inb(0xcf9)]).toEqual([0, 0x02]);
  out(0xcf9, 0x06);
  expect(resets).toBe(1);
});

test('the keyboard controller resets by command 0xFE and by its output port', () => {
  out(0x64, 0xfe);
  expect(resets).toBe(1);
  out(0x64, 0xff);
  out(0x60, 0x00);
  expect(resets).toBe(1);
  out(0x64, 0xd1);
  out(0x60, 0xdf);
  expect(resets).toBe(1);
  out(0x64, 0xd1);
  out(0x60, 0xfe);
  expect(resets).toBe(2);
});

test('who waits for the keyboard controller to take a command waits for two reads', () => {
  expect(inb(0x64)).toBe(0xff);
  expect(inb(0x64) & 0x02).toBe(0);
});

test('the keyboard controller reads as if there were none, again and again', () => {
  for (let i = 0; i < 20; i++) expect([inb(0x64), inb(0x60)]).toEqual([0xff, 0xff]);
});

test('the exit port reports what is written, of any width', () => {
  out(0xf4, 0x10);
  bus.write(0xf4, 4, 0x12345678);
  expect(exits).toEqual([0x10, 0x12345678]);
  expect(inb(0xf4)).toBe(0);
});

test('the POST port keeps its byte', () => {
  out(0x80, 0x5a);
  expect(inb(0x80)).toBe(0x5a);
});
