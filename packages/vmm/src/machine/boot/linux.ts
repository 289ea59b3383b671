// Booting a Linux bzImage: "The Linux/x86 Boot Protocol" (the kernel's
// Documentation/arch/x86/boot.rst), sections "64-bit Boot Protocol", "32-bit Boot Protocol" and
// "Loading The Rest of The Kernel", and "Zero Page" (zero-page.rst) for boot_params. The real-mode
// part of the image never runs: the monitor gathers what it would ask a BIOS for. A kernel without
// a 64-bit entry is entered by the 32-bit protocol. Not done: EFI handover, video modes,
// setup_data.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import {
  AR_CODE32,
  AR_CODE64,
  AR_DATA32,
  type BootState,
  CR0_ET,
  CR0_NE,
  CR0_PE,
  CR0_PG,
  CR4_PAE,
  EFER_LMA,
  EFER_LME,
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
  zeroTerminated,
} from './image.ts';
import * as setup from './linux-header.ts';
import { type LinuxHeader, parseLinuxHeader } from './linux-header.ts';
import { EXTENDED_START, lowMemoryEnd, memoryMap } from './memory-map.ts';

// Conventional memory while the kernel starts. It copies what it needs of these pages early.
const GDT_ADDRESS = 0x1000;
const BOOT_PARAMS_ADDRESS = 0x2000;
const PML4_ADDRESS = 0x3000;
const PDPT_ADDRESS = 0x4000;
/** Four page directories: 4 GiB in pages of 2 MiB. */
const PAGE_DIRECTORIES_ADDRESS = 0x5000;
const STACK_TOP = 0x1_0000;
const COMMAND_LINE_ADDRESS = 0x2_0000;
/** The command line ends below the extended BIOS data area, whatever the header allows. */
const COMMAND_LINE_MAX = 0x1_0000;

const PAGE = 4096;
/** __BOOT_CS and __BOOT_DS: boot.rst asks for these selectors. */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;

// Fields of boot_params outside the setup header (zero-page.rst).
const EXT_MEM_K = 0x002;
const ACPI_RSDP_ADDR = 0x070;
const ALT_MEM_K = 0x1e0;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY_BYTES = 20;

/** "Undefined": no number has been assigned to this boot loader. */
const LOADER_UNDEFINED = 0xff;
const VID_MODE_NORMAL = 0xffff;
/** End of the setup code's heap, less 0x200; boot.rst, "heap_end_ptr". */
const HEAP_END = 0xfe00;

const ENTRY_64_OFFSET = 0x200;

/**
 * Loads a bzImage with its command line and initrd (the modules, one after the other) into
 * `memory`, and returns the state in which the kernel starts. Nothing is written when it refuses:
 * ENOEXEC for a bad image, ENOMEM when it does not fit, EINVAL for a command line too long.
 */
export function loadLinux(
  memory: GuestMemory,
  image: KernelImage,
  options: BootOptions,
): BootState {
  const linux = parseLinuxHeader(image);
  const commandLine = encodeCommandLine(image, linux, options.commandLine);
  checkKernelFits(image, linux, options.memoryBytes);
  const initrdBytes = initrdSize(options.modules);
  const initrdAddress = placeInitrd(image, linux, initrdBytes, options.memoryBytes);

  writeGuest(memory, linux.loadAddress, linux.kernel);
  writeInitrd(memory, initrdAddress, options.modules);
  writeGuest(memory, COMMAND_LINE_ADDRESS, commandLine);
  const bootParams = makeBootParams(linux, options, initrdAddress, initrdBytes);
  writeGuest(memory, BOOT_PARAMS_ADDRESS, bootParams);
  const code = linux.has64BitEntry ? AR_CODE64 : AR_CODE32;
  writeGuest(memory, GDT_ADDRESS, makeGdt(code));
  if (linux.has64BitEntry) writeGuest(memory, PML4_ADDRESS, makePageTables());
  return entryState(linux, code);
}

function encodeCommandLine(image: KernelImage, linux: LinuxHeader, text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const max = Math.min(linux.commandLineMax, COMMAND_LINE_MAX);
  if (encoded.length > max) {
    throw new VmmError(
      'EINVAL',
      `The command line has ${encoded.length} bytes and kernel ${image.name} takes ${max}.`,
    );
  }
  return zeroTerminated(text);
}

function checkKernelFits(image: KernelImage, linux: LinuxHeader, memoryBytes: number): void {
  const end = linux.loadAddress + linux.initSizeBytes;
  if (linux.loadAddress < EXTENDED_START) {
    throw new VmmError(
      'ENOEXEC',
      `Kernel ${image.name} asks to be loaded at 0x${linux.loadAddress.toString(16)}, below 1 MB.`,
    );
  }
  if (end > lowMemoryEnd(memoryBytes)) {
    throw new VmmError(
      'ENOMEM',
      `Kernel ${image.name} needs ${inMegabytes(end)} of memory and the virtual machine has ` +
        `${inMegabytes(memoryBytes)}.`,
    );
  }
}

/** Several initrds are concatenated; the kernel looks for each archive at a multiple of 4. */
function initrdSize(modules: readonly BootModule[]): number {
  let size = 0;
  for (const module of modules) size = align(size, 4) + module.bytes.length;
  return size;
}

