// What of a kernel goes where in guest memory, for all protocols whose kernels say so themselves
// (Multiboot, PVH, OpenBSD): the ranges of an ELF file, the check that they are RAM and do not
// overlap, and places for modules and for what the kernel is told, around them.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type ElfFile, type ElfSegment, PT_LOAD } from './elf.ts';
import {
  type BootModule,
  type BootOptions,
  inHex,
  inMegabytes,
  type KernelImage,
  writeGuest,
  zeroGuest,
} from './image.ts';
import { CONVENTIONAL_END, EXTENDED_START, lowMemoryEnd } from './memory-map.ts';

/** Bytes of the file and the memory they go to; memory beyond the bytes is zeroed. */
export interface LoadRange {
  readonly address: number;
  readonly data: Uint8Array;
  readonly memoryBytes: number;
}

/** What is loaded of a kernel, and where it is entered. */
export interface LoadedKernel {
  readonly ranges: readonly LoadRange[];
  readonly entry: number;
}

/** A module and the page where it begins. */
export interface PlacedModule {
  readonly module: BootModule;
  readonly address: number;
}

const PAGE = 4096;
/** The information goes here unless the kernel itself does: conventional memory all kernels map. */
const INFORMATION_ADDRESS = 0x9000;

/**
 * What the program headers load, at physical addresses. The entry point is a virtual address of
 * one of the segments, or a physical one, and comes back as physical: kernels start without paging.
 */
export function rangesOfElf(file: ElfFile, segments: readonly ElfSegment[]): LoadedKernel {
  const loads = segments.filter((s) => s.type === PT_LOAD && s.memoryBytes > 0);
  const home = loads.find((s) => holds(s.virtualAddress, s.memoryBytes, file.entry));
  return {
    ranges: loads.map(({ physicalAddress: address, data, memoryBytes }) => {
      return { address, data, memoryBytes };
    }),
    entry:
      home === undefined ? file.entry : home.physicalAddress + (file.entry - home.virtualAddress),
  };
}

function holds(start: number, length: number, address: number): boolean {
  return address >= start && address < start + length;
}

/**
 * Checks that a kernel, `what` in a refusal, loads something, is entered there, lies in RAM, and
 * not twice in the same place. Throws ENOEXEC, or ENOMEM for what a larger machine may have.
 */
export function checkKernel(
  what: string,
  image: KernelImage,
  kernel: LoadedKernel,
  memoryBytes: number,
): void {
  const { ranges, entry } = kernel;
  if (ranges.length === 0) {
    throw new VmmError('ENOEXEC', `${what} ${image.name} contains nothing to load.`);
  }
  if (!ranges.some((r) => holds(r.address, r.memoryBytes, entry))) {
    throw new VmmError(
      'ENOEXEC',
      `${what} ${image.name} starts at ${inHex(entry)}, where it loads nothing.`,
    );
  }
  checkRanges(image, ranges, memoryBytes);
}

/** Checks that all ranges lie in RAM (ENOMEM), and no two in the same place (ENOEXEC). */
export function checkRanges(
  image: KernelImage,
  ranges: readonly LoadRange[],
  memoryBytes: number,
): void {
  for (const range of ranges) checkRange(image, range, memoryBytes);
  const sorted = [...ranges].sort((a, b) => a.address - b.address);
  sorted.forEach((range, index) => {
    const next = sorted[index + 1];
    if (next !== undefined && range.address + range.memoryBytes > next.address) {
      throw new VmmError(
        'ENOEXEC',
        `Two segments of kernel ${image.name} overlap at ${inHex(next.address)}.`,
      );
    }
  });
}

function checkRange(image: KernelImage, range: LoadRange, memoryBytes: number): void {
  const end = range.address + range.memoryBytes;
  const conventional = end <= CONVENTIONAL_END;
  const extended = range.address >= EXTENDED_START && end <= lowMemoryEnd(memoryBytes);
  if (conventional || extended) return;
  throw new VmmError(
    'ENOMEM',
    `Kernel ${image.name} loads at ${inHex(range.address)} to ${inHex(end)}, where a virtual ` +
      `machine of ${inMegabytes(memoryBytes)} has no memory.`,
  );
}

/** Where the highest of the ranges ends. */
export function endOfRanges(ranges: readonly LoadRange[]): number {
  return ranges.reduce((end, r) => Math.max(end, r.address + r.memoryBytes), 0);
}

/** Puts the modules after `after`, each at the start of a page; ENOMEM when there is no room. */
export function placeModules(options: BootOptions, after: number): PlacedModule[] {
  const placed: PlacedModule[] = [];
  let address = Math.max(after, EXTENDED_START);
  for (const module of options.modules) {
    address = Math.ceil(address / PAGE) * PAGE;
    placed.push({ module, address });
    address += module.bytes.length;
  }
  if (address > lowMemoryEnd(options.memoryBytes)) {
    throw new VmmError(
      'ENOMEM',
      `Kernel and modules need ${inMegabytes(address)} of memory and the virtual machine has ` +
        `${inMegabytes(options.memoryBytes)}.`,
    );
  }
  return placed;
}

/**
 * An address, at the start of a page, for `size` bytes that the kernel is told: below 640 KiB, or
 * behind kernel and modules where the kernel loads there itself. ENOMEM when neither has room.
 */
export function placeInformation(
  image: KernelImage,
  options: BootOptions,
  ranges: readonly LoadRange[],
  modules: readonly PlacedModule[],
  size: number,
): number {
  const end = INFORMATION_ADDRESS + size;
  const low =
    end <= CONVENTIONAL_END &&
    ranges.every((r) => r.address >= end || r.address + r.memoryBytes <= INFORMATION_ADDRESS);
  if (low) return INFORMATION_ADDRESS;
  const last = modules.at(-1);
  const used = Math.max(
    endOfRanges(ranges),
    last ? last.address + last.module.bytes.length : EXTENDED_START,
  );
  const address = Math.ceil(used / PAGE) * PAGE;
  if (address + size > lowMemoryEnd(options.memoryBytes)) {
    throw new VmmError(
      'ENOMEM',
      `Kernel ${image.name} leaves no memory for its boot information in a virtual machine of ` +
        `${inMegabytes(options.memoryBytes)}.`,
    );
  }
  return address;
}

/** Writes kernel and modules. They have been checked. */
export function writeKernel(
  memory: GuestMemory,
  ranges: readonly LoadRange[],
  modules: readonly PlacedModule[],
): void {
  for (const range of ranges) {
    writeGuest(memory, range.address, range.data);
    const rest = range.memoryBytes - range.data.length;
    zeroGuest(memory, range.address + range.data.length, rest);
  }
  for (const { module, address } of modules) writeGuest(memory, address, module.bytes);
}
