// The far ends of a machine's network interfaces: the gateways of those that are local, on this
// process's event loop, the ports of the host that are forwarded to the guest, and uplinks to
// switches and taps.

import {
  type Endpoint,
  Gateway,
  type IpAddress,
  LOCAL_PREFIX,
  LOCAL_PREFIX_LENGTH,
  localInterface,
  type NetBackend,
  SwitchedGateway,
} from 'vmm';
import { HostClock, HostEntropy } from './host-capabilities.ts';
import { HostAlarm, NodeNetwork } from './host-network.ts';
import type { RunInterface, RunNetwork, RunNumbering } from './run-options.ts';

/**
 * Without a daemon nobody counts machines. Each has a gateway of its own, so that they may have the
 * same addresses.
 */
const NUMBERING_DEFAULT: RunNumbering = { prefix: LOCAL_PREFIX, vmId: 1 };
/** vmd(8)'s prefix of MAC addresses, with the number of the interface. */
const MAC_PREFIX = [0xfe, 0xe1, 0xbb, 0xd1];
/** What tells a gateway from its guest where the next address may be another guest's. */
const MAC_GATEWAY_BIT = 0x04;

/** What the guest is told of itself by DHCP. */
export interface GuestNames {
  readonly name: string;
  /** The file that it finds it was booted from. */
  readonly bootFile?: string;
}

/** A network interface of a guest, and what is plugged into it. */
export interface OpenInterface {
  readonly mac: Uint8Array;
  readonly backend: NetBackend | undefined;
  /** The local network in it and by which numbers that goes; absent without one. */
  readonly network?: RunNetwork;
  readonly numbering?: RunNumbering;
  close(): void;
}

/**
 * Plugs in the interfaces of a machine. Rejects with VmmError when a port cannot be
 * forwarded, or the prefix has no address for the machine.
 */
export async function openInterfaces(
  interfaces: readonly RunInterface[],
  names: GuestNames,
): Promise<OpenInterface[]> {
  const open: OpenInterface[] = [];
  try {
    for (const [index, it] of interfaces.entries()) {
      const mac = it.mac ?? randomMac(index);
      const { uplink, network } = it;
      const numbering = network && numberingOf(network);
      const local = network && numbering && { ...network, numbering };
      const gateway = local && (await openLocalNetwork(it, local, index, mac, names));
      const both = gateway && uplink && new SwitchedGateway(gateway, uplink.backend);
      open.push({
        mac,
        backend: both ?? gateway ?? uplink?.backend,
        ...(network && numbering && { network, numbering }),
        close: () => {
          gateway?.close();
          uplink?.close();
        },
      });
    }
  } catch (error) {
    closeInterfaces(open);
    for (const { uplink } of interfaces.slice(open.length)) uplink?.close();
    throw error;
  }
  return open;
}

/** Unplugs them, which ends every connection of the guest's. */
export function closeInterfaces(interfaces: readonly OpenInterface[]): void {
  for (const it of interfaces) it.close();
}

function randomMac(index: number): Uint8Array {
  const mac = new Uint8Array([...MAC_PREFIX, 0, 0]);
  mac[3] += index;
  new HostEntropy().fill(mac.subarray(4));
  return mac;
}

/** The numbering of a network, complete. */
function numberingOf({ numbering = NUMBERING_DEFAULT, inet6 }: RunNetwork): RunNumbering {
  if (!inet6 || numbering.prefix6 !== undefined) return numbering;
  return { ...numbering, prefix6: uniqueLocalPrefix(new HostEntropy()) };
}

async function openLocalNetwork(
  { uplink }: RunInterface,
  network: RunNetwork & { readonly numbering: RunNumbering },
  index: number,
  guestMac: Uint8Array,
  { name, bootFile }: GuestNames,
): Promise<Gateway> {
  const clock = new HostClock();
  const entropy = new HostEntropy();
  const { prefix, vmId, prefix6 } = network.numbering;
  const { gateway, guest } = localInterface(prefix, vmId, index);
  const local = new Gateway({
    clock,
    alarm: new HostAlarm(clock),
    entropy,
    guestMac,
    guest,
    gateway,
    // With others on its cable the guest finds them there, rather than behind the gateway.
    ...(uplink
      ? { mac: switchedGatewayMac(guestMac), prefixLength: prefix.length }
      : { prefixLength: LOCAL_PREFIX_LENGTH }),
    ...(prefix6 && network.inet6 ? { gateway6: gatewayAddress6(prefix6, gateway) } : {}),
    ...(network.nat ? { host: new NodeNetwork() } : {}),
    hostLoopback: network.hostLoopback,
    // RFC 1123, section 2.1: what a virtual machine may be called is wider.
    ...(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(name) ? { hostname: name } : {}),
    ...(bootFile === undefined ? {} : { bootFile }),
  });
  try {
    for (const { protocol, at, guestPort } of network.forwards) {
      await forward(local, protocol, at, guestPort);
    }
  } catch (error) {
    local.close();
    throw error;
  }
  return local;
}

function switchedGatewayMac(guestMac: Uint8Array): Uint8Array {
  const mac = guestMac.slice();
  mac[0] ^= MAC_GATEWAY_BIT;
  return mac;
}

function forward(
  gateway: Gateway,
  protocol: 'tcp' | 'udp',
  at: Endpoint,
  port: number,
): Promise<void> {
  return protocol === 'tcp' ? gateway.forwardTcp(at, port) : gateway.forwardUdp(at, port);
}

/** A random prefix of 64 bits, as an address: RFC 4193, section 3.2. */
function uniqueLocalPrefix(entropy: HostEntropy): IpAddress {
  const address = new Uint8Array(16);
  entropy.fill(address.subarray(0, 8));
  address[0] = 0xfd;
  return address;
}

/** As in vmd(8): after the prefix, the gateway's IPv4 address, and 1 for the host's end. */
function gatewayAddress6(prefix: IpAddress, gateway: IpAddress): IpAddress {
  return new Uint8Array([...prefix.subarray(0, 8), ...gateway, 0, 0, 0, 1]);
}
