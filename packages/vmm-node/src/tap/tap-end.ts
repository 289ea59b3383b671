// A tap as what is plugged into a port of a switch: frames that come out of the port are the host's
// to receive, and what the host sends goes in.

import { closeSync, writeSync } from 'node:fs';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { HeaderWork, type PortReceiver, type SwitchPort, type Unfinished, writeHeader } from 'vmm';
import { loadKoffi } from '../koffi.ts';
import { TAP_HEADER_BYTES } from './tap-device.ts';
import type { TapReaderData } from './tap-reader.ts';

const FRAME_BYTES_MAX = 14 + 4 + 0xffff;
/** What eventfd(2) takes: a number of 64 bits. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** The end of an open tap. */
export class TapEnd implements PortReceiver {
  readonly full = false;
  readonly takesUnfinished = true;
  private readonly fd: number;
  private readonly port: SwitchPort;
  private readonly work = new HeaderWork();
  private readonly message = new Uint8Array(TAP_HEADER_BYTES + FRAME_BYTES_MAX);
  private readonly underWay = new Int32Array(new SharedArrayBuffer(4));
  private readonly stop: number;
  private readonly frames: MessagePort;
  private isHeld = false;

  /** `fd` is the tap's, and closed with this. */
  constructor(fd: number, port: SwitchPort) {
    this.fd = fd;
    this.port = port;
    const eventfd = loadKoffi('A tap').load(null).func('eventfd', 'int', ['uint', 'int']);
    this.stop = eventfd(0, 0);
    const { port1, port2 } = new MessageChannel();
    this.frames = port1;
    const data: TapReaderData = {
      fd,
      stop: this.stop,
      port: port2,
      underWay: this.underWay.buffer as SharedArrayBuffer,
    };
    const worker = new Worker(new URL('./tap-reader.js', import.meta.url), {
      workerData: data,
      transferList: [port2],
    });
    port1.on('message', (bytes: Uint8Array) => this.take(bytes));
    port1.unref();
    worker.unref();
    worker.once('exit', () => {
      closeSync(fd);
      closeSync(this.stop);
    });
  }

  takesLargeFrames(): boolean {
    return true;
  }

  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    const { message } = this;
    const end = TAP_HEADER_BYTES + frame.length;
    message.set(frame, TAP_HEADER_BYTES);
    writeHeader(message, TAP_HEADER_BYTES, frame.length, unfinished, false);
    try {
      writeSync(this.fd, message, 0, end);
    } catch {
      // The interface is down, or the host's queue is full: a frame is lost.
    }
  }

  resume(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.taken();
  }

  close(): void {
    this.frames.close();
    writeSync(this.stop, ONE);
    Atomics.store(this.underWay, 0, 0);
    Atomics.notify(this.underWay, 0);
  }

  private take(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length; ) {
      const end = at + 4 + view.getUint32(at);
      const message = bytes.subarray(at + 4, end);
      this.port.send(message.subarray(TAP_HEADER_BYTES), this.work.read(message));
      at = end;
    }
    this.port.flush();
    // The buffer counts as under way until there is room for the next one.
    if (this.port.isWayFull) this.isHeld = true;
    else this.taken();
  }

  private taken(): void {
    Atomics.sub(this.underWay, 0, 1);
    Atomics.notify(this.underWay, 0);
  }
}
