// A small virtio driver for the tests beside this file: it finds a device through PCI configuration
// space, brings it up as virtio 1.2 section 3.1.1 (or 3.1.2 for legacy devices) says, and passes
// buffers through its queues in guest memory. Not part of any machine.

import type { SavedRecord, SavedValue } from '../../base/saved-state.ts';
import { FlatMemory } from '../../bus/flat-memory.ts';
import { MmioBus } from '../../bus/mmio-bus.ts';
import { PciBus } from '../../bus/pci.ts';
import { PortBus } from '../../bus/port-bus.ts';
import type { VirtioDevice } from './virtio-backend.ts';
import type { VirtioInterface } from './virtio-front.ts';
import { VirtioPci } from './virtio-pci.ts';

const MEMORY_BYTES = 0x100000;
const BUFFERS = 0x40000;

/** A descriptor to put into the table. */
export interface Descriptor {
  readonly gpa: number;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

/** Where the structures of a modern device are. */
export interface Structures {
  readonly common: number;
  readonly notify: number;
  readonly isr: number;
  readonly device: number;
}

/** A queue of the driver, with its parts at a place of its own. */
export class DriverQueue {
  readonly index: number;
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  private readonly memory: FlatMemory;
  private free = 0;
  private seen = 0;

  constructor(memory: FlatMemory, index: number, size: number, base: number) {
    this.memory = memory;
    this.index = index;
    this.size = size;
    this.descriptors = base;
    this.available = base + 16 * size;
    // Where a legacy device expects it, too.
    this.used = Math.ceil((this.available + 6 + 2 * size) / 4096) * 4096;
  }

  /** Writes entry `index` of a descriptor table, the queue's own unless told. */
  put(index: number, descriptor: Descriptor, table?: number): void {
    const { view } = this.memory;
    const at = (table ?? this.descriptors) + index * 16;
    view.setUint32(at, descriptor.gpa % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(descriptor.gpa / 2 ** 32), true);
    view.setUint32(at + 8, descriptor.length, true);
    view.setUint16(at + 12, descriptor.flags ?? 0, true);
    view.setUint16(at + 14, descriptor.next ?? 0, true);
  }

  /** Chains the buffers, readable ones first, and makes them available; returns the head. */
  add(readable: readonly Descriptor[], writable: readonly Descriptor[]): number {
    const all = [...readable, ...writable.map((it) => ({ ...it, flags: 2 }))];
    const head = this.free;
    for (const [step, descriptor] of all.entries()) {
      const index = (head + step) % this.size;
      const last = step === all.length - 1;
      const flags = (descriptor.flags ?? 0) | (last ? 0 : 1);
      this.put(index, { ...descriptor, flags, next: (index + 1) % this.size });
    }
    this.free = (head + all.length) % this.size;
    this.offer(head);
    return head;
  }

  /** Makes the chain that begins at `head` available. */
  offer(head: number): void {
    const { view } = this.memory;
    const index = view.getUint16(this.available + 2, true);
    view.setUint16(this.available + 4 + (index % this.size) * 2, head, true);
    view.setUint16(this.available + 2, (index + 1) & 0xffff, true);
  }

  /** The used elements that are new: heads and lengths. */
  collect(): { id: number; length: number }[] {
    const { view } = this.memory;
    const done: { id: number; length: number }[] = [];
    while (this.seen !== view.getUint16(this.used + 2, true)) {
      const at = this.used + 4 + (this.seen % this.size) * 8;
      done.push({ id: view.getUint32(at, true), length: view.getUint32(at + 4, true) });
      this.seen = (this.seen + 1) & 0xffff;
    }
    return done;
  }
}

/** A machine of one virtio device at PCI device 1, and its driver. */
export class TestDriver {
  readonly memory: FlatMemory;
  readonly ports: PortBus = new PortBus();
  readonly pci: PciBus;
  readonly at: Structures;
  readonly queues: DriverQueue[] = [];
  device!: VirtioPci;
  irq = false;
  private nextBuffer = BUFFERS;

  constructor(make: (memory: FlatMemory) => VirtioDevice, kind?: VirtioInterface) {
    this.memory = new FlatMemory(MEMORY_BYTES, { shared: true });
    this.pci = new PciBus({
      ports: this.ports,
      mmio: new MmioBus(),
      line: () => ({ set: (level) => void (this.irq = level) }),
    });
    this.ports.claim({ base: 0xcf8, size: 8, owner: this.pci });
    this.device = new VirtioPci(make(this.memory), kind);
    this.pci.add(this.device.function, { interrupt: true });
    this.at = this.findStructures();
  }

