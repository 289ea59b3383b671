// The WebAssembly memory of a machine: guest RAM, and behind it what the engine takes when the guest
// starts. WebAssembly addresses 4 GiB, which limits both together.

import { freemem } from 'node:os';
import { VmmError } from 'vmm';

const MB = 1024 * 1024;
const PAGE_BYTES = 65536;
const ADDRESSES_BYTES = 4096 * MB;
/**
 * For decoded code. Linux decodes 350 000 instructions from power-on to a shell, most of them once;
 * with room for 230 000 of them it boots no slower than with room for all.
 */
export const CODE_BYTES: number = 64 * MB;
/** Besides: 8 MiB for the maps of 4 GiB of RAM, the processor's state, and rounding up. */
const ENGINE_BYTES = CODE_BYTES + 16 * MB;

/** The most RAM that a machine can have. */
export const RAM_BYTES_MAX: number = ADDRESSES_BYTES - ENGINE_BYTES;

/**
 * Memory for `memoryBytes` of RAM, a multiple of 1 MiB, that threads can share. The host gives it
 * page by page as the guest touches it. ENOMEM when the host does not have that much.
 */
export function createVmMemory(memoryBytes: number): WebAssembly.Memory {
  const size = `A memory of ${memoryBytes / MB} MB`;
  if (memoryBytes > RAM_BYTES_MAX) {
    const max = RAM_BYTES_MAX / MB;
    throw new VmmError('ENOMEM', `${size} is more than WebAssembly can give: ${max} MB.`);
  }
  // Node before 22 knows only the host's memory, not the container's.
  const available = process.availableMemory?.() ?? freemem();
  if (memoryBytes > available) {
    const has = Math.floor(available / MB);
    throw new VmmError('ENOMEM', `${size} is more than this host can give: it has ${has} MB.`);
  }
  try {
    return new WebAssembly.Memory({
      initial: memoryBytes / PAGE_BYTES,
      maximum: (memoryBytes + ENGINE_BYTES) / PAGE_BYTES,
      shared: true,
    });
  } catch (cause) {
    throw new VmmError('ENOMEM', `${size} is more than this host has addresses for.`, { cause });
  }
}
