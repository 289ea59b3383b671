// Guest RAM as a part of a WebAssembly memory: the ranges of the machine's memory map, one after the
// other from offset 0. Below 4 GiB an offset therefore is the guest-physical address; what lies above
// the PCI window follows without its gap. The rest of the memory is the engine's.

import type { GuestMemory } from '../bus/guest-memory.ts';
import { memoryMap } from './boot/memory-map.ts';

/** A piece of RAM; everything in bytes. */
export interface RamRange {
  readonly gpa: number;
  /** Where it lies in the WebAssembly memory. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Where the RAM of a machine of `memoryBytes` lies, in ascending order. */
export function ramRanges(memoryBytes: number): RamRange[] {
  let offset = 0;
  return memoryMap(memoryBytes).map(({ base, sizeBytes }) => {
    const range = { gpa: base, offset, sizeBytes };
    offset += sizeBytes;
    return range;
  });
}

/** Ranges that continue each other, made one: a buffer may lie across the boundary. */
function joined(ranges: readonly RamRange[]): RamRange[] {
  const pieces: RamRange[] = [];
  for (const range of ranges) {
    const last = pieces.at(-1);
    if (last !== undefined && last.gpa + last.sizeBytes === range.gpa) {
      pieces[pieces.length - 1] = { ...last, sizeBytes: last.sizeBytes + range.sizeBytes };
    } else {
      pieces.push(range);
    }
  }
  return pieces;
}

/** The RAM of one machine, as one thread sees it. */
export class GuestRam implements GuestMemory {
  readonly memory: WebAssembly.Memory;
  readonly memoryBytes: number;
  private readonly pieces: readonly RamRange[];
  private buffer: ArrayBuffer;
  private byteView: Uint8Array;
  private dataView: DataView;
  private onWritten: (gpa: number, length: number) => void = () => {};

  /** `memory` has at least `memoryBytes`. */
  constructor(memory: WebAssembly.Memory, memoryBytes: number) {
    this.memory = memory;
    this.memoryBytes = memoryBytes;
    this.pieces = joined(ramRanges(memoryBytes));
    this.buffer = memory.buffer;
    this.byteView = new Uint8Array(this.buffer);
    this.dataView = new DataView(this.buffer);
  }

  get bytes(): Uint8Array {
    this.look();
    return this.byteView;
  }

  get view(): DataView {
    this.look();
    return this.dataView;
  }

  /** Has `onWritten` called for everything that devices of this thread write. */
  watch(onWritten: (gpa: number, length: number) => void): void {
    this.onWritten = onWritten;
  }

  offset(gpa: number, length: number): number {
    for (const piece of this.pieces) {
      const within = gpa - piece.gpa;
      if (within >= 0 && within + length <= piece.sizeBytes) return piece.offset + within;
    }
    return -1;
  }

  written(gpa: number, length: number): void {
    this.onWritten(gpa, length);
  }

  /** The engine grows the memory, which replaces its buffer. */
  private look(): void {
    if (this.memory.buffer === this.buffer) return;
    this.buffer = this.memory.buffer;
    this.byteView = new Uint8Array(this.buffer);
    this.dataView = new DataView(this.buffer);
  }
}
