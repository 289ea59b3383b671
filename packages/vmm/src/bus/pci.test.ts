// Driven through ports 0xCF8 and 0xCFC as an operating system does. Sections are those of the PCI
// Local Bus Specification 3.0; the ids, lines and their order are OpenBSD vmd(8)'s.

import { beforeEach, expect, test } from 'vitest';
import { MmioBus, type MmioDevice } from './mmio-bus.ts';
import { PciBus } from './pci.ts';
import { PciFunction } from './pci-function.ts';
import { PortBus, type PortDevice } from './port-bus.ts';

const ports: PortDevice = {
  name: 'io',
  portSizeMax: 4,
  readPort: (offset) => 0xa0 + offset,
  writePort: () => {},
};
const registers: MmioDevice = {
  name: 'memory',
  readMmio: (offset) => 0xb0 + offset,
  writeMmio: () => {},
};

let portBus: PortBus;
let mmio: MmioBus;
let pci: PciBus;
let levels: Map<number, boolean>;
let resets: number[];

function device(name: string, device: number): PciFunction {
  return new PciFunction({
    name,
    vendor: 0x1af4,
    device,
    classCode: 0x088000,
    subsystemVendor: 0x0b5d,
    subsystem: 4,
  });
}

const at = (slot: number, register: number): number =>
  (0x80000000 | (slot << 11) | (register & 0xfc)) >>> 0;

function read(slot: number, register: number, size: 1 | 2 | 4): number {
  portBus.write(0xcf8, 4, at(slot, register));
  return portBus.read(0xcfc + (register & 3), size);
}

function write(slot: number, register: number, size: 1 | 2 | 4, value: number): void {
  portBus.write(0xcf8, 4, at(slot, register));
  portBus.write(0xcfc + (register & 3), size, value);
}

beforeEach(() => {
  portBus = new PortBus();
  mmio = new MmioBus();
  levels = new Map();
  resets = [];
  pci = new PciBus({
    ports: portBus,
    mmio,
    line: (irq) => ({ set: (level) => void levels.set(irq, level) }),
    resetControl: {
      name: 'reset',
      readPort: () => 0x02,
      writePort: (_offset, _size, value) => void resets.push(value),
    },
  });
  portBus.claim({ base: 0xcf8, size: 8, owner: pci });
});

test('PciBus answers the probe for mechanism 1 (3.2.2.3.2)', () => {
  portBus.write(0xcfb, 1, 1);
  portBus.write(0xcf8, 4, 0x80000000);
  expect(portBus.read(0xcf8, 4)).toBe(0x80000000);
  expect(portBus.read(0xcfc, 4)).toBe(0x06660b5d);
  portBus.write(0xcf8, 4, 0);
  expect(portBus.read(0xcfc, 4)).toBe(0xffffffff);
});

test('PciBus has the host bridge at device 0 and nothing else (6.2.1)', () => {
  expect(read(0, 0x08, 4)).toBe(0x06000000);
  expect(read(0, 0x0e, 1)).toBe(0);
  expect(read(0, 0x3d, 1)).toBe(0);
  for (let slot = 1; slot < 32; slot++) expect(read(slot, 0, 4)).toBe(0xffffffff);
  portBus.write(0xcf8, 4, 0x80010000);
  expect(portBus.read(0xcfc, 4)).toBe(0xffffffff);
  portBus.write(0xcf8, 4, 0x80000100);
  expect(portBus.read(0xcfc, 4)).toBe(0xffffffff);
});

test('PciBus gives byte and word accesses their lanes', () => {
  expect(read(0, 0x00, 2)).toBe(0x0b5d);
  expect(read(0, 0x02, 2)).toBe(0x0666);
  expect(read(0, 0x0b, 1)).toBe(0x06);
});

test('PciBus passes byte accesses at 0xCF9 to the reset control, dwords to the address', () => {
  portBus.write(0xcf9, 1, 0x06);
  expect(resets).toEqual([6]);
  expect(portBus.read(0xcf9, 1)).toBe(2);
  expect(portBus.read(0xcf8, 4)).toBe(0);
});

test('add() hands out vmd’s interrupt lines in order, and then again', () => {
  const lines = [3, 5, 6, 7, 9, 10, 11, 12, 14, 15];
  for (const [index, irq] of lines.entries()) {
    const slot = pci.add(device(`d${index}`, 0x1005), { interrupt: true });
    expect(slot).toBe(index + 1);
    expect(read(slot, 0x3c, 2)).toBe(0x0100 | irq);
  }
  const eleventh = pci.add(device('d10', 0x1005), { interrupt: true });
  expect(read(eleventh, 0x3c, 2)).toBe(0x0103);
});

