// Reader of ELF files: System V ABI, "Object Files" (gabi 4.1), 32-bit and 64-bit, little-endian.
// Read: the header, the program headers, notes, the section headers with their names. Every offset
// is checked against the file, so a damaged file is refused and never read beyond its end. Not
// read: symbols, relocations, extended numbering (more than 65279 sections).

import { VmmError } from '../../base/errors.ts';
import { type KernelImage, viewOf } from './image.ts';

export const ELFCLASS32 = 1;
export const ELFCLASS64 = 2;
export const EM_386 = 3;
export const EM_X86_64 = 62;
/** e_type of a program that is linked to its addresses. */
export const ET_EXEC = 2;
export const PT_LOAD = 1;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
const ELFDATA2LSB = 1;
const SHT_NOBITS = 8;

/** A program header: what to load where. */
export interface ElfSegment {
  readonly type: number;
  /** The segment's bytes in the file. */
  readonly data: Uint8Array;
  /** Signed: kernels run in the upper half of the address space, where a double is not exact. */
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  /** Bytes in memory, at least those in the file; the rest is zero. */
  readonly memoryBytes: number;
}

/** A section, by name. */
export interface ElfSection {
  readonly name: string;
  /** sh_type. */
  readonly type: number;
  /** sh_addr, signed: zero for a section that is no part of the program in memory. */
  readonly address: number;
  /** Empty for a section without bytes in the file. */
  readonly data: Uint8Array;
}

/** A note: something that a tool or a system wrote into the file. */
export interface ElfNote {
  /** Whose note it is, and which of his. */
  readonly owner: string;
  readonly type: number;
  readonly data: Uint8Array;
}

/** The header of an ELF file. */
export interface ElfFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly elfClass: typeof ELFCLASS32 | typeof ELFCLASS64;
  /** e_type. */
  readonly type: number;
  /** e_machine. */
  readonly machine: number;
  /** e_entry; signed, as {@link ElfSegment.virtualAddress}. */
  readonly entry: number;
}

/** True when `bytes` begin with the ELF magic number. */
export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 4 &&
    bytes[0] === 0x7f &&
    bytes[1] === 0x45 &&
    bytes[2] === 0x4c &&
    bytes[3] === 0x46
  );
}

/** Reads the ELF header; ENOEXEC when it is damaged or of another byte order. */
export function parseElf(image: KernelImage): ElfFile {
  const { name, bytes } = image;
  if (!isElf(bytes)) throw new VmmError('ENOEXEC', `File ${name} is not an ELF file.`);
  const elfClass = bytes[4];
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) {
    throw new VmmError('ENOEXEC', `ELF file ${name} is of an unknown class.`);
  }
  if (bytes[5] !== ELFDATA2LSB) {
    throw new VmmError('ENOEXEC', `ELF file ${name} is not little-endian.`);
  }
  if (bytes.length < (elfClass === ELFCLASS64 ? 64 : 52)) {
    throw new VmmError('ENOEXEC', `ELF file ${name} is truncated inside its header.`);
  }
  const view = viewOf(bytes);
  return {
    name,
    bytes,
    elfClass,
    type: view.getUint16(16, true),
    machine: view.getUint16(18, true),
    entry: elfClass === ELFCLASS64 ? readSigned64(view, 24) : view.getUint32(24, true),
  };
}

/** The program headers in file order; ENOEXEC when one lies outside the file. */
export function elfSegments(file: ElfFile): ElfSegment[] {
  const wide = file.elfClass === ELFCLASS64;
  const view = viewOf(file.bytes);
  const offset = wide ? readWord64(view, 32) : view.getUint32(28, true);
  const entryBytes = view.getUint16(wide ? 54 : 42, true);
  const count = view.getUint16(wide ? 56 : 44, true);
  checkTable(file, 'program header table', offset, entryBytes, count, wide ? 56 : 32);
  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    segments.push(readSegment(file, view, offset + index * entryBytes, wide));
  }
  return segments;
}

function readSegment(file: ElfFile, view: DataView, at: number, wide: boolean): ElfSegment {
  const word = (narrowOffset: number, wideOffset: number): number =>
    wide ? readWord64(view, at + wideOffset) : view.getUint32(at + narrowOffset, true);
  const data = slice(file, 'segment', word(4, 8), word(16, 32));
  const memoryBytes = word(20, 40);
  const type = view.getUint32(at, true);
  if (type === PT_LOAD && memoryBytes < data.length) {
    throw new VmmError('ENOEXEC', `A segment of ELF file ${file.name} is longer than its memory.`);
  }
  return {
    type,
    data,
    virtualAddress: wide ? readSigned64(view, at + 16) : view.getUint32(at + 8, true),
    physicalAddress: word(12, 24),
    memoryBytes,
  };
}

