// The setup header of a Linux bzImage: "The Linux/x86 Boot Protocol" (the kernel's
// Documentation/arch/x86/boot.rst), section "The Real-Mode Kernel Header". Read here: the fields a
// boot loader needs; checked: magic numbers, and that the file holds all that the header announces.
// Not supported: zImage kernels and protocols before 2.06 (Linux 2.6.22, 2007).

import { VmmError } from '../../base/errors.ts';
import { type KernelImage, viewOf } from './image.ts';

/** File offset of the setup header, which is its offset in boot_params as well. */
export const SETUP_HEADER = 0x1f1;

/** Offsets of setup header fields, in the file and in boot_params alike. */
export const SETUP_SECTS = 0x1f1;
export const SYSSIZE = 0x1f4;
export const VID_MODE = 0x1fa;
export const BOOT_FLAG = 0x1fe;
export const JUMP_OFFSET = 0x201;
export const HEADER_MAGIC = 0x202;
export const VERSION = 0x206;
export const TYPE_OF_LOADER = 0x210;
export const LOADFLAGS = 0x211;
export const CODE32_START = 0x214;
export const RAMDISK_IMAGE = 0x218;
export const RAMDISK_SIZE = 0x21c;
export const HEAP_END_PTR = 0x224;
export const EXT_LOADER_VER = 0x226;
export const EXT_LOADER_TYPE = 0x227;
export const CMD_LINE_PTR = 0x228;
export const INITRD_ADDR_MAX = 0x22c;
export const XLOADFLAGS = 0x236;
export const CMDLINE_SIZE = 0x238;
export const PREF_ADDRESS = 0x258;
export const INIT_SIZE = 0x260;

export const LOADED_HIGH = 0x01;
export const CAN_USE_HEAP = 0x80;
export const XLF_KERNEL_64 = 0x01;

const MAGIC_HDRS = 0x5372_6448; // "HdrS"
const BOOT_FLAG_VALUE = 0xaa55;
const SECTOR = 512;
/** The unit of syssize. */
const PARAGRAPH = 16;
/** boot_params goes on at 0x290 with another field, so no header can be longer. */
const HEADER_END_MAX = 0x290;
const HEADER_END_MIN = 0x23c;
const VERSION_MIN = 0x0206;
/** Where a bzImage before protocol 2.10 runs. */
const LOAD_ADDRESS_OLD = 0x10_0000;

/** What a loader needs of a bzImage. */
export interface LinuxHeader {
  /** Boot protocol version, 0x020f for 2.15. */
  readonly version: number;
  /** The header's bytes, for boot_params. */
  readonly header: Uint8Array;
  /** The protected-mode part: what is loaded and entered. */
  readonly kernel: Uint8Array;
  /** Where the kernel wants to be loaded. */
  readonly loadAddress: number;
  /** Bytes from loadAddress that the kernel needs until it has read the memory map. */
  readonly initSizeBytes: number;
  /** Highest address that the initrd may occupy. */
  readonly initrdAddressMax: number;
  /** Longest command line, without its terminating zero. */
  readonly commandLineMax: number;
  /** True when there is a 64-bit entry point at loadAddress + 0x200. */
  readonly has64BitEntry: boolean;
}

/** True when `bytes` begin like a Linux x86 kernel with a setup header. */
export function isLinuxImage(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_MAGIC + 4) return false;
  const view = viewOf(bytes);
  return (
    view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_VALUE &&
    view.getUint32(HEADER_MAGIC, true) === MAGIC_HDRS
  );
}

/**
 * Reads the header of a kernel for which {@link isLinuxImage} holds; ENOEXEC says what is wrong.
 */
export function parseLinuxHeader(image: KernelImage): LinuxHeader {
  const { bytes, name } = image;
  const view = viewOf(bytes);
  const headerEnd = HEADER_MAGIC + (bytes[JUMP_OFFSET] ?? 0);
  if (bytes.length < VERSION + 2 || bytes.length < headerEnd) {
    throw new VmmError('ENOEXEC', `Kernel ${name} is truncated inside its setup header.`);
  }
  const version = view.getUint16(VERSION, true);
  if (version < VERSION_MIN || headerEnd < HEADER_END_MIN) {
    const text = `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
    throw new VmmError(
      'ENOEXEC',
      `Kernel ${name} uses version ${text} of the Linux boot protocol; 2.06 or later is needed.`,
    );
  }
  if ((bytes[LOADFLAGS]! & LOADED_HIGH) === 0) {
    throw new VmmError('ENOEXEC', `Kernel ${name} is a zImage; only a bzImage can be loaded.`);
  }
  // A setup_sects of 0 means 4: boot.rst, "setup_sects".
  const setupBytes = ((bytes[SETUP_SECTS]! || 4) + 1) * SECTOR;
  const announcedBytes = view.getUint32(SYSSIZE, true) * PARAGRAPH;
  const kernelBytes = Math.min(announcedBytes, Math.max(0, bytes.length - setupBytes));
  // The size is in paragraphs, and Memtest86+ does not fill its last one up.
  if (kernelBytes <= announcedBytes - PARAGRAPH) {
    throw new VmmError(
      'ENOEXEC',
      `Kernel ${name} is truncated: its header announces ${setupBytes + announcedBytes} bytes ` +
        `and the file has ${bytes.length}.`,
    );
  }
  if (kernelBytes === 0) throw new VmmError('ENOEXEC', `Kernel ${name} contains no code.`);
  const placed = version >= 0x020a && headerEnd >= INIT_SIZE + 4;
  return {
    version,
    header: bytes.subarray(SETUP_HEADER, Math.min(headerEnd, HEADER_END_MAX)),
    kernel: bytes.subarray(setupBytes, setupBytes + kernelBytes),
    loadAddress: placed ? readAddress(view, PREF_ADDRESS) : LOAD_ADDRESS_OLD,
    initSizeBytes: Math.max(kernelBytes, placed ? view.getUint32(INIT_SIZE, true) : 0),
    initrdAddressMax: view.getUint32(INITRD_ADDR_MAX, true),
    commandLineMax: view.getUint32(CMDLINE_SIZE, true),
    has64BitEntry: version >= 0x020c && (view.getUint16(XLOADFLAGS, true) & XLF_KERNEL_64) !== 0,
  };
}

function readAddress(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}
