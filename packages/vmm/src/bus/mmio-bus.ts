// The memory-mapped part of the physical address space: what is neither RAM nor ROM. On this
// machine that is the PCI window 0xF0000000-0xFFFFFFFF and, later, the pages of local APIC, I/O
// APIC and HPET. The same rules as on the port bus: offsets, all ones where nobody answers, wide
// accesses split. Claims are few, so that they are a list with the last hit in front.

import { AssertionError, assert } from '../base/assert.ts';

/** The width of an access in bytes; 8-byte accesses are two of 4, lower half first. */
export type MmioSize = 1 | 2 | 4;

/** A device, or one block of registers of a device. */
export interface MmioDevice {
  /** Names the device in refusals and statistics. */
  readonly name: string;
  /** The widest access the device takes; the bus splits wider ones. 4 when absent. */
  readonly mmioSizeMax?: MmioSize;
  /** Answers a read of `size` bytes; the bus masks the result to the size. */
  readMmio(offset: number, size: MmioSize): number;
  /** Takes a write; `value` is unsigned and of `size` bytes. */
  writeMmio(offset: number, size: MmioSize, value: number): void;
}

/** What a device claims: `size` bytes from guest-physical address `base`. */
export interface MmioRange {
  readonly base: number;
  readonly size: number;
  readonly owner: MmioDevice;
}

/** A claimed range of addresses. */
export interface MmioClaim {
  readonly base: number;
  /** Gives the range back; harmless when done twice. */
  release(): void;
}

const allOnes: Record<MmioSize, number> = { 1: 0xff, 2: 0xffff, 4: 0xffffffff };

interface Entry extends MmioRange {
  readonly end: number;
  readonly sizeMax: MmioSize;
}

/** The memory-mapped space of one machine. */
export class MmioBus {
  /** Transient: who claims keeps where. */
  private readonly entries: Entry[] = [];
  /** Transient: a cache. */
  private last: Entry | undefined;
  /** Transient: a statistic. */
  private unclaimed = 0;

  /** How many byte accesses found no device. */
  get unclaimedAccesses(): number {
    return this.unclaimed;
  }

  /** The owner of some claimed part of the range, if there is one. */
  ownerIn(base: number, size: number): MmioDevice | undefined {
    return this.entries.find((entry) => base < entry.end && entry.base < base + size)?.owner;
  }

  /** Gives a device its addresses. An overlap is a mistake in the machine's wiring, and throws. */
  claim(range: MmioRange): MmioClaim {
    const { base, size, owner } = range;
    assert(base >= 0 && size > 0, `${owner.name} claims no such addresses`);
    const other = this.ownerIn(base, size);
    if (other !== undefined) {
      throw new AssertionError(
        `${owner.name} claims 0x${base.toString(16)}+${size}, which ${other.name} has`,
      );
    }
    const entry: Entry = { ...range, end: base + size, sizeMax: owner.mmioSizeMax ?? 4 };
    this.entries.push(entry);
    return {
      base,
      release: () => {
        const index = this.entries.indexOf(entry);
        if (index >= 0) this.entries.splice(index, 1);
        if (this.last === entry) this.last = undefined;
      },
    };
  }

  /** A load of up to four bytes. */
  read(address: number, size: MmioSize): number {
    const entry = this.find(address);
    if (entry !== undefined && size <= entry.sizeMax && address + size <= entry.end) {
      return (entry.owner.readMmio(address - entry.base, size) & allOnes[size]) >>> 0;
    }
    if (size === 1) {
      this.unclaimed++;
      return 0xff;
    }
    const half: MmioSize = size === 4 ? 2 : 1;
    const low = this.read(address, half);
    const high = this.read(address + half, half);
    return (low | (high << (half * 8))) >>> 0;
  }

  /** A store of up to four bytes. */
  write(address: number, size: MmioSize, value: number): void {
    const entry = this.find(address);
    if (entry !== undefined && size <= entry.sizeMax && address + size <= entry.end) {
      entry.owner.writeMmio(address - entry.base, size, (value & allOnes[size]) >>> 0);
      return;
    }
    if (size === 1) {
      this.unclaimed++;
      return;
    }
    const half: MmioSize = size === 4 ? 2 : 1;
    this.write(address, half, value);
    this.write(address + half, half, value >>> (half * 8));
  }

  /** An 8-byte load: `into[0]` receives the low half, then `into[1]` the high half. */
  readWide(address: number, into: Uint32Array): void {
    into[0] = this.read(address, 4);
    into[1] = this.read(address + 4, 4);
  }

  /** An 8-byte store, low half first. */
  writeWide(address: number, low: number, high: number): void {
    this.write(address, 4, low);
    this.write(address + 4, 4, high);
  }

  private find(address: number): Entry | undefined {
    const last = this.last;
    if (last !== undefined && address >= last.base && address < last.end) return last;
    for (const entry of this.entries) {
      if (address >= entry.base && address < entry.end) return (this.last = entry);
    }
    return undefined;
  }
}
