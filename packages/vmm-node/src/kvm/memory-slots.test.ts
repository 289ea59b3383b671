import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from 'vmm';
import { MemorySlots, reservedPages, type Slot } from './memory-slots.ts';

const PAGE = 4096;
const RANGES = [
  { gpa: 0, offset: 16 * PAGE, sizeBytes: 10 * PAGE },
  { gpa: 20 * PAGE, offset: 26 * PAGE, sizeBytes: 6 * PAGE },
];

/** KVM's part: slots by number, which never overlap. */
function fakeKvm(): { slots: Map<number, Slot>; set: (slot: Slot) => boolean } {
  const slots = new Map<number, Slot>();
  const set = (slot: Slot): boolean => {
    if (slot.sizeBytes === 0) return slots.delete(slot.number);
    const overlaps = (other: Slot): boolean =>
      other.gpa < slot.gpa + slot.sizeBytes && slot.gpa < other.gpa + other.sizeBytes;
    if (slots.has(slot.number) || [...slots.values()].some(overlaps)) return false;
    slots.set(slot.number, slot);
    return true;
  };
  return { slots, set };
}

test('any sequence of protections leaves each page where it was, with its last right', () => {
  const change = fc.record({
    page: fc.nat(25),
    pages: fc.integer({ min: 1, max: 12 }),
    prot: fc.constantFrom(PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, PROT_EXEC),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const kvm = fakeKvm();
      const slots = new MemorySlots(RANGES, kvm.set);
      const readOnly = new Array<boolean>(26).fill(false);
      for (const { page, pages, prot } of changes) {
        slots.protect(page * PAGE, pages * PAGE, prot);
        readOnly.fill((prot & PROT_WRITE) === 0, page, page + pages);
      }
      for (let page = 0; page < 26; page++) {
        const range = RANGES.find(
          ({ gpa, sizeBytes }) => page * PAGE >= gpa && page * PAGE < gpa + sizeBytes,
        );
        const holders = [...kvm.slots.values()].filter(
          ({ gpa, sizeBytes }) => page * PAGE >= gpa && page * PAGE < gpa + sizeBytes,
        );
        expect(holders.length).toBe(range ? 1 : 0);
        const offset = range ? range.offset + page * PAGE - range.gpa : -1;
        expect(slots.offsetOf(page * PAGE)).toBe(offset);
        if (!range) continue;
        const [{ gpa, offset: slotOffset, isReadOnly }] = holders;
        expect(slotOffset + page * PAGE - gpa).toBe(offset);
        expect(isReadOnly).toBe(readOnly[page]);
        expect(slots.isReadOnly(page * PAGE + 5)).toBe(readOnly[page]);
      }
    }),
  );
});

test('a refusal of KVM is a lack of room', () => {
  expect(() => new MemorySlots(RANGES, () => false)).toThrow(RangeError);
});

test('reservedPages() keeps clear of memory', () => {
  const top = 0xfffb_c000;
  expect(reservedPages([{ gpa: 0, offset: 0, sizeBytes: 1 << 20 }], top, 4 * PAGE)).toBe(top);
  const high = { gpa: 0xefff_0000, offset: 0, sizeBytes: 0x1001_0000 };
  const below = { gpa: 0xeffe_c000, offset: 0, sizeBytes: PAGE };
  expect(reservedPages([high], top, 4 * PAGE)).toBe(0xeffe_c000);
  expect(reservedPages([below, high], top, 4 * PAGE)).toBe(0xeffe_8000);
});
