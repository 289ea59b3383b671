// The header of a Multiboot 2 kernel and what of the file is loaded where: "The Multiboot2
// Specification version 2.0", section 3.1. Kernels are ELF files of either class, or any format
// whose header gives the load addresses itself. They are entered in 32-bit protected mode; the EFI
// entries are for loaders that are EFI programs. Relocatable kernels stay where they are linked.

import { VmmError } from '../../base/errors.ts';
import { EM_386, EM_X86_64, elfSegments, isElf, parseElf } from './elf.ts';
import { type KernelImage, viewOf } from './image.ts';
import { type LoadedKernel, rangesOfElf } from './load-layout.ts';

const HEADER_MAGIC = 0xe852_50d6;
/** The header lies in the first 32768 bytes of the file, at a multiple of eight. */
const SEARCH_BYTES = 32768;
const HEADER_BYTES = 16;
const ARCHITECTURE_I386 = 0;

/** Header tags, section 3.1.4 and following. */
const TAG_END = 0;
const TAG_INFORMATION_REQUEST = 1;
const TAG_ADDRESS = 2;
const TAG_ENTRY_ADDRESS = 3;
const TAG_CONSOLE = 4;
const TAG_FRAMEBUFFER = 5;
const TAG_MODULE_ALIGNMENT = 6;
const TAG_EFI_BOOT_SERVICES = 7;
const TAG_EFI_ENTRY_32 = 8;
const TAG_EFI_ENTRY_64 = 9;
const TAG_RELOCATABLE = 10;
/** Bit 0 of a tag's flags: a loader that does not know it may go on. */
const OPTIONAL = 1;
/** What needs nothing done: entries for EFI, alignment that modules have anyway, a fixed place. */
const TAGS_IGNORED: readonly number[] = [
  TAG_MODULE_ALIGNMENT,
  TAG_EFI_ENTRY_32,
  TAG_EFI_ENTRY_64,
  TAG_RELOCATABLE,
];
/** TAG_CONSOLE: the kernel cannot do without a display. */
const CONSOLE_REQUIRED = 1;

/** The tags of the boot information that a kernel may get here, section 3.6. */
export const INFO = {
  COMMAND_LINE: 1,
  LOADER_NAME: 2,
  MODULE: 3,
  BASIC_MEMORY: 4,
  MEMORY_MAP: 6,
  ELF_SECTIONS: 9,
  LOAD_BASE: 21,
} as const;

/** What is loaded of a kernel, and what it asks to be told. */
export interface Multiboot2Kernel extends LoadedKernel {
  /** Whether it is an ELF file, whose sections it is told of. */
  readonly elf: boolean;
  /** Whether it wants to know its address, as it could be elsewhere. */
  readonly relocatable: boolean;
}

interface Tag {
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

function findHeader(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  const end = Math.min(bytes.length, SEARCH_BYTES) - HEADER_BYTES;
  for (let offset = 0; offset <= end; offset += 8) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue;
    let sum = HEADER_MAGIC;
    for (let at = 4; at < HEADER_BYTES; at += 4) sum += view.getUint32(offset + at, true);
    if (sum % 0x1_0000_0000 === 0) return offset;
  }
  return -1;
}

/** True when `bytes` hold a Multiboot 2 header with a correct checksum. */
export function isMultiboot2Image(bytes: Uint8Array): boolean {
  return findHeader(bytes) >= 0;
}

/** Reads a kernel for which {@link isMultiboot2Image} holds; ENOEXEC says why it cannot load. */
export function parseMultiboot2(image: KernelImage): Multiboot2Kernel {
  const offset = findHeader(image.bytes);
  const tags = readTags(image, offset);
  for (const tag of tags) checkTag(image, tag);
  const find = (type: number): Tag | undefined => tags.find((tag) => tag.type === type);
  const address = find(TAG_ADDRESS);
  const kernel =
    address === undefined ? fromElf(image) : fromAddresses(image, offset, address.data);
  const entry = find(TAG_ENTRY_ADDRESS);
  if (address !== undefined && entry === undefined) {
    throw refuse(image, 'gives load addresses in its header but no entry address');
  }
  return {
    ranges: kernel.ranges,
    entry: entry === undefined ? kernel.entry : wordsOf(image, entry.data, 1)[0]!,
    elf: isElf(image.bytes),
    relocatable: find(TAG_RELOCATABLE) !== undefined,
  };
}

