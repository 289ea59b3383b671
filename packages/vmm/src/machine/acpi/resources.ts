// Resource descriptors, as a device's _CRS lists what it decodes: ACPI 6.5, section 6.4. Only those
// that a host bridge with fixed windows needs.

import { little } from './aml.ts';

// Small and large items, tables 6.27 and 6.40.
const IO_PORT = 0x47;
const END_TAG = 0x79;
const DWORD_ADDRESS_SPACE = 0x87;
const WORD_ADDRESS_SPACE = 0x88;

/** Decode16: the device looks at all sixteen address lines. */
const IO_DECODE16 = 1;

// Resource types and general flags of address space descriptors (6.4.3.5).
const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS_NUMBER = 2;
const MIN_FIXED = 1 << 2;
const MAX_FIXED = 1 << 3;
/** Reads and writes, not cacheable. */
const MEMORY_READ_WRITE = 1;
/** ISA and other addresses. */
const IO_ENTIRE_RANGE = 3;

/** `count` ports from `base` on that the device itself decodes. */
export function ioPorts(base: number, count: number): number[] {
  return [IO_PORT, IO_DECODE16, ...little(base, 2), ...little(base, 2), 1, count];
}

/** Bus numbers that are behind the device. */
export function busNumbers(first: number, last: number): number[] {
  return window(WORD_ADDRESS_SPACE, 2, TYPE_BUS_NUMBER, 0, first, last);
}

/** Ports that the device passes on. */
export function ioWindow(first: number, last: number): number[] {
  return window(WORD_ADDRESS_SPACE, 2, TYPE_IO, IO_ENTIRE_RANGE, first, last);
}

/** Memory below 4 GiB that the device passes on. */
export function memoryWindow(first: number, last: number): number[] {
  return window(DWORD_ADDRESS_SPACE, 4, TYPE_MEMORY, MEMORY_READ_WRITE, first, last);
}

/** The descriptors as _CRS returns them. */
export function resources(...descriptors: readonly number[][]): number[] {
  // The end tag's checksum may be zero, which says that there is none (6.4.2.9).
  return [...descriptors.flat(), END_TAG, 0];
}

/** An address space descriptor with `size` bytes for each number: a fixed range, passed on. */
function window(
  item: number,
  size: number,
  type: number,
  typeFlags: number,
  first: number,
  last: number,
): number[] {
  const body = [type, MIN_FIXED | MAX_FIXED, typeFlags];
  // Granularity, minimum, maximum, translation, length.
  for (const value of [0, first, last, 0, last - first + 1]) body.push(...little(value, size));
  return [item, ...little(body.length, 2), ...body];
}
