// Which guest-physical addresses are RAM, as vmd(8) lays a machine out: conventional memory up to
// 636 KiB, extended memory from 1 MiB to at most 0xf0000000, where the PCI window begins, and the
// rest from 4 GiB. The types are those of the BIOS call INT 15h AX=E820h (ACPI 6.5, 15.1), which
// both Linux's boot_params and the Multiboot memory map use.

/** End of conventional memory: 636 KiB; above lie the extended BIOS data area and the VGA hole. */
export const CONVENTIONAL_END = 0x9_f000;
/** Start of extended memory. */
export const EXTENDED_START = 0x10_0000;
/** Start of the PCI window: RAM below 4 GiB ends here at the latest. */
export const PCI_WINDOW_START = 0xf000_0000;
/** The firmware's place at the end of the PCI window, in machines that boot by one. */
export const FIRMWARE_START = 0xffc0_0000;
/** Where the RAM goes on that does not fit below the PCI window. */
export const HIGH_START = 0x1_0000_0000;
/** The largest firmware. */
export const FIRMWARE_BYTES: number = HIGH_START - FIRMWARE_START;

export const E820_RAM = 1;
export const E820_RESERVED = 2;

/** One range of the guest-physical address space. */
export interface MemoryMapEntry {
  readonly base: number;
  readonly sizeBytes: number;
  readonly type: typeof E820_RAM | typeof E820_RESERVED;
}

/** Where RAM below 4 GiB ends in a machine of `memoryBytes`. */
export function lowMemoryEnd(memoryBytes: number): number {
  return Math.min(memoryBytes, PCI_WINDOW_START);
}

/** The memory map that a machine of `memoryBytes` (more than 1 MiB) tells its guest. */
export function memoryMap(memoryBytes: number): MemoryMapEntry[] {
  const map: MemoryMapEntry[] = [
    { base: 0, sizeBytes: CONVENTIONAL_END, type: E820_RAM },
    {
      base: CONVENTIONAL_END,
      sizeBytes: EXTENDED_START - CONVENTIONAL_END,
      type: E820_RESERVED,
    },
    {
      base: EXTENDED_START,
      sizeBytes: lowMemoryEnd(memoryBytes) - EXTENDED_START,
      type: E820_RAM,
    },
  ];
  if (memoryBytes > PCI_WINDOW_START) {
    map.push({ base: HIGH_START, sizeBytes: memoryBytes - PCI_WINDOW_START, type: E820_RAM });
  }
  return map;
}

/** The RAM as a firmware is told of it, which knows best what it takes of the lowest megabyte. */
export function firmwareMemoryMap(memoryBytes: number): MemoryMapEntry[] {
  const low: MemoryMapEntry = { base: 0, sizeBytes: lowMemoryEnd(memoryBytes), type: E820_RAM };
  return [low, ...memoryMap(memoryBytes).filter(({ base }) => base >= HIGH_START)];
}
