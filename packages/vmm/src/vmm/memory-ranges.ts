// Guest memory: what CREATE accepts as ranges and MPROTECT_EPT as a piece of them, with the checks
// of vmm(4) of the 6.7 to 7.2 releases in their order. Addresses come as 64-bit values that a
// caller may have got wrong in any way, and leave as numbers that are safe to calculate with.

import { VmmError } from '../base/errors.ts';
import type { EngineMemoryRange } from './engine.ts';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from './engine.ts';
import {
  PAGE_SIZE,
  VMM_MAX_MEM_RANGES,
  VMM_MAX_VM_MEM_SIZE_MB,
  VMM_PCI_MMIO_BAR_BASE,
  VMM_PCI_MMIO_BAR_END,
} from './limits.ts';
import type { VmCreateParams, VmMemRange, VmMprotectEptParams } from './structs.ts';

const MEGABYTE = 1n << 20n;
const GPA_END = BigInt(VMM_MAX_VM_MEM_SIZE_MB) * MEGABYTE;
const WINDOW_BASE = BigInt(VMM_PCI_MMIO_BAR_BASE);
const WINDOW_END = BigInt(VMM_PCI_MMIO_BAR_END);
const PROTECT_SIZE_MAX = 512n << 30n;

const isAligned = (value: bigint): boolean => (value & BigInt(PAGE_SIZE - 1)) === 0n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;
const startsInWindow = (gpa: bigint): boolean => gpa >= WINDOW_BASE && gpa <= WINDOW_END;
/** `end` is exclusive: memory may end where the window does, for firmware below 4 GiB. */
const endsInWindow = (end: bigint): boolean => end > WINDOW_BASE && end <= WINDOW_END;

function refuse(reason: string): never {
  throw new VmmError('EINVAL', reason);
}

function checkRange(range: VmMemRange, previousEnd: bigint, memoryBytes: bigint): void {
  const { vmr_gpa: gpa, vmr_va: va, vmr_size: size } = range;
  const end = gpa + size;
  if (!isAligned(gpa) || !isAligned(va) || !isAligned(size)) {
    refuse(`The memory range at ${hex(gpa)} is not aligned to pages of ${PAGE_SIZE} bytes.`);
  }
  if (size === 0n) refuse(`The memory range at ${hex(gpa)} is empty.`);
  if (va + size > memoryBytes) {
    refuse(`The memory range at ${hex(gpa)} lies outside the caller's address space.`);
  }
  if (gpa >= GPA_END || end > GPA_END) {
    refuse(`The memory range at ${hex(gpa)} ends beyond ${VMM_MAX_VM_MEM_SIZE_MB} megabytes.`);
  }
  if (startsInWindow(gpa) || endsInWindow(end)) {
    refuse(`The memory range at ${hex(gpa)} begins or ends in the PCI window.`);
  }
  if (gpa < previousEnd) {
    refuse(`The memory range at ${hex(gpa)} begins below the end of the one before.`);
  }
}

/** The memory of a new VM. */
export interface CheckedMemory {
  readonly ranges: EngineMemoryRange[];
  readonly sizeMb: number;
}

/** Checks what CREATE was given, against an address space of `memoryBytes`. Throws EINVAL. */
export function checkMemoryRanges(params: VmCreateParams, memoryBytes: number): CheckedMemory {
  const { vcp_nmemranges: count, vcp_memranges: list } = params;
  if (count === 0n || count > BigInt(VMM_MAX_MEM_RANGES) || count > BigInt(list.length)) {
    refuse(`A VM has 1 to ${VMM_MAX_MEM_RANGES} memory ranges, not ${count}.`);
  }
  let previousEnd = 0n;
  let total = 0n;
  const ranges: EngineMemoryRange[] = [];
  for (const range of list.slice(0, Number(count))) {
    checkRange(range, previousEnd, BigInt(memoryBytes));
    previousEnd = range.vmr_gpa + range.vmr_size;
    total += range.vmr_size;
    ranges.push({
      gpa: Number(range.vmr_gpa),
      offset: Number(range.vmr_va),
      sizeBytes: Number(range.vmr_size),
    });
  }
  if (total % MEGABYTE !== 0n) {
    refuse(`A VM's memory is a whole number of megabytes, not ${total} bytes.`);
  }
  return { ranges, sizeMb: Number(total / MEGABYTE) };
}

/** True when every byte of [gpa, gpa + sizeBytes) is in one of the ranges, which ascend. */
export function covers(
  ranges: readonly EngineMemoryRange[],
  gpa: number,
  sizeBytes: number,
): boolean {
  let reached = gpa;
  for (const range of ranges) {
    const end = range.gpa + range.sizeBytes;
    if (range.gpa <= reached && reached < end) reached = end;
  }
  return reached >= gpa + sizeBytes;
}

function checkProt(prot: number): void {
  if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) {
    refuse(`Protection ${prot} has bits other than READ, WRITE and EXEC.`);
  }
  if (prot & PROT_WRITE && prot & PROT_EXEC) {
    refuse('A page cannot be made writable and executable at once.');
  }
  if (prot === PROT_WRITE) refuse('A page that can be written can be read as well.');
  if (prot === 0) refuse('A page without any access is not a protection but a hole.');
}

/** Checks what MPROTECT_EPT was given. Throws EINVAL, and EFAULT when there is no such memory. */
export function checkProtection(
  params: VmMprotectEptParams,
  ranges: readonly EngineMemoryRange[],
): { gpa: number; sizeBytes: number } {
  const { vmep_sgpa: start, vmep_size: size, vmep_prot: prot } = params;
  const end = start + size;
  checkProt(prot);
  if (!isAligned(start) || !isAligned(size) || size === 0n) {
    refuse(`The ${size} bytes at ${hex(start)} are not a number of whole pages.`);
  }
  if (size >= PROTECT_SIZE_MAX) refuse(`${size} bytes are more than one call protects.`);
  if (end > 1n << 64n) refuse(`The ${size} bytes at ${hex(start)} wrap around.`);
  if (startsInWindow(start) || endsInWindow(end)) {
    refuse(`The ${size} bytes at ${hex(start)} begin or end in the PCI window.`);
  }
  const gpa = Number(start);
  const sizeBytes = Number(size);
  if (!covers(ranges, gpa, 1)) refuse(`There is no memory at ${hex(start)}.`);
  if (!covers(ranges, gpa, sizeBytes)) {
    throw new VmmError('EFAULT', `Not all of the ${size} bytes at ${hex(start)} are memory.`);
  }
  return { gpa, sizeBytes };
}