/** The highest place for the initrd: boot.rst advises it, as the kernel's own needs are low. */
function placeInitrd(
  image: KernelImage,
  linux: LinuxHeader,
  sizeBytes: number,
  memoryBytes: number,
): number {
  if (sizeBytes === 0) return 0;
  const end = Math.min(linux.initrdAddressMax + 1, lowMemoryEnd(memoryBytes));
  const start = Math.floor((end - sizeBytes) / PAGE) * PAGE;
  const kernelEnd = linux.loadAddress + linux.initSizeBytes;
  if (start < kernelEnd) {
    throw new VmmError(
      'ENOMEM',
      `The initrd of ${inMegabytes(sizeBytes)} does not fit into memory above kernel ` +
        `${image.name}, which takes the first ${inMegabytes(kernelEnd)} of ${inMegabytes(end)}.`,
    );
  }
  return start;
}

function writeInitrd(memory: GuestMemory, address: number, modules: readonly BootModule[]): void {
  let at = address;
  for (const module of modules) {
    const start = align(at, 4);
    writeGuest(memory, at, new Uint8Array(start - at));
    writeGuest(memory, start, module.bytes);
    at = start + module.bytes.length;
  }
}

function makeBootParams(
  linux: LinuxHeader,
  { memoryBytes, acpiRoot = 0 }: BootOptions,
  initrdAddress: number,
  initrdBytes: number,
): Uint8Array {
  const page = new Uint8Array(PAGE);
  const view = viewOf(page);
  page.set(linux.header, setup.SETUP_HEADER);
  page[setup.TYPE_OF_LOADER] = LOADER_UNDEFINED;
  page[setup.EXT_LOADER_VER] = 0;
  page[setup.EXT_LOADER_TYPE] = 0;
  page[setup.LOADFLAGS]! |= setup.CAN_USE_HEAP;
  view.setUint16(setup.HEAP_END_PTR, HEAP_END, true);
  view.setUint16(setup.VID_MODE, VID_MODE_NORMAL, true);
  view.setUint32(setup.CODE32_START, linux.loadAddress, true);
  view.setUint32(setup.CMD_LINE_PTR, COMMAND_LINE_ADDRESS, true);
  view.setUint32(setup.RAMDISK_IMAGE, initrdAddress, true);
  view.setUint32(setup.RAMDISK_SIZE, initrdBytes, true);
  const extendedKb = (lowMemoryEnd(memoryBytes) - EXTENDED_START) / 1024;
  // The older of the two sizes is a 16-bit field of INT 15h AH=88h.
  view.setUint16(EXT_MEM_K, Math.min(extendedKb, 0xffff), true);
  view.setUint32(ALT_MEM_K, extendedKb, true);
  view.setBigUint64(ACPI_RSDP_ADDR, BigInt(acpiRoot), true);
  const map = memoryMap(memoryBytes);
  page[E820_ENTRIES] = map.length;
  map.forEach((entry, index) => {
    const at = E820_TABLE + index * E820_ENTRY_BYTES;
    view.setBigUint64(at, BigInt(entry.base), true);
    view.setBigUint64(at + 8, BigInt(entry.sizeBytes), true);
    view.setUint32(at + 16, entry.type, true);
  });
  return page;
}

function makeGdt(codeAr: number): Uint8Array {
  const gdt = new Uint8Array(BOOT_DS + 8);
  const view = viewOf(gdt);
  for (const [selector, ar] of [
    [BOOT_CS, codeAr],
    [BOOT_DS, AR_DATA32],
  ] as const) {
    const [low, high] = flatDescriptor(ar);
    view.setUint32(selector, low, true);
    view.setUint32(selector + 4, high, true);
  }
  return gdt;
}

/** Virtual = physical for 4 GiB: PML4, page-directory-pointer table, four directories. */
function makePageTables(): Uint8Array {
  const PRESENT_WRITABLE = 0x3;
  const LARGE_PAGE = 0x80;
  const tables = new Uint8Array(PAGE_DIRECTORIES_ADDRESS + 4 * PAGE - PML4_ADDRESS);
  const view = viewOf(tables);
  view.setUint32(0, PDPT_ADDRESS | PRESENT_WRITABLE, true);
  for (let gib = 0; gib < 4; gib++) {
    const directory = PAGE_DIRECTORIES_ADDRESS + gib * PAGE;
    view.setUint32(PDPT_ADDRESS - PML4_ADDRESS + gib * 8, directory | PRESENT_WRITABLE, true);
  }
  for (let page = 0; page < 4 * 512; page++) {
    const at = PAGE_DIRECTORIES_ADDRESS - PML4_ADDRESS + page * 8;
    view.setUint32(at, (page << 21) | LARGE_PAGE | PRESENT_WRITABLE, true);
  }
  return tables;
}

/** Both protocols: interrupts off, flat segments with the selectors above, RSI at boot_params. */
function entryState(linux: LinuxHeader, codeAr: number): BootState {
  const long = linux.has64BitEntry;
  return {
    gprs: gprs({ rsi: BOOT_PARAMS_ADDRESS, rsp: STACK_TOP }),
    rip: linux.loadAddress + (long ? ENTRY_64_OFFSET : 0),
    rflags: RFLAGS_FIXED,
    cr0: CR0_PE + CR0_ET + CR0_NE + (long ? CR0_PG : 0),
    cr3: long ? PML4_ADDRESS : 0,
    cr4: long ? CR4_PAE : 0,
    efer: long ? EFER_LME + EFER_LMA : 0,
    segments: flatSegments(flatSegment(BOOT_CS, codeAr), flatSegment(BOOT_DS, AR_DATA32)),
    gdtr: { base: GDT_ADDRESS, limit: BOOT_DS + 7 },
    idtr: { base: 0, limit: 0 },
  };
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