/** The sections in file order; ENOEXEC when one, or its name, lies outside the file. */
export function elfSections(file: ElfFile): ElfSection[] {
  const wide = file.elfClass === ELFCLASS64;
  const { entryBytes, count, namesIndex, data: table } = elfSectionTable(file);
  const view = viewOf(table);
  if (count === 0) return [];
  if (namesIndex >= count) {
    throw new VmmError('ENOEXEC', `ELF file ${file.name} names a section that it does not have.`);
  }
  const dataOf = (index: number): Uint8Array => {
    const at = index * entryBytes;
    if (view.getUint32(at + 4, true) === SHT_NOBITS) return new Uint8Array(0);
    const start = wide ? readWord64(view, at + 24) : view.getUint32(at + 16, true);
    const size = wide ? readWord64(view, at + 32) : view.getUint32(at + 20, true);
    return slice(file, 'section', start, size);
  };
  const names = dataOf(namesIndex);
  const sections: ElfSection[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * entryBytes;
    const name = stringAt(names, view.getUint32(at, true));
    sections.push({
      name,
      type: view.getUint32(at + 4, true),
      address: wide ? readSigned64(view, at + 16) : view.getUint32(at + 12, true),
      data: dataOf(index),
    });
  }
  return sections;
}

/** Where the section header table is in the file; zero entries when there is none. */
export function elfSectionTable(file: ElfFile): {
  readonly entryBytes: number;
  readonly count: number;
  /** Index of the section with the names. */
  readonly namesIndex: number;
  readonly data: Uint8Array;
} {
  const wide = file.elfClass === ELFCLASS64;
  const view = viewOf(file.bytes);
  const offset = wide ? readWord64(view, 40) : view.getUint32(32, true);
  const entryBytes = view.getUint16(wide ? 58 : 46, true);
  const count = view.getUint16(wide ? 60 : 48, true);
  checkTable(file, 'section header table', offset, entryBytes, count, wide ? 64 : 40);
  const namesIndex = view.getUint16(wide ? 62 : 50, true);
  const data = file.bytes.subarray(offset, offset + entryBytes * count);
  return { entryBytes, count, namesIndex, data: count === 0 ? new Uint8Array(0) : data };
}

/** The notes in the segments of type PT_NOTE; what is damaged of them is left out. */
export function elfNotes(segments: readonly ElfSegment[]): ElfNote[] {
  const notes: ElfNote[] = [];
  for (const { type, data } of segments) {
    if (type !== PT_NOTE) continue;
    const view = viewOf(data);
    for (let at = 0; at + NOTE_HEADER_BYTES <= data.length; ) {
      const nameAt = at + NOTE_HEADER_BYTES;
      const dataAt = nameAt + align4(view.getUint32(at, true));
      const end = dataAt + view.getUint32(at + 4, true);
      if (end > data.length) break;
      const owner = stringAt(data.subarray(nameAt, dataAt), 0);
      notes.push({ owner, type: view.getUint32(at + 8, true), data: data.subarray(dataAt, end) });
      at = align4(end);
    }
  }
  return notes;
}

/**
 * namesz, descsz, type: words of 32 bits in both classes, each part filled up to a multiple of 4.
 */
const NOTE_HEADER_BYTES = 12;

function align4(value: number): number {
  return Math.ceil(value / 4) * 4;
}

function checkTable(
  file: ElfFile,
  what: string,
  offset: number,
  entryBytes: number,
  count: number,
  entryBytesMin: number,
): void {
  if (count === 0) return;
  if (entryBytes < entryBytesMin || offset + entryBytes * count > file.bytes.length) {
    throw new VmmError(
      'ENOEXEC',
      `The ${what} of ELF file ${file.name} lies outside the file, which may be truncated.`,
    );
  }
}

function slice(file: ElfFile, what: string, start: number, size: number): Uint8Array {
  if (start + size > file.bytes.length) {
    throw new VmmError(
      'ENOEXEC',
      `A ${what} of ELF file ${file.name} lies outside the file, which may be truncated.`,
    );
  }
  return file.bytes.subarray(start, start + size);
}

function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  return new TextDecoder().decode(table.subarray(offset, end < 0 ? table.length : end));
}

/** A 64-bit word as a double: exact below 2^53, and above only ever compared with a file's size. */
function readWord64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/** The same with a sign: exact for addresses in the lowest and the highest 8 PiB. */
function readSigned64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getInt32(offset + 4, true) * 0x1_0000_0000;
}
