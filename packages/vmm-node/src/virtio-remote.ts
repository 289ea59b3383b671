// A virtio device in two threads: its registers in the worker, its backend in the main thread, both
// on the same guest memory. RemoteBackend is what the registers talk to; BackendServer is what talks
// to the backend. In between are the bits and messages of thread-link.ts.

import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from 'vmm';
import type { DeviceDescription, DeviceMessage, ThreadLink, VcpuMessage } from './thread-link.ts';

/** The backend of device `device` as the worker has it. */
export class RemoteBackend implements VirtioBackend {
  private readonly device: number;
  private readonly link: ThreadLink;
  private readonly post: (message: VcpuMessage) => void;
  private events: VirtioEvents | undefined;

  constructor(device: number, link: ThreadLink, post: (message: VcpuMessage) => void) {
    this.device = device;
    this.link = link;
    this.post = post;
  }

  connect(events: VirtioEvents): void {
    this.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.post({ kind: 'activate', device: this.device, queues, features });
  }

  /** The backend looks at all its queues, since one that has nothing new is looked at quickly. */
  kick(): void {
    if (this.link.attentionDevice(this.device)) this.post({ kind: 'attention' });
  }

  /** The main thread holds the backend itself, while this thread stands still. */
  hold(): void {}

  reset(): void {
    this.post({ kind: 'reset', device: this.device });
  }

  get busy(): boolean {
    return this.query().busy;
  }

  positions(): number[] {
    return [...this.query().positions];
  }

  /** The backend has buffers for the driver. */
  interrupt(): void {
    this.events?.queueInterrupt();
  }

  /** Takes a message of the {@link BackendServer}. */
  receive(message: DeviceMessage): void {
    switch (message.kind) {
      case 'quiesced':
        this.events?.quiesced();
        return;
      case 'needs-reset':
        this.events?.needsReset(message.reason);
        return;
      case 'config-changed':
        this.events?.configChanged(message.offset, message.bytes);
    }
  }

  private query(): ReturnType<ThreadLink['awaitAnswer']> {
    const { answers } = this.link;
    this.post({ kind: 'query', device: this.device });
    return this.link.awaitAnswer(answers);
  }
}

/** The device that `description` describes, for the worker's machine. */
export function remoteDevice(description: DeviceDescription, backend: RemoteBackend): VirtioDevice {
  return { ...description, backend };
}

/** The backend of device `device` in the main thread. */
export class BackendServer {
  readonly description: DeviceDescription;
  private readonly backend: VirtioBackend;
  private readonly queues: readonly number[];
  private readonly link: ThreadLink;
  /** The next kick is on its way. */
  private isWaiting = false;
  private onQuiesced: () => void = () => {};

  /** `post` sends a message to the worker; the server rings the bell after it. */
  constructor(
    device: number,
    virtio: VirtioDevice,
    link: ThreadLink,
    post: (message: DeviceMessage) => void,
  ) {
    const { name, id, classCode, features, queueSizes, config } = virtio;
    this.description = { name, id, classCode, features, queueSizes, config };
    this.backend = virtio.backend;
    this.queues = [...queueSizes.keys()];
    this.link = link;
    const tell = (message: DeviceMessage): void => {
      post(message);
      link.ring();
    };
    virtio.backend.connect({
      queueInterrupt: () => link.interruptDevice(device),
      configChanged: (offset, bytes) => {
        tell({ kind: 'config-changed', device, offset, bytes });
      },
      needsReset: (reason) => tell({ kind: 'needs-reset', device, reason }),
      quiesced: () => {
        tell({ kind: 'quiesced', device });
        this.onQuiesced();
      },
    });
  }

  /** The driver's first kick may have been here before: what it was for is found now. */
  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.backend.activate(queues, features);
    this.kick();
  }

  /** The driver has made buffers available, in whichever queue. */
  kick(): void {
    let hasMore = false;
    for (const queue of this.queues) {
      this.backend.kick(queue);
      if (this.backend.hasMore === true) hasMore = true;
    }
    if (!hasMore || this.isWaiting) return;
    this.isWaiting = true;
    setImmediate(() => {
      this.isWaiting = false;
      this.kick();
    });
  }

  reset(): void {
    this.backend.reset();
  }

  /** Begins nothing new; see VirtioBackend of vmm. */
  hold(held: boolean): void {
    this.backend.hold(held);
  }

  get busy(): boolean {
    return this.backend.busy;
  }

  query(): void {
    this.link.answer({ busy: this.backend.busy, positions: this.backend.positions() });
  }

  /** Stops the backend; resolves when it has nothing in flight. */
  quiesce(): Promise<void> {
    return new Promise((resolve) => {
      this.onQuiesced = resolve;
      this.backend.reset();
    });
  }
}
