// Guest memory for the boot loaders' tests: the RAM that memoryMap() describes, in one buffer.

import type { Entropy } from '../src/base/clock.ts';
import type { GuestMemory } from '../src/bus/guest-memory.ts';
import { CONVENTIONAL_END, EXTENDED_START } from '../src/machine/boot/memory-map.ts';

/** RAM of a machine smaller than 3 GiB that records what was reported as written. */
export class TestMemory implements GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Every range given to {@link written}. */
  readonly writes: { gpa: number; length: number }[] = [];

  constructor(memoryBytes: number) {
    this.bytes = new Uint8Array(memoryBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  offset(gpa: number, length: number): number {
    const conventional = gpa >= 0 && gpa + length <= CONVENTIONAL_END;
    const extended = gpa >= EXTENDED_START && gpa + length <= this.bytes.length;
    return conventional || extended ? gpa : -1;
  }

  written(gpa: number, length: number): void {
    this.writes.push({ gpa, length });
  }

  /** The bytes from `gpa` up to a zero byte, as text. */
  string(gpa: number): string {
    return new TextDecoder().decode(this.bytes.subarray(gpa, this.bytes.indexOf(0, gpa)));
  }
}

/** Random bytes that are always the same: 0xe7. */
export const testEntropy: Entropy = {
  fill(bytes) {
    bytes.fill(0xe7);
  },
};