function refuse(image: KernelImage, reason: string): VmmError {
  return new VmmError('ENOEXEC', `Multiboot 2 kernel ${image.name} ${reason}.`);
}

function readTags(image: KernelImage, offset: number): Tag[] {
  const { bytes } = image;
  const view = viewOf(bytes);
  if (view.getUint32(offset + 4, true) !== ARCHITECTURE_I386) {
    throw refuse(image, 'is not for x86 processors');
  }
  const end = offset + view.getUint32(offset + 8, true);
  if (end > bytes.length) throw refuse(image, 'is truncated inside its header');
  const tags: Tag[] = [];
  for (let at = offset + HEADER_BYTES; at + 8 <= end; ) {
    const size = view.getUint32(at + 4, true);
    if (size < 8 || at + size > end) throw refuse(image, 'has a header tag of a wrong size');
    const type = view.getUint16(at, true);
    if (type === TAG_END) return tags;
    const data = bytes.subarray(at + 8, at + size);
    tags.push({ type, flags: view.getUint16(at + 2, true), data });
    at += Math.ceil(size / 8) * 8;
  }
  throw refuse(image, 'has a header without an end tag');
}

function checkTag(image: KernelImage, { type, flags, data }: Tag): void {
  if ((flags & OPTIONAL) !== 0 || TAGS_IGNORED.includes(type)) return;
  switch (type) {
    case TAG_ADDRESS:
    case TAG_ENTRY_ADDRESS:
      return;
    case TAG_INFORMATION_REQUEST:
      for (const wanted of wordsOf(image, data, data.length >> 2)) {
        if (Object.values<number>(INFO).includes(wanted)) continue;
        throw refuse(image, `requires boot information that does not exist here: type ${wanted}`);
      }
      return;
    case TAG_CONSOLE:
      if ((wordsOf(image, data, 1)[0]! & CONSOLE_REQUIRED) === 0) return;
      throw refuse(image, 'requires a display, and a virtual machine has none');
    case TAG_FRAMEBUFFER:
      throw refuse(image, 'requires a framebuffer, and a virtual machine has none');
    case TAG_EFI_BOOT_SERVICES:
      throw refuse(image, 'requires EFI boot services, and a virtual machine has none');
    default:
      throw refuse(image, `requires a feature that does not exist here: header tag ${type}`);
  }
}

function wordsOf(image: KernelImage, data: Uint8Array, count: number): number[] {
  if (data.length < count * 4) throw refuse(image, 'has a header tag of a wrong size');
  const view = viewOf(data);
  return Array.from({ length: count }, (_, index) => view.getUint32(index * 4, true));
}

/** Section 3.1.5, "The address tag of Multiboot2 header". */
function fromAddresses(image: KernelImage, offset: number, data: Uint8Array): LoadedKernel {
  const [headerAddress, loadAddress, loadEnd, bssEnd] = wordsOf(image, data, 4) as [
    number,
    number,
    number,
    number,
  ];
  const { bytes } = image;
  // A load address of -1: from the beginning of the file.
  const start = loadAddress === 0xffff_ffff ? 0 : offset - (headerAddress - loadAddress);
  const address = loadAddress === 0xffff_ffff ? headerAddress - offset : loadAddress;
  if (start < 0 || start > offset || address < 0) {
    throw refuse(image, 'has addresses in its header that contradict each other');
  }
  const dataBytes = loadEnd === 0 ? bytes.length - start : loadEnd - address;
  if (dataBytes < 0 || start + dataBytes > bytes.length) {
    const asked = `bytes ${start} to ${start + dataBytes}`;
    throw refuse(image, `is truncated: its header asks for ${asked} of ${bytes.length}`);
  }
  const memoryBytes = Math.max(dataBytes, bssEnd === 0 ? 0 : bssEnd - address);
  const range = { address, data: bytes.subarray(start, start + dataBytes), memoryBytes };
  return { ranges: [range], entry: address };
}

function fromElf(image: KernelImage): LoadedKernel {
  if (!isElf(image.bytes)) {
    throw refuse(image, 'is not an ELF file and its header gives no load addresses');
  }
  const file = parseElf(image);
  if (file.machine !== EM_386 && file.machine !== EM_X86_64) {
    throw refuse(image, `is for another processor (e_machine ${file.machine})`);
  }
  return rangesOfElf(file, elfSegments(file));
}
