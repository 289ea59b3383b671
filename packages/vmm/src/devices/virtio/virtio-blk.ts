// Virtio block device: virtio 1.2, section 5.2. One queue with many requests in flight; reads,
// writes, flushes, identification, discards, zeroing. Data goes between the image and the driver's
// buffers without a copy here. Not modelled: several queues, geometry and topology hints, switching
// of write-back caching, secure erase, zones, lifetime.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type BlockBackend, SECTOR_BYTES } from '../block-backend.ts';
import { QueueSet } from './queue-set.ts';
import { gather, lengthOf, type Segment, scatter, slice } from './segments.ts';
import type { DescriptorChain } from './split-queue.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';

const DEVICE_ID = 2;
const CLASS_STORAGE_SCSI = 0x010000;
const QUEUE_SIZE = 128;
/** Request header and status take a descriptor each. */
const SEGMENTS_MAX = QUEUE_SIZE - 2;

/** Feature bits, section 5.2.3. */
export const VIRTIO_BLK_F_SEG_MAX: bigint = 1n << 2n;
export const VIRTIO_BLK_F_RO: bigint = 1n << 5n;
export const VIRTIO_BLK_F_BLK_SIZE: bigint = 1n << 6n;
export const VIRTIO_BLK_F_FLUSH: bigint = 1n << 9n;
export const VIRTIO_BLK_F_DISCARD: bigint = 1n << 13n;
export const VIRTIO_BLK_F_WRITE_ZEROES: bigint = 1n << 14n;

// Request types, section 5.2.6.
const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;
const T_DISCARD = 11;
const T_WRITE_ZEROES = 13;

const S_OK = 0;
const S_IOERR = 1;
const S_UNSUPP = 2;

const HEADER_BYTES = 16;
const ID_BYTES = 20;
/** A range to discard or zero: sector, count, flags. */
const RANGE_BYTES = 16;
const RANGE_UNMAP = 1;
const RANGES_MAX = 32;
/** 2 GiB a range. */
const RANGE_SECTORS_MAX = 1 << 22;
const ZEROES_BYTES = 65536;
/**
 * What is asked of the image at once: a chain may name the same memory again and again, up to 4
 * GiB, and an image may have to remember something for each cluster meanwhile.
 */
const PIECE_BYTES_MAX = 16 << 20;
/** The configuration up to write_zeroes_may_unmap and its padding, section 5.2.4. */
const CONFIG_BYTES = 60;

/** A range in bytes, in a discard or write-zeroes request. */
interface BlockRange {
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
}

/** A request, section 5.2.6. */
interface Request {
  readonly chain: DescriptorChain;
  readonly type: number;
  readonly sector: number;
  /** The data that the device writes, and reads. */
  readonly into: Segment[];
  readonly from: Segment[];
  /** The byte for the status. */
  readonly status: Segment[];
}

/** A chain that has room for header and status, as a request. */
function parseRequest(chain: DescriptorChain): Request {
  const { readable, writable } = chain;
  const dataLength = lengthOf(writable) - 1;
  const header = gather(slice(readable, 0, HEADER_BYTES));
  const view = new DataView(header.buffer);
  return {
    chain,
    type: view.getUint32(0, true),
    sector: view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
    into: slice(writable, 0, dataLength),
    from: slice(readable, HEADER_BYTES, Infinity),
    status: slice(writable, dataLength, 1),
  };
}

class VirtioBlkBackend implements VirtioBackend {
  private readonly queues: QueueSet;
  private readonly image: BlockBackend;
  private readonly serial: Uint8Array;
  /** Transient: a suspension waits until there are none. */
  private inFlight = 0;
  /** Counts resets: what was begun before the last one answers nobody. Transient: likewise. */
  private epoch = 0;
  /** Transient: likewise. */
  private resetting = false;

  constructor(memory: GuestMemory, image: BlockBackend, serial: string) {
    this.queues = new QueueSet(memory);
    this.image = image;
    this.serial = new Uint8Array(ID_BYTES);
    this.serial.set(new TextEncoder().encode(serial).subarray(0, ID_BYTES));
  }

  get busy(): boolean {
    return this.inFlight > 0;
  }

  connect(events: VirtioEvents): void {
    this.queues.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.queues.open(queues, features);
  }

