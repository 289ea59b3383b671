// TCP segments to the guest: what a connection's endpoint sends through.

import { type IpOutput, PAYLOAD_AT, type Path } from './ip-output.ts';
import { PROTOCOL_TCP } from './ip-packet.ts';
import type { ByteQueue } from './tcp/byte-queue.ts';
import type { TcpWire } from './tcp/endpoint.ts';
import {
  sealPartly,
  sealTcp,
  TCP_BYTES,
  type TcpHeader,
  tcpHeaderBytes,
  writeTcp,
} from './tcp/segment.ts';

/** A path, and the ports at its ends. */
export interface TcpPath extends Path {
  readonly guestPort: number;
  readonly peerPort: number;
}

/** Sends the segments of one path. */
export class GuestWire implements TcpWire {
  /** The largest payload of a segment that goes over the link as it is. */
  readonly mss: number;
  private readonly output: IpOutput;
  private readonly path: TcpPath;
  private readonly onFull: () => void;
  private segmentBytes: number;

  /** `onFull` is called when something is not sent because the card is full. */
  constructor(output: IpOutput, path: TcpPath, onFull: () => void) {
    this.output = output;
    this.path = path;
    this.onFull = onFull;
    this.mss = output.payloadBytesMax(path.version) - TCP_BYTES;
    this.segmentBytes = this.mss;
  }

  transmit(header: TcpHeader, queue: ByteQueue, offset: number, count: number): void {
    const { output, path } = this;
    const { buffer } = output;
    const headerBytes = tcpHeaderBytes(header);
    const length = headerBytes + count;
    const pseudoSum = path.sum + PROTOCOL_TCP;
    if (count > 0) queue.copy(offset, count, buffer, PAYLOAD_AT + headerBytes);
    writeTcp(buffer, PAYLOAD_AT, path.peerPort, path.guestPort, header);
    const unfinished = count > 0 && output.takesLargeFrames(path.version);
    if (unfinished) sealPartly(buffer, PAYLOAD_AT, length, pseudoSum);
    else sealTcp(buffer, PAYLOAD_AT, length, pseudoSum);
    output.send(path, PROTOCOL_TCP, length, unfinished ? this.segmentBytes : 0);
  }

  largest(mss: number): number {
    const { output, path } = this;
    this.segmentBytes = mss;
    if (!output.takesLargeFrames(path.version)) return mss;
    const most = output.datagramBytesMax(path.version) - TCP_BYTES;
    return most - (most % mss);
  }

  get full(): boolean {
    const { full } = this.output;
    if (full) this.onFull();
    return full;
  }
}
