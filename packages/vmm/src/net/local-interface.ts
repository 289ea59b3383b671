// Addresses of a "local interface" (vm.conf(5), "local prefix"; vmctl(8), "-L"): a network of
// two, the host's end and the guest's, numbered by virtual machine and interface.

import { VmmError } from '../base/errors.ts';
import type { IpAddress, Prefix } from './address.ts';
import { get32, put32 } from './bytes.ts';

/** RFC 6598: the space between a provider and its customers, which neither uses itself. */
export const LOCAL_PREFIX: Prefix = { address: new Uint8Array([100, 64, 0, 0]), length: 10 };
/** RFC 3021: both addresses of a /31 are hosts'. */
export const LOCAL_PREFIX_LENGTH = 31;

const INTERFACES_MAX = 126;

/** The two ends of a local interface. */
export interface LocalInterface {
  readonly gateway: IpAddress;
  readonly guest: IpAddress;
}

/**
 * The addresses of interface `index`, from 0, of virtual machine `vmId`, from 1. EINVAL when they
 * are not within the prefix.
 */
export function localInterface(prefix: Prefix, vmId: number, index: number): LocalInterface {
  const hostBits = prefix.length === 0 ? 2 ** 32 : 2 ** (32 - prefix.length);
  const offset = vmId * 256 + (index + 1) * 2;
  if (index >= INTERFACES_MAX || offset + 1 >= hostBits) {
    throw new VmmError('EINVAL', 'dhcp address range exceeded');
  }
  const network = Math.floor(get32(prefix.address, 0) / hostBits) * hostBits;
  const address = (last: number): IpAddress => {
    const bytes = new Uint8Array(4);
    put32(bytes, 0, network + offset + last);
    return bytes;
  };
  return { gateway: address(0), guest: address(1) };
}

/** The host's end has the guest's hardware address with one added to the last byte. */
export function gatewayMac(guestMac: Uint8Array): Uint8Array {
  const mac = guestMac.slice();
  mac[5]++;
  return mac;
}
