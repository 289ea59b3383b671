// Where the firmware is that boots a machine without a kernel: OpenBSD's place for it, and those of
// packages with SeaBIOS. Its larger build is the one that has a serial console.

import { existsSync } from 'node:fs';
import { VmmError } from 'vmm/errors';

/** In this order. */
export const FIRMWARE_PATHS: readonly string[] = [
  '/etc/firmware/vmm-bios',
  '/usr/share/seabios/bios-256k.bin',
  '/usr/share/qemu/bios-256k.bin',
  '/usr/local/share/qemu/bios-256k.bin',
  '/opt/homebrew/share/qemu/bios-256k.bin',
];

/** The path of the firmware that is installed. ENOENT, with what to do, when there is none. */
export function firmwarePath(paths: readonly string[] = FIRMWARE_PATHS): string {
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new VmmError(
    'ENOENT',
    'vmm bios firmware file not found: install SeaBIOS (on Debian, "apt install seabios"), or ' +
      'name a kernel or a firmware with -b.',
  );
}