  hold(held: boolean): void {
    this.queues.held = held;
    if (!held) this.kick(0);
  }

  /** Takes all requests there are. Those that are done at once are given back together. */
  kick(queue: number): void {
    const chains: DescriptorChain[] = [];
    const lengths: number[] = [];
    for (;;) {
      const chain = this.queues.take(queue);
      if (chain === undefined) break;
      const room = lengthOf(chain.writable);
      if (lengthOf(chain.readable) < HEADER_BYTES || room === 0) {
        this.queues.fail('a block request has no header or no room for its status');
        return;
      }
      const request = parseRequest(chain);
      const status = this.serveNow(request);
      if (status === undefined) {
        void this.serve(queue, request);
      } else {
        scatter(request.status, new Uint8Array([status]));
        chains.push(chain);
        lengths.push(room);
      }
    }
    if (chains.length > 0) this.queues.giveAll(queue, chains, lengths);
  }

  reset(): void {
    this.epoch++;
    this.resetting = true;
    this.queues.close();
    this.quiesce();
  }

  positions(): number[] {
    return this.queues.positions();
  }

  /** The status of a read or write that the image can do without waiting; else undefined. */
  private serveNow({ type, sector, into, from }: Request): number | undefined {
    const { image } = this;
    const data = type === T_IN ? into : from;
    const isKnown = type === T_IN ? image.readNow : type === T_OUT && image.writeNow;
    // What is refused is not worth being quick.
    if (!isKnown || !this.inRange(sector, lengthOf(data))) return undefined;
    if (type === T_OUT && image.readOnly) return undefined;
    const parts = data.map((segment) => segment.bytes);
    const offset = sector * SECTOR_BYTES;
    try {
      const done = type === T_IN ? image.readNow!(offset, parts) : image.writeNow!(offset, parts);
      return done ? S_OK : undefined;
    } catch {
      return S_IOERR;
    }
  }

  /** One request from start to answer. Never rejects: what goes wrong is the request's status. */
  private async serve(queue: number, request: Request): Promise<void> {
    const { epoch } = this;
    this.inFlight++;
    let status: number;
    try {
      status = await this.execute(request);
    } catch {
      status = S_IOERR;
    }
    this.inFlight--;
    if (epoch === this.epoch) {
      scatter(request.status, new Uint8Array([status]));
      // Without success the data's content is undefined, its length is not (5.2.6.2 says nothing
      // of partial success): the whole writable part counts as written.
      this.queues.give(queue, request.chain, lengthOf(request.chain.writable));
    }
    this.quiesce();
  }

  private quiesce(): void {
    if (!this.resetting || this.inFlight > 0) return;
    this.resetting = false;
    this.queues.events.quiesced();
  }

  private execute({ type, sector, into, from }: Request): Promise<number> | number {
    switch (type) {
      case T_IN:
        return this.read(sector, into);
      case T_OUT:
        return this.write(sector, from);
      case T_FLUSH:
        return this.image.flush().then(() => S_OK);
      case T_GET_ID:
        scatter(into, this.serial);
        return S_OK;
      case T_DISCARD:
        return this.discard(from);
      case T_WRITE_ZEROES:
        return this.writeZeroes(from);
      default:
        return S_UNSUPP;
    }
  }

  private read(sector: number, into: Segment[]): Promise<number> | number {
    if (!this.inRange(sector, lengthOf(into))) return S_IOERR;
    return inPieces(into, (at, parts) => this.image.read(sector * SECTOR_BYTES + at, parts));
  }

  private write(sector: number, from: Segment[]): Promise<number> | number {
    if (this.image.readOnly || !this.inRange(sector, lengthOf(from))) return S_IOERR;
    return inPieces(from, (at, parts) => this.image.write(sector * SECTOR_BYTES + at, parts));
  }

  /** Whole sectors, all of them on the disk (5.2.6.1). */
  private inRange(sector: number, length: number): boolean {
    const sectors = length / SECTOR_BYTES;
    return Number.isInteger(sectors) && sector + sectors <= this.image.sectors;
  }

