// The header before each frame of a virtio network device: virtio 1.2, section 5.1.6. It tells what
// work on the frame was left to the other side: finishing a checksum, cutting a large TCP segment.

import type { Unfinished } from '../net-backend.ts';
import { VIRTIO_F_VERSION_1 } from './virtio-backend.ts';

/** Feature bits, section 5.1.3. */
export const VIRTIO_NET_F_CSUM: bigint = 1n << 0n;
export const VIRTIO_NET_F_GUEST_CSUM: bigint = 1n << 1n;
export const VIRTIO_NET_F_MAC: bigint = 1n << 5n;
export const VIRTIO_NET_F_GUEST_TSO4: bigint = 1n << 7n;
export const VIRTIO_NET_F_GUEST_TSO6: bigint = 1n << 8n;
export const VIRTIO_NET_F_HOST_TSO4: bigint = 1n << 11n;
export const VIRTIO_NET_F_HOST_TSO6: bigint = 1n << 12n;
export const VIRTIO_NET_F_MRG_RXBUF: bigint = 1n << 15n;
export const VIRTIO_NET_F_STATUS: bigint = 1n << 16n;

/** What a device offers whose network takes and gives unfinished frames. */
export const OFFLOADS: bigint =
  VIRTIO_NET_F_CSUM |
  VIRTIO_NET_F_GUEST_CSUM |
  VIRTIO_NET_F_GUEST_TSO4 |
  VIRTIO_NET_F_GUEST_TSO6 |
  VIRTIO_NET_F_HOST_TSO4 |
  VIRTIO_NET_F_HOST_TSO6;

const HEADER_BYTES = 12;
/** The legacy header lacks num_buffers, unless buffers are merged. */
const HEADER_BYTES_LEGACY = 10;

/** Where in the header the number of buffers is. */
export const HEADER_NUM_BUFFERS = 10;
const FLAGS = 0;
const GSO_TYPE = 1;
const HEADER_LENGTH = 2;
const GSO_SIZE = 4;
const CHECKSUM_START = 6;
const CHECKSUM_OFFSET = 8;

const F_NEEDS_CSUM = 1;
const F_DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;

/** What of TCP and IP must be understood to describe a segment. */
const TCP_DATA_OFFSET = 12;
const ETHER_TYPE = 12;
const ETHERTYPE_IPV6 = 0x86dd;

/** How long the header is with these features. */
export function headerBytesOf(features: bigint): number {
  const isLong = (features & (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF)) !== 0n;
  return isLong ? HEADER_BYTES : HEADER_BYTES_LEGACY;
}

/** The work that a header leaves to the other side; filled anew for each frame. */
export class HeaderWork implements Unfinished {
  /** Transient: of one frame. */
  checksumStart = 0;
  /** Transient: of one frame. */
  checksumOffset = 0;
  /** Transient: of one frame. */
  segmentBytes = 0;

  /** Reads a header (5.1.6.2); undefined when the frame after it is finished. */
  read(message: Uint8Array): Unfinished | undefined {
    if ((message[FLAGS] & F_NEEDS_CSUM) === 0) return undefined;
    this.checksumStart = get16(message, CHECKSUM_START);
    this.checksumOffset = get16(message, CHECKSUM_OFFSET);
    this.segmentBytes = message[GSO_TYPE] === GSO_NONE ? 0 : get16(message, GSO_SIZE);
    return this;
  }
}

/**
 * Writes the header for a frame which follows it at `headerBytes`; `isValid` tells that checksums
 * which are there need not be looked at.
 */
export function writeHeader(
  message: Uint8Array,
  headerBytes: number,
  frameBytes: number,
  unfinished: Unfinished | undefined,
  isValid: boolean,
): void {
  message.fill(0, 0, headerBytes);
  if (unfinished === undefined) {
    if (isValid) message[FLAGS] = F_DATA_VALID;
    return;
  }
  const { checksumStart, checksumOffset, segmentBytes } = unfinished;
  message[FLAGS] = F_NEEDS_CSUM;
  put16(message, CHECKSUM_START, checksumStart);
  put16(message, CHECKSUM_OFFSET, checksumOffset);
  if (segmentBytes === 0) return;
  const dataOffset = (message[headerBytes + checksumStart + TCP_DATA_OFFSET] >> 4) * 4;
  const headers = checksumStart + dataOffset;
  if (frameBytes - headers <= segmentBytes) return;
  const type = (message[headerBytes + ETHER_TYPE] << 8) | message[headerBytes + ETHER_TYPE + 1];
  message[GSO_TYPE] = type === ETHERTYPE_IPV6 ? GSO_TCPV6 : GSO_TCPV4;
  put16(message, HEADER_LENGTH, headers);
  put16(message, GSO_SIZE, segmentBytes);
}

/** Little-endian, as the header is. */
function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}

function get16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}
