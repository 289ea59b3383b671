// Guest memory that is one piece from address 0: what device tests use, and small machines may.

import type { GuestMemory } from './guest-memory.ts';

/** RAM from guest-physical address 0 to its end. */
export class FlatMemory implements GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The ranges reported as changed by devices, in order. Transient: for tests to see. */
  readonly changes: { readonly gpa: number; readonly length: number }[] = [];

  /** `sizeBytes` of zeroed RAM, shared with other threads when asked. */
  constructor(sizeBytes: number, options: { shared: boolean } = { shared: false }) {
    const buffer = options.shared ? new SharedArrayBuffer(sizeBytes) : new ArrayBuffer(sizeBytes);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  offset(gpa: number, length: number): number {
    return gpa >= 0 && gpa + length <= this.bytes.length ? gpa : -1;
  }

  written(gpa: number, length: number): void {
    this.changes.push({ gpa, length });
  }
}
