// Virtio network device: virtio 1.2, section 5.1. A receive and a transmit queue, a MAC address,
// and a link that is up while a network is attached. Not modelled: checksum and segmentation
// offloads, merged receive buffers, several queue pairs, the control queue.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { NetBackend } from '../net-backend.ts';
import { QueueSet } from './queue-set.ts';
import { gather, lengthOf, scatter, slice } from './segments.ts';
import {
  type QueueConfig,
  VIRTIO_F_VERSION_1,
  type VirtioBackend,
  type VirtioDevice,
  type VirtioEvents,
} from './virtio-backend.ts';

const DEVICE_ID = 1;
const CLASS_SYSTEM_MISC = 0x088000;
const QUEUE_SIZE = 256;
const RECEIVE = 0;
const TRANSMIT = 1;

/** Feature bits, section 5.1.3. */
export const VIRTIO_NET_F_MAC: bigint = 1n << 5n;
export const VIRTIO_NET_F_STATUS: bigint = 1n << 16n;

/** The header before each frame; the legacy one lacks num_buffers (5.1.6). */
const HEADER_BYTES = 12;
const HEADER_BYTES_LEGACY = 10;
const HEADER_NUM_BUFFERS = 10;
const FRAME_BYTES_MIN = 14;

const CONFIG_BYTES = 8;
const CONFIG_STATUS = 6;
const STATUS_LINK_UP = 1;

/** Frames that wait for the driver to give buffers; more are dropped, as a card's FIFO would. */
const WAITING_FRAMES_MAX = 64;

/** The backend of a network device; attach a network to raise its link. */
export class VirtioNetBackend implements VirtioBackend {
  readonly busy = false;
  private readonly queues: QueueSet;
  private headerBytes = HEADER_BYTES;
  private active = false;
  private network: NetBackend | undefined;
  private waiting: Uint8Array[] = [];
  private dropped = 0;

  constructor(memory: GuestMemory) {
    this.queues = new QueueSet(memory);
  }

  /** How many frames the guest did not get because it gave no buffer for them. */
  get droppedFrames(): number {
    return this.dropped;
  }

  /** Plugs the cable into `network`, or pulls it out when undefined. */
  attach(network: NetBackend | undefined): void {
    this.network?.onReceive(undefined);
    this.network = network;
    network?.onReceive((frame) => this.receive(frame));
    if (network === undefined) this.waiting = [];
    this.queues.events.configChanged(CONFIG_STATUS, this.linkStatus());
  }

  /** The status field of the configuration (5.1.4), as bytes. */
  linkStatus(): Uint8Array {
    return new Uint8Array([this.network === undefined ? 0 : STATUS_LINK_UP, 0]);
  }

  connect(events: VirtioEvents): void {
    this.queues.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    const modern = (features & VIRTIO_F_VERSION_1) !== 0n;
    this.headerBytes = modern ? HEADER_BYTES : HEADER_BYTES_LEGACY;
    this.active = true;
    this.queues.open(queues, features);
  }

  kick(queue: number): void {
    if (queue === TRANSMIT) this.transmit();
    else if (queue === RECEIVE) this.deliver();
  }

  reset(): void {
    this.active = false;
    this.waiting = [];
    this.queues.close();
    this.queues.events.quiesced();
  }

  positions(): number[] {
    return this.queues.positions();
  }

  private transmit(): void {
    for (;;) {
      const chain = this.queues.take(TRANSMIT);
      if (chain === undefined) return;
      if (lengthOf(chain.readable) < this.headerBytes) {
        this.queues.fail('a frame to send has no header');
        return;
      }
      const frame = gather(slice(chain.readable, this.headerBytes, Infinity));
      this.queues.give(TRANSMIT, chain, 0);
      if (frame.length >= FRAME_BYTES_MIN) this.network?.send(frame);
    }
  }

  private receive(frame: Uint8Array): void {
    if (!this.active || this.waiting.length === WAITING_FRAMES_MAX) {
      this.dropped++;
      return;
    }
    this.waiting.push(frame.slice());
    this.deliver();
  }

  /** Gives waiting frames to the driver's buffers, while there are any. */
  private deliver(): void {
    while (this.waiting.length > 0) {
      const chain = this.queues.take(RECEIVE);
      if (chain === undefined) return;
      const frame = this.waiting.shift()!;
      const length = this.headerBytes + frame.length;
      if (lengthOf(chain.writable) < length) {
        // Section 5.1.6.3.1 has drivers give room for any frame.
        this.queues.fail(`a receive buffer is too small for ${length} bytes`);
        return;
      }
      const message = new Uint8Array(length);
      if (this.headerBytes === HEADER_BYTES) message[HEADER_NUM_BUFFERS] = 1;
      message.set(frame, this.headerBytes);
      this.queues.give(RECEIVE, chain, scatter(chain.writable, message));
    }
  }
}

/** OpenBSD's vio: `mac` is its address, six bytes; `backend` was made on the same memory. */
export function virtioNet(name: string, mac: Uint8Array, backend: VirtioNetBackend): VirtioDevice {
  const config = new Uint8Array(CONFIG_BYTES);
  config.set(mac.subarray(0, 6));
  config.set(backend.linkStatus(), CONFIG_STATUS);
  return {
    name,
    id: DEVICE_ID,
    classCode: CLASS_SYSTEM_MISC,
    features: VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS,
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE],
    config,
    backend,
  };
}
