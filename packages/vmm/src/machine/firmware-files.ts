// What a firmware is told of the machine through fw_cfg: files by the names that SeaBIOS looks for
// (its docs/Runtime_config.md), as QEMU and vmd(8) provide them.

import type { MemoryMapEntry } from './boot/memory-map.ts';

/** What a firmware boots from; `auto` tries all there is, disks first. */
export type BootDevice = 'auto' | 'disk' | 'cdrom' | 'net';

/** What the files tell. */
export interface FirmwareFacts {
  readonly bootDevice: BootDevice;
  /** Device numbers on the PCI bus, each kind in the order of booting. */
  readonly disks: readonly number[];
  readonly cdroms: readonly number[];
  readonly nics: readonly number[];
  /** The I/O port of the serial console. */
  readonly serialPort: number;
  /** What there is of RAM. */
  readonly ram: readonly Pick<MemoryMapEntry, 'base' | 'sizeBytes' | 'type'>[];
}

/** Contents of files by their names. */
export function firmwareFiles(facts: FirmwareFacts): ReadonlyMap<string, Uint8Array> {
  return new Map([
    ['bootorder', new TextEncoder().encode(bootOrder(facts))],
    // When nothing boots, nothing will in a minute: there are no media to be changed.
    ['etc/boot-fail-wait', integer(NEVER)],
    ['etc/e820', e820(facts.ram)],
    ['etc/screen-and-debug', integer(0)],
    ['etc/sercon-port', integer(facts.serialPort)],
    // Who has said what to boot from is not asked, nor kept waiting.
    ['etc/show-boot-menu', integer(facts.bootDevice === 'auto' ? 1 : 0)],
  ]);
}

const NEVER = 0xffff_ffff;

/** Device paths of Open Firmware, one a line; after HALT, nothing else is tried. */
function bootOrder({ bootDevice, disks, cdroms, nics }: FirmwareFacts): string {
  const paths = {
    disk: disks.map(pciPath),
    // The first logical unit of the first target on the controller's one channel.
    cdrom: cdroms.map((device) => `${pciPath(device)}/*@0/*@0,0`),
    net: nics.map(pciPath),
  };
  if (bootDevice !== 'auto') return lines([...paths[bootDevice], 'HALT']);
  return lines([...paths.disk, ...paths.cdrom, ...paths.net, 'HALT']);
}

const pciPath = (device: number): string => `/pci@i0cf8/*@${device.toString(16)}`;

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('');

/** An integer of eight bytes. */
function integer(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

const E820_ENTRY_BYTES = 20;

/** Base and size with 64 bits, the type with 32, little-endian. */
function e820(ram: FirmwareFacts['ram']): Uint8Array {
  const bytes = new Uint8Array(ram.length * E820_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { base, sizeBytes, type }] of ram.entries()) {
    const at = index * E820_ENTRY_BYTES;
    view.setBigUint64(at, BigInt(base), true);
    view.setBigUint64(at + 8, BigInt(sizeBytes), true);
    view.setUint32(at + 16, type, true);
  }
  return bytes;
}
