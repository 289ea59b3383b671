// A host's network for tests: everything connects, what is written comes back, and nothing happens
// before the test says so.

import type { VirtualClock } from '../base/clock.ts';
import type { Endpoint } from './address.ts';
import type {
  DatagramEvents,
  DatagramListener,
  DatagramSocket,
  HostNetwork,
  HostStream,
  StreamEvents,
} from './host-network.ts';
import type { FrameReceiver, Unfinished } from './link.ts';
import type { Alarm } from './timers.ts';

/** A network that echoes. */
export class EchoHost implements HostNetwork {
  /** What is to happen next. */
  private readonly events: (() => void)[] = [];
  streams = 0;
  sockets = 0;
  mostStreams = 0;
  mostSockets = 0;
  readonly destinations: Endpoint[] = [];

  /** Lets happen what is due. */
  run(): void {
    for (const event of this.events.splice(0)) event();
  }

  connectTcp(to: Endpoint, events: StreamEvents): HostStream {
    this.destinations.push(to);
    this.mostStreams = Math.max(this.mostStreams, ++this.streams);
    let isOpen = true;
    const soon = (event: () => void): void => {
      this.events.push(() => {
        if (isOpen) event();
      });
    };
    const close = (): void => {
      soon(() => {
        isOpen = false;
        this.streams--;
        events.closed();
      });
    };
    soon(() => events.connected());
    return {
      write: (bytes) => {
        soon(() => events.written(bytes.length));
        soon(() => events.received(bytes));
      },
      end: () => {
        soon(() => events.ended());
        close();
      },
      abort: close,
      pause: () => {},
      resume: () => {},
    };
  }

  listenTcp(): Promise<{ close(): void }> {
    return Promise.resolve({ close: () => {} });
  }

  openUdp(to: Endpoint, events: DatagramEvents): DatagramSocket {
    this.destinations.push(to);
    this.mostSockets = Math.max(this.mostSockets, ++this.sockets);
    let isOpen = true;
    return {
      send: (bytes) => {
        const copy = bytes.slice();
        // As an answer of DNS, should it be a question.
        if (copy.length > 2) copy[2] |= 0x80;
        this.events.push(() => {
          if (isOpen) events.received(copy);
        });
      },
      close: () => {
        if (isOpen) this.sockets--;
        isOpen = false;
      },
    };
  }

  listenUdp(): Promise<DatagramListener> {
    return Promise.resolve({ send: () => {}, close: () => {} });
  }

  ping(): Promise<boolean> {
    return Promise.resolve(true);
  }

  nameservers(): readonly Endpoint[] {
    return [{ address: new Uint8Array([192, 0, 2, 53]), port: 53 }];
  }
}

/** An alarm that goes off when the clock is moved past its time. */
export class TestAlarm implements Alarm {
  private readonly clock: VirtualClock;
  private deadlineNs = Infinity;
  private callback: () => void = () => {};

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  set(deadlineNs: number, callback: () => void): void {
    this.deadlineNs = deadlineNs;
    this.callback = callback;
  }

  clear(): void {
    this.deadlineNs = Infinity;
  }

  /** Moves the clock. */
  advance(ns: number): void {
    this.clock.advance(ns);
    if (this.clock.now() < this.deadlineNs) return;
    this.deadlineNs = Infinity;
    this.callback();
  }
}

/** A card that keeps what it is given. */
export class TestCard implements FrameReceiver {
  readonly frames: Uint8Array[] = [];
  /** What each lacks. */
  readonly unfinished: (Unfinished | undefined)[] = [];
  full = false;
  large = false;

  get takesUnfinished(): boolean {
    return this.large;
  }

  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    this.frames.push(frame.slice());
    this.unfinished.push(unfinished && { ...unfinished });
  }

  takesLargeFrames(): boolean {
    return this.large;
  }
}
