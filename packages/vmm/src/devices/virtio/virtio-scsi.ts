// Virtio SCSI host: virtio 1.2, section 5.6, with one channel, one target and its logical units, as
// vmd(8) has it for its CD-ROM. Three queues: control, events, requests. Many requests may be in
// flight. Not modelled: events (nothing is plugged in or out; the driver's buffers wait for ever),
// several request queues, protection information, other sizes of sense data and commands than the
// default ones.

import type { GuestMemory } from '../../bus/guest-memory.ts';
import type { ScsiCdrom } from '../scsi-cdrom.ts';
import { QueueSet } from './queue-set.ts';
import { gather, lengthOf, scatter, slice } from './segments.ts';
import type { DescriptorChain } from './split-queue.ts';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from './virtio-backend.ts';

const DEVICE_ID = 8;
const CLASS_STORAGE_SCSI = 0x010000;
const QUEUE_SIZE = 128;
const CONTROL_QUEUE = 0;
const EVENT_QUEUE = 1;
const REQUEST_QUEUE = 2;

const SENSE_BYTES = 96;
const CDB_BYTES = 32;
/** lun, id, task_attr, prio, crn, and the command: section 5.6.6.1. */
const REQUEST_BYTES = 19 + CDB_BYTES;
const REQUEST_LUN = 0;
const REQUEST_CDB = 19;
/** sense_len, residual, status_qualifier, status, response, and the sense data. */
const RESPONSE_BYTES = 12 + SENSE_BYTES;
/** The header and the response take two descriptors. */
const SEGMENTS_MAX = QUEUE_SIZE - 2;
const MAX_SECTORS = 0xffff;
const EVENT_BYTES = 16;

// Responses, section 5.6.6.1.1.
const S_OK = 0;
const S_BAD_TARGET = 3;

// Control requests, section 5.6.6.2.
const T_TMF = 0;
const T_AN_QUERY = 1;
const T_AN_SUBSCRIBE = 2;
const S_FUNCTION_REJECTED = 11;

/** What a request is answered with, but its data. */
interface Response {
  readonly response: number;
  readonly status: number;
  readonly sense: Uint8Array;
  /** Bytes of data that the driver has got. */
  readonly length: number;
}

const BAD_TARGET: Response = {
  response: S_BAD_TARGET,
  status: 0,
  sense: new Uint8Array(0),
  length: 0,
};

class VirtioScsiBackend implements VirtioBackend {
  private readonly queues: QueueSet;
  private readonly target: ScsiCdrom;
  /** Transient: empty when the machine stands still. */
  private readonly inFlight = new Set<Promise<void>>();
  /** Counts resets: what was begun before the last one answers nobody. Transient: nothing was. */
  private epoch = 0;
  /** Transient: false when the machine stands still. */
  private resetting = false;

  constructor(memory: GuestMemory, target: ScsiCdrom) {
    this.queues = new QueueSet(memory);
    this.target = target;
  }

  get busy(): boolean {
    return this.inFlight.size > 0;
  }

  connect(events: VirtioEvents): void {
    this.queues.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.queues.open(queues, features);
  }

  kick(queue: number): void {
    if (queue === EVENT_QUEUE) return;
    for (;;) {
      const chain = this.queues.take(queue);
      if (chain === undefined) return;
      const work = queue === CONTROL_QUEUE ? this.control(chain) : this.request(queue, chain);
      if (work === undefined) return;
      this.inFlight.add(work);
      void work.then(() => {
        this.inFlight.delete(work);
        this.quiesce();
      });
    }
  }