  private async discard(data: Segment[]): Promise<number> {
    const ranges = this.ranges(data);
    if (typeof ranges === 'number') return ranges;
    // A discard must not ask for unmapping: it is one (5.2.6.1).
    if (ranges.some((range) => range.flags !== 0)) return S_UNSUPP;
    for (const { offset, length } of ranges) await this.image.discard(offset, length);
    return S_OK;
  }

  private async writeZeroes(data: Segment[]): Promise<number> {
    const ranges = this.ranges(data);
    if (typeof ranges === 'number') return ranges;
    if (ranges.some((range) => (range.flags & ~RANGE_UNMAP) !== 0)) return S_UNSUPP;
    for (const range of ranges) await this.zero(range);
    return S_OK;
  }

  private async zero({ offset, length, flags }: BlockRange): Promise<void> {
    if (this.image.writeZeroes !== undefined) {
      await this.image.writeZeroes(offset, length, (flags & RANGE_UNMAP) !== 0);
      return;
    }
    const zeroes = new Uint8Array(Math.min(length, ZEROES_BYTES));
    for (let done = 0; done < length; done += zeroes.length) {
      await this.image.write(offset + done, [zeroes.subarray(0, length - done)]);
    }
  }

  /** The ranges of a discard or write-zeroes request, or the status that refuses it. */
  private ranges(segments: Segment[]): BlockRange[] | number {
    const count = lengthOf(segments) / RANGE_BYTES;
    if (!Number.isInteger(count) || count === 0 || count > RANGES_MAX) return S_UNSUPP;
    const data = gather(segments);
    if (this.image.readOnly) return S_IOERR;
    const view = new DataView(data.buffer);
    const ranges: BlockRange[] = [];
    for (let at = 0; at < data.length; at += RANGE_BYTES) {
      const sector = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const length = view.getUint32(at + 8, true) * SECTOR_BYTES;
      if (length > RANGE_SECTORS_MAX * SECTOR_BYTES) return S_IOERR;
      if (!this.inRange(sector, length)) return S_IOERR;
      ranges.push({ offset: sector * SECTOR_BYTES, length, flags: view.getUint32(at + 12, true) });
    }
    return ranges;
  }
}

/** Moves the data of a request, a piece at a time; at once when it is but one. */
async function inPieces(
  data: Segment[],
  move: (at: number, parts: Uint8Array[]) => Promise<void>,
): Promise<number> {
  const length = lengthOf(data);
  for (let at = 0; at < length; at += PIECE_BYTES_MAX) {
    const piece = length <= PIECE_BYTES_MAX ? data : slice(data, at, PIECE_BYTES_MAX);
    await move(
      at,
      piece.map((segment) => segment.bytes),
    );
  }
  return S_OK;
}

/** The configuration structure, section 5.2.4. */
function configuration(image: BlockBackend): Uint8Array {
  const config = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(config.buffer);
  view.setUint32(0, image.sectors % 2 ** 32, true); // capacity
  view.setUint32(4, Math.floor(image.sectors / 2 ** 32), true);
  view.setUint32(12, SEGMENTS_MAX, true); // seg_max
  view.setUint32(20, SECTOR_BYTES, true); // blk_size
  view.setUint16(34, 1, true); // num_queues
  view.setUint32(36, RANGE_SECTORS_MAX, true); // max_discard_sectors
  view.setUint32(40, RANGES_MAX, true); // max_discard_seg
  view.setUint32(44, 1, true); // discard_sector_alignment
  view.setUint32(48, RANGE_SECTORS_MAX, true); // max_write_zeroes_sectors
  view.setUint32(52, RANGES_MAX, true); // max_write_zeroes_seg
  config[56] = 1; // write_zeroes_may_unmap
  return config;
}

/** OpenBSD's vioblk on a disk image; `serial` (20 bytes at most) is what GET_ID answers. */
export function virtioBlk(
  name: string,
  memory: GuestMemory,
  image: BlockBackend,
  serial: string,
): VirtioDevice {
  const always = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH;
  const writing = VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES;
  return {
    name,
    id: DEVICE_ID,
    classCode: CLASS_STORAGE_SCSI,
    features: always | (image.readOnly ? VIRTIO_BLK_F_RO : writing),
    queueSizes: [QUEUE_SIZE],
    config: configuration(image),
    configIsFixed: true,
    backend: new VirtioBlkBackend(memory, image, serial),
  };
}
