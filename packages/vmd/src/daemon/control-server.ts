// The listening sockets of vmd(8), and what comes in by them until it is a request. A client may be
// anybody's program: what it sends is limited in size and in time, and checked before it is used.

import { chmodSync, chownSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { VmmError } from 'vmm/errors';
import { FrameReader, messageFrame, parseMessage, REQUEST_BYTES_MAX } from '../control/frame.ts';
import { errorReply, openEnvelope, type Reply, type Request } from '../control/protocol.ts';

const CONNECTIONS_MAX = 256;
/** A whole request has to be there by then. */
const REQUEST_MS_MAX = 10_000;

/** Who made a connection. */
export interface Peer {
  readonly uid: number;
  /** All rights: root at the system's vmd, and the user of any other. */
  readonly isAdmin: boolean;
}

/** A connection whose request has come. */
export interface Connection {
  readonly peer: Peer;
  /** Sends an answer; after the last one, {@link close}. */
  reply(reply: Reply): void;
  close(): void;
  /** Gives the socket away, which nothing is read from; the connection is done. */
  release(): Socket;
}

/** Answers a request. What it throws is answered. */
export type RequestHandler = (request: Request, connection: Connection) => Promise<void>;

/** The connection will be another process's, unless the request is refused. */
function isGivenAway(request: Request): boolean {
  const { command } = request;
  if (command === 'start') return request.console;
  return command === 'console' || command === 'send' || command === 'receive';
}

/** The sockets of one vmd. */
export class ControlServer {
  private readonly servers = new Map<string, Server>();
  private readonly connections = new Set<Socket>();
  private readonly handle: RequestHandler;
  private readonly defect: (error: unknown) => void;

  /** `defect` is told of errors that are no refusals. */
  constructor(handle: RequestHandler, defect: (error: unknown) => void) {
    this.handle = handle;
    this.defect = defect;
  }

  /** The paths that it listens at. */
  get paths(): readonly string[] {
    return [...this.servers.keys()];
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  /**
   * Listens at `path`, where nobody else does, for connections of `peer`; only the user `ownerUid`
   * can make them. Rejects with the error of bind(2).
   */
  listen(path: string, peer: Peer, ownerUid: number | undefined): Promise<void> {
    const server = createServer((socket) => this.accept(socket, peer));
    this.servers.set(path, server);
    rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.on('listening', () => resolve());
      // The socket is never open to others, not even for a moment: bind(2) is called in here.
      const mask = process.umask(0o177);
      server.listen(path);
      process.umask(mask);
      chmodSync(path, 0o600);
      if (ownerUid !== undefined) chownSync(path, ownerUid, -1);
    });
  }

  /** Stops to listen at `path`. */
  close(path: string): void {
    this.servers.get(path)?.close();
    this.servers.delete(path);
    rmSync(path, { force: true });
  }

  /** Ends all connections, and stops to listen. */
  closeAll(): void {
    for (const path of this.paths) this.close(path);
    for (const socket of this.connections) socket.destroy();
  }

  private accept(socket: Socket, peer: Peer): void {
    socket.on('error', () => socket.destroy());
    if (this.connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    this.connections.add(socket);
    socket.on('close', () => this.connections.delete(socket));
    const reader = new FrameReader(REQUEST_BYTES_MAX);
    const timer = setTimeout(() => socket.destroy(), REQUEST_MS_MAX);
    socket.on('close', () => clearTimeout(timer));
    const onData = (chunk: Uint8Array): void => {
      try {
        const [frame, ...more] = reader.push(chunk);
        if (frame === undefined) return;
        clearTimeout(timer);
        socket.off('data', onData);
        socket.pause();
        if (frame.kind !== 'message' || more.length > 0 || reader.pendingBytes > 0) {
          throw new VmmError('EINVAL', 'a connection begins with one request');
        }
        const request = openEnvelope(parseMessage(frame.payload));
        void this.serve(request, socket, peer);
      } catch (error) {
        socket.off('data', onData);
        this.refuse(error, socket);
      }
    };
    socket.on('data', onData);
  }

  private async serve(request: Request, socket: Socket, peer: Peer): Promise<void> {
    let released = false;
    const connection: Connection = {
      peer,
      reply: (reply) => {
        if (!socket.destroyed) socket.write(messageFrame(reply));
      },
      close: () => socket.end(),
      release: () => {
        released = true;
        this.connections.delete(socket);
        socket.removeAllListeners();
        socket.on('error', () => socket.destroy());
        return socket;
      },
    };
    // That the client has gone is seen only by reading; what is given away somebody else reads.
    if (!isGivenAway(request)) {
      socket.on('data', () => socket.destroy());
      socket.on('end', () => socket.destroy());
      socket.resume();
    }
    try {
      await this.handle(request, connection);
    } catch (error) {
      if (!released) this.refuse(error, socket);
    }
  }

  private refuse(error: unknown, socket: Socket): void {
    if (!(error instanceof VmmError)) this.defect(error);
    if (!socket.destroyed) socket.end(messageFrame(errorReply(error)));
    // What else it sends is not kept.
    socket.resume();
  }
}
