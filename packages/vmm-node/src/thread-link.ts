// What the two threads of a virtual machine share: the worker runs the processor and the registers of
// the devices, and never returns to its event loop; the main thread has the console, the disks, the
// networks. Everything frequent goes through shared memory, everything rare through messages.
//
// - Towards the worker: the main thread stores what it has, then rings the bell, a counter that the
//   worker looks at on every exit and sleeps on when the guest is idle.
// - Towards the main thread: the worker sets bits of one word. Whoever sets the first also posts a
//   message, for that is what an event loop waits for; the others find it on its way.
//
// Bits overtake messages. Towards the main thread a kick may arrive before the activation of the
// queue that it is for, so that an activation looks at the queues by itself. Towards the worker the
// bits are taken first: an interrupt is older than the end of the reset that follows it.

import type {
  Errno,
  MachineEnd,
  MachineStatistics,
  QueueConfig,
  SavedParts,
  SoftStatistics,
  VirtioDevice,
} from 'vmm';
import { ByteRing, byteRingBytes } from './byte-ring.ts';
import { PageSet, pageSetBytes } from './page-set.ts';

/** A second of fast typing, or a screenful that is pasted. */
const INPUT_BYTES = 4096;
/** Some screenfuls: the guest waits while nobody takes them. */
const OUTPUT_BYTES = 65536;

/** Devices whose backends are in the main thread; bits of a word. */
export const REMOTE_DEVICES_MAX = 30;
/** Queues of a device that {@link ThreadLink.answer} has room for. */
const QUEUES_MAX = 7;

// Words of the shared memory.
const BELL = 0;
const STOP = 1;
/** Bits towards the main thread; devices have theirs from bit 0. */
const ATTENTION = 2;
/** Devices that interrupt the guest. */
const INTERRUPTS = 3;
/** A thread waits for room in the ring that it writes to. */
const INPUT_WAITS = 4;
const OUTPUT_WAITS = 5;
/** Counts answers to {@link VcpuMessage} `query`. */
const ANSWERS = 6;
/** The worker is to hold the machine. */
const PAUSE = 7;
/** The guest is to be asked to shut down. */
const SHUTDOWN = 8;
const QUEUE_STATE = 9;
const HEADER_BYTES = 128;

/** The console's bit of the attention word: output to show, or room for input. */
const CONSOLE_BIT = 1 << REMOTE_DEVICES_MAX;

/** A device as the worker needs to know it: all of it but its backend. */
export type DeviceDescription = Omit<VirtioDevice, 'backend' | 'writeConfig'>;

/** What a run counted, in the worker. */
export interface WorkerStatistics {
  readonly machine: MachineStatistics;
  /** Of the soft engine; undefined for one that cannot count. */
  readonly processor: SoftStatistics | undefined;
  /** From the guest's first instruction to the end. */
  readonly ranNs: number;
}

/** From the worker to the main thread. */
export type VcpuMessage =
  | { readonly kind: 'attention' }
  /** The machine is made; it stands still, as it was asked to; its guest is started anew. */
  | { readonly kind: 'running' | 'paused' | 'restarted' }
  /** Whether the guest has heard that it is to shut down; false when it does not listen. */
  | { readonly kind: 'shutdown'; readonly heard: boolean }
  | {
      readonly kind: 'activate';
      readonly device: number;
      readonly queues: readonly QueueConfig[];
      readonly features: bigint;
    }
  | { readonly kind: 'reset'; readonly device: number }
  | { readonly kind: 'query'; readonly device: number }
  /** The answer to {@link MainMessage} `save`. */
  | { readonly kind: 'saved'; readonly parts: SavedParts }
  | { readonly kind: 'not-saved'; readonly code: Errno; readonly message: string }
  | { readonly kind: 'refused'; readonly code: Errno; readonly message: string }
  | { readonly kind: 'ended'; readonly end: MachineEnd; readonly statistics: WorkerStatistics };

/** From a backend in the main thread to the worker. */
export type DeviceMessage =
  | { readonly kind: 'quiesced'; readonly device: number }
  | { readonly kind: 'needs-reset'; readonly device: number; readonly reason: string }
  | {
      readonly kind: 'config-changed';
      readonly device: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    };

/** From the main thread to the worker; `save` to one that stands still, with nothing in flight. */
export type MainMessage = DeviceMessage | { readonly kind: 'save' };

/** A virtio backend's state, to be saved. */
export interface QueueState {
  readonly busy: boolean;
  readonly positions: readonly number[];
}