  /** Reads configuration space of the device. */
  config(register: number, size: 1 | 2 | 4): number {
    this.ports.write(0xcf8, 4, (0x80000800 | (register & 0xfc)) >>> 0);
    return this.ports.read(0xcfc + (register & 3), size);
  }

  /** Writes configuration space of the device. */
  setConfig(register: number, size: 1 | 2 | 4, value: number): void {
    this.ports.write(0xcf8, 4, (0x80000800 | (register & 0xfc)) >>> 0);
    this.ports.write(0xcfc + (register & 3), size, value);
  }

  /** A place for `length` bytes of a buffer. */
  allocate(length: number): number {
    const gpa = this.nextBuffer;
    this.nextBuffer = Math.ceil((gpa + length) / 16) * 16;
    return gpa;
  }

  /** A buffer with these bytes. */
  buffer(bytes: ArrayLike<number>): Descriptor {
    const gpa = this.allocate(bytes.length);
    this.memory.bytes.set(bytes, gpa);
    return { gpa, length: bytes.length };
  }

  /** A buffer to be written, filled with 0xEE. */
  room(length: number): Descriptor {
    const gpa = this.allocate(length);
    this.memory.bytes.fill(0xee, gpa, gpa + length);
    return { gpa, length };
  }

  /** What a buffer holds. */
  bytes(buffer: Descriptor): number[] {
    return [...this.memory.bytes.slice(buffer.gpa, buffer.gpa + buffer.length)];
  }

  get status(): number {
    return this.ports.read(this.at.common + 0x14, 1);
  }

  set status(value: number) {
    this.ports.write(this.at.common + 0x14, 1, value);
  }

  /** The features that the device offers. */
  offered(): bigint {
    const { common } = this.at;
    this.ports.write(common, 4, 1);
    const high = BigInt(this.ports.read(common + 4, 4));
    this.ports.write(common, 4, 0);
    return (high << 32n) | BigInt(this.ports.read(common + 4, 4));
  }

  /** Steps 1 to 5 of the initialization; returns whether the device agrees. */
  negotiate(features: bigint): boolean {
    const { common } = this.at;
    this.status = 0;
    this.status = 1;
    this.status = 3;
    for (const word of [0, 1]) {
      this.ports.write(common + 8, 4, word);
      this.ports.write(common + 12, 4, Number((features >> BigInt(word * 32)) & 0xffffffffn));
    }
    this.status = 11;
    return (this.status & 8) !== 0;
  }

  /** Sets up a queue of the device's size, or a smaller one. */
  setUpQueue(index: number, size?: number): DriverQueue {
    const { common } = this.at;
    this.ports.write(common + 0x16, 2, index);
    if (size !== undefined) this.ports.write(common + 0x18, 2, size);
    const agreed = this.ports.read(common + 0x18, 2);
    const queue = new DriverQueue(this.memory, index, agreed, 0x10000 + index * 0x10000);
    this.memory.bytes.fill(0, queue.descriptors, queue.used + 6 + 8 * agreed);
    const addresses = [queue.descriptors, queue.available, queue.used];
    for (const [part, address] of addresses.entries()) {
      this.ports.write(common + 0x20 + part * 8, 4, address);
      this.ports.write(common + 0x24 + part * 8, 4, 0);
    }
    this.ports.write(common + 0x1c, 2, 1);
    this.queues[index] = queue;
    return queue;
  }

  /** The whole initialization with all of the device's queues. */
  start(features: bigint): void {
    this.negotiate(features);
    const count = this.ports.read(this.at.common + 0x12, 2);
    for (let index = 0; index < count; index++) this.setUpQueue(index);
    this.status = 15;
  }

  /** Notifies the device of new buffers. */
  kick(queue: number): void {
    this.ports.write(this.at.notify, 2, queue);
  }

  /** Reads and clears the interrupt status. */
  isr(): number {
    return this.ports.read(this.at.isr, 1);
  }

  /** Follows the capability list, section 4.1.4. */
  private findStructures(): Structures {
    const found = [0, 0, 0, 0, 0, 0];
    const bar = this.config(0x10, 4) & ~3;
    for (let cap = this.config(0x34, 1); cap !== 0; cap = this.config(cap + 1, 1)) {
      if (this.config(cap, 1) !== 0x09) continue;
      found[this.config(cap + 3, 1)] = bar + this.config(cap + 8, 4);
    }
    const [, common, notify, isr, device] = found;
    return { common, notify, isr, device };
  }
}

/** The available index that a saved device goes on from. */
export function savedPosition(saved: SavedValue, queue: number): SavedValue | undefined {
  const front = (saved as SavedRecord).get('front') as SavedRecord;
  const queues = front.get('queues') as readonly SavedRecord[];
  return queues[queue]?.get('position');
}
