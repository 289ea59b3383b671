// Names of network interfaces and of their groups, by ifconfig(8)'s rules as vmd(8) checks them.

import { byteLength, type Context } from './context.ts';
import { INTERFACE_NAME_BYTES_MAX, RDOMAIN_MAX } from './limits.ts';

const UINT_MAX = 0xffff_ffff;

/** The driver of an interface, "tap" of "tap0"; undefined for what is no interface's name. */
export function interfaceDriver(name: string): string | undefined {
  const [, driver, unit] = /^(\D+)(\d+)$/.exec(name) ?? [];
  if (driver === undefined || byteLength(driver) >= INTERFACE_NAME_BYTES_MAX) return undefined;
  return Number(unit) <= UINT_MAX ? driver : undefined;
}

/** `group name`: at most 15 bytes, the last not a digit, which would look like an interface. */
export function parseGroup({ tokens }: Context): string {
  tokens.expect('group');
  const { text, position } = tokens.strings('a group name');
  if (text !== '' && byteLength(text) <= INTERFACE_NAME_BYTES_MAX && !/\d$/.test(text)) return text;
  return tokens.reject(position, `invalid group name: ${text}`);
}

/** `rdomain id`. */
export function parseRdomain({ tokens }: Context): number {
  tokens.expect('rdomain');
  return tokens.number('a routing domain', 0, RDOMAIN_MAX, 'invalid rdomain');
}
