// The network of a machine that is started with "-L": the gateway of a local interface, on this
// process's event loop, and the ports of the host that are forwarded to the guest.

import {
  type Endpoint,
  Gateway,
  type IpAddress,
  LOCAL_PREFIX,
  LOCAL_PREFIX_LENGTH,
  localInterface,
} from 'vmm';
import { HostClock, HostEntropy } from './host-capabilities.ts';
import { HostAlarm, NodeNetwork } from './host-network.ts';
import type { RunNetwork } from './run-options.ts';

/**
 * Without a daemon nobody counts machines. Each has a gateway of its own, so that they may have the
 * same addresses.
 */
const VM_ID = 1;

/**
 * The gateway for the interface with this hardware address. Rejects with VmmError when a port
 * cannot be forwarded.
 */
export async function openLocalNetwork(
  network: RunNetwork,
  guestMac: Uint8Array,
  name: string,
): Promise<Gateway> {
  const clock = new HostClock();
  const entropy = new HostEntropy();
  const { gateway, guest } = localInterface(LOCAL_PREFIX, VM_ID, 0);
  const local = new Gateway({
    clock,
    alarm: new HostAlarm(clock),
    entropy,
    guestMac,
    guest,
    gateway,
    prefixLength: LOCAL_PREFIX_LENGTH,
    ...(network.inet6 ? { gateway6: uniqueLocalAddress(entropy) } : {}),
    ...(network.nat ? { host: new NodeNetwork() } : {}),
    hostLoopback: network.hostLoopback,
    // RFC 1123, section 2.1: what a virtual machine may be called is wider.
    ...(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(name) ? { hostname: name } : {}),
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

function forward(
  gateway: Gateway,
  protocol: 'tcp' | 'udp',
  at: Endpoint,
  port: number,
): Promise<void> {
  return protocol === 'tcp' ? gateway.forwardTcp(at, port) : gateway.forwardUdp(at, port);
}

/** The first address of a random prefix of 64 bits: RFC 4193, section 3.2. */
function uniqueLocalAddress(entropy: HostEntropy): IpAddress {
  const address = new Uint8Array(16);
  entropy.fill(address.subarray(0, 8));
  address[0] = 0xfd;
  address[15] = 1;
  return address;
}
