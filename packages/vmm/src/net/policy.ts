// Which of the host's destinations a guest may reach. The gateway reaches what the host reaches, so
// that what only the host should reach must be kept back: services on its loopback interface trust
// whoever is on the same machine, and link-local ones (RFC 3927 and RFC 4291 forbid routers to
// forward those), such as the metadata service of a cloud, whoever is on the same wire.

import { type IpAddress, inPrefix, type Prefix, parsePrefix } from './address.ts';

/** Says whether a guest may reach an address, which is not the gateway's. */
export type Policy = (destination: IpAddress) => boolean;

/** Never reachable through the gateway. */
const KEPT_BACK = [
  // "This host": connecting to it is connecting to oneself (RFC 1122, section 3.2.1.3).
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  // Groups, and what is reserved, the broadcast address with it.
  '224.0.0.0/3',
  // The unspecified and the loopback address, and IPv4 in other clothes (RFC 4291, section 2.5.5).
  '::/96',
  '::ffff:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map((text) => parsePrefix(text)!);

/** The policy when nothing else is asked for: everything but what is the host's own. */
export function defaultPolicy(destination: IpAddress): boolean {
  return !KEPT_BACK.some((prefix) => matches(destination, prefix));
}

function matches(address: IpAddress, prefix: Prefix): boolean {
  return prefix.address.length === address.length && inPrefix(address, 0, prefix);
}