  hold(held: boolean): void {
    this.queues.held = held;
    if (held) return;
    this.kick(CONTROL_QUEUE);
    this.kick(REQUEST_QUEUE);
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

  private quiesce(): void {
    if (!this.resetting || this.busy) return;
    this.resetting = false;
    this.queues.events.quiesced();
  }

  /** A command, or undefined when the driver has broken the rules. */
  private request(queue: number, chain: DescriptorChain): Promise<void> | undefined {
    const room = lengthOf(chain.writable);
    if (lengthOf(chain.readable) < REQUEST_BYTES || room < RESPONSE_BYTES) {
      this.queues.fail('a SCSI request has no header or no room for its response');
      return undefined;
    }
    const header = gather(slice(chain.readable, 0, REQUEST_BYTES));
    return this.serve(queue, chain, header, room - RESPONSE_BYTES);
  }

  private async serve(
    queue: number,
    chain: DescriptorChain,
    header: Uint8Array,
    dataBytes: number,
  ): Promise<void> {
    const { epoch } = this;
    const into = slice(chain.writable, RESPONSE_BYTES, dataBytes).map(({ bytes }) => bytes);
    const { response, status, sense, length } = await this.execute(header, into);
    if (epoch !== this.epoch) return;
    const answer = new Uint8Array(RESPONSE_BYTES);
    const view = new DataView(answer.buffer);
    view.setUint32(0, sense.length, true);
    view.setUint32(4, dataBytes - length, true);
    answer[10] = status;
    answer[11] = response;
    answer.set(sense, 12);
    scatter(slice(chain.writable, 0, RESPONSE_BYTES), answer);
    this.queues.give(queue, chain, RESPONSE_BYTES + length);
  }

  private async execute(header: Uint8Array, into: readonly Uint8Array[]): Promise<Response> {
    // Section 5.6.6.1: 1, the target, and a logical unit of one level (SAM-5, 4.7.3).
    const [one, target, high, low] = header.subarray(REQUEST_LUN);
    if (one !== 1 || target !== 0) return BAD_TARGET;
    const unit = ((high & 0x3f) << 8) | low;
    const outcome = await this.target.execute(unit, header.subarray(REQUEST_CDB), into);
    return { response: S_OK, ...outcome };
  }

  /**
   * What concerns tasks is done when those are that it may concern: they end by themselves. Of
   * asynchronous events there are none to subscribe to.
   */
  private control(chain: DescriptorChain): Promise<void> | undefined {
    const request = gather(chain.readable);
    const type = request.length >= 4 ? new DataView(request.buffer).getUint32(0, true) : -1;
    const isQuery = type === T_AN_QUERY || type === T_AN_SUBSCRIBE;
    const answer = new Uint8Array(isQuery ? 5 : 1);
    if (lengthOf(chain.writable) < answer.length) {
      this.queues.fail('a SCSI control request has no room for its response');
      return undefined;
    }
    answer[answer.length - 1] = isQuery || type === T_TMF ? S_OK : S_FUNCTION_REJECTED;
    return this.answerControl(chain, answer, [...this.inFlight]);
  }

  private async answerControl(
    chain: DescriptorChain,
    answer: Uint8Array,
    before: readonly Promise<void>[],
  ): Promise<void> {
    const { epoch } = this;
    await Promise.all(before);
    if (epoch !== this.epoch) return;
    scatter(chain.writable, answer);
    this.queues.give(CONTROL_QUEUE, chain, answer.length);
  }
}

/** The configuration structure, section 5.6.4. */
function configuration(): Uint8Array {
  const config = new Uint8Array(36);
  const view = new DataView(config.buffer);
  view.setUint32(0, 1, true); // num_queues
  view.setUint32(4, SEGMENTS_MAX, true); // seg_max
  view.setUint32(8, MAX_SECTORS, true); // max_sectors
  view.setUint32(12, QUEUE_SIZE, true); // cmd_per_lun
  view.setUint32(16, EVENT_BYTES, true); // event_info_size
  view.setUint32(20, SENSE_BYTES, true); // sense_size
  view.setUint32(24, CDB_BYTES, true); // cdb_size
  return config;
}

/** OpenBSD's vioscsi with a drive as its one target. */
export function virtioScsi(name: string, memory: GuestMemory, target: ScsiCdrom): VirtioDevice {
  return {
    name,
    id: DEVICE_ID,
    classCode: CLASS_STORAGE_SCSI,
    features: 0n,
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE],
    config: configuration(),
    backend: new VirtioScsiBackend(memory, target),
  };
}
