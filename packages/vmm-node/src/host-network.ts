// The host's network on Node: TCP by node:net, UDP by node:dgram, echo by the program ping(8),
// since a socket of ICMP cannot be had without native code.

import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import {
  type Alarm,
  type Clock,
  type DatagramEvents,
  type DatagramListener,
  type DatagramSocket,
  type Endpoint,
  formatIp,
  type HostNetwork,
  type HostStream,
  type IpAddress,
  type StreamEvents,
  VmmError,
} from 'vmm';
import { bindDatagrams, ConnectedSocket } from './host-datagrams.ts';
import { SocketStream } from './host-stream.ts';
import { ResolvConf } from './resolv-conf.ts';

/** A guest's ping has given up by then, or asks again. */
const PING_SECONDS = 5;
/** What ping(8) takes without privileges. */
const PING_BYTES_MAX = 65000;
/**
 * How long a connection may take; the kernel would try for two minutes, and few guests wait so
 * long.
 */
const CONNECT_MS_MAX = 75_000;

/** The network of the machine that this runs on. */
export class NodeNetwork implements HostNetwork {
  private readonly resolvConf: ResolvConf;

  /** `resolvConf` is the path of the file that names the resolvers. */
  constructor(resolvConf?: string) {
    this.resolvConf = new ResolvConf(resolvConf);
  }

  connectTcp(to: Endpoint, events: StreamEvents): HostStream {
    const socket = connect({ host: formatIp(to.address), port: to.port, allowHalfOpen: true });
    const stream = new SocketStream(socket);
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' }));
    }, CONNECT_MS_MAX);
    socket.once('connect', () => clearTimeout(timer));
    socket.once('close', () => clearTimeout(timer));
    stream.listen(events);
    return stream;
  }

  listenTcp(
    at: Endpoint,
    accept: (stream: HostStream) => StreamEvents | undefined,
  ): Promise<{ close(): void }> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        const stream = new SocketStream(socket);
        const events = accept(stream);
        if (events === undefined) stream.abort();
        else stream.listen(events);
      });
      server.once('error', (error) => reject(cannotListen('TCP', at, error)));
      server.listen({ host: formatIp(at.address), port: at.port }, () => resolve(server));
    });
  }

  openUdp(to: Endpoint, events: DatagramEvents): DatagramSocket {
    return new ConnectedSocket(to, events);
  }

  async listenUdp(
    at: Endpoint,
    received: (from: Endpoint, bytes: Uint8Array) => void,
  ): Promise<DatagramListener> {
    try {
      return await bindDatagrams(at, received);
    } catch (error) {
      throw cannotListen('UDP', at, error);
    }
  }

  ping(address: IpAddress, payloadBytes: number): Promise<boolean> {
    const size = Math.min(payloadBytes, PING_BYTES_MAX);
    const family = address.length === 4 ? '-4' : '-6';
    const words = [family, '-n', '-q', '-c', '1', '-w', `${PING_SECONDS}`, '-s', `${size}`];
    return new Promise<boolean>((resolve) => {
      const child = spawn('ping', [...words, formatIp(address)], { stdio: 'ignore' });
      child.once('error', () => resolve(false));
      child.once('exit', (status) => resolve(status === 0));
      // Some failures to start are thrown instead of told.
    }).catch(() => false);
  }

  nameservers(): readonly Endpoint[] {
    return this.resolvConf.nameservers();
  }
}

function cannotListen(protocol: string, at: Endpoint, cause: unknown): VmmError {
  const { code = '', message = String(cause) } = cause as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, readonly ['EBUSY' | 'EACCES' | 'EINVAL', string]>> = {
    EADDRINUSE: ['EBUSY', 'it is in use'],
    EACCES: ['EACCES', 'permission denied'],
    EADDRNOTAVAIL: ['EINVAL', 'the host has no such address'],
  };
  const [errno, text] = reasons[code] ?? (['EINVAL', message] as const);
  const address = at.address.length === 4 ? formatIp(at.address) : `[${formatIp(at.address)}]`;
  return new VmmError(errno, `Cannot listen on ${protocol} ${address}:${at.port}: ${text}.`, {
    cause,
  });
}

/** One timer of the host's on a clock of nanoseconds. */
export class HostAlarm implements Alarm {
  private readonly clock: Clock;
  private timer: NodeJS.Timeout | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  set(deadlineNs: number, callback: () => void): void {
    clearTimeout(this.timer);
    const delayMs = Math.max(0, Math.ceil((deadlineNs - this.clock.now()) / 1e6));
    this.timer = setTimeout(callback, delayMs);
    // What waits for a deadline is a guest's, and does not keep the process.
    this.timer.unref();
  }

  clear(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
