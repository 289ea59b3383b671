// The symbols of an OpenBSD kernel as its loader leaves them in memory for ddb(4), behind the
// kernel: the ELF header, the section headers, and the sections with symbols, names, line numbers
// and types. Offsets in the headers count from the ELF header in memory.

import {
  ELFCLASS64,
  type ElfFile,
  type ElfSection,
  elfSections,
  elfSectionTable,
  SHT_STRTAB,
  SHT_SYMTAB,
} from './elf.ts';
import { viewOf } from './image.ts';

/** Offsets of what is changed, for each class: in the ELF header, and in a section header. */
const WIDE = { ehdr: 64, phoff: 32, shoff: 40, phentsize: 54, phnum: 56, shdr: 64, offset: 24 };
const NARROW = { ehdr: 52, phoff: 28, shoff: 32, phentsize: 42, phnum: 44, shdr: 40, offset: 16 };

/** Sections that ddb(4) and ctfconv(1)'s readers want besides symbols and strings. */
const NAMED_SECTIONS: readonly string[] = ['.debug_line', '.SUNW_ctf'];

/**
 * Bytes to load behind the kernel, at a multiple of eight; undefined for a kernel without sections.
 */
export function loadedSymbols(file: ElfFile): Uint8Array | undefined {
  const wide = file.elfClass === ELFCLASS64;
  const place = wide ? WIDE : NARROW;
  const align = (length: number): number => {
    const unit = wide ? 8 : 4;
    return Math.ceil(length / unit) * unit;
  };
  const table = elfSectionTable(file);
  if (table.count === 0 || table.entryBytes !== place.shdr) return undefined;
  const sections = elfSections(file);
  const hasSymbols = sections.some(({ type }) => type === SHT_SYMTAB);

  const headers = new Uint8Array(table.data);
  const pieces: Array<readonly [offset: number, data: Uint8Array]> = [];
  let length = align(place.ehdr + headers.length);
  sections.forEach((section, index) => {
    if (!hasSymbols || !isWanted(section)) return;
    pieces.push([length, section.data]);
    const at = index * place.shdr + place.offset;
    viewOf(headers).setUint32(at, length, true);
    if (wide) viewOf(headers).setUint32(at + 4, 0, true);
    length += align(section.data.length);
  });

  const bytes = new Uint8Array(length);
  bytes.set(file.bytes.subarray(0, place.ehdr));
  const view = viewOf(bytes);
  // There are no program headers in memory, and the section headers follow the ELF header.
  view.setUint32(place.phoff, 0, true);
  view.setUint32(place.shoff, place.ehdr, true);
  if (wide) {
    view.setUint32(place.phoff + 4, 0, true);
    view.setUint32(place.shoff + 4, 0, true);
  }
  view.setUint16(place.phentsize, 0, true);
  view.setUint16(place.phnum, 0, true);
  bytes.set(headers, place.ehdr);
  for (const [offset, data] of pieces) bytes.set(data, offset);
  return bytes;
}

function isWanted({ type, name }: ElfSection): boolean {
  return type === SHT_SYMTAB || type === SHT_STRTAB || NAMED_SECTIONS.includes(name);
}
