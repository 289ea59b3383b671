// Firmware: an image of the memory below 4 GiB, where the processor begins after RESET (SDM 3A
// 10.1.4). Placed as vmd(8) does it: all of it ends at 4 GiB, and a copy of its end lies below
// 1 MiB, up to conventional memory. Both are RAM, so that firmware which would unlock its shadow in
// the host bridge finds it unlocked. Registers are those after RESET.

import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import { inMegabytes, type KernelImage, writeGuest, zeroGuest } from './image.ts';
import {
  CONVENTIONAL_END,
  EXTENDED_START,
  FIRMWARE_BYTES,
  FIRMWARE_START,
  HIGH_START,
} from './memory-map.ts';

/** The processor begins this far before the end of the image. */
const RESET_VECTOR_BYTES = 16;
/** Images of ROMs are made of such units. */
const ROM_UNIT_BYTES = 1024;
/** JMP rel16, JMP ptr16:16, JMP rel8 (SDM 2A, JMP): nothing else leads out of 16 bytes. */
const JUMPS: readonly number[] = [0xe9, 0xea, 0xeb];
const NOP = 0x90;

/** True when `bytes` look like a firmware: a ROM whose reset vector holds a jump. */
export function isFirmwareImage(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.length % ROM_UNIT_BYTES !== 0) return false;
  const vector = bytes.subarray(-RESET_VECTOR_BYTES);
  return JUMPS.includes(vector.find((byte) => byte !== NOP) ?? NOP);
}

/** Puts a firmware into both of its places. ENOMEM when it is larger than they are. */
export function loadFirmware(memory: GuestMemory, image: KernelImage): void {
  const { bytes, name } = image;
  if (bytes.length > FIRMWARE_BYTES) {
    throw new VmmError(
      'ENOMEM',
      `Firmware ${name} has ${inMegabytes(bytes.length)}, more than the ` +
        `${inMegabytes(FIRMWARE_BYTES)} that there are for it.`,
    );
  }
  writeGuest(memory, HIGH_START - bytes.length, bytes);
  zeroGuest(memory, FIRMWARE_START, FIRMWARE_BYTES - bytes.length);
  const lowBytes = Math.min(bytes.length, EXTENDED_START - CONVENTIONAL_END);
  writeGuest(memory, EXTENDED_START - lowBytes, bytes.subarray(bytes.length - lowBytes));
}