test('a BAR tells its size, moves, and is decoded while the command says so (6.2.5.1)', () => {
  const it = device('it', 0x1005);
  it.addRange({ kind: 'io', size: 0x1000, device: ports });
  it.addRange({ kind: 'memory', size: 0x2000, device: registers });
  pci.add(it, { interrupt: true });
  expect(read(1, 0x04, 2)).toBe(3);
  expect(read(1, 0x10, 4)).toBe(0x1001);
  expect(read(1, 0x14, 4)).toBe(0xf0000000);
  expect(portBus.read(0x1004, 1)).toBe(0xa4);
  expect(mmio.read(0xf0000004, 1)).toBe(0xb4);

  write(1, 0x04, 2, 0);
  expect(portBus.read(0x1004, 1)).toBe(0xff);
  expect(mmio.read(0xf0000004, 1)).toBe(0xff);
  write(1, 0x10, 4, 0xffffffff);
  expect(read(1, 0x10, 4)).toBe(0xfffff001);
  write(1, 0x14, 4, 0xffffffff);
  expect(read(1, 0x14, 4)).toBe(0xffffe000);
  write(1, 0x18, 4, 0xffffffff);
  expect(read(1, 0x18, 4)).toBe(0);
  write(1, 0x30, 4, 0xfffff800);
  expect(read(1, 0x30, 4)).toBe(0);

  write(1, 0x10, 4, 0xc000);
  write(1, 0x14, 4, 0xf1000000);
  write(1, 0x04, 2, 3);
  expect(portBus.read(0xc004, 1)).toBe(0xa4);
  expect(mmio.read(0xf1000004, 1)).toBe(0xb4);
  expect(portBus.read(0x1004, 1)).toBe(0xff);
});

test('two ranges can change places', () => {
  for (const name of ['one', 'two']) {
    const it = device(name, 0x1005);
    const base = name === 'one' ? 0x10 : 0x20;
    const owner: PortDevice = { name, readPort: () => base, writePort: () => {} };
    it.addRange({ kind: 'io', size: 0x100, device: owner });
    pci.add(it, { interrupt: true });
  }
  expect([portBus.read(0x1000, 1), portBus.read(0x2000, 1)]).toEqual([0x10, 0x20]);
  write(1, 0x10, 4, 0x2000);
  write(2, 0x10, 4, 0x1000);
  expect([portBus.read(0x1000, 1), portBus.read(0x2000, 1)]).toEqual([0x20, 0x10]);
  write(1, 0x10, 4, 0xcf8);
  expect(portBus.read(0xcf8, 4)).toBe(at(1, 0x10));
});

test('capabilities are linked and read-only (6.7)', () => {
  const it = device('it', 0x1005);
  expect(it.addCapability(9, new Uint8Array([0x0a, 1, 2, 3, 4, 5, 6, 7, 8]))).toBe(0x40);
  expect(it.addCapability(9, new Uint8Array([4, 0xee]))).toBe(0x4c);
  pci.add(it, { interrupt: true });
  expect(read(1, 0x06, 2) & 0x10).toBe(0x10);
  expect(read(1, 0x34, 1)).toBe(0x40);
  expect(read(1, 0x40, 2)).toBe(0x4c09);
  expect(read(1, 0x4c, 2)).toBe(0x0009);
  write(1, 0x40, 4, 0);
  expect(read(1, 0x40, 2)).toBe(0x4c09);
});

test('intx shows in the status register and obeys Interrupt Disable (6.2.2, 6.2.3)', () => {
  const it = device('it', 0x1005);
  pci.add(it, { interrupt: true });
  it.intx.set(true);
  expect(levels.get(3)).toBe(true);
  expect(read(1, 0x06, 2) & 8).toBe(8);
  write(1, 0x04, 2, 0x400);
  expect(levels.get(3)).toBe(false);
  expect(read(1, 0x06, 2) & 8).toBe(8);
  write(1, 0x04, 2, 0);
  expect(levels.get(3)).toBe(true);
  it.intx.set(false);
  expect(levels.get(3)).toBe(false);
  expect(read(1, 0x06, 2) & 8).toBe(0);
});

test('load() puts ranges and address register back', () => {
  const it = device('it', 0x1005);
  it.addRange({ kind: 'io', size: 0x100, device: ports });
  pci.add(it, { interrupt: true });
  write(1, 0x10, 4, 0x5000);
  const states = [pci.save(), it.save()];
  pci.reset();
  expect(portBus.read(0x5001, 1)).toBe(0xff);
  pci.load(states[0]!, 'pci');
  it.load(states[1]!, 'it');
  expect(portBus.read(0x5001, 1)).toBe(0xa1);
  expect(portBus.read(0xcf8, 4)).toBe(at(1, 0x10));
});
