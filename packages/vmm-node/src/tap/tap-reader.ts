// The thread that waits for a tap's frames: Node's event loop cannot wait for a character device.
// It reads what there is into a buffer, each frame after its length, and passes the buffer on. So
// many may be on their way; when they are not taken, the kernel keeps frames, and then drops them.

import { type MessagePort, workerData } from 'node:worker_threads';
import { loadKoffi } from '../koffi.ts';

/** What the thread is started with. */
export interface TapReaderData {
  readonly fd: number;
  /** A descriptor that becomes readable when the thread is to end. */
  readonly stop: number;
  readonly port: MessagePort;
  /** One 32-bit word, how many buffers are on their way; who takes one counts down and notifies. */
  readonly underWay: SharedArrayBuffer;
}

/** The largest frame with its header, and a length before it. */
const MESSAGE_BYTES_MAX = 4 + 12 + 14 + 4 + 0xffff;
const BUFFER_BYTES = 4 * MESSAGE_BYTES_MAX;
const BUFFERS_MAX = 4;

/** struct pollfd: descriptor, events asked for, events found. */
const POLLFD_BYTES = 8;
const POLLIN = 1;

function main({ fd, stop, port, underWay }: TapReaderData): void {
  const library = loadKoffi('A tap').load(null);
  const poll = library.func('poll', 'int', ['void *', 'ulong', 'int']);
  const read = library.func('read', 'int64', ['int', 'void *', 'ulong']);
  const waited = new Uint8Array(2 * POLLFD_BYTES);
  const view = new DataView(waited.buffer);
  for (const [index, one] of [fd, stop].entries()) {
    view.setInt32(index * POLLFD_BYTES, one, true);
    view.setInt16(index * POLLFD_BYTES + 4, POLLIN, true);
  }
  const words = new Int32Array(underWay);
  const scratch = new Uint8Array(MESSAGE_BYTES_MAX);
  for (;;) {
    poll(waited, 2, -1);
    if (view.getInt16(POLLFD_BYTES + 6, true) !== 0) return;
    const buffer = new Uint8Array(BUFFER_BYTES);
    const lengths = new DataView(buffer.buffer);
    let used = 0;
    while (used + MESSAGE_BYTES_MAX <= BUFFER_BYTES) {
      const count = Number(read(fd, scratch, scratch.length));
      if (count <= 0) break;
      lengths.setUint32(used, count);
      buffer.set(scratch.subarray(0, count), used + 4);
      used += 4 + count;
    }
    if (used === 0) continue;
    Atomics.add(words, 0, 1);
    port.postMessage(buffer.subarray(0, used), [buffer.buffer]);
    for (;;) {
      const count = Atomics.load(words, 0);
      if (count < BUFFERS_MAX) break;
      Atomics.wait(words, 0, count);
    }
  }
}

main(workerData as TapReaderData);
