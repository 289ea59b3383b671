// Virtio network device: virtio 1.2, section 5.1. A receive and a transmit queue, a MAC address,
// and a link that is up while a network is attached. Checksums and segmentation are left to the
// network when it can do with unfinished frames, and receive buffers are merged. Not modelled:
// several queue pairs, the control queue.

import { assert } from '../../base/assert.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { NetBackend, NetReceiver, Unfinished } from '../net-backend.ts';
import { QueueSet } from './queue-set.ts';
import { gatherInto, lengthOf, scatter } from './segments.ts';
import type { DescriptorChain } from './split-queue.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';
import {
  HEADER_NUM_BUFFERS,
  HeaderWork,
  headerBytesOf,
  OFFLOADS,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_STATUS,
  writeHeader,
} from './virtio-net-header.ts';

const DEVICE_ID = 1;
const CLASS_SYSTEM_MISC = 0x088000;
const QUEUE_SIZE = 256;
const RECEIVE = 0;
const TRANSMIT = 1;

const FRAME_BYTES_MIN = 14;
/** The largest IP packet in a frame, and the longest header before it. */
const MESSAGE_BYTES_MAX = 12 + 14 + 65535;

const CONFIG_BYTES = 8;
const CONFIG_STATUS = 6;
const STATUS_LINK_UP = 1;

/** Frames that wait for the driver to give buffers; more are dropped, as a card's FIFO would. */
const WAITING_FRAMES_MAX = 64;
/** So many frames are a batch: the network may then answer what came so far. */
const BATCH_FRAMES = 64;
/** Frames to send for one kick: what a driver adds meanwhile may never end. */
const KICK_FRAMES_MAX = 1024;
/** So many waiting, the network is told to hold back what can wait. */
const WAITING_FRAMES_FULL = 16;

/** The backend of a network device; attach a network to raise its link. */
export class VirtioNetBackend implements VirtioBackend, NetReceiver {
  readonly busy = false;
  private readonly queues: QueueSet;
  /** Transient: the front keeps what was agreed on, and activates anew. */
  private headerBytes = 0;
  /** Transient: likewise. */
  private features = 0n;
  /** Transient: likewise. */
  private active = false;
  /** Transient: a network after a suspension is another one. */
  private network: NetBackend | undefined;
  /**
   * A message from the guest, and one to it, which may be the answer to the other. Transient: they
   * mean something during a call only.
   */
  private readonly outgoing = new Uint8Array(MESSAGE_BYTES_MAX);
  /** Transient: likewise. */
  private readonly message = new Uint8Array(MESSAGE_BYTES_MAX);
  /** Transient: what it holds means something during a call only. */
  private readonly work = new HeaderWork();
  /** Messages, header first, for which there was no buffer. Transient: networks lose frames. */
  private waiting: Uint8Array[] = [];
  /**
   * Buffers taken from the driver, not enough for the first message yet. Transient: as they are not
   * used, they count as not taken.
   */
  private held: DescriptorChain[] = [];
  /** Transient: likewise. */
  private heldBytes = 0;
  /** The network may hold something back since the card was full. Transient: it is another one. */
  private wasFull = false;
  /** Transient: a statistic. */
  private dropped = 0;
  /** Transient: the front asks anew. */
  hasMore = false;

  constructor(memory: GuestMemory) {
    this.queues = new QueueSet(memory);
  }

  /** How many frames the guest did not get because it gave no buffer for them. */
  get droppedFrames(): number {
    return this.dropped;
  }

  /** Whether the network can do with unfinished frames. */
  get offloads(): boolean {
    return this.network?.offloads === true;
  }

  /**
   * Plugs the cable into `network`, or pulls it out when undefined. The network that is there
   * when the machine is built decides on offloads; another must be of the same kind.
   */
  attach(network: NetBackend | undefined): void {
    const isPlain = (this.features & OFFLOADS) === 0n;
    assert(
      isPlain || network?.offloads !== false,
      'the network cannot do what the guest relies on',
    );
    this.network?.attach(undefined);
    this.network = network;
    if (network === undefined) this.waiting = [];
    this.queues.events.configChanged(CONFIG_STATUS, this.linkStatus());
    network?.attach(this);
  }

  /** The status field of the configuration (5.1.4), as bytes. */
  linkStatus(): Uint8Array {
    return new Uint8Array([this.network === undefined ? 0 : STATUS_LINK_UP, 0]);
  }

  connect(events: VirtioEvents): void {
    this.queues.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.headerBytes = headerBytesOf(features);
    this.features = features;
    this.active = true;
    this.queues.open(queues, features);
    // What waited when the driver reset the device is gone.
    this.resumeNetwork();
  }

  hold(held: boolean): void {
    this.queues.held = held;
    if (held) return;
    this.deliver();
    this.transmit();
  }

  kick(queue: number): void {
    if (queue === TRANSMIT) this.transmit();
    else if (queue === RECEIVE) this.deliver();
  }

