// Booting a kernel by PVH, the protocol by which Xen and QEMU enter an uncompressed ELF kernel:
// "x86/HVM direct boot ABI" (Xen's docs/misc/pvh.pandoc) and the structures of its public header
// arch-x86/hvm/start_info.h, version 1. Linux (CONFIG_PVH), FreeBSD and NetBSD have such an entry.
// Given to the kernel: memory map, command line, modules, the first of which Linux takes for its
// initrd. Not given: the address of ACPI's RSDP, which kernels find themselves.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type BootState, FLAT_GDT_BYTES, flatGdt, protectedModeState } from './boot-state.ts';
import { EM_386, EM_X86_64, elfNotes, elfSegments, isElf, parseElf } from './elf.ts';
import { type BootOptions, type KernelImage, viewOf, writeGuest, zeroTerminated } from './image.ts';
import {
  checkKernel,
  endOfRanges,
  type LoadedKernel,
  type PlacedModule,
  placeInformation,
  placeModules,
  rangesOfElf,
  writeKernel,
} from './load-layout.ts';
import { memoryMap } from './memory-map.ts';

const NOTE_OWNER = 'Xen';
/** XEN_ELFNOTE_PHYS32_ENTRY (public/elfnote.h): the physical address of the 32-bit entry. */
const NOTE_PHYS32_ENTRY = 18;

const START_MAGIC = 0x336e_c578;
const START_VERSION = 1;
const START_BYTES = 56;
const MODULE_BYTES = 32;
const MAP_ENTRY_BYTES = 24;

/** True when `image` is an ELF file, undamaged, with an entry for PVH. */
export function hasPvhEntry(image: KernelImage): boolean {
  if (!isElf(image.bytes)) return false;
  const file = parseElf(image);
  return pvhEntry(image) !== undefined && (file.machine === EM_386 || file.machine === EM_X86_64);
}

/** What the note says: an address of 32 bits, or of 64 in kernels that write it so. */
function pvhEntry(image: KernelImage): number | undefined {
  const notes = elfNotes(elfSegments(parseElf(image)));
  const note = notes.find(({ owner, type }) => owner === NOTE_OWNER && type === NOTE_PHYS32_ENTRY);
  if (note === undefined) return undefined;
  const { data } = note;
  const high = data.length === 8 ? viewOf(data).getUint32(4, true) : 0;
  if ((data.length !== 4 && data.length !== 8) || high !== 0) {
    throw new VmmError(
      'ENOEXEC',
      `The PVH entry in the notes of kernel ${image.name} is no 32-bit address.`,
    );
  }
  return viewOf(data).getUint32(0, true);
}

/**
 * Loads a kernel for which {@link hasPvhEntry} holds, with its modules, and returns the state in
 * which it starts. Nothing is written when it refuses: ENOEXEC for a bad image, ENOMEM when it does
 * not fit, EINVAL for text with a zero in it.
 */
export function loadPvh(memory: GuestMemory, image: KernelImage, options: BootOptions): BootState {
  const { ranges, entry: elfEntry } = rangesOfElf(parseElf(image), elfSegments(parseElf(image)));
  const kernel: LoadedKernel = { ranges, entry: pvhEntry(image) ?? elfEntry };
  checkKernel('PVH kernel', image, kernel, options.memoryBytes);
  const modules = placeModules(options, endOfRanges(ranges));
  const size = makeStartInfo(0, options, modules).length;
  const address = placeInformation(image, options, ranges, modules, size);

  writeKernel(memory, ranges, modules);
  writeGuest(memory, address, makeStartInfo(address, options, modules));
  // "EBX contains the physical memory address where the loader has placed the boot start info".
  return protectedModeState(kernel.entry, address + START_BYTES, { rbx: address });
}

/** At `base`: the start info, a GDT, the module list, the memory map, and the strings of both. */
function makeStartInfo(
  base: number,
  options: BootOptions,
  modules: readonly PlacedModule[],
): Uint8Array {
  const map = memoryMap(options.memoryBytes);
  const modulesAt = START_BYTES + FLAT_GDT_BYTES;
  const mapAt = modulesAt + modules.length * MODULE_BYTES;
  const texts = [options.commandLine, ...modules.map(({ module }) => module.commandLine)];
  const strings = texts.map(zeroTerminated);
  const stringsAt: number[] = [];
  let length = mapAt + map.length * MAP_ENTRY_BYTES;
  for (const string of strings) {
    stringsAt.push(length);
    length += string.length;
  }

  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  const address = (at: number, offset: number): void => {
    view.setBigUint64(at, BigInt(base + offset), true);
  };
  for (const [index, string] of strings.entries()) bytes.set(string, stringsAt[index]);
  bytes.set(flatGdt(), START_BYTES);
  view.setUint32(0, START_MAGIC, true);
  view.setUint32(4, START_VERSION, true);
  view.setUint32(12, modules.length, true);
  if (modules.length > 0) address(16, modulesAt);
  address(24, stringsAt[0]!);
  address(40, mapAt);
  view.setUint32(48, map.length, true);
  modules.forEach(({ module, address: at }, index) => {
    const entry = modulesAt + index * MODULE_BYTES;
    view.setBigUint64(entry, BigInt(at), true);
    view.setBigUint64(entry + 8, BigInt(module.bytes.length), true);
    address(entry + 16, stringsAt[index + 1]!);
  });
  map.forEach((range, index) => {
    const entry = mapAt + index * MAP_ENTRY_BYTES;
    view.setBigUint64(entry, BigInt(range.base), true);
    view.setBigUint64(entry + 8, BigInt(range.sizeBytes), true);
    view.setUint32(entry + 16, range.type, true);
  });
  return bytes;
}
