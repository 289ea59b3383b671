// File names and formats: SeaBIOS's docs/Runtime_config.md; the boot order is vmd(8)'s.
import { expect, test } from 'vitest';
import { firmwareMemoryMap } from './boot/memory-map.ts';
import { type FirmwareFacts, firmwareFiles } from './firmware-files.ts';

const facts: FirmwareFacts = {
  bootDevice: 'auto',
  nics: [2],
  disks: [9, 10],
  cdroms: [11],
  serialPort: 0x3f8,
  ram: firmwareMemoryMap(5 * 2 ** 30),
};

const text = (changes: Partial<FirmwareFacts>): string =>
  new TextDecoder().decode(firmwareFiles({ ...facts, ...changes }).get('bootorder')!);

const integer = (name: string, changes: Partial<FirmwareFacts> = {}): bigint => {
  const bytes = firmwareFiles({ ...facts, ...changes }).get(name)!;
  return new DataView(bytes.buffer).getBigUint64(0, true);
};

test('bootorder has the disks, the CD-ROM, the network, and nothing else', () => {
  expect(text({}).split('\n')).toEqual([
    '/pci@i0cf8/*@9',
    '/pci@i0cf8/*@a',
    '/pci@i0cf8/*@b/*@0/*@0,0',
    '/pci@i0cf8/*@2',
    'HALT',
    '',
  ]);
});

test('bootorder has only what is to be booted from, and then HALT', () => {
  expect(text({ bootDevice: 'disk' })).toBe('/pci@i0cf8/*@9\n/pci@i0cf8/*@a\nHALT\n');
  expect(text({ bootDevice: 'cdrom' })).toBe('/pci@i0cf8/*@b/*@0/*@0,0\nHALT\n');
  expect(text({ bootDevice: 'net' })).toBe('/pci@i0cf8/*@2\nHALT\n');
});

test('there is a boot menu unless the user has chosen, and all goes to the serial port', () => {
  expect(integer('etc/show-boot-menu')).toBe(1n);
  expect(integer('etc/show-boot-menu', { bootDevice: 'disk' })).toBe(0n);
  expect(integer('etc/sercon-port')).toBe(0x3f8n);
  expect(integer('etc/screen-and-debug')).toBe(0n);
  expect(integer('etc/boot-fail-wait')).toBe(0xffff_ffffn);
});

test('etc/e820 has all RAM below the PCI window in one piece, and what is above 4 GiB', () => {
  const bytes = firmwareFiles(facts).get('etc/e820')!;
  const view = new DataView(bytes.buffer);
  const entries = Array.from({ length: bytes.length / 20 }, (_, index) => [
    view.getBigUint64(20 * index, true),
    view.getBigUint64(20 * index + 8, true),
    view.getUint32(20 * index + 16, true),
  ]);
  expect(entries).toEqual([
    [0n, 0xf000_0000n, 1],
    [0x1_0000_0000n, 0x5000_0000n, 1],
  ]);
});
