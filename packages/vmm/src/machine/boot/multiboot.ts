// Booting a Multiboot 1 kernel: Multiboot Specification version 0.6.96, sections 3.2 (machine
// state) and 3.3 (boot information). Given to the kernel: memory sizes, memory map, command line,
// modules, the loader's name. Not given, as there is no BIOS to ask: boot device, drives, ROM
// configuration table, APM, VBE.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import {
  AR_CODE32,
  AR_DATA32,
  type BootState,
  CR0_ET,
  CR0_NE,
  CR0_PE,
  flatDescriptor,
  flatSegment,
  flatSegments,
  gprs,
  RFLAGS_FIXED,
} from './boot-state.ts';
import {
  type BootModule,
  type BootOptions,
  inMegabytes,
  type KernelImage,
  viewOf,
  writeGuest,
  zeroGuest,
} from './image.ts';
import { CONVENTIONAL_END, EXTENDED_START, lowMemoryEnd, memoryMap } from './memory-map.ts';
import { type LoadRange, parseMultiboot } from './multiboot-header.ts';

/** In EAX at the kernel's entry. */
const BOOTLOADER_MAGIC = 0x2bad_b002;
const LOADER_NAME = 'vmm';

/** Flags of the information structure, section 3.3: which of its fields are valid. */
const INFO_MEMORY = 0x001;
const INFO_COMMAND_LINE = 0x004;
const INFO_MODULES = 0x008;
const INFO_MEMORY_MAP = 0x040;
const INFO_LOADER_NAME = 0x200;

const INFO_BYTES = 120;
const MODULE_ENTRY_BYTES = 16;
const MAP_ENTRY_BYTES = 24;
const GDT_BYTES = 24;
const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;

const PAGE = 4096;
/** The information goes here unless the kernel itself does: conventional memory all kernels map. */
const INFO_ADDRESS = 0x9000;

interface PlacedModule {
  readonly module: BootModule;
  readonly address: number;
}

/**
 * Loads a Multiboot kernel and its modules into `memory` and returns the state in which the kernel
 * starts. Nothing is written when it refuses: ENOEXEC for a bad image, ENOMEM when it does not fit.
 */
export function loadMultiboot(
  memory: GuestMemory,
  image: KernelImage,
  options: BootOptions,
): BootState {
  const kernel = parseMultiboot(image);
  for (const range of kernel.ranges) checkRange(image, range, options.memoryBytes);
  const kernelEnd = kernel.ranges.reduce((end, r) => Math.max(end, r.address + r.memoryBytes), 0);
  const modules = placeModules(options, Math.max(kernelEnd, EXTENDED_START));
  const size = new InfoBuilder(0, image, options, modules).build().length;
  const address = placeInfo(image, options, kernel.ranges, modules, kernelEnd, size);

  for (const range of kernel.ranges) {
    writeGuest(memory, range.address, range.data);
    const rest = range.memoryBytes - range.data.length;
    zeroGuest(memory, range.address + range.data.length, rest);
  }
  for (const { module, address: at } of modules) writeGuest(memory, at, module.bytes);
  writeGuest(memory, address, new InfoBuilder(address, image, options, modules).build());
  return entryState(kernel.entry, address);
}

function checkRange(image: KernelImage, range: LoadRange, memoryBytes: number): void {
  const end = range.address + range.memoryBytes;
  const conventional = end <= CONVENTIONAL_END;
  const extended = range.address >= EXTENDED_START && end <= lowMemoryEnd(memoryBytes);
  if (conventional || extended) return;
  const start = `0x${range.address.toString(16)}`;
  throw new VmmError(
    'ENOMEM',
    `Kernel ${image.name} loads at ${start} to 0x${end.toString(16)}, where a virtual machine of ` +
      `${inMegabytes(memoryBytes)} has no memory.`,
  );
}

