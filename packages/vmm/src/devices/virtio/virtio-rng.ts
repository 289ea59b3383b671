// Virtio entropy device: virtio 1.2, section 5.4. One queue; the driver gives room, the device
// fills it with random bytes.

import type { Entropy } from '../../base/clock.ts';
import type { GuestMemory } from '../../bus/guest-memory.ts';
import { QueueSet } from './queue-set.ts';
import { lengthOf, scatter } from './segments.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';

const DEVICE_ID = 4;
const CLASS_SYSTEM_MISC = 0x088000;
const QUEUE_SIZE = 64;
/** A request gets at most this much (vmd: MAXPHYS); the driver asks again. */
const REQUEST_BYTES_MAX = 65536;

class VirtioRngBackend implements VirtioBackend {
  readonly busy = false;
  private readonly queues: QueueSet;
  private readonly entropy: Entropy;

  constructor(memory: GuestMemory, entropy: Entropy) {
    this.queues = new QueueSet(memory);
    this.entropy = entropy;
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

  kick(queue: number): void {
    for (;;) {
      const chain = this.queues.take(queue);
      if (chain === undefined) return;
      if (chain.writable.length === 0 || chain.readable.length > 0) {
        this.queues.fail('an entropy request is not a buffer to write');
        return;
      }
      // Filled in private memory: random sources refuse memory that is shared.
      const bytes = new Uint8Array(Math.min(lengthOf(chain.writable), REQUEST_BYTES_MAX));
      this.entropy.fill(bytes);
      this.queues.give(queue, chain, scatter(chain.writable, bytes));
    }
  }

  reset(): void {
    this.queues.close();
    this.queues.events.quiesced();
  }

  positions(): number[] {
    return this.queues.positions();
  }
}

/** OpenBSD's viornd. */
export function virtioRng(memory: GuestMemory, entropy: Entropy): VirtioDevice {
  return {
    name: 'viornd',
    id: DEVICE_ID,
    classCode: CLASS_SYSTEM_MISC,
    features: 0n,
    queueSizes: [QUEUE_SIZE],
    config: new Uint8Array(0),
    backend: new VirtioRngBackend(memory, entropy),
  };
}
