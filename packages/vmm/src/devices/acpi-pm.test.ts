// Register by register, after ACPI 6.5, section 4.8.3: status bits are cleared by ones, the line
// is high while an enabled status is, SLP_EN acts and reads zero.
import { beforeEach, expect, test } from 'vitest';
import { AcpiPm } from './acpi-pm.ts';

const STATUS = 0;
const ENABLE = 2;
const CONTROL = 4;
const PWRBTN = 0x100;

let sci: boolean;
let events: string[];
let pm: AcpiPm;
beforeEach(() => {
  sci = false;
  events = [];
  const line = { set: (level: boolean) => void (sci = level) };
  pm = new AcpiPm(line, {
    buttonSeen: () => void events.push('seen'),
    powerOff: () => void events.push('off'),
  });
});

test('nobody listens to the button before it is enabled', () => {
  expect(pm.pressButton()).toBe(false);
  expect([pm.readPort(STATUS, 2), sci]).toEqual([0, false]);
});

test('the button interrupts until its status is cleared by a one', () => {
  pm.writePort(ENABLE, 2, PWRBTN);
  expect(pm.pressButton()).toBe(true);
  expect([pm.readPort(STATUS, 2), sci, events]).toEqual([PWRBTN, true, []]);
  pm.writePort(STATUS, 2, 0xffff & ~PWRBTN);
  expect([pm.readPort(STATUS, 2), sci, events]).toEqual([PWRBTN, true, []]);
  pm.writePort(STATUS, 2, PWRBTN);
  expect([pm.readPort(STATUS, 2), sci, events]).toEqual([0, false, ['seen']]);
});

test('a status that is not enabled does not interrupt', () => {
  pm.writePort(ENABLE, 2, PWRBTN);
  pm.pressButton();
  pm.writePort(ENABLE, 2, 0);
  expect([pm.readPort(STATUS, 2), sci]).toEqual([PWRBTN, false]);
  pm.writePort(ENABLE, 2, PWRBTN);
  expect(sci).toBe(true);
});

test('bytes of the registers can be read and written apart', () => {
  pm.writePort(ENABLE + 1, 1, PWRBTN >> 8);
  pm.writePort(ENABLE, 1, 0x20);
  expect([pm.readPort(ENABLE, 2), pm.readPort(ENABLE + 1, 1)]).toEqual([0x120, 1]);
  pm.pressButton();
  pm.writePort(STATUS, 1, 0xff);
  expect(pm.readPort(STATUS + 1, 1)).toBe(1);
  pm.writePort(STATUS + 1, 1, 1);
  expect(pm.readPort(STATUS, 2)).toBe(0);
});

test('of the enable bits those of clock, button and lock stay', () => {
  pm.writePort(ENABLE, 2, 0xffff);
  expect(pm.readPort(ENABLE, 2)).toBe(0x520);
});

test('ACPI is always on', () => {
  pm.writePort(CONTROL, 2, 0);
  expect(pm.readPort(CONTROL, 2)).toBe(1);
});

test('SLP_EN with S5’s type switches off, with others does nothing, and reads zero', () => {
  for (let type = 0; type < 8; type++) pm.writePort(CONTROL, 2, type << 10);
  expect(events).toEqual([]);
  for (let type = 0; type < 8; type++) {
    if (type !== 5) pm.writePort(CONTROL, 2, (type << 10) | 0x2000);
  }
  expect(events).toEqual([]);
  pm.writePort(CONTROL, 2, (5 << 10) | 0x2000);
  expect(events).toEqual(['off']);
  expect(pm.readPort(CONTROL, 2)).toBe((5 << 10) | 1);
});

test('load() takes back what save() gave, and the line follows; reset() is power-on', () => {
  pm.writePort(ENABLE, 2, PWRBTN);
  pm.pressButton();
  const state = pm.save();
  pm.reset();
  expect([sci, pm.readPort(STATUS, 2), pm.readPort(ENABLE, 2)]).toEqual([false, 0, 0]);
  pm.load(state, 'the file');
  expect([sci, pm.readPort(STATUS, 2), pm.readPort(ENABLE, 2)]).toEqual([true, PWRBTN, PWRBTN]);
});
