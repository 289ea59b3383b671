// Booting an OpenBSD kernel, amd64 or i386, as vmd(8) does, in the place of boot(8): the ELF file
// where its program headers say, its symbols behind it for ddb(4), random bytes where it asks for
// them, arguments on the stack. An amd64 kernel begins in 32-bit code with long mode active, over
// page tables that map the first GiB; an i386 kernel over page tables of 4 GiB. Any ELF kernel that
// has no other protocol's header is taken for one, as OpenBSD's kernels bear no mark.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import {
  AR_DATA32,
  type BootState,
  CR0_ET,
  CR0_PE,
  CR0_PG,
  CR4_PAE,
  CR4_PSE,
  EFER_LMA,
  EFER_LME,
  flatGdt,
  flatSegment,
  flatSegments,
  gprs,
  RFLAGS_FIXED,
} from './boot-state.ts';
import { ELFCLASS64, type ElfFile, type ElfSegment, elfSegments, parseElf } from './elf.ts';
import { type BootOptions, inHex, type KernelImage, viewOf, writeGuest } from './image.ts';
import {
  checkKernel,
  checkRanges,
  endOfRanges,
  type LoadedKernel,
  type LoadRange,
  rangesOfElf,
  writeKernel,
} from './load-layout.ts';
import { makeBootArguments, makeStack, parseBootPrompt } from './openbsd-bootargs.ts';
import { loadedSymbols } from './openbsd-symbols.ts';

// The pages below the kernel that vmd(8) uses.
const ARGUMENTS_ADDRESS = 0x2000;
const STACK_TOP = 0x1_0000;
const GDT_ADDRESS = 0x1_0000;
const PML4_ADDRESS = 0x1_1000;
const PDPT_ADDRESS = 0x1_2000;
const DIRECTORY_ADDRESS = 0x1_3000;
const LOW_END = 0x1_4000;
const PAGE = 4096;

const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;
/** Readable conforming 32-bit code, as in vmd(8). */
const AR_CODE32_CONFORMING = 0xc09f;

/** The kernel is entered at its lower 28 bits: its entry point is above KERNBASE. */
const ENTRY_MASK = 0x0fff_ffff;

/** A segment that the kernel wants filled with random bytes. */
const PT_OPENBSD_RANDOMIZE = 0x65a3_dbe6;

/**
 * Loads an ELF kernel as OpenBSD's and returns the state in which it starts. Nothing is written
 * when it refuses: ENOEXEC for a bad image, ENOMEM when it does not fit, EINVAL for options or
 * modules that such a kernel does not take.
 */
export function loadOpenbsd(
  memory: GuestMemory,
  image: KernelImage,
  options: BootOptions,
): BootState {
  const file = parseElf(image);
  const segments = elfSegments(file);
  const kernel = enteredLow(rangesOfElf(file, segments));
  checkKernel('Kernel', image, kernel, options.memoryBytes);
  if (options.modules.length > 0) {
    throw new VmmError('EINVAL', `Kernel ${image.name} is OpenBSD's, which takes no initrd.`);
  }
  const prompt = parseBootPrompt(options.commandLine);
  const wide = file.elfClass === ELFCLASS64;
  const ranges = [...kernel.ranges, ...symbolRange(file, kernel.ranges)];
  checkRanges(image, ranges, options.memoryBytes);
  checkLowPages(image, ranges);
  const randoms = randomRanges(image, segments, kernel.ranges);

  writeKernel(memory, ranges, []);
  for (const { physicalAddress, memoryBytes } of randoms) {
    const random = new Uint8Array(memoryBytes);
    options.entropy.fill(random);
    writeGuest(memory, physicalAddress, random);
  }
  const { bytes, sizeBytes } = makeBootArguments(options.memoryBytes);
  writeGuest(memory, ARGUMENTS_ADDRESS, bytes);
  const stack = makeStack(prompt, endOfRanges(ranges), ARGUMENTS_ADDRESS, sizeBytes);
  writeGuest(memory, STACK_TOP - stack.length, stack);
  writeGuest(memory, GDT_ADDRESS, flatGdt());
  if (wide) writeGuest(memory, PML4_ADDRESS, longPageTables());
  else writeGuest(memory, PML4_ADDRESS, pageDirectory());
  return entryState(kernel.entry, STACK_TOP - stack.length, wide);
}

