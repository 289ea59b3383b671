// Guest RAM as a part of a WebAssembly memory: the ranges of the machine's memory map, one after the
// other from offset 0. Up to the PCI window an offset therefore is the guest-physical address; what
// lies above it follows without its gap, and the firmware's memory below 4 GiB comes last, in a
// machine that has it. The rest of the WebAssembly memory is the engine's.

import type { GuestMemory } from '../bus/guest-memory.ts';
import { FIRMWARE_BYTES, FIRMWARE_START, HIGH_START, memoryMap } from './boot/memory-map.ts';

/** A piece of RAM; everything in bytes. */
export interface RamRange {
  readonly gpa: number;
  /** Where it lies in the WebAssembly memory. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** How much memory a machine has. */
export interface RamLayout {
  /** The RAM, a multiple of 1 MiB. */
  readonly memoryBytes: number;
  /** Whether there is memory for a firmware besides. */
  readonly hasFirmware: boolean;
}

/** What a machine of this layout takes of its WebAssembly memory. */
export function ramBytes({ memoryBytes, hasFirmware }: RamLayout): number {
  return memoryBytes + (hasFirmware ? FIRMWARE_BYTES : 0);
}

/** Where the memory of a machine lies, in ascending order. */
export function ramRanges({ memoryBytes, hasFirmware }: RamLayout): RamRange[] {
  let offset = 0;
  const ranges = memoryMap(memoryBytes).map(({ base, sizeBytes }) => {
    const range = { gpa: base, offset, sizeBytes };
    offset += sizeBytes;
    return range;
  });
  if (!hasFirmware) return ranges;
  const firmware = { gpa: FIRMWARE_START, offset, sizeBytes: FIRMWARE_BYTES };
  const isBelow = ({ gpa }: RamRange): boolean => gpa < HIGH_START;
  const above = ranges.filter((range) => !isBelow(range));
  return [...ranges.filter(isBelow), firmware, ...above];
}

/** Ranges that continue each other, made one: a buffer may lie across the boundary. */
function joined(ranges: readonly RamRange[]): RamRange[] {
  const pieces: RamRange[] = [];
  for (const range of ranges) {
    const last = pieces.at(-1);
    const distance = last === undefined ? -1 : range.gpa - last.gpa;
    if (last?.sizeBytes === distance && range.offset - last.offset === distance) {
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
  readonly layout: RamLayout;
  private readonly pieces: readonly RamRange[];
  private buffer: ArrayBuffer;
  private byteView: Uint8Array;
  private dataView: DataView;
  private onWritten: (gpa: number, length: number) => void = () => {};

  /** `memory` has at least the {@link ramBytes} of `layout`. */
  constructor(memory: WebAssembly.Memory, layout: RamLayout) {
    this.memory = memory;
    this.layout = layout;
    this.pieces = joined(ramRanges(layout));
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
