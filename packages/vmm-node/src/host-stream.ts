// A TCP connection of the host's on Node's sockets, as the gateway of a guest uses it.

import type { Socket } from 'node:net';
import type { HostStream, NetworkFailure, StreamEvents } from 'vmm';

const REASONS: Readonly<Record<string, NetworkFailure>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EAFNOSUPPORT: 'unreachable',
};

/** What an error of a socket means to the network. */
export function failureOf(error: unknown): NetworkFailure {
  return REASONS[(error as NodeJS.ErrnoException).code ?? ''] ?? 'error';
}

/** Wraps a socket that allows half-open connections. */
export class SocketStream implements HostStream {
  private readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    // What the guest sends in one go was one write of its program's.
    socket.setNoDelay(true);
    // A socket without one that fails would end the process.
    socket.on('error', () => {});
  }

  /** Reports to `events` from now on. */
  listen(events: StreamEvents): void {
    const { socket } = this;
    socket.on('connect', () => events.connected());
    socket.on('data', (bytes: Uint8Array) => events.received(bytes));
    socket.on('end', () => events.ended());
    socket.on('error', (error) => events.failed(failureOf(error)));
    socket.on('close', () => events.closed());
    this.events = events;
  }

  private events: StreamEvents | undefined;

  write(bytes: Uint8Array): void {
    if (this.socket.destroyed || this.socket.writableEnded) return;
    this.socket.write(bytes, () => this.events?.written(bytes.length));
  }

  end(): void {
    this.socket.end();
  }

  abort(): void {
    // While it connects there is nothing to reset.
    if (this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }
}