  reset(): void {
    this.active = false;
    this.features = 0n;
    this.waiting = [];
    this.held = [];
    this.heldBytes = 0;
    this.queues.close();
    this.queues.events.quiesced();
  }

  /** Buffers that are held have not been used: they are taken again after a restore. */
  positions(): number[] {
    const positions = this.queues.positions();
    if (positions.length > RECEIVE) {
      positions[RECEIVE] = (positions[RECEIVE] - this.held.length) & 0xffff;
    }
    return positions;
  }

  get full(): boolean {
    return this.waiting.length >= WAITING_FRAMES_FULL;
  }

  get takesUnfinished(): boolean {
    return (this.features & VIRTIO_NET_F_GUEST_CSUM) !== 0n;
  }

  takesLargeFrames(version: number): boolean {
    const needed = version === 4 ? VIRTIO_NET_F_GUEST_TSO4 : VIRTIO_NET_F_GUEST_TSO6;
    return (this.features & needed) !== 0n;
  }

  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    const { headerBytes, message } = this;
    const length = headerBytes + frame.length;
    if (!this.active || this.waiting.length >= WAITING_FRAMES_MAX || length > message.length) {
      this.dropped++;
      return;
    }
    message.set(frame, headerBytes);
    const isValid = this.network?.checksumsHold === true && this.takesUnfinished;
    writeHeader(message, headerBytes, frame.length, unfinished, isValid);
    const mustWait = this.waiting.length > 0 || this.queues.held;
    if (mustWait || !this.place(message.subarray(0, length))) {
      this.waiting.push(message.slice(0, length));
      if (this.full) this.wasFull = true;
    }
  }

  private transmit(): void {
    const { outgoing, headerBytes } = this;
    let sent = 0;
    this.hasMore = false;
    for (;;) {
      this.hasMore = sent === KICK_FRAMES_MAX;
      const chain = this.hasMore ? undefined : this.queues.take(TRANSMIT);
      if (chain === undefined) break;
      sent++;
      const length = gatherInto(chain.readable, outgoing);
      if (length < headerBytes) {
        this.queues.fail('a frame to send has no header');
        break;
      }
      this.queues.give(TRANSMIT, chain, 0);
      if (length >= headerBytes + FRAME_BYTES_MIN) {
        this.network?.send(outgoing.subarray(headerBytes, length), this.work.read(outgoing));
      }
      if (sent % BATCH_FRAMES === 0) this.network?.flush();
    }
    if (sent % BATCH_FRAMES !== 0) this.network?.flush();
  }

  /** Gives waiting messages to the driver's buffers, while there are any. */
  private deliver(): void {
    if (this.queues.held) return;
    while (this.waiting.length > 0 && this.place(this.waiting[0])) this.waiting.shift();
    if (this.waiting.length === 0) this.resumeNetwork();
  }

  private resumeNetwork(): void {
    if (!this.wasFull) return;
    this.wasFull = false;
    this.network?.resume();
  }

  /** Puts a message into the driver's buffers; false when there are not enough. */
  private place(message: Uint8Array): boolean {
    const merges = (this.features & VIRTIO_NET_F_MRG_RXBUF) !== 0n;
    while (this.heldBytes < message.length) {
      const chain = this.queues.take(RECEIVE);
      if (chain === undefined) return false;
      const bytes = lengthOf(chain.writable);
      // Sections 5.1.6.3.1 and 5.1.6.3.2 have drivers give room for any frame, or for a header.
      if (bytes < (merges ? this.headerBytes : message.length)) {
        this.queues.fail(`a receive buffer is too small for ${message.length} bytes`);
        return true;
      }
      this.held.push(chain);
      this.heldBytes += bytes;
    }
    if (merges || this.headerBytes > HEADER_NUM_BUFFERS) {
      message[HEADER_NUM_BUFFERS] = this.held.length;
      message[HEADER_NUM_BUFFERS + 1] = this.held.length >> 8;
    }
    const lengths: number[] = [];
    let at = 0;
    for (const { writable } of this.held) {
      const count = scatter(writable, message.subarray(at));
      lengths.push(count);
      at += count;
    }
    this.queues.giveAll(RECEIVE, this.held, lengths);
    this.held = [];
    this.heldBytes = 0;
    return true;
  }
}

/** OpenBSD's vio: `mac` is its address, six bytes; `backend` was made on the same memory. */
export function virtioNet(name: string, mac: Uint8Array, backend: VirtioNetBackend): VirtioDevice {
  const config = new Uint8Array(CONFIG_BYTES);
  config.set(mac.subarray(0, 6));
  config.set(backend.linkStatus(), CONFIG_STATUS);
  // Without large frames there is nothing to merge buffers for.
  const offloads = backend.offloads ? OFFLOADS | VIRTIO_NET_F_MRG_RXBUF : 0n;
  return {
    name,
    id: DEVICE_ID,
    classCode: CLASS_SYSTEM_MISC,
    features: VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | offloads,
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE],
    config,
    backend,
  };
}
