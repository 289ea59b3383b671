// What an OpenBSD kernel is told by its boot loader: the arguments on its stack (boot(8/amd64)),
// and the list of structures that they point to, as sys/arch/amd64/include/biosvar.h lays them out.
// Given here: the memory map and the console. Of the command line, which such kernels have not, the
// options of the boot prompt are taken: -a, -c, -d, -s and a root device.

import { VmmError } from '../../base/errors.ts';
import { viewOf } from './image.ts';
import { E820_RAM, memoryMap } from './memory-map.ts';

const BOOTARG_MEMMAP = 0;
const BOOTARG_CONSDEV = 5;
const BOOTARG_END = 0xffff_ffff;
/** Type, size and an unused pointer before the data of each. */
const BOOTARG_HEADER_BYTES = 12;
const MAP_ENTRY_BYTES = 20;
/** The type of a memory map's last entry. */
const BIOS_MAP_END = 0;
const BIOS_MAP_FREE = 1;

/**
 * The console of today's kernels: device, speed, address of 64 bits, frequency, flags, register
 * width and shift. To older ones it is four words: device, speed, address of 32 bits, frequency.
 * Both find theirs in this, with a frequency of zero.
 */
const CONSDEV_BYTES = 32;
/** dev_t of tty00: major 8, minor 0. */
const COM1_DEVICE = 8 << 8;
const COM1_ADDRESS = 0x3f8;
const COM1_SPEED = 115_200;

/** BAPIV_VECTOR, BAPIV_ENV and BAPIV_BMEMMAP: the version of all this. */
const BOOT_API_VERSION = 0x0e;

/** sys/reboot.h: what the letters of the boot prompt ask for. */
const HOWTO: Readonly<Record<string, number>> = {
  a: 0x0001, // RB_ASKNAME
  c: 0x0400, // RB_CONFIG
  d: 0x0040, // RB_KDB
  s: 0x0002, // RB_SINGLE
};

/** B_DEVMAGIC of sys/reboot.h, and the major numbers of block devices on amd64. */
const DEVICE_MAGIC = 0xa000_0000;
const MAJORS: Readonly<Record<string, number>> = { wd: 0, sd: 4, cd: 6, rd: 17 };
const DEVICE_DEFAULT = 'sd0a';
const DEVICE = /^(wd|sd|cd|rd)(\d|1[0-5])([a-p])$/;

/** What the boot prompt's options say. */
export interface BootPrompt {
  readonly howto: number;
  /** The kernel's bootdev, from which it takes its root. */
  readonly device: number;
}

/**
 * The options in a command line: words that begin with a dash, and the name of a device. Other
 * words mean nothing to OpenBSD and are left out. EINVAL for letters that the boot prompt does not
 * know.
 */
export function parseBootPrompt(commandLine: string): BootPrompt {
  let howto = 0;
  let device = DEVICE_DEFAULT;
  for (const word of commandLine.split(/\s+/)) {
    if (DEVICE.test(word)) device = word;
    if (!word.startsWith('-')) continue;
    for (const letter of word.slice(1)) {
      const bit = HOWTO[letter];
      if (bit === undefined) {
        const known = Object.keys(HOWTO).join('');
        throw new VmmError(
          'EINVAL',
          `An OpenBSD kernel takes the options -${known}, and not -${letter}.`,
        );
      }
      howto |= bit;
    }
  }
  const [, driver, unit, partition] = DEVICE.exec(device)!;
  const slice = partition!.charCodeAt(0) - 'a'.charCodeAt(0);
  return { howto, device: DEVICE_MAGIC + (Number(unit) << 16) + (slice << 8) + MAJORS[driver!]! };
}

/** The list, and how many bytes of it the kernel is to look at. */
export function makeBootArguments(memoryBytes: number): {
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;
} {
  const ram = memoryMap(memoryBytes).filter(({ type }) => type === E820_RAM);
  const mapBytes = BOOTARG_HEADER_BYTES + (ram.length + 1) * MAP_ENTRY_BYTES;
  const consoleBytes = BOOTARG_HEADER_BYTES + CONSDEV_BYTES;
  const sizeBytes = mapBytes + consoleBytes;
  const bytes = new Uint8Array(sizeBytes + BOOTARG_HEADER_BYTES);
  const view = viewOf(bytes);
  const header = (at: number, type: number, size: number): void => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, size, true);
    view.setUint32(at + 8, size, true);
  };

  header(0, BOOTARG_MEMMAP, mapBytes);
  ram.forEach(({ base, sizeBytes: length }, index) => {
    const at = BOOTARG_HEADER_BYTES + index * MAP_ENTRY_BYTES;
    view.setBigUint64(at, BigInt(base), true);
    view.setBigUint64(at + 8, BigInt(length), true);
    view.setUint32(at + 16, BIOS_MAP_FREE, true);
  });
  view.setUint32(mapBytes - 4, BIOS_MAP_END, true);

  header(mapBytes, BOOTARG_CONSDEV, consoleBytes);
  const at = mapBytes + BOOTARG_HEADER_BYTES;
  view.setUint32(at, COM1_DEVICE, true);
  view.setUint32(at + 4, COM1_SPEED, true);
  view.setUint32(at + 8, COM1_ADDRESS, true);
  view.setUint32(sizeBytes, BOOTARG_END, true);
  return { bytes, sizeBytes };
}

/**
 * The top of the stack at the kernel's entry, which is written in C as
 * start(howto, bootdev, apiversion, esym, extmem, cnvmem, argc, argv), behind a return address. The
 * memory sizes are zero: the kernel then goes by the map.
 */
export function makeStack(
  prompt: BootPrompt,
  kernelEnd: number,
  argumentsAddress: number,
  argumentsBytes: number,
): Uint8Array {
  const words = [
    0, // the return address
    prompt.howto,
    prompt.device,
    BOOT_API_VERSION,
    kernelEnd,
    0,
    0,
    argumentsBytes,
    argumentsAddress,
  ];
  const bytes = new Uint8Array(words.length * 4);
  const view = viewOf(bytes);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  return bytes;
}
