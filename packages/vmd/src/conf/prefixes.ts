// Network prefixes as "local prefix" and "local inet6 prefix" take them. Refusals are a reason, to
// follow the prefix in a message.

import { isIPv6 } from 'node:net';
import type { Prefix } from './configuration.ts';
import { LOCAL_INET6_PREFIX_LENGTH_MAX, LOCAL_PREFIX_LENGTH_MAX } from './limits.ts';

/** A prefix, or why it is none. */
export type PrefixResult = Prefix | { readonly reason: string };

/** Splits `address/length`; the length is `lengthMax` when it is not there. */
function split(text: string, lengthMin: number, lengthMax: number): PrefixResult {
  const slash = text.lastIndexOf('/');
  if (slash < 0) return { address: text, length: lengthMax };
  const digits = text.slice(slash + 1);
  // strtonum(3) says it in these words.
  if (!/^\d+$/.test(digits)) return { reason: 'invalid prefix length' };
  const length = Number(digits);
  if (length < lengthMin) return { reason: 'prefix length too small' };
  if (length > lengthMax) return { reason: `prefix length too large, the limit is ${lengthMax}` };
  return { address: text.slice(0, slash), length };
}

/** Whether all bits of `octets` after the first `length` are zero. */
function isPrefix(octets: readonly number[], length: number): boolean {
  return octets.every((octet, index) => {
    const kept = Math.min(Math.max(length - index * 8, 0), 8);
    return (octet & (0xff >> kept)) === 0;
  });
}

/**
 * An IPv4 prefix of 1 to 16 bits, 16 when it does not say. As for inet_net_pton(3), zero octets at
 * the end may be missing: "10/8".
 */
export function parsePrefix4(text: string): PrefixResult {
  const prefix = split(text, 1, LOCAL_PREFIX_LENGTH_MAX);
  if ('reason' in prefix) return prefix;
  const parts = prefix.address.split('.');
  if (parts.length > 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    return { reason: 'not an IPv4 address' };
  }
  const octets = [...parts.map(Number), 0, 0, 0].slice(0, 4);
  if (!isPrefix(octets, prefix.length)) return { reason: 'bad mask' };
  return { address: octets.join('.'), length: prefix.length };
}

/** An IPv6 prefix of 0 to 64 bits, 64 when it does not say. */
export function parsePrefix6(text: string): PrefixResult {
  const prefix = split(text, 0, LOCAL_INET6_PREFIX_LENGTH_MAX);
  if ('reason' in prefix) return prefix;
  if (!isIPv6(prefix.address) || prefix.address.includes('%')) {
    return { reason: 'not an IPv6 address' };
  }
  // The URL Standard writes addresses as RFC 5952 wants them.
  const address = new URL(`http://[${prefix.address}]/`).hostname.slice(1, -1);
  if (!isPrefix(octetsOf(address), prefix.length)) return { reason: 'bad mask' };
  return { address, length: prefix.length };
}

/** The sixteen octets of an address of hexadecimal groups and at most one "::". */
function octetsOf(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] => text.split(':').filter(Boolean);
  const before = groups(head);
  const after = groups(tail ?? '');
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
