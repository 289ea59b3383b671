// The network of the host, as the gateway needs it: what a program without privileges can have.
// Implementations are elsewhere (Node's is packages/vmm-node/src/host-network.ts). Events come
// later than the call that causes them, never out of it.

import type { Endpoint, IpAddress } from './address.ts';

/** Why the host's network does not do what it should. */
export type NetworkFailure = 'refused' | 'reset' | 'unreachable' | 'timeout' | 'error';

/** What becomes of a TCP connection of the host's. */
export interface StreamEvents {
  /** It is established; not called for a connection that was accepted. */
  connected(): void;
  /** Bytes came, which are the callee's to keep. */
  received(bytes: Uint8Array): void;
  /** The host has taken `count` of the bytes written. */
  written(count: number): void;
  /** The peer sends no more. */
  ended(): void;
  /** It did not come about, or broke; {@link closed} follows. */
  failed(reason: NetworkFailure): void;
  /** Nothing more will happen. Called once, however it ended. */
  closed(): void;
}

/** A TCP connection of the host's. */
export interface HostStream {
  /** Sends bytes, which are the stream's to keep, and reports them as written one day. */
  write(bytes: Uint8Array): void;
  /** Sends a FIN after what was written. */
  end(): void;
  /** Ends it at once; the peer gets a RST where that is possible. */
  abort(): void;
  /** Has no more bytes delivered, so that the peer will have to wait. */
  pause(): void;
  resume(): void;
}

/** What becomes of a UDP socket that is connected to one peer. */
export interface DatagramEvents {
  /** A datagram came; `bytes` are valid during the call. */
  received(bytes: Uint8Array): void;
  /** The peer's host refuses, or the socket broke. */
  failed(reason: NetworkFailure): void;
}

/** A UDP socket. */
export interface DatagramSocket {
  /** Sends a datagram, copying it; dropped when that is not possible. */
  send(bytes: Uint8Array): void;
  close(): void;
}

/** A UDP socket that anybody may send to. */
export interface DatagramListener {
  send(to: Endpoint, bytes: Uint8Array): void;
  close(): void;
}

/** What can be had of the host's network. */
export interface HostNetwork {
  connectTcp(to: Endpoint, events: StreamEvents): HostStream;
  /**
   * Listens, and has `accept` make the events of each connection, or undefined to turn it away. The
   * stream is paused at first. Rejects with VmmError when the address cannot be had.
   */
  listenTcp(
    at: Endpoint,
    accept: (stream: HostStream) => StreamEvents | undefined,
  ): Promise<{ close(): void }>;
  openUdp(to: Endpoint, events: DatagramEvents): DatagramSocket;
  /** Rejects with VmmError when the address cannot be had; `bytes` are valid during the call. */
  listenUdp(
    at: Endpoint,
    received: (from: Endpoint, bytes: Uint8Array) => void,
  ): Promise<DatagramListener>;
  /** Sends an ICMP echo with so many bytes; true when it was answered. */
  ping(address: IpAddress, payloadBytes: number): Promise<boolean>;
  /** The host's resolvers, in order of preference; may change. */
  nameservers(): readonly Endpoint[];
}
