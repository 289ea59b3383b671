// The I/O port space: 65536 byte-wide ports, of which 2- and 4-byte accesses take neighbours (SDM
// vol. 1, section 19.3). Devices receive offsets from the start of what they claimed, never
// addresses. As on an ISA or PCI bus an access that no device answers reads all ones, and one wider
// than a device takes is split into narrower ones at ascending ports.

import { AssertionError, assert } from '../base/assert.ts';

/** The width of an access in bytes. */
export type PortSize = 1 | 2 | 4;

/** A device, or one block of ports of a device. */
export interface PortDevice {
  /** Names the device in refusals and statistics. */
  readonly name: string;
  /** The widest access the device takes; the bus splits wider ones. Bytes only when absent. */
  readonly portSizeMax?: PortSize;
  /** Answers a read of `size` bytes; the bus masks the result to the size. */
  readPort(offset: number, size: PortSize): number;
  /** Takes a write; `value` is unsigned and of `size` bytes. */
  writePort(offset: number, size: PortSize, value: number): void;
}

/** What a device claims. */
export interface PortRange {
  readonly base: number;
  /** How many ports. */
  readonly size: number;
  readonly owner: PortDevice;
}

/** A claimed range of ports. */
export interface PortClaim {
  readonly base: number;
  /** Gives the ports back; harmless when done twice. */
  release(): void;
}

const PORTS = 0x10000;
const allOnes: Record<PortSize, number> = { 1: 0xff, 2: 0xffff, 4: 0xffffffff };

class Claim implements PortClaim {
  readonly base: number;
  readonly end: number;
  readonly owner: PortDevice;
  readonly sizeMax: PortSize;
  private readonly drop: (claim: Claim) => void;

  constructor(range: PortRange, drop: (claim: Claim) => void) {
    this.base = range.base;
    this.end = range.base + range.size;
    this.owner = range.owner;
    this.sizeMax = range.owner.portSizeMax ?? 1;
    this.drop = drop;
  }

  release(): void {
    this.drop(this);
  }
}

/** The port space of one machine. */
export class PortBus {
  /** For every port the number of its claim in `claims`, 0 for none. Transient: as those. */
  private readonly owners = new Uint16Array(PORTS);
  /** Transient: who claims keeps where. */
  private readonly claims: (Claim | undefined)[] = [undefined];
  /** Transient: a statistic. */
  private unclaimed = 0;

  /** How many byte accesses found no device. */
  get unclaimedAccesses(): number {
    return this.unclaimed;
  }

  /** The owner of the first claimed port in the range, if there is one. */
  ownerIn(base: number, size: number): PortDevice | undefined {
    for (let port = base; port < base + size; port++) {
      if (this.owners[port] !== 0) return this.claims[this.owners[port]]!.owner;
    }
    return undefined;
  }

  /** Gives a device its ports. An overlap is a mistake in the machine's wiring, and throws. */
  claim(range: PortRange): PortClaim {
    const { base, size, owner } = range;
    assert(base >= 0 && size > 0 && base + size <= PORTS, `${owner.name} claims no such ports`);
    const other = this.ownerIn(base, size);
    if (other !== undefined) {
      throw new AssertionError(
        `${owner.name} claims ports 0x${base.toString(16)}+${size}, which ${other.name} has`,
      );
    }
    const free = this.claims.indexOf(undefined, 1);
    const index = free < 0 ? this.claims.length : free;
    const claim = new Claim(range, (released) => this.release(released, index));
    this.claims[index] = claim;
    this.owners.fill(index, base, base + size);
    return claim;
  }

  /** An IN instruction. */
  read(port: number, size: PortSize): number {
    const claim = this.claims[this.owners[port]];
    if (claim !== undefined && size <= claim.sizeMax && port + size <= claim.end) {
      return (claim.owner.readPort(port - claim.base, size) & allOnes[size]) >>> 0;
    }
    if (size === 1) {
      this.unclaimed++;
      return 0xff;
    }
    const half: PortSize = size === 4 ? 2 : 1;
    const low = this.read(port, half);
    const high = this.read((port + half) & (PORTS - 1), half);
    return (low | (high << (half * 8))) >>> 0;
  }

  /** An OUT instruction. */
  write(port: number, size: PortSize, value: number): void {
    const claim = this.claims[this.owners[port]];
    if (claim !== undefined && size <= claim.sizeMax && port + size <= claim.end) {
      claim.owner.writePort(port - claim.base, size, (value & allOnes[size]) >>> 0);
      return;
    }
    if (size === 1) {
      this.unclaimed++;
      return;
    }
    const half: PortSize = size === 4 ? 2 : 1;
    this.write(port, half, value);
    this.write((port + half) & (PORTS - 1), half, value >>> (half * 8));
  }

  private release(claim: Claim, index: number): void {
    if (this.claims[index] !== claim) return;
    this.claims[index] = undefined;
    this.owners.fill(0, claim.base, claim.end);
  }
}
