// The DHCP server of a local interface: one client, one address, for ever. What it answers and
// what it does not is vmd(8)'s; name server, host name and MTU are what the gateway adds.

import { type IpAddress, sameIp } from './address.ts';
import { put16, put32, sameBytes } from './bytes.ts';
import {
  DHCPACK,
  DHCPDISCOVER,
  DHCPINFORM,
  DHCPNAK,
  DHCPOFFER,
  DHCPREQUEST,
  type DhcpOption,
  type DhcpRequest,
  makeDhcpReply,
  OPTION_DNS,
  OPTION_HOST_NAME,
  OPTION_LEASE_TIME,
  OPTION_MESSAGE_TYPE,
  OPTION_MTU,
  OPTION_ROUTER,
  OPTION_SERVER_ID,
  OPTION_SUBNET_MASK,
  parseDhcp,
} from './dhcp.ts';

const NO_ADDRESS = new Uint8Array(4);
const INFINITE = 0xffff_ffff;

/** What the client is told. */
export interface DhcpLease {
  readonly mac: Uint8Array;
  readonly address: IpAddress;
  /** Also router and resolver. */
  readonly server: IpAddress;
  readonly prefixLength: number;
  readonly mtu: number;
  readonly hostname?: string;
  readonly bootFile?: string;
}

/** A reply, and how it gets there. */
export interface DhcpAnswer {
  readonly message: Uint8Array;
  /** To all stations, as the client has no address to be reached at. */
  readonly broadcast: boolean;
}

/** Answers one client. */
export class DhcpServer {
  private readonly lease: DhcpLease;

  constructor(lease: DhcpLease) {
    this.lease = lease;
  }

  /** The answer to a message to the server's port, or undefined when it gets none. */
  answer(message: Uint8Array): DhcpAnswer | undefined {
    const request = parseDhcp(message);
    if (request === undefined || !this.isOurs(request)) return undefined;
    const { type } = request;
    if (type === undefined) return this.reply(request, undefined);
    if (type === DHCPDISCOVER) return this.reply(request, DHCPOFFER);
    if (type === DHCPINFORM) return this.reply(request, DHCPACK);
    if (type !== DHCPREQUEST) return undefined;
    // For another server's offer (RFC 2131, section 4.3.2).
    if (request.server !== undefined && !sameIp(request.server, this.lease.server))
      return undefined;
    const wanted = request.requested ?? request.clientAddress;
    const fits = sameIp(wanted, this.lease.address) || sameIp(wanted, NO_ADDRESS);
    return this.reply(request, fits ? DHCPACK : DHCPNAK);
  }

  /** The rules of vmd(8), but that a client may renew its address or ask for options with it. */
  private isOurs(request: DhcpRequest): boolean {
    const { clientAddress } = request;
    const hasForeignAddress =
      !sameIp(clientAddress, NO_ADDRESS) && !sameIp(clientAddress, this.lease.address);
    if (request.hops !== 0 || request.hasFile) return false;
    if (hasForeignAddress && request.type !== DHCPREQUEST) return false;
    return sameBytes(request.hardwareAddress, 0, this.lease.mac, 0, 6);
  }

  private reply(request: DhcpRequest, type: number | undefined): DhcpAnswer {
    const { lease } = this;
    const isNak = type === DHCPNAK;
    const options: DhcpOption[] = [];
    if (type !== undefined) {
      options.push([OPTION_MESSAGE_TYPE, new Uint8Array([type])]);
      options.push([OPTION_SERVER_ID, lease.server]);
    }
    if (!isNak) options.push(...this.settings(request.type !== DHCPINFORM));
    const message = makeDhcpReply(request, {
      yourAddress: isNak || request.type === DHCPINFORM ? NO_ADDRESS : lease.address,
      serverAddress: isNak ? NO_ADDRESS : lease.server,
      bootFile: isNak ? undefined : lease.bootFile,
      options,
    });
    return { message, broadcast: isNak || request.wantsBroadcast };
  }

  private settings(withLease: boolean): DhcpOption[] {
    const { server, prefixLength, mtu, hostname } = this.lease;
    const mask = new Uint8Array(4);
    put32(mask, 0, prefixLength === 0 ? 0 : -1 << (32 - prefixLength));
    const time = new Uint8Array(4);
    put32(time, 0, INFINITE);
    const size = new Uint8Array(2);
    put16(size, 0, mtu);
    const settings: DhcpOption[] = [
      [OPTION_SUBNET_MASK, mask],
      [OPTION_ROUTER, server],
      [OPTION_DNS, server],
      [OPTION_MTU, size],
    ];
    if (withLease) settings.unshift([OPTION_LEASE_TIME, time]);
    if (hostname !== undefined) {
      settings.push([OPTION_HOST_NAME, new TextEncoder().encode(hostname)]);
    }
    return settings;
  }
}
