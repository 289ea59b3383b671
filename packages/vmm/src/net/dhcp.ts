// DHCP messages, RFC 2131, with the options of RFC 2132, and BOOTP, RFC 951, which is DHCP
// without a message type.

import { copyBytes, get32, put16, put32 } from './bytes.ts';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

export const BOOTREQUEST = 1;
export const BOOTREPLY = 2;

export const DHCPDISCOVER = 1;
export const DHCPOFFER = 2;
export const DHCPREQUEST = 3;
export const DHCPACK = 5;
export const DHCPNAK = 6;
export const DHCPINFORM = 8;

export const OPTION_SUBNET_MASK = 1;
export const OPTION_ROUTER = 3;
export const OPTION_DNS = 6;
export const OPTION_HOST_NAME = 12;
export const OPTION_MTU = 26;
export const OPTION_REQUESTED_ADDRESS = 50;
export const OPTION_LEASE_TIME = 51;
export const OPTION_MESSAGE_TYPE = 53;
export const OPTION_SERVER_ID = 54;
const OPTION_PAD = 0;
const OPTION_END = 255;

/** The fields before the options, with the vendor's magic cookie. */
const FIXED_BYTES = 240;
/** RFC 1542, section 2.1: clients take so much, and BOOTP's need so much. */
const MESSAGE_BYTES_MIN = 300;
const HOPS = 3;
const TRANSACTION = 4;
const FLAGS = 10;
const CLIENT_ADDRESS = 12;
const YOUR_ADDRESS = 16;
const SERVER_ADDRESS = 20;
const HARDWARE_ADDRESS = 28;
const FILE = 108;
const FILE_BYTES = 128;
const COOKIE = 236;
const COOKIE_VALUE = 0x63825363;
const ETHERNET = 0x0106;
const FLAG_BROADCAST = 0x80;

/** A request of a client's. */
export interface DhcpRequest {
  readonly message: Uint8Array;
  readonly clientAddress: Uint8Array;
  readonly hardwareAddress: Uint8Array;
  readonly hops: number;
  /** Whether it names a boot file. */
  readonly hasFile: boolean;
  /** The client cannot take unicast yet. */
  readonly wantsBroadcast: boolean;
  /** Undefined for BOOTP. */
  readonly type: number | undefined;
  readonly requested: Uint8Array | undefined;
  readonly server: Uint8Array | undefined;
}

/** The request in `message`, or undefined when it is none of an Ethernet client's. */
export function parseDhcp(message: Uint8Array): DhcpRequest | undefined {
  // BOOTP's vendor area may be empty, but is there.
  if (message.length < FIXED_BYTES || message[0] !== BOOTREQUEST) return undefined;
  if (((message[1] << 8) | message[2]) !== ETHERNET) return undefined;
  const options = get32(message, COOKIE) === COOKIE_VALUE ? parseOptions(message) : undefined;
  return {
    message,
    clientAddress: message.subarray(CLIENT_ADDRESS, CLIENT_ADDRESS + 4),
    hardwareAddress: message.subarray(HARDWARE_ADDRESS, HARDWARE_ADDRESS + 6),
    hops: message[HOPS],
    hasFile: message[FILE] !== 0,
    wantsBroadcast: (message[FLAGS] & FLAG_BROADCAST) !== 0,
    type: options?.get(OPTION_MESSAGE_TYPE)?.[0],
    requested: addressOf(options?.get(OPTION_REQUESTED_ADDRESS)),
    server: addressOf(options?.get(OPTION_SERVER_ID)),
  };
}

function addressOf(option: Uint8Array | undefined): Uint8Array | undefined {
  return option?.length === 4 ? option : undefined;
}

function parseOptions(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  let at = FIXED_BYTES;
  while (at < message.length && message[at] !== OPTION_END) {
    if (message[at] === OPTION_PAD) {
      at++;
      continue;
    }
    const end = at + 2 + (message[at + 1] ?? 0);
    if (end > message.length) break;
    options.set(message[at], message.subarray(at + 2, end));
    at = end;
  }
  return options;
}

/** An option to send. */
export type DhcpOption = readonly [code: number, value: Uint8Array];

/** What a reply says. */
export interface DhcpReply {
  readonly yourAddress: Uint8Array;
  readonly serverAddress: Uint8Array;
  /** The name of the file to boot, at most 127 ASCII characters. */
  readonly bootFile?: string | undefined;
  readonly options: readonly DhcpOption[];
}

/** The message that answers `request`. */
export function makeDhcpReply(request: DhcpRequest, reply: DhcpReply): Uint8Array {
  const length = reply.options.reduce((sum, [, value]) => sum + 2 + value.length, FIXED_BYTES + 1);
  const message = new Uint8Array(Math.max(MESSAGE_BYTES_MIN, length));
  message[0] = BOOTREPLY;
  put16(message, 1, ETHERNET);
  copyBytes(message, TRANSACTION, request.message, TRANSACTION, 4);
  copyBytes(message, FLAGS, request.message, FLAGS, 2);
  copyBytes(message, CLIENT_ADDRESS, request.clientAddress, 0, 4);
  copyBytes(message, YOUR_ADDRESS, reply.yourAddress, 0, 4);
  copyBytes(message, SERVER_ADDRESS, reply.serverAddress, 0, 4);
  // With the gateway's address (giaddr) 0 and the whole of the hardware address as it was.
  copyBytes(message, HARDWARE_ADDRESS, request.message, HARDWARE_ADDRESS, 16);
  if (reply.bootFile !== undefined) {
    message.set(new TextEncoder().encode(reply.bootFile).subarray(0, FILE_BYTES - 1), FILE);
  }
  put32(message, COOKIE, COOKIE_VALUE);
  let at = FIXED_BYTES;
  for (const [code, value] of reply.options) {
    message[at] = code;
    message[at + 1] = value.length;
    message.set(value, at + 2);
    at += 2 + value.length;
  }
  message[at] = OPTION_END;
  return message;
}
