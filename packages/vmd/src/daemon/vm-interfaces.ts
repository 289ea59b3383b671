// The network interfaces of a virtual machine's process, of what its plan says in text.

import { type IpAddress, parseIp } from 'vmm';
import type { RunForward, RunInterface, RunUplink } from 'vmm-node/options';
import type { Forward } from '../conf/configuration.ts';
import type { VmPlan } from './run-plan.ts';

/**
 * The interfaces of `plan`; `uplinks` has what is beyond each, by its index. Ports are forwarded to
 * the first that is local: they are the host's, and can be had once.
 */
export function runInterfaces(
  { id, interfaces, local, forwards }: VmPlan,
  uplinks: readonly (RunUplink | undefined)[],
): RunInterface[] {
  const { prefix, prefix6 } = local;
  const numbering = {
    prefix: { address: ipOf(prefix.address), length: prefix.length },
    vmId: id,
    ...(prefix6 !== null && { prefix6: ipOf(prefix6.address) }),
  };
  const first = interfaces.findIndex(({ isLocal }) => isLocal);
  return interfaces.map(({ lladdr, isLocal }, index) => ({
    mac: macOf(lladdr),
    ...(uplinks[index] && { uplink: uplinks[index] }),
    ...(isLocal && {
      network: {
        numbering,
        nat: true,
        inet6: prefix6 !== null,
        hostLoopback: false,
        forwards: index === first ? forwards.map(runForward) : [],
      },
    }),
  }));
}

function runForward({ protocol, hostAddress, hostPort, guestPort }: Forward): RunForward {
  return { protocol, at: { address: ipOf(hostAddress), port: hostPort }, guestPort };
}

/** vm.conf(5) has checked it. */
function ipOf(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

/** The octets of an address that vm.conf(5) has checked, or vmd made. */
export function macOf(text: string): Uint8Array {
  return new Uint8Array(text.split(':').map((octet) => Number.parseInt(octet, 16)));
}
