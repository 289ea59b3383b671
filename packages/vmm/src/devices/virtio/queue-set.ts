// The queues of one backend: opened together, closed together, and together out of order when one
// breaks the rules.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import { type DescriptorChain, SplitQueue } from './split-queue.ts';
import type { QueueConfig, VirtioEvents } from './virtio-backend.ts';

const notConnected = (): void => {};

/** A backend's queues, with the interrupts and faults they cause. */
export class QueueSet {
  private readonly memory: GuestMemory;
  /** Transient: opened anew, where they were. */
  private queues: (SplitQueue | undefined)[] = [];
  /** Transient: the front keeps that the device needs a reset. */
  private broken = false;
  /** Requests stay with the driver. Transient: part of saving itself. */
  held = false;
  /** What the front is told through. Transient: wiring. */
  events: VirtioEvents = {
    queueInterrupt: notConnected,
    configChanged: notConnected,
    needsReset: notConnected,
    quiesced: notConnected,
  };

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** Opens the queues; a bad one leaves the device needing a reset. */
  open(configs: readonly QueueConfig[], features: bigint): void {
    this.close();
    for (const config of configs) {
      const queue = SplitQueue.open(this.memory, config, features);
      if (typeof queue === 'string') {
        this.fail(`queue ${config.index}: ${queue}`);
        return;
      }
      this.queues[config.index] = queue;
    }
  }

  /** Forgets the queues. */
  close(): void {
    this.queues = [];
    this.broken = false;
  }

  /** The next request of a queue, if it is open, sound, and has one. */
  take(index: number): DescriptorChain | undefined {
    if (this.broken || this.held) return undefined;
    const queue = this.queues[index];
    const chain = queue?.take();
    if (queue?.fault !== undefined) this.fail(queue.fault);
    return chain;
  }

  /** Gives a request back, with the number of bytes written for the driver. */
  give(index: number, chain: DescriptorChain, length: number): void {
    if (this.broken) return;
    if (this.queues[index]?.give(chain, length) === true) this.events.queueInterrupt();
  }

  /** Gives requests back that the driver is to see together, each with its number of bytes. */
  giveAll(index: number, chains: readonly DescriptorChain[], lengths: readonly number[]): void {
    if (this.broken) return;
    if (this.queues[index]?.giveAll(chains, lengths) === true) this.events.queueInterrupt();
  }

  /** A request makes no sense to the device: nothing more is done before a reset. */
  fail(reason: string): void {
    if (this.broken) return;
    this.broken = true;
    this.events.needsReset(reason);
  }

  /** By queue index, the next available index. */
  positions(): number[] {
    return Array.from(this.queues, (queue) => queue?.position ?? 0);
  }
}
