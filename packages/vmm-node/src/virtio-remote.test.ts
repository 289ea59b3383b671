// Both halves of a remote device in one thread: messages are kept in lists and carried by hand, so
// that every order of events can be tried.

import { expect, test } from 'vitest';
import type { QueueConfig, VirtioBackend, VirtioDevice, VirtioEvents } from 'vmm';
import {
  createLinkMemory,
  type DeviceMessage,
  ThreadLink,
  type VcpuMessage,
} from './thread-link.ts';
import { BackendServer, RemoteBackend, remoteDevice } from './virtio-remote.ts';

const MEMORY_BYTES = 1 << 20;
const DEVICE = 3;
const QUEUE: QueueConfig = {
  index: 0,
  size: 8,
  descriptors: 0x1000,
  available: 0x2000,
  used: 0x3000,
  nextAvailable: 0,
};

/** A backend that writes down what it is told. */
class LoggedBackend implements VirtioBackend {
  readonly log: string[] = [];
  events: VirtioEvents | undefined;
  busy = false;

  connect(events: VirtioEvents): void {
    this.events = events;
  }

  activate(queues: readonly QueueConfig[], features: bigint): void {
    this.log.push(`activate ${queues.length} queues with ${features}`);
  }

  hold(held: boolean): void {
    this.log.push(held ? 'hold' : 'go on');
  }

  kick(queue: number): void {
    this.log.push(`kick ${queue}`);
  }

  reset(): void {
    this.log.push('reset');
    if (!this.busy) this.events?.quiesced();
  }

  positions(): number[] {
    return [11, 22];
  }
}

function build() {
  const buffer = createLinkMemory(MEMORY_BYTES);
  const link = new ThreadLink(buffer, MEMORY_BYTES);
  const toMain: VcpuMessage[] = [];
  const toWorker: DeviceMessage[] = [];
  const backend = new LoggedBackend();
  const device: VirtioDevice = {
    name: 'test',
    id: 2,
    classCode: 0x010000,
    features: 1n << 9n,
    queueSizes: [8, 8],
    config: new Uint8Array([1, 2, 3]),
    backend,
  };
  const server = new BackendServer(DEVICE, device, link, (message) => toWorker.push(message));
  const remote = new RemoteBackend(DEVICE, new ThreadLink(buffer, MEMORY_BYTES), (message) => {
    toMain.push(message);
    if (message.kind === 'query') server.query();
  });
  const heard: string[] = [];
  remote.connect({
    queueInterrupt: () => heard.push('interrupt'),
    configChanged: (offset, bytes) => heard.push(`config ${offset}: ${bytes}`),
    needsReset: (reason) => heard.push(`needs reset: ${reason}`),
    quiesced: () => heard.push('quiesced'),
  });
  const carry = (): void => {
    for (const message of toWorker.splice(0)) remote.receive(message);
  };
  return { link, backend, device, server, remote, toMain, heard, carry };
}

test('remoteDevice() shows the driver the same device', () => {
  const { server, remote, device } = build();
  expect(remoteDevice(structuredClone(server.description), remote)).toEqual({
    ...device,
    backend: remote,
  });
});

test('activation and reset are messages, a kick is a bit', () => {
  const { remote, toMain, link } = build();
  remote.activate([QUEUE], 5n);
  remote.reset();
  expect(toMain).toEqual([
    { kind: 'activate', device: DEVICE, queues: [QUEUE], features: 5n },
    { kind: 'reset', device: DEVICE },
  ]);
  remote.kick();
  remote.kick();
  expect(toMain.slice(2)).toEqual([{ kind: 'attention' }]);
  expect(link.takeAttention()).toEqual({ console: false, devices: 1 << DEVICE });
  expect(link.takeAttention()).toEqual({ console: false, devices: 0 });
});

test('a kick has the backend look at all its queues', () => {
  const { server, backend } = build();
  server.kick();
  expect(backend.log).toEqual(['kick 0', 'kick 1']);
});

test('a kick that overtakes the activation is not lost', () => {
  const { server, backend } = build();
  server.kick();
  backend.log.length = 0;
  server.activate([QUEUE], 5n);
  expect(backend.log).toEqual(['activate 1 queues with 5', 'kick 0', 'kick 1']);
});

test('what the backend tells rings the bell and reaches the registers', () => {
  const { backend, link, heard, carry } = build();
  const before = link.rings;
  backend.events?.configChanged(6, new Uint8Array([1, 0]));
  backend.events?.needsReset('queue 0: a chain of descriptors loops');
  backend.events?.quiesced();
  expect(link.rings - before).toBe(3);
  carry();
  expect(heard).toEqual([
    'config 6: 1,0',
    'needs reset: queue 0: a chain of descriptors loops',
    'quiesced',
  ]);
});

test('an interrupt is a bit, and rings the bell', () => {
  const { backend, link } = build();
  const before = link.rings;
  backend.events?.queueInterrupt();
  expect(link.rings).toBe(before + 1);
  expect(link.takeInterrupts()).toBe(1 << DEVICE);
  expect(link.takeInterrupts()).toBe(0);
});

test('busy and positions() are the backend’s', () => {
  const { remote, backend } = build();
  expect(remote.busy).toBe(false);
  backend.busy = true;
  expect(remote.busy).toBe(true);
  expect(remote.positions()).toEqual([11, 22]);
});

test('quiesce() waits for requests in flight', async () => {
  const { server, backend } = build();
  backend.busy = true;
  let isQuiet = false;
  const quiet = server.quiesce().then(() => {
    isQuiet = true;
  });
  await Promise.resolve();
  expect(isQuiet).toBe(false);
  backend.events?.quiesced();
  await quiet;
  expect(backend.log).toEqual(['reset']);
});