/** The shared memory of a machine whose addresses end at `addressBytes`. */
export function createLinkMemory(addressBytes: number): SharedArrayBuffer {
  const rings = byteRingBytes(INPUT_BYTES) + byteRingBytes(OUTPUT_BYTES);
  return new SharedArrayBuffer(HEADER_BYTES + rings + pageSetBytes(addressBytes));
}

/** One thread's view of the shared memory. */
export class ThreadLink {
  readonly input: ByteRing;
  readonly output: ByteRing;
  /** Guest memory that backends in the main thread wrote. */
  readonly writtenPages: PageSet;
  private readonly words: Int32Array;
  private pauses = 0;

  constructor(buffer: SharedArrayBuffer, addressBytes: number) {
    this.words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    let at = HEADER_BYTES;
    this.input = new ByteRing(buffer, at, INPUT_BYTES);
    at += byteRingBytes(INPUT_BYTES);
    this.output = new ByteRing(buffer, at, OUTPUT_BYTES);
    at += byteRingBytes(OUTPUT_BYTES);
    this.writtenPages = new PageSet(buffer, at, addressBytes);
  }

  // The bell.

  /** Has the worker look. */
  ring(): void {
    Atomics.add(this.words, BELL, 1);
    Atomics.notify(this.words, BELL);
  }

  /** How often the bell rang. */
  get rings(): number {
    return Atomics.load(this.words, BELL);
  }

  /** Sleeps until the bell has rung more often than `rings`, or for `timeoutMs`. */
  awaitRing(rings: number, timeoutMs: number): void {
    Atomics.wait(this.words, BELL, rings, timeoutMs);
  }

  /** Asks the worker to end the run. */
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    this.ring();
  }

  get stopping(): boolean {
    return Atomics.load(this.words, STOP) !== 0;
  }

  /** Asks the worker to hold the machine, or to go on with it. */
  set pausing(pausing: boolean) {
    Atomics.store(this.words, PAUSE, pausing ? ++this.pauses : 0);
    this.ring();
  }

  get pausing(): boolean {
    return this.pauseNumber !== 0;
  }

  /** Which time it is that the machine is to be held, from 1; 0 when it is not. */
  get pauseNumber(): number {
    return Atomics.load(this.words, PAUSE);
  }

  /** Has the worker ask the guest to shut down, which it answers by a message. */
  requestShutdown(): void {
    Atomics.store(this.words, SHUTDOWN, 1);
    this.ring();
  }

  takeShutdownRequest(): boolean {
    return Atomics.exchange(this.words, SHUTDOWN, 0) !== 0;
  }

  // Bits. The methods that set them return true when the other thread is to be told.

  attentionConsole(): boolean {
    return Atomics.or(this.words, ATTENTION, CONSOLE_BIT) === 0;
  }

  attentionDevice(device: number): boolean {
    return Atomics.or(this.words, ATTENTION, 1 << device) === 0;
  }

  takeAttention(): { readonly console: boolean; readonly devices: number } {
    const bits = Atomics.exchange(this.words, ATTENTION, 0);
    return { console: (bits & CONSOLE_BIT) !== 0, devices: bits & ~CONSOLE_BIT };
  }

  interruptDevice(device: number): void {
    Atomics.or(this.words, INTERRUPTS, 1 << device);
    this.ring();
  }

  takeInterrupts(): number {
    return Atomics.exchange(this.words, INTERRUPTS, 0);
  }

  // Waiting for room: the writer says that it waits, and then looks again before it does.

  set inputWaits(waits: boolean) {
    Atomics.store(this.words, INPUT_WAITS, waits ? 1 : 0);
  }

  get inputWaits(): boolean {
    return Atomics.load(this.words, INPUT_WAITS) !== 0;
  }

  set outputWaits(waits: boolean) {
    Atomics.store(this.words, OUTPUT_WAITS, waits ? 1 : 0);
  }

  get outputWaits(): boolean {
    return Atomics.load(this.words, OUTPUT_WAITS) !== 0;
  }

  // The one question that the worker waits for the answer to.

  get answers(): number {
    return Atomics.load(this.words, ANSWERS);
  }

  /** Sleeps until there are more than `answers` answers, which the main thread gives at once. */
  awaitAnswer(answers: number): QueueState {
    Atomics.wait(this.words, ANSWERS, answers);
    const [busy, count, ...positions] = this.words.subarray(QUEUE_STATE);
    return { busy: busy !== 0, positions: positions.slice(0, count) };
  }

  answer(state: QueueState): void {
    const positions = state.positions.slice(0, QUEUES_MAX);
    this.words.set([state.busy ? 1 : 0, positions.length, ...positions], QUEUE_STATE);
    Atomics.add(this.words, ANSWERS, 1);
    Atomics.notify(this.words, ANSWERS);
  }
}
