// Puts the ACPI tables into guest memory, where firmware would: a kernel that is started without
// one finds them at the address that its boot protocol has a field for, or where ACPI 6.5, section
// 5.2.5.1, has it search on PCs.

import { assert } from '../../base/assert.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import { writeGuest } from '../boot/image.ts';
import { type AcpiTables, RSDP_FILE } from './tables.ts';

/** Where systems search, at each multiple of 16; the memory map has it reserved. */
const SEARCH_START = 0xe_0000;
const SEARCH_END = 0x10_0000;

/** A file with its place. */
interface Placed {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Writes `tables` into reserved memory below 1 MiB; returns the address of the RSDP. */
export function placeTables(memory: GuestMemory, tables: AcpiTables): number {
  const placed = relocate(tables);
  for (const { address, bytes } of placed.values()) writeGuest(memory, address, bytes);
  return placed.get(RSDP_FILE)!.address;
}

function relocate({ files, links, checksums }: AcpiTables): Map<string, Placed> {
  const placed = new Map<string, Placed>();
  let next = SEARCH_START;
  for (const { name, bytes: original, alignment } of files) {
    const address = Math.ceil(next / alignment) * alignment;
    const bytes = original.slice();
    placed.set(name, { address, bytes, view: new DataView(bytes.buffer) });
    next = address + bytes.length;
  }
  assert(next <= SEARCH_END, 'the ACPI tables do not fit below 1 MiB');
  for (const { file, offset, target } of links) {
    const { view } = placed.get(file)!;
    // Everything lies below 4 GiB, so that the upper half of a field of 8 bytes stays zero.
    view.setUint32(offset, view.getUint32(offset, true) + placed.get(target)!.address, true);
  }
  for (const { file, offset, start, length } of checksums) {
    const { bytes } = placed.get(file)!;
    bytes[offset] = 0;
    let sum = 0;
    for (const byte of bytes.subarray(start, start + length)) sum += byte;
    bytes[offset] = -sum & 0xff;
  }
  return placed;
}
