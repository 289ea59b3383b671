// Booting a Multiboot 1 kernel: Multiboot Specification version 0.6.96, sections 3.2 (machine
// state) and 3.3 (boot information). Given to the kernel: memory sizes, memory map, command line,
// modules, the loader's name. Not given, as there is no BIOS to ask: boot device, drives, ROM
// configuration table, APM, VBE.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type BootState, FLAT_GDT_BYTES, flatGdt, protectedModeState } from './boot-state.ts';
import { type BootOptions, type KernelImage, viewOf, writeGuest } from './image.ts';
import {
  checkKernel,
  endOfRanges,
  type PlacedModule,
  placeInformation,
  placeModules,
  writeKernel,
} from './load-layout.ts';
import { CONVENTIONAL_END, EXTENDED_START, lowMemoryEnd, memoryMap } from './memory-map.ts';
import { parseMultiboot } from './multiboot-header.ts';

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
  const { ranges } = kernel;
  checkKernel('Multiboot kernel', image, kernel, options.memoryBytes);
  const modules = placeModules(options, endOfRanges(ranges));
  const size = new InfoBuilder(0, image, options, modules).build().length;
  const address = placeInformation(image, options, ranges, modules, size);

  writeKernel(memory, ranges, modules);
  writeGuest(memory, address, new InfoBuilder(address, image, options, modules).build());
  // Section 3.2: the magic number in EAX, the information in EBX.
  const registers = { rax: BOOTLOADER_MAGIC, rbx: address };
  return protectedModeState(kernel.entry, address + INFO_BYTES, registers);
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
    this.modulesOffset = INFO_BYTES + FLAT_GDT_BYTES;
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
    bytes.set(flatGdt(), INFO_BYTES);
    this.writeModules(view, moduleStrings);
    this.writeMap(view);
    return bytes;
  }

  private addString(text: string): number {
    const address = this.base + this.stringsOffset + this.strings.length;
    this.strings.push(...new TextEncoder().encode(text), 0);
    return address;
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