/** Modules follow the kernel, each at the start of a page: section 3.1.2, flag bit 0. */
function placeModules(options: BootOptions, after: number): PlacedModule[] {
  const placed: PlacedModule[] = [];
  let address = after;
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

function placeInfo(
  image: KernelImage,
  options: BootOptions,
  ranges: readonly LoadRange[],
  modules: readonly PlacedModule[],
  kernelEnd: number,
  size: number,
): number {
  const end = INFO_ADDRESS + size;
  const low =
    end <= CONVENTIONAL_END &&
    ranges.every((r) => r.address >= end || r.address + r.memoryBytes <= INFO_ADDRESS);
  if (low) return INFO_ADDRESS;
  const last = modules.at(-1);
  const used = Math.max(kernelEnd, last ? last.address + last.module.bytes.length : EXTENDED_START);
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

/** Lays out, from `base` on: information structure, GDT, module list, memory map, strings. */
class InfoBuilder {
  private readonly base: number;
  private readonly image: KernelImage;
  private readonly options: BootOptions;
  private readonly modules: readonly PlacedModule[];
  private readonly strings: number[] = [];
  private readonly stringsOffset: number;
  private readonly modulesOffset: number;
  private readonly mapOffset: number;

  constructor(
    base: number,
    image: KernelImage,
    options: BootOptions,
    modules: readonly PlacedModule[],
  ) {
    this.base = base;
    this.image = image;
    this.options = options;
    this.modules = modules;
    this.modulesOffset = INFO_BYTES + GDT_BYTES;
    this.mapOffset = this.modulesOffset + modules.length * MODULE_ENTRY_BYTES;
    const mapEntries = memoryMap(options.memoryBytes).length;
    this.stringsOffset = this.mapOffset + mapEntries * MAP_ENTRY_BYTES;
  }

  build(): Uint8Array {
    const { image, options } = this;
    // As GRUB and QEMU do, the command line begins with the kernel's name.
    const words = options.commandLine === '' ? '' : ` ${options.commandLine}`;
    const commandLine = this.addString(`${image.name}${words}`);
    const loaderName = this.addString(LOADER_NAME);
    const moduleStrings = this.modules.map(({ module }) => this.addString(module.commandLine));
    const bytes = new Uint8Array(this.stringsOffset + this.strings.length);
    bytes.set(this.strings, this.stringsOffset);
    const view = viewOf(bytes);
    const map = memoryMap(options.memoryBytes);
    const flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MEMORY_MAP;
    const fields = {
      0: flags | INFO_LOADER_NAME,
      4: CONVENTIONAL_END / 1024, // mem_lower
      8: Math.floor((lowMemoryEnd(options.memoryBytes) - EXTENDED_START) / 1024), // mem_upper
      16: commandLine,
      20: this.modules.length,
      24: this.base + this.modulesOffset,
      44: map.length * MAP_ENTRY_BYTES,
      48: this.base + this.mapOffset,
      64: loaderName,
    };
    for (const [offset, value] of Object.entries(fields)) {
      view.setUint32(Number(offset), value, true);
    }
    this.writeGdt(view);
    this.writeModules(view, moduleStrings);
    this.writeMap(view);
    return bytes;
  }

  private addString(text: string): number {
    const address = this.base + this.stringsOffset + this.strings.length;
    this.strings.push(...new TextEncoder().encode(text), 0);
    return address;
  }

  private writeGdt(view: DataView): void {
    for (const [selector, ar] of [
      [CODE_SELECTOR, AR_CODE32],
      [DATA_SELECTOR, AR_DATA32],
    ]) {
      const [low, high] = flatDescriptor(ar!);
      view.setUint32(INFO_BYTES + selector!, low, true);
      view.setUint32(INFO_BYTES + selector! + 4, high, true);
    }
  }

  private writeModules(view: DataView, strings: readonly number[]): void {
    this.modules.forEach(({ module, address }, index) => {
      const at = this.modulesOffset + index * MODULE_ENTRY_BYTES;
      view.setUint32(at, address, true);
      view.setUint32(at + 4, address + module.bytes.length, true);
      view.setUint32(at + 8, strings[index]!, true);
    });
  }

  private writeMap(view: DataView): void {
    memoryMap(this.options.memoryBytes).forEach((entry, index) => {
      const at = this.mapOffset + index * MAP_ENTRY_BYTES;
      // The size field does not count itself.
      view.setUint32(at, MAP_ENTRY_BYTES - 4, true);
      view.setBigUint64(at + 4, BigInt(entry.base), true);
      view.setBigUint64(at + 12, BigInt(entry.sizeBytes), true);
      view.setUint32(at + 20, entry.type, true);
    });
  }
}

/** Section 3.2: protected mode without paging, flat 32-bit segments, interrupts off. */
function entryState(entry: number, infoAddress: number): BootState {
  return {
    gprs: gprs({ rax: BOOTLOADER_MAGIC, rbx: infoAddress }),
    rip: entry,
    rflags: RFLAGS_FIXED,
    cr0: CR0_PE + CR0_ET + CR0_NE,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: flatSegments(
      flatSegment(CODE_SELECTOR, AR_CODE32),
      flatSegment(DATA_SELECTOR, AR_DATA32),
    ),
    gdtr: { base: infoAddress + INFO_BYTES, limit: GDT_BYTES - 1 },
    idtr: { base: 0, limit: 0 },
  };
}
