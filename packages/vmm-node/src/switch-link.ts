// A switch of several machines: each is a process of its own, with a switch of its own, and between
// any two there is a stream socket. A frame goes from one process to the other directly, and who
// ends takes nothing but its own links along.
//
// A link has two buffers, one that is filled and one that is on its way. When the other end does
// not read, they fill, and frames are dropped as a network drops them; no memory grows.

import type { Socket } from 'node:net';
import {
  FrameStream,
  type PortReceiver,
  STREAM_FRAME_BYTES_MAX,
  Switch,
  type SwitchPort,
  streamBytesOf,
  type Unfinished,
  writeStreamFrame,
} from 'vmm';
import { HostClock } from './host-capabilities.ts';
import type { RunUplink } from './run-options.ts';
import { TapEnd } from './tap/tap-end.ts';

/** A buffer begins with so much, enough for a batch of small frames. */
const BUFFER_BYTES = 64 * 1024;
/** And has so much at most: some milliseconds of what two guests can move. */
const BUFFER_BYTES_MAX = 1024 * 1024;

/** The end of a link to another machine: what is plugged into a port of this one's switch. */
class SwitchLink implements PortReceiver {
  readonly takesUnfinished = true;
  private readonly socket: Socket;
  private readonly port: SwitchPort;
  private readonly stream: FrameStream;
  private filling = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  private filled = 0;
  private spare = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  private isWriting = false;
  private isHeld = false;
  private readonly onWritten = (): void => {
    this.isWriting = false;
    this.flush();
  };

  constructor(socket: Socket, port: SwitchPort, closed: () => void) {
    this.socket = socket;
    this.port = port;
    this.stream = new FrameStream((frame, unfinished) => port.send(frame, unfinished));
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    socket.on('error', () => {});
    socket.on('close', closed);
    socket.resume();
  }

  get full(): boolean {
    return this.filled + STREAM_FRAME_BYTES_MAX > BUFFER_BYTES_MAX;
  }

  takesLargeFrames(): boolean {
    return true;
  }

  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    const end = this.filled + streamBytesOf(frame);
    if (end > BUFFER_BYTES_MAX || this.socket.destroyed) return;
    if (end > this.filling.length) this.grow(end);
    this.filled = writeStreamFrame(this.filling, this.filled, frame, unfinished);
  }

  flush(): void {
    if (this.filled === 0 || this.isWriting || this.socket.destroyed) return;
    const { filling, filled } = this;
    this.filling = this.spare;
    this.spare = filling;
    this.filled = 0;
    this.isWriting = true;
    this.socket.write(filling.subarray(0, filled), this.onWritten);
  }

  resume(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.socket.resume();
  }

  close(): void {
    this.socket.destroy();
  }

  private take(bytes: Buffer): void {
    if (!this.stream.take(bytes)) {
      // It is not a switch any more.
      this.socket.destroy();
      return;
    }
    if (!this.port.isWayFull) return;
    this.isHeld = true;
    this.socket.pause();
  }

  private grow(bytes: number): void {
    let size = this.filling.length;
    while (size < bytes) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    larger.set(this.filling.subarray(0, this.filled));
    this.filling = larger;
  }
}

/** The place of a network interface in a switch. */
export class SwitchMember implements RunUplink {
  /** What its card is plugged into. */
  readonly backend: SwitchPort;
  private readonly bridge = new Switch({ clock: new HostClock() });
  private readonly links = new Set<SwitchLink>();
  private tap: TapEnd | undefined;

  /** With `lockedMac`, what its guest sends from other addresses is dropped. */
  constructor(lockedMac: Uint8Array | undefined) {
    this.backend = this.bridge.connect({ lockedMac });
  }

  /**
   * Adds a link to another member by a socket, which is the link's from now on. With `lockedMac`,
   * what comes from other addresses is dropped, for the other process may be in the wrong hands.
   */
  add(socket: Socket, lockedMac: Uint8Array | undefined): void {
    const port = this.bridge.connect({ lockedMac, isIsolated: true });
    const link = new SwitchLink(socket, port, () => {
      this.bridge.disconnect(port);
      this.links.delete(link);
    });
    port.attach(link);
    this.links.add(link);
  }

  /** Adds the host, by a tap that is open: the host sees the guest and all others of the switch. */
  addTap(fd: number): void {
    const port = this.bridge.connect();
    this.tap = new TapEnd(fd, port);
    port.attach(this.tap);
  }

  /** How many others there are. */
  get size(): number {
    return this.links.size;
  }

  close(): void {
    for (const link of this.links) link.close();
    this.tap?.close();
  }
}
