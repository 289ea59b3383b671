// The device's side of a split virtqueue: virtio 1.2, section 2.7. Modelled: direct and indirect
// descriptors, event index, notification and interrupt suppression. Not modelled: packed queues,
// in-order completion. The queue lies in guest memory that other threads write: the two indices
// that order everything else are read and written with Atomics, the rest plainly. Everything the
// driver wrote is checked; a queue that breaks the rules stops, with the reason in `fault`. The
// host is taken to be little-endian, as WebAssembly's memory is.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { Segment } from './segments.ts';
import { type QueueConfig, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from './virtio-backend.ts';

/** Descriptors are 16 bytes: address, length, flags, next (2.7.5). */
const DESCRIPTOR_BYTES = 16;
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;

/** The driver does not want interrupts (2.7.6). */
const AVAIL_F_NO_INTERRUPT = 1;

// In units of 16 bits: flags, index, then the ring.
const FLAGS = 0;
const INDEX = 1;
const RING = 2;
/** A used element is an id and a length of 32 bits each (2.7.8). */
const USED_ELEMENT_BYTES = 8;

/**
 * Descriptors of a chain. The standard allows as many as the queue has (2.7.5.3.1), and Linux takes
 * more in an indirect table; QEMU's limit is this. Without one, a table as large as memory would
 * have us make an object for every 16 bytes of it.
 */
const CHAIN_LENGTH_MAX = 1024;
/** A chain longer than this many bytes is forbidden (2.7.5.2). */
const CHAIN_BYTES_MAX = 2 ** 32;
const INDEX_MASK = 0xffff;

/** A request that the driver made available. */
export interface DescriptorChain {
  /** The index of its first descriptor: its name towards the driver. */
  readonly head: number;
  /** What the driver says; the device reads it. */
  readonly readable: readonly Segment[];
  /** Where the device answers. */
  readonly writable: readonly Segment[];
}

/** One queue in operation. */
export class SplitQueue {
  readonly index: number;
  private readonly memory: GuestMemory;
  private readonly size: number;
  private readonly indirect: boolean;
  private readonly eventIndex: boolean;
  private readonly usedGpa: number;
  private readonly descriptors: number;
  private readonly available: Uint16Array;
  private readonly used: Uint16Array;
  private readonly usedOffset: number;
  /** Transient: the front keeps it as the queue's position. */
  private nextAvailable: number;
  /** Transient: it is in the used ring. */
  private nextUsed: number;
  /** Requests that were taken and not given back. Transient: none when a machine is saved. */
  private outstanding = 0;
  /** Transient: the front keeps that the device needs a reset. */
  private reason: string | undefined;

  private constructor(memory: GuestMemory, config: QueueConfig, features: bigint, at: number[]) {
    const { buffer, byteOffset } = memory.bytes;
    const { size } = config;
    this.index = config.index;
    this.memory = memory;
    this.size = size;
    this.indirect = (features & VIRTIO_F_INDIRECT_DESC) !== 0n;
    this.eventIndex = (features & VIRTIO_F_EVENT_IDX) !== 0n;
    this.usedGpa = config.used;
    this.descriptors = at[0];
    this.available = new Uint16Array(buffer, byteOffset + at[1], RING + size + 1);
    this.used = new Uint16Array(buffer, byteOffset + at[2], RING + size * 4 + 1);
    this.usedOffset = at[2];
    this.nextAvailable = config.nextAvailable;
    // The used index is ours alone; in memory it survives a restore.
    this.nextUsed = Atomics.load(this.used, INDEX);
  }

  /** A queue as configured, or the reason why it cannot be one. */
  static open(memory: GuestMemory, config: QueueConfig, features: bigint): SplitQueue | string {
    const { size } = config;
    if (size === 0 || (size & (size - 1)) !== 0) return `queue size ${size} is no power of two`;
    // Section 2.7, table of sizes and alignments; the rings with their event fields.
    const parts = [
      { what: 'descriptor table', gpa: config.descriptors, align: 16, length: 16 * size },
      { what: 'available ring', gpa: config.available, align: 2, length: 6 + 2 * size },
      { what: 'used ring', gpa: config.used, align: 4, length: 6 + 8 * size },
    ];
    const at: number[] = [];
    for (const { what, gpa, align, length } of parts) {
      const offset = memory.offset(gpa, length);
      if (offset < 0) return `the ${what} is not in memory`;
      if (gpa % align !== 0 || (memory.bytes.byteOffset + offset) % align !== 0) {
        return `the ${what} is not aligned to ${align} bytes`;
      }
      at.push(offset);
    }
    return new SplitQueue(memory, config, features, at);
  }

  /** Why the queue has stopped; undefined while it works. */
  get fault(): string | undefined {
    return this.reason;
  }

  /** The index of the next available entry, for a snapshot. */
  get position(): number {
    return this.nextAvailable;
  }

  /** Takes the next request; undefined when there is none, or when the queue has stopped. */
  take(): DescriptorChain | undefined {
    if (this.reason !== undefined) return undefined;
    let waiting = this.waiting();
    if (waiting === 0) {
      if (!this.eventIndex) return undefined;
      // Ask to be notified of the next one, then look again: it may have come by now (2.7.10.1).
      Atomics.store(this.used, RING + this.size * 4, this.nextAvailable);
      waiting = this.waiting();
      if (waiting === 0) return undefined;
    }
    // Entries may be used again when they have come back (2.7.13), so that no more can be out. A
    // driver that only counts on and on would otherwise keep us at it for ever.
    if (waiting + this.outstanding > this.size) {
      return this.fail(`the available index is ${waiting + this.outstanding} entries ahead`);
    }
    const head = this.available[RING + (this.nextAvailable & (this.size - 1))];
    this.nextAvailable = (this.nextAvailable + 1) & INDEX_MASK;
    const chain = this.chain(head);
    if (chain !== undefined) this.outstanding++;
    return chain;
  }

  /**
   * Gives a request back with `length` bytes written to its writable part. Returns true when the
   * driver wants an interrupt for it.
   */
  give(chain: DescriptorChain, length: number): boolean {
    this.putUsed(0, chain, length);
    return this.publish(1);
  }

  /** Gives requests back that belong together: the driver sees all of them or none. */
  giveAll(chains: readonly DescriptorChain[], lengths: readonly number[]): boolean {
    for (let i = 0; i < chains.length; i++) this.putUsed(i, chains[i], lengths[i]);
    return this.publish(chains.length);
  }

  private putUsed(ahead: number, chain: DescriptorChain, length: number): void {
    this.reportWritten(chain, length);
    const { view } = this.memory;
    const element = 4 + ((this.nextUsed + ahead) & (this.size - 1)) * USED_ELEMENT_BYTES;
    view.setUint32(this.usedOffset + element, chain.head, true);
    view.setUint32(this.usedOffset + element + 4, length, true);
    this.memory.written(this.usedGpa + element, USED_ELEMENT_BYTES);
  }

  /** Shows the driver `count` more used elements; true when it wants an interrupt for them. */
  private publish(count: number): boolean {
    // A driver that starts the device anew without a reset gets back what it gave before.
    this.outstanding = Math.max(0, this.outstanding - count);
    const before = this.nextUsed;
    this.nextUsed = (before + count) & INDEX_MASK;
    Atomics.store(this.used, INDEX, this.nextUsed);
    this.memory.written(this.usedGpa + 2, 2);
    if (!this.eventIndex) {
      return (Atomics.load(this.available, FLAGS) & AVAIL_F_NO_INTERRUPT) === 0;
    }
    // Section 2.7.7.2: when the index passes the one the driver waits for.
    const event = Atomics.load(this.available, RING + this.size);
    return ((event - before) & INDEX_MASK) < count;
  }

  private waiting(): number {
    return (Atomics.load(this.available, INDEX) - this.nextAvailable) & INDEX_MASK;
  }

  private fail(reason: string): undefined {
    this.reason = `queue ${this.index}: ${reason}`;
    return undefined;
  }

  private reportWritten(chain: DescriptorChain, length: number): void {
    let left = length;
    for (const { gpa, bytes } of chain.writable) {
      if (left <= 0) return;
      this.memory.written(gpa, Math.min(left, bytes.length));
      left -= bytes.length;
    }
  }

  /** Follows the chain from its head: 2.7.5, with the rules of 2.7.4.2, 2.7.5.2 and 2.7.5.3.1. */
  private chain(head: number): DescriptorChain | undefined {
    const { view } = this.memory;
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    let table = this.descriptors;
    let entries = this.size;
    let inTable = false;
    let next = head;
    let seen = 0;
    let total = 0;
    for (;;) {
      if (next >= entries) return this.fail(`descriptor ${next} of ${entries}`);
      if (readable.length + writable.length === CHAIN_LENGTH_MAX) {
        return this.fail(`a chain has more than ${CHAIN_LENGTH_MAX} descriptors`);
      }
      // A chain longer than its table must loop.
      if (seen++ >= entries) return this.fail('a chain of descriptors loops');
      const at = table + next * DESCRIPTOR_BYTES;
      const gpa = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const length = view.getUint32(at + 8, true);
      const flags = view.getUint16(at + 12, true);
      if ((flags & DESC_F_INDIRECT) !== 0) {
        if (!this.indirect) return this.fail('an indirect descriptor was not agreed on');
        if (inTable) return this.fail('an indirect descriptor is inside an indirect table');
        if ((flags & DESC_F_NEXT) !== 0) return this.fail('an indirect descriptor has a next one');
        if (length === 0 || length % DESCRIPTOR_BYTES !== 0) {
          return this.fail(`an indirect table has ${length} bytes`);
        }
        table = this.memory.offset(gpa, length);
        if (table < 0) return this.fail('an indirect table is not in memory');
        entries = length / DESCRIPTOR_BYTES;
        inTable = true;
        next = 0;
        seen = 0;
        continue;
      }
      total += length;
      if (total > CHAIN_BYTES_MAX) return this.fail('a chain is longer than 4 GiB');
      const write = (flags & DESC_F_WRITE) !== 0;
      if (!write && writable.length > 0) {
        return this.fail('a readable descriptor follows a writable one');
      }
      const offset = this.memory.offset(gpa, length);
      if (offset < 0) return this.fail(`a buffer at 0x${gpa.toString(16)} is not in memory`);
      const bytes = this.memory.bytes.subarray(offset, offset + length);
      (write ? writable : readable).push({ gpa, bytes });
      if ((flags & DESC_F_NEXT) === 0) return { head, readable, writable };
      next = view.getUint16(at + 14, true);
    }
  }
}
