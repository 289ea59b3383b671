// The header of a Multiboot kernel and what of the file is loaded where: Multiboot Specification
// version 0.6.96, sections 3.1 and 3.2. Kernels are ELF files, or any format whose header gives the
// load addresses itself (bit 16, "a.out kludge"). ELF64 files are taken as GRUB takes them (GNU
// Mach for x86-64 is one), though QEMU's -kernel does not: their first code is of 32 bits.

import { VmmError } from '../../base/errors.ts';
import { EM_386, EM_X86_64, elfSegments, isElf, parseElf } from './elf.ts';
import { type KernelImage, viewOf } from './image.ts';
import { type LoadedKernel, rangesOfElf } from './load-layout.ts';

const HEADER_MAGIC = 0x1bad_b002;
/** The header lies in the first 8192 bytes of the file, at a multiple of four. */
const SEARCH_BYTES = 8192;
const HEADER_BYTES = 12;

/** Flags of the header. Bits 15:0 are requirements, and one not known must be refused. */
const PAGE_ALIGN_MODULES = 0x0000_0001;
const MEMORY_INFO = 0x0000_0002;
/** A wish for a video mode. Without a display there is none to give, which the kernel must see. */
const VIDEO_MODE = 0x0000_0004;
const ADDRESS_FIELDS = 0x0001_0000;
const REQUIREMENTS_KNOWN = PAGE_ALIGN_MODULES | MEMORY_INFO | VIDEO_MODE;

interface Header {
  readonly offset: number;
  readonly flags: number;
}

function findHeader(bytes: Uint8Array): Header | undefined {
  const view = viewOf(bytes);
  const end = Math.min(bytes.length, SEARCH_BYTES) - HEADER_BYTES;
  for (let offset = 0; offset <= end; offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(offset + 4, true);
    const sum = HEADER_MAGIC + flags + view.getUint32(offset + 8, true);
    if (sum % 0x1_0000_0000 === 0) return { offset, flags };
  }
  return undefined;
}

/** True when `bytes` hold a Multiboot 1 header with a correct checksum. */
export function isMultibootImage(bytes: Uint8Array): boolean {
  return findHeader(bytes) !== undefined;
}

/** Reads a kernel for which {@link isMultibootImage} holds; ENOEXEC says why it cannot load. */
export function parseMultiboot(image: KernelImage): LoadedKernel {
  const header = findHeader(image.bytes);
  if (header === undefined) {
    throw new VmmError('ENOEXEC', `Kernel ${image.name} has no Multiboot header.`);
  }
  const unknown = header.flags & 0xffff & ~REQUIREMENTS_KNOWN;
  if (unknown !== 0) {
    throw new VmmError(
      'ENOEXEC',
      `Multiboot kernel ${image.name} requires features that do not exist here: flags ` +
        `0x${unknown.toString(16)}.`,
    );
  }
  return (header.flags & ADDRESS_FIELDS) !== 0 ? rangeOfHeader(image, header) : fromElf(image);
}

/** Section 3.1.3, "The address fields of Multiboot header". */
function rangeOfHeader(image: KernelImage, header: Header): LoadedKernel {
  const { bytes, name } = image;
  if (header.offset + 32 > bytes.length) {
    throw new VmmError('ENOEXEC', `Multiboot kernel ${name} is truncated inside its header.`);
  }
  const view = viewOf(bytes);
  const field = (offset: number): number => view.getUint32(header.offset + offset, true);
  const headerAddress = field(12);
  const loadAddress = field(16);
  const loadEnd = field(20);
  const bssEnd = field(24);
  const start = header.offset - (headerAddress - loadAddress);
  if (start < 0 || start > header.offset) {
    throw new VmmError(
      'ENOEXEC',
      `The addresses in the Multiboot header of kernel ${name} contradict each other.`,
    );
  }
  const dataBytes = loadEnd === 0 ? bytes.length - start : loadEnd - loadAddress;
  if (dataBytes < 0 || start + dataBytes > bytes.length) {
    throw new VmmError(
      'ENOEXEC',
      `Multiboot kernel ${name} is truncated: its header asks for bytes ${start} to ` +
        `${start + dataBytes} and the file has ${bytes.length}.`,
    );
  }
  const memoryBytes = Math.max(dataBytes, bssEnd === 0 ? 0 : bssEnd - loadAddress);
  const data = bytes.subarray(start, start + dataBytes);
  return { ranges: [{ address: loadAddress, data, memoryBytes }], entry: field(28) };
}

function fromElf(image: KernelImage): LoadedKernel {
  const { bytes, name } = image;
  if (!isElf(bytes)) {
    throw new VmmError(
      'ENOEXEC',
      `Multiboot kernel ${name} is not an ELF file and its header gives no load addresses.`,
    );
  }
  const file = parseElf(image);
  if (file.machine !== EM_386 && file.machine !== EM_X86_64) {
    throw new VmmError(
      'ENOEXEC',
      `Multiboot kernel ${name} is for another processor (e_machine ${file.machine}).`,
    );
  }
  return rangesOfElf(file, elfSegments(file));
}
