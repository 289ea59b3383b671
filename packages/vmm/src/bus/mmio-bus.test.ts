// The same rules as the port bus, on physical addresses.

import { expect, test } from 'vitest';
import { MmioBus, type MmioDevice, type MmioSize } from './mmio-bus.ts';

function recorder(name: string, mmioSizeMax?: MmioSize): MmioDevice & { log: string[] } {
  const log: string[] = [];
  return {
    name,
    log,
    ...(mmioSizeMax === undefined ? {} : { mmioSizeMax }),
    readMmio: (offset, size) => {
      log.push(`r${size}@${offset}`);
      return 0x10 + offset;
    },
    writeMmio: (offset, size, value) => void log.push(`w${size}@${offset}=${value.toString(16)}`),
  };
}

test('read() of nothing gives all ones', () => {
  const bus = new MmioBus();
  const wide = new Uint32Array(2);
  bus.readWide(0xf0000000, wide);
  expect([...wide]).toEqual([0xffffffff, 0xffffffff]);
  expect(bus.unclaimedAccesses).toBe(8);
});

test('writeWide() gives the device the low half first', () => {
  const bus = new MmioBus();
  const device = recorder('device');
  bus.claim({ base: 0xfee00000, size: 0x1000, owner: device });
  bus.writeWide(0xfee00010, 0x11111111, 0x22222222);
  expect(device.log).toEqual(['w4@16=11111111', 'w4@20=22222222']);
});

test('read() splits for a device of bytes', () => {
  const bus = new MmioBus();
  bus.claim({ base: 0xf0000000, size: 16, owner: recorder('bytes', 1) });
  expect(bus.read(0xf0000000, 4)).toBe(0x13121110);
});

test('claim() refuses an overlap; release() makes room', () => {
  const bus = new MmioBus();
  const claim = bus.claim({ base: 0xf0000000, size: 0x1000, owner: recorder('one') });
  const second = { base: 0xf0000800, size: 0x1000, owner: recorder('two') };
  expect(() => bus.claim(second)).toThrow(/two.*one/);
  bus.read(0xf0000800, 1);
  claim.release();
  expect(bus.read(0xf0000800, 1)).toBe(0xff);
  bus.claim(second);
  expect(bus.read(0xf0000800, 1)).toBe(0x10);
});
