// Guest memory as KVM knows it: slots, which are pieces of the virtual machine's own WebAssembly
// memory, with the protections of MPROTECT_EPT as far as slots have any. KVM has no right to
// execute of its own, so that memory that can be read can be executed and the other way round; a
// page without WRITE is in a read-only slot. What no slot covers is MMIO.
//
// Memory that WebAssembly cannot address cannot be given: a machine ends at 4 GiB of RAM.

import type { EngineMemoryRange } from 'vmm';
import { PROT_WRITE } from 'vmm';

/** Pages with the same rights; everything in bytes. */
export interface Slot {
  readonly number: number;
  readonly gpa: number;
  /** Where it lies in the WebAssembly memory. */
  readonly offset: number;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
}

/** Has KVM make a slot; with `sizeBytes` 0, forget one. False when it refuses. */
export type SetSlot = (slot: Slot) => boolean;

/** The slots of one virtual machine. */
export class MemorySlots {
  private readonly set: SetSlot;
  private slots: Slot[] = [];
  private readonly freed: number[] = [];
  private nextNumber = 0;

  /** Throws RangeError when the host has no memory for KVM's own tables. */
  constructor(ranges: readonly EngineMemoryRange[], set: SetSlot) {
    this.set = set;
    for (const range of ranges) this.add({ ...range, isReadOnly: false });
  }

  /** Where a guest-physical address lies in the WebAssembly memory; -1 where nothing is. */
  offsetOf(gpa: number): number {
    const slot = this.find(gpa);
    return slot === undefined ? -1 : slot.offset + (gpa - slot.gpa);
  }

  /** True where the guest may not write. */
  isReadOnly(gpa: number): boolean {
    return this.find(gpa)?.isReadOnly ?? false;
  }

  /** Gives pages their rights (PROT_*). */
  protect(gpa: number, sizeBytes: number, prot: number): void {
    const isReadOnly = (prot & PROT_WRITE) === 0;
    const end = gpa + sizeBytes;
    for (const slot of [...this.slots]) {
      const slotEnd = slot.gpa + slot.sizeBytes;
      if (slot.isReadOnly === isReadOnly || slot.gpa >= end || slotEnd <= gpa) continue;
      // KVM cannot change where a slot lies, so that it goes and its pieces come.
      this.remove(slot);
      const from = Math.max(gpa, slot.gpa);
      const to = Math.min(end, slotEnd);
      this.addPart(slot, slot.gpa, from, slot.isReadOnly);
      this.addPart(slot, from, to, isReadOnly);
      this.addPart(slot, to, slotEnd, slot.isReadOnly);
    }
  }

  private find(gpa: number): Slot | undefined {
    return this.slots.find((slot) => slot.gpa <= gpa && gpa < slot.gpa + slot.sizeBytes);
  }

  private addPart(whole: Slot, from: number, to: number, isReadOnly: boolean): void {
    if (from >= to) return;
    const offset = whole.offset + (from - whole.gpa);
    this.add({ gpa: from, offset, sizeBytes: to - from, isReadOnly });
  }

  private add(part: Omit<Slot, 'number'>): void {
    const { gpa, offset, sizeBytes, isReadOnly } = part;
    const number = this.freed.pop() ?? this.nextNumber++;
    const slot = { number, gpa, offset, sizeBytes, isReadOnly };
    if (!this.set(slot)) throw new RangeError('KVM has no room for another memory slot');
    this.slots.push(slot);
  }

  private remove(slot: Slot): void {
    this.set({ ...slot, sizeBytes: 0 });
    this.slots = this.slots.filter((other) => other !== slot);
    this.freed.push(slot.number);
  }
}

/**
 * A place for `sizeBytes` (whole pages) that some of Intel's processors need below 4 GiB for
 * themselves, clear of RAM: as high as can be, but below what is at the top of a PC.
 */
export function reservedPages(
  ranges: readonly EngineMemoryRange[],
  highest: number,
  sizeBytes: number,
): number {
  let gpa = highest;
  for (const range of [...ranges].sort((a, b) => b.gpa - a.gpa)) {
    const overlaps = range.gpa < gpa + sizeBytes && gpa < range.gpa + range.sizeBytes;
    if (overlaps) gpa = range.gpa - sizeBytes;
  }
  return gpa;
}
