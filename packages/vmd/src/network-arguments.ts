// The network of "vmctl run": -L and what goes with it.

import { type Endpoint, parseIp, VmmError } from 'vmm';
import type { RunForward, RunNetwork } from 'vmm-node';

/** Ports are forwarded from the host's loopback address, unless another is named. */
const BIND_DEFAULT = new Uint8Array([127, 0, 0, 1]);
const PORT_MAX = 65535;

/**
 * The network that the options ask for; `has` tells which are there, `forwards` are the arguments
 * of -p. Undefined when there is to be none. VmmError says what is wrong.
 */
export function parseNetwork(
  has: (name: string) => boolean,
  forwards: readonly string[],
): RunNetwork | undefined {
  const isLocal = has('L');
  for (const name of ['inet6', 'host-loopback', 'no-nat']) {
    if (has(name) && !isLocal) throw new VmmError('EINVAL', `--${name} needs -L.`);
  }
  if (!isLocal) {
    if (forwards.length > 0) throw new VmmError('EINVAL', '-p needs -L.');
    return undefined;
  }
  const nat = !has('no-nat');
  if (!nat && forwards.length > 0) throw new VmmError('EINVAL', '-p does not go with --no-nat.');
  if (!nat && has('host-loopback')) {
    throw new VmmError('EINVAL', '--host-loopback does not go with --no-nat.');
  }
  return {
    nat,
    inet6: has('inet6'),
    hostLoopback: has('host-loopback'),
    forwards: forwards.map(parseForward),
  };
}

/** One argument of -p: `[address:]host:guest[/protocol]`, an IPv6 address in brackets. */
export function parseForward(word: string): RunForward {
  const match = /^(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(word);
  const [, bind, host, guest, protocol = 'tcp'] = match ?? [];
  const address = bind === undefined ? BIND_DEFAULT : parseIp(bind.replace(/^\[|\]$/g, ''));
  const at: Endpoint = { address: address ?? BIND_DEFAULT, port: Number(host) };
  const guestPort = Number(guest);
  const isGood =
    match !== null &&
    address !== undefined &&
    at.port >= 1 &&
    at.port <= PORT_MAX &&
    guestPort >= 1 &&
    guestPort <= PORT_MAX;
  if (isGood) return { protocol: protocol === 'udp' ? 'udp' : 'tcp', at, guestPort };
  throw new VmmError(
    'EINVAL',
    `invalid forward: ${word} (it is [address:]hostport:guestport[/tcp | /udp])`,
  );
}
