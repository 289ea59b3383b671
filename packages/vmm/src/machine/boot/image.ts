// What a boot loader is given, and how it puts bytes into guest memory.

import { assert } from '../../base/assert.ts';
import type { Entropy } from '../../base/clock.ts';
import { VmmError } from '../../base/errors.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';

/** A kernel image. */
export interface KernelImage {
  /** What to call it in a refusal and on a Multiboot command line: the path the user gave. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that is loaded beside the kernel: Linux's initrd, or a Multiboot module. */
export interface BootModule {
  /** The module's string (Multiboot 1, 3.3): file name and arguments. Linux has no use for it. */
  readonly commandLine: string;
  readonly bytes: Uint8Array;
}

/** How to boot. */
export interface BootOptions {
  /** The machine's RAM, as in {@link memoryMap}. */
  readonly memoryBytes: number;
  readonly commandLine: string;
  readonly modules: readonly BootModule[];
  /** Where kernels get the random bytes from that they expect of their loader. */
  readonly entropy: Entropy;
  /** The guest-physical address of ACPI's RSDP, where there is one. */
  readonly acpiRoot?: number;
}

/** Writes `bytes` at guest-physical `gpa`. The loader has checked that this is RAM. */
export function writeGuest(memory: GuestMemory, gpa: number, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const at = memory.offset(gpa, bytes.length);
  assert(at >= 0, 'a boot loader writes outside RAM');
  memory.bytes.set(bytes, at);
  memory.written(gpa, bytes.length);
}

/** Writes `length` zero bytes at guest-physical `gpa`: a machine that was reset keeps its RAM. */
export function zeroGuest(memory: GuestMemory, gpa: number, length: number): void {
  if (length === 0) return;
  const at = memory.offset(gpa, length);
  assert(at >= 0, 'a boot loader clears memory outside RAM');
  memory.bytes.fill(0, at, at + length);
  memory.written(gpa, length);
}

/** `text` with a zero behind it; EINVAL when there is one in it. */
export function zeroTerminated(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  if (encoded.includes(0)) throw new VmmError('EINVAL', 'The command line contains a zero byte.');
  const bytes = new Uint8Array(encoded.length + 1);
  bytes.set(encoded);
  return bytes;
}

/** `bytes` as a little-endian view. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A byte count for a refusal, in whole mebibytes rounded up. */
export function inMegabytes(bytes: number): string {
  return `${Math.ceil(bytes / 0x10_0000)} MB`;
}

/** An address for a refusal; a negative one is in the upper half of the address space. */
export function inHex(address: number): string {
  return `0x${BigInt.asUintN(64, BigInt(address)).toString(16)}`;
}
