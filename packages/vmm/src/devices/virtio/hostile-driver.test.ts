// Drivers that do what no driver does: chains that loop, buffers outside memory or of any length,
// directions swapped, registers of all widths and values, queues changed while they work, ranges
// moved. Nothing throws, nothing reaches beyond the disk, no request is made of no end; and after a
// reset the device serves a driver that behaves.
import { expect, test } from 'vitest';
import { seedOf } from '../../../test/block/seed.ts';
import { Random } from '../../../test/silicon/random.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { BlockBackend } from '../block-backend.ts';
import type { NetBackend, NetReceiver } from '../net-backend.ts';
import { type DriverQueue, TestDriver } from './test-driver.ts';
import type { VirtioDevice } from './virtio-backend.ts';
import { virtioBlk } from './virtio-blk.ts';
import { VirtioNetBackend, virtioNet } from './virtio-net.ts';
import { virtioRng } from './virtio-rng.ts';

const STEPS = 8000;
const VERSION_1 = 1n << 32n;
const RING_EVENT_IDX = 1n << 29n;
const INDIRECT = 1n << 28n;
const DISK_SECTORS = 256;
/** More than any request may ask for at once. */
const PIECE_BYTES_MAX = 16 << 20;

/** A disk that finishes now or later, and complains of what it may not be asked for. */
class Disk implements BlockBackend {
  readonly sectors = DISK_SECTORS;
  readonly readOnly = false;
  /** What it was asked and should not have been. */
  readonly complaints: string[] = [];
  asked = 0;
  private readonly random: Random;
  private waiting: (() => void)[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** Lets what waits go on, in any order. */
  settle(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  readNow(offset: number, parts: Uint8Array[]): boolean {
    this.look(offset, parts);
    if (this.random.percent(3)) throw new Error('the disk is on fire');
    return this.random.percent(50);
  }

  writeNow(offset: number, parts: Uint8Array[]): boolean {
    return this.readNow(offset, parts);
  }

  read(offset: number, parts: Uint8Array[]): Promise<void> {
    this.look(offset, parts);
    return this.done();
  }

  write(offset: number, parts: Uint8Array[]): Promise<void> {
    return this.read(offset, parts);
  }

  flush(): Promise<void> {
    return this.done();
  }

  discard(offset: number, length: number): Promise<void> {
    this.lookAt(offset, length);
    return this.done();
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }

  private done(): Promise<void> {
    if (this.random.percent(3)) return Promise.reject(new Error('the disk is on fire'));
    if (this.random.percent(50)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private look(offset: number, parts: Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.lookAt(offset, length);
  }

  private lookAt(offset: number, length: number): void {
    this.asked++;
    const isOnDisk = offset >= 0 && offset + length <= DISK_SECTORS * 512;
    const isWhole = offset % 512 === 0 && length % 512 === 0;
    if (!isOnDisk || !isWhole || length > PIECE_BYTES_MAX) {
      this.complaints.push(`${length} bytes at ${offset}`);
    }
  }
}

/** A network that sends back what it gets. */
class Echo implements NetBackend {
  readonly offloads = true;
  readonly checksumsHold = true;
  private card: NetReceiver | undefined;
  send(frame: Uint8Array): void {
    this.card?.receive(frame, undefined);
  }
  flush(): void {}
  resume(): void {}
  attach(card: NetReceiver | undefined): void {
    this.card = card;
  }
}

interface Kind {
  readonly name: string;
  make(memory: GuestMemory, random: Random, disk: Disk): VirtioDevice;
  /** The queue that answers one readable header of 16 zero bytes and 513 writable ones. */
  readonly queue: number;
  /** Whether the request of the last check has a readable part. */
  readonly reads: boolean;
}

const KINDS: readonly Kind[] = [
  {
    name: 'virtio-blk',
    make: (memory, _random, disk) => virtioBlk('vioblk0', memory, disk, 'serial'),
    queue: 0,
    reads: true,
  },
  {
    name: 'virtio-net',
    make: (memory) => {
      const backend = new VirtioNetBackend(memory);
      backend.attach(new Echo());
      return virtioNet('vio0', new Uint8Array(6), backend);
    },
    queue: 1,
    reads: true,
  },
  {
    name: 'virtio-rng',
    make: (memory, random) =>
      virtioRng(memory, { fill: (bytes) => void bytes.fill(random.below(256)) }),
    queue: 0,
    reads: false,
  },
];

const INTERESTING = [0, 1, 2, 15, 16, 17, 512, 513, 4096, 65536, 0xffff, 0x10000, 0x7fffffff];

/** Registers of the configuration that say where the device is: command, base addresses. */
const PLACES = [0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24];

class HostileDriver {
  private readonly random: Random;
  private readonly driver: TestDriver;
  private readonly placed: readonly number[];

  constructor(random: Random, driver: TestDriver) {
    this.random = random;
    this.driver = driver;
    this.placed = PLACES.map((register) => driver.config(register, 4));
  }

  step(): void {
    const { random, driver } = this;
    const choice = random.below(100);
    if (choice < 3) this.touchConfiguration();
    else if (choice < 6) this.touchRegisters();
    else if (choice < 10) this.restart(this.features());
    else if (choice < 11) this.resize();
    else if (choice < 35) this.makeChain();
    else if (choice < 60) this.makeRequest();
    else if (choice < 62) this.scribble();
    else driver.kick(random.percent(80) ? random.below(2) : random.below(65536));
  }

  /** Puts the device back to where it was, and brings it up. */
  restart(features: bigint): void {
    this.place();
    this.driver.start(features);
  }

  place(): void {
    for (const [index, register] of PLACES.entries()) {
      this.driver.setConfig(register, 4, this.placed[index]!);
    }
  }

  /** A queue that was set up while the device was where the driver thought. */
  private queue(): DriverQueue | undefined {
    const queue = this.driver.queues[this.random.below(2)] ?? this.driver.queues[0];
    return queue !== undefined && queue.size > 0 && queue.size <= 128 ? queue : undefined;
  }

  private value(): number {
    const { random } = this;
    const value = random.percent(60) ? random.pick(INTERESTING) : random.next();
    return random.percent(20) ? ~value >>> 0 : value;
  }

  private width(): 1 | 2 | 4 {
    return this.random.pick([1, 2, 4] as const);
  }

  private features(): bigint {
    const { random, driver } = this;
    if (random.percent(20)) return random.bits(64);
    const agreed = driver.offered() | VERSION_1;
    return random.percent(50) ? agreed : agreed & ~(RING_EVENT_IDX | INDIRECT);
  }

  private touchConfiguration(): void {
    const { random, driver } = this;
    const register = random.below(256);
    if (random.percent(50)) driver.config(register, this.width());
    else driver.setConfig(register, this.width(), this.value());
    // Any other register of the bus, too.
    driver.ports.write(0xcf8 + random.below(8), this.width(), this.value());
  }

  private touchRegisters(): void {
    const { random, driver } = this;
    const { common, notify, isr, device } = driver.at;
    const port = random.pick([common, notify, isr, device]) + random.below(70);
    if (random.percent(40)) driver.ports.read(port, this.width());
    else driver.ports.write(port, this.width(), this.value());
  }

  private resize(): void {
    const { random, driver } = this;
    driver.ports.write(driver.at.common + 0x16, 2, random.below(3));
    driver.ports.write(driver.at.common + 0x18, 2, random.pick([0, 1, 3, 8, 128, 32768, 65535]));
  }

  /** A chain of descriptors that are mostly right. */
  private makeChain(): void {
    const { random, driver } = this;
    const queue = this.queue();
    if (queue === undefined) return;
    const count = 1 + random.below(5);
    const start = random.below(queue.size);
    const writableFrom = 1 + random.below(count);
    let table: number | undefined;
    if (random.percent(20)) {
      table = driver.memory.bytes.length - 0x8000;
      const length = random.percent(80) ? count * 16 : this.value();
      queue.put(start, { gpa: table, length, flags: random.percent(90) ? 4 : 5 });
    }
    for (let step = 0; step < count; step++) {
      const index = table === undefined ? (start + step) % queue.size : step;
      const next = table === undefined ? (start + step + 1) % queue.size : step + 1;
      const more = step < count - 1 ? 1 : 0;
      const isFirst = step === 0 && random.percent(80);
      const flags = random.percent(99) ? more | (step >= writableFrom ? 2 : 0) : random.below(8);
      const buffer = this.buffer(isFirst);
      const target = random.percent(99) ? next : random.below(65536);
      queue.put(index, { ...buffer, flags, next: target }, table);
    }
    queue.offer(random.percent(99) ? start : random.below(65536));
  }

  /** What a disk can serve, and the others too. */
  private makeRequest(): void {
    const { random, driver } = this;
    const queue = this.queue();
    if (queue === undefined) return;
    const header = 0x50000 + random.below(0x100) * 16;
    const data = { gpa: 0x60000 + random.below(0x100) * 512, length: 512 * random.below(9) };
    const type = random.pick([0, 1]);
    driver.memory.view.setUint32(header, type, true);
    driver.memory.view.setUint32(header + 8, random.below(DISK_SECTORS + 2), true);
    driver.memory.view.setUint32(header + 12, 0, true);
    const readable = [{ gpa: header, length: 16 }];
    const status = { gpa: 0x40000, length: 1 };
    if (type === 0) queue.add(readable, [data, status]);
    else queue.add([...readable, data], [status]);
  }

  private buffer(isHeader: boolean): { gpa: number; length: number } {
    const { random, driver } = this;
    const { view, bytes } = driver.memory;
    const gpa = 0x60000 + random.below(0x1000) * 16;
    if (isHeader) {
      view.setUint32(gpa, random.pick([0, 0, 1, 1, 4, 8, 11, 13, 99]), true);
      view.setUint32(gpa + 8, random.percent(80) ? random.below(DISK_SECTORS) : this.value(), true);
      view.setUint32(gpa + 12, random.percent(95) ? 0 : this.value(), true);
      return { gpa, length: random.percent(98) ? 16 : this.value() };
    }
    if (random.percent(95)) return { gpa, length: random.pick([1, 16, 512, 513, 1024, 4096]) };
    const far = random.pick([
      0,
      bytes.length - 1,
      bytes.length,
      2 ** 32,
      2 ** 52,
      2 ** 53,
      2 ** 64,
    ]);
    return { gpa: random.percent(50) ? gpa : far, length: this.value() };
  }

  /** Anything into the rings. */
  private scribble(): void {
    const { random, driver } = this;
    const queue = this.queue();
    if (queue === undefined) return;
    const base = random.pick([queue.descriptors, queue.available, queue.used]);
    driver.memory.view.setUint16(base + random.below(64) * 2, this.value() & 0xffff, true);
  }
}

test.each(KINDS)('$name survives drivers of all kinds', async (kind) => {
  const random = new Random(seedOf(`hostile ${kind.name}`));
  const disk = new Disk(random);
  const driver = new TestDriver((memory) => kind.make(memory, random, disk));
  const hostile = new HostileDriver(random, driver);
  driver.start(VERSION_1);
  for (let step = 0; step < STEPS; step++) {
    hostile.step();
    if (random.percent(5)) disk.settle();
    if (random.percent(20)) await Promise.resolve();
    if (random.percent(5)) hostile.place();
    // The device asks for a reset sooner or later, and gets it.
    if (random.percent(5)) hostile.restart(driver.offered() | VERSION_1);
  }
  hostile.place();
  driver.status = 0;
  disk.settle();
  // What is in flight then may fail at once, wait once more, or be done.
  for (let turn = 0; turn < 200; turn++) {
    disk.settle();
    await Promise.resolve();
  }
  expect(driver.status).toBe(0);
  expect(disk.complaints).toEqual([]);
  expect(disk.asked > 100).toBe(kind.name === 'virtio-blk');
  driver.start(VERSION_1);
  // A disk may be on fire at times; one of many requests is answered well.
  for (let attempt = 0; attempt < 20; attempt++) {
    const readable = kind.reads ? [driver.buffer(new Array(16).fill(0))] : [];
    const writable = kind.queue === 1 ? [] : [driver.room(513)];
    driver.queues[kind.queue]!.add(readable, writable);
    driver.kick(kind.queue);
    for (let turn = 0; turn < 20; turn++) {
      disk.settle();
      await Promise.resolve();
    }
  }
  expect(driver.queues[kind.queue]!.collect().length).toBe(20);
  expect(driver.device.front.fault).toBe(undefined);
});

test('a driver that counts on for ever, or points at all of memory, is stopped', () => {
  const random = new Random(1);
  const disk = new Disk(random);
  const driver = new TestDriver((memory) => virtioBlk('vioblk0', memory, disk, 'serial'));
  driver.start(VERSION_1 | INDIRECT);
  const queue = driver.queues[0]!;
  const { view, bytes } = driver.memory;
  // A table of 65536 descriptors that are all in order.
  for (let index = 0; index < 0x4000; index++) {
    queue.put(index, { gpa: 0x1000, length: 1, flags: 1, next: index + 1 }, bytes.length / 2);
  }
  queue.put(0, { gpa: bytes.length / 2, length: 0x4000 * 16, flags: 4 });
  queue.offer(0);
  driver.kick(0);
  expect(driver.device.front.fault).toMatch('more than 1024 descriptors');
  driver.start(VERSION_1);
  view.setUint16(driver.queues[0]!.available + 2, 129, true);
  driver.kick(0);
  expect(driver.device.front.fault).toMatch('129 entries ahead');
});