/** An entry point that is in no segment's virtual range is taken without its upper bits. */
function enteredLow(kernel: LoadedKernel): LoadedKernel {
  const { ranges, entry } = kernel;
  const inside = ranges.some((r) => entry >= r.address && entry < r.address + r.memoryBytes);
  return inside ? kernel : { ranges, entry: entry & ENTRY_MASK };
}

/** The symbols, where the kernel looks for them: behind its last segment. */
function symbolRange(file: ElfFile, ranges: readonly LoadRange[]): LoadRange[] {
  const data = loadedSymbols(file);
  if (data === undefined) return [];
  const address = Math.ceil(endOfRanges(ranges) / 8) * 8;
  return [{ address, data, memoryBytes: data.length }];
}

/** What the kernel is told lies at fixed places, which it must leave alone. */
function checkLowPages(image: KernelImage, ranges: readonly LoadRange[]): void {
  const taken = ranges.find(
    (r) => r.address < LOW_END && r.address + r.memoryBytes > ARGUMENTS_ADDRESS,
  );
  if (taken === undefined) return;
  throw new VmmError(
    'ENOEXEC',
    `Kernel ${image.name} loads at ${inHex(taken.address)}, where its arguments, its stack and ` +
      `its page tables belong: ${inHex(ARGUMENTS_ADDRESS)} to ${inHex(LOW_END)}.`,
  );
}

/** What is to be random, all of it inside what is loaded. */
function randomRanges(
  image: KernelImage,
  segments: readonly ElfSegment[],
  loaded: readonly LoadRange[],
): ElfSegment[] {
  const random = segments.filter((s) => s.type === PT_OPENBSD_RANDOMIZE && s.memoryBytes > 0);
  for (const { physicalAddress: start, memoryBytes } of random) {
    const end = start + memoryBytes;
    if (loaded.some((r) => start >= r.address && end <= r.address + r.memoryBytes)) continue;
    throw new VmmError(
      'ENOEXEC',
      `Kernel ${image.name} wants random bytes at ${inHex(start)}, where it loads nothing.`,
    );
  }
  return random;
}

const PRESENT = 0x01;
const WRITABLE = 0x02;
const USER = 0x04;
const LARGE_PAGE = 0x80;

/**
 * Virtual = physical for 1 GiB in pages of 2 MiB: PML4, page-directory-pointer table, directory.
 */
function longPageTables(): Uint8Array {
  const tables = new Uint8Array(LOW_END - PML4_ADDRESS);
  const view = viewOf(tables);
  const flags = PRESENT | WRITABLE | USER;
  view.setUint32(0, PDPT_ADDRESS | flags, true);
  view.setUint32(PDPT_ADDRESS - PML4_ADDRESS, DIRECTORY_ADDRESS | flags, true);
  for (let page = 0; page < 512; page++) {
    const at = DIRECTORY_ADDRESS - PML4_ADDRESS + page * 8;
    view.setUint32(at, (page << 21) | LARGE_PAGE | flags, true);
  }
  return tables;
}

/** Virtual = physical for 4 GiB in pages of 4 MiB, without PAE. */
function pageDirectory(): Uint8Array {
  const directory = new Uint8Array(PAGE);
  const view = viewOf(directory);
  for (let page = 0; page < 1024; page++) {
    view.setUint32(page * 4, (page << 22) | LARGE_PAGE | PRESENT | WRITABLE | USER, true);
  }
  return directory;
}

function entryState(entry: number, stack: number, wide: boolean): BootState {
  return {
    gprs: gprs({ rsp: stack }),
    rip: entry,
    rflags: RFLAGS_FIXED,
    cr0: CR0_PE + CR0_ET + CR0_PG,
    cr3: PML4_ADDRESS,
    cr4: wide ? CR4_PAE + CR4_PSE : CR4_PSE,
    efer: wide ? EFER_LME + EFER_LMA : 0,
    segments: flatSegments(
      flatSegment(CODE_SELECTOR, AR_CODE32_CONFORMING),
      flatSegment(DATA_SELECTOR, AR_DATA32),
    ),
    gdtr: { base: GDT_ADDRESS, limit: 0xffff },
    idtr: { base: 0, limit: 0xffff },
  };
}
