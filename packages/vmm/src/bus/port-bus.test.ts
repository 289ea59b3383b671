// The rules are those of an ISA bus; that wide accesses go to ascending ports is SDM vol. 1, 19.3.

import { expect, test } from 'vitest';
import { PortBus, type PortDevice, type PortSize } from './port-bus.ts';

function recorder(name: string, portSizeMax?: PortSize): PortDevice & { log: string[] } {
  const log: string[] = [];
  return {
    name,
    log,
    ...(portSizeMax === undefined ? {} : { portSizeMax }),
    readPort: (offset, size) => {
      log.push(`r${size}@${offset}`);
      return 0x40 + offset;
    },
    writePort: (offset, size, value) => void log.push(`w${size}@${offset}=${value.toString(16)}`),
  };
}

test('read() of an unclaimed port gives all ones of the width, and counts', () => {
  const bus = new PortBus();
  expect(bus.read(0x300, 1)).toBe(0xff);
  expect(bus.read(0x300, 2)).toBe(0xffff);
  expect(bus.read(0x300, 4)).toBe(0xffffffff);
  bus.write(0x300, 1, 0);
  expect(bus.unclaimedAccesses).toBe(8);
});

test('claim() refuses an overlap and names both owners', () => {
  const bus = new PortBus();
  bus.claim({ base: 0x20, size: 2, owner: recorder('master') });
  const overlap = { base: 0x21, size: 4, owner: recorder('intruder') };
  expect(() => bus.claim(overlap)).toThrow(/intruder.*master/);
  expect(() => bus.claim({ base: 0xffff, size: 2, owner: recorder('late') })).toThrow(/late/);
});

test('read() and write() split what is wider than the device takes', () => {
  const bus = new PortBus();
  const bytes = recorder('bytes');
  const words = recorder('words', 2);
  bus.claim({ base: 0x100, size: 4, owner: bytes });
  bus.claim({ base: 0x200, size: 4, owner: words });
  expect(bus.read(0x100, 4)).toBe(0x43424140);
  bus.write(0x100, 2, 0xbeef);
  expect(bytes.log).toEqual(['r1@0', 'r1@1', 'r1@2', 'r1@3', 'w1@0=ef', 'w1@1=be']);
  bus.write(0x200, 4, 0xdeadbeef);
  expect(words.log).toEqual(['w2@0=beef', 'w2@2=dead']);
});

test('read() across the end of a claim takes the rest from the neighbour', () => {
  const bus = new PortBus();
  bus.claim({ base: 0x100, size: 1, owner: recorder('a', 4) });
  expect(bus.read(0x100, 2)).toBe(0xff40);
  bus.claim({ base: 0x101, size: 1, owner: recorder('b', 4) });
  expect(bus.read(0x100, 2)).toBe(0x4040);
});

test('read() wraps at the end of the port space', () => {
  const bus = new PortBus();
  bus.claim({ base: 0, size: 1, owner: recorder('first') });
  expect(bus.read(0xffff, 2)).toBe(0x40ff);
});

test('release() frees the ports for another owner', () => {
  const bus = new PortBus();
  const claim = bus.claim({ base: 0x100, size: 8, owner: recorder('old') });
  claim.release();
  claim.release();
  expect(bus.read(0x100, 1)).toBe(0xff);
  bus.claim({ base: 0x104, size: 8, owner: recorder('new') });
  claim.release();
  expect(bus.read(0x104, 1)).toBe(0x40);
});
