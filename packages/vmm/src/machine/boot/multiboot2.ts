// Booting a Multiboot 2 kernel: "The Multiboot2 Specification version 2.0", sections 3.3 (machine
// state) and 3.6 (boot information). Given to the kernel: memory sizes, memory map, command line,
// modules, the loader's name, the sections of an ELF kernel with those that are only for debuggers.
// Not given, as there is neither BIOS nor EFI to ask: boot device, VBE, framebuffer, APM, SMBIOS,
// ACPI, network, EFI.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type BootState, flatGdt, protectedModeState } from './boot-state.ts';
import { elfSections, elfSectionTable, parseElf } from './elf.ts';
import { type BootOptions, type KernelImage, viewOf, writeGuest, zeroTerminated } from './image.ts';
import {
  checkKernel,
  endOfRanges,
  type PlacedModule,
  placeInformation,
  placeModules,
  writeKernel,
} from './load-layout.ts';
import { CONVENTIONAL_END, EXTENDED_START, lowMemoryEnd, memoryMap } from './memory-map.ts';
import { INFO, type Multiboot2Kernel, parseMultiboot2 } from './multiboot2-header.ts';

/** In EAX at the kernel's entry, section 3.3. */
const BOOTLOADER_MAGIC = 0x36d7_6289;
const LOADER_NAME = 'vmm';
/** The information's own head: total size, and a word that is reserved. */
const HEAD_BYTES = 8;
const MAP_ENTRY_BYTES = 24;
/** Section addresses in a section header: sh_addr, of 32 or 64 bits. */
const SH_ADDR_32 = 12;
const SH_ADDR_64 = 16;
const SECTION_HEADER_BYTES_64 = 64;

/** What is put together before places are known, and again when they are. */
interface Handover {
  readonly kernel: Multiboot2Kernel;
  readonly image: KernelImage;
  readonly options: BootOptions;
  readonly modules: readonly PlacedModule[];
}

/**
 * Loads a Multiboot 2 kernel and its modules into `memory` and returns the state in which the
 * kernel starts. Nothing is written when it refuses: ENOEXEC for a bad image, ENOMEM when it does
 * not fit.
 */
export function loadMultiboot2(
  memory: GuestMemory,
  image: KernelImage,
  options: BootOptions,
): BootState {
  const kernel = parseMultiboot2(image);
  const { ranges } = kernel;
  checkKernel('Multiboot 2 kernel', image, kernel, options.memoryBytes);
  const modules = placeModules(options, endOfRanges(ranges));
  const handover = { kernel, image, options, modules };
  const draft = makeInformation(handover, 0);
  const address = placeInformation(image, options, ranges, modules, draft.bytes.length);
  const { bytes, gdtOffset } = makeInformation(handover, address);

  writeKernel(memory, ranges, modules);
  writeGuest(memory, address, bytes);
  const registers = { rax: BOOTLOADER_MAGIC, rbx: address };
  return protectedModeState(kernel.entry, address + gdtOffset, registers);
}

/**
 * The information as it lies at `base`; behind it a GDT and the sections that nothing else loads.
 */
function makeInformation(
  handover: Handover,
  base: number,
): { readonly bytes: Uint8Array; readonly gdtOffset: number } {
  const { kernel, image, options, modules } = handover;
  const { memoryBytes, commandLine } = options;
  // As in Multiboot 1, and as GRUB does, the command line begins with the kernel's name.
  const words = commandLine === '' ? '' : ` ${commandLine}`;
  const tags = [
    tag(INFO.COMMAND_LINE, zeroTerminated(`${image.name}${words}`)),
    tag(INFO.LOADER_NAME, zeroTerminated(LOADER_NAME)),
    ...modules.map(({ module, address }) =>
      tag(
        INFO.MODULE,
        words32(address, address + module.bytes.length),
        zeroTerminated(module.commandLine),
      ),
    ),
    tag(INFO.BASIC_MEMORY, basicMemory(memoryBytes)),
    tag(INFO.MEMORY_MAP, words32(MAP_ENTRY_BYTES, 0), mapEntries(memoryBytes)),
  ];
  if (kernel.relocatable) {
    const lowest = Math.min(...kernel.ranges.map(({ address }) => address));
    tags.push(tag(INFO.LOAD_BASE, words32(lowest)));
  }
  const sections = kernel.elf ? sectionsTag(image) : undefined;
  if (sections !== undefined) tags.push(sections.tag);
  tags.push(tag(0));

  const size = tags.reduce((sum, { length }) => sum + length, HEAD_BYTES);
  const gdt = flatGdt();
  const extrasAt = size + gdt.length;
  sections?.placeExtras(base + extrasAt);
  const extras = sections?.extras ?? new Uint8Array(0);
  const bytes = concatenate([words32(size, 0), ...tags, gdt, extras]);
  return { bytes, gdtOffset: size };
}

function basicMemory(memoryBytes: number): Uint8Array {
  const upper = lowMemoryEnd(memoryBytes) - EXTENDED_START;
  return words32(CONVENTIONAL_END / 1024, Math.floor(upper / 1024));
}

function mapEntries(memoryBytes: number): Uint8Array {
  const map = memoryMap(memoryBytes);
  const bytes = new Uint8Array(map.length * MAP_ENTRY_BYTES);
  const view = viewOf(bytes);
  map.forEach((entry, index) => {
    const at = index * MAP_ENTRY_BYTES;
    view.setBigUint64(at, BigInt(entry.base), true);
    view.setBigUint64(at + 8, BigInt(entry.sizeBytes), true);
    view.setUint32(at + 16, entry.type, true);
  });
  return bytes;
}

/**
 * Section 3.6.7: the section headers, and the bytes of what has no address yet (symbols, strings),
 * which `placeExtras` gives one in the headers. Undefined for a kernel without sections.
 */
function sectionsTag(image: KernelImage):
  | {
      readonly tag: Uint8Array;
      readonly extras: Uint8Array;
      readonly placeExtras: (address: number) => void;
    }
  | undefined {
  const file = parseElf(image);
  const table = elfSectionTable(file);
  if (table.count === 0) return undefined;
  const head = words32(table.count, table.entryBytes, table.namesIndex);
  const made = tag(INFO.ELF_SECTIONS, head, table.data);
  const offsets: Array<readonly [header: number, offset: number]> = [];
  const pieces: Uint8Array[] = [];
  let length = 0;
  elfSections(file).forEach(({ address, data }, index) => {
    if (address !== 0 || data.length === 0) return;
    offsets.push([HEAD_BYTES + head.length + index * table.entryBytes, length]);
    const padded = new Uint8Array(Math.ceil(data.length / 8) * 8);
    padded.set(data);
    pieces.push(padded);
    length += padded.length;
  });
  const placeExtras = (start: number): void => {
    const view = viewOf(made);
    for (const [header, offset] of offsets) {
      const wide = table.entryBytes >= SECTION_HEADER_BYTES_64;
      view.setUint32(header + (wide ? SH_ADDR_64 : SH_ADDR_32), start + offset, true);
    }
  };
  return { tag: made, extras: concatenate(pieces), placeExtras };
}

/** A tag of the information: type, size without padding, data; filled up to a multiple of 8. */
function tag(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const data = concatenate(parts);
  const bytes = new Uint8Array(Math.ceil((HEAD_BYTES + data.length) / 8) * 8);
  bytes.set(words32(type, HEAD_BYTES + data.length));
  bytes.set(data, HEAD_BYTES);
  return bytes;
}

function words32(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = viewOf(bytes);
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value, true);
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
