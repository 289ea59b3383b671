// UDP sockets of the host's on node:dgram, as the gateway of a guest uses them.

import { createSocket, type Socket } from 'node:dgram';
import {
  type DatagramEvents,
  type DatagramListener,
  type DatagramSocket,
  type Endpoint,
  formatIp,
  parseIp,
} from 'vmm';
import { failureOf } from './host-stream.ts';

/** What may be sent before the socket is connected, which takes it a moment. */
const EARLY_DATAGRAMS_MAX = 8;
/** What may wait to be sent; beyond it datagrams are dropped, as a full interface would. */
const QUEUED_BYTES_MAX = 1 << 20;

const typeOf = (endpoint: Endpoint): 'udp4' | 'udp6' =>
  endpoint.address.length === 4 ? 'udp4' : 'udp6';

/** A socket connected to one peer. */
export class ConnectedSocket implements DatagramSocket {
  private readonly socket: Socket;
  private early: Uint8Array[] | undefined = [];
  private closed = false;

  constructor(to: Endpoint, events: DatagramEvents) {
    const socket = createSocket(typeOf(to));
    this.socket = socket;
    socket.on('message', (bytes) => {
      if (!this.closed) events.received(bytes);
    });
    socket.on('error', (error) => {
      if (!this.closed) events.failed(failureOf(error));
    });
    socket.on('connect', () => {
      const early = this.early ?? [];
      this.early = undefined;
      for (const bytes of early) this.transmit(bytes);
    });
    socket.connect(to.port, formatIp(to.address));
  }

  send(bytes: Uint8Array): void {
    if (this.closed) return;
    const copy = bytes.slice();
    if (this.early === undefined) this.transmit(copy);
    else if (this.early.length < EARLY_DATAGRAMS_MAX) this.early.push(copy);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.socket.close();
  }

  private transmit(bytes: Uint8Array): void {
    if (this.closed || this.socket.getSendQueueSize() > QUEUED_BYTES_MAX) return;
    // Errors of sending come as those of the socket.
    this.socket.send(bytes);
  }
}

/** A socket bound to an address; `received` gets the datagrams of anybody. */
export function bindDatagrams(
  at: Endpoint,
  received: (from: Endpoint, bytes: Uint8Array) => void,
): Promise<DatagramListener> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(typeOf(at));
    let closed = false;
    socket.once('error', reject);
    socket.on('message', (bytes, { address, port }) => {
      const from = parseIp(address.split('%')[0]!);
      // Port 0 is nobody's, and could not be answered.
      if (!closed && from !== undefined && port !== 0) received({ address: from, port }, bytes);
    });
    socket.bind({ port: at.port, address: formatIp(at.address), exclusive: true }, () => {
      socket.off('error', reject);
      // A peer that is gone is no reason to stop listening.
      socket.on('error', () => {});
      resolve({
        send: (to, bytes) => {
          if (closed || socket.getSendQueueSize() > QUEUED_BYTES_MAX) return;
          socket.send(bytes.slice(), to.port, formatIp(to.address), () => {});
        },
        close: () => {
          closed = true;
          socket.close();
        },
      });
    });
  });
}
